"""Which promises the facts keep. Pure: facts in, verdicts out.

The figures on one side come from the ledger, on the other from the queues, from the
model's own count and from the process table.
"""

from collections.abc import Callable
from typing import Final

from worker.cli.demo.facts import ANSWERED, DEGRADED, Facts
from worker.cli.demo.mix import Sort
from worker.cli.demo.promise import Promise, jobs
from worker.cli.demo.promises_circuit import CIRCUIT
from worker.cli.demo.promises_ways import WAYS


def judge(facts: Facts) -> tuple[Promise, ...]:
    """Every promise, kept or broken."""
    return tuple(promise(facts) for promise in _PROMISES)


def _one_final_record(facts: Facts) -> Promise:
    expected, final = set(facts.orders), {job for job, row in facts.rows.items() if row.final}
    return Promise(
        "Every job has exactly one final record.",
        f"{len(expected)} jobs, {len(final)} final records, "
        f"{len(facts.rewritten)} changed in {facts.looks} looks at the table",
        (
            *jobs("has no final record", expected - final),
            *jobs("was never sent, and has a record", set(facts.rows) - expected),
            *jobs("had its final record rewritten", facts.rewritten),
        ),
    )


def _as_it_should(facts: Facts) -> Promise:
    wrong = []
    for job, order in facts.orders.items():
        row = facts.rows.get(job)
        if row is None or not row.final:
            continue  # told above
        served = row.state == ANSWERED or (row.state == DEGRADED and order.may_degrade)
        ended = "" if served else row.reason or row.state
        if ended != order.dies:
            wrong.append(f"{job}: {ended or ANSWERED} instead of {order.dies or ANSWERED}")
    return Promise(
        "Good jobs are answered, and bad ones are given up for their own reason.",
        f"{len(facts.answered)} answered, {len(facts.degraded)} degraded, "
        f"{sum(row.state == 'dead' for row in facts.rows.values())} given up",
        tuple(wrong),
    )


def _own_answers(facts: Facts) -> Promise:
    strange = [
        row.job
        for row in (*facts.answered, *facts.degraded)
        if row.job in facts.orders and row.text != facts.orders[row.job].answer
    ]
    return Promise(
        "Every answer belongs to its question.",
        f"{len(facts.answered) + len(facts.degraded)} answers compared",
        jobs("has somebody else's answer", strange),
    )


def _letters(facts: Facts) -> Promise:
    dead = {job: row.reason for job, row in facts.rows.items() if row.state == "dead"}
    told = {letter.job: letter.reason for letter in facts.letters}
    changed = [
        letter.job
        for letter in facts.letters
        if letter.job in facts.orders
        and (sent := facts.orders[letter.job].body)
        and letter.body != sent
    ]
    # A worker that is killed between a letter and its note of it sends the letter again.
    extra = len(facts.letters) - len(told)
    excused = len(facts.kill.in_hand & told.keys())
    return Promise(
        "Each job given up is in the dead-letter queue, with its reason and body.",
        f"{len(dead)} jobs given up, {len(facts.letters)} dead letters",
        (
            *jobs("is dead, and has no letter", dead.keys() - told.keys()),
            *jobs("has a letter, and is not dead", told.keys() - dead.keys()),
            *jobs(
                "has a letter with another reason",
                {job for job in dead.keys() & told.keys() if dead[job] != told[job]},
            ),
            *jobs("has a letter with another body", changed),
            *([f"{extra} letters too many"] if extra > excused else []),
        ),
    )


def _crash(facts: Facts) -> Promise:
    kill, wrong = facts.kill, []
    allowed = len(kill.calling) + len(facts.cut)
    if facts.repeated > allowed:
        wrong.append(f"{facts.repeated} calls were repeated, and only {allowed} were cut off")
    if not kill.calling:
        wrong.append(f"{kill.worker} was killed with no call in flight: nothing is proved")
    return Promise(
        "A killed worker costs no job, and no more calls than it was making.",
        f"{kill.worker} died with {len(kill.in_hand)} jobs in hand, {len(kill.calling)} of them "
        f"in a model call; of {facts.calls.total} calls {facts.repeated} were repeated",
        tuple(wrong),
    )


def _drain(facts: Facts) -> Promise:
    wrong = [
        f"{leave.worker} left with exit code {leave.exit_code}"
        for leave in (facts.drain, *facts.leaves)
        if leave.exit_code != 0
    ]
    wrong += [
        f"{leave.worker} took {leave.took_s:.1f} s, and had {facts.grace_s:g} s"
        for leave in (facts.drain, *facts.leaves)
        if leave.took_s > facts.grace_s
    ]
    excused = facts.kill.in_hand | facts.cut
    wrong += jobs("was called for again, uncut", facts.untold.keys() - excused)
    if facts.drain.in_hand == 0:
        wrong.append(f"{facts.drain.worker} had no job in hand: nothing is proved")
    return Promise(
        "A worker that is asked to leave finishes what it has, and repeats nothing.",
        f"{facts.drain.worker} had {facts.drain.in_hand} jobs in hand and left in "
        f"{facts.drain.took_s:.1f} s of {facts.grace_s:g} s with exit code "
        f"{facts.drain.exit_code}; {len(facts.cut)} jobs cut short",
        tuple(wrong),
    )


def _paid_once(facts: Facts) -> Promise:
    twice = {job for job, order in facts.orders.items() if order.sort is Sort.TWICE}
    excused = facts.kill.in_hand | facts.cut
    return Promise(
        "A job that is sent twice is paid for once.",
        f"{len(twice)} jobs, {2 * len(twice)} messages, "
        f"{sum(facts.rows[job].state == ANSWERED for job in twice & facts.rows.keys())} answers",
        jobs("was paid for twice", (twice & facts.untold.keys()) - excused),
    )


def _nothing_left(facts: Facts) -> Promise:
    return Promise(
        "No message is left behind.",
        ", ".join(f"{name}: {count}" for name, count in facts.left.items()),
        tuple(f"{count} messages in {name}" for name, count in facts.left.items() if count),
    )


def _discreet(facts: Facts) -> Promise:
    return Promise(
        "No text of a job or an answer is in any log.",
        f"{facts.logs.size_bytes / 1024:.0f} KiB of logs searched for a phrase of every prompt "
        "and of every answer",
        facts.logs.leaks,
    )


def _measured(facts: Facts) -> Promise:
    return Promise(
        "Every worker wrote its metrics.",
        f"{sum(facts.logs.metrics.values())} lines in CloudWatch's embedded metric format",
        tuple(f"{worker} wrote none" for worker, lines in facts.logs.metrics.items() if not lines),
    )


_PROMISES: Final[tuple[Callable[[Facts], Promise], ...]] = (
    _one_final_record,
    _as_it_should,
    _own_answers,
    _letters,
    _crash,
    _drain,
    _paid_once,
    _nothing_left,
    _discreet,
    _measured,
    *CIRCUIT,
    *WAYS,
)
