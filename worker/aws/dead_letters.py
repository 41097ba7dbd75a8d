"""Port `DeadLetters` on DynamoDB: an index of the ledger's table, and a log beside it.

The index `dead` holds dead records only, in sixteen parts by their job's id; a list asks
all of them at once. The log's rows lie in the ledger's table under keys that no job can
have, and in the index in a part of their own. A table without the index takes every
write, and answers no question: `IndexMissing`.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Final

import orjson
from botocore.exceptions import ClientError

from worker.aws.ledger_item import (
    DEAD,
    DEAD_ATTRIBUTES,
    DEAD_CODE,
    DEAD_TARGET,
    DIED,
    INDEX,
    INDEXED,
    KEY,
    LOG,
    NOTE,
    PARTS,
    TTL,
    Item,
    attribute,
    encode,
)
from worker.aws.trouble import asking, code_of
from worker.core.dead import Letter, Note, letter_of
from worker.core.ledger import Record, State
from worker.ports import Unavailable

ROW_PREFIX: Final = "+log:"  # no job's id has a `+` but at its end
ORIGINAL: Final = "original"
ROW_KEEP_S: Final = 90 * 86_400.0
DEAD_INDEX_KEYS: Final = {DEAD: "S", DIED: "N"}
_TROUBLES: Final = {
    "does not have the specified index": "IndexMissing",
    "backfilling": "IndexBackfilling",
}
_NO_TEXT: Final = {"S": ""}
_ZERO: Final = {"N": "0"}


def dead_index() -> dict[str, Any]:
    """The index, as `CreateTable` and `UpdateTable` take it."""
    return {
        "IndexName": INDEX,
        "KeySchema": [
            {"AttributeName": DEAD, "KeyType": "HASH"},
            {"AttributeName": DIED, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(INDEXED)},
    }


def index_command(table: str) -> str:
    """The command that gives the index to a table that lacks it."""
    update = orjson.dumps([{"Create": dead_index()}]).decode()
    return (
        f"aws dynamodb update-table --table-name {table} --attribute-definitions "
        + " ".join(
            f"AttributeName={name},AttributeType={kind}" for name, kind in DEAD_INDEX_KEYS.items()
        )
        + f" --global-secondary-index-updates '{update}'"
    )


class DynamoDeadLetters:
    """The dead letters of the ledger in `table`.

    Args:
        client: A DynamoDB client; it may repeat a request, for none does harm twice.
        table: The ledger's table, by name or ARN.
        keep_s: How long a record is kept after its end, in seconds.
    """

    def __init__(self, client: Any, table: str, *, keep_s: float) -> None:
        self._client = client
        self._table = table
        self._keep_s = keep_s

    async def letters(self, *, since: float, until: float) -> list[Letter]:
        parts = await asyncio.gather(*(self._part(part, since, until) for part in PARTS))
        found = [_letter(item) for items in parts for item in items]
        return sorted(found, key=lambda letter: (letter.died_at, letter.job))

    async def dismiss(self, letter: Letter) -> bool:
        return await self._changed(letter, "REMOVE " + ", ".join(DEAD_ATTRIBUTES), {})

    async def enlist(self, record: Record) -> bool:
        letter = letter_of(record)
        if letter is None:
            return False
        item = encode(record, keep_s=self._keep_s)
        values = {f":{name}": item[name] for name in DEAD_ATTRIBUTES if name in item}
        sets = ", ".join(f"{name[1:]} = {name}" for name in values)
        return await self._changed(letter, f"SET {sets}", values)

    async def note(self, row: Note) -> None:
        told = asdict(row)
        original = told.pop("original")
        item: Item = {
            KEY: {"S": ROW_PREFIX + row.id},
            DEAD: {"S": LOG},
            DIED: {"N": repr(row.at)},
            NOTE: {"S": orjson.dumps(told).decode()},
            TTL: {"N": str(math.ceil(row.at + ROW_KEEP_S))},
        }
        if original is not None:
            item[ORIGINAL] = {"B": original}
        with asking("ledger"):
            await self._client.put_item(TableName=self._table, Item=item)

    async def notes(self, *, since: float) -> list[Note]:
        return [_note(item) for item in await self._part(LOG, since, math.inf)]

    async def note_of(self, row: str) -> Note | None:
        with asking("ledger"):
            answer = await self._client.get_item(
                TableName=self._table, Key={KEY: {"S": ROW_PREFIX + row}}, ConsistentRead=True
            )
        item = answer.get("Item")
        if item is None:
            return None
        original = item.get(ORIGINAL)
        return replace(_note(item), original=None if original is None else bytes(original["B"]))

    async def _changed(self, letter: Letter, update: str, values: Mapping[str, Any]) -> bool:
        """Change a dead record that is still the one of this letter."""
        try:
            with asking("ledger"):
                await self._client.update_item(
                    TableName=self._table,
                    Key={KEY: attribute(KEY, letter.job)},
                    UpdateExpression=update,
                    ConditionExpression="#state = :dead_state AND fence = :fence",
                    ExpressionAttributeNames={"#state": "state"},
                    ExpressionAttributeValues={
                        **values,
                        ":dead_state": attribute("state", State.DEAD),
                        ":fence": attribute("fence", letter.fence),
                    },
                )
        except Unavailable as error:
            if error.why != "ConditionalCheckFailedException":
                raise
            return False
        return True

    async def _part(self, part: str, since: float, until: float) -> list[Item]:
        return [item async for item in self._pages(part, since, until)]

    async def _pages(self, part: str, since: float, until: float) -> AsyncIterator[Item]:
        condition, values = (
            "#part = :part AND #died >= :since",
            {
                ":part": {"S": part},
                ":since": {"N": repr(since)},
            },
        )
        if until != math.inf:
            # `BETWEEN` takes both ends in; the later one is left out below.
            condition = "#part = :part AND #died BETWEEN :since AND :until"
            values[":until"] = {"N": repr(max(since, until))}
        after: dict[str, Any] = {}
        while True:
            with asking("ledger"):
                try:
                    page = await self._client.query(
                        TableName=self._table,
                        IndexName=INDEX,
                        KeyConditionExpression=condition,
                        ExpressionAttributeNames={"#part": DEAD, "#died": DIED},
                        ExpressionAttributeValues=values,
                        **after,
                    )
                except ClientError as error:
                    if (why := _index_trouble(error)) is None:
                        raise
                    raise Unavailable(store="ledger", why=why) from None
            for item in page["Items"]:
                if float(item[DIED]["N"]) < until:
                    yield item
            if "LastEvaluatedKey" not in page:
                return
            after = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _index_trouble(error: ClientError) -> str | None:
    says = str(error.response.get("Error", {}).get("Message", ""))
    if code_of(error) != "ValidationException":
        return None
    return next((why for words, why in _TROUBLES.items() if words in says), None)


def _letter(item: Item) -> Letter:
    return Letter(
        job=item[KEY]["S"],
        died_at=float(item[DIED]["N"]),
        sent_at=float(item.get("sent_at", _ZERO)["N"]),
        code=item.get(DEAD_CODE, _NO_TEXT)["S"],
        target=item.get(DEAD_TARGET, _NO_TEXT)["S"],
        fingerprint=item.get("fingerprint", _NO_TEXT)["S"],
        reason=item.get("reason", _NO_TEXT)["S"],
        route=item.get("route", _NO_TEXT)["S"],
        tenant=item.get("tenant", _NO_TEXT)["S"],
        generation=int(item.get("generation", _ZERO)["N"]),
        fence=int(item.get("fence", _ZERO)["N"]),
        attempts=int(item.get("attempts", _ZERO)["N"]),
    )


def _note(item: Item) -> Note:
    told = orjson.loads(item[NOTE]["S"])
    known = {field.name for field in fields(Note)}
    return Note(**{name: value for name, value in told.items() if name in known})
