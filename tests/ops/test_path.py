"""The path of one job: what is known of it is told, and what is not is said."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.ops.dead_room import WHO, DeadRoom
from worker.core.dead import Pick
from worker.core.fault import Kind
from worker.core.ledger import Attempt, Record, State
from worker.core.trail import TRAIL_MAX, Bar, Leg
from worker.core.verdict import Mode, Transition
from worker.core.verdict import State as Circuit
from worker.ops.dead_pace import Pace
from worker.ops.dead_redrive import redrive
from worker.ops.desk import Misused
from worker.ops.path import Path, What, path
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.memory import Mishap
from worker.words.why import path as text

DOWN = Attempt(
    number=1, target="near", kind=Kind.UNAVAILABLE, code="503", http=503, fence=1, at=10.5
)


def within(main: Callable[[DeadRoom], Awaitable[None]], **how: Any) -> None:
    async def run() -> None:
        await main(DeadRoom(**how))

    in_virtual_time(run())


async def told(room: DeadRoom, record: Record) -> Path:
    room.ledger.records[record.job] = record
    return await path(room.desk, record.job)


def kept(state: State, **more: Any) -> Record:
    how: dict[str, Any] = {"fence": 1, "owner": "w1", "sent_at": 10.0, "route": "default"}
    return Record(job="a", state=state, **how | more)


def whats(found: Path) -> list[str]:
    return [step.what.value for step in found.steps]


def tripped(version: int, old: Circuit, new: Circuit, why: str) -> Transition:
    return Transition(
        name="near",
        version=version,
        stage=version,
        epoch=1,
        round=0,
        old=old,
        new=new,
        share=0.0,
        level=0,
        cooldown_s=30.0,
        mode=Mode.ENFORCE,
        why=why,
        by="w9",
        at=5.0,
    )


def test_an_answer_at_the_first_call_is_told_by_its_result() -> None:
    async def main(room: DeadRoom) -> None:
        row = {"n": 1, "target": "near", "kind": "ok", "code": "", "http": 200}
        row |= {"duration_ms": 700, "billed": "yes", "timer": "", "request_id": "r-1"}
        result = {"attempts": [row], "latency_ms": {"queue": 250}, "output": "SECRET"}
        record = kept(State.ANSWERED, finished_at=11.0, result=orjson.dumps(result), told=True)

        found = await told(room, record)

        assert whats(found) == ["sent", "claimed", "called", "answered"]
        assert [step.at for step in found.steps] == [10.0, 10.25, None, 11.0]
        assert found.steps[2].call is not None
        assert found.steps[2].call.request_id == "r-1"
        assert (found.next, found.unknown) == (None, ())
        assert "it is over" in text(found)
        assert "SECRET" not in text(found) + orjson.dumps(found).decode()

    within(main)


def test_a_time_just_before_a_second_is_not_told_a_second_early() -> None:
    async def main(room: DeadRoom) -> None:
        said = text(await told(room, kept(State.RUNNING, sent_at=10.9996)))

        assert "1970-01-01 00:00:11.000  sent" in said

    within(main)


def test_a_park_names_who_opened_the_circuit_and_what_the_job_waits_for() -> None:
    async def main(room: DeadRoom) -> None:
        store = room.circuit().store
        await store.note(tripped(3, Circuit.CLOSED, Circuit.OPEN, "12 of 20 calls failed"))
        await store.note(tripped(5, Circuit.OPEN, Circuit.HALF_OPEN, "rested"))
        await store.note(tripped(9, Circuit.RAMP, Circuit.OPEN, "later"))
        bars = (Bar(name="near", why="probing", version=7), Bar(name="far", why="open"))
        leg = Leg(
            fence=1, owner="w1", began_at=10.4, ended_at=11.0, ended="parked", why="circuit_open"
        )
        leg = replace(leg, until=40.0, bars=bars)
        record = kept(State.PARKED, parked_at=11.0, not_before=40.0, history=(DOWN,), trail=(leg,))
        await room.shut("near")

        found = await told(room, record)

        assert whats(found) == ["sent", "claimed", "called", "refused", "parked"]
        near, far = found.steps[3].bars
        assert (near.by, near.because, near.since_at) == ("w9", "12 of 20 calls failed", 5.0)
        assert (near.state, near.known, near.alone) == ("half_open", True, False)
        assert (far.alone, far.known) == (True, False)
        assert found.next is not None
        assert (found.next.queue, found.next.until) == ("parked", 40.0)
        assert [(one.name, one.held) for one in found.next.circuits] == [
            ("near", True),
            ("far", False),
        ]
        said = text(found)
        assert (
            "near: probing at version 7; by w9, 1970-01-01 00:00:05 UTC: 12 of 20 calls failed"
            in said
        )
        assert "waits for near: held open" in said

    within(main)


def test_an_order_of_an_operator_is_who_held_the_circuit_open() -> None:
    async def main(room: DeadRoom) -> None:
        await room.shut("near")
        leg = Leg(fence=1, ended="parked", bars=(Bar(name="near", why="held", version=99),))

        found = await told(room, kept(State.PARKED, trail=(leg,)))

        bar = next(step for step in found.steps if step.what is What.REFUSED).bars[0]
        assert (bar.by, bar.because, bar.known) == ("bob", "a test", True)

    within(main)


def test_a_history_that_does_not_go_back_so_far_is_said() -> None:
    async def main(room: DeadRoom) -> None:
        store = room.circuit().store
        await store.note(tripped(9, Circuit.CLOSED, Circuit.OPEN, "later"))
        leg = Leg(fence=1, ended="dead", bars=(Bar(name="near", why="open", version=7),))

        found = await told(room, kept(State.DEAD, trail=(leg,), finished_at=11.0))

        assert not found.steps[2].bars[0].known
        assert "its history does not go back so far" in text(found)

    within(main)


def test_a_record_from_before_there_were_trails_tells_what_it_has() -> None:
    async def main(room: DeadRoom) -> None:
        old = replace(DOWN, fence=0, at=0.0)
        record = kept(
            State.PARKED, fence=4, history=(old,), parked_at=11.0, reason="unavailable", parks=3
        )

        found = await told(room, record)

        assert whats(found) == ["sent", "called", "unknown", "claimed", "parked"]
        assert found.steps[-1].why == "unavailable"
        assert found.unknown == (
            "what became of claims 1 to 3: a worker from before there were trails wrote it",
        )

    within(main)


def test_a_trail_that_was_cut_says_which_claims_are_missing() -> None:
    async def main(room: DeadRoom) -> None:
        trail = tuple(Leg(fence=n, ended="parked") for n in (1, *range(4, TRAIL_MAX + 3)))

        found = await told(room, kept(State.RUNNING, fence=23, trail=trail, lease_until=1e12))

        assert whats(found)[:4] == ["sent", "claimed", "parked", "unknown"]
        assert found.unknown[0].startswith("what became of claims 2 to 3: a trail keeps")
        assert found.next is not None
        assert "w1 works on it" in found.next.what

    within(main)


def test_a_crash_takes_its_calls_along_and_that_is_said() -> None:
    async def main(room: DeadRoom) -> None:
        trail = (Leg(fence=1, owner="w1", ended_at=50.0),)
        record = kept(State.INTERRUPTED, fence=2, owner="w2", trail=trail, reason="drain")
        record = replace(
            record, trail=(*trail, Leg(fence=2, owner="w2", ended="interrupted", cut="near"))
        )

        found = await told(room, record)

        assert whats(found) == ["sent", "claimed", "lapsed", "claimed", "called", "interrupted"]
        assert found.unknown == ("what worker w1 called after claim 1, before its lease lapsed",)
        assert "near: cut short; what came of it is not known" in text(found)
        assert found.next is not None
        assert found.next.queue == "jobs"

    within(main)


def test_a_redrive_by_the_command_is_a_part_of_the_path() -> None:
    async def main(room: DeadRoom) -> None:
        await room.die("a")
        await asyncio.sleep(5)
        await redrive(room.desk, Pick(jobs=frozenset({"a"})), Pace(rate=100), **WHO)
        await asyncio.sleep(5)
        await room.work()

        found = await path(room.desk, "a")

        assert found.generation == 1
        assert whats(found) == [
            "sent",
            "claimed",
            "called",
            "dead",
            "noted",
            "sent",
            "claimed",
            "called",
            "answered",
        ]
        row = found.steps[4]
        assert row.note is not None
        assert (row.note.verb, row.note.author) == ("redrive", "alice")
        assert found.steps[0].at != found.steps[5].at
        assert "life 2: sent again" in text(found)

    within(main)


@pytest.mark.parametrize(
    "port", [("breakers", "history"), ("ledger", "notes"), ("payloads", "get")]
)
def test_what_cannot_be_read_is_said_and_hides_nothing_else(port: tuple[str, str]) -> None:
    async def main(room: DeadRoom) -> None:
        leg = Leg(fence=1, ended="dead", bars=(Bar(name="near", why="open", version=7),))
        record = kept(State.DEAD, trail=(leg,), history=(DOWN,), finished_at=12.0)
        room.mishaps[port] = [Mishap(when="before")]

        found = await told(room, replace(record, result_ref="s3://payloads/x"))

        assert whats(found) == ["sent", "claimed", "called", "refused", "dead"]
        assert any("mishap_before" in one for one in found.unknown)
        assert "not known:" in text(found)

    within(main)


def test_a_degraded_answer_leads_on_to_its_upgrade() -> None:
    async def main(room: DeadRoom) -> None:
        result = {"degraded": {"reason": "circuit_open", "handler": "cache", "will_upgrade": True}}
        leg = Leg(fence=1, ended="degraded", handler="cache", why="circuit_open")
        record = kept(
            State.DEGRADED, trail=(leg,), result=orjson.dumps(result), finished_at=11.0, told=True
        )

        before = await told(room, record)
        room.ledger.records["a+upgrade"] = replace(
            kept(State.ANSWERED, finished_at=90.0, told=True), job="a+upgrade"
        )
        after = await path(room.desk, "a")

        assert before.next is not None
        assert (before.next.queue, before.upgrade) == ("parked", None)
        assert "by cache, because: circuit_open" in text(before)
        assert after.upgrade is not None
        assert (after.upgrade.upgrades, after.upgrade.state) == ("a", State.ANSWERED)
        assert "a+upgrade  answered" in text(after)

    within(main)


def test_a_job_that_nobody_claimed_is_not_known() -> None:
    async def main(room: DeadRoom) -> None:
        with pytest.raises(Misused, match="Before its first claim a job is a message"):
            await path(room.desk, "nobody")
        room.ledger.unreadable.add("odd")
        with pytest.raises(Misused, match="a later version"):
            await path(room.desk, "odd")

    within(main)


def test_a_lease_that_lapsed_is_said_to_have() -> None:
    async def main(room: DeadRoom) -> None:
        found = await told(room, kept(State.RUNNING, lease_until=wall_clock() - 5))

        assert found.next is not None
        assert "has lapsed" in found.next.what
        assert whats(found) == ["sent", "claimed"]

    within(main)
