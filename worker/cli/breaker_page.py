"""The tables of `docs/breaker.md`, from the code that they speak of.

The page is written by hand; what lies between `<!-- moves -->` and `<!-- /moves -->`
(likewise `knobs` and `counts`) is written by `python -m worker.cli.docs docs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from inspect import cleandoc
from types import MappingProxyType
from typing import Any, Final

from worker.cli.breaker_svg import everywhere, title
from worker.cli.markdown import table
from worker.core.breaker import NEWEST_MIN, NEWEST_Z
from worker.core.gate import PATIENCE_S
from worker.core.jury import POOL_MIN, POOL_Z, VOTER_Z, lower_bound
from worker.core.moves import (
    MOVES,
    BeginRound,
    ClaimTicket,
    Conclude,
    Hold,
    Order,
    Release,
    Report,
    Restore,
    StepDown,
    StepUp,
    Trip,
)
from worker.core.policy import LIMITS, BreakerPolicy
from worker.core.verdict import State
from worker.settings.knobs import BreakerSettings
from worker.settings.model import ALONE_RATE, ELSEWHERE_RATE, Shape

WHO: Final[Mapping[type[Order], str]] = MappingProxyType(
    {
        Trip: "a juror",
        BeginRound: f"a worker with a job in hand: a juror, or any other {PATIENCE_S:g} s later",
        ClaimTicket: "the same worker, or another with a job in hand",
        Report: "the worker that probed",
        Conclude: "any worker",
        StepUp: "a juror",
        StepDown: "a juror",
        Hold: "an operator",
        Release: "an operator; any worker when its time is over",
        Restore: "any worker that knows more",
    }
)

LEADS: Final[Mapping[type[Order], str]] = MappingProxyType(
    {Hold: "the same", Release: "the same", Restore: "what was known"}
)

SLOW: Final = "`slow_s` of the target"
STORE: Final = "store only"
# Knobs that are no setting of their own.
ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType({"stuck_s": SLOW, "probe_s": SLOW})


@dataclass(frozen=True, slots=True)
class Knob:
    """Why a knob's default is what it is, and its unit, if it has one."""

    why: str
    unit: str = ""


_UNVARIED: Final = "the study's value; it reports no other"

# "The study" is told of in the page.
KNOBS: Final[Mapping[str, Knob]] = MappingProxyType(
    {
        "window_s": Knob("from 10 to 60 s made no difference in the study", "s"),
        "window_calls": Knob("time is enough; for targets with very many calls", "calls"),
        "min_calls": Knob("8 of 8 are just enough for 0.8; 4 to 16 made no difference", "calls"),
        "failure_rate": Knob(
            "0.5 in the study: goodput 0.81 of the oracle's against 0.96, and 0.55 against 1.00 "
            "where 70 % of the calls fail. Where a job can go elsewhere, going on gains nothing"
        ),
        "slow_rate": Knob("opening on slowness: 46 needless opens at 3x latency, and no gain"),
        "recent_s": Knob("a full outage is seen in 6 s (p99); without this rule in 9 s", "s"),
        "stuck_s": Knob("a hang is seen in 20 s (p99) with 15 s; without it in 38 s", "s"),
        "cooldown_s": Knob("probes are few for the whole fleet: a short rest costs little", "s"),
        "cooldown_growth": Knob(_UNVARIED),
        "cooldown_max_s": Knob(
            "caps of 5, 10, 60 and 300 s: goodput 0.957, 0.954, 0.889 and 0.720 "
            "([0011](decisions/0011-a-ramp-of-slots.md))",
            "s",
        ),
        "jitter": Knob(_UNVARIED),
        "forgive_s": Knob(_UNVARIED, "s"),
        "probes": Knob("1 good of 3 recovers as well as 1 of 5, and wastes 37 % fewer", "calls"),
        "probes_good": Knob(
            "3 good of 3: goodput 0.31 instead of 1.01 where a service heals by steps, for that "
            "locks the fleet out of one that fails 60 % and is still of use",
            "calls",
        ),
        "probe_s": Knob("a probe that hangs holds a slot for so long", "s"),
        "ramp": Knob("without a ramp, goodput 0.71 instead of 0.85 where the service flaps"),
        "ramp_calls": Knob("ours; not measured by itself", "calls"),
        "quarantine_s": Knob("ours: a missing right is not granted within seconds", "s"),
        "quarantine_max_s": Knob("ours: the grant of a right should need no restart", "s"),
    }
)


def parts() -> dict[str, str]:
    """Every written part of the page, by its name."""
    return {"moves": moves_table(), "counts": counts_table(), "knobs": knobs_table()}


def filled(page: str, written: Mapping[str, str]) -> str:
    r"""The page with its parts written anew.

    Raises:
        ValueError: A part has no place in it, or more than one.

    >>> filled("a <!-- x -->old<!-- /x --> b", {"x": "new"})
    'a <!-- x -->\n\nnew\n\n<!-- /x --> b'
    """
    for name, text in written.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if (page.count(begin), page.count(end)) != (1, 1):
            msg = f"the page needs one {begin} and one {end}"
            raise ValueError(msg)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def moves_table() -> str:
    """Every move of a verdict."""
    return table(
        ("Order", "From", "To", "Holds if", "What it makes", "Who gives it"),
        (
            (
                f"`{order.__name__}`",
                "any" if order in everywhere() else _states(move.states),
                LEADS.get(order) or _states(move.leads_to),
                move.when,
                move.then,
                WHO[order],
            )
            for order, move in MOVES.items()
        ),
    )


def _states(states: frozenset[State]) -> str:
    return " or ".join(title(state) for state in State if state in states)


def counts_table() -> str:
    """How many of so many calls must have failed, for each rule and rate."""
    sizes = (2, 7, 8, 10, 12, 20, 50, 100)
    rules: tuple[tuple[str, float, int], ...] = (
        ("a process, over its window", VOTER_Z, BreakerPolicy().min_calls),
        ("a process, over its newest calls", NEWEST_Z, NEWEST_MIN),
        ("one vote", VOTER_Z, 2),
        ("the pool of votes", POOL_Z, POOL_MIN),
    )
    return table(
        ("Calls seen", "Rate", *map(str, sizes)),
        (
            (what, f"{rate:g}", *(_needed(calls, rate, z, least) for calls in sizes))
            for what, z, least in rules
            for rate in (ALONE_RATE, ELSEWHERE_RATE)
        ),
    )


def _needed(calls: int, rate: float, z: float, least: int) -> str:
    if calls < least:
        return "-"
    enough = (bad for bad in range(calls + 1) if lower_bound(bad, calls, z) > rate)
    return str(next(enough, "-"))


def knobs_table() -> str:
    """Every knob, as a worker with one model and nothing else set has it."""
    policy = Shape.model_validate({"model": {"id": "any"}}).policies()["default"]
    meanings, ranges = _meanings(), {name: (low, high) for name, low, high in LIMITS}
    return table(
        ("Knob", "Default", "Range", "Set by", "Meaning", "Why this default"),
        (
            (
                f"`{field.name}`",
                _value(getattr(policy, field.name), KNOBS[field.name].unit),
                _range(ranges[field.name]) if field.name in ranges else "growing, below 1",
                _set_by(field.name),
                meanings[field.name],
                KNOBS[field.name].why,
            )
            for field in fields(BreakerPolicy)
        ),
    )


def _set_by(name: str) -> str:
    if name in BreakerSettings.model_fields:
        return f"`breaker.{name}`"
    return ELSEWHERE.get(name, STORE)


def _meanings() -> dict[str, str]:
    """What each knob means, from the docstring."""
    doc = cleandoc(BreakerPolicy.__doc__ or "")
    _, _, listed = doc.partition("Attributes:\n")
    listed, _, _ = listed.partition("\n\nRaises:")
    found: dict[str, str] = {}
    for line in listed.splitlines():
        if line.startswith("     "):
            found[next(reversed(found))] += " " + line.strip()
        else:
            name, _, meaning = line.strip().partition(": ")
            found[name] = meaning
    return {name: meaning.rstrip(".") for name, meaning in found.items()}


def _value(value: Any, unit: str) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"{one:g}" for one in value)
    return f"{value:g} {unit.removesuffix('s') if value == 1 and len(unit) > 1 else unit}".rstrip()


def _range(limits: tuple[float, float]) -> str:
    low, high = limits
    return f"{low:g} to {high:,.0f}" if high > 1 else f"{low:g} to {high:g}"
