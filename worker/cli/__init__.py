"""The command line: Typer commands, thin, over plain functions that return an exit code.

stdout is for results, stderr for talk. 0 is yes, 1 is no, 2 is used wrongly.
"""

import sys


def main() -> None:
    """The command `inference-worker`."""
    if sys.argv[1:2] == ["health"]:  # asked every few seconds, so it does without Typer
        from worker.cli.health import main as health  # noqa: PLC0415

        sys.exit(health(sys.argv[2:]))
    from worker.cli.app import app  # noqa: PLC0415  (others import this package without Typer)

    app(prog_name="inference-worker")
