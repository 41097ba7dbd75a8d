"""What every cache of answers promises, and what the one on DynamoDB does beside it."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.stage import STAGES, Open, on_aws, on_cache
from worker.aws.cache import DynamoCache
from worker.core.cache import CachedAnswer
from worker.ports import AnswerCache, Unavailable

both = pytest.mark.parametrize("stage", STAGES)

KEY = "0" * 64
AT = 1_800_000_000.125
ENTRY = CachedAnswer(
    tenant="acme",
    content=({"text": "“Because …” 🙂"}, {"reasoningContent": {"text": "so"}}),
    quality=0.75,
    at=AT,
    places=frozenset({"eu", "eu-central-1"}),
    stop_reason="end_turn",
)


async def put(cache: AnswerCache, entry: CachedAnswer, key: str = KEY) -> bool:
    return await cache.put(key, entry, fresh_s=100.0, keep_s=300.0)


@both
def test_an_entry_is_got_as_it_was_put(stage: str) -> None:
    async def main(cache: AnswerCache) -> None:
        assert await put(cache, ENTRY)

        assert await cache.get(KEY, "acme") == ENTRY

    on_cache(stage, main)


@both
def test_an_entry_of_a_target_that_does_not_tell_where_it_is_has_no_places(stage: str) -> None:
    async def main(cache: AnswerCache) -> None:
        nowhere = replace(ENTRY, places=frozenset())
        await put(cache, nowhere)

        assert await cache.get(KEY, "acme") == nowhere

    on_cache(stage, main)


@both
def test_what_was_never_put_is_not_there(stage: str) -> None:
    async def main(cache: AnswerCache) -> None:
        await put(cache, ENTRY)

        assert await cache.get("1" * 64, "acme") is None

    on_cache(stage, main)


@both
@pytest.mark.parametrize("tenant", ["", "acm", "acme2"])
def test_another_tenant_gets_nothing_even_by_the_same_key(stage: str, tenant: str) -> None:
    async def main(cache: AnswerCache) -> None:
        await put(cache, ENTRY)

        assert await cache.get(KEY, tenant) is None

    on_cache(stage, main)


@both
def test_a_job_without_a_tenant_has_entries_of_its_own(stage: str) -> None:
    async def main(cache: AnswerCache) -> None:
        nobodys = replace(ENTRY, tenant="")
        await put(cache, nobodys)

        assert await cache.get(KEY, "") == nobodys

    on_cache(stage, main)


@both
@pytest.mark.parametrize(
    ("quality", "later_s", "written"),
    [
        (0.75, 1.0, True),  # as good: the newer one
        (0.9, 1.0, True),  # better
        (0.5, 100.0, False),  # worse, while the better one is fresh
        (0.5, 100.5, True),  # worse, and the better one is stale
    ],
)
def test_a_worse_answer_does_not_take_the_place_of_a_fresh_one(
    stage: str,
    quality: float,
    later_s: float,
    written: bool,  # noqa: FBT001
) -> None:
    async def main(cache: AnswerCache) -> None:
        await put(cache, ENTRY)
        later = replace(ENTRY, quality=quality, at=AT + later_s, content=({"text": "later"},))

        assert await put(cache, later) is written

        assert await cache.get(KEY, "acme") == (later if written else ENTRY)

    on_cache(stage, main)


def test_dynamodb_is_told_when_to_forget_an_entry() -> None:
    async def main(given: Open) -> None:
        table = given.resources.cache_table
        await put(DynamoCache(given.dynamodb, table), ENTRY)

        item = (await given.dynamodb.get_item(TableName=table, Key={"key": {"S": KEY}}))["Item"]

        assert item["ttl"] == {"N": str(int(AT) + 301)}

    on_aws(main)


@pytest.mark.parametrize(
    "broken",
    [
        {"content": None},
        {"content": {"B": b"no JSON"}},
        {"quality": {"S": "x"}},
        {"at": None},
        {"places": {"S": "eu"}},
    ],
    ids=["no content", "no JSON", "no number", "no time", "no set"],
)
def test_an_item_that_cannot_be_read_is_not_there_and_can_be_replaced(broken: Any) -> None:
    async def main(given: Open) -> None:
        table = given.resources.cache_table
        cache = DynamoCache(given.dynamodb, table)
        await put(cache, ENTRY)
        item = (await given.dynamodb.get_item(TableName=table, Key={"key": {"S": KEY}}))["Item"]
        item = {name: value for name, value in (item | broken).items() if value is not None}
        await given.dynamodb.put_item(TableName=table, Item=item)

        assert await cache.get(KEY, "acme") is None

    on_aws(main)


def test_an_item_of_an_older_version_is_an_entry_from_nowhere() -> None:
    async def main(given: Open) -> None:
        table = given.resources.cache_table
        cache = DynamoCache(given.dynamodb, table)
        await put(cache, ENTRY)
        item = (await given.dynamodb.get_item(TableName=table, Key={"key": {"S": KEY}}))["Item"]
        for name in ("places", "stop_reason"):
            del item[name]
        await given.dynamodb.put_item(TableName=table, Item=item)

        assert await cache.get(KEY, "acme") == replace(ENTRY, places=frozenset(), stop_reason="")

    on_aws(main)


def test_a_table_that_is_not_there_is_unavailable() -> None:
    async def main(given: Open) -> None:
        cache = DynamoCache(given.dynamodb, "no-such-table")

        with pytest.raises(Unavailable, match="cache: ResourceNotFoundException"):
            await cache.get(KEY, "acme")
        with pytest.raises(Unavailable, match="cache: ResourceNotFoundException"):
            await put(cache, ENTRY)

    on_aws(main)


def test_an_error_of_the_service_is_told_without_its_text() -> None:
    class Refusing:
        async def put_item(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "SECRET"}}, "x")

    async def main(_: Open) -> None:
        with pytest.raises(Unavailable) as refused:
            await put(DynamoCache(Refusing(), "t"), ENTRY)

        assert str(refused.value) == "cache: ThrottlingException"

    on_aws(main)
