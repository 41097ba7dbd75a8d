"""Port `BreakerStore` on DynamoDB: verdicts, jury and history of one service.

Every write puts a whole item under a condition, and a refusal brings the item that
is there: a lost race costs no second read. Nothing is retried, for the client has one
attempt and short timers: a breaker that waits for its store is worse than one without.

A write whose request arrives twice counts once: the second one is refused, and what
is there is what was to be written. `sit` knows it by holder and beat, and says yes.

An item that we cannot read (a later version's) is `Unavailable` to the operation that
met it. Only `read` goes on without it: one unreadable verdict must not blind the
worker to all others. Nothing is remembered of it, and nothing can overwrite it: to us
it is absent, and a write that expects nothing there is refused.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError

from worker.aws.breakers_item import (
    PK,
    history_of,
    is_policy,
    is_verdict,
    jury_of,
    policy_item,
    read_policy,
    read_row,
    read_seat,
    read_verdict,
    row_item,
    seat_item,
    verdict_item,
    verdicts_of,
)
from worker.aws.ledger_item import Item, Unreadable
from worker.aws.trouble import asking, code_of
from worker.core.jury import Seat
from worker.core.policy import PolicyChange
from worker.core.verdict import Transition, Verdict
from worker.ports import Board, Unavailable

T = TypeVar("T")

KEEP_S: Final = 90 * 86_400.0
HISTORY_MAX: Final = 1000
_ABSENT: Final = {
    "ConditionExpression": "attribute_not_exists(#pk)",
    "ExpressionAttributeNames": {"#pk": PK},
}


class DynamoBreakers:
    """The store in one table with the keys `pk` and `sk`.

    Args:
        client: A DynamoDB client without retries of its own, and with short timers.
        table: The table's name or ARN.
        service: Whose verdicts; services may share a table.
        keep_s: How long a row of history is kept, in seconds.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        service: str,
        keep_s: float = KEEP_S,
    ) -> None:
        self._client = client
        self._table = table
        self._service = service
        self._keep_s = keep_s

    async def read(self, *, consistent: bool = False) -> Board:
        """See the port. What we cannot read is left out, as if it were not there."""
        verdicts: dict[str, Verdict] = {}
        policies: dict[str, PolicyChange] = {}
        for item in await self._query(verdicts_of(self._service), ConsistentRead=consistent):
            try:
                if is_verdict(item):
                    verdict = read_verdict(item)
                    verdicts[verdict.name] = verdict
                elif is_policy(item):
                    change = read_policy(item)
                    policies[change.name] = change
            except Unreadable:
                continue  # a later version's: the others count all the same
        return Board(verdicts=verdicts, policies=policies)

    async def swap(self, old: Verdict, new: Verdict) -> Verdict:
        assert old.name == new.name, "a verdict replaces one of its own breaker"
        there = await self._put(verdict_item(self._service, new), _if_still(old))
        if there is None:
            return new
        return _read(read_verdict, there) if there else Verdict(name=new.name)

    async def swap_policy(self, change: PolicyChange) -> PolicyChange:
        item = policy_item(self._service, change)
        there = await self._put(item, _at_version(change.version - 1))
        if there is None:
            return change
        return _read(read_policy, there) if there else PolicyChange(name=change.name)

    async def seats(self) -> list[Seat]:
        return [_read(read_seat, item) for item in await self._query(jury_of(self._service))]

    async def sit(self, seat: Seat, old: Seat | None) -> bool:
        condition = _ABSENT if old is None else _held_as(old)
        there = await self._put(seat_item(self._service, seat), condition)
        if there is None:
            return True
        if not there:
            return False
        found = _read(read_seat, there)
        return (found.holder, found.beat) == (seat.holder, seat.beat)

    async def note(self, row: Transition) -> bool:
        item = row_item(self._service, row, keep_s=self._keep_s)
        return await self._put(item, _ABSENT) is None

    async def history(self, name: str, most: int) -> list[Transition]:
        assert 1 <= most <= HISTORY_MAX, f"1 to 1,000 rows, not {most}"
        partition = history_of(self._service, name)
        items = await self._query(partition, most=most, ScanIndexForward=False)
        return [_read(lambda item: read_row(name, item), item) for item in items]

    async def _put(self, item: Item, condition: dict[str, Any]) -> Item | None:
        """Write `item`; None if that was done, else what is there, empty if nothing is."""
        with asking("breakers"):
            try:
                await self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **condition,
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                there: Item = error.response.get("Item") or {}
                return there
        return None

    async def _query(
        self, partition: dict[str, str], *, most: int | None = None, **how: Any
    ) -> list[Item]:
        """The first `most` items of one partition, or all: one request for each started MiB."""
        found: list[Item] = []
        while most is None or len(found) < most:
            if most is not None:
                how["Limit"] = most - len(found)
            page = await self._page(partition, **how)
            found += page["Items"]
            if not (after := page.get("LastEvaluatedKey")):
                break
            how["ExclusiveStartKey"] = after
        return found

    async def _page(self, partition: dict[str, str], **how: Any) -> Any:
        with asking("breakers"):
            return await self._client.query(
                TableName=self._table,
                KeyConditionExpression="#pk = :pk",
                ExpressionAttributeNames={"#pk": PK},
                ExpressionAttributeValues={":pk": partition},
                **how,
            )


def _if_still(old: Verdict) -> dict[str, Any]:
    """The condition that this very write is there: a wiped table counts its versions anew."""
    condition = _at_version(old.version)
    if old.version == 0:
        return condition
    condition["ExpressionAttributeNames"]["#nonce"] = "nonce"
    if not old.nonce:  # an empty text is not written
        condition["ConditionExpression"] += " AND attribute_not_exists(#nonce)"
        return condition
    condition["ConditionExpression"] += " AND #nonce = :nonce"
    condition["ExpressionAttributeValues"][":nonce"] = {"S": old.nonce}
    return condition


def _at_version(version: int) -> dict[str, Any]:
    """The condition that this version is there; 0 stands for nothing."""
    if version == 0:
        return _ABSENT
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"N": str(version)}},
    }


def _held_as(old: Seat) -> dict[str, Any]:
    return {
        "ConditionExpression": "#holder = :holder AND #beat = :beat",
        "ExpressionAttributeNames": {"#holder": "holder", "#beat": "beat"},
        "ExpressionAttributeValues": {
            ":holder": {"S": old.holder},
            ":beat": {"N": str(old.beat)},
        },
    }


def _read(decode: Callable[[Item], T], item: Item) -> T:
    try:
        return decode(item)
    except Unreadable:
        raise Unavailable(store="breakers", why="RecordUnreadable") from None
