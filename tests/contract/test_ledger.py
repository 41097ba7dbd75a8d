"""What every ledger promises: what `core.ledger` says, and nothing else, is stored."""

import asyncio
import random
from dataclasses import replace

import pytest

from tests.contract.stage import SKEW_S, STAGES, Clock, on_ledger, spoil
from worker.core import ledger as rules
from worker.core.fault import Billed, Kind
from worker.core.ledger import (
    Attempt,
    Claim,
    Conflict,
    Ending,
    Finished,
    Record,
    RunningElsewhere,
    Stale,
    State,
)
from worker.core.trail import Bar, Leg
from worker.ports import Ledger, RecordUnreadable

pytestmark = pytest.mark.parametrize("stage", STAGES)

JOB = "invoice-42"
LEASE_S = 90.0
LEG = Leg(
    fence=1,
    generation=0,
    owner="boot-1",
    began_at=1767225501.1,
    ended_at=1767225502.25,
    ended="parked",
    why="circuit_open",
    until=1767225532.5,
    handler="cache",
    cut="haiku",
    sent_at=1767225500.25,
    bars=(Bar(name="sonnet", why="open", version=17), Bar(name="a bucket", why="paced")),
)
ENDINGS = (State.ANSWERED, State.DEGRADED, State.DEAD, State.PARKED, State.INTERRUPTED)


def asked(nonce: str = "n-1", **changes: object) -> Claim:
    ask = Claim(
        job=JOB,
        owner="boot-1",
        nonce=nonce,
        doorbell="m-1",
        lease_s=LEASE_S,
        digest="d1",
        sent_at=1767225500.25,
        route="default",
        tenant="acme",
    )
    return replace(ask, **changes)  # type: ignore[arg-type]


def ended(state: State, **changes: object) -> Ending:
    ending = Ending(state=state, attempts=1, parks=0, interruptions=0, crashes=0)
    return replace(ending, **changes)  # type: ignore[arg-type]


async def claimed(ledger: Ledger, ask: Claim) -> Record:
    record = await ledger.claim(ask)
    assert isinstance(record, Record)
    return record


async def finished(ledger: Ledger, held: Record, ending: Ending) -> Record:
    record = await ledger.finish(held, ending)
    assert isinstance(record, Record)
    return record


async def stored(ledger: Ledger) -> Record | None:
    record = (await ledger.load([JOB])).get(JOB)
    assert not isinstance(record, RecordUnreadable)
    return record


def test_the_first_claim_makes_the_record(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        record = await ledger.claim(asked())

        assert record == rules.claim(None, asked(), clock.now, skew_s=SKEW_S)
        assert await stored(ledger) == record

    on_ledger(stage, main)


def test_a_claim_without_route_tenant_or_digest_is_a_claim(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        ask = asked(route="", tenant="", digest="", sent_at=0.0)

        record = await ledger.claim(ask)

        assert record == rules.claim(None, ask, clock.now, skew_s=SKEW_S)
        assert await stored(ledger) == record

    on_ledger(stage, main)


def test_a_claim_is_settled_by_its_nonce(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        first = await claimed(ledger, asked())
        clock.now += 10

        assert await claimed(ledger, asked()) == first
        assert await stored(ledger) == first

    on_ledger(stage, main)


def test_who_claims_a_running_job_learns_how_long_to_wait(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        clock.now += 30

        refusal = await ledger.claim(asked("n-2", owner="boot-2"))

        assert refusal == RunningElsewhere(held, 60 + SKEW_S)
        assert await stored(ledger) == held

    on_ledger(stage, main)


def test_a_lapsed_claim_can_be_taken_over_and_its_holder_is_fenced_off(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        zombie = await claimed(ledger, asked())
        clock.now += LEASE_S + SKEW_S + 0.001

        held = await claimed(ledger, asked("n-2", owner="boot-2"))

        assert (held.fence, held.attempts, held.crashes) == (2, 2, 1)
        assert await stored(ledger) == held
        assert not await ledger.renew(zombie, LEASE_S)
        assert await ledger.finish(zombie, ended(State.ANSWERED)) == Stale(held)
        assert await stored(ledger) == held

    on_ledger(stage, main)


def test_a_renewed_claim_lasts(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        clock.now += 80

        assert await ledger.renew(held, LEASE_S)

        assert await stored(ledger) == replace(held, lease_until=clock.now + LEASE_S)
        clock.now += 80
        refusal = await ledger.claim(asked("n-2", owner="boot-2"))
        assert isinstance(refusal, RunningElsewhere)
        assert refusal.lease_left_s == 10 + SKEW_S

    on_ledger(stage, main)


def test_a_finished_job_cannot_be_renewed(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        held = await claimed(ledger, asked())
        await finished(ledger, held, ended(State.ANSWERED))

        assert not await ledger.renew(held, LEASE_S)

    on_ledger(stage, main)


@pytest.mark.parametrize("state", ENDINGS)
def test_every_field_of_an_ending_is_stored(stage: str, state: State) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        clock.now += 0.1
        ending = ended(
            state,
            attempts=3,
            parks=2,
            interruptions=1,
            crashes=0,
            history=(
                Attempt(
                    number=1,
                    target="sonnet",
                    kind=Kind.THROTTLED,
                    code="ThrottlingException",
                    http=429,
                    message="Too many “requests”",
                    duration_ms=12,
                    billed=Billed.MAYBE,
                    request_id="r-1",
                    timer="attempt",
                    breaker="half_open",
                    fence=1,
                    at=1767225501.123,
                ),
                Attempt(number=2, target="haiku"),
            ),
            not_before=clock.now + 300,
            reason="why",
            fingerprint="0123456789ab",
            result=b'{"status": "ok"}',
            result_ref="s3://bucket/key",
            told=False,
            leg=LEG,
        )

        record = await ledger.finish(held, ending)

        assert record == rules.finish(held, held, ending, clock.now)
        assert await stored(ledger) == record

    on_ledger(stage, main)


def test_the_same_ending_twice_is_one(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        first = await finished(ledger, held, ended(State.ANSWERED, result=b"{}"))
        clock.now += 5

        assert await ledger.finish(held, ended(State.ANSWERED, result=b"{}")) == first
        assert await stored(ledger) == first

    on_ledger(stage, main)


def test_a_second_and_different_ending_is_stale(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        held = await claimed(ledger, asked())
        first = await finished(ledger, held, ended(State.ANSWERED))

        assert await ledger.finish(held, ended(State.DEAD)) == Stale(first)
        assert await stored(ledger) == first

    on_ledger(stage, main)


def test_a_job_that_nobody_knows_cannot_be_finished(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        held = Record(job=JOB, state=State.RUNNING, fence=1, nonce="n-1", owner="boot-1")

        assert await ledger.finish(held, ended(State.ANSWERED)) == Stale(None)
        assert not await ledger.renew(held, LEASE_S)
        await ledger.mark_told(held)
        assert await stored(ledger) is None

    on_ledger(stage, main)


@pytest.mark.parametrize("state", [State.PARKED, State.INTERRUPTED])
def test_a_waiting_job_is_claimed_again_and_keeps_its_story(stage: str, state: State) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        history = (Attempt(number=1, target="sonnet", kind=Kind.UNAVAILABLE, code="503"),)
        ending = ended(state, parks=1, history=history, not_before=clock.now + 9, reason="open")
        waiting = await finished(ledger, held, ending)
        ask = asked(
            "n-2", owner="boot-2", doorbell="m-2", own_doorbell=True, tenant="", sent_at=1.5
        )

        again = await claimed(ledger, ask)

        assert again == rules.claim(waiting, ask, clock.now, skew_s=SKEW_S)
        assert (again.history, again.not_before) == (history, None)
        assert await stored(ledger) == again

    on_ledger(stage, main)


def test_a_trail_goes_on_over_parks_crashes_and_a_redrive(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        await finished(ledger, held, ended(State.PARKED, parks=1, leg=LEG))
        await claimed(ledger, asked("n-2"))
        clock.now += LEASE_S + SKEW_S + 1
        third = await claimed(ledger, asked("n-3", owner="boot-3"))
        call = Attempt(number=1, target="sonnet", kind=Kind.REJECTED, fence=3, at=clock.now)
        dead = Leg(fence=3, owner="boot-3", ended="dead", ended_at=clock.now)
        await finished(ledger, third, ended(State.DEAD, history=(call,), leg=dead))

        again = await claimed(ledger, asked("n-4", doorbell="m-9", sent_at=clock.now))

        lapsed_at = round(clock.now - SKEW_S - 1, 3)
        lapsed = replace(again.trail[1], ended_at=round(again.trail[1].ended_at, 3))
        assert lapsed == Leg(fence=2, owner="boot-1", ended_at=lapsed_at)
        assert again.trail == (LEG, again.trail[1], replace(dead, sent_at=held.sent_at))
        assert (again.past, again.history) == ((call,), ())
        assert await stored(ledger) == again
        done = await finished(ledger, again, ended(State.ANSWERED))
        assert done.trail == again.trail
        assert await stored(ledger) == done

    on_ledger(stage, main)


def test_a_job_keeps_how_long_it_was_parked_and_what_was_wasted_on_it(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        clock.now += 2.5
        parked_at = clock.now
        totals = {"parked_s": 12.25, "wasted_usd": 0.001, "wasted_most_usd": 0.0105}
        await finished(ledger, held, ended(State.PARKED, parks=1, **totals))
        clock.now += 60

        again = await claimed(ledger, asked("n-2"))

        assert (again.parked_at, again.parked_s) == (parked_at, 12.25)
        assert (again.wasted_usd, again.wasted_most_usd) == (0.001, 0.0105)
        totals = {"parked_s": 72.25, "wasted_usd": 0.001, "wasted_most_usd": 0.0105}
        done = await finished(ledger, again, ended(State.ANSWERED, parks=1, **totals))
        assert (done.parked_at, done.parked_s) == (None, 72.25)
        assert await stored(ledger) == done

    on_ledger(stage, main)


@pytest.mark.parametrize("state", [State.ANSWERED, State.DEGRADED, State.DEAD])
def test_a_finished_job_is_not_run_again_by_a_late_duplicate(stage: str, state: State) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        held = await claimed(ledger, asked())
        final = await finished(ledger, held, ended(state))

        assert await ledger.claim(asked("n-2")) == Finished(final)
        assert await stored(ledger) == final

    on_ledger(stage, main)


def test_another_message_for_a_dead_job_is_a_redrive(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        held = await claimed(ledger, asked())
        await finished(ledger, held, ended(State.DEAD, reason="expired", fingerprint="ab"))
        clock.now += 60
        ask = asked("n-2", doorbell="m-2", digest="d2", sent_at=clock.now)

        redriven = await claimed(ledger, ask)

        assert (redriven.generation, redriven.fence, redriven.attempts) == (1, 2, 1)
        assert (redriven.reason, redriven.finished_at) == ("", None)
        assert redriven.doorbells == {"m-1", "m-2"}
        assert await stored(ledger) == redriven

    on_ledger(stage, main)


def test_a_message_that_joined_the_run_is_no_redrive_of_its_death(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        held = await claimed(ledger, asked())
        dead = await finished(ledger, held, ended(State.DEAD, rung=frozenset({"m-2", "m-3"})))

        assert dead.doorbells == {"m-1", "m-2", "m-3"}
        assert await stored(ledger) == dead
        assert await ledger.claim(asked("n-2", doorbell="m-2")) == Finished(dead)

    on_ledger(stage, main)


def test_a_parked_doorbell_is_never_a_redrive(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        held = await claimed(ledger, asked())
        dead = await finished(ledger, held, ended(State.DEAD))

        assert await ledger.claim(asked("n-2", doorbell="m-2", own_doorbell=True)) == Finished(dead)

    on_ledger(stage, main)


@pytest.mark.parametrize("state", [None, State.PARKED, State.ANSWERED])
def test_another_request_under_the_same_id_is_refused(stage: str, state: State | None) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        record = await claimed(ledger, asked())
        if state is not None:
            record = await finished(ledger, record, ended(state))

        for digest in ("d2", ""):
            assert await ledger.claim(asked("n-2", digest=digest)) == Conflict(record)
        assert await stored(ledger) == record

    on_ledger(stage, main)


def test_what_was_told_is_marked_once_and_only_by_its_own_claim(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        held = await claimed(ledger, asked())
        final = await finished(ledger, held, ended(State.DEAD, told=False))

        await ledger.mark_told(replace(final, nonce="another"))
        assert await stored(ledger) == final
        await ledger.mark_told(final)
        await ledger.mark_told(final)

        assert await stored(ledger) == replace(final, told=True)

    on_ledger(stage, main)


def test_of_many_claimers_one_wins(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        for round_ in range(5):
            job = f"job-{round_}"
            asks = [asked(f"n-{n}", job=job, owner=f"boot-{n}") for n in range(16)]

            answers = await asyncio.gather(*(ledger.claim(ask) for ask in asks))

            winners = [answer for answer in answers if isinstance(answer, Record)]
            assert len(winners) == 1
            assert winners[0].fence == 1
            losers = [answer for answer in answers if answer != winners[0]]
            assert losers == [RunningElsewhere(winners[0], LEASE_S + SKEW_S)] * 15

    on_ledger(stage, main)


def test_of_many_that_take_over_one_wins(stage: str) -> None:
    async def main(ledger: Ledger, clock: Clock) -> None:
        await claimed(ledger, asked())
        clock.now += LEASE_S + SKEW_S + 1
        asks = [asked(f"take-{n}", owner=f"boot-{n + 2}") for n in range(16)]

        answers = await asyncio.gather(*(ledger.claim(ask) for ask in asks))

        winners = [answer for answer in answers if isinstance(answer, Record)]
        assert [(winner.fence, winner.crashes) for winner in winners] == [(2, 1)]
        assert await stored(ledger) == winners[0]

    on_ledger(stage, main)


def test_many_records_are_loaded_at_once_and_absent_ones_are_left_out(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        jobs = [f"job-{n}" for n in range(100)]
        records = [await claimed(ledger, asked(job=job)) for job in jobs[:60]]

        found = await ledger.load([*jobs[:99], jobs[0]])

        assert found == {record.job: record for record in records}
        assert await ledger.load([]) == {}

    on_ledger(stage, main)


def test_a_record_that_cannot_be_read_concerns_its_own_job_only(stage: str) -> None:
    async def main(ledger: Ledger, _: Clock) -> None:
        good = await claimed(ledger, asked())
        await spoil(ledger, "odd")

        found = await ledger.load([JOB, "odd", "absent"])

        assert set(found) == {JOB, "odd"}
        assert found[JOB] == good
        assert isinstance(found["odd"], RecordUnreadable)
        with pytest.raises(RecordUnreadable):
            await ledger.claim(asked(job="odd"))

    on_ledger(stage, main)


@pytest.mark.parametrize("seed", range(3))
def test_any_life_is_stored_as_the_rules_tell_it(stage: str, seed: int) -> None:
    """A job's life by dice, told twice: by the pure rules, and by the ledger."""

    async def main(ledger: Ledger, clock: Clock) -> None:
        dice = random.Random(seed)  # noqa: S311 - dice, not secrets
        truth: Record | None = None
        claims: list[Record] = []
        seen: set[State | None] = set()
        for step in range(150):
            clock.now += dice.choice([0.25, 1.0, 40.0, 200.0])
            if dice.random() < 0.5 or not claims:
                ask = asked(
                    dice.choice([f"n-{step}", f"n-{step}", claims[-1].nonce if claims else "n"]),
                    owner=f"boot-{dice.randrange(4)}",
                    doorbell=f"m-{dice.randrange(3 + step // 20)}",
                    digest=dice.choice(["d1", "d1", "d1", "d2"]),
                    tenant=dice.choice(["acme", ""]),
                    own_doorbell=dice.random() < 0.3,
                    sent_at=clock.now - 0.5,
                )
                expected = rules.claim(truth, ask, clock.now, skew_s=SKEW_S)
                assert await ledger.claim(ask) == expected
                if isinstance(expected, Record):
                    truth = expected
                    claims.append(expected)
            elif dice.random() < 0.2:
                held = dice.choice(claims[-3:])
                assert truth is not None
                mine = (truth.fence, truth.nonce) == (held.fence, held.nonce)
                mine = mine and truth.state is State.RUNNING
                assert await ledger.renew(held, LEASE_S) == mine
                if mine:
                    truth = replace(truth, lease_until=clock.now + LEASE_S)
            else:
                held = dice.choice(claims[-3:])
                ending = ended(
                    dice.choice(ENDINGS),
                    attempts=dice.randrange(4),
                    parks=dice.randrange(2),
                    reason=dice.choice(["", "because"]),
                    result=dice.choice([None, b"{}"]),
                    told=dice.random() < 0.5,
                    not_before=dice.choice([None, clock.now]),
                )
                end = rules.finish(truth, held, ending, clock.now)
                assert await ledger.finish(held, ending) == end
                if isinstance(end, Record):
                    truth = end
                    if truth.state.final and dice.random() < 0.5:
                        await ledger.mark_told(truth)
                        truth = replace(truth, told=True)
            assert await stored(ledger) == truth
            seen.add(truth.state if truth else None)
        assert len(seen) >= 3, "little happened"

    on_ledger(stage, main)
