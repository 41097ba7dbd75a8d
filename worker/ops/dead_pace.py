"""How fast dead letters go back, who may stop them on the way, and what became of it."""

from dataclasses import dataclass, field
from typing import Final

from worker.ops.desk import Misused

RATE_MIN: Final = 0.1
RATE_MAX: Final = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast, and when to stop.

    Attributes:
        rate: Letters per second, 0.1 to 500.
        stages: Sizes of the first stages, as 1, 10, 100; each is waited for. () for none.
        stop_share: Above this share of a stage that dies again, nothing more is sent.
        stage_s: For how long a stage is waited for, in seconds.
        force: Send into an open circuit too, and what would surely die again.
    """

    rate: float = 20.0
    stages: tuple[int, ...] = ()
    stop_share: float = 0.05
    stage_s: float = 300.0
    force: bool = False

    def __post_init__(self) -> None:
        if not RATE_MIN <= self.rate <= RATE_MAX:
            msg = f"the rate is from {RATE_MIN:g} to {RATE_MAX:g} letters per second"
            raise Misused(msg)
        if not all(size > 0 for size in self.stages):
            msg = "a canary's stages are whole numbers above 0, as in 1,10,100"
            raise Misused(msg)
        if not 0.0 <= self.stop_share < 1.0:
            msg = "the share that stops a canary is from 0 to below 1, as in 0.05"
            raise Misused(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What became of a redrive.

    Attributes:
        meant: Letters that fit.
        sent: How many were sent back; `answered` and `died` count those of a canary's stages.
        kept: Letters that were left where they are, by why.
        shut: Routes that no target serves now, and why.
        outdated: Copies of earlier lives that were deleted on the way.
        left: Copies that may still be there although their letter was sent.
        missing: The first jobs whose message was not in reach; `missing_count` counts them.
        stopped: Why it stopped before its end, "" if it did not.
        dry: Whether nothing was to be done.
    """

    meant: int
    sent: int = 0
    answered: int = 0
    died: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    shut: dict[str, str] = field(default_factory=dict)
    outdated: int = 0
    left: int = 0
    missing: tuple[str, ...] = ()
    missing_count: int = 0
    stopped: str = ""
    dry: bool = False

    @property
    def whole(self) -> bool:
        """Whether everything that was meant was sent."""
        return not (self.stopped or self.kept or self.missing_count)


@dataclass(slots=True, kw_only=True)
class Helm:
    """Whoever watches a redrive while it goes on, and may stop it.

    Attributes:
        sent: How many letters were sent so far.
        stop: Why no more are to be sent; "" to go on.
    """

    sent: int = 0
    stop: str = ""
