"""Faults of the queues, the tables and the objects, by operation.

A rule says which calls it means, what becomes of them, and how often. Rules are
asked in order, and the first that fits acts; a rule that lets a call pass (by
chance, by count, or because its time is not now) leaves it to the next.

An operation is called `<service>:<Operation>`: `sqs:ReceiveMessage`,
`dynamodb:UpdateItem`, `s3:PutObject`, `states:StartExecution`. Rules may use
wildcards: `sqs:*`, `dynamodb:*Item`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from worker.local.outcomes import Wire


@dataclass(frozen=True, slots=True)
class Delay(Wire):
    """The call waits `delay_s` seconds, then takes its course."""

    delay_s: float
    kind: Literal["delay"] = field(default="delay", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.delay_s < 0:
            msg = f"delay_s must not be negative, got {self.delay_s}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Refuse(Wire):
    """The service refuses with an error code; the call has no effect."""

    code: str
    status: int = 400
    message: str = "Refused by a rule of the local stack."
    kind: Literal["refuse"] = field(default="refuse", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class LoseRequest(Wire):
    """The connection is reset before the call has any effect."""

    kind: Literal["lose_request"] = field(default="lose_request", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class LoseResponse(Wire):
    """The call takes effect; then the connection is reset in place of an answer."""

    kind: Literal["lose_response"] = field(default="lose_response", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Duplicate(Wire):
    """The call is carried out twice; the second answer is the one sent.

    It is what a client's hidden retry after a lost response looks like.
    """

    kind: Literal["duplicate"] = field(default="duplicate", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Redeliver(Wire):
    """For `sqs:ReceiveMessage`: what is received becomes visible again at once.

    The next receiver gets the same messages, as SQS's at-least-once delivery
    allows. Other operations take their course.
    """

    kind: Literal["redeliver"] = field(default="redeliver", kw_only=True, repr=False)


Act = Annotated[
    Delay | Refuse | LoseRequest | LoseResponse | Duplicate | Redeliver,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class Rule(Wire):
    """Which calls, what becomes of them, and how often.

    Args:
        operation: A name, or a pattern with `*` and `?`.
        act: What becomes of the call.
        where: Only calls whose path or body has this text (a queue's name, a job).
        chance: The fraction of fitting calls that are acted upon.
        skip: Fitting calls that pass first.
        count: How many calls to act upon at most; None for no end.
        from_s: When the rule begins, in seconds since the rules were set.
        until_s: When it ends; None for never.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    operation: str
    act: Act
    where: str = field(default="", kw_only=True)
    chance: float = field(default=1.0, kw_only=True)
    skip: int = field(default=0, kw_only=True)
    count: int | None = field(default=None, kw_only=True)
    from_s: float = field(default=0.0, kw_only=True)
    until_s: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not 0.0 <= self.chance <= 1.0:
            msg = f"chance must be in [0, 1], got {self.chance}"
            raise ValueError(msg)
        if self.skip < 0 or (self.count is not None and self.count < 0):
            msg = f"skip and count must not be negative, got {self.skip} and {self.count}"
            raise ValueError(msg)
        if ":" not in self.operation and self.operation != "*":
            msg = (
                f"operation {self.operation!r} names no service: "
                "write it as 'sqs:SendMessage' or 'sqs:*', or use '*' for every call"
            )
            raise ValueError(msg)


class Faults:
    """The rules in force, and what they have done.

    `acted` counts, rule by rule, the calls that were acted upon; `calls` counts
    every call by operation, whether a rule fitted or not.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.acted: list[int] = []
        self._rules: tuple[Rule, ...] = ()
        self._skipped: list[int] = []
        self._since = 0.0
        self._random = random.Random(0)  # noqa: S311 - dice, not secrets

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force, in the order in which they are asked."""
        return self._rules

    def set_rules(self, rules: Iterable[Rule], *, seed: int = 0) -> None:
        """Put these rules in the place of all others, from now."""
        self._rules = tuple(rules)
        self.acted = [0] * len(self._rules)
        self._skipped = [0] * len(self._rules)
        self._since = asyncio.get_running_loop().time()
        self._random = random.Random(seed)  # noqa: S311 - dice, not secrets

    def clear(self) -> None:
        """Let every call take its course."""
        self.set_rules(())

    def decide(self, operation: str, path: str, body: bytes) -> Act | None:
        """What becomes of one call; None lets it take its course."""
        self.calls[operation] += 1
        if not self._rules:
            return None
        elapsed_s = asyncio.get_running_loop().time() - self._since
        for number, rule in enumerate(self._rules):
            if not fnmatchcase(operation, rule.operation):
                continue
            if rule.where and rule.where not in path and rule.where.encode() not in body:
                continue
            if self._lets_pass(number, rule, elapsed_s):
                continue
            self.acted[number] += 1
            return rule.act
        return None

    def _lets_pass(self, number: int, rule: Rule, elapsed_s: float) -> bool:
        if elapsed_s < rule.from_s or (rule.until_s is not None and elapsed_s >= rule.until_s):
            return True
        if self._skipped[number] < rule.skip:
            self._skipped[number] += 1
            return True
        if rule.count is not None and self.acted[number] >= rule.count:
            return True
        return rule.chance < 1.0 and self._random.random() >= rule.chance
