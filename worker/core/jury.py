"""The jury: who votes on a breaker, and what the votes say together.

However large the fleet, at most `SEATS` workers publish what they see; any of them
may count the votes, and a compare-and-swap on the verdict decides. A worker counts
as one: a broken host fails fast and so makes many failures, which is why pooled
counts alone can be led astray, and one worker that trips first must not decide.

Seats go to the workers with the smallest *lots*. A lot is an even draw from [0, 1)
that a worker makes once, so the largest lot that has a seat tells how large the
fleet is, and nobody has to count it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from worker.core.moves import StepDown, StepUp, Trip
from worker.core.policy import BreakerPolicy
from worker.core.sightings import Sighting
from worker.core.verdict import State, Verdict

SEATS: Final = 32
QUORUM_MIN: Final = 3
VOTER_Z: Final = 1.28  # one vote may err in 1 of 10; the quorum does not
POOL_Z: Final = 1.64
POOL_MIN: Final = 10  # calls


def lower_bound(bad: float, calls: float, z: float) -> float:
    """The rate that the true one is surely above: the lower end of Wilson's interval.

    Args:
        bad: How many of the `calls` were bad.
        calls: At least 0; 0 gives 0.
        z: How sure: 1.28 for 90 %, 1.64 for 95 %.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", J. Am. Stat. Assoc. 22, 1927.

    >>> round(lower_bound(8, 8, 1.28), 2), round(lower_bound(1, 1, 1.28), 2)
    (0.83, 0.38)
    """
    if calls <= 0:
        return 0.0
    rate, z2 = min(1.0, bad / calls), z * z
    middle = rate + z2 / (2 * calls)
    spread = z * sqrt(rate * (1 - rate) / calls + z2 / (4 * calls * calls))
    return (middle - spread) / (1 + z2 / calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one worker sees of one breaker. It counts only for the stage that it names.

    Attributes:
        stage: The verdict's stage when the evidence was gathered.
        calls, failures: In the whole window: those in flight among the calls, those
            stuck among the failures.
        recent_calls, recent_failures: The newest calls, and those of them that failed.
        successes: Calls of this stage that ended well.
        slow: Calls in the window that were slow.
        sick: The worker's own breaker is open: it calls no more, and its numbers
            are those that opened it.
        ripe_calls, ripe_stuck: The newest calls that should have ended by now, and those
            of them that have not.
    """

    stage: int
    calls: int = 0
    failures: int = 0
    recent_calls: int = 0
    recent_failures: int = 0
    successes: int = 0
    slow: int = 0
    sick: bool = False
    ripe_calls: int = 0
    ripe_stuck: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One place in the jury, and what its holder sees.

    Attributes:
        number: 0 to `SEATS` - 1.
        holder: The worker, "" while nobody holds it.
        lot: The holder's lot.
        beat: +1 at every publication; a seat whose beat stands still has lapsed.
        votes: By breaker.
        seen: What went wrong at the holder's in the last minute; for people, it decides nothing.
        seen_at: When it was published, seconds since 1970 on the holder's clock; 0 if it does
            not say. For people too: jurors look at beats.
    """

    number: int
    holder: str
    lot: float
    beat: int
    votes: Mapping[str, Vote] = field(default_factory=dict)
    seen: tuple[Sighting, ...] = ()
    seen_at: float = 0.0


def seat_for(lot: float, seats: Sequence[Seat], lapsed: frozenset[int]) -> int | None:
    """The seat that a worker without one may take; None if the jury is rightly full.

    Args:
        lot: The worker's own.
        seats: Those that somebody holds.
        lapsed: Numbers of seats whose holder is gone.

    >>> seat_for(0.5, [], frozenset())
    16
    """
    held = {seat.number for seat in seats} - lapsed
    free = [number for number in range(SEATS) if number not in held]
    if free:
        return free[int(lot * len(free))]  # workers that start together try different ones
    last = max((seat for seat in seats if seat.number in held), key=lambda seat: seat.lot)
    return last.number if lot < last.lot else None


def fleet_size(seats: Sequence[Seat]) -> float:
    """How many workers there are: exactly while not all seats are held, else about (± 20 %).

    Source: Z. Bar-Yossef et al., "Counting distinct elements in a data stream", 2002
    (the k-th smallest of n even draws lies at about k / n).
    """
    if len(seats) < SEATS:
        return float(max(1, len(seats)))
    return max(float(SEATS), (SEATS - 1) / max(seat.lot for seat in seats))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the votes say together.

    Attributes:
        bad: The target is bad, beyond what a minority of faulty voters could feign.
        good: Enough calls of this stage ended well, no more than the policy allows failed,
            and it is not bad.
        why: Both in a sentence, at most 200 characters.
    """

    bad: bool
    good: bool
    why: str


def tally(votes: Sequence[Vote], live: int, policy: BreakerPolicy) -> Tally:
    """Count the votes on one breaker.

    Bad by majority: at least half of those who made calls, and 3, find it bad by
    themselves. Bad by pool: as many have failures to show, and their calls together,
    without the highest and lowest quarter and none weighing more than the median,
    fail surely more often than the policy allows. In both, fewer faulty voters than
    the quorum can open nothing while the others see no failures.

    Args:
        votes: Those of live seats for the verdict's own stage.
        live: How many there are; with fewer than 3 all of them are the quorum.
        policy: The thresholds.
    """
    whole = [(vote.calls, vote.failures, vote.sick) for vote in votes]
    recent = [
        (vote.calls, vote.failures, True)
        if vote.sick
        else (vote.recent_calls, vote.recent_failures, False)
        for vote in votes
    ]
    ripe = [(vote.ripe_calls, vote.ripe_stuck, False) for vote in votes]
    quorum_min = min(QUORUM_MIN, max(1, live))
    found = (
        _bad(recent, quorum_min, policy.failure_rate, "recent")
        or _bad(ripe, quorum_min, policy.failure_rate, "hanging")
        or _bad(whole, quorum_min, policy.failure_rate, "all")
    )
    if found is None and policy.slow_rate is not None:
        slow = [(vote.calls, vote.slow, False) for vote in votes]
        found = _bad(slow, quorum_min, policy.slow_rate, "slow")
    successes, failures = sum(vote.successes for vote in votes), sum(f for _, f, _ in whole)
    why = found or f"{successes} calls of {len(votes)} voters ended well"
    earned = successes >= policy.ramp_calls and failures <= policy.failure_rate * (
        failures + successes
    )
    return Tally(bad=found is not None, good=earned and not found, why=why)


def _bad(
    counts: Sequence[tuple[int, int, bool]], quorum_min: int, rate: float, what: str
) -> str | None:
    seeing = [count for count in counts if count[0] > 0 or count[2]]
    bad = sum(
        sick or (calls > 1 and lower_bound(failures, calls, VOTER_Z) > rate)
        for calls, failures, sick in seeing
    )
    if bad >= max(quorum_min, (len(seeing) + 1) // 2):
        return f"{bad} of {len(seeing)} voters find it bad ({what})"
    return _bad_by_pool(counts, quorum_min, rate, what)


def _bad_by_pool(
    counts: Sequence[tuple[int, int, bool]], quorum_min: int, rate: float, what: str
) -> str | None:
    judging = sorted(
        ((calls, failures) for calls, failures, _ in counts if calls > 0),
        key=lambda count: count[1] / count[0],
    )
    failing = sum(failures > 0 for _, failures in judging)
    if failing < max(quorum_min, (len(judging) + 1) // 2):
        return None
    cut = len(judging) // 4
    kept = judging[cut : len(judging) - cut]
    weight = sorted(calls for calls, _ in judging)[len(judging) // 2]
    calls = failures = 0.0
    for count, failed in kept:
        share = min(1.0, weight / count)
        calls += count * share
        failures += failed * share
    if calls < POOL_MIN or lower_bound(failures, calls, POOL_Z) <= rate:
        return None
    return f"{failures:.0f} of {calls:.0f} calls of {len(kept)} voters failed ({what})"


def finding(
    verdict: Verdict,
    votes: Sequence[Vote],
    live: int,
    policy: BreakerPolicy,
    *,
    roll: float,
    calm_s: float,
) -> Trip | StepUp | StepDown | None:
    """The order that the votes give; None if they give none.

    Args:
        verdict: As the caller knows it.
        votes: Of live seats, for any stage; only those for the verdict's own count.
        live: How many live seats there are.
        policy: The breaker's policy.
        roll: An even draw from [0, 1), for the cooldown's jitter.
        calm_s: How long the caller has seen the breaker closed.
    """
    own = [vote for vote in votes if vote.stage == verdict.stage]
    if verdict.state is State.CLOSED:
        found = tally(own, live, policy)
        if found.bad:
            return Trip(stage=verdict.stage, why=found.why, roll=roll, calm_s=calm_s)
    elif verdict.state is State.RAMP:
        found = tally(own, live, policy)
        if found.bad:
            return StepDown(stage=verdict.stage, why=found.why, roll=roll)
        if found.good:
            return StepUp(stage=verdict.stage, why=found.why)
    return None
