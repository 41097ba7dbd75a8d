"""What is looked at, and how far: a few scenes in CI, more of everything in the night.

One scene with all mishaps at once is too large for a laptop. Each scene has some of
them, together with all that the protocol does by itself.
"""

from dataclasses import dataclass
from typing import Final

from tests.model.checker import Found, search
from tests.model.protocol import Protocol
from tests.model.rules import Book, Rules
from tests.model.writes import Limits
from worker.core.policy import BreakerPolicy


def policy(probes_good: int) -> BreakerPolicy:
    """Two probes a round, and the ramp's two steps, each earned by one good call."""
    return BreakerPolicy(probes=2, probes_good=probes_good, ramp=(0.2, 0.5), ramp_calls=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One search. `states_max` ends it early: only in the night."""

    name: str
    limits: Limits
    probes_good: int = 1
    states_max: int = 10_000_000

    def book(self, rules: Rules | None = None) -> Book:
        """The rules for this scene."""
        return Book(rules or Rules(), policy(self.probes_good))

    def search(self, book: Book) -> Found:
        """Look at it."""
        return search(Protocol(book, self.limits), states_max=self.states_max)


CALM: Final = Scene(
    name="a target that is healthy all along",
    limits=Limits(turns=0, flights=2, lags=1, crashes=1, holds=2, modes=(0, 1, 2)),
)

SCENES: Final = (
    Scene(
        name="one write is slow, lost or late, and one worker crashes",
        limits=Limits(rounds=1, flights=1, crashes=1),
    ),
    Scene(
        name="both probes must be good",
        limits=Limits(rounds=1, flights=1, crashes=1),
        probes_good=2,
    ),
    Scene(
        name="several rounds and trips, and one worker crashes",
        limits=Limits(epochs=2, rounds=3, turns=3, crashes=1),
    ),
    Scene(
        name="one worker acts from an old view",
        limits=Limits(rounds=2, lags=1),
    ),
    Scene(
        name="two writes are on their way at once",
        limits=Limits(rounds=1, turns=1, flights=2),
    ),
    Scene(
        name="operators order, each mode",
        limits=Limits(rounds=1, turns=2, holds=2, modes=(0, 1, 2)),
    ),
    Scene(
        name="the end of an override is late",
        limits=Limits(rounds=1, turns=1, holds=2, flights=1),
    ),
    Scene(
        name="the store is wiped, and one worker crashes",
        limits=Limits(rounds=1, wipes=1, crashes=1),
    ),
    Scene(
        name="the store is wiped, and one worker lagged",
        limits=Limits(rounds=1, turns=1, wipes=1, lags=1),
    ),
    Scene(
        name="the store is wiped, and an operator is faster than who restores it",
        limits=Limits(rounds=1, turns=1, wipes=1, holds=1),
    ),
)

MILLIONS: Final = 2_500_000
LARGE: Final = (
    Scene(
        name="four workers",
        limits=Limits(workers=4, rounds=1, flights=1),
    ),
    Scene(
        name="one worker acts from an old view, in two epochs",
        limits=Limits(epochs=2, rounds=2, turns=3, lags=1),
    ),
    Scene(
        name="two writes on their way, and one worker acts from an old view",
        limits=Limits(rounds=1, flights=2, lags=1),
        states_max=MILLIONS,
    ),
    Scene(
        name="two epochs and two rounds with a slow write",
        limits=Limits(epochs=2, rounds=2, turns=3, flights=1),
        states_max=MILLIONS,
    ),
    Scene(
        name="both probes must be good, in two rounds",
        limits=Limits(rounds=2, flights=1, crashes=1),
        probes_good=2,
        states_max=MILLIONS,
    ),
    Scene(
        name="a wipe in two rounds, with two crashes",
        limits=Limits(rounds=2, wipes=1, crashes=2),
    ),
    Scene(
        name="a wipe, and one worker that lagged, in an outage that ends",
        limits=Limits(rounds=1, wipes=1, lags=1),
    ),
    Scene(
        name="a wipe and a slow write",
        limits=Limits(rounds=1, wipes=1, flights=1),
        states_max=MILLIONS,
    ),
)
