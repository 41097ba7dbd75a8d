"""One request to the Bedrock stand-in: reading it, and refusing what the service would."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import orjson
from aiohttp import web

from worker.local.dialogue import Ask, ask_of, complaint
from worker.local.outcomes import Fail
from worker.local.signature import scope_of
from worker.local.stats import Target

PREFIX: Final = "/model/"
OPERATIONS: Final = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
}
JOB_HEADER: Final = "x-inference-worker-job"
"""Names the job of a call that can have no `requestMetadata`."""

_INVALID: Final = "ValidationException"
_UNREADABLE: Final = "SerializationException"
_UNKNOWN: Final = "UnknownOperationException"
_UNKNOWN_OPERATION: Final = "unknown"
_INVOKE_BODY_MAX_BYTES: Final = 25_000_000


class RefusedError(Exception):
    """The service would not take this request; `failure` is what it would say."""

    def __init__(self, error: str, message: str | None = None) -> None:
        super().__init__(error)
        self.failure = Fail(error, message)


@dataclass(slots=True)
class Call:
    """One request, as far as it could be read, and how it ended.

    `body` is None when it is no JSON object. `started` is loop time in seconds.
    """

    request: web.BaseRequest
    target: Target
    body: dict[str, Any] | None
    body_bytes: int
    job: str | None
    started: float
    ending: str = "client_gone"  # until it is known better

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.target.operation in {"ConverseStream", "InvokeModelWithResponseStream"}

    @property
    def converses(self) -> bool:
        """Whether it is one of the Converse operations, not InvokeModel."""
        return self.target.operation in {"Converse", "ConverseStream"}

    def latency_ms(self) -> int:
        """Milliseconds spent on it so far."""
        return round((asyncio.get_running_loop().time() - self.started) * 1000)


async def read(request: web.BaseRequest) -> Call:
    """Read a request whose path begins with `PREFIX`; nothing is refused yet."""
    started = asyncio.get_running_loop().time()
    model, _, operation = request.raw_path.removeprefix(PREFIX).partition("?")[0].rpartition("/")
    region, _ = scope_of(request)
    raw = await request.read()
    body = _parsed(raw)
    metadata = (body or {}).get("requestMetadata")
    job = metadata.get("job") if isinstance(metadata, dict) else request.headers.get(JOB_HEADER)
    return Call(
        request=request,
        target=Target(unquote(model), region, OPERATIONS.get(operation, _UNKNOWN_OPERATION)),
        body=body,
        body_bytes=len(raw),
        job=job,
        started=started,
    )


def check(call: Call, known_models: Collection[str] | None) -> Ask:
    """The question that the call asks.

    Raises:
        RefusedError: The service would refuse it.
    """
    if call.target.operation == _UNKNOWN_OPERATION or call.request.method != "POST":
        raise RefusedError(_UNKNOWN)
    if call.body is None:
        raise RefusedError(_UNREADABLE, "The request body is not a JSON object.")
    if known_models is not None and call.target.model not in known_models:
        raise RefusedError(_INVALID, "The provided model identifier is invalid.")
    if call.converses:
        try:
            wrong = complaint(call.body)
        except (AttributeError, KeyError, TypeError):
            wrong = "The format of the messages is not the one that the API defines."
    elif call.body_bytes > _INVOKE_BODY_MAX_BYTES:
        wrong = f"The body must not be longer than {_INVOKE_BODY_MAX_BYTES} bytes."
    else:
        wrong = None
    if wrong is not None:
        raise RefusedError(_INVALID, wrong)
    return ask_of(call.body)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
