"""Orders to a breaker: seen before they are given, signed, and kept as they were typed."""

import pytest

from tests.ops.room import run
from tests.page.caller import Answer, Browser, begun
from worker.core.verdict import Mode
from worker.ports import Unavailable
from worker.sim.memory import Mishap

NEAR = "/breaker?name=near"
ENDPOINT = "/breaker?name=endpoint%3Aeu-west-1"


async def order(asks: Browser, mode: str, *, step: str = "order", **more: str) -> Answer:
    fields = {"name": "near", "mode": mode, "lasting": "30m", "step": step, **more}
    return await asks.send("/breaker", fields, seen=NEAR)


def test_an_order_is_shown_before_it_is_given_and_changes_nothing_until_then() -> None:
    async def main() -> None:
        world, asks = await begun()
        before = dict(world.room.breakers.verdicts)

        preview = await order(asks, "hold_open", step="preview")
        seen = dict(world.room.breakers.verdicts)
        given = await asks.post(
            "/breaker",
            {
                name: preview.field(name)
                for name in ("csrf", "name", "mode", "lasting", "author", "reason")
            }
            | {"step": "order"},
        )
        told = await asks.follow(given)

        assert preview.status == 200
        assert "dry run: hold_open for near, for 30 min." in preview.words
        assert "the circuit could not recover before its end" in preview.words
        assert seen == before
        override = world.room.breakers.verdicts["near"].override
        assert override is not None
        assert (override.mode, override.for_s, override.author, override.reason) == (
            Mode.HOLD_OPEN,
            1800.0,
            "alice",
            "incident 42",
        )
        assert "hold_open is in force for near, for 30 min." in told.words
        assert "held open" in told.words
        again = await asks.get(NEAR)
        assert "is in force" not in again.words, "what was told is told once"

    run(main())


@pytest.mark.parametrize("mode", ["hold_closed", "observe"])
def test_the_other_orders_are_given_likewise(mode: str) -> None:
    async def main() -> None:
        world, asks = await begun()

        told = await order(asks, mode)

        assert told.status == 200
        override = world.room.breakers.verdicts["near"].override
        assert override is not None
        assert override.mode == mode

    run(main())


def test_auto_ends_what_was_ordered() -> None:
    async def main() -> None:
        world, asks = await begun()
        name = "endpoint:eu-west-1"

        preview = await order(asks, "auto", step="preview", name=name)
        told = await order(asks, "auto", name=name)

        assert f"dry run: this would end for {name}" in preview.words
        assert f"ended for {name}" in told.words
        assert world.room.breakers.verdicts[name].override is None

    run(main())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"reason": ""}, "give a reason of 1 to 200 printable characters"),
        ({"reason": " "}, "give a reason of 1 to 200 printable characters"),
        ({"reason": "x" * 201}, "give a reason of 1 to 200 printable characters"),
        ({"author": ""}, "give an author of 1 to 80 printable characters"),
        ({"lasting": "soon"}, "for how long is a number and a unit"),
        ({"lasting": "8d"}, "for how long is from 1 s to 7 d"),
        ({"mode": "explode"}, "say which order"),
        ({"mode": ""}, "say which order"),
        ({"mode": "enforce"}, "say which order"),
    ],
)
def test_an_order_that_makes_no_sense_is_explained_and_what_was_typed_is_kept(
    more: dict[str, str], says: str
) -> None:
    async def main() -> None:
        world, asks = await begun()
        fields = {"mode": "observe", "lasting": "17m", "reason": "typed with care"} | more

        answer = await order(asks, **fields)

        assert answer.status == 422
        assert says in answer.words
        assert f'value="{fields["lasting"]}"' in answer.text
        if fields["reason"].strip():
            assert f'value="{fields["reason"]}"' in answer.text
        if fields["mode"] == "observe":
            assert 'value="observe" required checked' in answer.text
        assert world.room.breakers.verdicts["near"].override is None

    run(main())


def test_an_unknown_breaker_takes_no_order() -> None:
    async def main() -> None:
        _, asks = await begun()

        answer = await order(asks, "hold_open", name="nowhere")

        assert answer.status == 422
        assert "There is no breaker 'nowhere'" in answer.words

    run(main())


def test_an_order_whose_store_fell_silent_is_told_as_in_doubt() -> None:
    async def main() -> None:
        world, asks = await begun()
        lost = Mishap(when="after", error=Unavailable("breakers", "ReadTimeoutError", network=True))
        screen = await asks.get(NEAR)
        world.room.mishaps["breakers", "swap"] = [lost]
        world.room.mishaps["breakers", "read"] = [None, lost]
        fields = {"name": "near", "mode": "hold_open", "lasting": "30m", "step": "order"}
        signed = {"csrf": screen.field("csrf"), "author": "alice", "reason": "incident 42"}

        answer = await asks.post("/breaker", {**fields, **signed})

        assert answer.status == 503
        assert "the order may or may not have been written" in answer.words

    run(main())


def test_who_gave_an_order_is_proposed_as_the_next_author() -> None:
    async def main() -> None:
        _, asks = await begun()

        await order(asks, "observe", author="carol")

        assert (await asks.get(ENDPOINT)).field("author") == "carol"

    run(main())
