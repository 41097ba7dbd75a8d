"""Port `AnswerCache` on DynamoDB: one item per request and tenant, with TTL."""

import math
from typing import Any, Final

import orjson
from botocore.exceptions import ClientError

from worker.aws.ledger_item import TTL, Item
from worker.aws.trouble import asking, code_of
from worker.core.cache import CachedAnswer

KEY: Final = "key"


class DynamoCache:
    """The cache in one table with the partition key `key`.

    Args:
        client: A DynamoDB client without retries of its own, and with short timers.
        table: The table's name or ARN.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    async def get(self, key: str, tenant: str) -> CachedAnswer | None:
        """See the port. What we cannot read is not there."""
        with asking("cache"):
            answer = await self._client.get_item(TableName=self._table, Key={KEY: {"S": key}})
        item: Item | None = answer.get("Item")
        if not item:
            return None
        try:
            entry = CachedAnswer(
                tenant=item["tenant"]["S"],
                content=tuple(orjson.loads(item["content"]["B"])),
                quality=float(item["quality"]["N"]),
                at=float(item["at"]["N"]),
                # Both are missing in entries of an older version, and no places may be known.
                places=frozenset(item["places"]["SS"]) if "places" in item else frozenset(),
                stop_reason=item["stop_reason"]["S"] if "stop_reason" in item else "",
            )
        except (KeyError, TypeError, ValueError):
            return None  # another version's: it is overwritten in time
        return entry if entry.tenant == tenant else None

    async def put(self, key: str, entry: CachedAnswer, *, fresh_s: float, keep_s: float) -> bool:
        """See the port."""
        item: Item = {
            KEY: {"S": key},
            "tenant": {"S": entry.tenant},
            "content": {"B": orjson.dumps(entry.content)},
            "quality": {"N": repr(entry.quality)},
            "at": {"N": repr(entry.at)},
            "stop_reason": {"S": entry.stop_reason},
            TTL: {"N": str(math.ceil(entry.at + keep_s))},
        }
        if entry.places:  # a set in DynamoDB is never empty
            item["places"] = {"SS": sorted(entry.places)}
        with asking("cache"):
            try:
                await self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(#key) OR #quality <= :quality "
                    "OR #at < :fresh_from",
                    ExpressionAttributeNames={"#key": KEY, "#quality": "quality", "#at": "at"},
                    ExpressionAttributeValues={
                        ":quality": item["quality"],
                        ":fresh_from": {"N": repr(entry.at - fresh_s)},
                    },
                )
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                return False
        return True
