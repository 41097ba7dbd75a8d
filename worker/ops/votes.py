"""What the jury says of one breaker, counted as a juror counts it.

A seat says when it was published, by its holder's clock: one that is long past is
passed over, for its worker is gone. Whoever is gone of late can only be told by looking
twice: a calm juror publishes every 18 s at the latest. A juror looks at no clock, and
passes over failures that are no longer fresh.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.attendance import LAPSE_S
from worker.core.jury import Seat, Vote, fleet_size, tally
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State, Verdict
from worker.ops.desk import Desk, asked

SKEW_S: Final = 300.0  # AWS takes no request of whose clock is further off
GONE_S: Final = LAPSE_S + SKEW_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Jury:
    """What the votes on one breaker say together.

    Attributes:
        seats: Seats that somebody holds, or held before it went.
        sure: Whether those of workers that went of late are left out too.
        workers: About how many workers there are.
        voters: Votes for the verdict's own stage: `bad`, `good` and `abstain` (who made no
            calls) together.
        calls, failures: In the voters' windows, of `window_s` seconds each.
        calls_per_min: Of all workers, by these votes.
        says: What follows from them, in a sentence; "" if nothing does in this state.
    """

    seats: int
    sure: bool
    workers: float
    voters: int
    bad: int
    good: int
    abstain: int
    calls: int
    failures: int
    window_s: float
    calls_per_min: float
    says: str


async def jurors(desk: Desk, look_s: float = 0.0) -> list[Seat]:
    """The seats; with `look_s`, those alone whose holder published in the meantime.

    Raises:
        Unavailable: The store could not be asked.
    """
    seats = await asked(desk.store.seats())
    if look_s <= 0:
        return living(seats, desk.at())
    before = {(seat.number, seat.holder, seat.beat) for seat in seats}
    await asyncio.sleep(look_s)
    return [
        seat
        for seat in await asked(desk.store.seats())
        if seat.holder and (seat.number, seat.holder, seat.beat) not in before
    ]


def living(seats: Iterable[Seat], at: float) -> list[Seat]:
    """Seats that somebody holds, and published about now or does not say when.

    Args:
        seats: All of them.
        at: The wall clock, seconds since 1970.
    """
    return [
        seat
        for seat in seats
        if seat.holder and (not seat.seen_at or abs(at - seat.seen_at) <= GONE_S)
    ]


def votes_of(verdict: Verdict, seats: Sequence[Seat], policy: BreakerPolicy, *, sure: bool) -> Jury:
    """Count the votes on one breaker as a juror would, but for how old they are."""
    votes = [
        vote
        for seat in seats
        if (vote := seat.votes.get(verdict.name)) is not None and vote.stage == verdict.stage
    ]
    bad = sum(_finds_bad(vote, policy) for vote in votes)
    good = sum(vote.calls > 0 and not _finds_bad(vote, policy) for vote in votes)
    workers = fleet_size(seats) if seats else 0.0
    calls = sum(vote.calls for vote in votes)
    together = tally(votes, len(seats), policy)
    tells = verdict.state is State.RAMP or (verdict.state is State.CLOSED and together.bad)
    per_seat = calls / len(votes) if votes else 0.0
    return Jury(
        seats=len(seats),
        sure=sure,
        workers=round(workers, 1),
        voters=len(votes),
        bad=bad,
        good=good,
        abstain=len(votes) - bad - good,
        calls=calls,
        failures=sum(vote.failures for vote in votes),
        window_s=policy.window_s,
        calls_per_min=round(per_seat * workers / policy.window_s * 60, 1),
        says=together.why if tells else "",
    )


def _finds_bad(vote: Vote, policy: BreakerPolicy) -> bool:
    """Whether this vote alone speaks against the target: a tally of one."""
    return tally([vote], 1, policy).bad
