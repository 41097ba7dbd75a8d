"""Which promises the fleet's circuit keeps. Pure: facts in, verdicts out.

What it did is told by the breakers' table, and what reached the model by the model's
own count: no worker is asked whether it called.
"""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from worker.cli.demo.circuit import CLOSED, HALF_OPEN, RAMP
from worker.cli.demo.facts import ANSWERED, Facts
from worker.cli.demo.mix import Sort
from worker.cli.demo.promise import Promise, jobs


def _brownout(facts: Facts) -> Promise:
    bout, early, sent = facts.circuit.brownout, facts.circuit.early, facts.jobs_of(Sort.BROWNOUT)
    answered = _answered(facts, Sort.BROWNOUT)
    again = sum(facts.rows[job].calls_told > 1 for job in answered)
    wrong = [f"{turn.words} at {turn.at_s:.1f} s: {turn.why}" for turn in early]
    if not bout.failed:
        wrong.append("no call failed: nothing is proved")
    return Promise(
        "In a brown-out the circuit stays closed, and trying again is enough.",
        f"{bout.failed} of {bout.calls} calls failed in {bout.took_s:.0f} s, and the circuit was "
        f"changed {len(early)} times; {len(answered)} of {len(sent)} jobs were answered, {again} "
        "of them after a failed call",
        (*wrong, *jobs("was not answered", sent - answered)),
    )


def _only_probes(facts: Facts) -> Promise:
    circuit = facts.circuit
    rounds, trips = circuit.rounds(), len(circuit.trips)
    wrong = [
        f"round {spell.turn.round} made {spell.calls} calls, and had {circuit.probes} probes"
        for spell in rounds
        if spell.calls > circuit.probes
    ]
    if trips != 1:
        wrong.append(f"the circuit was opened {trips} times")
    if not rounds:
        wrong.append("there was no round of probes: nothing is proved")
    wrong += [
        f"{worker} met no failure: nothing is proved"
        for worker, failed in circuit.failed_by.items()
        if not failed
    ]
    met = ", ".join(f"{worker} {failed}" for worker, failed in circuit.failed_by.items())
    return Promise(
        "In an outage the whole fleet stops, and only probes reach the model.",
        f"opened {trips}x for {len(circuit.failed_by)} workers; "
        f"failed calls: {met}; probes that the model counted: "
        f"{', '.join(f'{s.calls} of {circuit.probes}' for s in rounds) or 'none'}",
        tuple(wrong),
    )


def _by_steps(facts: Facts) -> Promise:
    circuit = facts.circuit
    turns, shape = circuit.turns, circuit.shape
    begun = max((n for n, turn in enumerate(turns) if turn.new == HALF_OPEN), default=-1)
    steps = [*((RAMP, share) for share in circuit.ramp), (CLOSED, 1.0)]
    wrong = []
    if shape[begun + 1 :] != steps:
        went = ", ".join(turn.words for turn in turns[begun + 1 :])
        wrong.append(f"after the last round it went: {went or 'nowhere'}")
    wrong += [
        f"version {after.version} comes from {after.old}, and {before.new} was before it"
        for before, after in pairwise(turns)
        if after.old != before.new
    ]
    breakers = {turn.breaker for turn in turns}
    if len(breakers) > 1:
        wrong.append(f"more than one circuit has moved: {', '.join(sorted(breakers))}")
    wrote = Counter(turn.by for turn in turns)
    took_s = turns[-1].at_s - circuit.outage.ended_s if turns else 0.0
    return Promise(
        "It recovers by itself, and by steps: a good probe, "
        + ", ".join(f"{share * 100:.0f} %" for share in (*circuit.ramp, 1.0))
        + ".",
        f"{len(turns)} changes in its table, one writer each: "
        f"{', '.join(f'{by} {count}' for by, count in sorted(wrote.items())) or 'nobody'}; "
        f"the last one {took_s:.1f} s after the model was well",
        tuple(wrong),
    )


def _costs_nothing(facts: Facts) -> Promise:
    sent, answered = facts.jobs_of(Sort.OUTAGE), _answered(facts, Sort.OUTAGE)
    rows = {job: facts.rows[job] for job in sent & facts.rows.keys()}
    made = {job: facts.calls.by_job.get(job, 0) for job in rows}
    letters = [letter.job for letter in facts.letters if letter.job in sent]
    over = {job for job, row in rows.items() if row.charged > made[job]}
    return Promise(
        "An outage costs no job, and no attempt for a call that was not made.",
        f"{len(answered)} of {len(sent)} jobs answered, {len(letters)} dead letters; put back "
        f"{sum(row.parks for row in rows.values())} times; charged "
        f"{sum(row.charged for row in rows.values())} attempts for {sum(made.values())} calls",
        (
            *jobs("was not answered", sent - answered),
            *jobs("has a dead letter", letters),
            *jobs("was charged for more calls than the model counted", over),
            *([] if sent else ["no job was sent: nothing is proved"]),
        ),
    )


def _answered(facts: Facts, sort: Sort) -> frozenset[str]:
    answered = {job for job, row in facts.rows.items() if row.state == ANSWERED}
    return facts.jobs_of(sort) & answered


CIRCUIT: Final[tuple[Callable[[Facts], Promise], ...]] = (
    _brownout,
    _only_probes,
    _by_steps,
    _costs_nothing,
)
