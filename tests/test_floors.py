"""The house has floors, and imports go down only (docs/decisions, "floors").

    cli > wiring page words > client ops sim local > runtime aws degraded traces >
    ports settings alarms > core

A module's floor is that of its room: `worker/<room>/…`, `worker/<room>.py` or
`worker/<room>_….py`. What a wall forbids is in the tables below; moving a wall
is a line here and a decision record.
"""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

HOUSE: Final = Path(__file__).parent.parent / "worker"

FLOORS: Final[dict[str, int]] = {
    "core": 0,
    "ports": 1,
    "settings": 1,
    "alarms": 1,
    "runtime": 2,
    "aws": 2,
    "degraded": 2,
    "traces": 2,
    "client": 3,
    "ops": 3,
    "sim": 3,
    "local": 3,
    "page": 4,
    "wiring": 4,
    "words": 4,
    "cli": 5,
}

# Rooms that stay apart although a floor or a stair would let them meet.
APART: Final[dict[tuple[str, str], str]] = {
    ("runtime", "aws"): "the runtime speaks to the ports; wiring puts aws behind them",
    ("aws", "runtime"): "an adapter is called, and calls nobody back",
    ("sim", "aws"): "the twin and the real thing share a contract suite, never code",
    ("aws", "sim"): "the real thing knows nothing of its twin",
    ("ports", "settings"): "ports receive plain values",
    ("runtime", "traces"): "nobody needs traces: wiring puts them before whoever tells events",
    ("traces", "runtime"): "spans are made of events alone",
}

# Who may see the settings. Everybody else receives plain values from wiring.
SETTINGS_SEEN_BY: Final = frozenset({"settings", "wiring", "cli"})

# What each room may import that is not ours. A room not listed is free.
THIRD_PARTY: Final[dict[str, frozenset[str]]] = {
    "core": frozenset({"orjson"}),
    "ports": frozenset(),
    "alarms": frozenset({"orjson"}),
    "settings": frozenset(
        {"jsonschema_rs", "orjson", "pydantic", "pydantic_core", "pydantic_settings"}
    ),
    "page": frozenset({"jinja2", "markupsafe", "orjson", "starlette"}),
    "runtime": frozenset({"orjson", "structlog"}),
    "sim": frozenset({"orjson"}),
    "traces": frozenset({"opentelemetry"}),
    "local": frozenset(
        {
            "aiobotocore",
            "aiohttp",
            "botocore",
            "ministack",
            "multidict",
            "orjson",
            "pydantic",
            "yarl",
        }
    ),
    "words": frozenset(),
}

# What the core does without: it is told the time, owns no dice, never waits and never logs.
CORE_NEVER: Final = frozenset({"asyncio", "logging", "random", "secrets", "time"})

# At the front door. `__main__` starts the command line; `__init__` imports nothing of ours.
DOORS: Final[dict[str, str]] = {"__main__": "cli", "__init__": "core"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import of one module, absolute."""

    path: Path  # relative to the house
    line: int
    module: str  # `worker.core.job`, `aiohttp.web`


def room_of(parts: tuple[str, ...]) -> str | None:
    """The room that a path or a dotted name below `worker` lies in; None if there is none."""
    name = parts[0].removesuffix(".py") if parts else "__init__"
    for room in FLOORS:
        if name == room or (len(parts) == 1 and name.startswith(f"{room}_")):
            return room
    return DOORS.get(name)


def imports_of(house: Path) -> list[Import]:
    """Every import in the house, those inside functions included."""
    found = []
    for path in sorted(house.rglob("*.py")):
        inside = path.relative_to(house)
        package = ("worker", *inside.parts[:-1])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(inside))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) + 1 - node.level] if node.level else ()
                base = ".".join([*above, *([node.module] if node.module else [])])
                # `from worker import settings` names a room only in its last part.
                modules = [f"{base}.{a.name}" for a in node.names] if base == "worker" else [base]
            else:
                continue
            found += [Import(inside, node.lineno, module) for module in modules]
    return found


def strangers(house: Path) -> list[str]:
    """Modules that belong to no floor."""
    return [
        f"worker/{path}: belongs to no floor. Put it into a room of FLOORS in "
        "tests/test_floors.py, or add its room there and write a decision record."
        for path in sorted(path.relative_to(house) for path in house.rglob("*.py"))
        if room_of(path.parts) is None
    ]


def violations(house: Path) -> list[str]:
    """Every import that a wall forbids, and what to do about it."""
    told = []
    for item in imports_of(house):
        room = room_of(item.path.parts)
        top, *below = item.module.split(".")
        if room is None:
            continue  # `strangers` tells
        why = (
            _inside(room, room_of(tuple(below)), item.module)
            if top == "worker"
            else _outside(room, top)
        )
        if why is not None:
            told.append(f"worker/{item.path}:{item.line}: imports {item.module}. {why}")
    return told


def _inside(room: str, other: str | None, module: str) -> str | None:
    if other is None:
        return f"{module} belongs to no floor: see FLOORS in tests/test_floors.py."
    if room == other:
        return None
    if FLOORS[other] > FLOORS[room]:
        return (
            f"Imports go down, and {other} is above {room}: move what both need to a lower "
            "floor, or let the caller pass it in."
        )
    if other == "settings" and room not in SETTINGS_SEEN_BY:
        return "Only wiring and cli see the settings: take the plain values as arguments."
    if (room, other) in APART:
        return f"{room} and {other} stay apart: {APART[room, other]}."
    return None


def _outside(room: str, top: str) -> str | None:
    if room == "core" and top in CORE_NEVER:
        return "The core is told the time and the dice, and never waits or logs: pass it in."
    if top in sys.stdlib_module_names or top in THIRD_PARTY.get(room, {top}):
        return None
    return (
        f"{room} does without {top}: keep it behind a port, or add it to THIRD_PARTY in "
        "tests/test_floors.py with a decision record."
    )


def test_every_module_belongs_to_a_floor() -> None:
    found = strangers(HOUSE)

    assert not found, "\n" + "\n".join(found)


def test_imports_go_down_and_never_through_a_wall() -> None:
    found = violations(HOUSE)

    assert not found, "\n" + "\n".join(found)


def test_the_walls_are_between_rooms_that_exist() -> None:
    rooms = {room for pair in APART for room in pair} | SETTINGS_SEEN_BY | set(THIRD_PARTY)

    assert rooms <= set(FLOORS)


def file_of(name: str) -> str:
    doors = {"start": "__init__.py", "main": "__main__.py"}
    return doors.get(name, f"{name.replace('__', '/')}.py")


def built(at: Path, **modules: str) -> Path:
    """A small house: `core__job="import time"` is `core/job.py`, `start` is `__init__.py`."""
    for name, source in modules.items():
        path = at / file_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return at


@pytest.mark.parametrize(
    ("module", "source", "says"),
    [
        ("core__job", "import time", "core is told the time"),
        ("core__job", "from asyncio import sleep", "core is told the time"),
        ("core__job", "def f():\n    import random", "core is told the time"),
        ("core__job", "import pydantic", "core does without pydantic"),
        ("core__job", "from worker.ports import Queue", "ports is above core"),
        ("core__job", "from worker import ports", "ports is above core"),
        ("core__job", "from ..ports import Queue", "ports is above core"),
        ("core__job", "from .. import ports", "ports is above core"),
        ("ports", "from worker.settings import Settings", "Only wiring and cli"),
        ("ports", "from .runtime import intake", "runtime is above ports"),
        ("settings__model", "import worker.runtime.intake", "runtime is above settings"),
        ("runtime__intake", "from worker.aws import sqs", "stay apart"),
        ("runtime__intake", "from worker.settings.model import x", "Only wiring and cli"),
        ("runtime__intake", "import botocore.session", "runtime does without botocore"),
        ("runtime__intake", "from worker.sim.clock import x", "sim is above runtime"),
        ("runtime__deep__x", "from ...aws import sqs", "stay apart"),
        ("aws__sqs", "from worker.runtime.intake import x", "stay apart"),
        ("aws__sqs", "from worker.sim import memory", "sim is above aws"),
        ("sim__memory", "from worker.aws.sqs import x", "stay apart"),
        ("sim__memory", "import aiohttp", "sim does without aiohttp"),
        ("sim__memory", "from worker.wiring import x", "wiring is above sim"),
        ("local__front", "import starlette", "local does without starlette"),
        ("client__send", "from worker.cli.jobs import x", "cli is above client"),
        ("wiring", "from worker.cli import app", "cli is above wiring"),
        ("page__now", "from worker.cli import app", "cli is above page"),
        ("page__now", "from worker.settings import Loaded", "Only wiring and cli"),
        ("page__now", "import aiobotocore", "page does without aiobotocore"),
        ("start", "from worker.ports import x", "ports is above core"),
        ("wiring", "from worker.attic import x", "belongs to no floor"),
    ],
)
def test_an_import_through_a_wall_is_caught(
    tmp_path: Path, module: str, source: str, says: str
) -> None:
    house = built(tmp_path, **{module: source})

    found = violations(house)

    assert len(found) == 1
    assert says in found[0]
    assert file_of(module) in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core__job", "import hashlib, orjson\nfrom worker.core.fault import Kind"),
        ("core__job", "from .fault import Kind\nfrom . import fault"),
        ("ports", "from worker.core.job import Job"),
        ("runtime__intake", "import asyncio, random, time\nfrom worker.ports import Queue"),
        ("aws__sqs", "import botocore.session\nfrom worker.ports import Queue"),
        ("sim__world", "from worker.runtime.supervisor import x"),
        ("local__resources", "from worker.aws.sqs import x\nimport aiohttp.web"),
        ("client__send", "from worker.aws.sqs import x\nfrom worker.client.prepare import y"),
        ("settings__model", "from worker.settings.names import x\nimport pydantic"),
        ("wiring", "from worker.settings import x\nfrom worker.local.stack import y"),
        ("cli__run", "from worker.wiring import x\nfrom worker.settings import y\nimport typer"),
        ("main", "from worker.cli import main"),
        ("start", "from worker.core.job import Job"),
    ],
)
def test_an_import_down_the_stairs_is_welcome(tmp_path: Path, module: str, source: str) -> None:
    house = built(tmp_path, **{module: source})

    found = violations(house)

    assert found == []


@pytest.mark.parametrize("module", ["attic", "attic__box", "corex", "core_x__y"])
def test_a_module_without_a_floor_is_caught(tmp_path: Path, module: str) -> None:
    house = built(tmp_path, core__job="", settings__names="", **{module: ""})

    found = strangers(house)

    assert len(found) == 1
    assert module.replace("__", "/") in found[0]
