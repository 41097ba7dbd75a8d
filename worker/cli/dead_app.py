"""The commands of `inference-worker dead`: what can be typed. What they do is in `cli/dead.py`."""
# ruff: noqa: PLC0415  (heavy imports belong into the command that needs them)

from pathlib import Path
from typing import Annotated, Any

import typer

dead = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: by what they died of, one by one, and back to their queues.",
)

Config = Annotated[
    Path | None,
    typer.Option(help="The settings file. [default: $WORKER_CONFIG, or ./worker.toml]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="The id of a job.")]
Jobs = Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Ids of jobs.")]
Fingerprint = Annotated[
    str, typer.Option("--fingerprint", help="Of one group, as `groups` prints it, or its begin.")
]
Class = Annotated[str, typer.Option("--class", help="Why they died: expired, rejected, …")]
Code = Annotated[str, typer.Option(help="The code of the last fault: ThrottlingException, …")]
Target = Annotated[str, typer.Option(help="Who was called last.")]
Route = Annotated[str, typer.Option(help="Of one route.")]
Tenant = Annotated[str, typer.Option(help="Of one tenant.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="That died within so long: 90s, 30m, 2h, 1d.")
]
Before = Annotated[str | None, typer.Option(metavar="TIME", help="That died longer ago than this.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]
Reason = Annotated[str, typer.Option(help="Why, for the log; at most 200 characters.")]
NoReason = Annotated[str, typer.Option(help="Why the bodies are read, for the log.")]
Author = Annotated[str | None, typer.Option(help="Who does it; by default the user of this shell.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be; change nothing.")]
Body = Annotated[
    bool, typer.Option("--body", help="The messages too: people's text. The log says who reads.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Send into an open circuit too, and what would surely die again."),
]


def _chosen(**which: Any) -> Any:
    """Which letters are meant: a `words.given.Chosen`."""
    from worker.words.given import Chosen

    return Chosen(**which)


def _signed(author: str | None, reason: str) -> Any:
    """Who does it, and why: a `cli.dead.Signed`."""
    from worker.cli.dead import Signed

    return Signed(author=author, why=reason)


@dead.command("groups")
def dead_groups(
    *,
    fingerprint: Fingerprint = "",
    reason: Class = "",
    code: Code = "",
    target: Target = "",
    route: Route = "",
    tenant: Tenant = "",
    since: Since = None,
    before: Before = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print dead letters by what they died of, and what to do about it."""
    from worker.cli.dead import groups as body

    which = _chosen(
        fingerprint=fingerprint,
        reason=reason,
        code=code,
        target=target,
        route=route,
        tenant=tenant,
        since=since,
        before=before,
    )
    raise typer.Exit(body(config, which, as_json=as_json))


@dead.command("list")
def dead_list(
    *,
    fingerprint: Fingerprint = "",
    reason: Class = "",
    code: Code = "",
    target: Target = "",
    route: Route = "",
    tenant: Tenant = "",
    since: Since = None,
    before: Before = None,
    most: Annotated[int, typer.Option(min=1, help="So many lines; JSON has all.")] = 50,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print dead letters one by one, the newest first. Receives none of them."""
    from worker.cli.dead import listing as body

    which = _chosen(
        fingerprint=fingerprint,
        reason=reason,
        code=code,
        target=target,
        route=route,
        tenant=tenant,
        since=since,
        before=before,
    )
    raise typer.Exit(body(config, which, most=most, as_json=as_json))


@dead.command("show")
def dead_show(
    job: Job,
    *,
    body: Body = False,
    reason: NoReason = "",
    author: Author = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print how one job died, its calls, and what was done to it since."""
    from worker.cli.dead import show

    signed = _signed(author, reason)
    raise typer.Exit(show(config, job, body=body, signed=signed, as_json=as_json))


@dead.command("redrive")
def dead_redrive(
    jobs: Jobs = None,
    *,
    reason: Reason,
    fingerprint: Fingerprint = "",
    died_of: Class = "",
    code: Code = "",
    target: Target = "",
    route: Route = "",
    tenant: Tenant = "",
    since: Since = None,
    before: Before = None,
    everything: Everything = False,
    rate: Annotated[float, typer.Option(help="Letters per second, 0.1 to 500.")] = 20.0,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="1,10,100", help="First so many, and go on only if they were answered."
        ),
    ] = None,
    stop_if: Annotated[
        float, typer.Option(help="The share of a stage that may die again, 0 to below 1.")
    ] = 0.05,
    force: Force = False,
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send dead letters back to their queues; refused while no target may be called."""
    from worker.cli.dead import redrive as body

    which = _chosen(
        jobs=jobs or (),
        fingerprint=fingerprint,
        reason=died_of,
        code=code,
        target=target,
        route=route,
        tenant=tenant,
        since=since,
        before=before,
        everything=everything,
    )
    raise typer.Exit(
        body(
            config,
            which,
            signed=_signed(author, reason),
            rate=rate,
            canary=canary,
            stop_share=stop_if,
            force=force,
            dry=dry_run,
            as_json=as_json,
        )
    )


@dead.command("edit")
def dead_edit(
    job: Job,
    *,
    reason: Reason,
    put: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=JSON", help="inference.maxTokens=512; repeatable."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="PATH", help="What is to go; repeatable."),
    ] = None,
    body: Annotated[Path | None, typer.Option(help="A file with the whole new message.")] = None,
    force: Force = False,
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Change a dead job's message, check it as a worker would, and send it back."""
    from worker.cli.dead import edit

    raise typer.Exit(
        edit(
            config,
            job,
            put=put or (),
            drop=drop or (),
            body=body,
            signed=_signed(author, reason),
            force=force,
            dry=dry_run,
            as_json=as_json,
        )
    )


@dead.command("discard")
def dead_discard(
    jobs: Jobs = None,
    *,
    reason: Reason,
    fingerprint: Fingerprint = "",
    died_of: Class = "",
    code: Code = "",
    target: Target = "",
    route: Route = "",
    tenant: Tenant = "",
    since: Since = None,
    before: Before = None,
    everything: Everything = False,
    unfound: Annotated[
        bool,
        typer.Option("--unfound", help="Take off the list, too, what has no message in reach."),
    ] = False,
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Throw dead letters away; their records say that the jobs have failed."""
    from worker.cli.dead import discard as body

    which = _chosen(
        jobs=jobs or (),
        fingerprint=fingerprint,
        reason=died_of,
        code=code,
        target=target,
        route=route,
        tenant=tenant,
        since=since,
        before=before,
        everything=everything,
    )
    signed = _signed(author, reason)
    raise typer.Exit(
        body(config, which, signed=signed, unfound=unfound, dry=dry_run, as_json=as_json)
    )


@dead.command("export")
def dead_export(
    *,
    fingerprint: Fingerprint = "",
    died_of: Class = "",
    code: Code = "",
    target: Target = "",
    route: Route = "",
    tenant: Tenant = "",
    since: Since = None,
    before: Before = None,
    body: Body = False,
    reason: NoReason = "",
    author: Author = None,
    config: Config = None,
) -> None:
    """Print dead letters with their calls, each as one line of JSON."""
    from worker.cli.dead import export

    which = _chosen(
        fingerprint=fingerprint,
        reason=died_of,
        code=code,
        target=target,
        route=route,
        tenant=tenant,
        since=since,
        before=before,
    )
    raise typer.Exit(export(config, which, bodies=body, signed=_signed(author, reason)))


@dead.command("import")
def dead_import(
    *,
    reason: Reason,
    author: Author = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List what lies in the dead-letter queues and is on no list, as SQS's own moves."""
    from worker.cli.dead import adopt as body

    raise typer.Exit(body(config, signed=_signed(author, reason), dry=dry_run, as_json=as_json))


@dead.command("log")
def dead_log(
    *,
    since: Annotated[str, typer.Option(metavar="TIME", help="Within so long: 2h, 30d.")] = "90d",
    original: Annotated[
        str | None,
        typer.Option(metavar="ROW", help="Print the message that this edit replaced, instead."),
    ] = None,
    reason: NoReason = "",
    author: Author = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print who did what to dead letters, and why; the oldest first."""
    from worker.cli.dead import log
    from worker.cli.dead import original as body

    if original is not None:
        raise typer.Exit(body(config, original, signed=_signed(author, reason)))
    raise typer.Exit(log(config, since=since, as_json=as_json))
