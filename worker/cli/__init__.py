"""The command line: Typer commands, thin, over plain functions that return an exit code.

stdout is for results, stderr for talk. 0 is yes, 1 is no, 2 is used wrongly.
"""


def main() -> None:
    """The command `inference-worker`."""
    from worker.cli.app import app  # noqa: PLC0415  (others import this package without Typer)

    app(prog_name="inference-worker")
