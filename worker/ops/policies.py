"""The breakers' policies as they are in force, where each value comes from, and a change.

Over the defaults lie the settings, over these the store's change for every breaker,
over that the one for a single breaker. A change is judged against all breakers that
it concerns before it is written: workers pass a change over whole if one value makes
no sense to them. Each change has a version, and replaces the one that was seen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from worker.core.policy import EVERY, BreakerPolicy, PolicyChange
from worker.ops.breakers import chosen_of
from worker.ops.desk import Desk, InDoubt, Misused, asked, read
from worker.ops.overrides import RACES_MAX, after, signed
from worker.ports import Board, Unavailable

KNOBS: Final = tuple(field.name for field in fields(BreakerPolicy))

Source = Literal["default", "settings", "store for every breaker", "store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value in force, and where it comes from."""

    name: str
    value: Any
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The policy of one breaker.

    Attributes:
        wrong: What workers pass over in the store, and why.
    """

    name: str
    values: tuple[Value, ...]
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What is in force, and the changes in the store that concern it."""

    at: float
    breakers: tuple[InForce, ...]
    changes: tuple[PolicyChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """What became of a change.

    Attributes:
        stands: Whether it is in the store; else somebody else was faster.
        needless: Whether the store has these values already.
        before, now: The change as it was, and as it is (or would be, if `dry`).
        races: How often somebody was faster, and our change still meant the same.
        breakers: Whom it concerns.
        dry: Whether nothing was to be written.
    """

    stands: bool
    before: PolicyChange
    now: PolicyChange
    breakers: tuple[str, ...]
    needless: bool = False
    races: int = 0
    dry: bool = False


async def policies(desk: Desk, name: str | None = None) -> Policies:
    """What is in force for one breaker, or for each that the settings name.

    Raises:
        Misused: The settings name no such breaker.
        Unavailable: The store could not be asked.
    """
    board = await read(desk)
    names = _concerned(desk, name or EVERY)
    keys = (EVERY, *names)
    return Policies(
        at=desk.at(),
        breakers=tuple(_explained(desk, board, one) for one in names),
        changes=tuple(board.policies[key] for key in keys if key in board.policies),
    )


async def amend(
    desk: Desk,
    name: str,
    *,
    put: Mapping[str, Any],
    drop: Sequence[str],
    author: str,
    reason: str,
    dry: bool = False,
) -> Amended:
    """Change values of a breaker's policy in the store; those not named stay.

    Who loses the race tries again if the values that it means to replace are still
    what it saw; else somebody else had the same ones in hand, and decides.

    Args:
        desk: Where we sit.
        name: The breaker, or `EVERY`.
        put: Values to set.
        drop: Knobs to leave to the settings again.
        author: Who changes it, 1 to 80 characters.
        reason: Why, 1 to 200 characters.
        dry: Only say what would be.

    Raises:
        Misused: There is no such breaker or knob, or a value is out of range.
        InDoubt: The change may or may not be written.
        Unavailable: The store could not be asked; nothing was changed.
    """
    author, reason = signed(author, reason)
    names = _concerned(desk, name)
    board = await read(desk)
    before = old = board.policies.get(name) or PolicyChange(name=name)
    wished = _wished(put, drop, old)
    for races in range(RACES_MAX):
        values = {knob: v for knob, v in {**old.values, **put}.items() if knob not in drop}
        _judge(desk, board, name, names, values)
        told = Amended(stands=True, before=before, now=old, breakers=names, races=races, dry=dry)
        if values == old.values:
            return replace(told, needless=True)
        new = PolicyChange(
            name=name,
            version=old.version + 1,
            values=values,
            author=author,
            reason=reason,
            at=round(desk.at(), 3),
        )
        if dry:
            return replace(told, stands=False, now=new)
        there = await _written(desk, new)
        if there == new:
            return replace(told, now=new)
        if all(_of(there, knob) == wish for knob, wish in wished.items()):
            return replace(told, now=there)
        if any(_of(there, knob) != _of(before, knob) for knob in wished):
            return replace(told, stands=False, now=there)
        old, board = there, await read(desk)
    raise Unavailable(store="breakers", why="RacedTooOften")


def number_of(name: str, text: str) -> Any:
    """A value as somebody types it: a number, numbers with commas for the ramp, or `none`.

    Raises:
        Misused: It is none of these.

    >>> number_of("probes", "5"), number_of("ramp", "0.1,0.5"), number_of("slow_rate", "none")
    (5, (0.1, 0.5), None)
    """
    if text.strip().lower() == "none":
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)) or (len(numbers) > 1 and name != "ramp"):
        wanted = "numbers with commas between them" if name == "ramp" else "a number, or none"
        msg = f"{name} must be {wanted}, not {text!r}"
        raise Misused(msg)
    if name == "ramp":
        return tuple(numbers)
    return int(numbers[0]) if numbers[0].is_integer() else numbers[0]


def _concerned(desk: Desk, name: str) -> tuple[str, ...]:
    """The breakers that a change under this name concerns.

    Raises:
        Misused: The settings name no such breaker, so nobody could judge its values.
    """
    return tuple(chosen_of(desk, Board(), [] if name == EVERY else [name]))


def _wished(
    put: Mapping[str, Any], drop: Sequence[str], old: PolicyChange
) -> dict[str, tuple[bool, Any]]:
    """Of each knob in hand, whether the store is to have a value, and which.

    Raises:
        Misused: There is no such knob, or it is in hand twice.
    """
    for knob in (*put, *drop):
        if knob not in KNOBS and knob not in old.values:
            msg = f"a breaker's policy has no {knob!r}; it has {', '.join(sorted(KNOBS))}"
            raise Misused(msg)
    if both := sorted(put.keys() & set(drop)):
        msg = f"{both[0]} cannot be set and unset at once"
        raise Misused(msg)
    return {**{knob: (True, v) for knob, v in put.items()}, **dict.fromkeys(drop, (False, None))}


def _of(change: PolicyChange, knob: str) -> tuple[bool, Any]:
    return knob in change.values, change.values.get(knob)


def _judge(
    desk: Desk, board: Board, name: str, names: Sequence[str], values: Mapping[str, Any]
) -> None:
    """Whether every breaker that is concerned could judge by these values.

    Raises:
        Misused: One could not; the message names it.
    """
    for one in names:
        policy = desk.policies[one]
        for key in (EVERY, one):
            given = values if key == name else _values(board, key)
            try:
                policy = policy.changed(given)
            except ValueError as error:
                if name not in (key, EVERY):
                    continue  # it was wrong before, and workers pass it over
                other = "" if key == name else f", together with the store's own change for {one}"
                msg = f"{one} could not judge by that{other}: {error}. Nothing was changed"
                raise Misused(msg) from None


def _values(board: Board, key: str) -> Mapping[str, Any]:
    change = board.policies.get(key)
    return change.values if change else {}


async def _written(desk: Desk, new: PolicyChange) -> PolicyChange:
    """What is there after the write; a lost request is sent once more, for it means the same."""
    try:
        return await asked(desk.store.swap_policy(new))
    except Unavailable as error:
        board = await after(desk, error)
    there = board.policies.get(new.name) or PolicyChange(name=new.name)
    if there.version >= new.version:
        return there
    try:
        return await asked(desk.store.swap_policy(new))
    except Unavailable as error:
        raise InDoubt(error.store, error.why) from None


def _explained(desk: Desk, board: Board, name: str) -> InForce:
    policy = desk.policies[name]
    default = BreakerPolicy()
    source: dict[str, Source] = {}
    for knob in KNOBS:
        plain = getattr(policy, knob) == getattr(default, knob) and knob not in desk.given
        source[knob] = "default" if plain else "settings"
    wrong = []
    layers: tuple[tuple[str, Source], ...] = (
        (EVERY, "store for every breaker"),
        (name, "store"),
    )
    for key, kind in layers:
        values = _values(board, key)
        try:
            policy = policy.changed(values)
        except ValueError as error:
            wrong.append(f"workers pass the change for {key} over: {error}")
        else:
            source |= dict.fromkeys(values, kind)
    shown = tuple(
        Value(name=knob, value=getattr(policy, knob), source=source[knob]) for knob in KNOBS
    )
    return InForce(name=name, values=shown, wrong=tuple(wrong))
