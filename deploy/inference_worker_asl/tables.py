"""What the language cannot compute, computed here with the worker's own rules.

A policy's knobs that are needed as figures only (probes, shares, times) go into the machine as
they are. What is a formula in `worker/core` becomes a table.
"""

from math import floor
from typing import Final

from worker.core.jury import VOTER_Z, lower_bound
from worker.core.policy import LEVEL_MAX, TICKETS_MAX, BreakerPolicy

SLICES: Final = 3
ROLLS: Final = 40  # a rest is drawn from so many and one even steps
CALLS_MAX: Final = 50  # in one slice; with more the next one begins early


def rests(policy: BreakerPolicy) -> list[list[str]]:
    """By level and draw: how long an open circuit rests, as DynamoDB and `moved` write it.

    From the level on at which the rest grows no more there is one row for all of them.
    """
    rows = [
        [repr(round(policy.rest_s(level, roll / ROLLS), 3)) for roll in range(ROLLS + 1)]
        for level in range(LEVEL_MAX + 1)
    ]
    return [row for level, row in enumerate(rows) if level == 0 or row != rows[level - 1]]


def rest_row(policy: BreakerPolicy) -> list[int]:
    """By level: the row of `rests`."""
    last = len(rests(policy)) - 1
    return [min(level, last) for level in range(LEVEL_MAX + 1)]


def lowered() -> list[int]:
    """By level less what a calm time forgives, and 64: the level that is left."""
    return [max(0, left) for left in range(-LEVEL_MAX, LEVEL_MAX + 1)]


def raised() -> list[int]:
    """By level: the next one."""
    return [min(LEVEL_MAX, level + 1) for level in range(LEVEL_MAX + 1)]


def needed(policy: BreakerPolicy) -> list[int]:
    """By tickets of a round: how many good ones end it."""
    return [min(policy.probes_good, tickets) for tickets in range(TICKETS_MAX + 1)]


def hopeless(policy: BreakerPolicy) -> list[int]:
    """By tickets of a round: with how many bad ones it cannot come to enough good ones."""
    return [tickets - need + 1 for tickets, need in enumerate(needed(policy))]


def proofs(policy: BreakerPolicy) -> list[int]:
    """By calls: how many failures show that the target is bad; one more than there are if none do.

    The rule of a voter that is alone, and the number of calls below which a process judges nothing.
    """
    found = []
    for calls in range(SLICES * CALLS_MAX + 1):
        enough = (
            failures
            for failures in range(1, calls + 1)
            if lower_bound(failures, calls, VOTER_Z) > policy.failure_rate
        )
        found.append(next(enough, calls + 1) if calls >= policy.min_calls else calls + 1)
    return found


def earned(policy: BreakerPolicy) -> list[int]:
    """By failures: how many successes earn the next step of the ramp in spite of them."""
    found = []
    for failures in range(SLICES * CALLS_MAX + 1):
        good = floor(failures * (1 - policy.failure_rate) / policy.failure_rate)
        while failures > policy.failure_rate * (failures + good):
            good += 1
        found.append(max(policy.ramp_calls, good))
    return found
