"""The commands. What they do is elsewhere, and imported when it is needed.

`--help` and `version` answer in a moment because of it.
"""
# ruff: noqa: PLC0415  (heavy imports belong into the command that needs them)

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.alarms_app import alarms
from worker.cli.dead_app import dead

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its traceback shows local variables: other people's text
    help="Takes inference jobs from SQS, calls Amazon Bedrock, and stores each answer once.",
)
local = typer.Typer(no_args_is_help=True, help="The embedded stack: no account, no Docker.")
app.add_typer(local, name="local")
breaker = typer.Typer(
    no_args_is_help=True,
    help="The fleet's circuit: look at it, take it over for a time, tune it.",
)
app.add_typer(breaker, name="breaker")
app.add_typer(dead, name="dead")
app.add_typer(alarms, name="alarms")

Config = Annotated[
    Path | None,
    typer.Option(help="The settings file. [default: $WORKER_CONFIG, or ./worker.toml]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QueueUrl = Annotated[str | None, typer.Option(help="The jobs queue, instead of the settings' own.")]
Table = Annotated[str | None, typer.Option(help="The ledger, instead of the settings' own.")]
Bucket = Annotated[str | None, typer.Option(help="The bucket for large requests and answers.")]

Breaker = Annotated[str, typer.Argument(metavar="NAME", help="A breaker, as `show` names it.")]
Lasting = Annotated[
    str, typer.Option("--for", metavar="TIME", help="How long: 90s, 30m, 2h, 1d; at most 7d.")
]
Reason = Annotated[str, typer.Option(help="Why, for everybody who looks; at most 200 characters.")]
Author = Annotated[
    str | None, typer.Option(help="Who orders it; by default the user of this shell.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be; change nothing.")]
Look = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Look twice at the jury, to leave out workers that are gone: 20s."
    ),
]


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
        bool, typer.Option("--live", help="Look at queues, tables and bucket too; changes nothing.")
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
def plan(
    config: Config = None,
    *,
    alarms: Annotated[
        int, typer.Option(min=0, help="Metrics that your alarms read, to be priced as well.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Say what CloudWatch will ask for metrics and logs, with each metrics profile."""
    from worker.cli.plan import plan as body

    raise typer.Exit(body(config, alarms=alarms, as_json=as_json))


@app.command()
def health(
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether it takes jobs.")] = False,
) -> None:
    """Ask the worker on this host how it is; exit 1 unless it is live. For health checks."""
    from worker.cli.health import main as body

    raise typer.Exit(body(["--ready"] if ready else []))


@app.command()
def status(
    *,
    why: Annotated[
        bool,
        typer.Option("--why", help="Causes and evidence, routes, orders, who sees it otherwise."),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say how the whole fleet stands, in two seconds; exit 1 unless all is well."""
    from worker.cli.status import show as body

    raise typer.Exit(body(config, why=why, as_json=as_json))


@app.command()
def why(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The id of a job.")],
    *,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell the whole path of one job: claims, calls, refusals, parks, and what comes next."""
    from worker.cli.why import why as body

    raise typer.Exit(body(config, job, as_json=as_json))


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


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file; refused if it is there.")] = Path(
        "worker.toml"
    ),
    *,
    queue_url: Annotated[str | None, typer.Option(help="The jobs queue.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A model id, an inference profile id or an ARN.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The model's Region.")] = None,
) -> None:
    """Write a settings file: what a new fleet needs first, with every default beside it."""
    from worker.cli.init import init as body

    raise typer.Exit(body(path, queue_url=queue_url, model=model, region=region))


@app.command()
def doctor(
    *,
    calls: Annotated[
        bool, typer.Option("--calls/--no-calls", help="Call each model for one token, or do not.")
    ] = True,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say what a worker would meet (rights, queues, tables, models, clock), each with its fix.

    Changes nothing; each model is called for one token, a fraction of a cent. Exit 1 if any is red.
    """
    from worker.cli.doctor.command import doctor as body

    raise typer.Exit(body(config, calls=calls, as_json=as_json))


@local.command()
def up(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any.")] = 0,
) -> None:
    """Serve queues, a table, a bucket and models on loopback until Ctrl-C."""
    from worker.cli.local import up as body

    raise typer.Exit(body(port))


@breaker.command("show")
def breaker_show(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Breakers; all by default.")
    ] = None,
    *,
    why: Annotated[
        bool, typer.Option("--why", help="The evidence, the writer, the votes.")
    ] = False,
    look: Look = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say how breakers stand; exit 1 unless each is closed and none is held open."""
    from worker.cli.breaker import show as body

    why = why or look is not None
    raise typer.Exit(body(config, names or (), why=why, lasting=look, as_json=as_json))


@breaker.command("hold-open")
def breaker_hold_open(
    name: Breaker,
    *,
    lasting: Lasting,
    reason: Reason,
    author: Author = None,
    dry_run: DryRun = False,
    look: Look = None,
    config: Config = None,
) -> None:
    """Let no call pass, not even a probe, for a time."""
    how = {"lasting": lasting, "reason": reason, "author": author, "dry": dry_run}
    _hold(name, "hold_open", config, look=look, **how)


@breaker.command("hold-closed")
def breaker_hold_closed(
    name: Breaker,
    *,
    lasting: Lasting,
    reason: Reason,
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
) -> None:
    """Let every call pass, whatever fails, for a time."""
    how = {"lasting": lasting, "reason": reason, "author": author, "dry": dry_run}
    _hold(name, "hold_closed", config, look=None, **how)


@breaker.command("observe")
def breaker_observe(
    name: Breaker,
    *,
    lasting: Lasting,
    reason: Reason,
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
) -> None:
    """Let the fleet decide, and every call pass all the same, for a time."""
    how = {"lasting": lasting, "reason": reason, "author": author, "dry": dry_run}
    _hold(name, "observe", config, look=None, **how)


def _hold(name: str, mode: str, config: Path | None, *, look: str | None, **how: Any) -> None:
    from worker.cli.breaker import hold as body
    from worker.core.verdict import Mode

    raise typer.Exit(body(config, name, Mode(mode), look=look, **how))


@breaker.command("auto")
def breaker_auto(
    name: Breaker,
    *,
    reason: Annotated[str, typer.Option(help="Why, for everybody who looks.")] = "",
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
) -> None:
    """End what an operator ordered: the fleet decides again."""
    from worker.cli.breaker import auto as body

    raise typer.Exit(body(config, name, author=author, reason=reason, dry=dry_run))


@breaker.command("history")
def breaker_history(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A breaker; all by default.")
    ] = None,
    *,
    most: Annotated[int, typer.Option(help="So many rows, 1 to 100.")] = 20,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print what changed, who changed it, and why; the newest first."""
    from worker.cli.breaker import history as body

    raise typer.Exit(body(config, name, most=most, as_json=as_json))


@breaker.command("policy")
def breaker_policy(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A breaker; all by default.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--every", help="Change it for every breaker.")] = False,
    put: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KNOB=VALUE", help="A value for the store; repeatable."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="KNOB", help="Leave it to the settings; repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; required with --set or --unset.")] = "",
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print when circuits open and how they recover, and where each value comes from.

    With --set or --unset, change it for the running fleet.
    """
    from worker.cli.breaker import policy as body

    raise typer.Exit(
        body(
            config,
            name,
            every=every,
            put=put or (),
            drop=drop or (),
            author=author,
            reason=reason,
            dry=dry_run,
            as_json=as_json,
        )
    )


@app.command()
def workers(*, config: Config = None, as_json: Json = False) -> None:
    """Say what each worker of the jury sees; exit 1 unless all see it as the fleet does."""
    from worker.cli.workers import show as body

    raise typer.Exit(body(config, as_json=as_json))


@app.command()
def ui(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 for any.")] = 0,
    look_only: Annotated[
        bool,
        typer.Option(
            "--look-only", help="No token: all on this host see it. Nothing can be changed."
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C: what the commands tell and do, in a browser."""
    from worker.cli.ui import ui as body

    raise typer.Exit(body(config, port=port, look_only=look_only))


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
