"""What may happen between a refusal and the write that follows it, and odd items."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from tests.contract.stage import KEEP_S, Clock, Open, dynamo_ledger, on_aws
from tests.contract.test_ledger import JOB, LEASE_S, asked, claimed, ended, finished, stored
from worker.aws.ledger_item import decode, encode
from worker.core.ledger import Attempt, Record, RunningElsewhere, State
from worker.core.trail import Bar, Leg
from worker.ports import RecordUnreadable, Unavailable


@dataclass
class Meddled:
    """A client; `meddle` comes before its n-th call of one operation."""

    client: Any
    operation: str
    meddle: Callable[[int], Awaitable[None]]
    calls: int = 0

    def __getattr__(self, name: str) -> Any:
        if name != self.operation:
            return getattr(self.client, name)

        async def call(**how: Any) -> Any:
            self.calls += 1
            await self.meddle(self.calls)
            return await getattr(self.client, name)(**how)

        return call


def test_a_claim_that_is_renewed_in_the_nick_of_time_is_not_taken_over() -> None:
    async def main(given: Open) -> None:
        clock = Clock()
        ledger = dynamo_ledger(given, clock)
        held = await claimed(ledger, asked())
        clock.now += 2 * LEASE_S

        async def renew(_: int) -> None:
            assert await ledger.renew(held, LEASE_S)

        rival = dynamo_ledger(given, clock, Meddled(given.dynamodb, "put_item", renew))
        refusal = await rival.claim(asked("n-2", owner="boot-2"))

        assert isinstance(refusal, RunningElsewhere)
        await finished(ledger, held, ended(State.ANSWERED))

    on_aws(main)


def test_a_record_that_vanishes_meanwhile_is_made_anew() -> None:
    async def main(given: Open) -> None:
        clock = Clock()
        ledger = dynamo_ledger(given, clock)
        held = await claimed(ledger, asked())
        await finished(ledger, held, ended(State.DEAD))

        async def vanish(number: int) -> None:
            if number == 1:
                key = {"job": {"S": JOB}}
                await given.dynamodb.delete_item(TableName=given.resources.table, Key=key)

        meddled = Meddled(given.dynamodb, "put_item", vanish)
        record = await claimed(
            dynamo_ledger(given, clock, meddled), asked("n-2", owner="boot-2", doorbell="m-2")
        )

        assert (record.fence, record.generation) == (1, 0)
        assert await stored(ledger) == record
        assert meddled.calls == 2

    on_aws(main)


def test_a_claim_gives_up_after_many_lost_races() -> None:
    async def main(given: Open) -> None:
        clock = Clock()
        ledger = dynamo_ledger(given, clock)
        held = await claimed(ledger, asked())
        clock.now += 2 * LEASE_S

        async def touch(number: int) -> None:  # renewed, but into the past
            assert await ledger.renew(held, -LEASE_S - number)

        rival = dynamo_ledger(given, clock, Meddled(given.dynamodb, "put_item", touch))
        with pytest.raises(Unavailable, match="RacesLost"):
            await rival.claim(asked("n-2", owner="boot-2"))

    on_aws(main)


def test_keys_that_were_not_processed_are_asked_for_again() -> None:
    async def main(given: Open) -> None:
        jobs = [f"job-{n}" for n in range(5)]
        ledger = dynamo_ledger(given, Clock())
        records = {job: await claimed(ledger, asked(job=job)) for job in jobs}

        class OneAtATime:
            async def batch_get_item(self, *, RequestItems: dict[str, Any]) -> Any:  # noqa: N803
                ((table, how),) = RequestItems.items()
                first, *rest = how["Keys"]
                answer = await given.dynamodb.batch_get_item(
                    RequestItems={table: {**how, "Keys": [first]}}
                )
                left = {table: {**how, "Keys": rest}} if rest else {}
                return {**answer, "UnprocessedKeys": left}

        assert await dynamo_ledger(given, Clock(), OneAtATime()).load(jobs) == records

    on_aws(main)


@pytest.mark.parametrize(
    "odd",
    [
        {"state": {"S": "sleeping"}},
        {"state": {"N": "1"}},
        {"fence": {"N": "1.5"}},
        {"history": {"S": "no json"}},
        {"history": {"S": "[1]"}},
    ],
)
def test_an_item_that_is_no_record_is_told_as_trouble(odd: dict[str, Any]) -> None:
    async def main(given: Open) -> None:
        item = {"job": {"S": JOB}, "state": {"S": "running"}, **odd}
        await given.dynamodb.put_item(TableName=given.resources.table, Item=item)
        ledger = dynamo_ledger(given, Clock())

        with pytest.raises(Unavailable, match="RecordUnreadable"):
            await ledger.claim(asked())
        assert isinstance((await ledger.load([JOB]))[JOB], RecordUnreadable)

    on_aws(main)


def test_an_item_has_no_room_for_what_goes_without_saying() -> None:
    record = Record(job="j", state=State.QUEUED, history=(Attempt(number=1, target="sonnet"),))

    item = encode(record, keep_s=KEEP_S)

    assert set(item) == {"job", "state", "sent_at", "history"}
    assert orjson.loads(item["history"]["S"]) == [{"number": 1, "target": "sonnet"}]
    assert decode(item) == record


def test_a_leg_is_a_short_list() -> None:
    bars = (Bar(name="sonnet", why="open", version=17),)
    leg = Leg(fence=2, owner="w", ended_at=5.5, ended="parked", began_at=4.0, bars=bars)
    record = Record(job="j", state=State.QUEUED, trail=(Leg(fence=1), leg))

    item = encode(record, keep_s=KEEP_S)

    parked = [2, "w", 5.5, "parked", 4.0, "", 0.0, 0, [["sonnet", "open", 17]]]
    assert orjson.loads(item["trail"]["S"]) == [[1], parked]
    assert decode(item) == record


def test_what_a_later_version_adds_to_a_leg_is_passed_over() -> None:
    row = [2, "w", 5.5, "parked", 4.0, "", 0.0, 0, [["sonnet", "open", 17, "x"]], "", "", 0.0, 9]
    item = {
        "job": {"S": "j"},
        "state": {"S": "queued"},
        "trail": {"S": orjson.dumps([row]).decode()},
    }

    bars = (Bar(name="sonnet", why="open", version=17),)
    leg = Leg(fence=2, owner="w", ended_at=5.5, ended="parked", began_at=4.0, bars=bars)
    assert decode(item).trail == (leg,)


def test_what_a_later_version_adds_is_passed_over() -> None:
    row = {"number": 1, "target": "sonnet", "mood": "good"}
    item = {
        "job": {"S": "j"},
        "state": {"S": "queued"},
        "colour": {"S": "blue"},
        "history": {"S": orjson.dumps([row]).decode()},
    }

    record = decode(item)

    assert record == Record(
        job="j", state=State.QUEUED, history=(Attempt(number=1, target="sonnet"),)
    )
