"""Moods: how a model behaves in a Region, over time, by chance and by quota.

A mood is a value. `Temper` is that mood at work on one target: it holds the dice,
the quota buckets and the place in the script, and decides how each call ends. It
does no I/O and reads no clock.

What decides, in this order:

1. `script`: the first calls end exactly so, one outcome each.
2. `throttle`: no room in a bucket is a ThrottlingException.
3. `phases`: the first phase that holds now puts its chances and its latency in
   the place of the mood's own. An outage is a phase.
4. `chances`: one roll per call picks at most one of them.
5. Otherwise the model answers.

The same mood, seed and order of calls give the same outcomes.
"""

import itertools
import random
from dataclasses import dataclass, field
from math import log

from worker.local.errors import TOO_MANY_TOKENS
from worker.local.outcomes import (
    Answer,
    Constant,
    Fail,
    Latency,
    LogNormal,
    Outcome,
    Wire,
)

_Z99 = 2.3263478740408408  # the 99th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Chance(Wire):
    """`rate` of the calls (a fraction of 1) end in `outcome`."""

    rate: float
    outcome: Outcome

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            msg = f"rate must be in [0, 1], got {self.rate}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Wire):
    """Quotas, kept as token buckets that refill evenly.

    A call takes its input plus its `maxTokens` when it starts, and gives back at
    its end what it did not use, as the service does. A bucket holds `burst_s`
    seconds' worth: at 60 a whole minute's quota may be used at once.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "burst_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                msg = f"{name} must be above 0, got {value}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase(Wire):
    """Other chances and another latency, for a while.

    `from_s` and `until_s` count from when the mood was set; None is for ever.
    """

    from_s: float = 0.0
    until_s: float | None = None
    chances: tuple[Chance, ...] = ()
    latency: Latency | None = None

    def __post_init__(self) -> None:
        _check_rates(self.chances)
        if self.until_s is not None and self.until_s <= self.from_s:
            msg = f"until_s must come after from_s, got {self.from_s} and {self.until_s}"
            raise ValueError(msg)

    def holds(self, elapsed_s: float) -> bool:
        """Whether the phase is on, `elapsed_s` seconds after the mood was set."""
        return self.from_s <= elapsed_s and (self.until_s is None or elapsed_s < self.until_s)


def outage(from_s: float, until_s: float | None, outcome: Outcome | None = None) -> Phase:
    """A phase in which every call ends in `outcome` (ServiceUnavailable if None)."""
    end = Fail("ServiceUnavailableException") if outcome is None else outcome
    return Phase(from_s=from_s, until_s=until_s, chances=(Chance(1.0, end),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood(Wire):
    """How a model behaves. The default answers well and at once.

    `latency` is the time of a whole answer; a stream's first event comes after
    `first_token_share` of it. Answers have `output_tokens` tokens unless the
    request's `maxTokens` cuts them; `text` replaces the invented text. Failures
    are immediate, unless they say otherwise.
    """

    latency: Latency = field(default=Constant(0.0))
    first_token_share: float = 0.3
    output_tokens: int = 64
    text: str | None = None
    chances: tuple[Chance, ...] = ()
    throttle: Throttle | None = None
    phases: tuple[Phase, ...] = ()
    script: tuple[Outcome, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        _check_rates(self.chances)
        if not 0.0 <= self.first_token_share <= 1.0:
            msg = f"first_token_share must be in [0, 1], got {self.first_token_share}"
            raise ValueError(msg)
        if self.output_tokens < 1:
            msg = f"output_tokens must be at least 1, got {self.output_tokens}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Decision:
    """How one call is to end, after how long if it ends well, and what it holds of the quota."""

    outcome: Outcome
    latency_s: float
    reserved_tokens: int = 0


class Temper:
    """A mood at work on one target. `now` is seconds on one monotonic clock."""

    def __init__(self, mood: Mood, name: str, since: float) -> None:
        """`since` is when the mood was set; `name` keeps the dice of two targets apart."""
        self.mood = mood
        self._since = since
        self._random = random.Random(f"{mood.seed}/{name}")  # noqa: S311 - dice, not secrets
        self._script = iter(mood.script)
        throttle = mood.throttle or Throttle()
        self._requests = _Bucket(throttle.requests_per_minute, throttle.burst_s, since)
        self._tokens = _Bucket(throttle.tokens_per_minute, throttle.burst_s, since)

    def decide(self, now: float, tokens: int) -> Decision:
        """Decide on a call that needs `tokens` of the quota; `settle` it when it is over."""
        if scripted := next(self._script, None):
            return Decision(scripted, self._latency_s(scripted, self.mood.latency))
        if not self._requests.take(1, now):
            return Decision(Fail("ThrottlingException"), 0.0)
        if not self._tokens.take(tokens, now):
            return Decision(Fail("ThrottlingException", TOO_MANY_TOKENS), 0.0)
        chances, latency = self.mood.chances, self.mood.latency
        for phase in self.mood.phases:
            if phase.holds(now - self._since):
                chances, latency = phase.chances, phase.latency or latency
                break
        outcome = self._pick(chances)
        return Decision(outcome, self._latency_s(outcome, latency), tokens)

    def settle(self, decision: Decision, used_tokens: int) -> None:
        """Give back the tokens that a call reserved and did not use."""
        self._tokens.give(max(0, decision.reserved_tokens - used_tokens))

    def _pick(self, chances: tuple[Chance, ...]) -> Outcome:
        if not chances:
            return Answer()
        roll = self._random.random()
        reached = itertools.accumulate(chance.rate for chance in chances)
        for chance, edge in zip(chances, reached, strict=True):
            if roll < edge:
                return chance.outcome
        return Answer()

    def _latency_s(self, outcome: Outcome, latency: Latency) -> float:
        if isinstance(outcome, Answer) and outcome.latency is not None:
            latency = outcome.latency
        match latency:
            case Constant(seconds):
                return seconds
            case LogNormal(median_s, p99_s):
                return self._random.lognormvariate(log(median_s), log(p99_s / median_s) / _Z99)


class _Bucket:
    """A token bucket; without a rate it never runs dry."""

    def __init__(self, per_minute: float | None, burst_s: float, now: float) -> None:
        self._per_s = None if per_minute is None else per_minute / 60.0
        self._most = 0.0 if self._per_s is None else max(1.0, self._per_s * burst_s)
        self._level = self._most
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        if self._per_s is None:
            return True
        self._level = min(self._most, self._level + (now - self._at) * self._per_s)
        self._at = now
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def give(self, amount: float) -> None:
        self._level = min(self._most, self._level + amount)


def _check_rates(chances: tuple[Chance, ...]) -> None:
    # The little above 1 lets ten chances of 0.1 through.
    if (total := sum(chance.rate for chance in chances)) > 1.0 + 1e-9:
        msg = f"the rates of all chances must not exceed 1, got {total}"
        raise ValueError(msg)
