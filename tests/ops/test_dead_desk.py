"""Looking at dead letters, reading one, mending one, throwing some away, adopting strangers."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.ops.dead_room import WHO, DeadRoom, StaleIndex
from tests.ops.room import run
from worker.core.dead import Pick, Remedy
from worker.core.envelope import parse
from worker.core.job import Job, Limits
from worker.core.ledger import Claim, Record, State
from worker.core.strict_json import Malformed
from worker.ops import dead_bodies, dead_desk, dead_discard, dead_edit, dead_import
from worker.ops.dead_desk import DeadLane
from worker.ops.dead_pace import Pace
from worker.ops.dead_redrive import redrive
from worker.ops.desk import Misused
from worker.sim.clock import wall_clock
from worker.sim.memory import MemoryQueue, Mishap

ALL = Pick()
DAY_S = 86_400.0


def body_of(job: str, **fields: Any) -> bytes:
    return orjson.dumps({"id": job, "prompt": "Why?", **fields})


# --- looking -------------------------------------------------------------------------


def test_groups_say_what_a_sample_died_of_without_what_varies() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(3):
            await room.die(f"late-{n}", reason="expired", tenant=f"t-{n}")
        await room.die("bad", reason="rejected", route="chat")

        found = await dead_desk.groups(room.desk, ALL)

        assert [(g.reason, g.count, len(g.tenants)) for g in found.groups] == [
            ("expired", 3, 3),
            ("rejected", 1, 1),
        ]
        assert {group.detail for group in found.groups} == {"the model is <> well N"}
        assert [g.remedy for g in found.groups] == [Remedy.TIME, Remedy.MESSAGE]
        assert not any("queue" in call for call in room.calls), "nothing is received"

    run(main())


def test_more_groups_than_one_read_takes_are_all_told() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(130):
            await room.die(f"job-{n}", reason=f"r{n}")

        found = await dead_desk.groups(room.desk, ALL)

        assert (found.letters, len(found.groups)) == (130, 130)
        assert all(group.detail for group in found.groups)

    run(main())


def test_a_list_has_what_was_picked() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("mine", tenant="zeta")
        await room.die("other")

        found = await dead_desk.listing(room.desk, Pick(tenant="zeta"))

        assert [letter.job for letter in found.letters] == ["mine"]

    run(main())


def test_a_job_is_shown_with_its_calls_and_what_was_done_to_it() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        await room.die("other")
        await dead_bodies.show_body(room.desk, "other", **WHO)
        await dead_bodies.show_body(room.desk, "job", author="bob")

        shown = await dead_desk.show(room.desk, "job")

        assert (shown.state, shown.generation, shown.body) == ("dead", 0, None)
        assert shown.detail == "the model is 'not' well 17"
        assert [row["code"] for row in shown.history] == ["503"]
        assert [(row.author, row.verb) for row in shown.notes] == [("bob", "show")]
        with pytest.raises(Misused, match="no job 'nobody'"):
            await dead_desk.show(room.desk, "nobody")

    run(main())


# --- reading -------------------------------------------------------------------------


def test_a_body_is_shown_after_the_log_has_its_row_and_stays_where_it_is() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(15):
            await room.die(f"job-{n}")

        shown = await dead_bodies.show_body(room.desk, "job-14", **WHO)

        assert shown.body == body_of("job-14").decode()
        assert shown.found
        assert room.said() == [("show", "job-14", "its body")]
        assert room.dead.depth().visible == 15
        assert room.calls.index("ledger:note") < room.calls.index("queue:dead:receive")

    run(main())


def test_no_body_is_shown_where_the_log_cannot_be_written() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        room.mishaps["ledger", "note"] = [Mishap(when="before")]

        with pytest.raises(Exception, match="mishap"):
            await dead_bodies.show_body(room.desk, "job", **WHO)

        assert "queue:dead:receive" not in room.calls

    run(main())


def test_a_body_that_is_in_nobodys_reach_is_told() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        await room.dead.seen_by().receive(10, wait_s=0, lease_s=300)

        shown = await dead_bodies.show_body(room.desk, "job", **WHO)

        assert (shown.body, shown.found) == (None, False)

    run(main())


@pytest.mark.parametrize("bodies", [False, True])
def test_an_export_has_every_letter_once_and_bodies_only_if_asked_for(bodies: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        room = DeadRoom()
        for n in range(12):
            await room.die(f"job-{n:02}")
        await room.die("other", reason="expired")
        (held,) = [d for d in room.dead.peek() if d.job == "job-05"]
        await room.dead.seen_by().receive(6, wait_s=0, lease_s=9000)

        pick = Pick(reason="attempts_exhausted")
        rows = [r async for r in dead_bodies.export(room.desk, pick, bodies=bodies, **WHO)]

        assert held.job == "job-05"
        assert sorted(row["job"] for row in rows) == [f"job-{n:02}" for n in range(12)]
        assert {row["detail"] for row in rows} == {"the model is 'not' well 17"}
        texts = {row["job"]: row.get("body") for row in rows}
        assert texts["job-05"] is None
        assert texts["job-11"] == (body_of("job-11").decode() if bodies else None)
        assert bool(room.index.log) == bodies
        orjson.dumps(rows)

    run(main())


# --- editing -------------------------------------------------------------------------


async def edited(room: DeadRoom, job: str, put: Any = None, **how: Any) -> dead_edit.Edited:
    return await dead_edit.edit(room.desk, job, put=put or {}, **{**WHO, **how})


def test_an_edited_job_is_answered_and_its_original_is_in_the_log() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job", reason="rejected")
        await room.die("other", reason="rejected")

        told = await edited(room, "job", {"inference.maxTokens": 512, "prompt": "Why not?"})
        (taken,) = await room.work()

        assert (told.sent, told.changed) == (True, ("prompt", "inference"))
        assert orjson.loads(taken.body) == {
            "id": "job",
            "prompt": "Why not?",
            "inference": {"maxTokens": 512},
        }
        record = room.ledger.records["job"]
        assert (record.state, record.generation) == (State.ANSWERED, 1)
        row = room.index.log[told.row]
        assert (row.verb, row.job, row.original) == ("edit", "job", body_of("job"))
        assert row.what == "changed prompt, inference"
        assert await dead_bodies.original(room.desk, told.row, **WHO) == body_of("job")
        assert room.said()[-1] == ("show", "job", f"original of {told.row}")
        with pytest.raises(Misused, match="no row 'none' that keeps a message"):
            await dead_bodies.original(room.desk, "none", **WHO)
        assert room.left() == await room.listed() == ["other"]

    run(main())


@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        ({"put": {"promt": "x"}}, "no worker would take it: promt: no such field"),
        ({"put": {"id": "another"}}, "id: must stay"),
        ({"put": {"route": "nowhere"}}, "would die again: unknown_route"),
        ({"body": b"{"}, "no worker would take it: "),
    ],
)
def test_an_edit_that_no_worker_would_take_is_refused_with_the_field(
    how: dict[str, Any], wrong: str
) -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")

        told = await edited(room, "job", **how)

        assert not told.sent
        assert told.wrong.startswith(wrong)
        assert room.left() == await room.listed() == ["job"]
        assert room.dead.depth().visible == 1
        assert not room.index.log
        assert not room.sent()

    run(main())


def test_a_job_that_nobody_could_read_is_mended_and_answered_under_its_own_id() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("m-1", orjson.dumps({"id": "mine", "promt": "Why?"}), reason="unknown_field")

        told = await edited(room, "m-1", {"prompt": "Why?"}, drop=["promt"])
        await room.work()

        assert told.sent
        assert room.ledger.records["mine"].state is State.ANSWERED
        assert room.left() == await room.listed() == []

    run(main())


def test_a_body_that_is_no_json_needs_a_whole_new_one() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("m-1", b"Why?", reason="not_json")

        with pytest.raises(Misused, match="give the whole one"):
            await edited(room, "m-1", {"prompt": "Why?"})
        dry = await edited(room, "m-1", body=b'{"prompt": "Why?"}', dry=True)
        told = await edited(room, "m-1", body=b'{"prompt": "Why?"}')
        await room.work()

        assert (dry.sent, dry.wrong, told.sent) == (False, "", True)
        assert room.ledger.records["m-1"].state is State.ANSWERED

    run(main())


def test_two_operators_who_edit_one_job_run_it_once() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")

        tolds = await asyncio.gather(
            *(edited(room, "job", {"prompt": f"Why {n}?"}) for n in range(2))
        )
        taken = await room.work()

        assert sorted(told.sent for told in tolds) == [False, True]
        assert "its message is not in reach" in {told.wrong for told in tolds}
        assert len(taken) == 1
        assert room.ledger.records["job"].generation == 1

    run(main())


def test_a_large_original_goes_to_the_payload_bucket_and_without_one_nothing_is_done() -> None:
    async def main() -> None:
        room = DeadRoom()
        large = body_of("job", system="x" * 400_000)
        await room.die("job", large)
        bare = replace(room.desk, payloads=None)

        with pytest.raises(Misused, match="no payload bucket"):
            await dead_edit.edit(bare, "job", put={"system": "y"}, **WHO)
        left = room.left()
        told = await edited(room, "job", {"system": "y"})

        assert left == ["job"]
        key = told.original_ref.removeprefix("s3://payloads/")
        assert room.payloads.objects["payloads", key] == large
        assert await dead_bodies.original(room.desk, told.row, **WHO) == large
        with pytest.raises(Misused, match="no payload bucket"):
            await dead_bodies.original(bare, told.row, **WHO)
        room.payloads.objects.clear()
        with pytest.raises(Misused, match="is gone"):
            await dead_bodies.original(room.desk, told.row, **WHO)
        assert room.index.log[told.row].original is None

    run(main())


def test_an_edit_waits_for_its_circuit() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        await room.shut("near")

        told = await edited(room, "job", {"prompt": "x"})
        forced = await edited(room, "job", {"prompt": "x"}, force=True)

        assert told.wrong == "route default: near is held open"
        assert forced.sent

    run(main())


def test_an_edit_to_another_route_waits_for_that_ones_circuit() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        await room.shut("far")

        there = await edited(room, "job", {"route": "chat"})
        here = await edited(room, "job", {"prompt": "x"})

        assert there.wrong == "route chat: far is held open"
        assert here.sent

    run(main())


def test_an_edit_to_another_route_goes_to_its_lane() -> None:
    async def main() -> None:
        room, chats = DeadRoom(), MemoryQueue(name="chat-jobs")
        (lane,) = room.desk.lanes
        other = DeadLane(
            name="chat",
            jobs=chats.seen_by(),
            dead=MemoryQueue(name="chat-dead").seen_by(),
            routes=frozenset({"chat"}),
        )
        room.desk = replace(room.desk, lanes=(replace(lane, routes=frozenset({"default"})), other))
        await room.die("job")

        told = await edited(room, "job", {"route": "chat"})

        assert told.sent
        assert [d.job for d in chats.peek()] == ["job"]
        assert room.sent() == []

    run(main())


@pytest.mark.parametrize(
    ("put", "drop"),
    [({}, ["nothing"]), ({"prompt.deeper": 1}, []), ({}, ["a.b"]), ({"messages.7.x": 1}, [])],
)
def test_a_path_that_leads_nowhere_is_refused(put: dict[str, Any], drop: list[str]) -> None:
    with pytest.raises(Misused):
        dead_edit.changed(b'{"prompt": "x", "messages": [{}]}', put, drop)


def test_a_path_leads_into_a_list() -> None:
    new = dead_edit.changed(b'{"messages": [{"role": "a"}, {}]}', {"messages.0.role": "b"}, [])

    assert orjson.loads(new) == {"messages": [{"role": "b"}, {}]}


def test_only_a_dead_job_is_edited() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        await redrive(room.desk, ALL, Pace(), **WHO)
        await room.work()

        for job in ("job", "nobody"):
            with pytest.raises(Misused, match="no dead letter"):
                await edited(room, job, {"prompt": "x"})

    run(main())


# --- discarding ------------------------------------------------------------------------


def test_discarded_letters_are_gone_from_the_queue_and_the_list_and_their_records_stay() -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(12):
            await room.die(f"spam-{n}", tenant="spammer")
        await room.die("good")

        dry = await dead_discard.discard(room.desk, Pick(tenant="spammer"), **WHO, dry=True)
        before = room.left()
        told = await dead_discard.discard(room.desk, Pick(tenant="spammer"), **WHO)

        assert (dry.meant, dry.gone, len(before)) == (12, 0, 13)
        assert (told.meant, told.gone, told.missing_count) == (12, 12, 0)
        assert room.left() == await room.listed() == ["good"]
        assert room.dead.depth().visible == 1
        assert room.ledger.records["spam-3"].state is State.DEAD
        assert room.said() == [("discard", "", "tenant spammer: 12 of 12 discarded")]

    run(main())


def test_a_letter_whose_message_is_not_in_reach_stays_listed_unless_told_otherwise() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("held")
        await room.dead.seen_by().receive(10, wait_s=0, lease_s=900)

        told = await dead_discard.discard(room.desk, ALL, **WHO)
        kept = await room.listed()
        again = await dead_discard.discard(room.desk, ALL, **WHO, unfound=True)

        assert (told.gone, told.missing, kept) == (0, ("held",), ["held"])
        assert (again.gone, again.unsent) == (1, 1)
        assert await room.listed() == []

    run(main())


def test_a_letter_older_than_any_message_is_discarded_without_one() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("old")
        await room.dead.seen_by().receive(10, wait_s=0, lease_s=900)
        desk = replace(room.desk, at=lambda: wall_clock() + 15 * DAY_S)

        told = await dead_discard.discard(desk, ALL, **WHO)

        assert (told.gone, told.unsent, told.missing_count) == (1, 1, 0)

    run(main())


@pytest.mark.parametrize(("port", "operation"), [("queue:dead", "delete"), ("ledger", "dismiss")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_discard_that_was_cut_short_is_finished_by_the_next(
    port: str, operation: str, when: Any
) -> None:
    async def main() -> None:
        room = DeadRoom()
        for n in range(3):
            await room.die(f"job-{n}")
        room.mishaps[port, operation] = [Mishap(when=when)]

        first = await dead_discard.discard(room.desk, ALL, **WHO)
        second = await dead_discard.discard(room.desk, ALL, **WHO, unfound=True)

        assert first.stopped
        assert [first.stopped in what for _, _, what in room.said()] == [True, False]
        assert not second.stopped
        assert room.left() == await room.listed() == []

    run(main())


def test_a_job_that_was_redriven_meanwhile_is_not_discarded() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        copy = room.dead.peek()[0]
        await redrive(room.desk, ALL, Pace(), **WHO)
        room.dead.put(copy.body, attributes=copy.attributes)  # a copy that was not deleted
        await room.die("other")
        await room.work()

        told = await dead_discard.discard(room.desk, ALL, **WHO)

        assert told.gone == 1
        assert room.left() == [], "a copy of an earlier life goes on the way"
        assert room.ledger.records["job"].state is State.ANSWERED

    run(main())


def test_a_job_that_died_again_since_it_was_listed_is_not_discarded_for_its_old_death() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room.die("job")
        stale = await room.desk.index.letters(since=0.0, until=float("inf"))
        await redrive(room.desk, ALL, Pace(), **WHO)
        await room.work(lambda _: False)

        told = await dead_discard.discard(
            replace(room.desk, index=StaleIndex(room.desk.index, stale)), ALL, **WHO
        )

        assert (told.gone, told.missing) == (0, ("job",))
        assert room.left() == await room.listed() == ["job"]

    run(main())


# --- importing -------------------------------------------------------------------------


async def adopted(room: DeadRoom, **how: Any) -> dead_import.Imported:
    return await dead_import.adopt(room.desk, **WHO, **how)


def test_strangers_get_a_record_and_can_be_redriven() -> None:
    async def main() -> None:
        room = DeadRoom()
        room.dead.put(body_of("alien", tenant="acme"))
        unread = room.dead.put(b"Why?")
        await room.die("known")

        dry = await adopted(room, dry=True)
        clean = (dict(room.ledger.records), dict(room.index.log))
        told = await adopted(room)
        again = await adopted(room)

        assert dry.adopted == told.adopted == {"foreign": 1, "not_json": 1}
        assert (set(clean[0]), clean[1]) == ({"known"}, {})
        assert (told.seen, told.listed, again.listed) == (3, 1, 3)
        assert await room.listed() == sorted(["alien", "known", unread])
        record = room.ledger.records["alien"]
        assert (record.state, record.attempts, record.told) == (State.DEAD, 0, True)
        assert record.result is not None
        assert orjson.loads(record.result)["status"] == "failed"
        shown = await dead_desk.show(room.desk, "alien")
        assert shown.detail.startswith("no worker wrote this letter")

        redriven = await redrive(room.desk, Pick(reason="foreign"), Pace(), **WHO)
        await room.work()
        assert redriven.whole
        assert room.ledger.records["alien"].state is State.ANSWERED
        assert "alien" not in room.left()

    run(main())


def test_a_dead_record_that_is_on_no_list_is_listed_again() -> None:
    async def main() -> None:
        room = DeadRoom()
        letter = await room.die("job")
        await room.index.seen_by().dismiss(letter)

        dry = await adopted(room, dry=True)
        before = await room.listed()
        told = await adopted(room)

        assert (dry.relisted, told.relisted, before) == (1, 1, [])
        assert await room.listed() == ["job"]

    run(main())


def test_a_job_in_a_workers_hand_is_left_and_one_with_its_answer_is_cleared_away() -> None:
    async def main() -> None:
        room = DeadRoom()
        await room._run("done", body_of("done"), message="m-1", state=State.ANSWERED)
        room.dead.put(body_of("done"))
        room.dead.put(body_of("done", prompt="something else"))
        parsed = parse(body_of("busy"), Limits())
        assert isinstance(parsed, Job)
        ask = Claim(
            job="busy",
            owner="w",
            nonce="n",
            doorbell="m-2",
            lease_s=60.0,
            digest=parsed.digest,
            sent_at=wall_clock(),
        )
        assert isinstance(await room.ledger.seen_by().claim(ask), Record)
        room.dead.put(body_of("busy"))

        dry = await adopted(room, dry=True)
        told = await adopted(room)

        assert (dry.finished, dry.alive) == (2, 1)
        assert (told.finished, told.alive, told.adopted) == (1, 1, {"id_conflict": 1})
        assert room.ledger.records["busy"].state is State.RUNNING
        assert room.ledger.records["done"].state is State.ANSWERED
        assert (
            sum(not isinstance(parse(d.body, Limits()), Malformed) for d in room.dead.peek()) == 2
        )

    run(main())


def test_the_doorbell_of_an_upgrade_is_cleared_away_and_one_that_only_says_so_is_a_job() -> None:
    async def main() -> None:
        room = DeadRoom()
        ring = {"iw-job": "done+upgrade", "iw-doorbell": "1"}
        room.dead.put(body_of("done"), attributes=ring)
        room.dead.put(b'{"prompt": "Why?"}', attributes={"iw-job": "other+upgrade"})

        told = await adopted(room)

        assert (told.finished, told.adopted) == (1, {"foreign": 1})
        assert await room.listed() == ["other"]
        assert room.left() == ["other+upgrade"]

    run(main())


def test_a_record_that_nobody_here_can_read_does_not_end_an_import() -> None:
    async def main() -> None:
        room = DeadRoom()
        for job in ("alien", "later", "stranger"):
            room.dead.put(body_of(job))
        room.ledger.unreadable.add("later")

        told = await adopted(room)

        assert (told.adopted, told.unreadable, told.stopped) == ({"foreign": 2}, 1, "")
        assert room.dead.depth().visible == 3

    run(main())


def test_an_import_that_cannot_go_on_says_how_far_it_came() -> None:
    async def main() -> None:
        room = DeadRoom()
        room.dead.put(body_of("alien"))
        room.mishaps["ledger", "claim"] = [Mishap(when="before")]

        told = await adopted(room)

        assert told.stopped == "ledger could not be asked (mishap_before)"
        assert room.dead.depth().visible == 1
        assert (await adopted(room)).adopted == {"foreign": 1}

    run(main())
