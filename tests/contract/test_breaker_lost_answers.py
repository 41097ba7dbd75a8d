"""A breaker's writes whose request or answer is lost, late or doubled on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.contract.stage import Open, dynamo_breakers, on_aws
from tests.contract.test_breaker_store import AT, NAME, POLICY, given_order, row, stored
from worker.aws.breakers import DynamoBreakers
from worker.aws.clients import open_clients
from worker.core.jury import Seat, Vote
from worker.core.moves import BeginRound, ClaimTicket, Report, Trip, moved
from worker.core.policy import EVERY, PolicyChange
from worker.core.verdict import State, Verdict
from worker.local.faults import Act, Delay, Duplicate, LoseRequest, LoseResponse, Refuse, Rule
from worker.ports import Unavailable

LOST = pytest.mark.parametrize("act", [LoseRequest(), LoseResponse()], ids=["request", "answer"])
TOO_LATE = Delay(30.0)
TRIP = Trip(stage=0, why="3 of 3 voters find it bad (recent)", roll=0.5)
MINE = Seat(number=3, holder="worker-1", lot=0.4, beat=1)


def on_our_store(test: Callable[[Open, DynamoBreakers], Awaitable[None]]) -> None:
    """With the worker's own client: how often it asks, and how long, is part of the promise."""

    async def main(given: Open) -> None:
        async with open_clients(session=given.session, pollers=4, slots=8) as clients:
            await test(given, dynamo_breakers(given, clients.breakers))

    on_aws(main)


def lose(given: Open, operation: str, act: Act, count: int | None = 1) -> None:
    given.stack.faults.set_rules([Rule(operation, act, count=count)])


async def insisted(store: DynamoBreakers, old: Verdict, new: Verdict) -> Verdict:
    """Write as a worker does that wants to know: the nonce settles what was lost."""
    try:
        return await store.swap(old, new)
    except Unavailable:
        found = (await stored(store)).nonce == new.nonce
    return new if found else await store.swap(old, new)


async def probing(store: DynamoBreakers) -> Verdict:
    tripped = await given_order(store, Verdict(name=NAME), TRIP, "w-1")
    return await given_order(store, tripped, BeginRound(stage=tripped.stage), "w-2")


def test_the_client_has_one_attempt_short_timers_and_a_small_pool() -> None:
    async def main(given: Open) -> None:
        async with open_clients(session=given.session, pollers=4, slots=200) as clients:
            assert clients.breakers is not clients.dynamodb
            config = clients.breakers.meta.config

        assert config.retries == {"mode": "standard", "total_max_attempts": 1}
        assert (config.connect_timeout, config.read_timeout) == (0.3, 0.5)
        assert config.max_pool_connections == 4

    on_aws(main)


@LOST
def test_whether_a_lost_trip_stands_is_told_by_its_nonce(act: Act) -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        lose(given, "dynamodb:PutItem", act)
        with pytest.raises(Unavailable):
            await given_order(store, Verdict(name=NAME), TRIP, "w-1")

        there = await stored(store)

        assert there.nonce == ("w-1" if isinstance(act, LoseResponse) else "")
        assert given.stack.faults.calls["dynamodb:PutItem"] == 1, "nothing is tried again"

    on_our_store(main)


@LOST
def test_a_lost_trip_that_is_asked_again_is_one_trip(act: Act) -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        lose(given, "dynamodb:PutItem", act)
        with pytest.raises(Unavailable):
            await given_order(store, Verdict(name=NAME), TRIP, "w-1")

        tripped = await given_order(store, Verdict(name=NAME), TRIP, "w-1")

        assert (tripped.nonce, tripped.version, tripped.epoch) == ("w-1", 1, 1)
        assert await stored(store) == tripped

    on_our_store(main)


@LOST
def test_a_lost_ticket_is_claimed_once_and_its_report_counts_once(act: Act) -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        begun = await probing(store)
        claim = moved(begun, ClaimTicket(epoch=1, round=1, claim="c-1"), POLICY, nonce="w-3")
        assert claim is not None
        lose(given, "dynamodb:PutItem", act)
        claimed = await insisted(store, begun, claim)
        report = Report(epoch=1, round=1, claim="c-1", good=True)
        told = moved(claimed, report, POLICY, nonce="w-4")
        assert told is not None

        lose(given, "dynamodb:PutItem", act)
        reported = await insisted(store, claimed, told)

        assert reported == await stored(store)
        assert (reported.claims, reported.outcomes) == (("c-1",), (True,))
        assert moved(reported, report, POLICY) is None

    on_our_store(main)


def test_writes_that_arrive_twice_count_once() -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        given.stack.faults.set_rules([Rule("dynamodb:PutItem", Duplicate())])
        change = PolicyChange(name=EVERY, version=1, values={"probes": 5}, author="ana")
        kept = replace(MINE, beat=2, votes={NAME: Vote(stage=1)})

        begun = await probing(store)
        claim = ClaimTicket(epoch=1, round=1, claim="c-1")
        claimed = await given_order(store, begun, claim, "w-3")
        report = Report(epoch=1, round=1, claim="c-1", good=False)
        reported = await given_order(store, claimed, report, "w-4")

        assert [v.nonce for v in (begun, claimed, reported)] == ["w-2", "w-3", "w-4"]
        assert (reported.version, reported.bad, reported.tickets_left) == (4, 1, 2)
        assert await store.swap_policy(change) == change
        assert await store.sit(MINE, None)
        assert await store.sit(kept, MINE)
        await store.note(row(7))
        board = await store.read()
        assert (board.verdicts, board.policies) == ({NAME: reported}, {EVERY: change})
        assert await store.seats() == [kept]
        assert await store.history(NAME, 100) == [row(7)]

    on_our_store(main)


@LOST
def test_a_seat_whose_answer_was_lost_is_ours_when_asked_again(act: Act) -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        kept = replace(MINE, beat=2)
        for seat, old in ((MINE, None), (kept, MINE)):
            lose(given, "dynamodb:PutItem", act)
            with pytest.raises(Unavailable):
                await store.sit(seat, old)

            assert await store.sit(seat, old)

        assert await store.seats() == [kept]

    on_our_store(main)


@LOST
def test_a_lost_row_is_kept_once_when_noted_again(act: Act) -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        lose(given, "dynamodb:PutItem", act)
        with pytest.raises(Unavailable):
            await store.note(row(7))

        assert await store.note(row(7)) == isinstance(act, LoseRequest)

        assert await store.history(NAME, 100) == [row(7)]

    on_our_store(main)


def test_a_store_that_is_slow_is_given_up_after_one_request() -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        operations: tuple[Callable[[], Awaitable[object]], ...] = (
            store.read,
            store.seats,
            lambda: store.history(NAME, 10),
            lambda: store.sit(MINE, None),
            lambda: store.note(row(7)),
            lambda: store.swap_policy(PolicyChange(name=EVERY, version=1)),
            lambda: given_order(store, Verdict(name=NAME), TRIP, "w-1"),
        )
        lose(given, "dynamodb:*", TOO_LATE, count=None)

        for operation in operations:
            with pytest.raises(Unavailable, match=r"^breakers: ReadTimeoutError$"):
                await operation()

        assert given.stack.faults.acted == [len(operations)]

    on_our_store(main)


@pytest.mark.parametrize(
    "act", [Refuse("ThrottlingException"), Refuse("InternalServerError", 500)], ids=lambda a: a.code
)
def test_a_store_that_refuses_is_asked_once(act: Refuse) -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        lose(given, "dynamodb:*", act, count=None)

        with pytest.raises(Unavailable, match=rf"^breakers: {act.code}$"):
            await store.read()
        with pytest.raises(Unavailable, match=rf"^breakers: {act.code}$"):
            await given_order(store, Verdict(name=NAME), TRIP, "w-1")

        assert given.stack.faults.acted == [2]

    on_our_store(main)


def test_tickets_stay_within_their_number_though_answers_are_lost_late_and_doubled() -> None:
    async def main(given: Open, store: DynamoBreakers) -> None:
        begun = await probing(store)
        rules = [
            Rule("dynamodb:PutItem", LoseResponse(), chance=0.25),
            Rule("dynamodb:PutItem", Duplicate(), chance=0.25),
            Rule("dynamodb:*", Delay(0.02), chance=0.25),
        ]
        given.stack.faults.set_rules(rules, seed=7)

        async def claim(worker: int) -> bool:
            """Claim as a worker does: on from what is there, until it has one or all are gone."""
            name, view = f"c-{worker}", begun
            order = ClaimTicket(epoch=1, round=1, claim=name)
            for write in range(100):
                new = moved(view, order, POLICY, nonce=f"{name}-{write}", at=AT)
                if new is None:
                    return name in view.claims
                try:
                    view = await store.swap(view, new)
                except Unavailable:
                    view = await stored(store)
            raise AssertionError("this never ends")

        claimed = await asyncio.gather(*(claim(worker) for worker in range(12)))

        there = await stored(store)
        assert claimed.count(True) == len(there.claims) == there.tickets == POLICY.probes
        assert all(claimed[int(name.removeprefix("c-"))] for name in there.claims)
        assert there.version == begun.version + POLICY.probes
        assert there.state is State.HALF_OPEN
        assert given.stack.faults.acted[0] > 0

    on_our_store(main)
