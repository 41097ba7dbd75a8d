"""`inference-worker check`: what is wrong with the settings, before it costs a job."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from worker.cli.in_time import left
from worker.settings import Loaded, Problem, Settings, SettingsError, load_all
from worker.settings.fields import ANY, rows, variable


def loaded(config: Path | None) -> Loaded:
    """The settings of this process."""
    return load_all(os.environ, config)


def check(config: Path | None, *, live: bool, show: bool, as_json: bool) -> int:
    """Print every problem; exit 1 if the worker would not start, or not work."""
    ours, found = given(config)
    if ours and live:
        from worker.cli.doctor.command import stores  # noqa: PLC0415  (the SDK takes its time)

        found += stores(ours.settings)
    shown = shown_settings(ours) if ours and (show or as_json) else []
    print(_as_json(found, shown) if as_json else _as_text(found, shown, ours, live=live))
    return left(1 if any(problem.fatal for problem in found) else 0)


def given(config: Path | None) -> tuple[Loaded | None, tuple[Problem, ...]]:
    """The settings, None if they cannot be used, and all that is wrong with them."""
    try:
        ours = loaded(config)
    except SettingsError as error:
        return None, error.problems
    return ours, (*ours.settings.warnings, *_handlers(ours.settings))


def _handlers(settings: Settings) -> tuple[Problem, ...]:
    """Degraded handlers that cannot be made here."""
    from worker.degraded.registry import HandlersUnusableError, check_all  # noqa: PLC0415  (as below)

    try:
        check_all(settings.all_handlers())
    except HandlersUnusableError as error:
        return tuple(
            Problem(
                wrong=f"the degraded handler `{name}` cannot be made: {what}.",
                advice="Its step of a route would be missing when it is needed. A program that "
                "brings the object itself (`serve(handlers=…)`) needs no `use`; all others do.",
            )
            for name, what in error.why.items()
        )
    return ()


def shown_settings(ours: Loaded) -> list[tuple[str, Any, str]]:
    """Every setting with its effective value and where it comes from."""
    tree = ours.settings.model_dump(mode="json")
    derived = _derived(ours.settings)
    shown = []
    for row in rows():
        for path, value in _found(tree, row.path):
            if value is None and path in derived:
                shown.append((variable(*path), derived[path], "derived"))
                continue
            origin = next((o for p, o in ours.origins.items() if p[: len(path)] == path), "default")
            shown.append((variable(*path), value, origin))
    return shown


def _derived(settings: Settings) -> dict[tuple[str, ...], Any]:
    """What is worked out from other settings where it is not given."""
    derived: dict[tuple[str, ...], Any] = {
        ("ledger", "table"): settings.ledger_table,
        ("breaker", "table"): settings.breakers_table,
        ("cache", "table"): settings.cache_table,
    }
    for lane in settings.all_lanes():
        at = ("lanes", lane.name) if settings.lanes else ("queue",)
        derived[*at, "parked_url"] = lane.parked_url
        derived[*at, "dead_url"] = lane.dead_url
    return derived


def _found(tree: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    """Each value of a path that may hold names the user chose."""
    if not path:
        return [((), tree)]
    if not isinstance(tree, dict):
        return []
    heads = sorted(tree) if path[0] == ANY else [path[0]]
    return [
        ((head, *below), value) for head in heads for below, value in _found(tree[head], path[1:])
    ]


def _as_json(found: Sequence[Problem], shown: list[tuple[str, Any, str]]) -> str:
    told = {
        "ok": not any(problem.fatal for problem in found),
        "problems": [asdict(problem) for problem in found],
        "settings": [dict(zip(("name", "value", "from"), row, strict=True)) for row in shown],
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()


def _as_text(
    found: Sequence[Problem],
    shown: list[tuple[str, Any, str]],
    ours: Loaded | None,
    *,
    live: bool,
) -> str:
    parts = []
    if shown:
        values = [(name, orjson.dumps(value).decode(), origin) for name, value, origin in shown]
        name_width, value_width = (max(len(row[n]) for row in values) for n in (0, 1))
        parts.append(
            "\n".join(
                f"{name:<{name_width}}  {value:<{value_width}}  {origin}"
                for name, value, origin in values
            )
        )
    fatal = [problem for problem in found if problem.fatal]
    if fatal:
        why = "worker cannot start:" if ours is None else "worker cannot work:"
        parts += [why, "\n\n\n".join(map(str, fatal))]
    parts += [f"warning: {problem}" for problem in found if not problem.fatal]
    if not fatal:
        seen = "; queues, tables and bucket are as they should be" if live else ""
        parts.append(f"the settings are complete{seen if not found else ''}.")
    return "\n\n".join(parts)
