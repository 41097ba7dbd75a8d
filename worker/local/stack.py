"""The local stack: queues, tables, objects and models on one loopback port.

    async with LocalStack() as stack:
        os.environ.update(stack.environment())

It speaks the real wire protocols, so the code that runs against AWS runs against
it unchanged. It starts in well under a second, binds 127.0.0.1 and nothing else, keeps
everything in memory, and forgets it when the process ends. It is no substitute for
AWS where AWS differs: it authorises everybody, and no figure measured here says
anything about the cloud.
"""

import asyncio
import secrets
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from worker.local import emulator, front
from worker.local.bedrock import Bedrock
from worker.local.control import Control
from worker.local.ecsagent import EcsAgent
from worker.local.faults import Faults
from worker.local.gateway import Gateway

HOST: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 0.1  # clients of a local stack that goes away are gone too
_SERVICES: Final = ("SQS", "DYNAMODB", "S3", "BEDROCK_RUNTIME", "SFN", "STEPFUNCTIONS", "STS")


def new_account() -> str:
    """A random account id. Used as an access key it opens an account of its own."""
    return str(secrets.randbelow(9 * 10**11) + 10**11)


class LocalStack:
    """One running stack; see the module.

    Once entered: `url` is where it listens, `bedrock` takes moods and has the
    stats, `faults` takes rules for everything else, `agent` is the ECS agent at
    `<url>/ecs`. All three can also be worked over HTTP: see `worker.local.control`.

    Raises:
        LocalStackUnavailableError: On entering, when ministack is not installed.
        OSError: On entering, when the port is taken.
    """

    def __init__(
        self, *, port: int = 0, region: str = "us-east-1", account: str | None = None
    ) -> None:
        """With `port` 0 the system chooses one; without an `account` a fresh one is made."""
        self._port = port
        self._region = region
        self._account = account or new_account()
        self._runner: web.ServerRunner | None = None
        self._emulator: emulator.Emulator | None = None
        self.url = ""
        self.bedrock = Bedrock()
        self.faults = Faults()
        self.agent = EcsAgent()

    async def __aenter__(self) -> Self:
        self._emulator = emulator.load()
        gateway = Gateway(self._emulator.app, self.faults)
        houses = front.Houses(
            bedrock=self.bedrock.handle,
            control=Control(self.bedrock, self.faults, self.agent).handle,
            agent=self.agent.handle,
            emulator=gateway.handle,
        )
        self._runner = web.ServerRunner(
            front.server(houses), access_log=None, shutdown_timeout=_SHUTDOWN_S
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._emulator.enter()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None, "left without having been entered"
        assert self._emulator is not None, "left without having been entered"
        await self._runner.cleanup()
        await self._emulator.leave()

    def environment(self, account: str | None = None) -> dict[str, str]:
        """The variables that point an AWS SDK here.

        Tests that share a stack pass `new_account()` each, and see nothing of
        one another: an access key of 12 digits is an account of its own.
        """
        endpoints = {f"AWS_ENDPOINT_URL_{service}": self.url for service in _SERVICES}
        return endpoints | {
            "AWS_ACCESS_KEY_ID": account or self._account,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": self._region,
            "AWS_REGION": self._region,
        }


async def serve(
    port: int,
    *,
    ready: Callable[[LocalStack], None],
    region: str = "us-east-1",
    account: str | None = None,
) -> None:
    """Run a stack until SIGTERM or SIGINT; `ready` is called once it answers.

    Prints nothing. Raises what entering `LocalStack` raises.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    async with LocalStack(port=port, region=region, account=account) as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            ready(stack)
            await stop.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
