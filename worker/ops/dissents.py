"""Workers that see a target otherwise than the fleet: by their votes and its verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.core.jury import Seat
from worker.core.verdict import State
from worker.ops.breakers import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Dissent:
    """A worker that sees a target otherwise than the fleet.

    Attributes:
        sees: `sick` (its own breaker is open, the fleet's is closed) or `behind` (it has not
            yet followed the fleet's last step).
    """

    worker: str
    breaker: str
    sees: str
    calls: int
    failures: int


def dissents_of(standings: Sequence[Standing], seats: Sequence[Seat]) -> tuple[Dissent, ...]:
    """Workers that see it otherwise; none where all of them do."""
    found = []
    for one in standings:
        votes = [(s.holder, s.votes[one.name]) for s in seats if one.name in s.votes]
        own = [
            Dissent(
                worker=holder,
                breaker=one.name,
                sees="sick" if vote.sick else "behind",
                calls=vote.calls,
                failures=vote.failures,
            )
            for holder, vote in votes
            if (vote.sick and one.state is State.CLOSED) or vote.stage < one.stage
        ]
        if len(own) < len(votes):
            found += own
    return tuple(found)
