"""What everybody who answers tasks of state machines promises."""

import asyncio
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.stage import STAGES, Machine, on_callbacks
from worker.aws.tasks import OVERDUE_S, StepFunctionsTasks
from worker.core.callback import OUTPUT_BYTES_MAX, Failed, Succeeded
from worker.ports import Callbacks, TaskRefused, Unavailable
from worker.sim.clock import in_virtual_time

SECRET = "words of the job"  # as a service may give them back
TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAf"
stages = pytest.mark.parametrize("stage", STAGES)


@stages
def test_a_task_ends_with_its_output(stage: str) -> None:
    async def main(callbacks: Callbacks, machine: Machine) -> None:
        output = {"text": "ä" * (OUTPUT_BYTES_MAX // 2 - 50)}
        token = await machine.begin()

        waited = await callbacks.succeed(token, json.dumps(output, ensure_ascii=False))

        assert waited
        told = await machine.end(token)
        assert isinstance(told, Succeeded)
        assert json.loads(told.output) == output

    on_callbacks(stage, main)


@stages
def test_a_task_fails_with_its_error_and_its_cause(stage: str) -> None:
    async def main(callbacks: Callbacks, machine: Machine) -> None:
        token = await machine.begin()

        waited = await callbacks.fail(token, "InferenceWorker.expired", '{"job_id": "a"}')

        assert waited
        told = await machine.end(token)
        assert told == Failed("InferenceWorker.expired", '{"job_id": "a"}')

    on_callbacks(stage, main)


@stages
def test_the_first_answer_counts_and_the_second_finds_nobody(stage: str) -> None:
    async def main(callbacks: Callbacks, machine: Machine) -> None:
        token = await machine.begin()
        await callbacks.succeed(token, '{"n": 1}')
        told = await machine.end(token)

        waited = [await callbacks.succeed(token, '{"n": 2}'), await callbacks.fail(token, "E", "")]

        assert waited == [False, False]
        assert await machine.end(token) == told

    on_callbacks(stage, main)


@stages
def test_nobody_waits_by_a_token_that_is_none(stage: str) -> None:
    async def main(callbacks: Callbacks, _: Machine) -> None:
        assert not await callbacks.succeed("no-token", "{}")
        assert not await callbacks.fail("no-token", "E", "")

    on_callbacks(stage, main)


# --- what only the adapter meets -----------------------------------------------------


class Refuses:
    """A client that is refused with one code, in words that may hold anything."""

    def __init__(self, code: str) -> None:
        self._code = code

    async def _refuse(self, **_: Any) -> Any:
        told = {"Error": {"Code": self._code, "Message": f"{TOKEN}: {SECRET}"}}
        raise ClientError(told, "SendTaskSuccess")

    send_task_success = send_task_failure = _refuse


async def asked(client: Any) -> list[bool | Unavailable]:
    tasks = StepFunctionsTasks(client)
    asks = (tasks.succeed(TOKEN, "{}"), tasks.fail(TOKEN, "E", "{}"))
    told: list[bool | Unavailable] = []
    for ask in asks:
        try:
            told.append(await ask)
        except Unavailable as error:
            told.append(error)
    return told


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_step_functions_says_in_three_ways_that_nobody_waits(code: str) -> None:
    assert asyncio.run(asked(Refuses(code))) == [False, False]


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("KmsAccessDeniedException", True),
        ("KmsInvalidStateException", True),
        ("InvalidOutput", True),
        ("ValidationException", True),
        ("KmsThrottlingException", False),
        ("ThrottlingException", False),
        ("AccessDeniedException", False),
    ],
)
def test_what_concerns_one_task_alone_is_told_apart(code: str, *, refused: bool) -> None:
    for told in asyncio.run(asked(Refuses(code))):
        assert isinstance(told, Unavailable)
        assert isinstance(told, TaskRefused) is refused
        assert (told.store, told.why) == ("tasks", code)
        assert SECRET not in str(told)
        assert TOKEN not in str(told)
        assert told.__cause__ is None


class Hangs:
    """A client whose requests never come back."""

    async def send_task_success(self, **_: Any) -> Any:
        await asyncio.Event().wait()


def test_a_call_that_hangs_is_over_in_time() -> None:
    async def main() -> float:
        with pytest.raises(Unavailable, match="tasks: TimeoutError"):
            await StepFunctionsTasks(Hangs()).succeed(TOKEN, "{}")
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == OVERDUE_S
