"""How a `Record` lies in DynamoDB.

An item costs a write unit for every started KiB, names included: what has its
default value is left out, history and trail are one JSON text each, a small result is binary.
`ttl` is there on final records only, for DynamoDB's own time to live.

A dead letter has `dead` too: the partition of the index `dead`, in which nothing else
lies. Whatever rewrites the item (a redrive) or removes it (its time to live) takes it off
the index. See docs/decisions/0017.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import orjson

from worker.core.dead import letter_of
from worker.core.fault import Billed, Kind
from worker.core.ledger import Attempt, Record, State
from worker.core.trail import Bar, Leg

Item = dict[str, dict[str, Any]]

KEY: Final = "job"
TTL: Final = "ttl"

# The index of dead letters. Its partition is a part of all jobs by their ids: a thousand jobs
# that die of the same in one second must not share one, for a throttled index throttles the
# table. `finished_at` sorts; what a list shows goes along.
INDEX: Final = "dead"
DEAD: Final = "dead"
DIED: Final = "finished_at"
DEAD_CODE: Final = "dead_code"
DEAD_TARGET: Final = "dead_target"
DEAD_ATTRIBUTES: Final = (DEAD, DEAD_CODE, DEAD_TARGET)
NOTE: Final = "note"
INDEXED: Final = (
    "sent_at",
    "generation",
    "fence",
    "attempts",
    "fingerprint",
    "reason",
    "route",
    "tenant",
    DEAD_CODE,
    DEAD_TARGET,
    NOTE,
)
PARTS: Final = tuple("0123456789abcdef")
LOG: Final = "log"  # the partition of what people did


class Unreadable(ValueError):
    """The item is no record of ours, or one of a later version."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One type of attribute: DynamoDB's letter for it, and the way there and back."""

    letter: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _write_history(history: tuple[Attempt, ...]) -> str:
    rows = [
        {name: value for name, value in asdict(row).items() if value != _ROW_DEFAULTS[name]}
        for row in history
    ]
    return orjson.dumps(rows).decode()


def _read_history(text: str) -> tuple[Attempt, ...]:
    return tuple(_read_row(row) for row in orjson.loads(text))


def _read_row(row: Mapping[str, Any]) -> Attempt:
    known = {name: value for name, value in row.items() if name in _ROW_DEFAULTS}
    if "kind" in known:
        known["kind"] = Kind(known["kind"])
    if "billed" in known:
        known["billed"] = Billed(known["billed"])
    return Attempt(**known)


# A leg is a list: its fields in this order, without what is default at its end. A later
# version may put more behind it.
_LEG: Final = (
    "fence",
    "owner",
    "ended_at",
    "ended",
    "began_at",
    "why",
    "until",
    "generation",
    "bars",
    "handler",
    "cut",
    "sent_at",
)


def _write_trail(trail: tuple[Leg, ...]) -> str:
    return orjson.dumps([_leg_row(leg) for leg in trail]).decode()


def _leg_row(leg: Leg) -> list[Any]:
    row = [getattr(leg, name) for name in _LEG]
    while row and row[-1] == _LEG_DEFAULTS[_LEG[len(row) - 1]]:
        row.pop()
    at = _LEG.index("bars")
    if len(row) > at:
        row[at] = [[bar.name, bar.why, bar.version] for bar in leg.bars]
    return row


def _read_trail(text: str) -> tuple[Leg, ...]:
    return tuple(_read_leg(row) for row in orjson.loads(text))


def _read_leg(row: list[Any]) -> Leg:
    known = dict(zip(_LEG, row, strict=False))
    bars = tuple(Bar(name=b[0], why=b[1], version=b[2]) for b in known.pop("bars", ()))
    return Leg(**known, bars=bars)


_TEXT: Final = _Form("S", str, _same)
_WHOLE: Final = _Form("N", str, int)
_FRACTION: Final = _Form("N", repr, float)  # repr is the shortest text that reads back the same
_FORMS: Final[Mapping[str, _Form]] = {
    "job": _TEXT,
    "state": _Form("S", str, State),
    "fence": _WHOLE,
    "generation": _WHOLE,
    "owner": _TEXT,
    "nonce": _TEXT,
    "lease_until": _FRACTION,
    "attempts": _WHOLE,
    "parks": _WHOLE,
    "interruptions": _WHOLE,
    "crashes": _WHOLE,
    "doorbells": _Form("SS", sorted, frozenset),
    "digest": _TEXT,
    "sent_at": _FRACTION,
    "route": _TEXT,
    "tenant": _TEXT,
    "history": _Form("S", _write_history, _read_history),
    "not_before": _FRACTION,
    "reason": _TEXT,
    "fingerprint": _TEXT,
    "result": _Form("B", _same, bytes),
    "result_ref": _TEXT,
    "told": _Form("BOOL", _same, bool),
    "parked_at": _FRACTION,
    "parked_s": _FRACTION,
    "wasted_usd": _FRACTION,
    "wasted_most_usd": _FRACTION,
    "finished_at": _FRACTION,
    "trail": _Form("S", _write_trail, _read_trail),
    "past": _Form("S", _write_history, _read_history),
}
_DEFAULTS: Final = {field.name: field.default for field in fields(Record)}
_ROW_DEFAULTS: Final = {field.name: field.default for field in fields(Attempt)}
_LEG_DEFAULTS: Final = {field.name: field.default for field in fields(Leg)}
assert set(_LEG) == set(_LEG_DEFAULTS), "every field of a leg has its place"
# A claim sets `sent_at` where there is none, so 0 must not look like none.
_ALWAYS: Final = frozenset({"job", "state", "sent_at"})
assert set(_FORMS) == set(_DEFAULTS), "every field of a record has its form"


def attribute(name: str, value: Any) -> dict[str, Any]:
    """One field's value, as DynamoDB has it."""
    form = _FORMS[name]
    return {form.letter: form.write(value)}


def encode(record: Record, *, keep_s: float) -> Item:
    """The whole item; a final record is kept for `keep_s` seconds after its end."""
    item = {
        name: attribute(name, value)
        for name in _FORMS
        if (value := getattr(record, name)) != _DEFAULTS[name] or name in _ALWAYS
    }
    if record.state.final and record.finished_at is not None:
        item[TTL] = {"N": str(math.ceil(record.finished_at + keep_s))}
    if (letter := letter_of(record)) is not None:
        item[DEAD] = {"S": part_of(record.job)}
        for name, text in ((DEAD_CODE, letter.code), (DEAD_TARGET, letter.target)):
            if text:
                item[name] = {"S": text}
    return item


def part_of(job: str) -> str:
    """The part of the index that a job's dead letter lies in, by its id."""
    return hashlib.sha256(job.encode()).hexdigest()[0]


def decode(item: Item) -> Record:
    """The record; attributes that we do not know are passed over.

    Raises:
        Unreadable: It is none.
    """
    try:
        values = {
            name: form.read(item[name][form.letter])
            for name, form in _FORMS.items()
            if name in item
        }
        return Record(**values)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        msg = f"{type(error).__name__} in a stored record"
        raise Unreadable(msg) from None
