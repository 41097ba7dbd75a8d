"""A bridge from one aiohttp request to an ASGI app in the same process.

The app runs in the request's own task, so a client that goes away cancels it:
a long poll that nobody waits for any more takes no message. The answer is
gathered before it is sent, because everything behind this bridge answers in one
piece; that also lets a caller throw an answer away after it took effect.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

from worker.local.emulator import AsgiApp, Message

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_CORS: Final = b"access-control-"


async def forward(
    app: AsgiApp,
    request: web.BaseRequest,
    body: bytes,
    headers: Iterable[tuple[bytes, bytes]] | None = None,
) -> web.Response:
    """Put `request` to the app and return its whole answer, not yet sent.

    Args:
        app: An ASGI 3 app.
        request: Gives method, path, query and headers.
        body: The request's body, already read.
        headers: Used in place of the request's own, if given.
    """
    target, _, query = request.raw_path.partition("?")
    scope: Message = {
        "type": "http",
        "asgi": _ASGI,
        "http_version": "1.1",
        "scheme": "http",
        "method": request.method,
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": request.raw_headers if headers is None else headers,
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
    unread: list[bytes] = [body]
    status = 500
    answer_headers: CIMultiDict[str] = CIMultiDict()
    chunks: list[bytes] = []

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        # A disconnect arrives as a cancellation of this task, never as a message.
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            for name, value in message["headers"]:
                # No browser is here to read them, and every client would parse them.
                if not name.lower().startswith(_CORS):
                    answer_headers.add(name.decode("latin-1"), value.decode("latin-1"))
        elif chunk := message.get("body", b""):
            chunks.append(chunk)

    await app(scope, receive, send)
    return web.Response(status=status, headers=answer_headers, body=b"".join(chunks))
