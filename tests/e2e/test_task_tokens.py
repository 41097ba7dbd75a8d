"""A real state machine asks through the queue: the page's own, and workers that die on it."""

import json
import re
from pathlib import Path
from typing import Any

from tests.e2e.stage import Stage, until
from worker.core.ledger import State
from worker.local.faults import Delay, Refuse, Rule

PAGE = Path(__file__).parents[2] / "docs" / "task-tokens.md"
TOKENS = {"task_tokens": "true", "queue__lease_s": 4, "queue__clock_skew_s": 0.5}


class Machine:
    """The state machine of the page, on our queue."""

    def __init__(self, stage: Stage, **fields: Any) -> None:
        (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        definition = json.loads(text)
        parameters = definition["States"]["Ask"]["Parameters"]
        parameters["QueueUrl"] = stage.jobs_url
        parameters["MessageBody"] |= fields
        self._client = stage.client("stepfunctions")
        made = self._client.create_state_machine(
            name="asks",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::111122223333:role/machine",
        )
        self._arn = made["stateMachineArn"]

    def start(self, name: str) -> str:
        """Start an execution of this name, and return its ARN."""
        given = json.dumps({"prompt": "Why?"})
        started = self._client.start_execution(stateMachineArn=self._arn, name=name, input=given)
        arn: str = started["executionArn"]
        return arn

    def ended(self, execution: str) -> dict[str, Any]:
        """What became of an execution, once it is over."""

        def told() -> dict[str, Any] | None:
            told: dict[str, Any] = self._client.describe_execution(executionArn=execution)
            return None if told["status"] == "RUNNING" else told

        told_it = until(told, says="the execution is over")
        assert told_it is not None, "until returns what is true"
        return told_it


def token_in(stage: Stage) -> str:
    """The token of the message that waits, which may be received at once."""
    answer = stage.sqs.receive_message(QueueUrl=stage.jobs_url, VisibilityTimeout=0)
    tokens = [json.loads(message["Body"])["task_token"] for message in answer.get("Messages", ())]
    return tokens[0] if tokens else ""


def test_the_machine_of_the_page_gets_its_answer_and_no_line_has_its_token(stage: Stage) -> None:
    machine = Machine(stage)
    execution = machine.start("first")
    token = until(lambda: token_in(stage), says="the message is there")

    worker = stage.worker("worker", **TOKENS, log_level="debug")
    told = machine.ended(execution)

    assert told["status"] == "SUCCEEDED"
    answer = json.loads(told["output"])["answer"]
    assert (answer["job_id"], answer["status"]) == ("first:ask", "ok")
    assert answer["output"]["message"]["content"][0]["text"]
    until(stage.settled, says="the message is deleted")
    assert stage.states() == {State.ANSWERED: 1}
    (line,) = worker.lines("task.answered")
    assert (line["job"], line["succeeded"], line["waited"]) == ("first:ask", True, True)
    assert worker.stop() == 0
    assert '"TasksAnswered"' in worker.log()
    assert token not in worker.log()
    assert token not in repr(stage.records())


def test_a_machine_whose_job_is_late_goes_the_way_that_the_page_shows(stage: Stage) -> None:
    stage.worker("worker", **TOKENS)
    machine = Machine(stage, deadline_s=0.001)

    told = machine.ended(machine.start("late"))

    assert (told["status"], told["error"]) == ("FAILED", "Late")
    until(lambda: stage.depth(stage.dead_url).total == 1, says="its dead letter is there")


def test_a_worker_that_is_killed_between_record_and_token_leaves_the_token_to_the_next(
    stage: Stage,
) -> None:
    stage.faults(Rule("states:SendTaskSuccess", Delay(600.0)))
    victim = stage.worker("victim", **TOKENS)
    machine = Machine(stage)
    execution = machine.start("killed")
    until(lambda: stage.states() == {State.ANSWERED: 1}, says="the record is final")

    victim.kill()
    assert victim.lines("task.answered") == []
    stage.faults()
    heir = stage.worker("heir", **TOKENS)
    told = machine.ended(execution)

    assert told["status"] == "SUCCEEDED"
    assert json.loads(told["output"])["answer"]["status"] == "ok"
    until(stage.settled, says="the message is deleted")
    assert stage.calls_by_job() == {"killed:ask": 1}, "the answer is told, not made again"
    assert [line["waited"] for line in heir.lines("task.answered")] == [True]


def test_while_step_functions_refuses_the_record_stands_and_other_jobs_are_answered(
    stage: Stage,
) -> None:
    stage.faults(Rule("states:SendTaskSuccess", Refuse("ThrottlingException", 400, "No.")))
    worker = stage.worker("worker", **TOKENS, slots=1)
    machine = Machine(stage)
    execution = machine.start("throttled")
    worker.wait_for("store.failed")

    stage.send([{"id": f"plain-{n}", "prompt": "Why?"} for n in range(5)])
    until(lambda: stage.states() == {State.ANSWERED: 6}, says="the others are answered")
    stage.faults()

    assert machine.ended(execution)["status"] == "SUCCEEDED"
