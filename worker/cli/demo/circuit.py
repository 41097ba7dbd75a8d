"""What was seen of one target's circuit, as values.

The turns are rows of the breakers' table, and the counts are the model's own. Both
carry the story's time: the stack and the workers share one host, and so one clock.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

CLOSED, OPEN, HALF_OPEN, RAMP = "closed", "open", "half_open", "ramp"
# A row is written just after its turn, and nobody calls just before one: this makes
# sure that what the turn allowed is not counted as made before it.
MARGIN_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One change of a circuit, as the breakers' table tells it.

    Attributes:
        breaker: Whose circuit: a target's name, or an endpoint's.
        version: Grows with every write; it names the row.
        round: Number of the latest round of probes.
        rest_s: How long an open circuit was to rest.
        by: Who wrote it.
    """

    breaker: str
    version: int
    old: str
    new: str
    share: float
    round: int
    rest_s: float
    why: str
    by: str
    at_s: float

    @property
    def words(self) -> str:
        """What the circuit is after it."""
        match self.new:
            case "open":
                return f"open, rests {self.rest_s:.1f} s"
            case "half_open":
                return f"half-open, round {self.round}"
            case "ramp":
                return f"ramp, {self.share * 100:.0f} % of the slots"
            case _:
                return self.new


@dataclass(frozen=True, slots=True)
class Count:
    """The model's own count in one Region at one moment: calls begun, and calls ended badly."""

    at_s: float
    calls: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """From one turn to the next: `calls` reached the model in this time."""

    turn: Turn
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bout:
    """One trouble of the model's, from when it began to when the model was well again."""

    began_s: float
    ended_s: float
    calls: int
    failed: int

    @property
    def took_s(self) -> float:
        """How long it lasted."""
        return self.ended_s - self.began_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """All that was seen of one.

    Attributes:
        target: Whose it is.
        turns: In the order of their versions.
        counts: Of the target's Region, in the order of time.
        probes: What one round may ask for.
        ramp: The shares that lead back, by the policy.
        failed_by: Failed calls of the outage that each worker tells of.
    """

    target: str
    turns: tuple[Turn, ...]
    counts: tuple[Count, ...] = field(repr=False)
    outage: Bout
    probes: int
    ramp: tuple[float, ...]
    failed_by: Mapping[str, int]

    @property
    def trips(self) -> list[Turn]:
        """Turns from closed to open."""
        return [turn for turn in self.turns if turn.old == CLOSED and turn.new == OPEN]

    @property
    def way_back(self) -> list[Turn]:
        """The turns since it last let out no more than probes."""
        last = max(
            (n for n, turn in enumerate(self.turns) if turn.new in (OPEN, HALF_OPEN)), default=-1
        )
        return list(self.turns[last + 1 :])

    @property
    def closed(self) -> Turn | None:
        """Its last turn, if that closed it."""
        return self.turns[-1] if self.turns and self.turns[-1].new == CLOSED else None

    @property
    def rests(self) -> list[tuple[float, float]]:
        """When it was open, from and until, in the story's time."""
        return rests_of(self.turns, self.counts[-1].at_s)

    def spells(self) -> list[Spell]:
        """What reached the model after each turn; after the last one, until all was over."""
        return [
            Spell(turn=turn, calls=self._calls_at(after) - self._calls_at(turn))
            for turn, after in _with_next(self.turns)
        ]

    @property
    def exposed(self) -> int:
        """Calls of the outage that reached the model before the circuit opened."""
        limit = self._calls_at(self.turns[0] if self.turns else None)
        return limit - self._counted(self.outage.began_s)

    def rounds(self) -> list[Spell]:
        """The rounds of probes. A rest after a round is counted to it: nobody may call."""
        limits = [turn for turn in self.turns if turn.new in (HALF_OPEN, RAMP)]
        return [
            Spell(turn=turn, calls=self._calls_at(after) - self._calls_at(turn))
            for turn, after in _with_next(tuple(limits))
            if turn.new == HALF_OPEN
        ]

    def _calls_at(self, turn: Turn | None) -> int:
        if turn is None:
            return self.counts[-1].calls
        margin_s = MARGIN_S if turn.new == HALF_OPEN else 0.0
        return self._counted(turn.at_s - margin_s)

    def _counted(self, at_s: float) -> int:
        before = [count.calls for count in self.counts if count.at_s <= at_s]
        return before[-1] if before else 0


def rests_of(turns: tuple[Turn, ...], until_s: float) -> list[tuple[float, float]]:
    """When a circuit was open, from and until: after its last turn, until `until_s`."""
    return [
        (turn.at_s, until_s if after is None else after.at_s)
        for turn, after in _with_next(turns)
        if turn.new == OPEN
    ]


def _with_next(turns: tuple[Turn, ...]) -> Iterator[tuple[Turn, Turn | None]]:
    return pairwise((*turns, None))  # type: ignore[arg-type]
