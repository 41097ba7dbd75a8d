"""Sending an answer well, and every way of sending it badly.

Here an outcome becomes bytes, silence or a broken connection. Functions that
break the connection do not return: the server cancels the request's task as soon
as the connection is gone, exactly as it does when the client leaves.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, NoReturn

import orjson
from aiohttp import web

from worker.local import eventstream
from worker.local.errors import ERRORS, error_body
from worker.local.outcomes import (
    Answer,
    Close,
    Drip,
    EndEarly,
    Fail,
    Hang,
    Page,
    Reset,
    StreamFault,
)

Delivery = Answer | Hang | Reset | Close | EndEarly | StreamFault | Drip
"""Outcomes that begin to answer; `Fail` and `Page` answer with something else."""

# Lets a client read what was sent before the connection breaks: a reset may
# overtake it.
_FLUSH_S: Final = 0.02
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Pace:
    """When the frames of a stream are due: the first, and the gap to each next, in seconds."""

    first_s: float = 0.0
    gap_s: float = 0.0


async def silence() -> NoReturn:
    """Wait until the client leaves, which cancels this."""
    while True:
        await asyncio.Event().wait()


async def reset(request: web.BaseRequest) -> NoReturn:
    """Break the connection with an RST."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        request.transport.abort()
    await silence()


async def close(request: web.BaseRequest) -> NoReturn:
    """Close the connection without an answer, or in the middle of one."""
    if request.transport is not None:
        request.transport.close()
    await silence()


def refusal(failure: Fail) -> web.Response:
    """The error answer of a Bedrock Runtime operation."""
    known = ERRORS.get(failure.error)
    status = failure.status or (known.status if known else 500)
    message = failure.message or (known.message if known else failure.error)
    headers = {"Content-Type": "application/json"}
    if failure.error != "overloaded_error":
        headers["x-amzn-ErrorType"] = failure.error
    if failure.retry_after_ms is not None:
        headers["x-amz-retry-after"] = str(failure.retry_after_ms)
    body = error_body(failure.error, message, failure.original_status)
    return web.Response(status=status, headers=headers, body=body)


def page(outcome: Page) -> web.Response:
    """The answer of something that is not the service."""
    return web.Response(status=outcome.status, text=outcome.body, content_type="text/html")


async def send_whole(
    request: web.BaseRequest, outcome: Delivery, headers: Mapping[str, str], body: bytes
) -> web.StreamResponse:
    """Answer a unary call with `body`, as well as `outcome` lets it."""
    headers = {"Content-Type": "application/json", **headers}
    match outcome:
        case Answer() | StreamFault():  # a unary call's StreamFault was a Fail before
            return web.Response(headers=headers, body=body)
        case EndEarly():
            return web.Response(headers=headers, body=body[: len(body) // 2])
        case Drip():
            return await _drip(await _begun(request, headers, len(body)), outcome, body)
        case Hang() | Reset() | Close():
            response = await _begun(request, headers, len(body))
            await response.write(body[: len(body) // 2])
            return await _break(request, outcome)


async def send_stream(
    request: web.BaseRequest,
    outcome: Delivery,
    headers: Mapping[str, str],
    frames: Iterator[bytes],
    pace: Pace,
) -> web.StreamResponse:
    """Answer a streaming call with `frames` at `pace`, as far as `outcome` lets it."""
    headers = {"Content-Type": eventstream.CONTENT_TYPE, **headers}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    match outcome:
        case Answer():
            await _write_paced(response, frames, pace)
        case Drip():
            return await _drip(response, outcome, b"".join(frames))
        case EndEarly(after_events=sent):
            await _write_paced(response, islice(frames, sent), pace)
        case StreamFault(after_events=sent):
            await _write_paced(response, islice(frames, sent), pace)
            await response.write(_exception_frame(outcome))
        case Hang(after_events=sent) | Reset(after_events=sent) | Close(after_events=sent):
            await _write_paced(response, islice(frames, sent or 0), pace)
            if isinstance(outcome, Close):
                following = next(frames, b"")
                await response.write(following[: len(following) // 2])
            await _break(request, outcome)
    await response.write_eof()
    return response


async def _begun(
    request: web.BaseRequest, headers: Mapping[str, str], body_bytes: int
) -> web.StreamResponse:
    response = web.StreamResponse(headers={**headers, "Content-Length": str(body_bytes)})
    await response.prepare(request)
    return response


async def _write_paced(response: web.StreamResponse, frames: Iterator[bytes], pace: Pace) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + pace.first_s
    if not pace.gap_s:
        await asyncio.sleep(pace.first_s)
        if burst := b"".join(frames):
            await response.write(burst)
        return
    for frame in frames:
        await asyncio.sleep(due - loop.time())
        await response.write(frame)
        due += pace.gap_s


async def _drip(response: web.StreamResponse, drip: Drip, body: bytes) -> web.StreamResponse:
    for at in range(0, len(body), drip.chunk_bytes):
        await response.write(body[at : at + drip.chunk_bytes])
        await asyncio.sleep(drip.gap_s)
    await response.write_eof()
    return response


async def _break(request: web.BaseRequest, outcome: Hang | Reset | Close) -> NoReturn:
    match outcome:
        case Hang():
            await silence()
        case Reset():
            await asyncio.sleep(_FLUSH_S)
            await reset(request)
        case Close():
            await close(request)


def _exception_frame(fault: StreamFault) -> bytes:
    code = fault.exception[:1].upper() + fault.exception[1:]
    known = ERRORS.get(code)
    message = fault.message or (known.message if known else "Try your request again.")
    payload: dict[str, str | int] = {"message": message}
    if fault.original_status is not None:
        payload |= {"originalStatusCode": fault.original_status, "originalMessage": message}
    return eventstream.exception(fault.exception, orjson.dumps(payload))
