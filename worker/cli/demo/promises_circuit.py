"""Which promises the fleet's circuits keep. Pure: facts in, verdicts out.

What they did is told by the breakers' table, and what reached the model by the model's
own count: no worker is asked whether it called.
"""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from worker.cli.demo.circuit import CLOSED, RAMP, Circuit
from worker.cli.demo.facts import ANSWERED, Facts
from worker.cli.demo.mix import Sort
from worker.cli.demo.promise import Promise, jobs


def _brownout(facts: Facts) -> Promise:
    bout, early, sent = facts.act.brownout, facts.act.early, facts.jobs_of(Sort.BROWNOUT)
    answered = {row.job for row in facts.rows_of(Sort.BROWNOUT) if row.state == ANSWERED}
    again = sum(facts.rows[job].calls_told > 1 for job in answered)
    wrong = [f"{turn.breaker}: {turn.words} at {turn.at_s:.1f} s: {turn.why}" for turn in early]
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
    wrong = [wrong for circuit in facts.act.circuits for wrong in _beyond_probes(circuit)]
    told = [
        f"{circuit.target} opened {len(circuit.trips)}x for {len(circuit.failed_by)} workers, "
        f"after {circuit.exposed} calls; probes that the model counted: "
        f"{', '.join(str(spell.calls) for spell in circuit.rounds()) or 'none'}"
        for circuit in facts.act.circuits
    ]
    return Promise(
        "In an outage the whole fleet stops, and only probes reach the model: "
        f"{facts.act.near.probes} a round.",
        "; ".join(told),
        tuple(wrong),
    )


def _beyond_probes(circuit: Circuit) -> list[str]:
    target, rounds, trips = circuit.target, circuit.rounds(), len(circuit.trips)
    wrong = [
        f"{target}: round {spell.turn.round} made {spell.calls} calls, and had "
        f"{circuit.probes} probes"
        for spell in rounds
        if spell.calls > circuit.probes
    ]
    if trips != 1:
        wrong.append(f"the circuit of {target} was opened {trips} times")
    if not rounds:
        wrong.append(f"{target}: there was no round of probes: nothing is proved")
    return wrong + [
        f"{worker} met no failure of {target}: nothing is proved"
        for worker, failed in circuit.failed_by.items()
        if not failed
    ]


def _by_steps(facts: Facts) -> Promise:
    near, far, turns = facts.act.near, facts.act.far, facts.act.turns
    wrong = [wrong for circuit in facts.act.circuits for wrong in _out_of_step(circuit)]
    if near.closed is None:
        wrong.append("the circuit of near was not closed")
    if others := {turn.breaker for turn in turns} - {near.target, far.target}:
        wrong.append(f"other circuits have moved: {', '.join(sorted(others))}")
    wrote = Counter(turn.by for turn in turns)
    took_s = near.turns[-1].at_s - near.outage.ended_s if near.turns else 0.0
    # Nobody needs far any more when near is well: it goes as far as jobs led it.
    left = far.turns[-1].words if far.turns else CLOSED
    return Promise(
        "It recovers by itself, and by steps: a good probe, "
        + ", ".join(f"{share * 100:.0f} %" for share in (*near.ramp, 1.0))
        + ".",
        f"{len(turns)} changes in its table, one writer each: "
        f"{', '.join(f'{by} {count}' for by, count in sorted(wrote.items())) or 'nobody'}; "
        f"near's last one {took_s:.1f} s after it was well; far, which nobody needs then, is left "
        f"as it is: {left}",
        tuple(wrong),
    )


def _out_of_step(circuit: Circuit) -> list[str]:
    """What was no way back, or no whole one where the circuit says that it is closed."""
    steps = [*((RAMP, share) for share in circuit.ramp), (CLOSED, 1.0)]
    went = [(turn.new, turn.share) for turn in circuit.way_back]
    wrong = []
    if went != steps[: len(went)]:
        told = ", ".join(turn.words for turn in circuit.way_back)
        wrong.append(f"{circuit.target}: after the last round it went: {told}")
    return wrong + [
        f"{circuit.target}: version {after.version} comes from {after.old}, and {before.new} was "
        "before it"
        for before, after in pairwise(circuit.turns)
        if after.old != before.new
    ]


CIRCUIT: Final[tuple[Callable[[Facts], Promise], ...]] = (_brownout, _only_probes, _by_steps)
