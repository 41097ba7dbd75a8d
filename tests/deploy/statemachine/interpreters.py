"""Two interpreters of the states language, run in this process: ministack's and moto's.

What a machine asks of the world goes through a `Door`: calls of services, waits, and the time.
So a test decides what a model answers and how long a wait lasts, and both interpreters can
work on one table. What they do with states, paths and functions is their own.
"""

import copy
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, cast
from unittest.mock import patch

from worker.local import emulator

Item = dict[str, Any]
LOST = "DynamoDB.ConditionalCheckFailedException"


class Failed(Exception):
    """A service's error, by the name that a state catches it by."""

    def __init__(self, error: str, cause: str = "", told: Item | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.cause = cause
        self.told = told or {}


class Door(Protocol):
    """The world as one execution sees it."""

    def ask(self, resource: str, params: Any) -> Any:
        """Call a service; `resource` without its prefix. Raises `Failed`."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def entered(self) -> str:
        """When a state is entered, as ISO 8601."""
        ...


# --- one table, of ministack's -------------------------------------------------------


class Table:
    """One table of keys `pk` and `sk`, asked by parameters as a state has them.

    Attributes:
        watch: Called at every write that stands, with what was there and what is there now.
    """

    def __init__(self, name: str) -> None:
        emulator.load()
        from ministack.services import dynamodb  # noqa: PLC0415 - loading it has side effects

        self.name = name
        self._dynamodb = dynamodb
        self.watch: Callable[[Item, Item], None] = lambda _old, _new: None
        keys = [{"AttributeName": k, "KeyType": t} for k, t in (("pk", "HASH"), ("sk", "RANGE"))]
        kinds = [{"AttributeName": k, "AttributeType": "S"} for k in ("pk", "sk")]
        self._answer(
            dynamodb._create_table(
                {
                    "TableName": name,
                    "KeySchema": keys,
                    "AttributeDefinitions": kinds,
                    "BillingMode": "PAY_PER_REQUEST",
                }
            )
        )

    def drop(self) -> None:
        """No longer."""
        self._dynamodb._delete_table({"TableName": self.name})

    def __call__(self, operation: str, params: Item) -> Item:
        """One operation, by its name as a state has it. Raises `Failed`."""
        done = {
            "getItem": self._dynamodb._get_item,
            "putItem": self._dynamodb._put_item,
            "updateItem": self._dynamodb._update_item,
            "query": self._dynamodb._query,
        }[operation]
        if operation not in ("putItem", "updateItem"):
            return self._answer(done(copy.deepcopy(params)))
        key = params.get("Key") or {k: params["Item"][k] for k in ("pk", "sk")}
        before = self.item(key["pk"]["S"], key["sk"]["S"])
        answer = self._answer(done(copy.deepcopy(params)))
        self.watch(before, self.item(key["pk"]["S"], key["sk"]["S"]))
        return answer

    def item(self, pk: str, sk: str) -> Item:
        """One item; empty if there is none."""
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        found = self._answer(self._dynamodb._get_item({"TableName": self.name, "Key": key}))
        return cast("Item", copy.deepcopy(found.get("Item") or {}))

    def put(self, item: Item) -> None:
        """Write one item, whatever is there."""
        self("putItem", {"TableName": self.name, "Item": item})

    def _answer(self, answer: tuple[int, Any, Any]) -> Item:
        status, _, body = answer
        told: Item = json.loads(body) if body else {}
        if status >= 400:
            code = str(told.get("__type", "")).rsplit("#", 1)[-1]
            raise Failed(f"DynamoDB.{code}", str(told), told)
        return told


# --- ministack -----------------------------------------------------------------------

# A branch has a thread of its own, in a copy of the context.
_here: ContextVar[Door] = ContextVar("door")


@cache
def _ministack() -> Any:
    emulator.load()
    from ministack.services import stepfunctions  # noqa: PLC0415

    return stepfunctions


class _Patches:
    """What is put into ministack's interpreter while anybody runs it, in whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: dict[str, Any] = {}

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        sfn = _ministack()
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = {name: getattr(sfn, name) for name in _PATCHED}
                for name, one in _PATCHED.items():
                    setattr(sfn, name, one)
        try:
            yield sfn
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    for name, one in self._before.items():
                        setattr(sfn, name, one)


def _asked(resource: str, params: Any) -> Any:
    try:
        return _here.get().ask(resource.removeprefix("arn:aws:states:::"), params)
    except Failed as failed:
        raise _ministack()._ExecutionError(failed.error, failed.cause) from None


_PATCHED: dict[str, Callable[..., Any]] = {
    "_invoke_resource": _asked,
    "_invoke_resource_with_timeout": lambda resource, params, _: _asked(resource, params),
    "_invoke_with_callback": lambda resource, params, _token, _: _asked(resource, params),
    "_scaled_sleep": lambda seconds: _here.get().wait(seconds),
    "now_iso": lambda: _here.get().entered(),
    "_add_event": lambda *_: None,
}
_patches = _Patches()


@dataclass(frozen=True, slots=True)
class Ended:
    """How an execution ended."""

    output: Any = None
    error: str = ""
    cause: str = ""


def on_ministack(
    definition: Mapping[str, Any], given: Any, door: Door, *, start: str = "", name: str = "x"
) -> Ended:
    """Run it to its end, or from `start` on."""
    outer = _here.set(door)
    with _patches() as sfn:
        context = {
            "QueryLanguage": "JSONPath",
            "Execution": {"Id": f"arn:{name}", "Input": given, "Name": name},
            "StateMachine": {"Id": "arn:machine", "Name": "machine"},
            "variables": {},
        }
        try:
            output = sfn._run_sub_machine(
                definition["States"], start or definition["StartAt"], given, {}, context
            )
        except sfn._ExecutionError as error:
            return Ended(error=error.error, cause=error.cause)
        finally:
            _here.reset(outer)
    return Ended(output)


# --- moto ----------------------------------------------------------------------------


@cache
def _program(text: str) -> Any:
    from moto.stepfunctions.parser.asl.parse.asl_parser import (  # noqa: PLC0415
        AmazonStateLanguageParser,
    )

    return AmazonStateLanguageParser.parse(text)[0]


@cache
def _path(text: str) -> Any:
    from jsonpath_ng.ext import parse  # noqa: PLC0415

    return parse(text)


@dataclass
class _Client:
    """A service's client as moto's interpreter calls it."""

    service: str
    door: Door
    tell: Callable[[str, Any], None]  # the task of a token, what came of it
    names: Mapping[str, str] = field(
        default_factory=lambda: {
            "get_item": "dynamodb:getItem",
            "put_item": "dynamodb:putItem",
            "update_item": "dynamodb:updateItem",
            "query": "aws-sdk:dynamodb:query",
            "converse": "aws-sdk:bedrockruntime:converse",
            "start_execution": "states:startExecution",
            "send_message": "sqs:sendMessage.waitForTaskToken",
        }
    )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda **params: self._call(self.names[name], params)

    def _call(self, resource: str, params: Any) -> Any:
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            answer = self.door.ask(resource, params)
        except Failed as failed:
            if resource.startswith("sqs"):
                self.tell(json.loads(params["MessageBody"])["task_token"], failed)
                return {}
            code = failed.error.partition(".")[2] or failed.error
            told = {
                "Error": {"Code": code, "Message": failed.cause},
                "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "r"},
            }
            error = type(code, (ClientError,), {})
            raise error(cast("Any", told), resource) from None
        if resource.startswith("sqs"):
            self.tell(json.loads(params["MessageBody"])["task_token"], answer)
            return {}
        return copy.deepcopy(answer)


@dataclass
class _Moment:
    """In the place of `datetime` in moto's module of states."""

    door: Door
    timezone = dt.timezone

    @property
    def datetime(self) -> "_Moment":
        return self

    def now(self, tz: Any = None) -> "_Moment":
        del tz
        return self

    def isoformat(self) -> str:
        return self.door.entered()


def _untold(*_: Any, **__: Any) -> None:
    """A history that nobody reads costs more than the states."""


class _Clock:
    """In the place of `time` in moto's module of retries: a pause is a wait like any other."""

    def __init__(self, door: Door) -> None:
        self.sleep = door.wait


_SERVICES = ("aws_sdk", "dynamodb", "sfn", "sqs")


def on_moto(
    definition: Mapping[str, Any], given: Any, door: Door, *, start: str = "", name: str = "x"
) -> Ended:
    """Run it to its end, or from `start` on."""
    from moto.stepfunctions.parser.asl.component.common.retry import (  # noqa: PLC0415
        retrier_decl,
    )
    from moto.stepfunctions.parser.asl.component.state import state  # noqa: PLC0415
    from moto.stepfunctions.parser.asl.component.state.wait.wait_function import (  # noqa: PLC0415
        wait_function,
    )
    from moto.stepfunctions.parser.asl.eval.callback import callback  # noqa: PLC0415
    from moto.stepfunctions.parser.asl.eval.evaluation_details import (  # noqa: PLC0415
        AWSExecutionDetails,
        EvaluationDetails,
        ExecutionDetails,
        StateMachineDetails,
    )
    from moto.stepfunctions.parser.asl.eval.event import event_manager  # noqa: PLC0415
    from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded  # noqa: PLC0415
    from moto.stepfunctions.parser.asl.utils import json_path  # noqa: PLC0415
    from moto.stepfunctions.parser.backend import execution_worker  # noqa: PLC0415

    text = json.dumps(definition)
    whole = json.dumps({**definition, "StartAt": start}) if start else text
    base = "moto.stepfunctions.parser.asl.component.state.exec.state_task.service."

    class Nobody:
        def terminated(self) -> None:
            """Nobody waits for it."""

    worker = execution_worker.ExecutionWorker(
        evaluation_details=EvaluationDetails(
            aws_execution_details=AWSExecutionDetails("1" * 12, "us-east-1", "arn:role"),
            execution_details=ExecutionDetails(f"arn:{name}", name, "arn:role", given, "now"),
            state_machine_details=StateMachineDetails("arn:machine", "machine", "STANDARD", text),
        ),
        exec_comm=Nobody(),
        cloud_watch_logging_session=None,
        activity_store={},
    )
    worker._get_evaluation_entrypoint = lambda: _program(whole)

    def client(service: str, **_: Any) -> _Client:
        return _Client(service, door, tell)

    def tell(token: str, answer: Any) -> None:
        outcome: Any = callback.CallbackOutcomeSuccess(token, json.dumps(answer))
        if isinstance(answer, Failed):
            outcome = callback.CallbackOutcomeFailure(token, answer.error, answer.cause)
        worker.env.callback_pool_manager.notify(callback_id=token, outcome=outcome)

    def waits(_self: Any, env: Any, wait_seconds: int) -> None:
        del env
        door.wait(wait_seconds)

    with ExitStack() as stack:
        for service in _SERVICES:
            module = f"{base}state_task_service_{service}.boto_client_for"
            stack.enter_context(patch(module, client))
        # It parses a path each time that it follows it.
        stack.enter_context(patch.object(json_path, "parse", _path))
        stack.enter_context(patch.object(event_manager.EventManager, "add_event", _untold))
        stack.enter_context(patch.object(retrier_decl, "time", _Clock(door)))
        stack.enter_context(patch.object(state, "datetime", _Moment(door)))
        stack.enter_context(patch.object(wait_function.WaitFunction, "_wait_interval", waits))
        worker._execution_logic()
    ended = worker.env.program_state()
    if isinstance(ended, ProgramEnded):
        return Ended(copy.deepcopy(worker.env.states.get_input()))
    failure = ended.error
    return Ended(error=failure.get("error") or "", cause=failure.get("cause") or "")
