"""The reference pages, written from the code: `python -m worker.cli.docs docs`.

Some are written whole; of `breaker.md` and `metrics.md` only parts are, between their marks.
The example of the settings and the catalogue that deploy/ draws from lie beside the folder.
A test fails when a page is not what this writes.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Final

from worker.cli import breaker_page, markdown
from worker.cli.breaker_svg import svg
from worker.cli.init import MODEL, QUEUE_URL
from worker.cli.init import written as settings_file
from worker.core.failures import Failure
from worker.core.fault import Kind
from worker.core.metric import Metric, Profile
from worker.core.metrics import CATALOGUE
from worker.core.result_schema import SCHEMA
from worker.runtime.telemetry import EVENTS, LEVELS
from worker.settings.fields import ANY, rows

CATALOGUE_FILE: Final = "../deploy/inference_worker_cdk/catalogue.json"
_MADE: Final = "<!-- Written by `python -m worker.cli.docs docs`; edit the code instead. -->"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "events.md": events_page(),
        "settings.md": settings_page(),
        "breaker.svg": svg(),
        "../worker.example.toml": settings_file(queue_url=QUEUE_URL, model=MODEL),
        "result.schema.json": json.dumps(SCHEMA, indent=2, ensure_ascii=False) + "\n",
        CATALOGUE_FILE: catalogue_file(),
    }


def parts() -> dict[str, dict[str, str]]:
    """What is written into pages that are otherwise by hand, by file and by name."""
    return {"breaker.md": breaker_page.parts(), "metrics.md": metrics_parts()}


def metrics_parts() -> dict[str, str]:
    """The metric catalogue, and the values of its closed dimensions."""
    catalogue = markdown.table(
        ("Metric", "Unit", "Dimension sets", "In `core`", "When", "Meaning"),
        (
            (
                f"`{metric.name}`",
                metric.unit.value,
                _sets(metric),
                _sets(metric.within(Profile.CORE)),
                metric.when,
                metric.meaning,
            )
            for metric in CATALOGUE.values()
        ),
    )
    return {
        "catalogue": catalogue,
        "kinds": _list(kind.value for kind in Kind),
        "classes": _list(failure.value for failure in Failure),
    }


def catalogue_file() -> str:
    """The catalogue for deploy/, which imports nothing of ours: a metric on each line."""
    rows = (
        f" {json.dumps(metric.name)}: "
        + json.dumps(
            {
                "unit": metric.unit.value,
                "core": _dimensions(metric.within(Profile.CORE)),
                "full": _dimensions(metric),
            }
        )
        for metric in CATALOGUE.values()
    )
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _dimensions(metric: Metric | None) -> list[list[str]]:
    return [] if metric is None else [[*names] for names in metric.dimensions]


def _sets(metric: Metric | None) -> str:
    return " ".join(f"[{', '.join(names)}]" for names in _dimensions(metric))


def _list(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def events_page() -> str:
    """The events, with their fields."""
    parts = [
        f"""# Events

{_MADE}

An event is one JSON object on one line of stdout: `at` (seconds since 1970),
`level`, `event`, `service`, `worker`, and the fields below. `job.settled` is the
canonical line, one for each delivery that ran. No line holds text of a job or
an answer, or a receipt. Lines with `_aws` are [metrics](metrics.md).
"""
    ]
    for kind in EVENTS:
        source = inspect.getsource(kind)
        notes = dict(re.findall(r"^    (\w+): .*?  # (.*)$", source, re.MULTILINE))
        table = markdown.table(
            ("Field", "Type", "Values"),
            (
                (f"`{field.name}`", f"`{_type(field.type)}`", notes.get(field.name, ""))
                for field in fields(kind)
            ),
        )
        doc = inspect.cleandoc(kind.__doc__ or "")
        parts.append(f"## `{kind.name}` ({LEVELS.get(kind, 'info')})\n\n{doc}\n\n{table}\n")
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting, its default and its meaning."""
    table = markdown.table(
        ("Environment", "worker.toml", "Default", "Meaning"),
        (
            (
                f"`{row.variable}`",
                f"`{'.'.join(row.path)}`",
                "required" if row.required else _default(row.default),
                row.doc,
            )
            for row in rows()
        ),
    )
    return f"""# Settings

{_MADE}

From the environment and from `worker.toml` (or the file that `WORKER_CONFIG` or
`--config` names); the environment wins. A queue and a model are all that is
needed. `{ANY}` is a name of your choice, of a-z 0-9 - _. Lists in the environment
are separated by commas. All `_s` are seconds. A name that is no setting, and
settings that contradict each other, keep the worker from starting:
`inference-worker check` explains, and `check --show` prints what is in force.
AWS credentials, Region and endpoints are the SDK's own (`AWS_DEFAULT_REGION`, …).

{table}
"""


def _type(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("worker.core.fault.", "")


def _default(value: object) -> str:
    if value is None or value == "":
        return "unset"
    return f"`{int(value) if isinstance(value, float) and value.is_integer() else value}`"


def main(folder: Path) -> None:
    """Write every page, and the parts of pages that are there."""
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name, written in parts().items():
        page = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(breaker_page.filled(page, written), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
