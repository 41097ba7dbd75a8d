"""What every breakers' store promises: one record wins, and nothing is lost on the way."""

import asyncio
import random
from dataclasses import replace

import pytest

from tests.contract.stage import STAGES, on_breaker_store
from worker.core.jury import SEATS, Seat, Vote
from worker.core.moves import (
    BeginRound,
    ClaimTicket,
    Conclude,
    Hold,
    Order,
    Release,
    Report,
    Restore,
    StepDown,
    StepUp,
    Trip,
    moved,
)
from worker.core.policy import EVERY, BreakerPolicy, PolicyChange
from worker.core.verdict import Mode, Override, State, Transition, Verdict, transition
from worker.ports import Board, BreakerStore

pytestmark = pytest.mark.parametrize("stage", STAGES)

NAME = "sonnet-eu"
POLICY = BreakerPolicy()
AT = 1767225600.25
OVERRIDE = Override(
    mode=Mode.HOLD_OPEN, for_s=900.0, until_at=AT + 900, author="ana", reason="they “mend” it"
)
FULL = Verdict(
    name=NAME,
    state=State.HALF_OPEN,
    share=0.1,
    version=7,
    stage=3,
    epoch=2,
    round=4,
    level=5,
    cooldown_s=2.718,
    tickets=4,
    claims=("n-1", "n-2", "n-3"),
    outcomes=(True, None, False),
    why="12 of 20 calls failed",
    writer="worker-1",
    nonce="w-7",
    at=AT,
    override=OVERRIDE,
    orders=1,
)


async def given_order(store: BreakerStore, old: Verdict, order: Order, nonce: str) -> Verdict:
    new = moved(old, order, POLICY, writer="worker-1", nonce=nonce, at=AT)
    assert new is not None
    return await store.swap(old, new)


async def stored(store: BreakerStore) -> Verdict:
    board = await store.read(consistent=True)
    return board.verdicts.get(NAME, Verdict(name=NAME))


def test_what_nobody_wrote_is_not_there(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        assert await store.read() == Board()
        assert await store.seats() == []
        assert await store.history(NAME, 100) == []

    on_breaker_store(stage, main)


@pytest.mark.parametrize("consistent", [True, False])
def test_every_field_of_a_verdict_is_kept_exactly(stage: str, consistent: bool) -> None:  # noqa: FBT001
    async def main(store: BreakerStore) -> None:
        first = Verdict(name=NAME, version=1)
        bare = replace(FULL, version=8, override=None, claims=(), outcomes=(), share=1 / 3)
        for old, new in ((Verdict(name=NAME), first), (first, FULL), (FULL, bare)):
            assert await store.swap(old, new) == new

            assert (await store.read(consistent=consistent)).verdicts == {NAME: new}

    on_breaker_store(stage, main)


def test_who_loses_the_race_gets_the_winner(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        nothing = Verdict(name=NAME)
        trip = Trip(stage=0, why="3 of 3 voters find it bad (recent)", roll=0.3)
        winner = await given_order(store, nothing, trip, "w-1")

        answer = await given_order(store, nothing, trip, "w-2")

        assert answer == winner == await stored(store)
        assert (answer.nonce, answer.epoch) == ("w-1", 1)

    on_breaker_store(stage, main)


def test_a_verdict_that_vanished_is_version_0_to_who_expected_it(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        answer = await store.swap(FULL, replace(FULL, version=8))

        assert answer == Verdict(name=NAME)
        assert await store.read() == Board()

    on_breaker_store(stage, main)


def test_what_the_store_has_lost_is_restored_by_whoever_knows_it(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        there = await store.swap(FULL, replace(FULL, version=8))

        restored = await given_order(store, there, Restore(known=FULL), "w-9")

        assert restored.version > FULL.version
        assert restored.round > FULL.round
        assert await stored(store) == restored

    on_breaker_store(stage, main)


def test_a_wiped_store_takes_no_write_that_was_meant_for_what_it_lost(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        first = await store.swap(Verdict(name=NAME), Verdict(name=NAME, version=1, nonce="anew"))

        answer = await store.swap(replace(first, nonce="lost"), replace(FULL, version=2))

        assert answer == first == await stored(store), "version 1 too, but another one"

    on_breaker_store(stage, main)


def test_a_write_that_arrives_twice_is_one(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        nothing, new = Verdict(name=NAME), Verdict(name=NAME, version=1, nonce="w-1")
        change = PolicyChange(name=EVERY, version=1, author="ana")
        seat = Seat(number=3, holder="worker-1", lot=0.1, beat=1)
        await store.swap(nothing, new)
        await store.swap_policy(change)
        await store.sit(seat, None)

        assert await store.swap(nothing, new) == new
        assert await store.swap_policy(change) == change
        assert await store.sit(seat, None)
        assert await store.sit(seat, None)

    on_breaker_store(stage, main)


def test_breakers_are_apart(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        names = ("*", "endpoint:eu-west-1", "v#odd", "ünïcode/a.b:0")
        verdicts = {name: Verdict(name=name, version=1, writer=name) for name in names}
        for name, verdict in verdicts.items():
            assert await store.swap(Verdict(name=name), verdict) == verdict
        change = PolicyChange(name="v#odd", version=1, author="ana")
        await store.swap_policy(change)

        board = await store.read()

        assert board == Board(verdicts=verdicts, policies={"v#odd": change})

    on_breaker_store(stage, main)


def test_many_breakers_are_read_at_once(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        verdicts = {f"target-{n}": replace(FULL, name=f"target-{n}") for n in range(60)}
        for name, verdict in verdicts.items():
            await store.swap(Verdict(name=name), verdict)

        assert (await store.read()).verdicts == verdicts

    on_breaker_store(stage, main)


def test_a_policy_is_changed_by_who_knows_its_last_change(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        values = {"failure_rate": 0.7, "probes": 5, "slow_rate": None, "ramp": (0.1, 0.5)}
        first = PolicyChange(
            name=EVERY, version=1, values=values, author="ana", reason="busy", at=AT
        )
        second = replace(first, version=2, values={}, author="bo")
        early = replace(second, name="haiku", version=2)

        assert await store.swap_policy(first) == first
        assert await store.swap_policy(second) == second
        assert await store.swap_policy(replace(first, author="cy")) == second
        assert await store.swap_policy(early) == PolicyChange(name="haiku")

        assert (await store.read(consistent=True)).policies == {EVERY: second}

    on_breaker_store(stage, main)


def test_values_of_a_policy_come_back_as_they_were(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        values = {"cooldown_s": 0.1 + 0.2, "min_calls": 8, "slow_rate": None, "ramp": (0.2, 1 / 3)}
        await store.swap_policy(PolicyChange(name=NAME, version=1, values=values))

        (change,) = (await store.read()).policies.values()

        assert change.values == values
        assert POLICY.changed(change.values) == POLICY.changed(values)

    on_breaker_store(stage, main)


def test_every_field_of_a_seat_is_kept_exactly(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        votes = {
            "sonnet": Vote(
                stage=3,
                calls=20,
                failures=19,
                recent_calls=5,
                recent_failures=4,
                successes=1,
                slow=2,
                sick=True,
            ),
            "haiku": Vote(stage=0),
        }
        seats = [
            Seat(number=0, holder="", lot=0.0, beat=1),
            Seat(number=9, holder="worker-1", lot=1 / 3, beat=1, votes=votes),
            Seat(number=31, holder="worker-2", lot=0.999999999999, beat=1),
        ]
        for seat in reversed(seats):
            assert await store.sit(seat, None)

        assert await store.seats() == seats

    on_breaker_store(stage, main)


def test_a_seat_is_kept_by_its_holder_and_taken_by_who_saw_it_last(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        mine = Seat(number=3, holder="worker-1", lot=0.4, beat=1)
        kept = replace(mine, beat=2, votes={NAME: Vote(stage=1)})
        taken = Seat(number=3, holder="worker-2", lot=0.2, beat=3)

        assert await store.sit(mine, None)
        assert not await store.sit(replace(taken, beat=1), None)
        assert await store.sit(kept, mine)
        assert not await store.sit(replace(taken, beat=2), mine), "it has beaten since"
        assert await store.sit(taken, kept)
        assert not await store.sit(replace(kept, beat=3), kept), "somebody else sits there"

        assert await store.seats() == [taken]

        left = replace(taken, holder="", beat=4, votes={})
        assert await store.sit(left, taken)
        assert await store.seats() == [left]
        assert await store.sit(replace(mine, beat=5), left), "a seat given back is free"

    on_breaker_store(stage, main)


def test_a_seat_that_was_given_up_can_be_taken(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        mine = Seat(number=3, holder="worker-1", lot=0.4, beat=1)
        empty = replace(mine, holder="", beat=2)
        await store.sit(mine, None)

        assert await store.sit(empty, mine)

        assert await store.sit(Seat(number=3, holder="worker-2", lot=0.9, beat=3), empty)

    on_breaker_store(stage, main)


def test_a_seat_that_vanished_is_not_kept_but_can_be_taken(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        mine = Seat(number=3, holder="worker-1", lot=0.4, beat=8)

        assert not await store.sit(replace(mine, beat=9), mine)
        assert await store.sit(replace(mine, beat=9), None)

    on_breaker_store(stage, main)


def test_a_holder_whose_answer_was_lost_learns_that_it_sits(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        mine = Seat(number=3, holder="worker-1", lot=0.4, beat=1)
        await store.sit(mine, None)  # as if its answer had been lost
        fresher = replace(mine, votes={NAME: Vote(stage=1, calls=3)})

        assert await store.sit(fresher, None)

        assert await store.seats() == [mine], "the fresher votes come with the next beat"

    on_breaker_store(stage, main)


def row(version: int, **changes: object) -> Transition:
    full = Transition(
        name=NAME,
        version=version,
        stage=3,
        epoch=2,
        round=4,
        old=State.OPEN,
        new=State.HALF_OPEN,
        share=0.1,
        level=5,
        cooldown_s=2.718,
        mode=Mode.OBSERVE,
        why="the rest is over and a job waits",
        by="worker-1",
        at=AT,
        for_s=900.0,
    )
    return replace(full, **changes)  # type: ignore[arg-type]


def test_every_field_of_history_is_kept_exactly(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        rows = [row(2), row(1, for_s=0.0, mode=Mode.ENFORCE, why="", by="", share=0.0, level=0)]
        for noted in rows:
            assert await store.note(noted)

        assert await store.history(NAME, 100) == rows

    on_breaker_store(stage, main)


def test_a_version_is_noted_once_whoever_notes_it(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        first = row(5)

        assert await store.note(first)
        assert not await store.note(first)
        assert not await store.note(replace(first, by="worker-2"))

        assert await store.history(NAME, 1) == [first]

    on_breaker_store(stage, main)


def test_history_is_told_beyond_what_one_answer_of_the_store_holds(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        for version in range(1, 14):
            await store.note(replace(row(version), why="w" * 100_000))

        rows = await store.history(NAME, 12)

        assert [noted.version for noted in rows] == list(range(13, 1, -1))

    on_breaker_store(stage, main)


def test_history_is_told_from_its_newest_row(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        for version in (9, 100, 11, 1_000_000_000, 2):
            await store.note(row(version))
        await store.note(row(7, name="haiku"))

        rows = await store.history(NAME, 3)

        assert [noted.version for noted in rows] == [1_000_000_000, 100, 11]
        assert await store.history("haiku", 100) == [row(7, name="haiku")]
        assert await store.history("son", 100) == []

    on_breaker_store(stage, main)


def test_of_many_that_trip_it_one_wins_and_all_learn_who(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        trip = Trip(stage=0, why="bad", roll=0.5)
        asks = (given_order(store, Verdict(name=NAME), trip, f"w-{n}") for n in range(16))

        answers = await asyncio.gather(*asks)

        winner = await stored(store)
        assert winner.version == 1
        assert answers == [winner] * 16

    on_breaker_store(stage, main)


def test_of_many_that_want_one_seat_one_sits(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        seats = [Seat(number=0, holder=f"worker-{n}", lot=n / 16, beat=1) for n in range(16)]

        sat = await asyncio.gather(*(store.sit(seat, None) for seat in seats))

        assert sat.count(True) == 1
        assert await store.seats() == [seats[sat.index(True)]]

    on_breaker_store(stage, main)


def test_a_full_jury_is_read_at_once(stage: str) -> None:
    async def main(store: BreakerStore) -> None:
        seats = [
            Seat(number=n, holder=f"worker-{n}", lot=n / SEATS, beat=1, votes={NAME: Vote(stage=n)})
            for n in range(SEATS)
        ]
        for seat in seats:
            await store.sit(seat, None)

        assert await store.seats() == seats

    on_breaker_store(stage, main)


def orders(verdict: Verdict, dice: random.Random, step: int) -> list[Order]:
    """Every kind of order, as somebody with this view might give it."""
    stage = verdict.stage
    claim = dice.choice([*verdict.claims, "nobody"])
    place = {"epoch": verdict.epoch, "round": verdict.round}
    return [
        Trip(stage=stage, why="bad", roll=dice.random(), calm_s=dice.choice([0.0, 500.0])),
        BeginRound(stage=stage),
        ClaimTicket(**place, claim=f"c-{step}"),
        Report(**place, claim=claim, good=dice.random() < 0.5),
        Conclude(stage=stage, overdue=dice.random() < 0.3, roll=dice.random()),
        StepUp(stage=stage, why="good"),
        StepDown(stage=stage, why="bad", roll=dice.random()),
        Hold(override=OVERRIDE, number=verdict.orders),
        Release(number=verdict.orders),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_any_life_is_stored_as_the_moves_tell_it(stage: str, seed: int) -> None:
    """A verdict's life by dice, told twice: by the pure moves, and by the store."""

    async def main(store: BreakerStore) -> None:
        dice = random.Random(seed)  # noqa: S311 - dice, not secrets
        truth = Verdict(name=NAME)
        views, seen, noted = [truth], {truth.state}, 0
        for step in range(120):
            view = truth if dice.random() < 0.7 else dice.choice(views[-5:])
            possible = [
                new
                for order in orders(view, dice, step)
                if (new := moved(view, order, POLICY, writer="w", nonce=f"w-{step}", at=AT + step))
            ]
            new = dice.choice(possible)
            expected = new if view.version == truth.version else truth

            assert await store.swap(view, new) == expected

            if expected is new:
                change = transition(truth, new, AT + step)
                noted += change is not None and await store.note(change)
                truth = new
                views.append(new)
            assert await stored(store) == truth
            seen.add(truth.state)
        rows = await store.history(NAME, 100)
        assert len(rows) == min(noted, 100)
        assert len(seen) == len(State), "little happened"

    on_breaker_store(stage, main)
