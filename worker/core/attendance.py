"""Who of the jury is there, as one worker sees it, and whose votes it may count.

Clocks of hosts differ, so no juror asks when a vote was cast. A seat's beat grows with
every publication; whoever looks twice sees on its own clock whether it moved. A seat
that stands still for long has lapsed. Already before that nobody waits for its vote,
or the seats of those who were killed would make a quorum that nobody can reach.

A vote that speaks against the target counts only while its beat moves, for a worker
under suspicion publishes every second: what a worker said before it died or fell
silent opens nothing.
"""

from collections.abc import Sequence
from typing import Final

from worker.core.jury import Seat, Vote
from worker.core.sightings import Sighting

CALM_S: Final = 15.0  # how often a seat is published when all is well
LAPSE_S: Final = 3 * CALM_S
PRESENT_S: Final = 1.2 * CALM_S + 2.0  # the longest pause between two calm beats, and the reading
FRESH_S: Final = 4.0


class Attendance:
    """The seats as seen from one worker. Times are seconds on its own clock."""

    def __init__(self) -> None:
        self._seats: dict[int, Seat] = {}
        self._since: dict[int, float] = {}  # when this beat was first seen
        self._moved: dict[int, bool] = {}  # whether we saw the beat before it

    def note(self, seats: Sequence[Seat], now: float) -> None:
        """All seats were read: what is not among them is no more."""
        for number in self._seats.keys() - {seat.number for seat in seats}:
            del self._seats[number], self._since[number], self._moved[number]
        for seat in seats:
            known = self._seats.get(seat.number)
            if known is None or (known.holder, known.beat) != (seat.holder, seat.beat):
                self._since[seat.number] = now
                self._moved[seat.number] = known is not None and known.holder == seat.holder
            self._seats[seat.number] = seat

    def own(self, seat: Seat, now: float) -> None:
        """We published our own seat: no need to read it."""
        self._seats[seat.number] = seat
        self._since[seat.number] = now
        self._moved[seat.number] = True

    def lapsed(self, now: float) -> frozenset[int]:
        """Seats whose holder has been silent for too long."""
        return frozenset(number for number, since in self._since.items() if now - since >= LAPSE_S)

    def held(self, now: float) -> list[Seat]:
        """Seats that somebody holds."""
        lapsed = self.lapsed(now)
        return [
            seat for number, seat in self._seats.items() if seat.holder and number not in lapsed
        ]

    def present(self, now: float) -> list[Seat]:
        """Seats whose holder has shown that it lives: they make the quorum."""
        return [seat for seat in self.held(now) if now - self._since[seat.number] <= PRESENT_S]

    def seat(self, number: int) -> Seat | None:
        """A seat as it was last seen; None if nobody ever sat there."""
        return self._seats.get(number)

    def sightings(self, now: float) -> tuple[Sighting, ...]:
        """What went wrong at those who are present."""
        return tuple(seen for seat in self.present(now) for seen in seat.seen)

    def votes(self, breaker: str, now: float) -> list[Vote]:
        """The votes on one breaker that may be counted."""
        found = []
        for seat in self.present(now):
            vote = seat.votes.get(breaker)
            if vote is None:
                continue
            fresh = self._moved[seat.number] and now - self._since[seat.number] <= FRESH_S
            if fresh or not (vote.sick or vote.failures or vote.recent_failures):
                found.append(vote)
        return found
