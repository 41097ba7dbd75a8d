import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from worker.client import Client, Result
from worker.client.prepare import Preparer
from worker.client.send import Sender
from worker.core.job import Limits
from worker.core.ledger import Record, State
from worker.ports import PayloadMissing, RecordUnreadable, Unavailable
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryLedger, MemoryPayloads


def envelope(job: str, **fields: Any) -> bytes:
    told = {
        "v": 1,
        "job_id": job,
        "status": "ok",
        "output": {
            "message": {"role": "assistant", "content": [{"text": "Be"}, {"text": "cause"}]}
        },
        "quality": {"minimum": 0.0, "served": 1.0},
        "degraded": None,
        "usage": {"cost_usd": 0.25},
        "attempts_total": 2,
        "metadata": {"for": "me"},
    }
    return orjson.dumps(told | fields)


def answered(job: str, **fields: Any) -> Record:
    return Record(job=job, state=State.ANSWERED, result=envelope(job, **fields))


class CountingLedger:
    """A memory ledger that counts the reads; `trouble` is raised by each."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.reads: list[tuple[float, int]] = []
        self.trouble: Exception | None = None

    async def load(self, jobs: Sequence[str]) -> dict[str, Record | RecordUnreadable]:
        self.reads.append((asyncio.get_running_loop().time(), len(jobs)))
        if self.trouble is not None:
            raise self.trouble
        return await self.ledger.seen_by().load(jobs)

    def finish(self, *jobs: str) -> None:
        for job in jobs:
            self.ledger.write(answered(job))

    def finish_at(self, at_s: float, *jobs: str) -> None:
        asyncio.get_running_loop().call_at(at_s, self.finish, *jobs)


def client(ledger: Any, payloads: MemoryPayloads | None = None) -> Client:
    store = (payloads or MemoryPayloads()).seen_by()
    return Client(
        sender=Sender(None, "queue", attempts=1),
        preparer=Preparer(None, limits=Limits(), inline_max_bytes=0),
        ledger=ledger,
        payloads=store,
    )


def test_a_finished_job_is_told_at_once() -> None:
    ledger = CountingLedger()
    ledger.finish("a")

    result = in_virtual_time(client(ledger).wait("a", timeout_s=0.001))

    assert (result.job_id, result.status, result.text) == ("a", "ok", "Because")
    assert (result.quality, result.attempts, result.cost_usd) == (1.0, 2, 0.25)
    assert result.metadata == {"for": "me"}
    assert result.envelope == orjson.loads(envelope("a"))


def test_reads_grow_rarer_while_a_job_is_not_done() -> None:
    ledger = CountingLedger()

    async def main() -> None:
        ledger.finish_at(60, "a")
        await client(ledger).wait("a", timeout_s=90)

    in_virtual_time(main())

    times = [at for at, _ in ledger.reads]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps[0] <= 0.125
    assert all(gap <= 2.5 for gap in gaps)
    assert len(gaps) < 60


def test_many_who_wait_share_their_reads() -> None:
    ledger = CountingLedger()
    ids = [f"j{n}" for n in range(250)]
    ledger.finish(*ids)

    async def main() -> list[Result]:
        waiting = client(ledger)
        return await asyncio.gather(*(waiting.wait(job, timeout_s=1) for job in ids))

    results = in_virtual_time(main())

    assert [result.job_id for result in results] == ids
    assert [count for _, count in ledger.reads] == [100, 100, 50]


def test_results_come_as_the_jobs_end() -> None:
    ledger = CountingLedger()

    async def main() -> list[str]:
        ledger.finish_at(5, "c")
        ledger.finish_at(10, "a")
        ledger.finish_at(15, "b")
        results = client(ledger).as_completed(["a", "b", "c", "b"], timeout_s=60)
        return [result.job_id async for result in results]

    assert in_virtual_time(main()) == ["c", "a", "b"]


def test_a_timeout_tells_how_many_are_missing() -> None:
    ledger = CountingLedger()
    ledger.finish("a")

    async def main() -> None:
        async for _ in client(ledger).as_completed(["a", "b", "c"], timeout_s=3):
            pass

    with pytest.raises(TimeoutError, match=r"^2 of 3 jobs have no result after 3 s$"):
        in_virtual_time(main())


def test_who_stops_waiting_is_asked_for_no_more() -> None:
    ledger = CountingLedger()

    async def main() -> int:
        waiting = client(ledger)
        with pytest.raises(TimeoutError):
            await waiting.wait("a", timeout_s=1)
        reads = len(ledger.reads)
        await asyncio.sleep(60)
        return len(ledger.reads) - reads

    assert in_virtual_time(main()) == 0


def test_a_client_can_wait_again_after_it_stopped() -> None:
    ledger = CountingLedger()

    async def main() -> Result:
        waiting = client(ledger)
        with pytest.raises(TimeoutError):
            await waiting.wait("a", timeout_s=1)
        ledger.finish("a")
        return await waiting.wait("a", timeout_s=1)

    assert in_virtual_time(main()).status == "ok"


def test_two_who_wait_for_one_job_are_both_told() -> None:
    ledger = CountingLedger()

    async def main() -> list[Result]:
        ledger.finish_at(7, "a")
        waiting = client(ledger)
        return await asyncio.gather(*(waiting.wait("a", timeout_s=20) for _ in range(2)))

    assert [result.job_id for result in in_virtual_time(main())] == ["a", "a"]


def test_a_ledger_out_of_reach_is_asked_again_until_it_answers() -> None:
    ledger = CountingLedger()
    ledger.trouble = Unavailable("ledger", "ReadTimeoutError")
    ledger.finish("a")

    async def main() -> Result:
        asyncio.get_running_loop().call_at(20, setattr, ledger, "trouble", None)
        return await client(ledger).wait("a", timeout_s=60)

    assert in_virtual_time(main()).status == "ok"


def test_a_timeout_tells_that_the_ledger_was_out_of_reach() -> None:
    ledger = CountingLedger()
    ledger.trouble = Unavailable("ledger", "ReadTimeoutError")

    with pytest.raises(TimeoutError, match="the last read failed: ReadTimeoutError"):
        in_virtual_time(client(ledger).wait("a", timeout_s=5))


@pytest.mark.parametrize(
    "trouble",
    [
        Unavailable("ledger", "NoCredentialsError", local=True),
        Unavailable("ledger", "ResourceNotFoundException"),
    ],
)
def test_what_waiting_does_not_cure_is_raised_at_once(trouble: Unavailable) -> None:
    ledger = CountingLedger()
    ledger.trouble = trouble

    with pytest.raises(Unavailable):
        in_virtual_time(client(ledger).wait("a", timeout_s=1e6))


def test_a_record_that_cannot_be_read_ends_the_wait_for_its_own_job_only() -> None:
    ledger = CountingLedger()
    ledger.ledger.unreadable.add("odd")
    ids = ["a", "odd", "b"]

    async def main() -> list[Result | BaseException]:
        ledger.finish_at(5, "a", "b")
        waiting = client(ledger)
        return await asyncio.gather(
            *(waiting.wait(job, timeout_s=60) for job in ids), return_exceptions=True
        )

    a, odd, b = in_virtual_time(main())

    assert isinstance(odd, RecordUnreadable)
    assert [one.job_id for one in (a, b) if isinstance(one, Result)] == ["a", "b"]
    assert ledger.reads[0] == (0.0, 3)


def test_who_waits_for_many_gets_all_that_can_be_read_and_then_the_error() -> None:
    ledger = CountingLedger()
    ledger.ledger.unreadable.add("odd")
    told: list[str] = []

    async def main() -> None:
        ledger.finish_at(5, "a", "b")
        async for result in client(ledger).as_completed(["odd", "a", "b"], timeout_s=60):
            told.append(result.job_id)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(RecordUnreadable):
        in_virtual_time(main())

    assert sorted(told) == ["a", "b"]  # as they come in, and reads are jittered


def test_an_error_of_our_own_leaves_nobody_waiting() -> None:
    ledger = CountingLedger()
    ledger.trouble = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        in_virtual_time(client(ledger).wait("a", timeout_s=1e6))


def test_a_dead_job_is_a_result_and_no_exception() -> None:
    ledger = CountingLedger()
    body = envelope("a", status="failed", output=None, error={"reason": "rejected"})
    ledger.ledger.write(replace(answered("a"), state=State.DEAD, reason="rejected", result=body))

    result = in_virtual_time(client(ledger).wait("a", timeout_s=1))

    assert (result.status, result.reason, result.text) == ("failed", "rejected", None)
    assert not result.answered


@pytest.mark.parametrize(
    ("record", "status", "reason"),
    [
        (Record(job="a", state=State.DEAD, reason="expired"), "expired", "expired"),
        (Record(job="a", state=State.DEAD, reason="crash_loop"), "failed", "crash_loop"),
        (Record(job="a", state=State.CANCELLED), "failed", "cancelled"),
    ],
)
def test_a_job_without_an_envelope_has_a_result_too(
    record: Record, status: str, reason: str
) -> None:
    ledger = CountingLedger()
    ledger.ledger.write(record)

    result = in_virtual_time(client(ledger).wait("a", timeout_s=1))

    assert (result.status, result.reason, result.envelope) == (status, reason, {})


def test_a_degraded_answer_tells_its_reason() -> None:
    ledger = CountingLedger()
    body = envelope("a", status="degraded", degraded={"reason": "circuit_open"})
    ledger.ledger.write(replace(answered("a"), state=State.DEGRADED, result=body))

    result = in_virtual_time(client(ledger).wait("a", timeout_s=1))

    assert (result.status, result.reason, result.answered) == ("degraded", "circuit_open", True)


def test_an_answer_without_text_has_none() -> None:
    ledger = CountingLedger()
    output = {"message": {"role": "assistant", "content": [{"toolUse": {}}]}}
    ledger.ledger.write(answered("a", output=output))

    result = in_virtual_time(client(ledger).wait("a", timeout_s=1))

    assert (result.text, result.output) == (None, output)


def test_a_result_that_lies_in_s3_is_fetched() -> None:
    ledger, payloads = CountingLedger(), MemoryPayloads()
    payloads.objects["results", "payloads/ab"] = envelope("a")
    stored = Record(job="a", state=State.ANSWERED, result_ref="s3://results/payloads/ab")
    ledger.ledger.write(stored)

    result = in_virtual_time(client(ledger, payloads).wait("a", timeout_s=1))

    assert result.text == "Because"


def test_a_result_that_s3_has_forgotten_is_told_as_missing() -> None:
    ledger = CountingLedger()
    stored = Record(job="a", state=State.ANSWERED, result_ref="s3://results/payloads/ab")
    ledger.ledger.write(stored)

    with pytest.raises(PayloadMissing):
        in_virtual_time(client(ledger).wait("a", timeout_s=1))


@pytest.mark.parametrize(
    ("ids", "timeout_s"),
    [
        ("abc", 1),
        ([""], 1),
        ([None], 1),
        ([["a"]], 1),
        (["a", "x" * 129], 1),
        (["x" * 3000], 1),
        (["a b"], 1),
        (["a/b"], 1),
        (["a+upgrade+upgrade"], 1),
        (["a"], -1),
        (["a"], float("nan")),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(ids: Any, timeout_s: float) -> None:
    with pytest.raises(ValueError, match=r"job_ids|job id|timeout_s"):
        client(CountingLedger()).as_completed(ids, timeout_s=timeout_s)


@pytest.mark.parametrize("job", ["", "a b", "a+upgrade", "x" * 129, None])
def test_there_is_no_upgrade_of_what_is_no_job(job: Any) -> None:
    ledger = CountingLedger()

    with pytest.raises(ValueError, match="job id"):
        in_virtual_time(client(ledger).upgrade(job, timeout_s=1))

    assert not ledger.reads


@pytest.mark.parametrize("job", ["3f1c7c0e-7a50-4a6c-9a0e-5b0e8f6d2c11", "x" * 128, "a+upgrade"])
def test_a_message_id_and_an_upgrade_can_be_waited_for(job: str) -> None:
    ledger = CountingLedger()
    ledger.finish(job)

    result = in_virtual_time(client(ledger).wait(job, timeout_s=1))

    assert result.job_id == job


def test_a_result_shows_no_answer_text_when_printed() -> None:
    ledger = CountingLedger()
    ledger.finish("a")

    result = in_virtual_time(client(ledger).wait("a", timeout_s=1))

    assert "Because" not in repr(result)
