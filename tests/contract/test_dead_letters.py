"""What every index of dead letters promises: it holds what is dead, and nothing else."""

import asyncio
from dataclasses import replace

import pytest

from tests.contract.stage import (
    STAGES,
    Clock,
    Open,
    dynamo_dead_letters,
    dynamo_ledger,
    on_aws,
    on_dead_letters,
)
from tests.contract.test_ledger import asked, claimed, ended, finished
from worker.aws.dead_letters import ROW_PREFIX, index_command
from worker.core.dead import Letter, Note, letter_of
from worker.core.fault import Kind
from worker.core.ledger import Attempt, Record, State
from worker.ports import DeadLetters, Ledger, Unavailable

FOR_EVER = {"since": 0.0, "until": float("inf")}
HISTORY = (Attempt(number=1, target="near", kind=Kind.UNAVAILABLE, code="503"),)
both = pytest.mark.parametrize("stage", STAGES)


async def dead(ledger: Ledger, job: str = "invoice-42", **how: object) -> Record:
    held = await claimed(ledger, asked(job=job))
    given = {"reason": "expired", "fingerprint": "ab", "history": HISTORY, **how}
    return await finished(ledger, held, ended(State.DEAD, result=b"{}", **given))


async def listed(index: DeadLetters) -> list[Letter]:
    return await index.letters(**FOR_EVER)


@both
def test_the_dead_are_listed_by_their_death_and_nobody_else(stage: str) -> None:
    async def main(ledger: Ledger, index: DeadLetters, clock: Clock) -> None:
        records = []
        for n in range(40):
            clock.now += 0.25
            records.append(await dead(ledger, f"job-{n}", history=HISTORY if n % 2 else ()))
        for state in (State.ANSWERED, State.DEGRADED, State.PARKED, State.INTERRUPTED):
            held = await claimed(ledger, asked(job=state.value))
            await finished(ledger, held, ended(state, reason="why", history=HISTORY))
        await claimed(ledger, asked(job="running"))
        await dead(ledger, "job-1+upgrade")

        assert await listed(index) == [letter_of(record) for record in records]

    on_dead_letters(stage, main)


@both
def test_a_list_begins_and_ends_where_it_is_told(stage: str) -> None:
    async def main(ledger: Ledger, index: DeadLetters, clock: Clock) -> None:
        times = []
        for n in range(4):
            clock.now += 10
            times.append(clock.now)
            await dead(ledger, f"job-{n}")

        found = await index.letters(since=times[1], until=times[3])

        assert [letter.job for letter in found] == ["job-1", "job-2"]
        assert await index.letters(since=times[3], until=times[1]) == []

    on_dead_letters(stage, main)


@both
def test_a_redriven_job_leaves_the_list_and_comes_back_if_it_dies_again(stage: str) -> None:
    async def main(ledger: Ledger, index: DeadLetters, clock: Clock) -> None:
        first = await dead(ledger)
        await ledger.mark_told(first)
        clock.now += 60
        held = await claimed(ledger, asked("n-2", doorbell="m-2"))
        meanwhile = await listed(index)
        again = await finished(ledger, held, ended(State.DEAD, reason="rejected"))

        assert meanwhile == []
        assert await listed(index) == [letter_of(again)]
        assert letter_of(again) != letter_of(first)

    on_dead_letters(stage, main)


@both
def test_a_dismissed_letter_is_off_the_list_and_its_record_stays(stage: str) -> None:
    async def main(ledger: Ledger, index: DeadLetters, _: Clock) -> None:
        record = await dead(ledger)
        letter = letter_of(record)
        assert letter is not None

        assert await index.dismiss(letter)
        assert await index.dismiss(letter)

        assert await listed(index) == []
        assert (await ledger.load([record.job]))[record.job] == record
        assert await index.enlist(record)
        assert await listed(index) == [letter]

    on_dead_letters(stage, main)


@both
def test_a_letter_of_an_earlier_death_changes_nothing(stage: str) -> None:
    async def main(ledger: Ledger, index: DeadLetters, _: Clock) -> None:
        first = await dead(ledger)
        old = letter_of(first)
        assert old is not None
        held = await claimed(ledger, asked("n-2", doorbell="m-2"))
        assert not await index.dismiss(old)
        assert not await index.enlist(first)
        again = await finished(ledger, held, ended(State.DEAD))

        assert not await index.dismiss(old)
        assert not await index.enlist(replace(first, state=State.ANSWERED))
        assert not await index.dismiss(replace(old, job="nobody"))
        assert await listed(index) == [letter_of(again)]

    on_dead_letters(stage, main)


@both
def test_the_log_keeps_its_rows_in_order_and_apart_from_the_letters(stage: str) -> None:
    async def main(ledger: Ledger, index: DeadLetters, clock: Clock) -> None:
        record = await dead(ledger)
        begun = Note(id="b", at=clock.now + 5, verb="redrive", author="alice", why="x", what="1")
        edit = Note(
            id="a",
            at=clock.now,
            verb="edit",
            author="bob",
            job="j",
            original=b"{}",
            what="“prompt”",
        )

        for row in (begun, edit, replace(begun, what="2")):
            await index.note(row)

        assert await index.notes(since=0.0) == [
            replace(edit, original=None),
            replace(begun, what="2"),
        ]
        assert await index.note_of("a") == edit
        assert await index.note_of("nobody") is None
        assert await index.notes(since=clock.now + 1) == [replace(begun, what="2")]
        assert await listed(index) == [letter_of(record)]

    on_dead_letters(stage, main)


def test_a_table_without_the_index_takes_every_write_and_says_what_it_lacks() -> None:
    async def main(given: Open) -> None:
        table = given.resources.table
        await given.dynamodb.update_table(
            TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "dead"}}]
        )
        ledger, index = dynamo_ledger(given, Clock()), dynamo_dead_letters(given)
        record = await dead(ledger)
        await ledger.mark_told(record)
        await index.note(Note(id="a", at=1.0, verb="show", author="alice"))

        with pytest.raises(Unavailable, match="IndexMissing"):
            await listed(index)
        with pytest.raises(Unavailable, match="IndexMissing"):
            await index.notes(since=0.0)

        assert f"--table-name {table} " in index_command(table)

    on_aws(main)


def test_a_list_of_many_pages_is_whole() -> None:
    async def main(given: Open) -> None:
        ledger = dynamo_ledger(given, Clock())
        records = await asyncio.gather(*(dead(ledger, f"job-{n}") for n in range(60)))

        class TwoAtATime:
            async def query(self, **how: object) -> object:
                return await given.dynamodb.query(**how, Limit=2)

        found = await listed(dynamo_dead_letters(given, TwoAtATime()))

        assert {letter.job for letter in found} == {record.job for record in records}
        assert len(found) == 60

    on_aws(main)


def test_an_index_entry_brings_no_result_along() -> None:
    async def main(given: Open) -> None:
        await dead(dynamo_ledger(given, Clock()))

        (item,) = [
            item
            for part in "0123456789abcdef"
            for item in (
                await given.dynamodb.query(
                    TableName=given.resources.table,
                    IndexName="dead",
                    KeyConditionExpression="dead = :part",
                    ExpressionAttributeValues={":part": {"S": part}},
                )
            )["Items"]
        ]

        assert not {"result", "history", "doorbells", "told"} & set(item)
        assert item["job"]["S"] == "invoice-42"
        assert not item["job"]["S"].startswith(ROW_PREFIX)

    on_aws(main)
