"""How verdicts, policies, seats and history lie in DynamoDB.

    <service>#verdicts            v#<breaker>    a verdict
                                  p#<breaker>    a change of its policy; p#* is for all
    <service>#jury                00 to 31       a seat
    <service>#history#<breaker>   000000000042   a row, under the verdict's version

One query reads every verdict and policy, another one every seat. An item costs a
write unit for every started KiB, names included: what has its default value is left
out, and what is never asked for by itself lies in one JSON text.

A later version may add attributes: they are passed over, and lost when the item is
written again. Where that would do harm it raises `SCHEMA`, and we leave the item alone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Final, TypeVar

import orjson

from worker.aws.ledger_item import Item, Unreadable
from worker.core.jury import Seat, Vote
from worker.core.policy import PolicyChange
from worker.core.sightings import Sighting
from worker.core.verdict import Mode, Override, State, Transition, Verdict

T = TypeVar("T")

PK: Final = "pk"
SK: Final = "sk"
TTL: Final = "ttl"
SCHEMA: Final = "schema"  # 1 where it is not written
VERDICT: Final = "v#"
POLICY: Final = "p#"


@dataclass(frozen=True, slots=True)
class _Form:
    """One type of attribute: DynamoDB's letter for it, and the way there and back."""

    letter: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _read_override(text: str) -> Override:
    given = orjson.loads(text)
    return Override(
        mode=Mode(given["mode"]),
        for_s=float(given["for_s"]),
        until_at=float(given["until_at"]),
        author=str(given["author"]),
        reason=str(given["reason"]),
        number=int(given["number"]),
    )


def _read_values(text: str) -> dict[str, Any]:
    given = dict(orjson.loads(text))
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}


_VOTE: Final = tuple(field.name for field in fields(Vote))


def _write_votes(votes: Mapping[str, Vote]) -> str:
    return _dumps(
        {name: [int(getattr(vote, field)) for field in _VOTE] for name, vote in votes.items()}
    )


def _read_votes(text: str) -> dict[str, Vote]:
    return {name: _read_vote(row) for name, row in dict(orjson.loads(text)).items()}


def _read_vote(row: list[int]) -> Vote:
    # A later version may add counts behind ours.
    given: dict[str, Any] = {name: int(count) for name, count in zip(_VOTE, row, strict=False)}
    return Vote(**given | {"sick": bool(given.get("sick"))})


_SEEN: Final = tuple(field.name for field in fields(Sighting))
_COUNTS: Final = frozenset({"http", "count"})


def _write_seen(seen: tuple[Sighting, ...]) -> str:
    return _dumps([[getattr(one, field) for field in _SEEN] for one in seen])


def _read_seen(text: str) -> tuple[Sighting, ...]:
    return tuple(_read_sighting(row) for row in list(orjson.loads(text)))


def _read_sighting(row: list[Any]) -> Sighting:
    # A later version may add values behind ours.
    given: dict[str, Any] = dict(zip(_SEEN, map(str, row), strict=False))
    return Sighting(**given | {name: int(given.get(name, 0)) for name in _COUNTS})


_TEXT: Final = _Form("S", str, _same)
_WHOLE: Final = _Form("N", str, int)
# repr is the shortest text that reads back the same
_NUMBER: Final = _Form("N", lambda value: repr(float(value)), float)
_STATE: Final = _Form("S", str, State)

_Forms = Mapping[str, _Form]

_VERDICT: Final[_Forms] = {
    "state": _STATE,
    "share": _NUMBER,
    "version": _WHOLE,
    "stage": _WHOLE,
    "epoch": _WHOLE,
    "round": _WHOLE,
    "level": _WHOLE,
    "cooldown_s": _NUMBER,
    "tickets": _WHOLE,
    "why": _TEXT,
    "writer": _TEXT,
    "nonce": _TEXT,
    "at": _NUMBER,
    "override": _Form("S", lambda override: _dumps(asdict(override)), _read_override),
    "orders": _WHOLE,
}
_POLICY: Final[_Forms] = {
    "version": _WHOLE,
    "values": _Form("S", lambda values: _dumps(dict(values)), _read_values),
    "author": _TEXT,
    "reason": _TEXT,
    "at": _NUMBER,
}
_SEAT: Final[_Forms] = {
    "holder": _TEXT,
    "lot": _NUMBER,
    "beat": _WHOLE,
    "votes": _Form("S", _write_votes, _read_votes),
    "seen": _Form("S", _write_seen, _read_seen),
    "seen_at": _NUMBER,
}
_ROW: Final[_Forms] = {
    "stage": _WHOLE,
    "epoch": _WHOLE,
    "round": _WHOLE,
    "old": _STATE,
    "new": _STATE,
    "share": _NUMBER,
    "level": _WHOLE,
    "cooldown_s": _NUMBER,
    "mode": _Form("S", str, Mode),
    "why": _TEXT,
    "by": _TEXT,
    "at": _NUMBER,
    "for_s": _NUMBER,
}


def _missing(kind: Any, forms: _Forms, *elsewhere: str) -> set[str]:
    return {field.name for field in fields(kind)} ^ {*forms, *elsewhere}


# The rest is in the keys, and a ticket's claim and outcome lie together.
assert not _missing(Verdict, _VERDICT, "name", "claims", "outcomes")
assert not _missing(PolicyChange, _POLICY, "name")
assert not _missing(Seat, _SEAT, "number")
assert not _missing(Transition, _ROW, "name", "version")


def _packed(key: Item, forms: _Forms, thing: Any) -> Item:
    defaults = {field.name: field.default for field in fields(thing)}
    item = dict(key)
    for name, form in forms.items():
        value = getattr(thing, name)
        if defaults[name] is MISSING or value != defaults[name]:
            item[name] = {form.letter: form.write(value)}
    return item


def _unpacked(forms: _Forms, item: Item) -> dict[str, Any]:
    if SCHEMA in item:
        msg = "an item of a later schema"
        raise Unreadable(msg)
    try:
        return {
            name: form.read(item[name][form.letter]) for name, form in forms.items() if name in item
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from None


def _made(kind: Callable[..., T], item: Item, forms: _Forms, **known: Any) -> T:
    try:
        return kind(**known, **_unpacked(forms, item))
    except TypeError as error:  # something without a default is not there
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> Unreadable:
    return Unreadable(f"{type(error).__name__} in a stored item")


# --- keys --------------------------------------------------------------------


def verdicts_of(service: str) -> dict[str, str]:
    """The partition of all verdicts and policies."""
    return {"S": f"{service}#verdicts"}


def jury_of(service: str) -> dict[str, str]:
    """The partition of all seats."""
    return {"S": f"{service}#jury"}


def history_of(service: str, name: str) -> dict[str, str]:
    """The partition of one breaker's history."""
    return {"S": f"{service}#history#{name}"}


def _named(item: Item) -> str:
    _, _, name = item[SK]["S"].partition("#")
    return str(name)


def is_verdict(item: Item) -> bool:
    """Whether it is one; in the same partition lie policies, and perhaps later things."""
    return bool(item[SK]["S"].startswith(VERDICT))


def is_policy(item: Item) -> bool:
    """Whether it is the change of a policy."""
    return bool(item[SK]["S"].startswith(POLICY))


# --- items -------------------------------------------------------------------


def verdict_item(service: str, verdict: Verdict) -> Item:
    """The whole item. A ticket's claim and its outcome lie together, in order."""
    key = {PK: verdicts_of(service), SK: {"S": VERDICT + verdict.name}}
    item = _packed(key, _VERDICT, verdict)
    if verdict.claims:
        item["claims"] = {"S": _dumps(dict(zip(verdict.claims, verdict.outcomes, strict=True)))}
    return item


def read_verdict(item: Item) -> Verdict:
    """The verdict.

    Raises:
        Unreadable: It is none, or one of a later schema.
    """
    try:
        tickets = dict(orjson.loads(item["claims"]["S"])) if "claims" in item else {}
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from None
    if not all(isinstance(outcome, bool | None) for outcome in tickets.values()):
        msg = "an unknown outcome of a ticket"
        raise Unreadable(msg)
    return _made(
        Verdict,
        item,
        _VERDICT,
        name=_named(item),
        claims=tuple(tickets),
        outcomes=tuple(tickets.values()),
    )


def policy_item(service: str, change: PolicyChange) -> Item:
    """The whole item."""
    key = {PK: verdicts_of(service), SK: {"S": POLICY + change.name}}
    return _packed(key, _POLICY, change)


def read_policy(item: Item) -> PolicyChange:
    """The change of a policy; lists in it come back as tuples.

    Raises:
        Unreadable: It is none, or one of a later schema.
    """
    return _made(PolicyChange, item, _POLICY, name=_named(item))


def seat_item(service: str, seat: Seat) -> Item:
    """The whole item; a vote is a row of whole numbers, in the order of its fields."""
    return _packed({PK: jury_of(service), SK: {"S": f"{seat.number:02d}"}}, _SEAT, seat)


def read_seat(item: Item) -> Seat:
    """The seat.

    Raises:
        Unreadable: It is none, or one of a later schema.
    """
    return _made(Seat, item, _SEAT, number=_number(item))


def row_item(service: str, row: Transition, *, keep_s: float) -> Item:
    """The whole item, which DynamoDB may drop `keep_s` seconds after the row's time."""
    key = {PK: history_of(service, row.name), SK: {"S": f"{row.version:012d}"}}
    return {**_packed(key, _ROW, row), TTL: {"N": str(math.ceil(row.at + keep_s))}}


def read_row(name: str, item: Item) -> Transition:
    """One row of this breaker's history.

    Raises:
        Unreadable: It is none, or one of a later schema.
    """
    return _made(Transition, item, _ROW, name=name, version=_number(item))


def _number(item: Item) -> int:
    try:
        return int(item[SK]["S"])
    except ValueError as error:
        raise _unreadable(error) from None
