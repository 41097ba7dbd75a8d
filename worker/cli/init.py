"""`inference-worker init`: a settings file with what a new fleet needs first.

What a setting means and what it is by default comes from the settings themselves, so the
file cannot say otherwise; `worker.example.toml` is the same text (`worker/cli/docs.py`).
Only which settings are shown, in which order, and the values of examples are chosen here.
"""

import shlex
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from worker.settings import SettingsError, load_all
from worker.settings.fields import ANY, Row, rows
from worker.settings.load import DEFAULT_FILE

QUEUE_URL: Final = "https://sqs.eu-central-1.amazonaws.com/111122223333/chat-jobs"
MODEL: Final = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
EXAMPLE: Final = "an example; "  # how a value that is no default is marked
_WIDTH: Final = 96


@dataclass(frozen=True, slots=True)
class Show:
    """One setting; `example` where its default would show nothing."""

    path: str
    example: Any = None


@dataclass(frozen=True, slots=True)
class Part:
    """A paragraph of settings: tables (`[targets.<name>]`) if it has a head."""

    says: str
    shown: tuple[Show, ...]
    head: str = ""


_URL: Final = "https://sqs.eu-central-1.amazonaws.com/111122223333/"
PARTS: Final = (
    Part(
        "More about the model. For its prices, see the metric CostUsd.",
        (
            Show("model.region", "eu-central-1"),
            Show("model.max_tokens"),
            Show("model.attempt_s"),
            Show("model.slow_s"),
            Show("model.bucket", "claude"),
            Show("model.price_input", 1.0),
            Show("model.price_output", 5.0),
        ),
    ),
    Part(
        "More about the queues. Those for parked jobs and dead letters lie beside the first.",
        (
            Show("queue.parked_url", _URL + "chat-parked"),
            Show("queue.dead_url", _URL + "chat-dead"),
            Show("queue.lease_s"),
            Show("queue.wait_s"),
        ),
    ),
    Part(
        "How much at once, and how to leave.",
        (Show("slots"), Show("bytes_max"), Show("grace_s"), Show("crashes_max")),
    ),
    Part("How often to try again.", (Show("retry.attempts"), Show("retry.attempts_max"))),
    Part(
        "When a circuit opens, and how a quota is kept: docs/breaker.md, docs/pacing.md.",
        (
            Show("breaker.table", "inference-worker-breakers"),
            Show("breaker.shared"),
            Show("breaker.failure_rate", 0.8),
            Show("breaker.slow_rate", 0.5),
            Show("breaker.cooldown_s"),
            Show("pacing.wait_s"),
        ),
    ),
    Part(
        "The ledger: one item per job.",
        (Show("ledger.table", "inference-worker-jobs"), Show("ledger.keep_s")),
    ),
    Part(
        "Large requests and answers.",
        (
            Show("payloads.bucket", "chat-payloads"),
            Show("payloads.allowed_buckets", ["another-teams-payloads"]),
        ),
    ),
    Part("Where answers go, for jobs that name it.", (Show(f"replies.{ANY}", _URL + "billing"),)),
    Part(
        "What is told, and to whom.",
        (
            Show("service"),
            Show("log_level"),
            Show("metrics.namespace"),
            Show("metrics.flush_s"),
            Show("health.port", 8081),
        ),
    ),
    Part(
        "Fallbacks: more targets. Without routes, every job tries all of them in order.",
        (
            Show(f"targets.{ANY}.id", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
            Show(f"targets.{ANY}.region", "us-east-1"),
            Show(f"targets.{ANY}.quality", 0.9),
        ),
        head="targets.elsewhere",
    ),
    Part(
        "Second-best answers, for routes that name them: docs/degraded.md.",
        (
            Show(f"degraded.{ANY}.kind", "plugin"),
            Show(f"degraded.{ANY}.use", "our_shop.answers:sorry"),
        ),
        head="degraded.sorry",
    ),
    Part(
        "Routes: plans, for jobs that name one in `route`. `default` is the model above.",
        (
            Show(f"routes.{ANY}.targets", ["default", "elsewhere"]),
            Show(f"routes.{ANY}.deadline_s", 3600.0),
            Show(f"routes.{ANY}.min_quality", 0.5),
            Show(f"routes.{ANY}.allow_geo", ["eu", "us"]),
            Show(f"routes.{ANY}.degraded", ["sorry"]),
            Show(f"routes.{ANY}.on_open", "degrade_after:60"),
            Show(f"routes.{ANY}.upgrade_later", example=True),
            Show(f"routes.{ANY}.park_max_s"),
            Show(f"routes.{ANY}.accept.stop_reasons", ["end_turn", "stop_sequence", "tool_use"]),
            Show(f"routes.{ANY}.on_fault.{ANY}", "next"),
        ),
        head="routes.default",
    ),
    Part(
        "Lanes: queues of their own for some routes. They replace queue.url.",
        (Show(f"lanes.{ANY}.url", QUEUE_URL), Show(f"lanes.{ANY}.routes", ["default"])),
        head="lanes.chat",
    ),
)
_HEAD: Final = """\
# Settings of inference-worker, for worker.toml; the same names work in the environment
# (WORKER_QUEUE__URL, WORKER_MODEL__ID), which wins. All `_s` are seconds.
# A line behind a # shows the default, unless it says that it is an example.
# All settings: docs/settings.md. What is wrong with yours: inference-worker check.
# What is wrong around it, and how to mend it: inference-worker doctor."""
_NAMES: Final = {f"replies.{ANY}": "replies.billing"}
_KIND: Final = "throttled"


def init(path: Path, *, queue_url: str | None, model: str | None, region: str | None) -> int:
    """Write `path`; 2 if it is there already, or would be of no use."""
    if path.exists():
        return _refused(
            f"{path} is there already, and stays as it is.",
            "Name another file, or move it away.",
        )
    text = written(queue_url=queue_url, model=model, region=region)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return _refused(f"{path} cannot be written: {error.strerror}.", "Name another place.")
    if queue_url and model:
        try:
            load_all({}, path)
        except SettingsError as error:
            path.unlink()
            print(error, file=sys.stderr)
            return 2
    missing = [name for name, given in (("queue.url", queue_url), ("model.id", model)) if not given]
    todo = f"Set {' and '.join(missing)} in it, then: " if missing else "Next: "
    option = "" if path == Path(DEFAULT_FILE) else f" --config {shlex.quote(str(path))}"
    print(f"{path} is written. {todo}inference-worker doctor{option}")
    return 0


def _refused(wrong: str, advice: str) -> int:
    print(f"{wrong} {advice}", file=sys.stderr)
    return 2


def written(
    *, queue_url: str | None = None, model: str | None = None, region: str | None = None
) -> str:
    """The text of a settings file. What is not given is shown as an example, commented out."""
    known = {".".join(row.path): row for row in rows()}
    parts = [
        _HEAD,
        "\n".join(
            (
                "# A queue and a model are all that is needed.",
                _given("queue.url", queue_url, QUEUE_URL),
                _given("model.id", model, MODEL),
                *([_given("model.region", region, "")] if region else ()),
            )
        ),
    ]
    parts += [_part(part, known, skip={"model.region"} if region else set()) for part in PARTS]
    return "\n\n".join(parts) + "\n"


def _given(name: str, value: str | None, example: str) -> str:
    return f"{name} = {_toml(value)}" if value else f"# {name} = {_toml(example)}"


def _part(part: Part, known: dict[str, Row], skip: set[str]) -> str:
    lines = [f"# {part.says}"]
    if part.head:
        lines.append(f"# [{part.head}]")
    for show in part.shown:
        if show.path not in skip:
            lines += _lines(show, known[show.path], part.head)
    return "\n".join(lines)


def _lines(show: Show, row: Row, head: str) -> list[str]:
    """What it means, and the setting."""
    name = _NAMES.get(show.path, show.path)
    if head:
        table = f"{head.partition('.')[0]}.{ANY}."
        name = name.removeprefix(table).replace(ANY, _KIND)
    value = row.default if show.example is None else show.example
    mark = ""
    if show.example is not None:
        unset = row.default in (None, "", ())
        default = "unset by default" if unset else f"the default is {_toml(row.default)}"
        mark = f"  # {EXAMPLE}{'required' if row.required else default}"
    doc = textwrap.wrap(
        row.doc, _WIDTH, initial_indent="#   ", subsequent_indent="#   ", break_on_hyphens=False
    )
    return [*doc, f"# {name} = {_toml(value)}{mark}"]


def _toml(value: Any) -> str:
    """A value as TOML has it; a whole number without its point.

    >>> _toml(90.0), _toml(True), _toml(["a", "b"])
    ('90', 'true', '["a", "b"]')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return orjson.dumps(value).decode()
