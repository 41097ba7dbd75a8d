"""When a breaker trips, how long it cools, how it probes and how it recovers.

One policy serves the breaker in the process and the verdict of the fleet. It comes
from the settings, and may be changed in the store while the fleet runs: no count
is lost by it. The defaults and their evidence are in `docs/breaker.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Final

SLICE_S: Final = 1.0
LEVEL_MAX: Final = 64  # far beyond every cap, and 1.5 ** 64 is still a number
TICKETS_MAX: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """The knobs of one breaker. Rates and shares are fractions of 1, all `_s` are seconds.

    Attributes:
        window_s: How far back the evidence goes, in whole seconds.
        window_calls: The evidence is also no more than about so many calls; None for no limit.
        min_calls: With fewer calls in the window a process does not judge alone.
        failure_rate: Trips when the failures' share is surely above it. 0.8 where a job
            can only wait, 0.5 where another target can take it.
        slow_rate: The same for slow calls; None (the default) never trips on them.
        recent_s: The fleet's fast rule looks at calls started in the last so many seconds.
        stuck_s: A call in flight for longer counts as failed until it ends.
        cooldown_s: How long an open circuit rests the first time.
        cooldown_growth: By what factor the rest grows with each failed round.
        cooldown_max_s: The longest rest, before its jitter.
        jitter: The share by which a rest may be shorter or longer.
        forgive_s: For each so long a time closed, one step of the growth is forgiven.
        probes: Tickets of one round, for the whole fleet.
        probes_good: So many good ones end the round and begin the ramp.
        probe_s: A probe that takes longer is bad.
        ramp: Shares of the slots that are admitted, one step after the other, before closed.
        ramp_calls: Successes, over all voters, that earn the next step.
        quarantine_s: How long a process leaves a target alone that it has no access to;
            doubles each time.
        quarantine_max_s: The longest quarantine.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    window_s: int = 30
    window_calls: int | None = None
    min_calls: int = 8
    failure_rate: float = 0.8
    slow_rate: float | None = None
    recent_s: float = 4.0
    stuck_s: float = 15.0
    cooldown_s: float = 2.0
    cooldown_growth: float = 1.5
    cooldown_max_s: float = 4.0
    jitter: float = 0.2
    forgive_s: float = 120.0
    probes: int = 3
    probes_good: int = 1
    probe_s: float = 15.0
    ramp: tuple[float, ...] = (0.2, 0.5)
    ramp_calls: int = 5
    quarantine_s: float = 300.0
    quarantine_max_s: float = 900.0

    def __post_init__(self) -> None:
        for name, low, high in LIMITS:
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not low <= value <= high:
                msg = f"{name} must be from {low:g} to {high:g}, not {value:g}"
                raise ValueError(msg)
            if name in _WHOLE:
                if value % 1:
                    msg = f"{name} must be a whole number, not {value:g}"
                    raise ValueError(msg)
                # 3.0 from somebody's JSON is 3: records hold the number of tickets as such.
                object.__setattr__(self, name, int(value))
        for name, upper in _ORDER:
            low, high = getattr(self, name), getattr(self, upper)
            if low > high:
                msg = f"{name} ({low:g}) must not be above {upper} ({high:g})"
                raise ValueError(msg)
        steps = (0.0, *self.ramp, 1.0)
        if not self.ramp or not all(low < high for low, high in pairwise(steps)):
            msg = f"ramp must have steps that grow, each above 0 and below 1, not {self.ramp}"
            raise ValueError(msg)

    def rest_s(self, level: int, roll: float) -> float:
        """How long an open circuit rests at this level, in seconds.

        >>> BreakerPolicy().rest_s(0, roll=0.5), BreakerPolicy().rest_s(9, roll=0.5)
        (2.0, 4.0)
        """
        grown_s = self.cooldown_s * self.cooldown_growth ** min(level, LEVEL_MAX)
        return min(self.cooldown_max_s, grown_s) * (1 + self.jitter * (2 * roll - 1))

    def changed(self, values: Mapping[str, Any]) -> "BreakerPolicy":
        """The policy with some values replaced, say by those in the store.

        Raises:
            ValueError: A name is unknown, or a value is out of range.
        """
        unknown = sorted(set(values) - _NAMES)
        if unknown:
            msg = f"a breaker's policy has no {unknown[0]!r}; it has {', '.join(sorted(_NAMES))}"
            raise ValueError(msg)
        try:
            given: dict[str, Any] = {
                name: tuple(v) if name == "ramp" else v for name, v in values.items()
            }
            return replace(self, **given)
        except TypeError as error:
            msg = "a value of a breaker's policy is not a number"
            raise ValueError(msg) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """Values that an operator has put into the store, over those of the settings.

    Attributes:
        name: The breaker, or `EVERY` for all of them.
        version: +1 at every change; 0 if there never was one.
        values: By the names of `BreakerPolicy`.
        at: Seconds since 1970, for people.
    """

    name: str
    version: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    author: str = ""
    reason: str = ""
    at: float = 0.0


EVERY: Final = "*"


LIMITS: Final[tuple[tuple[str, float, float], ...]] = (
    ("window_s", 2, 600),
    ("window_calls", 10, 1_000_000),
    ("min_calls", 1, 10_000),
    ("failure_rate", 0.01, 0.99),
    ("slow_rate", 0.01, 0.99),
    ("recent_s", 1, 60),
    ("stuck_s", 1, 3600),
    ("cooldown_s", 0.1, 3600),
    ("cooldown_growth", 1, 10),
    ("cooldown_max_s", 0.1, 3600),
    ("jitter", 0, 0.9),
    ("forgive_s", 1, 86_400),
    ("probes", 1, TICKETS_MAX),
    ("probes_good", 1, TICKETS_MAX),
    ("probe_s", 1, 3600),
    ("ramp_calls", 1, 10_000),
    ("quarantine_s", 1, 86_400),
    ("quarantine_max_s", 1, 86_400),
)
_OPTIONAL: Final = frozenset({"window_calls", "slow_rate"})
_WHOLE: Final = frozenset(
    {"window_s", "window_calls", "min_calls", "probes", "probes_good", "ramp_calls"}
)
_ORDER: Final = (
    ("recent_s", "window_s"),
    ("recent_s", "stuck_s"),
    ("cooldown_s", "cooldown_max_s"),
    ("probes_good", "probes"),
    ("quarantine_s", "quarantine_max_s"),
)
_NAMES: Final = frozenset(field.name for field in fields(BreakerPolicy))
