from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from worker.client.prepare import Message
from worker.client.send import (
    BATCH_BYTES_MAX,
    NotSubmitted,
    Sender,
    Submitted,
    batches,
)
from worker.sim.clock import in_virtual_time

Entries = Sequence[Mapping[str, str]]


def message(index: int, *, size_bytes: int = 20, group: str = "") -> Message:
    body = f'{{"id":"j{index}"}}'
    return Message(index=index, job_id=f"j{index}", body=body, group=group, size_bytes=size_bytes)


class ScriptedSqs:
    """Answers each call with the next of `script`, and the last one ever after."""

    def __init__(self, *script: Callable[[Entries], dict[str, Any]]) -> None:
        self._script = list(script)
        self.calls: list[list[str]] = []

    async def send_message_batch(self, *, QueueUrl: str, Entries: Entries) -> dict[str, Any]:  # noqa: N803 - SQS's
        assert QueueUrl == "queue"
        self.calls.append([entry["Id"] for entry in Entries])
        return (self._script.pop(0) if len(self._script) > 1 else self._script[0])(Entries)


def take_all(entries: Entries) -> dict[str, Any]:
    return {"Successful": [{"Id": e["Id"], "MessageId": f"m{e['Id']}"} for e in entries]}


def refuse(*ids: str, code: str, sender: bool) -> Callable[[Entries], dict[str, Any]]:
    def answer(entries: Entries) -> dict[str, Any]:
        failed = [{"Id": i, "Code": code, "Message": "no", "SenderFault": sender} for i in ids]
        return take_all([e for e in entries if e["Id"] not in ids]) | {"Failed": failed}

    return answer


def fail(error: Exception) -> Callable[[Entries], dict[str, Any]]:
    def answer(_: Entries) -> dict[str, Any]:
        raise error

    return answer


def service_error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "SendMessageBatch",
    )


def sent(sqs: ScriptedSqs, count: int = 3) -> list[Submitted | NotSubmitted]:
    sender = Sender(sqs, "queue", attempts=4)
    return in_virtual_time(sender.send([message(n) for n in range(count)]))


def test_batches_are_cut_by_count() -> None:
    sizes = [len(batch) for batch in batches(message(n) for n in range(25))]

    assert sizes == [10, 10, 5]


def test_batches_are_cut_by_bytes() -> None:
    third = BATCH_BYTES_MAX // 3

    sizes = [len(batch) for batch in batches(message(n, size_bytes=third) for n in range(7))]

    assert sizes == [3, 3, 1]


def test_a_message_as_large_as_a_call_goes_alone() -> None:
    full = [message(0), message(1, size_bytes=BATCH_BYTES_MAX), message(2)]

    assert [[m.index for m in batch] for batch in batches(full)] == [[0], [1], [2]]


def test_every_job_that_the_queue_took_is_submitted() -> None:
    outcomes = sent(ScriptedSqs(take_all))

    assert outcomes == [Submitted(f"j{n}", f"m{n}") for n in range(3)]


def test_a_refusal_that_is_the_senders_fault_is_not_sent_again() -> None:
    sqs = ScriptedSqs(refuse("1", code="InvalidMessageContents", sender=True))

    outcomes = sent(sqs)

    assert outcomes == [
        Submitted("j0", "m0"),
        NotSubmitted(index=1, job_id="j1", code="InvalidMessageContents", detail="no"),
        Submitted("j2", "m2"),
    ]
    assert len(sqs.calls) == 1


def test_a_refusal_that_is_the_queues_fault_is_sent_again_alone() -> None:
    sqs = ScriptedSqs(refuse("1", code="InternalError", sender=False), take_all)

    outcomes = sent(sqs)

    assert all(isinstance(outcome, Submitted) for outcome in outcomes)
    assert sqs.calls == [["0", "1", "2"], ["1"]]


def test_a_job_that_is_refused_each_time_is_not_submitted() -> None:
    sqs = ScriptedSqs(refuse("1", code="InternalError", sender=False))

    outcomes = sent(sqs)

    assert [isinstance(outcome, Submitted) for outcome in outcomes] == [True, False, True]
    assert Counter(i for call in sqs.calls for i in call) == {"0": 1, "1": 4, "2": 1}


def test_a_send_without_an_answer_is_sent_again_under_the_same_id() -> None:
    sqs = ScriptedSqs(fail(ReadTimeoutError(endpoint_url="http://x")), take_all)

    outcomes = sent(sqs)

    assert outcomes == [Submitted(f"j{n}", f"m{n}") for n in range(3)]


def test_what_was_never_answered_is_told_as_maybe_sent() -> None:
    outcomes = sent(ScriptedSqs(fail(ReadTimeoutError(endpoint_url="http://x"))))

    assert [o.maybe_sent for o in outcomes if isinstance(o, NotSubmitted)] == [True] * 3


def test_a_refusal_after_a_lost_answer_leaves_it_open_whether_the_job_runs() -> None:
    sqs = ScriptedSqs(fail(TimeoutError()), refuse("0", code="Denied", sender=True))

    (first, *_) = sent(sqs)

    assert isinstance(first, NotSubmitted)
    assert (first.code, first.maybe_sent) == ("Denied", True)


def test_a_queue_out_of_reach_took_nothing_for_sure() -> None:
    sqs = ScriptedSqs(fail(EndpointConnectionError(endpoint_url="http://x")))

    outcomes = sent(sqs)

    assert [o.maybe_sent for o in outcomes if isinstance(o, NotSubmitted)] == [False] * 3
    assert len(sqs.calls) == 4


def test_without_credentials_nothing_is_tried_twice() -> None:
    sqs = ScriptedSqs(fail(NoCredentialsError()))

    outcomes = sent(sqs)

    assert {o.code for o in outcomes if isinstance(o, NotSubmitted)} == {"NoCredentialsError"}
    assert len(sqs.calls) == 1


def test_a_throttled_call_is_sent_again() -> None:
    sqs = ScriptedSqs(fail(service_error("RequestThrottled", 400)), take_all)

    assert all(isinstance(outcome, Submitted) for outcome in sent(sqs))


def test_a_wrong_queue_is_told_at_once() -> None:
    sqs = ScriptedSqs(fail(service_error("AWS.SimpleQueueService.NonExistentQueue", 400)))

    outcomes = sent(sqs)

    assert {o.code for o in outcomes if isinstance(o, NotSubmitted)} == {"NonExistentQueue"}
    assert len(sqs.calls) == 1


def test_one_message_that_spoils_its_batch_takes_no_other_with_it() -> None:
    def spoilt_by_1(entries: Entries) -> dict[str, Any]:
        if any(e["Id"] == "1" for e in entries):
            raise service_error("InvalidMessageContents", 400)
        return take_all(entries)

    outcomes = sent(ScriptedSqs(spoilt_by_1))

    assert [isinstance(outcome, Submitted) for outcome in outcomes] == [True, False, True]


def test_a_job_that_the_answer_does_not_name_counts_as_unanswered() -> None:
    sqs = ScriptedSqs(lambda entries: take_all(entries[:1]), take_all)

    outcomes = sent(sqs)

    assert all(isinstance(outcome, Submitted) for outcome in outcomes)
    assert sqs.calls == [["0", "1", "2"], ["1", "2"]]
