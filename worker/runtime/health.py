"""The worker's own port: `GET /livez` and `GET /readyz`, and nothing else.

    200   yes
    503   no; the body says why

It answers from the worker's own loop, so a loop that stands still gives no answer: the
one who asks has a timer, and that is the finding. It reads a request's head and never a
body, changes nothing, and knows nothing of jobs. A connection has one answer, 2 s and
4 KiB; of more than 16 at a time the oldest, which had their chance, are closed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Final

import orjson

from worker.runtime.pulse import Health

HEAD_BYTES: Final = 4096
PATIENCE_S: Final = 2.0
CONNECTIONS_MAX: Final = 16
_END: Final = b"\r\n\r\n"
_METHODS: Final = frozenset({b"GET", b"HEAD"})
_REQUEST_LINE_PARTS: Final = 3


class PortUnusableError(Exception):
    """The port cannot be bound; the message says why."""


@asynccontextmanager
async def health_port(host: str, port: int, ask: Callable[[], Health]) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port, which for 0 is any that is free.

    Raises:
        PortUnusableError: It cannot be bound.
    """
    door = _Door(ask)
    try:
        server = await asyncio.start_server(door.serve, host, port, limit=HEAD_BYTES)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        msg = f"{host}:{port} cannot be bound: {why}"
        raise PortUnusableError(msg) from None
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await door.close()


class _Door:
    """The connections that are open."""

    def __init__(self, ask: Callable[[], Health]) -> None:
        self._ask = ask
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}  # the oldest first

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        if len(self._open) >= CONNECTIONS_MAX:
            self._open.pop(next(iter(self._open))).transport.abort()
        self._open[task] = writer
        try:
            async with asyncio.timeout(PATIENCE_S):
                writer.write(answer(await _head(reader), self._ask()))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return  # who asks is slow or gone: nobody is left to be told
        finally:
            self._open.pop(task, None)  # unless it made room already
            writer.transport.abort()

    async def close(self) -> None:
        left = list(self._open)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """A request's head; None if it is too large."""
    try:
        return await reader.readuntil(_END)
    except asyncio.LimitOverrunError:
        return None


def answer(head: bytes | None, health: Health) -> bytes:
    """The whole answer to a request's head, None for one that was too large.

    >>> answer(b"GET /livez HTTP/1.1", Health(live=True, ready=True)).splitlines()[0]
    b'HTTP/1.1 200 OK'
    """
    if head is None:
        return _reply(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    parts = head.partition(b"\r\n")[0].split(b" ")
    if len(parts) != _REQUEST_LINE_PARTS or not parts[2].startswith(b"HTTP/1."):
        return _reply(HTTPStatus.BAD_REQUEST)
    method, path = parts[0], parts[1].partition(b"?")[0]
    if path not in (b"/livez", b"/readyz"):
        return _reply(HTTPStatus.NOT_FOUND)
    if method not in _METHODS:
        return _reply(HTTPStatus.METHOD_NOT_ALLOWED)
    good = health.live if path == b"/livez" else health.ready
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return _reply(status, orjson.dumps(asdict(health)) + b"\n", bodiless=method == b"HEAD")


def _reply(status: HTTPStatus, body: bytes = b"", *, bodiless: bool = False) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    head = "\r\n".join(lines).encode() + _END
    return head if bodiless else head + body
