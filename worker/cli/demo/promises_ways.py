"""Which promises the ways out keep: another Region, a second-best answer, waiting. Pure.

Records and envelopes come from the ledger, calls and polls from the stack's own count.
How long something took is told and never judged: this machine may be busy.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from worker.cli.demo.facts import ANSWERED, DEGRADED, Facts, Row
from worker.cli.demo.mix import Sort
from worker.cli.demo.plans import CACHE, FAR, NEAR, NOTICE, REGIONS
from worker.cli.demo.promise import Promise, jobs

# Who has not heard yet that a circuit was opened polls once more: told, and not held against it.
LATE_SHARE: Final = 0.75
OUTAGE: Final = (Sort.MOVED, Sort.CHAT, Sort.BATCH)


def _moved(facts: Facts) -> Promise:
    sent = facts.jobs_of(Sort.MOVED)
    by_far = {row.job: row for row in facts.rows_of(Sort.MOVED) if _is_by_far(row)}
    after = [job for job, row in by_far.items() if row.calls_told > 1]
    took_s = [row.took_s for row in by_far.values()]
    wrong = jobs("was not answered by far", sent - by_far.keys())
    if not after:
        wrong += (f"no job met a failure of {NEAR}: nothing is proved",)
    if len(after) == len(by_far):
        wrong += (f"no job went to {FAR} at once: nothing is proved",)
    return Promise(
        "While one Region fails, jobs move to the other.",
        f"{len(by_far)} of {len(sent)} answered by {FAR} ({REGIONS[FAR]}): {len(after)} after a "
        f"failed call to {NEAR}, the others at once; {_times(took_s)}",
        wrong,
    )


def _is_by_far(row: Row) -> bool:
    route = row.envelope.get("route", {})
    return row.state == ANSWERED and (route["target"], route["region"]) == (FAR, REGIONS[FAR])


def _degraded(facts: Facts) -> Promise:
    sent, rows = facts.jobs_of(Sort.CHAT), facts.rows_of(Sort.CHAT)
    degraded = [row for row in rows if row.state == DEGRADED]
    served = {row.job for row in rows if row.state in (ANSWERED, DEGRADED)}
    uncalled = sum(facts.calls.by_job.get(row.job, 0) == 0 for row in degraded)
    wrong = jobs("has no answer", sent - served)
    wrong += jobs("is degraded, and is not told so", (r.job for r in degraded if not _is_told(r)))
    if not uncalled:
        wrong += ("no job was degraded without a call: nothing is proved",)
    return Promise(
        "While both fail, a job that has a handler gets a second-best answer, told as such.",
        f"{len(degraded)} of {len(sent)} got what the same question got before, {uncalled} of them "
        f"without any call, the others after failed ones; each says degraded, why, what it lacks, "
        f"and a notice; {_times([row.took_s for row in degraded])}",
        wrong,
    )


def _is_told(row: Row) -> bool:
    told = row.envelope.get("degraded") or {}
    return (
        row.envelope.get("status") == "degraded"
        and told.get("handler") == CACHE
        and told.get("notice") == NOTICE
        and told.get("loses") == ["freshness"]
        and bool(told.get("reason"))
        and not row.target
    )


def _parked(facts: Facts) -> Promise:
    waiting, sent = facts.act.waiting, facts.jobs_of(Sort.BATCH)
    answered = {row.job for row in facts.rows_of(Sort.BATCH) if row.state == ANSWERED}
    rest = facts.act.rest
    wrong = jobs("was not answered", sent - answered)
    if not waiting.parked:
        wrong += ("no job was parked: nothing is proved",)
    if not rest.chat:
        wrong += ("nobody polled for anything: nothing is proved",)
    elif rest.batch > rest.chat * LATE_SHARE:
        wrong += ("its parked queue was polled as if there were something to do",)
    return Promise(
        "A job that can only wait is parked; nobody polls for it; well again, it is released.",
        f"{len(waiting.parked)} of {len(sent)} parked, {waiting.doorbells} messages in their "
        f"queue, {waiting.untouched} more jobs not even taken; in {rest.within_s:.1f} s with both "
        f"circuits open that queue was polled {rest.batch}x (chat's, which has a handler, "
        f"{rest.chat}x); {len(answered)} of {len(sent)} answered"
        f"{_released(facts)}",
        wrong,
    )


def _released(facts: Facts) -> str:
    """When the parked jobs were answered, counted from the close of near's circuit."""
    closed = facts.act.near.closed
    parked = [row for row in facts.rows_of(Sort.BATCH) if row.job in facts.act.waiting.parked]
    if closed is None or not (ended := [row.finished_at for row in parked if row.final]):
        return ""
    closed_at = facts.act.zero_at + closed.at_s
    first_s, last_s = min(ended) - closed_at, max(ended) - closed_at
    return (
        f", of the parked ones the first {_after(first_s)} the close, the last {_after(last_s)} it"
    )


def _after(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'after' if seconds >= 0 else 'before'}"


def _costs_nothing(facts: Facts) -> Promise:
    rows = {row.job: row for row in facts.rows_of(*OUTAGE)}
    sent = frozenset().union(*(facts.jobs_of(sort) for sort in OUTAGE))
    served = {job for job, row in rows.items() if row.state in (ANSWERED, DEGRADED)}
    made = {job: facts.calls.by_job.get(job, 0) for job in rows}
    letters = [letter.job for letter in facts.letters if letter.job in sent]
    over = {job for job, row in rows.items() if row.charged > made[job]}
    return Promise(
        "An outage costs no job, and no attempt for a call that was not made.",
        f"{len(served)} of {len(sent)} jobs answered, {len(letters)} dead letters; put back "
        f"{sum(row.parks for row in rows.values())} times; charged "
        f"{sum(row.charged for row in rows.values())} attempts for {sum(made.values())} calls",
        (
            *jobs("was not answered", sent - served),
            *jobs("has a dead letter", letters),
            *jobs("was charged for more calls than the model counted", over),
            *([] if sent else ["no job was sent: nothing is proved"]),
        ),
    )


def _times(took_s: Sequence[float]) -> str:
    if not took_s:
        return "none"
    return f"half within {median(took_s):.1f} s, all within {max(took_s):.1f} s"


WAYS: Final[tuple[Callable[[Facts], Promise], ...]] = (_moved, _degraded, _parked, _costs_nothing)
