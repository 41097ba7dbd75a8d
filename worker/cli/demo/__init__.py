"""`inference-worker demo`: the main job on the embedded stack: outages, a kill and a drain.

    mix.py        what is sent, what must become of it, and how the model behaves
    plans.py      what the workers are set to: two Regions, three routes
    children.py   the stack and the workers: real processes, ended by their pid
    company.py    the workers on the stage, and what was sent to them
    watch.py      what can be seen from outside: tables, queues, the model's own count
    logs.py       what the workers wrote
    live.py       the page, for whoever wants to look on
    play.py       the story, from the first process to the last
    lookout.py    sends the first act's jobs, and sees what becomes of everything
    outage.py     the first act: a brown-out, one Region fails, then both
    story.py      both acts: the second has a kill and a drain
    circuit.py    what was seen of one circuit, as values
    act.py        what was seen of the first act, as values
    facts.py      all that was seen, as values
    promise.py    one promise
    promises.py   which promises these facts keep; pure
    promises_circuit.py   those of the circuits
    promises_ways.py      those of the ways out: another Region, a second-best answer, waiting
    screen.py     how it is shown while it runs
    report.py     how it is told at the end
    results.py    whose result envelopes are shown, and how

The figures are read from the other side. A worker's own log is believed three times: for
the name by which it claims jobs and writes the circuit; for calls that failed, which
makes a promise stricter; and for when the last of them ended, which is only told.
"""

from worker.cli.demo.play import demo

__all__ = ["demo"]
