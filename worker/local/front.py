"""The front of the local stack: one port, and who answers behind it.

    POST /model/...                      the Bedrock stand-in
    /_local/...                          the control plane
    /ecs.../task-protection/v1/state     the ECS agent
    everything else                      the gateway: the fault layer, then the emulator

Built on aiohttp's low-level server: every request passes here once, and there is
no router and no middleware between the socket and this function.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from worker.local import calls, control, ecsagent

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

BODY_MAX_BYTES: Final = 128 * 1024 * 1024
"""A larger request is refused with 413. Everything is held in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Houses:
    """Who answers behind the front."""

    bedrock: Handler
    control: Handler
    agent: Handler
    emulator: Handler


def server(houses: Houses) -> web.Server:
    """An aiohttp server that carries each request to its house.

    A request whose client goes away is cancelled, wherever it is. That is what
    keeps an abandoned long poll from taking a message that nobody will see.
    """
    loop = asyncio.get_running_loop()

    def make_request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=BODY_MAX_BYTES
        )

    async def route(request: web.BaseRequest) -> web.StreamResponse:
        if "Expect" in request.headers:  # S3 clients wait for leave to send a body
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        path = request.raw_path
        if path.startswith(calls.PREFIX) and request.method == "POST":
            return await houses.bedrock(request)
        if path.startswith(control.PREFIX):
            return await houses.control(request)
        if path.startswith(ecsagent.PREFIX) and path.endswith(ecsagent.SUFFIX):
            return await houses.agent(request)
        return await houses.emulator(request)

    return web.Server(route, request_factory=make_request, handler_cancellation=True)
