"""What every queue promises. Leases are a second or two, for one stage waits in earnest."""

import asyncio
from collections import Counter

import pytest

from tests.contract.stage import STAGES, Queues, on_queues
from worker.ports import Delivery, Outgoing, Queue

pytestmark = pytest.mark.parametrize("stage", STAGES)


async def take(queue: Queue, *, most: int = 10, wait_s: float = 0, lease_s: float = 30) -> Delivery:
    (delivery,) = await queue.receive(most, wait_s=wait_s, lease_s=lease_s)
    return delivery


def test_what_is_sent_is_received(stage: str) -> None:
    async def main(queues: Queues) -> None:
        body = '{"prompt": "Grüße, 世界"}'.encode()
        sent_id = await queues.jobs.send(Outgoing(body=body, group="acme"))

        delivery = await take(queues.jobs, wait_s=5)

        assert delivery.message_id == sent_id
        assert delivery.body == body
        assert delivery.tenant == "acme"
        assert delivery.receive_count == 1
        assert delivery.sent_at > 0
        assert (delivery.job, delivery.first_sent_at, delivery.doorbell) == ("", None, False)
        assert delivery.above == 0.0

    on_queues(stage, main)


def test_a_doorbell_carries_the_job_it_rings_for(stage: str) -> None:
    async def main(queues: Queues) -> None:
        attributes = {"iw-job": "invoice-42", "iw-sent-ms": "1767225600123", "iw-doorbell": "1"}
        await queues.jobs.send(Outgoing(body=b"{}", attributes=attributes))

        delivery = await take(queues.jobs, wait_s=5)

        assert (delivery.job, delivery.doorbell) == ("invoice-42", True)
        assert delivery.first_sent_at == 1767225600.123

    on_queues(stage, main)


@pytest.mark.parametrize(("written", "above"), [("0.4", 0.4), ("high", 0.0)])
def test_an_upgrades_doorbell_says_how_good_the_answer_is_that_is_there(
    stage: str, written: str, above: float
) -> None:
    async def main(queues: Queues) -> None:
        attributes = {"iw-job": "invoice-42+upgrade", "iw-doorbell": "1", "iw-above": written}
        await queues.jobs.send(Outgoing(body=b"{}", attributes=attributes))

        delivery = await take(queues.jobs, wait_s=5)

        assert (delivery.job, delivery.above) == ("invoice-42+upgrade", above)

    on_queues(stage, main)


@pytest.mark.parametrize(
    "written",
    ["x" * 129, "x" * 3000, "invoice 42", "世界", "+upgrade", "a+upgrade+upgrade", "a\n"],
)
def test_what_is_no_id_names_no_job(stage: str, written: str) -> None:
    async def main(queues: Queues) -> None:
        await queues.jobs.send(Outgoing(body=b"{}", attributes={"iw-job": written}))

        delivery = await take(queues.jobs, wait_s=5)

        assert delivery.job == ""

    on_queues(stage, main)


@pytest.mark.parametrize(("written", "asked"), [("3", 3), ("-1", 0), ("soon", 0), ("9" * 99, 0)])
def test_a_redrive_says_which_life_it_asks_for(stage: str, written: str, asked: int) -> None:
    async def main(queues: Queues) -> None:
        attributes = {"iw-job": "invoice-42", "iw-redrive": written}
        await queues.jobs.send(Outgoing(body=b"{}", attributes=attributes))

        delivery = await take(queues.jobs, wait_s=5)

        assert (delivery.job, delivery.redrive) == ("invoice-42", asked)

    on_queues(stage, main)


def test_who_asks_for_every_attribute_gets_them(stage: str) -> None:
    async def main(queues: Queues) -> None:
        attributes = {"iw-job": "invoice-42", "iw-dead": "{}", "colour": "blue"}
        await queues.dead.send(Outgoing(body=b"{}", attributes=attributes))

        delivery = await take(queues.dead, wait_s=5)

        assert delivery.attributes == attributes

    on_queues(stage, main)


def test_attributes_of_others_are_passed_over(stage: str) -> None:
    async def main(queues: Queues) -> None:
        attributes = {"iw-sent-ms": "yesterday", "colour": "blue"}
        await queues.jobs.send(Outgoing(body=b"{}", attributes=attributes))

        delivery = await take(queues.jobs, wait_s=5)

        assert delivery.first_sent_at is None

    on_queues(stage, main)


def test_a_message_in_hand_is_hidden_and_comes_back_with_a_new_receipt(stage: str) -> None:
    async def main(queues: Queues) -> None:
        await queues.jobs.send(Outgoing(body=b"{}"))
        first = await take(queues.jobs, wait_s=5, lease_s=1)

        hidden = await queues.jobs.receive(10, wait_s=0, lease_s=30)
        second = await take(queues.jobs, wait_s=10)

        assert hidden == []
        assert second.message_id == first.message_id
        assert second.receipt != first.receipt
        assert (first.receive_count, second.receive_count) == (1, 2)

    on_queues(stage, main)


def test_a_deleted_message_does_not_come_back_and_deleting_twice_is_once(stage: str) -> None:
    async def main(queues: Queues) -> None:
        await queues.jobs.send(Outgoing(body=b"{}"))
        delivery = await take(queues.jobs, wait_s=5, lease_s=1)

        assert await queues.jobs.delete([delivery.receipt]) == ["done"]
        assert await queues.jobs.delete([delivery.receipt]) == ["done"]
        assert await queues.jobs.receive(10, wait_s=2, lease_s=30) == []

    on_queues(stage, main)


def test_an_outdated_receipt_deletes_nothing(stage: str) -> None:
    async def main(queues: Queues) -> None:
        await queues.jobs.send(Outgoing(body=b"{}"))
        first = await take(queues.jobs, wait_s=5, lease_s=0)
        second = await take(queues.jobs, wait_s=5)

        fates = await queues.jobs.delete([first.receipt])

        assert fates in (["done"], ["gone"])  # SQS says "done"
        assert await queues.jobs.extend([(second.receipt, 30)]) == ["done"]

    on_queues(stage, main)


def test_a_lapsed_receipt_still_deletes_while_nobody_else_received(stage: str) -> None:
    async def main(queues: Queues) -> None:
        await queues.jobs.send(Outgoing(body=b"{}"))
        delivery = await take(queues.jobs, wait_s=5, lease_s=1)
        await asyncio.sleep(1.2)

        assert await queues.jobs.delete([delivery.receipt]) == ["done"]
        assert await queues.jobs.receive(10, wait_s=1, lease_s=30) == []

    on_queues(stage, main)


def test_an_extended_lease_lasts(stage: str) -> None:
    async def main(queues: Queues) -> None:
        await queues.jobs.send(Outgoing(body=b"{}"))
        delivery = await take(queues.jobs, wait_s=5, lease_s=1)

        assert await queues.jobs.extend([(delivery.receipt, 60.0)]) == ["done"]
        assert await queues.jobs.receive(10, wait_s=2, lease_s=30) == []

    on_queues(stage, main)


def test_a_released_message_is_there_at_once(stage: str) -> None:
    async def main(queues: Queues) -> None:
        sent_id = await queues.jobs.send(Outgoing(body=b"{}"))
        delivery = await take(queues.jobs, wait_s=5, lease_s=600)

        assert await queues.jobs.extend([(delivery.receipt, 0)]) == ["done"]
        assert (await take(queues.jobs, wait_s=5)).message_id == sent_id

    on_queues(stage, main)


def test_a_lease_that_lapsed_or_was_settled_is_gone(stage: str) -> None:
    async def main(queues: Queues) -> None:
        for _ in range(2):
            await queues.jobs.send(Outgoing(body=b"{}"))
        deleted = await take(queues.jobs, most=1, wait_s=5, lease_s=60)
        lapsed = await take(queues.jobs, most=1, wait_s=5, lease_s=1)
        await queues.jobs.delete([deleted.receipt])
        await asyncio.sleep(1.2)

        assert await queues.jobs.extend([(deleted.receipt, 60)]) == ["gone"]
        assert await queues.jobs.extend([(lapsed.receipt, 60)]) == ["gone"]

    on_queues(stage, main)


def test_each_entry_of_a_batch_has_its_own_fate(stage: str) -> None:
    async def main(queues: Queues) -> None:
        for _ in range(10):
            await queues.jobs.send(Outgoing(body=b"{}"))
        held: list[Delivery] = []
        while len(held) < 10:
            held += await queues.jobs.receive(10 - len(held), wait_s=5, lease_s=60)
        await queues.jobs.delete([held[3].receipt])

        fates = await queues.jobs.extend([(delivery.receipt, 90) for delivery in held])

        assert fates == ["done"] * 3 + ["gone"] + ["done"] * 6
        assert await queues.jobs.delete([d.receipt for d in held]) == ["done"] * 10

    on_queues(stage, main)


def test_an_empty_batch_is_nothing_to_do(stage: str) -> None:
    async def main(queues: Queues) -> None:
        assert await queues.jobs.delete([]) == []
        assert await queues.jobs.extend([]) == []

    on_queues(stage, main)


def test_a_delayed_message_waits_and_its_delay_is_rounded_up(stage: str) -> None:
    async def main(queues: Queues) -> None:
        sent_id = await queues.jobs.send(Outgoing(body=b"{}", delay_s=0.3))

        assert await queues.jobs.receive(10, wait_s=0, lease_s=30) == []
        assert (await take(queues.jobs, wait_s=10)).message_id == sent_id

    on_queues(stage, main)


def test_a_long_poll_wakes_when_a_message_comes(stage: str) -> None:
    async def main(queues: Queues) -> None:
        poll = asyncio.create_task(take(queues.jobs, wait_s=20))
        await asyncio.sleep(0.3)
        assert not poll.done()

        sent_id = await queues.jobs.send(Outgoing(body=b"{}"))

        assert (await poll).message_id == sent_id

    on_queues(stage, main)


def test_a_message_that_was_given_out_too_often_goes_to_the_dead_queue(stage: str) -> None:
    async def main(queues: Queues) -> None:
        sent_id = await queues.jobs.send(Outgoing(body=b"{}", group="acme"))
        for _ in range(2):
            await take(queues.jobs, wait_s=5, lease_s=0)

        assert await queues.jobs.receive(10, wait_s=1, lease_s=0) == []
        dead = await take(queues.dead, wait_s=5)

        assert (dead.message_id, dead.tenant) == (sent_id, "acme")

    on_queues(stage, main)


def test_many_consumers_share_the_messages(stage: str) -> None:
    async def main(queues: Queues) -> None:
        sent = [await queues.jobs.send(Outgoing(body=b"{}")) for _ in range(60)]
        seen: Counter[str] = Counter()

        async def consume() -> None:
            while batch := await queues.jobs.receive(3, wait_s=1, lease_s=600):
                seen.update(delivery.message_id for delivery in batch)

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(consume())

        assert seen == Counter(sent)

    on_queues(stage, main)
