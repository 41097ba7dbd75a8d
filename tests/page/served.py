"""The page on a port of loopback, served in a thread of its own, and a world behind it."""

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn

from tests.page.world import World
from worker.page import Door, page

T = TypeVar("T")
TOKEN = "a-token-of-these-tests"


class Served:
    """A page that is served: `url` leads to it, and `run` does something in its loop."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.world = world
        self.url = f"http://127.0.0.1:{port}"
        self._loop = loop

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(timeout=30)


@contextmanager
def served(world: World | None = None) -> Iterator[Served]:
    """Serve a world until the end."""
    world = world or World()
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        how = uvicorn.Config(
            page(world.backing, Door(TOKEN, time.monotonic), port=port),
            access_log=False,
            log_level="error",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(how)
        serving = threading.Thread(
            target=loop.run_until_complete, args=(server.serve(sockets=[listening]),), daemon=True
        )
        serving.start()
        try:
            yield Served(world, loop, port)
        finally:
            server.should_exit = True
            serving.join(timeout=20)
            assert not serving.is_alive(), "the server has ended"
            loop.close()
