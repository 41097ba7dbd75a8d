"""Dead letters that are sent back or thrown away on the page: how many, how fast, and how far."""

import asyncio
import re
from typing import Any

import pytest

from tests.ops.room import run
from tests.page.caller import Answer, Browser, begun, calm
from worker.core.ledger import State
from worker.core.verdict import Mode
from worker.ops.overrides import hold
from worker.sim.clock import wall_clock
from worker.words.breaker import utc


async def ended(asks: Browser, answer: Answer) -> Answer:
    """The screen of a run, when it is over."""
    where = next(
        part.partition('"')[0]
        for part in answer.text.split('hx-get="')[1:]
        if part.startswith("/dead/run")
    )
    for _ in range(2_000):
        answer = await asks.get(where.replace("&amp;", "&"))
        if "goes on" not in answer.words:
            return answer
        await asyncio.sleep(1)
    raise AssertionError(answer.words)


# --- redrive -----------------------------------------------------------------------------


async def redriven(asks: Browser, query: str = "class=attempts_exhausted", **more: Any) -> Answer:
    seen = f"/dead/redrive?{query}"
    screen = await asks.get(seen)
    parts = dict(one.split("=") for one in query.split("&"))
    fields = {
        "rate": "500",
        "canary": "",
        "stop_if": "0.05",
        "at": screen.field("at"),
        **parts,
        **more,
    }
    return await asks.send("/dead/redrive", fields, seen=seen)


def test_a_group_is_sent_back_and_its_screen_says_how_it_went() -> None:
    async def main() -> None:
        world, asks = await calm()

        begins = await redriven(asks)
        told = await ended(asks, begins)

        assert "5 of 5 letters were sent back." in told.words
        assert not [job for job in world.room.left() if job.startswith("sum-")]
        row = next(one for one in world.room.index.log.values() if one.verb == "redrive")
        assert (row.author, row.why) == ("alice", "incident 42")
        assert re.search(r"died before \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: 5 of 5 sent", row.what)

    run(main())


@pytest.mark.parametrize("at", ["-1e300", "0", "1e12", "1e300"])
def test_whatever_time_a_form_brings_a_mistake_in_it_comes_back_as_one(at: str) -> None:
    async def main() -> None:
        _, asks = await calm()

        wrong = await redriven(asks, at=at, rate="fast")

        assert wrong.status == 422
        assert "the rate is a number" in wrong.words
        until = re.search(r"up to ([\d-]{10} [\d:]{8}) UTC", wrong.words)
        assert until is not None
        assert until[1] <= utc(wall_clock()), "no letter is meant that is yet to die"

    run(main())


def test_a_canary_waits_for_answers_and_can_be_stopped_where_it_is() -> None:
    async def main() -> None:
        world, asks = await calm()
        waiting = len(world.room.sent())

        begins = await redriven(asks, "class=too_long", canary="1,10")
        assert "goes on" in begins.words
        while len(world.room.sent()) == waiting:
            await asyncio.sleep(1)
        run_id = begins.field("id")
        stopping = await asks.send("/dead/stop", {"id": run_id}, seen="/configuration")
        told = await ended(asks, stopping)

        assert "1 of 24 letters were sent back." in told.words
        assert "stopped: alice stopped it" in told.words
        assert len([job for job in world.room.left() if job.startswith("report-")]) == 23
        assert world.room.dead.depth().visible == 39, "what was held is visible again"
        assert "stopped: alice stopped it" in world.room.said()[-1][2]

    run(main())


def test_only_one_goes_on_at_a_time() -> None:
    async def main() -> None:
        world, asks = await calm()
        await redriven(asks, "class=too_long", canary="1,10")

        second = await redriven(asks)

        assert second.status == 422
        assert "a redrive goes on (class too_long): wait for its end, or stop it" in second.words
        assert len([job for job in world.room.left() if job.startswith("sum-")]) == 5

    run(main())


def test_no_message_is_looked_for_while_a_redrive_holds_the_queue() -> None:
    async def main() -> None:
        world, asks = await calm()
        fields = {"id": "typo-0", "author": "alice", "reason": "find the typo"}
        await redriven(asks, "class=too_long", canary="1,10")
        read = [row for row in world.room.said() if row[0] == "show"]

        again = await asks.send("/job/body", fields, seen="/job?id=typo-0")
        edited = {"old": "{}", "new": '{"prompt": "mine"}', "step": "send"}
        edit = await asks.send("/job/edit", fields | edited, seen="/job?id=typo-0")

        for refused in (again, edit):
            assert refused.status == 422
            assert "redrive goes on (class too_long): wait for its end" in refused.words
        assert "mine" in edit.words, "what was typed is kept"
        assert [row for row in world.room.said() if row[0] == "show"] == read

    run(main())


def test_a_redrive_into_an_open_circuit_is_refused_unless_forced() -> None:
    async def main() -> None:
        world, asks = await begun()  # near is open, and batch has nothing else

        form = await asks.get("/dead/redrive?class=attempts_exhausted")
        refused = await redriven(asks)
        forced = await ended(asks, await redriven(asks, force="1"))

        assert "0 letters would be sent, 5 letters kept: 5: route batch: near is open" in form.words
        assert "Redrive 5 letters all the same" in form.words
        assert refused.status == 422
        assert "no letter's route may be called now, so nothing was sent" in refused.words
        assert "5 of 5 letters were sent back." in forced.words
        assert not [job for job in world.room.left() if job.startswith("sum-")]

    run(main())


def test_a_circuit_that_opens_meanwhile_stops_it() -> None:
    async def main() -> None:
        world, asks = await calm()
        waiting = len(world.room.sent())
        begins = await redriven(asks, rate="0.2")
        while len(world.room.sent()) == waiting:
            await asyncio.sleep(1)
        circuit = world.backing.circuit
        assert circuit is not None
        await hold(circuit, "near", Mode.HOLD_OPEN, for_s=600.0, author="bob", reason="a test")

        told = await ended(asks, begins)

        assert "stopped: route batch: near is held open" in told.words

    run(main())


def test_what_dies_after_the_number_was_shown_is_not_meant() -> None:
    async def main() -> None:
        world, asks = await calm()
        form = await asks.get("/dead/redrive?class=attempts_exhausted")
        await asyncio.sleep(5)
        await world.room.die("late", reason="attempts_exhausted", route="batch")
        fields = {
            "csrf": form.field("csrf"),
            "at": form.field("at"),
            "class": "attempts_exhausted",
            "rate": "500",
            "canary": "",
            "stop_if": "0.05",
            "author": "alice",
            "reason": "incident 42",
        }

        told = await ended(asks, await asks.follow(await asks.post("/dead/redrive", fields)))

        assert "5 of 5 letters were sent back." in told.words
        assert "late" in world.room.left()

    run(main())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rate": "fast"}, "the rate is a number, not 'fast'"),
        ({"rate": "0"}, "the rate is from 0.1 to 500"),
        ({"rate": "nan"}, "the rate is a number, not 'nan'"),
        ({"canary": "1;2"}, "the canary takes the sizes of its stages"),
        ({"canary": "9" * 5000}, "the canary takes the sizes of its stages"),
        ({"canary": "0"}, "stages are whole numbers above 0"),
        ({"stop_if": "2"}, "the share that stops a canary is from 0 to below 1"),
        ({"reason": ""}, "give a reason"),
        ({"author": "\x00"}, "give an author"),
    ],
)
def test_a_redrive_that_makes_no_sense_is_explained_and_what_was_typed_is_kept(
    more: dict[str, str], says: str
) -> None:
    async def main() -> None:
        world, asks = await calm()
        fields = {"rate": "7", "canary": "3", "reason": "typed with care", **more}

        answer = await redriven(asks, **fields)

        assert answer.status == 422
        assert says in answer.words
        for name in fields.keys() - more.keys():
            assert answer.field(name) == fields[name]
        assert len(world.room.left()) == 40

    run(main())


def test_a_page_that_ends_stops_what_goes_on_and_loses_nothing() -> None:
    async def main() -> None:
        world, asks = await calm()
        await redriven(asks, "class=too_long", rate="1", canary="")
        await asyncio.sleep(3.5)

        heard: list[str] = []
        messages = iter(("lifespan.startup", "lifespan.shutdown"))

        async def receive() -> dict[str, str]:
            return {"type": next(messages)}

        async def send(message: Any) -> None:
            heard.append(message["type"])

        await asks.app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

        assert heard == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert "the page was closed" in world.room.said()[-1][2]
        left = [job for job in world.room.left() if job.startswith("report-")]
        assert 18 <= len(left) <= 22
        assert world.room.dead.depth().in_flight == 0

    run(main())


# --- discard -------------------------------------------------------------------------------


def test_a_group_is_thrown_away_with_a_reason() -> None:
    async def main() -> None:
        world, asks = await begun()
        seen = "/dead/discard?class=too_long"
        at = (await asks.get(seen)).field("at")
        fields = {"class": "too_long", "at": at}

        unsigned = await asks.send("/dead/discard", {**fields, "reason": ""}, seen=seen)
        told = await ended(asks, await asks.send("/dead/discard", fields, seen=seen))

        assert unsigned.status == 422
        assert "24 of 24 letters were discarded." in told.words
        assert len(world.room.left()) == 16
        assert world.room.ledger.records["report-0"].state is State.DEAD
        again = await asks.send("/dead/discard", fields, seen="/dead/discard?class=unknown_route")
        assert "none of these letters is on the list any more" in again.words

    run(main())


def test_chosen_letters_alone_are_thrown_away() -> None:
    async def main() -> None:
        world, asks = await begun()
        seen = "/dead/discard?job=report-1&job=chat-2&chosen=1"
        at = (await asks.get(seen)).field("at")

        begins = await asks.send(
            "/dead/discard", {"job": ["report-1", "chat-2"], "at": at}, seen=seen
        )
        told = await ended(asks, begins)

        assert "2 of 2 letters were discarded." in told.words
        assert {"report-1", "chat-2"}.isdisjoint(world.room.left())
        assert len(world.room.left()) == 38

    run(main())


def test_choosing_nothing_does_not_mean_everything() -> None:
    async def main() -> None:
        _, asks = await begun()

        for verb in ("redrive", "discard"):
            answer = await asks.get(f"/dead/{verb}?chosen=1")
            assert answer.status == 404
            assert "No letter was chosen" in answer.words

    run(main())
