"""`inference-worker alarms replay FILE…`: which alarms of a template would have rung, and when.

It reads what workers wrote, and asks nothing of AWS. How states come about is in `worker/alarms/`.
Exit codes: 0 it was played, whatever rang; 1 a file or the template cannot be used, or nothing in
the files is what an alarm reads; 2 used wrongly.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

import orjson

from worker.alarms.alarm import Alarm, State
from worker.alarms.lines import Read, read, read_own
from worker.alarms.references import TemplateError
from worker.alarms.replay import Played, Story, play
from worker.alarms.samples import MINUTE_S
from worker.alarms.template import Alarms, alarms
from worker.ops.desk import Misused
from worker.words.given import seconds_of

STDIN: Final = Path("-")
WIDTH: Final = 100
AFTER_MAX_S: Final = 86_400.0
DAYS_MOST: Final = 14
"""CloudWatch itself takes no metric that is older, and each minute is played."""
_DAY_MIN: Final = 1440
_SHOWN: Final = 5  # broken lines that are named, of each file


class _UnusableError(Exception):
    """What was given cannot be played."""


def replay(
    files: Sequence[Path],
    *,
    template: Path,
    params: Sequence[str],
    extra: Sequence[Path],
    after: str | None,
    as_json: bool,
) -> int:
    """Play what was measured through the alarms of a template."""
    try:
        given = dict(_param(one) for one in params)
        after_s = seconds_of(after, "--after", low_s=0.0, high_s=AFTER_MAX_S) if after else 0.0
    except Misused as wrong:
        print(wrong, file=sys.stderr)
        return 2
    try:
        found = _alarms(template, given)
        had = _lines(files, extra)
        _must_meet(found, had, template)
    except _UnusableError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    story = play(found, had.samples, after_min=round(after_s / MINUTE_S))
    names = _names(found, story)
    if as_json:
        told = _as_json(had, story, names)
        print(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        print(_as_text(had, story, names))
    return 0


def _param(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        msg = f"--param is NAME=VALUE, as in AWS::StackName=inference, not {given!r}"
        raise Misused(msg)
    return name, value


def _alarms(path: Path, given: dict[str, str]) -> Alarms:
    try:
        return alarms(orjson.loads(path.read_bytes()), given)
    except OSError as wrong:
        msg = f"the template {path} cannot be read: {wrong.strerror}\nName it with --template."
        raise _UnusableError(msg) from None
    except orjson.JSONDecodeError:
        msg = f"the template {path} is no JSON: YAML is not read. Give the synthesized one."
        raise _UnusableError(msg) from None
    except TemplateError as wrong:
        msg = (
            f"the template {path} cannot be evaluated:\n    {wrong}\n"
            "What an alarm with it would do is unknown, so none is played."
        )
        raise _UnusableError(msg) from None


def _lines(files: Sequence[Path], extra: Sequence[Path]) -> Read:
    had = Read()
    for path in files:
        _from(path, had, own=False)
    for path in extra:
        _from(path, had, own=True)
    return had


def _from(path: Path, had: Read, *, own: bool) -> None:
    before, reads = len(had.broken), read_own if own else read
    try:
        if path == STDIN:
            reads(sys.stdin.buffer, had)
        else:
            with path.open("rb") as lines:
                reads(lines, had)
    except OSError as wrong:
        msg = f"{path} cannot be read: {wrong.strerror}"
        raise _UnusableError(msg) from None
    broken = had.broken[before:]
    for number, why in broken[:_SHOWN]:
        print(f"{path}, line {number}: {why}", file=sys.stderr)
    if more := broken[_SHOWN:]:
        print(f"{path}: and {len(more)} more such lines", file=sys.stderr)


def _must_meet(found: Alarms, had: Read, template: Path) -> None:
    """Refuse to play what no alarm reads: silence would look like health."""
    if not found.metric:
        msg = f"the template {template} has no alarms"
        raise _UnusableError(msg)
    if not len(had.samples):
        msg = (
            "no metrics in what was given. Workers write them to stdout, one JSON object a line "
            "(docs/metrics.md); is this their whole log?"
        )
        raise _UnusableError(msg)
    days = ((had.samples.last or 0) - (had.samples.first or 0)) / _DAY_MIN
    if days > DAYS_MOST:
        msg = (
            f"from the first metric to the last it is {days:.0f} days, and {DAYS_MOST} are played "
            "at most.\nIs one of their times wrong? Give a part of the lines."
        )
        raise _UnusableError(msg)
    reads = [metric for one in found.metric for metric in one.metrics]
    if not any(metric in had.samples for metric in reads):
        msg = (
            "none of the metrics is read by an alarm.\n"
            f"    measured, for example: {min(had.samples)}\n"
            f"    read, for example:     {min(reads)}\n"
            "Is the stack's name another one? Give it: --param AWS::StackName=NAME"
        )
        raise _UnusableError(msg)


# --- telling -----------------------------------------------------------------


def _at(story: Story, minute: int) -> datetime:
    """When a minute ends, counted from 0: then its alarms were looked at."""
    return datetime.fromtimestamp((story.start + minute + 1) * MINUTE_S, UTC)


def _end(minute: int | None) -> int | None:
    """How many minutes after the start that was."""
    return None if minute is None else minute + 1


def _names(found: Alarms, story: Story) -> dict[str, str]:
    """Names by logical id, without the stack's before them."""
    return {
        id_: one.alarm.name.removeprefix(f"{found.stack}-") for id_, one in story.alarms.items()
    }


def _as_json(had: Read, story: Story, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "documents": had.documents,
        "passed_over": had.passed_over,
        "broken": len(had.broken),
        "from": _at(story, -1),
        "to": _at(story, story.minutes - 1),
        "minutes": story.minutes,
        "alarms": [
            {
                "name": names[id_],
                "id": id_,
                "composite": not isinstance(one.alarm, Alarm),
                "state": one.states[-1].value,
                "rang": [
                    {
                        "fired": _end(span.fired),
                        "fired_at": _at(story, span.fired),
                        "cleared": _end(span.cleared),
                        "cleared_at": None if span.cleared is None else _at(story, span.cleared),
                    }
                    for span in one.spans
                ],
                "absent": [str(metric) for metric in one.absent],
            }
            for id_, one in story.alarms.items()
        ],
        "notices": [
            {
                "minute": _end(one.minute),
                "at": _at(story, one.minute),
                "alarm": names[one.alarm],
                "state": one.state.value,
                "to": one.to,
            }
            for one in story.notices
        ],
    }


def _as_text(had: Read, story: Story, names: Mapping[str, str]) -> str:
    first, last = (_at(story, minute) for minute in (-1, story.minutes - 1))
    lines = [
        f"metrics: {had.documents} lines; other: {had.passed_over}; broken: {len(had.broken)}",
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {story.minutes} minutes",
        "",
    ]
    rang = [(names[id_], one) for id_, one in story.alarms.items() if one.rings]
    if rang:
        lines.append(f"{'RANG':<20} {'fired':<16} {'cleared':<16} tells")
        lines += [line for name, one in rang for line in _rang(story, name, one)]
    else:
        lines.append("No alarm rang.")
    for heading, wanted in (("Quiet", State.OK), ("Never enough data", State.INSUFFICIENT_DATA)):
        quiet = sorted(
            names[id_]
            for id_, one in story.alarms.items()
            if not one.rings and one.states[-1] is wanted
        )
        lines += ["", *wrap(f"{heading}: {', '.join(quiet)}", WIDTH)] if quiet else []
    lines += _absent(story, names)
    lines += ["", f"{len(story.notices)} notices"]
    lines += [
        f"    +{_end(one.minute):<4} {_at(story, one.minute):%H:%M}  {names[one.alarm]:<20} "
        f"{one.state.value:<6} to {one.to}"
        for one in story.notices
    ]
    return "\n".join(lines)


def _rang(story: Story, name: str, one: Played) -> list[str]:
    tells = ", ".join(one.alarm.actions) or "nobody"
    return [
        f"{name:<20} {_when(story, span.fired):<16} "
        f"{'still rings' if span.cleared is None else _when(story, span.cleared):<16} {tells}"
        for span in one.spans
    ]


def _when(story: Story, minute: int) -> str:
    return f"+{_end(minute)} min {_at(story, minute):%H:%M}"


def _absent(story: Story, names: Mapping[str, str]) -> list[str]:
    """What was never measured, and who reads it: these alarms were judged without."""
    by: dict[str, list[str]] = {}
    for id_, one in story.alarms.items():
        for metric in one.absent:
            by.setdefault(str(metric), []).append(names[id_])
    if not by:
        return []
    return [
        "",
        "Never measured (of AWS: give it with --extra; of a worker: it did not happen):",
        *(f"    {metric}: {', '.join(readers)}" for metric, readers in sorted(by.items())),
    ]
