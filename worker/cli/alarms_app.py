"""The commands of `inference-worker alarms`: what can be typed. What they do: `cli/alarms.py`."""
# ruff: noqa: PLC0415  (heavy imports belong into the command that needs them)

from pathlib import Path
from typing import Annotated

import typer

alarms = typer.Typer(no_args_is_help=True, help="The alarms of a template, without CloudWatch.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@alarms.callback()
def group() -> None:
    """Keep `replay` a command of a group, though it is the only one."""


@alarms.command("replay")
def alarms_replay(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Logs of workers; - reads from stdin."),
    ],
    *,
    template: Annotated[Path, typer.Option(help="A CloudFormation template in JSON.")] = Path(
        "deploy/template.json"
    ),
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter, or AWS::StackName; repeatable."),
    ] = None,
    extra: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Metrics of AWS's own, as JSON lines; repeatable."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Go on so long after the last line, without data: 15m."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which alarms would have rung over what workers logged, when, and who was told."""
    from worker.cli.alarms import replay as body

    raise typer.Exit(
        body(
            files,
            template=template,
            params=param or (),
            extra=extra or (),
            after=after,
            as_json=as_json,
        )
    )
