"""What was seen of the first act, as values: two circuits, and those who waited for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from worker.cli.demo.circuit import Bout, Circuit, Turn

Spans = Sequence[tuple[float, float]]  # from and until, in the story's time


@dataclass(frozen=True, slots=True)
class Polls:
    """How often the parked queues of batch and of chat had been asked, at one moment."""

    at_s: float
    batch: int
    chat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How often they were asked while both circuits were open, and how long that was."""

    within_s: float
    batch: int
    chat: int

    @classmethod
    def seen(cls, near: Spans, far: Spans, polls: Sequence[Polls]) -> Self:
        """What was asked while both circuits were open, given when each of them was."""

        def at(at_s: float) -> Polls:
            return next((one for one in reversed(polls) if one.at_s <= at_s), Polls(0.0, 0, 0))

        spans = list(_both(near, far))
        return cls(
            within_s=sum(until - since for since, until in spans),
            batch=sum(at(until).batch - at(since).batch for since, until in spans),
            chat=sum(at(until).chat - at(since).chat for since, until in spans),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Who waited just before the Regions were well again.

    Attributes:
        parked: Jobs of batch whose record said PARKED.
        doorbells: Messages in batch's parked queue; that of a job in hand is still one.
        untouched: Jobs of batch without a record: nobody has taken them yet.
    """

    parked: frozenset[str]
    doorbells: int
    untouched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """All of it.

    Attributes:
        zero_at: When the story began, seconds since 1970.
        turns: Of every circuit, in the order of time.
    """

    zero_at: float
    brownout: Bout
    turns: tuple[Turn, ...]
    near: Circuit
    far: Circuit
    waiting: Waiting
    polls: tuple[Polls, ...] = field(repr=False)

    @property
    def circuits(self) -> tuple[Circuit, Circuit]:
        """Both."""
        return self.near, self.far

    @property
    def early(self) -> list[Turn]:
        """Turns before the first outage: nothing should have been changed by then."""
        return [turn for turn in self.turns if turn.at_s < self.near.outage.began_s]

    @property
    def rest(self) -> Rest:
        """The time in which no target admitted anything."""
        return Rest.seen(self.near.rests, self.far.rests, self.polls)


def _both(some: Spans, others: Spans) -> Iterator[tuple[float, float]]:
    """Where spans of both lists overlap."""
    for since, until in some:
        for other_since, other_until in others:
            span = max(since, other_since), min(until, other_until)
            if span[0] < span[1]:
                yield span
