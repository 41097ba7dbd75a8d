"""A jury counted by hand: what `core/jury.py` promises, as plainly as can be."""

from collections.abc import Sequence

from tests.core.naive_window import surely_above
from worker.core.jury import Vote
from worker.core.policy import BreakerPolicy

QUORUM = 3
POOL_CALLS = 10
SURE_95 = 1.64

Ballot = tuple[int, int, bool]  # calls, the bad ones among them, and whether it gave up alone


def is_bad(votes: Sequence[Vote], live: int, policy: BreakerPolicy) -> bool:
    """Whether the voters, without a minority that may be faulty, find the target bad."""
    quorum = min(QUORUM, max(1, live))
    lately = [
        (v.calls, v.failures, True) if v.sick else (v.recent_calls, v.recent_failures, False)
        for v in votes
    ]
    hanging = [(v.ripe_calls, v.ripe_stuck, False) for v in votes]
    whole = [(v.calls, v.failures, v.sick) for v in votes]
    slow = [(v.calls, v.slow, False) for v in votes]
    return any(
        _convicts(ballots, quorum, policy.failure_rate) for ballots in (lately, hanging, whole)
    ) or (policy.slow_rate is not None and _convicts(slow, quorum, policy.slow_rate))


def is_good(votes: Sequence[Vote], live: int, policy: BreakerPolicy) -> bool:
    """Whether this step of the ramp has earned the next."""
    well, badly = sum(v.successes for v in votes), sum(v.failures for v in votes)
    earned = well >= policy.ramp_calls and badly <= policy.failure_rate * (well + badly)
    return earned and not is_bad(votes, live, policy)


def accusers(votes: Sequence[Vote]) -> int:
    """Voters that have anything to show against the target."""
    return sum(v.sick or v.failures + v.recent_failures + v.ripe_stuck + v.slow > 0 for v in votes)


def _convicts(ballots: Sequence[Ballot], quorum: int, rate: float) -> bool:
    seeing = [ballot for ballot in ballots if ballot[0] or ballot[2]]
    sure = [
        ballot
        for ballot in seeing
        if ballot[2] or (ballot[0] >= 2 and surely_above(ballot[1], ballot[0], rate))
    ]
    if len(sure) >= quorum and 2 * len(sure) >= len(seeing):
        return True
    judging = [(calls, bad) for calls, bad, _ in ballots if calls]
    with_bad = [ballot for ballot in judging if ballot[1]]
    if len(with_bad) < quorum or 2 * len(with_bad) < len(judging):
        return False
    by_rate = sorted(judging, key=lambda ballot: ballot[1] / ballot[0])
    quarter = len(by_rate) // 4
    middle = sorted(calls for calls, _ in judging)[len(judging) // 2]
    pooled = pooled_bad = 0.0
    for calls, bad in by_rate[quarter : len(by_rate) - quarter]:
        weight = min(1.0, middle / calls)
        pooled += weight * calls
        pooled_bad += weight * bad
    return pooled >= POOL_CALLS and surely_above(pooled_bad, pooled, rate, SURE_95)
