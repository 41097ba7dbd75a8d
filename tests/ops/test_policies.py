"""An operator changes when circuits open: races and lost answers included."""

from dataclasses import replace
from typing import Any

import pytest

from tests.ops.room import Room, run
from worker.core.policy import EVERY, PolicyChange
from worker.ops.desk import Misused
from worker.ops.policies import number_of, policies
from worker.ports import Unavailable
from worker.sim.memory import Mishap


def test_each_value_says_where_it_comes_from() -> None:
    async def main() -> None:
        room = Room()
        await room.amend({"failure_rate": 0.6, "min_calls": 5})
        await room.amend({"min_calls": 6}, "sonnet")

        found = await policies(room.desk, "sonnet")

        values = {value.name: (value.value, value.source) for value in found.breakers[0].values}
        assert values["failure_rate"] == (0.6, "store for every breaker")
        assert values["min_calls"] == (6, "store")
        assert values["probes"] == (3, "settings")
        assert values["window_s"] == (30.0, "default")
        assert [(change.name, change.version) for change in found.changes] == [
            (EVERY, 1),
            ("sonnet", 1),
        ]

    run(main())


def test_a_change_keeps_what_it_does_not_name() -> None:
    async def main() -> None:
        room = Room()
        await room.amend({"failure_rate": 0.6, "min_calls": 5})

        told = await room.amend({"probes": 4}, drop=("min_calls",))

        assert (told.stands, told.now.version) == (True, 2)
        assert room.breakers.policies[EVERY].values == {"failure_rate": 0.6, "probes": 4}
        assert (await room.amend({"probes": 4})).needless

    run(main())


@pytest.mark.parametrize(
    ("put", "says"),
    [
        ({"failure_rate": 7}, "sonnet could not judge by that: failure_rate must be"),
        ({"recent_s": 31}, r"recent_s \(31\) must not be above window_s"),
        ({"failure_rat": 0.5}, "has no 'failure_rat'"),
    ],
)
def test_a_change_that_makes_no_sense_is_never_written(put: dict[str, Any], says: str) -> None:
    async def main() -> None:
        room = Room()

        with pytest.raises(Misused, match=says):
            await room.amend(put)

        assert room.breakers.policies == {}

    run(main())


def test_a_change_for_every_breaker_is_judged_together_with_their_own() -> None:
    async def main() -> None:
        room = Room()
        await room.amend({"cooldown_s": 3.5}, "sonnet")

        with pytest.raises(Misused, match="sonnet could not judge by that, together with"):
            await room.amend({"cooldown_max_s": 3})

        assert EVERY not in room.breakers.policies

    run(main())


def raced_by(room: Room, **values: Any) -> None:
    waiting = [values]
    plain = room.desk.store.swap_policy

    async def swap_policy(change: PolicyChange) -> PolicyChange:
        if waiting:
            theirs = replace(change, values=waiting.pop(), author="bob", reason="mine")
            await plain(theirs)
        return await plain(change)

    room.desk.store.swap_policy = swap_policy  # type: ignore[method-assign]


def test_a_lost_race_is_tried_again_where_the_change_still_means_the_same() -> None:
    async def main() -> None:
        room = Room()
        raced_by(room, probes=4)

        told = await room.amend({"min_calls": 5})

        assert (told.stands, told.races) == (True, 1)
        assert room.breakers.policies[EVERY].values == {"probes": 4, "min_calls": 5}

    run(main())


def test_a_lost_race_about_the_same_value_is_lost() -> None:
    async def main() -> None:
        room = Room()
        raced_by(room, min_calls=9)

        told = await room.amend({"min_calls": 5})

        assert (told.stands, told.now.author) == (False, "bob")
        assert room.breakers.policies[EVERY].values == {"min_calls": 9}

    run(main())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_that_was_lost_on_the_way_stands_once(when: Any) -> None:
    async def main() -> None:
        lost = Mishap(when=when, error=Unavailable("breakers", "ReadTimeoutError"))
        room = Room(swap_policy=lost)

        told = await room.amend({"min_calls": 5})

        assert told.stands
        assert room.breakers.policies[EVERY].version == 1

    run(main())


def test_a_change_that_workers_pass_over_is_told() -> None:
    async def main() -> None:
        room = Room()
        nonsense = PolicyChange(name=EVERY, version=1, values={"later_knob": 1})
        room.breakers.policies[EVERY] = nonsense

        found = await policies(room.desk, "sonnet")
        told = await room.amend({}, drop=("later_knob",))

        assert "later_knob" in found.breakers[0].wrong[0]
        assert (told.stands, told.now.values) == (True, {})

    run(main())


@pytest.mark.parametrize("text", ["nan", "inf", "many", "", "1,2"])
def test_what_is_no_number_is_no_value(text: str) -> None:
    with pytest.raises(Misused, match="probes must be a number"):
        number_of("probes", text)


def test_values_are_read_as_they_are_typed() -> None:
    assert [number_of("probes", text) for text in ("3", "3.0", "0.5", "None")] == [3, 3, 0.5, None]
    assert isinstance(number_of("probes", "3.0"), int)
    assert number_of("ramp", "0.1,0.5") == (0.1, 0.5)
    assert number_of("ramp", "0.5") == (0.5,)
