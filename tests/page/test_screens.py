"""What the screens say of a fleet in an outage, of one that is well, and of stores that are not."""

import asyncio
import re
from typing import Any

import pytest

from tests.ops.room import run
from tests.page.caller import Browser, begun, inside
from tests.page.past import WORKERS
from tests.page.world import CANARY, World
from worker.page.backing import LOOK_S
from worker.sim.memory import Mishap

SCREENS = (
    "/",
    "/timeline",
    "/timeline?span=7d",
    "/routes",
    "/queues",
    "/dead",
    "/dead?class=too_long",
    "/dead/log",
    "/dead/redrive",
    "/dead/redrive?job=report-0",
    "/dead/discard?tenant=t-1",
    "/workers",
    "/configuration",
    "/breaker?name=near",
    "/breaker?name=endpoint%3Aeu-west-1",
    "/job?id=report-0",
    "/job?id=sum-0",
)


def test_now_says_first_what_is_wrong_then_how_each_circuit_stands() -> None:
    async def main() -> None:
        _, asks = await begun()

        words = (await asks.get("/")).words

        order = (
            "3 things to look at",
            "The service answers with errors",
            "Bedrock is unable to process your request.",
            "near open Opened",
            "Next probe in",
            "far ramp",
            "40% of the slots admitted",
            "endpoint:eu-west-1 closed only observed",
            "by bob: the network team works on the VPC endpoint",
            "chat: a model's answer, from far; not from near (open)",
            "14 37 40",
            f"{WORKERS[3]}, endpoint:eu-west-1: its own breaker is open",
        )
        places = [words.find(one) for one in order]
        assert -1 not in places, dict(zip(order, places, strict=True))
        assert places == sorted(places)

    run(main())


def test_of_a_fleet_that_is_well_it_says_so() -> None:
    async def main() -> None:
        asks = await inside(World())

        now, dead = await asks.get("/"), await asks.get("/dead")

        assert "All is well" in now.words
        assert "What is wrong" not in now.words
        assert "No dead letters." in dead.words

    run(main())


def test_routes_say_which_target_takes_calls_and_what_comes_after_them() -> None:
    async def main() -> None:
        _, asks = await begun()

        words = (await asks.get("/routes")).words

        assert "near no: open near open endpoint:eu-west-1 closed only observed" in words
        assert "far yes far ramp" in words
        assert "Then cache, summary When no target is left second best at once" in words

    run(main())


def test_queues_say_how_much_waits_and_how_long_that_takes() -> None:
    async def main() -> None:
        _, asks = await begun()

        words = (await asks.get("/queues")).words

        assert "About 1.7 s at 1782 answers a minute" in words
        assert "parked 37 0 0 37" in words

    run(main())


def test_workers_show_who_sees_it_otherwise_first() -> None:
    async def main() -> None:
        _, asks = await begun()

        words = (await asks.get("/workers")).words

        assert words.index(WORKERS[3]) < words.index(WORKERS[0])
        assert "its own breaker is open, the fleet's is closed" in words
        assert "it has not followed the last step (ramp)" in words
        assert "near unavailable ServiceUnavailableException" in words

    run(main())


def test_the_timeline_has_a_band_for_each_breaker_and_says_the_same_in_words() -> None:
    async def main() -> None:
        _, asks = await begun()

        day, week = await asks.get("/timeline"), await asks.get("/timeline?span=7d")

        assert day.text.count('role="img"') == week.text.count('role="img"') == 4
        assert 'aria-label="near: not closed for' in day.text
        assert "endpoint:us-east-1 never opened" in day.words
        assert "held open for 1.5 h" in day.words
        assert week.text.count("<tr>") > day.text.count("<tr>") > 20

    run(main())


def test_the_configuration_is_every_value_and_where_it_comes_from() -> None:
    async def main() -> None:
        _, asks = await begun()

        words = (await asks.get("/configuration")).words

        assert "6 settings, 3 of them not at their default" in words
        assert "WORKER_BREAKER__COOLDOWN_S 5.0 worker.toml" in words
        assert "WORKER_SLOTS is 10" in words

    run(main())


def test_no_screen_that_is_asked_for_has_text_of_a_job_or_writes_anything() -> None:
    async def main() -> None:
        world, asks = await begun()
        before = world.room.said()

        answers = {path: await asks.get(path) for path in SCREENS}

        assert {path: answer.status for path, answer in answers.items()} == dict.fromkeys(
            SCREENS, 200
        )
        assert [path for path, answer in answers.items() if CANARY in answer.text] == []
        assert world.room.said() == before
        assert not {one for one in world.room.calls if one.endswith((":swap", ":dismiss", ":send"))}

    run(main())


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nowhere", 404, "There is no such screen"),
        ("/breaker?name=nar", 404, "Did you mean near?"),
        ("/breaker", 404, "There is no breaker ''"),
        ("/job?id=nobody", 404, "The ledger has no job 'nobody'"),
        ("/dead?since=soon", 404, "Died within is a number and a unit"),
        ("/dead/run?id=x", 404, "This page knows of no such run"),
        ("/timeline?span=99y", 200, "1 d ago"),
    ],
)
def test_an_address_that_makes_no_sense_is_explained(path: str, status: int, says: str) -> None:
    async def main() -> None:
        _, asks = await begun()

        answer = await asks.get(path)

        assert answer.status == status
        assert says in answer.words
        assert "Dead letters" in answer.words, "the way to the other screens stays"

    run(main())


@pytest.mark.parametrize("mishap", [{"hangs": True}, {}], ids=["slow", "down"])
@pytest.mark.parametrize("path", SCREENS)
def test_every_screen_answers_in_time_whatever_is_down(path: str, mishap: dict[str, Any]) -> None:
    async def main() -> None:
        world = World()
        world.room.silence = Mishap(when="before", **mishap)
        asks = await inside(world)
        loop = asyncio.get_running_loop()
        began = loop.time()

        answer = await asks.get(path)

        assert loop.time() - began <= LOOK_S + 0.1
        assert answer.status in (200, 503)
        if path != "/configuration":
            told = (
                "could not be asked",
                "cannot be used",
                "could not be read",
                "Could not be read",
            )
            assert any(one in answer.words for one in told), answer.words

    run(main())


def test_several_tabs_that_ask_at_once_ask_the_stores_once() -> None:
    async def main() -> None:
        world, asks = await begun()
        others = [Browser(asks.app) for _ in range(4)]
        for one in others:
            one.cookies = dict(asks.cookies)
        before = world.room.calls.count("breakers:seats")

        answers = await asyncio.gather(*(one.get("/queues") for one in (asks, *others)))

        assert {answer.status for answer in answers} == {200}
        assert world.room.calls.count("breakers:seats") - before == 1

    run(main())


def test_a_fleet_that_shares_nothing_has_its_queues_and_letters_still() -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        world.shared = False
        asks = await inside(world)

        for path, says in (
            ("/", "Every process decides alone"),
            ("/timeline", "Every process decides alone"),
            ("/workers", "Every process decides alone"),
            ("/queues", "parked 37"),
            ("/dead", "40 letters"),
            ("/dead/redrive", "does not stop a redrive"),
        ):
            answer = await asks.get(path)
            assert answer.status == 200
            assert says in answer.words, path
        refused = await asks.get("/breaker?name=near")
        assert "process decides alone" in refused.words

    run(main())


def test_names_that_others_chose_stay_text() -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        evil = "<script>alert(1)</script>"
        await world.room.die("evil-1", reason="rejected", tenant=evil, detail=f"{evil}`x`<b>")
        asks = await inside(world)

        answers = [await asks.get(path) for path in ("/dead", "/job?id=evil-1")]

        for answer in answers:
            assert "<script>alert" not in answer.text
            assert "<b>&" not in answer.text
            assert "&lt;script&gt;alert(1)" in answer.text

    run(main())


def test_every_time_of_day_says_of_which_zone_it_is() -> None:
    async def main() -> None:
        _, asks = await begun()

        for path in ("/timeline", "/breaker?name=near", "/dead/log", "/job?id=typo-0"):
            assert "When (UTC)" in (await asks.get(path)).words, path
        job = (await asks.get("/job?id=sum-1")).text

        steps = re.findall(r"<time [^>]*>([^<]*:\d\d[^<]*)</time>", job)
        assert len(steps) >= 2
        assert all(one.endswith(" UTC") for one in steps)

    run(main())
