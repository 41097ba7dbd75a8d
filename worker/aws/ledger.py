"""Port `Ledger` on DynamoDB: one item per job, one conditional write per move.

The rules are `core.ledger`'s. The two moves of a healthy job are written as
conditions, so that a claim and a finish are one request each: DynamoDB checks what
the rules would have checked. Where such a write is refused, the answer brings the
item as it is; the rules are asked about that, and if they allow what the condition
did not foresee (a lapsed lease, a redrive) the new record replaces that very item,
or nothing if somebody was faster.

A write whose answer was lost is never repeated here. The caller asks again, and the
nonce in the item says whether the first one stands.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from worker.aws.ledger_item import (
    DEAD_ATTRIBUTES,
    KEY,
    TTL,
    Item,
    Unreadable,
    attribute,
    decode,
    encode,
)
from worker.aws.trouble import asking, code_of
from worker.core import ledger
from worker.core.ledger import WAITING, Claim, Ending, Record, Refusal, Stale, State
from worker.ports import RecordUnreadable, Unavailable

RACES_MAX: Final = 8  # lost in a row, for one claim
ROUNDS_MAX: Final = 8  # for one batch of reads
PAUSE_S: Final = 0.05

# Nothing was written: asking again is no ambiguity.
_THROTTLED: Final = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)
# An item that is equal in these is the one that we saw. A renewal changes only the
# lease, and a late `mark_told` only that.
_IDENTITY: Final = ("state", "fence", "nonce", "lease_until", "told")
_ENDED: Final = (
    "state",
    "attempts",
    "parks",
    "interruptions",
    "crashes",
    "history",
    "not_before",
    "reason",
    "fingerprint",
    "result",
    "result_ref",
    "told",
    "parked_at",
    "parked_s",
    "wasted_usd",
    "wasted_most_usd",
    "lease_until",
    "finished_at",
    "trail",
    TTL,
)
_ENDED_ALWAYS: Final = frozenset({"lease_until", TTL})


@dataclass(frozen=True, slots=True)
class _Refused:
    """A condition did not hold; `item` is what is there, None for nothing."""

    item: Item | None


class DynamoLedger:
    """The ledger in one table with the partition key `job`.

    Args:
        client: A DynamoDB client without retries of its own.
        table: The table's name or ARN.
        skew_s: How far two hosts' clocks may be apart, in seconds.
        keep_s: How long a final record is kept, in seconds.
        at: The wall clock, seconds since 1970.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        skew_s: float,
        keep_s: float,
        at: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._skew_s = skew_s
        self._keep_s = keep_s
        self._at = at

    async def claim(self, ask: Claim) -> Record | Refusal:
        at = self._at()
        # The old item costs less to send and to read than the new one: mostly there is none.
        answer = await self._update(ask.job, _claiming(ask, at), returns="ALL_OLD")
        if not isinstance(answer, _Refused):
            claimed = ledger.claim(_read(answer) if answer else None, ask, at, skew_s=self._skew_s)
            assert isinstance(claimed, Record), "what was written may be written"
            return claimed
        for _ in range(RACES_MAX):
            if not isinstance(answer, _Refused):
                return _read(answer)
            old = None if answer.item is None else _read(answer.item)
            new = ledger.claim(old, ask, self._at(), skew_s=self._skew_s)
            if not isinstance(new, Record) or new is old:
                return new
            answer = await self._replace(answer.item, new)
        raise Unavailable(store="ledger", why="RacesLost")

    async def renew(self, held: Record, lease_s: float) -> bool:
        change = _Change()
        change.set("lease_until", attribute("lease_until", self._at() + lease_s))
        change.require_held(held, State.RUNNING)
        return not isinstance(await self._update(held.job, change), _Refused)

    async def finish(self, held: Record, ending: Ending) -> Record | Stale:
        assert held.state is State.RUNNING, "only a claim is finished"
        new = ledger.finish(held, held, ending, self._at())
        assert isinstance(new, Record), "nothing is stale beside itself"
        change = _Change()
        item = encode(new, keep_s=self._keep_s)
        for name in _ENDED:
            # While the fence holds nobody else has written; only the lease may have been renewed.
            if name in _ENDED_ALWAYS or getattr(new, name) != getattr(held, name):
                change.put(name, item.get(name))
        for name in DEAD_ATTRIBUTES:
            if name in item:
                change.set(name, item[name])
        if ending.rung:
            change.add("doorbells", attribute("doorbells", ending.rung))
        change.require_held(held, State.RUNNING)
        answer = await self._update(held.job, change)
        if not isinstance(answer, _Refused):
            return new
        old = None if answer.item is None else _read(answer.item)
        kept = ledger.finish(old, held, ending, self._at())
        assert kept is old or isinstance(kept, Stale), "what may be written was refused"
        return kept

    async def mark_told(self, record: Record) -> None:
        change = _Change()
        change.set("told", attribute("told", value=True))
        change.require_held(record, record.state)
        await self._update(record.job, change)

    async def load(self, jobs: Sequence[str]) -> dict[str, Record | RecordUnreadable]:
        keys = [{KEY: attribute(KEY, job)} for job in dict.fromkeys(jobs)]
        left = {self._table: {"Keys": keys, "ConsistentRead": True}} if keys else {}
        found: dict[str, Record | RecordUnreadable] = {}
        for tries in range(ROUNDS_MAX):
            if not left:
                return found
            if tries:
                await asyncio.sleep(PAUSE_S * 2**tries)
            answer = await self._ask(self._client.batch_get_item, RequestItems=left)
            for item in answer.get("Responses", {}).get(self._table, ()):
                found[item[KEY]["S"]] = _read_or_told(item)
            left = answer.get("UnprocessedKeys", {})
        if left:
            raise Unavailable(store="ledger", why="UnprocessedKeys")
        return found

    async def _update(
        self, job: str, change: "_Change", *, returns: str = "NONE"
    ) -> Item | _Refused:
        return await self._write(
            self._client.update_item,
            Key={KEY: attribute(KEY, job)},
            ReturnValues=returns,
            **change.parameters(),
        )

    async def _replace(self, old: Item | None, new: Record) -> Item | _Refused:
        """Put `new` where `old` is, whole: what the rules say is what will be there."""
        item = encode(new, keep_s=self._keep_s)
        change = _Change()
        if old is None:
            change.require_absent(KEY)
        else:
            for name in _IDENTITY:
                change.require(name, old.get(name))
        answer = await self._write(self._client.put_item, Item=item, **change.parameters())
        return answer if isinstance(answer, _Refused) else item

    async def _write(self, do: Callable[..., Any], **how: Any) -> Item | _Refused:
        try:
            answer = await self._ask(
                do,
                TableName=self._table,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **how,
            )
        except _ConditionFailed as refusal:
            return _Refused(refusal.item)
        attributes: Item = answer.get("Attributes", {})
        return attributes

    async def _ask(self, do: Callable[..., Any], **how: Any) -> Any:
        with asking("ledger"):
            try:
                return await _told_apart(do, how)
            except ClientError as error:
                if code_of(error) not in _THROTTLED:
                    raise
            await asyncio.sleep(PAUSE_S)
            return await _told_apart(do, how)


class _ConditionFailed(Exception):
    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition did not hold")
        self.item = item


async def _told_apart(do: Callable[..., Any], how: Mapping[str, Any]) -> Any:
    """Make one request; a failed condition is no trouble."""
    try:
        return await do(**how)
    except ClientError as error:
        if code_of(error) != "ConditionalCheckFailedException":
            raise
        raise _ConditionFailed(error.response.get("Item")) from None


def _read(item: Item) -> Record:
    try:
        return decode(item)
    except Unreadable:
        raise RecordUnreadable from None


def _read_or_told(item: Item) -> Record | RecordUnreadable:
    try:
        return _read(item)
    except RecordUnreadable as told:
        return told


class _Change:
    """The expressions of one conditional write. Every name is a placeholder: many are reserved."""

    def __init__(self) -> None:
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._adds: list[str] = []
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: Item = {}

    def set(self, name: str, value: dict[str, Any]) -> None:
        self._sets.append(f"{self.name(name)} = {self.value(value)}")

    def put(self, name: str, value: dict[str, Any] | None) -> None:
        """Set it, or remove it if there is no value."""
        if value is None:
            self._removes.append(self.name(name))
        else:
            self.set(name, value)

    def set_if_absent(self, name: str, value: dict[str, Any]) -> None:
        path = self.name(name)
        self._sets.append(f"{path} = if_not_exists({path}, {self.value(value)})")

    def add(self, name: str, value: dict[str, Any]) -> None:
        self._adds.append(f"{self.name(name)} {self.value(value)}")

    def require(self, name: str, value: dict[str, Any] | None) -> None:
        if value is None:
            self.require_absent(name)
        else:
            self.require_that(f"{self.name(name)} = {self.value(value)}")

    def require_absent(self, name: str) -> None:
        self.require_that(f"attribute_not_exists({self.name(name)})")

    def require_held(self, held: Record, state: State) -> None:
        """The claim that `held` is of still holds the job, or has ended it as `state`."""
        self.require("state", attribute("state", state))
        self.require("fence", attribute("fence", held.fence))
        self.require("nonce", attribute("nonce", held.nonce))

    def require_that(self, condition: str) -> None:
        self._conditions.append(condition)

    def name(self, name: str) -> str:
        self._names[f"#{name}"] = name
        return f"#{name}"

    def value(self, value: dict[str, Any]) -> str:
        for placeholder, known in self._values.items():
            if known == value:
                return placeholder  # each is serialised, sent and parsed once
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = value
        return placeholder

    def parameters(self) -> dict[str, Any]:
        clauses = {"SET": self._sets, "REMOVE": self._removes, "ADD": self._adds}
        update = " ".join(f"{verb} {', '.join(c)}" for verb, c in clauses.items() if c)
        parameters: dict[str, Any] = {
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
        }
        if update:
            parameters["UpdateExpression"] = update
        if self._values:
            parameters["ExpressionAttributeValues"] = self._values
        return parameters


def _claiming(ask: Claim, at: float) -> _Change:
    """The claim of a job that is new, or waits and asks for the same: `core.ledger._claimed`."""
    change = _Change()
    for name in ("owner", "nonce"):
        change.set(name, attribute(name, getattr(ask, name)))
    change.set("state", attribute("state", State.RUNNING))
    change.set("lease_until", attribute("lease_until", at + ask.lease_s))
    change.set_if_absent("sent_at", attribute("sent_at", ask.sent_at))
    for name in ("digest", "route", "tenant"):
        text = getattr(ask, name)
        change.put(name, attribute(name, text) if text else None)
    change.put("not_before", None)
    change.add("fence", attribute("fence", 1))
    change.add("attempts", attribute("attempts", 1))
    if not ask.own_doorbell:
        change.add("doorbells", attribute("doorbells", {ask.doorbell}))

    absent = f"attribute_not_exists({change.name(KEY)})"
    states = ", ".join(change.value(attribute("state", state)) for state in sorted(WAITING))
    waits = f"{change.name('state')} IN ({states})"
    digest = change.name("digest")
    same = f"attribute_not_exists({digest})"
    if ask.digest:
        same = f"({same} OR {digest} = {change.value(attribute('digest', ask.digest))})"
    change.require_that(f"({absent} OR ({waits} AND {same}))")
    return change
