"""Writes whose request or answer is lost, on the wire of the local stack."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.contract.stage import Clock, Open, dynamo_ledger, on_aws
from tests.contract.test_ledger import JOB, LEASE_S, asked, claimed, ended, finished, stored
from worker.aws.clients import Clients, open_clients
from worker.aws.ledger import DynamoLedger
from worker.aws.sqs import SqsQueue
from worker.core.ledger import Record, RunningElsewhere, State
from worker.local.faults import Act, Duplicate, LoseRequest, LoseResponse, Refuse, Rule
from worker.ports import Outgoing, Unavailable

LOST = pytest.mark.parametrize("act", [LoseRequest(), LoseResponse()], ids=["request", "answer"])


def on_our_ledger(
    test: Callable[[Open, Clients, DynamoLedger, Clock], Awaitable[None]],
) -> None:
    """With the worker's own clients: how often they ask is part of the promise."""

    async def main(given: Open) -> None:
        clock = Clock()
        async with open_clients(session=given.session, pollers=4, slots=8) as clients:
            await test(given, clients, dynamo_ledger(given, clock, clients.dynamodb), clock)

    on_aws(main)


def lose(given: Open, operation: str, act: Act, count: int | None = 1) -> None:
    given.stack.faults.set_rules([Rule(operation, act, count=count)])


@LOST
def test_a_claim_that_was_lost_is_made_once(act: Act) -> None:
    async def main(given: Open, _c: Clients, ledger: DynamoLedger, _clock: Clock) -> None:
        lose(given, "dynamodb:UpdateItem", act)
        with pytest.raises(Unavailable):
            await ledger.claim(asked())

        record = await claimed(ledger, asked())

        assert (record.fence, record.attempts, record.crashes) == (1, 1, 0)
        assert await stored(ledger) == record
        assert given.stack.faults.calls["dynamodb:PutItem"] == 0, "what stands is not written again"

    on_our_ledger(main)


@LOST
def test_an_ending_that_was_lost_is_written_once(act: Act) -> None:
    async def main(given: Open, _c: Clients, ledger: DynamoLedger, _clock: Clock) -> None:
        held = await claimed(ledger, asked())
        lose(given, "dynamodb:UpdateItem", act)
        with pytest.raises(Unavailable):
            await ledger.finish(held, ended(State.ANSWERED, result=b"{}"))

        record = await finished(ledger, held, ended(State.ANSWERED, result=b"{}"))

        assert record.state is State.ANSWERED
        assert await stored(ledger) == record

    on_our_ledger(main)


@LOST
def test_a_take_over_that_was_lost_is_made_once(act: Act) -> None:
    async def main(given: Open, _c: Clients, ledger: DynamoLedger, clock: Clock) -> None:
        await claimed(ledger, asked())
        clock.now += 2 * LEASE_S
        lose(given, "dynamodb:PutItem", act)
        ask = asked("n-2", owner="boot-2")
        with pytest.raises(Unavailable):
            await ledger.claim(ask)

        record = await claimed(ledger, ask)

        assert (record.fence, record.attempts, record.crashes) == (2, 2, 1)
        assert await stored(ledger) == record

    on_our_ledger(main)


def test_writes_that_arrive_twice_count_once() -> None:
    async def main(given: Open, _c: Clients, ledger: DynamoLedger, clock: Clock) -> None:
        given.stack.faults.set_rules([Rule("dynamodb:*Item", Duplicate())])

        held = await claimed(ledger, asked())
        assert (held.fence, held.attempts) == (1, 1)
        parked = await finished(ledger, held, ended(State.PARKED, parks=1))
        assert parked == await stored(ledger)
        again = await claimed(ledger, asked("n-2"))
        clock.now += 2 * LEASE_S
        taken = await claimed(ledger, asked("n-3", owner="boot-2"))
        final = await finished(ledger, taken, ended(State.DEAD, told=False))
        await ledger.mark_told(final)

        assert (again.fence, taken.fence, taken.crashes) == (2, 3, 1)
        record = await stored(ledger)
        assert record is not None
        assert (record.state, record.told) == (State.DEAD, True)

    on_our_ledger(main)


def test_of_many_claimers_one_wins_though_answers_are_lost() -> None:
    async def main(given: Open, _c: Clients, ledger: DynamoLedger, _clock: Clock) -> None:
        rule = Rule("dynamodb:UpdateItem", LoseResponse(), chance=0.4)
        given.stack.faults.set_rules([rule], seed=7)

        async def insist(n: int) -> Record | object:
            while True:
                try:
                    return await ledger.claim(asked(f"n-{n}", owner=f"boot-{n}"))
                except Unavailable:
                    continue

        answers = await asyncio.gather(*(insist(n) for n in range(16)))

        winners = [answer for answer in answers if isinstance(answer, Record)]
        assert len(winners) == 1
        assert winners[0].fence == 1
        assert sum(isinstance(answer, RunningElsewhere) for answer in answers) == 15
        assert given.stack.faults.acted[0] > 0

    on_our_ledger(main)


def test_a_throttled_write_is_tried_once_more() -> None:
    async def main(given: Open, _c: Clients, ledger: DynamoLedger, _clock: Clock) -> None:
        throttle = Refuse("ProvisionedThroughputExceededException")
        lose(given, "dynamodb:UpdateItem", throttle)
        await claimed(ledger, asked())

        lose(given, "dynamodb:UpdateItem", throttle, count=None)
        with pytest.raises(Unavailable, match="ProvisionedThroughputExceeded"):
            await ledger.claim(asked("n-2", job="another"))

        assert given.stack.faults.acted == [2]

    on_our_ledger(main)


def test_the_final_record_says_when_it_may_go() -> None:
    async def main(given: Open, _c: Clients, ledger: DynamoLedger, clock: Clock) -> None:
        async def raw() -> dict[str, object]:
            key = {"job": {"S": JOB}}
            answer = await given.dynamodb.get_item(TableName=given.resources.table, Key=key)
            item: dict[str, object] = answer["Item"]
            return item

        held = await claimed(ledger, asked())
        clock.now += 0.5
        assert "ttl" not in await raw()
        await finished(ledger, held, ended(State.DEAD, attempts=0))
        dead = await raw()
        await claimed(ledger, asked("n-2", doorbell="m-2"))

        assert dead["ttl"] == {"N": str(int(clock.now + 0.5) + 3600)}
        assert "attempts" not in dead, "what has its default value takes no room"
        assert "ttl" not in await raw(), "a redriven job must not vanish"

    on_our_ledger(main)


def test_a_poll_is_asked_once_and_a_delete_up_to_three_times() -> None:
    async def main(given: Open, clients: Clients, _l: DynamoLedger, _clock: Clock) -> None:
        faults = given.stack.faults
        queue = SqsQueue(clients.sqs_poll, clients.sqs_control, given.resources.jobs_url)
        await queue.send(Outgoing(body=b"{}"))

        lose(given, "sqs:ReceiveMessage", LoseRequest(), count=None)
        with pytest.raises(Unavailable):
            await queue.receive(1, wait_s=1, lease_s=5)
        assert faults.acted == [1]

        faults.clear()
        (delivery,) = await queue.receive(1, wait_s=5, lease_s=30)
        lose(given, "sqs:DeleteMessageBatch", Refuse("InternalError", 500), count=2)
        assert await queue.delete([delivery.receipt]) == ["done"]
        assert faults.acted == [2]

        lose(given, "sqs:DeleteMessageBatch", Refuse("InternalError", 500), count=None)
        with pytest.raises(Unavailable, match="queue: InternalError"):
            await queue.delete([delivery.receipt])
        assert faults.acted == [3]

    on_our_ledger(main)
