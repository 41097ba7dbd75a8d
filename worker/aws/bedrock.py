"""Bedrock Runtime behind the port `Model`: one attempt, one HTTP request.

    Converse          for short answers
    ConverseStream    for long ones: a hang shows as a missed first token or a stall
    InvokeModel       for models without Converse

Whatever happens comes back as an `Answer` or a `Fault` within `bound_s`, and leaves
neither a connection nor a stream behind; only a cancellation from outside passes
through. Nothing here retries, logs, or keeps text of a job.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from time import time
from typing import Any, Final

import orjson

from worker.aws.bedrock_answers import answer_of_converse, answer_of_invoke, answer_of_stream
from worker.aws.bedrock_config import bedrock_config
from worker.aws.bedrock_content import Gathering, NotBase64Error, blocks_out, messages_out
from worker.aws.faults import OPERATIONS, fault_of
from worker.core.answer import Answer
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Request
from worker.core.target import STREAM_FROM_TOKENS, Api, Target

__all__ = ["Bedrock", "bedrock_config"]

# Of a stream that has said all, the end itself is a courtesy: it frees the
# connection for another call.
_END_OF_STREAM_S: Final = 1.0
_NOT_METADATA: Final = re.compile(r"[^a-zA-Z0-9\s:_@$#=/+,\-.]")
_METADATA_MAX: Final = 256  # characters
_JSON: Final = "application/json"
_NO_CLIENT: Final = Fault(
    kind=Kind.MISCONFIGURED,
    code="no_client",
    message="No client was made for the Region of this target",
)
_NO_BODY: Final = Fault(
    kind=Kind.REJECTED,
    code="no_body",
    message="This target is called with InvokeModel, and the job has no body in additional",
)


class Bedrock:
    """The port `Model`, over clients made with `bedrock_config`.

    `clients` has one client for each Region, and under "" the one for the SDK's own.
    """

    def __init__(self, clients: Mapping[str, Any]) -> None:
        self._clients = clients
        self._options = {region: _options(client) for region, client in clients.items()}

    async def call(
        self, target: Target, request: Request, *, job: str, attempt: int, bound_s: float
    ) -> Answer | Fault:
        """Make one attempt; see the port.

        A target of `Api.INVOKE` sends the request's `additional`, and nothing else
        of it: the body is the model's own format, and its token limit the job's own.
        """
        client = self._clients.get(target.region)
        if client is None:
            return _NO_CLIENT
        if target.api is Api.INVOKE and request.additional is None:
            return _NO_BODY
        metadata = {
            "job": _NOT_METADATA.sub("_", job)[:_METADATA_MAX],
            "attempt": str(attempt),
        }
        options = self._options[target.region]
        watch = _Watch(bound_s)
        try:
            async with watch.timer:
                if target.api is Api.INVOKE:
                    return await _invoke(client, _invocation(target, request, metadata, options))
                arguments = _conversation(target, request, metadata, options)
                if _streams(target, arguments["inferenceConfig"]["maxTokens"]):
                    return await _stream(client, arguments, target, watch)
                return answer_of_converse(await client.converse(**arguments))
        except NotBase64Error as error:
            says = f"A blob must be base64: {error}"
            return Fault(kind=Kind.REJECTED, code="not_base64", message=says)
        except Exception as error:  # noqa: BLE001 - each of them is a fault, and has a row
            return watch.ending(fault_of(error, at=time(), request=_asked(request)))


class _Watch:
    """The one timer of an attempt, which plays three, and what a stream came to.

    Attributes:
        name: Which of the three is running: `attempt`, `first_token` or `stall`.
        stream: What was gathered so far; None for a unary call.
        request_id: Of a stream that has begun; "" before.
    """

    __slots__ = (
        "_ends",
        "_loop",
        "_started",
        "first_token_ms",
        "name",
        "request_id",
        "stream",
        "timer",
    )

    def __init__(self, bound_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._ends = self._started + bound_s
        self.timer = asyncio.timeout_at(self._ends)
        self.name = "attempt"
        self.stream: Gathering | None = None
        self.request_id = ""
        self.first_token_ms: int | None = None

    def allow(self, name: str, seconds: float) -> None:
        """Wait that long for what comes next, and never beyond the attempt's own end."""
        at = self._loop.time() + seconds
        self.name = name if at < self._ends else "attempt"
        self.timer.reschedule(min(at, self._ends))

    def see_first(self) -> None:
        """The first event of the stream is here."""
        self.first_token_ms = round((self._loop.time() - self._started) * 1000)

    def ending(self, fault: Fault) -> Answer | Fault:
        """What an attempt comes to that was ended by an exception, which means `fault`."""
        if self.stream is not None and self.stream.whole:
            return answer_of_stream(self.stream, self.request_id, self.first_token_ms)
        if self.timer.expired():
            code, name = f"{self.name}_timeout", self.name
            fault = Fault(kind=Kind.TIMED_OUT, code=code, timer=name, billed=Billed.MAYBE)
        if not self.request_id:
            return fault
        # It broke inside a stream: the service was at work.
        billed = Billed.MAYBE if fault.billed is Billed.NO else fault.billed
        return replace(fault, http=HTTPStatus.OK, request_id=self.request_id, billed=billed)


async def _stream(
    client: Any, arguments: Mapping[str, Any], target: Target, watch: _Watch
) -> Answer | Fault:
    watch.allow("first_token", target.first_token_s)
    response = await client.converse_stream(**arguments)
    watch.request_id = response["ResponseMetadata"].get("RequestId", "")
    gathering = watch.stream = Gathering()
    stream = response["stream"]
    try:
        async for event in stream:
            if watch.first_token_ms is None:
                watch.see_first()
            gathering.take(event)
            watch.allow("stall", _END_OF_STREAM_S if gathering.whole else target.stall_s)
    finally:
        stream.close()  # one that is left open keeps its connection for ever
    return answer_of_stream(gathering, watch.request_id, watch.first_token_ms)


async def _invoke(client: Any, arguments: Mapping[str, Any]) -> Answer | Fault:
    response = await client.invoke_model(**arguments)
    body = response["body"]
    try:
        raw = await body.read()
    finally:
        body.close()
    return answer_of_invoke(response, raw)


def _conversation(
    target: Target, request: Request, metadata: Mapping[str, str], options: frozenset[str]
) -> dict[str, Any]:
    """The arguments of Converse and ConverseStream."""
    asked = request.inference.get("maxTokens", target.max_tokens)
    most = min(asked, target.max_tokens) if isinstance(asked, int) else asked
    arguments: dict[str, Any] = {
        "modelId": target.model,
        "messages": messages_out(request.messages),
        "inferenceConfig": {**request.inference, "maxTokens": most},
        "requestMetadata": metadata,
    }
    if request.system:
        arguments["system"] = blocks_out(request.system)
    if request.tools is not None:
        arguments["toolConfig"] = request.tools
    if request.additional is not None:
        arguments["additionalModelRequestFields"] = request.additional
    if target.tier and "Converse.serviceTier" in options:
        arguments["serviceTier"] = {"type": target.tier}
    return arguments


def _asked(request: Request) -> tuple[object, ...]:
    """Everything of a request that a service might give back."""
    return (request.messages, request.system, request.tools, request.additional, request.inference)


def _invocation(
    target: Target, request: Request, metadata: Mapping[str, str], options: frozenset[str]
) -> dict[str, Any]:
    """The arguments of InvokeModel, where metadata and tier travel as headers."""
    arguments: dict[str, Any] = {
        "modelId": target.model,
        "body": orjson.dumps(request.additional),
        "contentType": _JSON,
        "accept": _JSON,
    }
    if "InvokeModel.requestMetadata" in options:
        arguments["requestMetadata"] = orjson.dumps(metadata).decode()
    if target.tier and "InvokeModel.serviceTier" in options:
        arguments["serviceTier"] = target.tier
    return arguments


def _streams(target: Target, max_tokens: object) -> bool:
    if target.api is Api.AUTO:
        return isinstance(max_tokens, int) and max_tokens >= STREAM_FROM_TOKENS
    return target.api is Api.CONVERSE_STREAM


def _options(client: Any) -> frozenset[str]:
    """The arguments that this SDK knows, as `Operation.argument`: an older one lacks some."""
    model = client.meta.service_model
    return frozenset(
        f"{operation}.{argument}"
        for operation in OPERATIONS
        for argument in model.operation_model(operation).input_shape.members
    )
