"""No message is deleted that a life may need: of whatever is in doubt, the message stays."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.ops.dead_room import WHO, DeadRoom
from tests.ops.room import run
from worker.core.dead import Pick
from worker.core.envelope import parse
from worker.core.job import Job, Limits
from worker.core.ledger import Claim, Ending, Record, Refusal, State
from worker.ops.dead_bodies import dead_record
from worker.ops.dead_discard import discard
from worker.ops.dead_edit import edit
from worker.ops.dead_import import adopt
from worker.ops.dead_pace import Pace
from worker.ops.dead_redrive import redrive
from worker.ops.desk import Misused
from worker.ports import Delivery, Fate
from worker.sim.clock import wall_clock
from worker.sim.memory import Mishap

ALL = Pick()
FAST = Pace(rate=500.0)


def body_of(job: str, **fields: Any) -> bytes:
    return orjson.dumps({"id": job, "prompt": "Why?", **fields})


def only(job: str) -> Pick:
    return Pick(jobs=frozenset({job}))


async def claimed(room: DeadRoom, delivery: Delivery, job: str) -> Record:
    """A worker takes a message of a job."""
    parsed = parse(delivery.body, Limits())
    held = await room.ledger.seen_by().claim(
        Claim(
            job=job,
            owner="worker",
            nonce=uuid.uuid4().hex,
            doorbell=delivery.message_id,
            lease_s=30.0,
            digest=parsed.digest if isinstance(parsed, Job) else "",
            sent_at=wall_clock(),
            redrive=delivery.redrive,
        )
    )
    assert isinstance(held, Record)
    return held


async def ended(room: DeadRoom, held: Record, state: State, *, told: bool = True) -> None:
    """Its run ends."""
    ending = Ending(
        state=state, attempts=1, parks=0, interruptions=0, crashes=0, result=b"{}", told=told
    )
    assert isinstance(await room.ledger.seen_by().finish(held, ending), Record)


def bodies(room: DeadRoom) -> list[bytes]:
    return sorted(delivery.body for delivery in room.dead.peek())


@pytest.mark.parametrize("stages", [(), (20,)])
def test_a_job_that_dies_again_during_a_redrive_keeps_its_new_letter(
    stages: tuple[int, ...],
) -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(40):
            await room.die(f"job-{n:02}")

        async def worker() -> None:
            while True:
                await room.work(lambda job: job != "job-03")
                await asyncio.sleep(0.05)

        works = asyncio.create_task(worker())
        told = await redrive(room.desk, ALL, Pace(rate=20.0, stages=stages), **WHO)
        await asyncio.sleep(5)
        works.cancel()

        assert told.sent == 40
        assert room.ledger.records["job-03"].state is State.DEAD
        assert room.left() == await room.listed() == ["job-03"]

    run(main())


def test_a_second_copy_of_the_letter_that_was_sent_is_deleted() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        room.bury(room.ledger.records["job"], body_of("job"))

        told = await redrive(room.desk, ALL, FAST, **WHO)

        assert (told.sent, told.left, room.left()) == (1, 0, [])
        assert len(room.sent()) == 1

    run(main())


async def moved_back(room: DeadRoom, state: State) -> None:
    """AWS redrives job x, its run ends without an end of the job, and SQS moves it back."""
    await room.die("x")
    queue = room.dead.seen_by()
    (letter,) = await queue.receive(10, wait_s=0.0, lease_s=1.0)
    await queue.delete([letter.receipt])
    room.jobs.put(letter.body, attributes=letter.attributes)
    room.jobs.dead, room.jobs.receives_max = room.dead, 1
    (doorbell,) = await room.jobs.seen_by().receive(1, wait_s=0.0, lease_s=1.0)
    held = await claimed(room, doorbell, "x")
    if state is not State.RUNNING:
        await ended(room, held, state)
    await asyncio.sleep(2)
    assert await room.jobs.seen_by().receive(1, wait_s=0.0, lease_s=1.0) == []
    assert room.left() == ["x"]


@pytest.mark.parametrize("state", [State.INTERRUPTED, State.PARKED, State.RUNNING])
def test_the_only_message_of_a_life_under_way_stays_although_it_tells_of_the_last_one(
    state: State,
) -> None:
    async def main() -> None:
        room = DeadRoom()
        await moved_back(room, state)
        record = room.ledger.records["x"]

        redriven = await redrive(room.desk, ALL, FAST, **WHO)
        await room.die("other")
        redriven = await redrive(room.desk, only("other"), FAST, **WHO)
        await room.die("more")
        discarded = await discard(room.desk, ALL, **WHO)
        imported = await adopt(room.desk, **WHO)

        assert (redriven.sent, redriven.outdated, discarded.gone) == (1, 0, 1)
        assert imported.alive == imported.seen == 1
        assert room.ledger.records["x"] == record
        assert room.left() == ["x"]

    run(main())


def test_a_message_that_aws_redrove_is_the_letter_of_the_life_that_it_rang_for() -> None:
    async def main() -> None:
        room = DeadRoom()
        await moved_back(room, State.DEAD)

        told = await redrive(room.desk, ALL, FAST, **WHO)
        await room.work()

        record = room.ledger.records["x"]
        assert (told.sent, record.state, record.generation) == (1, State.ANSWERED, 2)

    run(main())


def test_a_copy_of_an_earlier_life_stays_until_the_present_one_was_told() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("x")
        copy = room.dead.peek()[0]
        await redrive(room.desk, ALL, FAST, **WHO)
        (doorbell,) = await room.jobs.seen_by().receive(1, wait_s=0.0, lease_s=30.0)
        held = await claimed(room, doorbell, "x")
        await ended(room, held, State.DEAD, told=False)
        room.dead.put(copy.body, attributes=copy.attributes)

        early = await redrive(room.desk, ALL, FAST, **WHO)
        still = room.left()
        await room.ledger.seen_by().mark_told(room.ledger.records["x"])
        late = await redrive(room.desk, ALL, FAST, **WHO)

        assert (early.outdated, still) == (0, ["x"])
        assert (late.outdated, room.left()) == (1, [])

    run(main())


def test_a_stranger_that_says_the_id_of_a_dead_job_is_not_its_letter() -> None:
    async def main() -> None:
        room = DeadRoom()
        stranger = room.dead.put(body_of("x", prompt="another"))
        await room.die("x", body_of("x"))

        told = await redrive(room.desk, only("x"), FAST, **WHO)

        assert told.sent == 1
        assert [message.body for message in room.sent()] == [body_of("x")]
        assert [message.message_id for message in room.dead.peek()] == [stranger]

    run(main())


@pytest.mark.parametrize("state", [State.DEAD, State.ANSWERED])
@pytest.mark.parametrize("force", [False, True])
def test_a_body_that_died_unread_is_not_sent_for_another_job_of_its_id(
    state: State,
    force: bool,  # noqa: FBT001
) -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("x")
        await redrive(room.desk, ALL, FAST, **WHO)
        await room.work(lambda _: state is State.ANSWERED)
        readable = body_of("x", prompt="Now it can be read.")
        await room.die("m-1", readable, reason="too_large")
        await room.die("m-2", body_of("x", promt="Why?"), reason="unknown_field")
        there = bodies(room)

        sent = await redrive(room.desk, only("m-1"), Pace(rate=500.0, force=force), **WHO)
        mended = await edit(
            room.desk, "m-2", put={"prompt": "Mended."}, drop=["promt"], force=force, **WHO
        )
        apart = await edit(room.desk, "m-2", put={"prompt": "Mended."}, drop=["promt", "id"], **WHO)

        assert (sent.sent, sent.kept) == (0, {"would die again: id_conflict": 1})
        assert (mended.sent, mended.wrong) == (False, "would die again: id_conflict")
        assert apart.sent, "without an id it runs under its MessageId"
        assert len(bodies(room)) == len(there) - 1
        assert [message.attributes["iw-job"] for message in room.sent()] == ["m-2"]

    run(main())


def test_a_body_that_died_unread_begins_its_first_life_under_its_own_id() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("m-1", body_of("x"), reason="too_large")

        await redrive(room.desk, ALL, FAST, **WHO)
        (message,) = room.sent()
        await room.work()

        assert message.attributes == {"iw-job": "x"}
        assert room.ledger.records["x"].state is State.ANSWERED

    run(main())


def test_an_edit_of_a_job_that_moved_on_meanwhile_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("x")

        async def before(*asked: Any) -> Record:
            record = await dead_record(*asked)
            await redrive(room.sit(), ALL, FAST, **WHO)
            await room.work(lambda _: False)
            return record

        monkeypatch.setattr("worker.ops.dead_edit.dead_record", before)
        told = await edit(room.desk, "x", put={"prompt": "Mended."}, **WHO)

        assert (told.sent, told.wrong) == (False, "redriven by somebody else meanwhile")
        assert room.sent() == []
        assert room.left() == await room.listed() == ["x"]

    run(main())


def test_a_letter_of_a_life_that_the_record_does_not_know_is_not_sent() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("x")
        copy = room.dead.peek()[0]
        story = orjson.dumps({"generation": 7}).decode()
        room.dead.put(copy.body, attributes={**copy.attributes, "iw-dead": story})

        told = await redrive(room.desk, ALL, FAST, **WHO)
        imported = await adopt(room.desk, **WHO)

        assert (told.sent, imported.alive) == (1, 1)
        assert [message.attributes["iw-dead"] for message in room.dead.peek()] == [story]

    run(main())


# --- importing -------------------------------------------------------------------------


@pytest.mark.parametrize("when", [None, "before", "after"])
def test_an_answer_that_nobody_was_told_goes_back_to_a_worker_who_tells_it(when: Any) -> None:
    async def main() -> None:
        room = DeadRoom()
        room.dead.put(body_of("x"))
        held = await claimed(room, room.dead.peek()[0], "x")
        await ended(room, held, State.ANSWERED, told=False)
        dry = await adopt(room.desk, dry=True, **WHO)
        assert room.sent() == []
        if when:
            room.mishaps["queue:jobs", "send"] = [Mishap(when=when)]
            assert (await adopt(room.desk, **WHO)).stopped
            assert len(room.dead.peek()) == 1, "what may not have been sent is not deleted"

        told = await adopt(room.desk, **WHO)

        message = room.sent()[-1]
        sent_ms = str(round(room.ledger.records["x"].sent_at * 1000))
        assert message.body == body_of("x")
        assert message.attributes == {"iw-job": "x", "iw-sent-ms": sent_ms}
        assert (dry.untold, told.untold, told.finished) == (1, 1, 0)
        assert room.dead.peek() == []

    run(main())


def test_a_message_whose_task_may_still_wait_goes_back_to_a_worker_who_answers_it() -> None:
    """The record says told: of its letters, and not of the token of this very message."""

    async def main() -> None:
        room = DeadRoom()
        body = body_of("x", task_token="token-1")
        room.dead.put(body)
        held = await claimed(room, room.dead.peek()[0], "x")
        await ended(room, held, State.ANSWERED, told=True)
        dry = await adopt(room.desk, dry=True, **WHO)

        told = await adopt(room.desk, **WHO)

        assert [message.body for message in room.sent()] == [body]
        assert (dry.untold, told.untold, told.finished) == (1, 1, 0)
        assert room.dead.peek() == []

    run(main())


def test_an_import_leaves_a_life_under_way_alone_even_by_another_message() -> None:
    async def main() -> None:
        room = DeadRoom()
        for state in (State.PARKED, State.INTERRUPTED, State.RUNNING):
            room.jobs.put(body_of(state.value))
        for delivery in room.jobs.peek():
            job = str(orjson.loads(delivery.body)["id"])
            held = await claimed(room, delivery, job)
            if job != State.RUNNING:
                await ended(room, held, State(job))
            room.dead.put(delivery.body)
        await asyncio.sleep(60)
        before, there = dict(room.ledger.records), bodies(room)

        dry = await adopt(room.desk, dry=True, **WHO)
        told = await adopt(room.desk, **WHO)

        assert (dry.alive, told.alive, told.seen) == (3, 3, 3)
        assert room.ledger.records == before
        assert bodies(room) == there

    run(main())


class Late:
    """A ledger whose job x is claimed and ended by a worker between a load and a claim."""

    def __init__(self, room: DeadRoom, state: State, body: bytes) -> None:
        self._room, self._state, self._body = room, state, body
        self._ledger = room.desk.ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def claim(self, ask: Claim) -> Record | Refusal:
        if "x" not in self._room.ledger.records:
            doorbell = replace(self._room.dead.peek()[0], message_id="rang", body=self._body)
            held = await claimed(self._room, doorbell, "x")
            await ended(self._room, held, self._state)
        return await self._ledger.claim(ask)


def test_a_job_that_a_worker_took_since_import_looked_is_given_back() -> None:
    async def main() -> None:
        room = DeadRoom()
        room.dead.put(body_of("x"))

        late = Late(room, State.PARKED, body_of("x"))
        told = await adopt(replace(room.desk, ledger=late), **WHO)

        record = room.ledger.records["x"]
        assert (told.alive, record.state, record.attempts) == (1, State.INTERRUPTED, 1)
        assert len(room.dead.peek()) == 1

    run(main())


@pytest.mark.parametrize(
    ("asked", "adopted"), [("Why?", {}), ("another", {"id_conflict": 1})], ids=["same", "other"]
)
def test_a_job_that_died_since_import_looked_is_not_woken(
    asked: str, adopted: dict[str, int]
) -> None:
    async def main() -> None:
        room = DeadRoom()
        room.dead.put(body_of("x", prompt=asked))

        late = Late(room, State.DEAD, body_of("x"))
        told = await adopt(replace(room.desk, ledger=late), **WHO)

        record = room.ledger.records["x"]
        assert (record.state, record.generation, told.adopted) == (State.DEAD, 0, adopted)
        assert len(room.dead.peek()) == 1

    run(main())


def test_an_import_that_died_between_its_claim_and_its_ending_is_finished_by_the_next() -> None:
    async def main() -> None:
        room = DeadRoom()
        room.dead.put(body_of("x"))
        room.mishaps["ledger", "finish"] = [Mishap(when="before")]

        first = await adopt(room.desk, **WHO)
        early = await adopt(room.desk, **WHO)
        await asyncio.sleep(70)
        late = await adopt(room.desk, **WHO)

        assert (bool(first.stopped), early.alive, late.adopted) == (True, 1, {"foreign": 1})
        assert await room.listed() == ["x"]

    run(main())


def test_a_stranger_beside_a_dead_job_is_a_job_of_its_own_and_stays_one() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("x", body_of("x"))
        stranger = room.dead.put(body_of("x", prompt="another"))

        dry = await adopt(room.desk, dry=True, **WHO)
        first = await adopt(room.desk, **WHO)
        again = await adopt(room.desk, **WHO)

        assert dry.adopted == first.adopted == {"id_conflict": 1}
        assert (first.listed, again.listed, again.seen) == (1, 2, 2)
        assert room.ledger.records["x"].generation == 0
        assert await room.listed() == sorted(["x", stranger])
        assert len(room.dead.peek()) == 2
        assert (await discard(room.desk, only(stranger), **WHO)).gone == 1
        assert room.left() == ["x"]

    run(main())


# --- leases ----------------------------------------------------------------------------


def test_a_canary_of_many_short_stages_keeps_its_messages_in_hand() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(10):
            await room.die(f"job-{n}")

        async def worker() -> None:
            while True:
                await asyncio.sleep(50)  # each stage is shorter than what is worth a renewal
                await room.work()

        works = asyncio.create_task(worker())
        under_way = asyncio.create_task(
            redrive(room.desk, ALL, Pace(rate=20.0, stages=(1,) * 10), **WHO)
        )
        await asyncio.sleep(320)
        other = await discard(room.sit(), ALL, **WHO)
        told = await under_way
        works.cancel()

        assert (other.gone, told.sent, told.answered) == (0, 10, 10)

    run(main())


def test_a_message_that_could_not_be_kept_in_hand_is_not_sent() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(3):
            await room.die(f"job-{n}")
        queue = room.dead.seen_by()

        async def taken_over() -> None:
            await asyncio.sleep(310)
            await queue.receive(10, wait_s=0.0, lease_s=900.0)
            await room.work()

        lane = room.desk.lanes[0]

        class Deaf:
            """A queue that renews no lease."""

            def __getattr__(self, name: str) -> Any:
                return getattr(lane.dead, name)

            async def extend(self, leases: Sequence[tuple[str, float]]) -> list[Fate]:
                return ["gone" for _ in leases]

        desk = replace(room.desk, lanes=(replace(lane, dead=Deaf()),))
        over = asyncio.create_task(taken_over())
        pace = Pace(rate=500.0, stages=(1,), stage_s=900.0)
        told = await redrive(desk, ALL, pace, **WHO)
        await over

        assert (told.sent, told.answered) == (1, 1)
        assert told.kept == {"held for too long: others may have them in hand": 2}
        assert len(room.left()) == 2

    run(main())


def test_a_message_that_is_too_deep_to_be_written_is_only_changed_as_a_whole() -> None:
    async def main() -> None:
        room = DeadRoom()
        deep = b'{"prompt": %b%b}' % (b"[" * 900, b"]" * 900)
        await room.die("deep", deep, reason="too_deep")

        with pytest.raises(Misused, match="no JSON object \\(too_deep\\), so give the whole one"):
            await edit(room.desk, "deep", put={"route": "chat"}, **WHO)
        told = await edit(room.desk, "deep", put={}, body=body_of("deep"), **WHO)

        assert told.sent

    run(main())
