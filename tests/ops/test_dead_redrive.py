"""Redriving dead letters: once each, slowly, and not into an open circuit."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.ops.dead_room import WHO, DeadRoom, StaleIndex
from tests.ops.room import run
from worker.core.dead import Pick
from worker.core.ledger import State
from worker.ops.dead_desk import DeadLane
from worker.ops.dead_pace import Helm, Pace, Redriven
from worker.ops.dead_redrive import redrive
from worker.ops.desk import Misused
from worker.ports import Unavailable
from worker.sim.memory import MemoryQueue, Mishap

FAST = Pace(rate=500.0)
ALL = Pick()


async def redriven(room: DeadRoom, pick: Pick = ALL, pace: Pace = FAST, **how: Any) -> Redriven:
    return await redrive(room.desk, pick, pace, **{**WHO, **how})


async def until_idle(room: DeadRoom) -> None:
    while await room.work():
        continue


def test_a_group_is_sent_back_and_answered_in_its_next_life_and_the_rest_stays() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(25):
            await room.die(f"late-{n:02}", reason="expired")
            await room.die(f"bad-{n:02}", reason="rejected")

        told = await redriven(room, Pick(reason="expired"))
        sent = room.sent()
        await until_idle(room)

        assert (told.meant, told.sent, told.whole) == (25, 25, True)
        assert {m.attributes["iw-redrive"] for m in sent} == {"1"}
        assert not any("iw-sent-ms" in m.attributes for m in sent), "their time begins anew"
        assert {m.tenant for m in sent} == {"acme"}
        records = room.ledger.records
        assert {records[f"late-{n:02}"].state for n in range(25)} == {State.ANSWERED}
        assert {records[f"late-{n:02}"].generation for n in range(25)} == {1}
        assert room.left() == await room.listed() == sorted(f"bad-{n:02}" for n in range(25))
        assert room.dead.depth().visible == 25, "what was not meant is visible again"
        assert room.said() == [("redrive", "", "reason expired: 25 of 25 sent")]

    run(main())


def test_two_operators_at_once_run_each_job_once() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(40):
            await room.die(f"job-{n}")

        desks = [room.sit(), room.sit()]
        tolds = await asyncio.gather(*(redrive(desk, ALL, FAST, **WHO) for desk in desks))
        await until_idle(room)

        assert sum(told.sent for told in tolds) == 40
        assert {(r.state, r.generation) for r in room.ledger.records.values()} == {
            (State.ANSWERED, 1)
        }
        assert room.left() == await room.listed() == []

    run(main())


def test_a_second_message_for_the_same_life_runs_nothing_even_if_the_job_died_again() -> None:
    async def main() -> None:
        room = DeadRoom()
        letter = await room.die("job")
        copy = room.dead.peek()[0]
        await redriven(room)
        room.dead.put(copy.body, attributes=copy.attributes)  # a copy that was not deleted
        await room.work(lambda _: False)

        twice = {"iw-job": "job", "iw-redrive": str(letter.generation + 1)}
        room.jobs.put(copy.body, attributes=twice)
        await room.work()

        record = room.ledger.records["job"]
        assert (record.state, record.generation) == (State.DEAD, 1)

    run(main())


@pytest.mark.parametrize("operation", ["delete", "send"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_redrive_that_was_cut_short_is_finished_by_the_next_and_nothing_runs_twice(
    operation: str, when: Any
) -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(12):
            await room.die(f"job-{n:02}")
        port = "queue:dead" if operation == "delete" else "queue:jobs"
        room.mishaps[port, operation] = [Mishap(when=when)]

        first = await redriven(room)
        await until_idle(room)
        second = await redriven(room)
        await until_idle(room)
        third = await redriven(room)

        assert first.stopped == f"queue could not be asked (mishap_{when})"
        assert not first.whole
        assert second.whole
        assert third.meant == 0
        assert {(r.state, r.generation) for r in room.ledger.records.values()} == {
            (State.ANSWERED, 1)
        }
        assert room.left() == []

    run(main())


def test_an_operator_who_is_killed_leaves_messages_that_come_back() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(30):
            await room.die(f"job-{n:02}", reason="expired" if n % 2 else "rejected")
        room.mishaps["queue:jobs", "send"] = [Mishap(when="after", hangs=True)]
        room.mishaps["queue:dead", "extend"] = [Mishap(when="before")] * 3  # it never lets go
        killed = asyncio.create_task(redriven(room, Pick(reason="expired")))
        await asyncio.sleep(5)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        hidden = room.dead.depth().in_flight

        at_once = await redriven(room, Pick(reason="expired"))
        await asyncio.sleep(301)
        later = await redriven(room, Pick(reason="expired"))
        await until_idle(room)

        assert hidden > 0
        assert at_once.sent + at_once.missing_count + later.sent >= 15
        assert later.whole
        assert sum(r.state is State.ANSWERED for r in room.ledger.records.values()) == 15
        assert max(r.generation for r in room.ledger.records.values()) == 1
        assert len(room.left()) == 15

    run(main())


def test_nothing_is_sent_into_an_open_circuit_unless_it_is_forced() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        await room.shut("near")

        refused = await redriven(room)
        received = "queue:dead:receive" in room.calls
        forced = await redriven(room, pace=Pace(rate=500.0, force=True))

        assert refused.sent == 0
        assert refused.kept == {"route default: near is held open": 1}
        assert refused.stopped
        assert not received
        assert (forced.sent, forced.shut) == (1, {"default": "near is held open"})
        assert [row[0] for row in room.said()] == ["redrive"]

    run(main())


def test_an_open_circuit_keeps_the_letters_of_its_own_routes_only() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("near-job")
        await room.die("far-job", route="chat")
        await room.shut("far")

        told = await redriven(room)

        assert (told.sent, told.kept) == (1, {"route chat: far is held open": 1})
        assert await room.listed() == ["far-job"]

    run(main())


def test_a_circuit_that_opens_meanwhile_stops_the_redrive() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(40):
            await room.die(f"job-{n:02}")
        under_way = asyncio.create_task(redriven(room, pace=Pace(rate=2.0)))
        await asyncio.sleep(5)
        await room.shut("near")
        told = await under_way

        assert told.stopped == "route default: near is held open"
        assert 5 <= told.sent <= 20
        assert len(room.left()) == room.dead.depth().visible == 40 - told.sent

    run(main())


def test_without_a_shared_circuit_nothing_holds_a_redrive_back() -> None:
    async def main() -> None:
        room = DeadRoom(shared=False)
        await room.die("job")

        assert (await redriven(room)).sent == 1

    run(main())


def test_what_would_surely_die_again_is_kept_and_told_why() -> None:
    async def main() -> None:
        room = DeadRoom()
        bodies = {
            "typo": {"id": "typo", "promt": "Why?"},
            "lost": {"id": "lost", "prompt": "Why?", "route": "nowhere"},
            "mute": {"id": "mute", "prompt": "Why?", "reply_to": "nobody"},
            "told": {"id": "told", "prompt": "Why?", "task_token": "token-1"},
            "late": {"id": "late", "prompt": "Why?", "deadline_at": 1.0},
            "good": {"id": "good", "prompt": "Why?"},
        }
        for job, body in bodies.items():
            await room.die(job, orjson.dumps(body))
        await room.die("m-other", orjson.dumps(bodies["good"]), reason="id_conflict")

        told = await redriven(room)
        conflict = await redriven(room, Pick(reason="id_conflict"), Pace(force=True))
        forced = await redriven(room, Pick(jobs=frozenset({"lost"})), Pace(force=True))

        assert told.sent == 1
        assert told.kept == {
            "would die again: unknown_field": 1,
            "would die again: unknown_route": 1,
            "would die again: unknown_reply_to": 1,
            "would die again: task_tokens_off": 1,
            "would die again: expired": 1,
            "would die again: id_conflict": 1,
        }
        assert not told.whole
        assert conflict.sent == 0, "it would run as another job, or not at all"
        assert forced.sent == 1

    run(main())


def test_a_dry_run_touches_nothing() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")

        told = await redriven(room, dry=True)

        assert (told.dry, told.meant, told.sent) == (True, 1, 0)
        assert {call.partition(":")[0] for call in room.calls} == {"ledger", "breakers"}
        assert not room.index.log
        assert room.left() == await room.listed() == ["job"]

    run(main())


@pytest.mark.parametrize("shared", [True, False])
def test_a_letter_goes_back_to_the_lane_of_its_route(shared: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        room = DeadRoom()
        chats, own = MemoryQueue(name="chat-jobs"), MemoryQueue(name="chat-dead")
        (lane,) = room.desk.lanes
        dead = lane.dead if shared else own.seen_by()
        lanes = (
            replace(lane, routes=frozenset({"default"})),
            DeadLane(name="chat", jobs=chats.seen_by(), dead=dead, routes=frozenset({"chat"})),
        )
        await room.die("plain")
        first = room.dead
        room.dead = first if shared else own
        await room.die("chat", b'{"id": "chat", "prompt": "Why?", "route": "chat"}', route="chat")

        told = await redrive(replace(room.desk, lanes=lanes), ALL, FAST, **WHO)

        assert told.whole
        assert [d.job for d in room.sent()] == ["plain"]
        assert [d.job for d in chats.peek()] == ["chat"]
        assert [*first.peek(), *own.peek()] == []

    run(main())


def test_letters_go_out_at_the_rate_that_was_asked_for() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(20):
            await room.die(f"job-{n}")
        loop = asyncio.get_running_loop()
        began = loop.time()

        await redriven(room, pace=Pace(rate=2.0))

        sent = sorted(delivery.sent_at for delivery in room.sent())
        assert 9.4 <= sent[-1] - sent[0] <= 9.6
        assert loop.time() - began < 13

    run(main())


def test_a_letter_without_a_message_is_told_as_missing() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("gone")
        await room.dead.seen_by().receive(10, wait_s=0, lease_s=900)
        await room.die("here")

        told = await redriven(room)

        assert (told.sent, told.missing, told.missing_count) == (1, ("gone",), 1)
        assert await room.listed() == ["gone"]

    run(main())


def test_a_canary_goes_on_when_its_stages_were_answered() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(30):
            await room.die(f"job-{n:02}")
        steps: list[str] = []
        waiting: list[int] = []

        async def worker() -> None:
            while True:
                await asyncio.sleep(3)
                waiting.append(len(room.sent()))
                await room.work()

        works = asyncio.create_task(worker())
        told = await redriven(room, pace=Pace(rate=500.0, stages=(1, 10)), tell=steps.append)
        works.cancel()
        await until_idle(room)

        assert (told.sent, told.answered, told.died, told.whole) == (30, 11, 0, True)
        assert waiting[:2] == [1, 10], "a stage is out before the next one goes"
        assert steps[1] == "stage of 1: 1 answered, 0 died again"
        assert room.left() == []

    run(main())


def test_a_canary_stops_when_its_stage_dies_again_and_the_rest_stays_where_it_is() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(30):
            await room.die(f"job-{n:02}")

        async def worker() -> None:
            while True:
                await asyncio.sleep(1)
                await room.work(lambda _: False)

        works = asyncio.create_task(worker())
        told = await redriven(room, pace=Pace(rate=500.0, stages=(1, 10)))
        works.cancel()

        assert (told.sent, told.answered, told.died) == (1, 0, 1)
        assert told.stopped == "1 of the stage's 1 jobs died again"
        assert len(room.left()) == len(await room.listed()) == 30
        assert sorted(r.generation for r in room.ledger.records.values())[-2:] == [0, 1]

    run(main())


def test_a_canary_watches_a_job_that_died_unread_under_the_id_that_it_runs_by() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("m-1", orjson.dumps({"id": "mine", "prompt": "Why?"}), reason="schema")

        async def worker() -> None:
            while not await room.work():
                await asyncio.sleep(1)

        works = asyncio.create_task(worker())
        told = await redriven(room, pace=Pace(stages=(1,)))
        await works

        assert (told.answered, told.stopped) == (1, "")
        assert room.ledger.records["mine"].state is State.ANSWERED

    run(main())


def test_a_copy_of_an_earlier_life_does_not_stand_in_for_the_letter_that_was_meant() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        copy = room.dead.peek()[0]
        await redriven(room)
        await room.work(lambda _: False)
        await room.dead.seen_by().receive(10, wait_s=0, lease_s=900)  # somebody holds the letter
        room.dead.put(copy.body, attributes=copy.attributes)

        told = await redriven(room)

        assert (told.sent, told.outdated, told.missing) == (0, 1, ("job",))
        assert not told.whole

    run(main())


def test_a_job_that_was_redriven_since_it_was_listed_is_not_missed() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        copy = room.dead.peek()[0]
        stale = await room.desk.index.letters(since=0.0, until=float("inf"))
        await redriven(room)
        await room.work()
        room.dead.put(copy.body, attributes=copy.attributes)

        desk = replace(room.desk, index=StaleIndex(room.desk.index, stale))
        told = await redrive(desk, ALL, FAST, **WHO)

        assert (told.outdated, told.missing_count) == (1, 0)
        assert told.kept == {"redriven by somebody else meanwhile": 1}

    run(main())


def test_a_canary_whose_jobs_do_not_end_stops_and_its_messages_stay_in_hand_meanwhile() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(5):
            await room.die(f"job-{n}")
        pace = Pace(rate=500.0, stages=(2,), stage_s=900.0)

        under_way = asyncio.create_task(redriven(room, pace=pace))
        await asyncio.sleep(600)
        held = room.dead.depth()
        told = await under_way

        assert (held.visible, held.in_flight) == (0, 3)
        assert told.stopped == "2 jobs of the stage had not ended in 900 s"
        assert room.dead.depth().visible == 3

    run(main())


@pytest.mark.parametrize(
    "pace", [{"rate": 0.0}, {"rate": 501.0}, {"stages": (0,)}, {"stop_share": 1.0}]
)
def test_a_pace_out_of_range_is_refused(pace: dict[str, Any]) -> None:
    with pytest.raises(Misused):
        Pace(**pace)


def test_a_reason_is_needed_before_anything_is_sent() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")

        with pytest.raises(Misused, match="reason"):
            await redriven(room, why="")

        assert room.left() == ["job"]

    run(main())


def test_a_log_that_takes_no_last_row_does_not_hide_what_was_done() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        room.mishaps["ledger", "note"] = [None, Mishap(when="before")]

        told = await redriven(room)

        assert told.whole
        assert room.said() == [("redrive", "", "all: begun")]

    run(main())


def test_an_index_that_cannot_be_asked_is_told() -> None:
    async def main() -> None:
        room = DeadRoom()
        room.mishaps["ledger", "letters"] = [Mishap(when="before")]

        with pytest.raises(Unavailable):
            await redriven(room)

    run(main())


def test_a_job_that_died_again_since_it_was_listed_is_left_for_another_look() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        stale = await room.desk.index.letters(since=0.0, until=float("inf"))
        await redriven(room)
        await room.work(lambda _: False)

        desk = replace(room.desk, index=StaleIndex(room.desk.index, stale))
        told = await redrive(desk, ALL, FAST, **WHO)

        assert (told.sent, told.kept) == (0, {"redriven by somebody else meanwhile": 1})
        assert room.ledger.records["job"].generation == 1
        assert await room.listed() == ["job"]

    run(main())


def test_whoever_is_at_the_helm_sees_how_many_were_sent_and_stops_it() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(30):
            await room.die(f"job-{n:02}")
        helm = Helm()
        going = asyncio.create_task(redriven(room, pace=Pace(rate=1.0), helm=helm))
        while helm.sent < 3:
            await asyncio.sleep(1)
        helm.stop = "alice stopped it"
        sent = helm.sent

        told = await going

        assert (told.sent, told.stopped, told.missing_count) == (sent, "alice stopped it", 0)
        assert len(room.left()) == 30 - sent
        assert room.dead.depth().in_flight == 0, "what was held is visible again"
        assert room.said()[-1][2].endswith(f"{sent} of 30 sent, stopped: alice stopped it")

    run(main())


def test_a_stop_is_heeded_while_a_slow_turn_or_an_answer_is_awaited() -> None:
    async def main() -> None:
        for pace in (Pace(rate=0.1), Pace(rate=500.0, stages=(1, 10))):
            room = DeadRoom()
            for n in range(5):
                await room.die(f"job-{n}")
            helm = Helm()
            loop = asyncio.get_running_loop()
            going = asyncio.create_task(redriven(room, pace=pace, helm=helm))
            while not helm.sent:
                await asyncio.sleep(0.1)
            helm.stop, asked_at = "enough", loop.time()

            told = await going

            assert (told.sent, told.stopped) == (1, "enough")
            assert loop.time() - asked_at < 3.0

    run(main())
