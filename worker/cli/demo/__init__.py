"""`inference-worker demo`: the main job on the embedded stack, with a kill and a drain.

    mix.py        what is sent, and what must become of it
    children.py   the stack and the workers: real processes, ended by their pid
    watch.py      what can be seen from outside: ledger, queues, the model's own count
    logs.py       what the workers wrote
    play.py       the story, from the first process to the last
    facts.py      what was seen, as values
    promises.py   which promises these facts keep; pure
    screen.py     how it is shown while it runs
    report.py     how it is told at the end

The figures are read from the other side. A worker's own log is believed twice: for the
name by which it claims jobs, and for calls that failed, which makes a promise stricter.
"""

from worker.cli.demo.play import demo

__all__ = ["demo"]
