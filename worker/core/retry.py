"""When to try again, and how often a fleet in trouble may.

Backoff with full jitter, a budget that keeps retries a small share of the
traffic, and the arithmetic of time that is left.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a job tries again. All `_s` are seconds.

    Attributes:
        attempts: Calls within one delivery, the first included.
        attempts_max: Charged calls over the job's life, after which a job that
            may itself be the cause is discarded.
        cap_s: The longest ceiling of a backoff.
        longest_wait_s: A longer wait parks the job: a slot is not a waiting room.
        budget_per_success: Retries that each success earns.
        budget_max: Retries that can be saved up, and what a new worker starts with.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    attempts: int = 3
    attempts_max: int = 6
    cap_s: float = 20.0
    longest_wait_s: float = 5.0
    budget_per_success: float = 0.1
    budget_max: float = 10.0

    def __post_init__(self) -> None:
        for name in ("attempts", "attempts_max"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise ValueError(msg)
        for name in ("cap_s", "longest_wait_s", "budget_per_success", "budget_max"):
            if not 0 <= getattr(self, name) < float("inf"):
                msg = f"{name} must not be negative, got {getattr(self, name)}"
                raise ValueError(msg)


def backoff_s(attempt: int, roll: float, *, base_s: float, cap_s: float) -> float:
    """How long to wait after `attempt` failed, with full jitter.

    The ceiling doubles with each attempt and is capped; the wait is drawn
    evenly from zero to the ceiling, so that callers which failed together do
    not come back together.

    Args:
        attempt: The attempt that just failed, counted from 1.
        roll: An even draw from [0, 1); the caller owns the dice.
        base_s: The first ceiling, in seconds.
        cap_s: The last ceiling, in seconds.

    Returns:
        Seconds, in [0, `cap_s`).

    Raises:
        ValueError: `attempt` is below 1 or `roll` is outside [0, 1).

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015 ("full jitter").

    >>> backoff_s(3, 0.5, base_s=1, cap_s=10)
    2.0
    >>> backoff_s(5000, 0.5, base_s=1, cap_s=10)
    5.0
    """
    if attempt < 1:
        msg = f"attempts are counted from 1, got {attempt}"
        raise ValueError(msg)
    if not 0.0 <= roll < 1.0:
        msg = f"a roll lies in [0, 1), got {roll}"
        raise ValueError(msg)
    doublings = min(attempt - 1, 64)  # 2.0 ** 1024 would overflow
    return roll * min(cap_s, base_s * 2.0**doublings)


class RetryBudget:
    """A token bucket that makes retries a share of the successes.

    In a full outage nothing succeeds, the bucket runs dry, and the worker sends
    hardly more than one call per job. A retry at another target counts half.

    Source: resilience research, "retry budget" (Finagle, gRPC, AWS SDK).
    """

    __slots__ = ("_max", "_per_success", "tokens")

    def __init__(self, policy: RetryPolicy) -> None:
        self._max = policy.budget_max
        self._per_success = policy.budget_per_success
        self.tokens = policy.budget_max

    def earn(self) -> None:
        """A call succeeded."""
        self.tokens = min(self._max, self.tokens + self._per_success)

    def give_back(self, cost: float) -> None:
        """The retry that was paid for was not made."""
        self.tokens = min(self._max, self.tokens + cost)

    def spend(self, cost: float = 1.0) -> bool:
        """Take leave for one retry; False if there is none."""
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True
