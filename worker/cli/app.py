"""The commands. What they do is elsewhere, and imported when it is needed.

`--help` and `version` answer in a moment because of it.
"""
# ruff: noqa: PLC0415  (heavy imports belong into the command that needs them)

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its traceback shows local variables: other people's text
    help="Takes inference jobs from SQS, calls Amazon Bedrock, and stores each answer once.",
)
local = typer.Typer(no_args_is_help=True, help="The embedded stack: no account, no Docker.")
app.add_typer(local, name="local")

Config = Annotated[
    Path | None,
    typer.Option(help="The settings file. [default: $WORKER_CONFIG, or ./worker.toml]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QueueUrl = Annotated[str | None, typer.Option(help="The jobs queue, instead of the settings' own.")]
Table = Annotated[str | None, typer.Option(help="The ledger, instead of the settings' own.")]
Bucket = Annotated[str | None, typer.Option(help="The bucket for large requests and answers.")]


@app.command()
def run(config: Config = None) -> None:
    """Take jobs until SIGTERM or Ctrl-C; then finish what is in hand."""
    from worker.cli.check import loaded
    from worker.settings import SettingsError

    try:
        settings = loaded(config).settings
    except SettingsError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    for problem in settings.warnings:
        print(f"warning: {problem}\n", file=sys.stderr)
    from worker.wiring import run as body

    raise typer.Exit(body(settings))


@app.command()
def check(
    config: Config = None,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Look at queues, table and bucket too; changes nothing.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print every setting, and where it comes from.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with the settings; exit 1 if the worker would not start."""
    from worker.cli.check import check as body

    raise typer.Exit(body(config, live=live, show=show, as_json=as_json))


@app.command()
def submit(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - reads it from stdin.")] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="A job as JSON (.json), or a prompt as text.")
    ] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="Id and idempotency key.")] = None,
    route: Annotated[str | None, typer.Option(help="A configured route.")] = None,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds after which an answer is worthless.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose job it is, for fairness.")] = None,
    wait_s: Annotated[
        float | None,
        typer.Option(
            "--wait", metavar="SECONDS", help="Wait so long for the answer, and print it."
        ),
    ] = None,
    config: Config = None,
    queue_url: QueueUrl = None,
    table: Table = None,
    bucket: Bucket = None,
    as_json: Json = False,
) -> None:
    """Send one job, and print its id, or with --wait its answer."""
    from worker.cli import jobs

    place = jobs.place(config, route, queue_url=queue_url, table=table, bucket=bucket)
    fields = {"id": job_id, "route": route, "deadline_s": deadline, "tenant": tenant}
    job = jobs.job_of(prompt, file, {k: v for k, v in fields.items() if v is not None})
    if isinstance(place, str) or isinstance(job, str):
        print(next(wrong for wrong in (job, place) if isinstance(wrong, str)), file=sys.stderr)
        raise typer.Exit(2)
    raise typer.Exit(jobs.submit(place, job, wait_s=wait_s, as_json=as_json))


@app.command()
def wait(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.")],
    *,
    timeout: Annotated[float, typer.Option(help="Seconds.")] = 300.0,
    config: Config = None,
    queue_url: QueueUrl = None,
    table: Table = None,
    bucket: Bucket = None,
    as_json: Json = False,
) -> None:
    """Print results as they come in; exit 1 unless every job was answered."""
    from worker.cli import jobs

    place = jobs.place(config, None, queue_url=queue_url, table=table, bucket=bucket)
    if isinstance(place, str):
        print(place, file=sys.stderr)
        raise typer.Exit(2)
    raise typer.Exit(jobs.wait(place, job_ids, timeout_s=timeout, as_json=as_json))


@local.command()
def up(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any.")] = 0,
) -> None:
    """Serve queues, a table, a bucket and models on loopback until Ctrl-C."""
    from worker.cli.local import up as body

    raise typer.Exit(body(port))


@app.command()
def demo() -> None:
    """The main job on the embedded stack, with a kill and a drain in mid-run."""
    from worker.cli.demo import demo as body

    raise typer.Exit(body())


@app.command()
def version(*, as_json: Json = False) -> None:
    """Print the version."""
    from worker.cli.version import version as body

    raise typer.Exit(body(as_json=as_json))
