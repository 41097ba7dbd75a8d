"""Puts the house together: settings in, a running worker out.

The one place that knows every room. `run` is what the command starts; `serve` is
for programs that bring a session of their own:

    asyncio.run(serve(load(), session=aioboto3.Session(), stop=asyncio.Event()))
"""

import asyncio
import gc
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final

from botocore.exceptions import BotoCoreError

from worker.aws.bedrock import Bedrock
from worker.aws.breakers import DynamoBreakers
from worker.aws.cache import DynamoCache
from worker.aws.clients import Clients, open_clients
from worker.aws.ecs import agent_protection
from worker.aws.emf import flusher
from worker.aws.ledger import DynamoLedger
from worker.aws.payloads import S3Payloads
from worker.aws.sqs import SqsQueue
from worker.aws.tasks import StepFunctionsTasks
from worker.degraded.plugins import Plugin
from worker.degraded.registry import HandlersUnusableError, build
from worker.ports import BreakerStore, Handler, Protection, Tell
from worker.runtime.gauges import gauges
from worker.runtime.health import PortUnusableError, health_port
from worker.runtime.house import House, Lane, Rules
from worker.runtime.lag import LoopLag
from worker.runtime.pulse import STARTING
from worker.runtime.supervisor import Drain, Supervisor
from worker.runtime.telemetry import Telemetry
from worker.settings import Settings
from worker.wiring_names import names_of
from worker.wiring_traces import TracesUnusableError, traced

READ_MARGIN_S: Final = 10.0  # behind the attempts' own timers, which are to fire first
LEAVE_S: Final = 2.0  # for tasks and threads that nobody waits for to hear that all is over
LOOK_S: Final = 0.02
FORCED: Final = 3  # exit code of a drain that did not end within the grace


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once.

    Returns:
        The exit code: 0 after a clean drain, 3 after a forced one, 1 if the
        worker could not start.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            drain = runner.run(_until_signalled(settings))
    except BotoCoreError as error:
        sys.stderr.write(
            f"worker cannot start: {error}\n\nThe SDK could not make its clients, so no job "
            "can be taken. Set AWS_DEFAULT_REGION, and look at the AWS configuration of this "
            "process.\n"
        )
        return 1
    except PortUnusableError as error:
        sys.stderr.write(
            f"worker cannot start: {error}.\n\nNobody could ask how it is, and a health check "
            "would replace it. Free the port, set\nWORKER_HEALTH__PORT to another, or unset it.\n"
        )
        return 1
    except HandlersUnusableError as error:
        told = "\n".join(f"    {name}: {what}" for name, what in error.why.items())
        sys.stderr.write(
            f"worker cannot start: degraded handlers cannot be made.\n\n{told}\n\nTheir steps of "
            "a route would be missing when they are needed. See docs/degraded.md.\n"
        )
        return 1
    except TracesUnusableError as error:
        sys.stderr.write(
            f"worker cannot start: WORKER_TRACES__EXPORTER is otlp, and {error}.\n\n"
            "No run could be traced. Install the extra, `pip install 'inference-worker[otel]'`,\n"
            "correct the OTEL_… variables, or set WORKER_TRACES__EXPORTER to off. "
            "See docs/traces.md.\n"
        )
        return 1
    return _code(drain)


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415  (an extra: there or not)
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signalled(settings: Settings) -> Drain:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def leave(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave, number)
    threads = ThreadPoolExecutor(thread_name_prefix="worker")
    loop.set_default_executor(threads)
    drain = await serve(settings, stop=stop)
    threads.shutdown(wait=False, cancel_futures=True)
    if not await _all_left(LEAVE_S):
        # The loop's own end would wait for them, until somebody kills the process.
        sys.stdout.flush()
        os._exit(_code(drain))
    return drain


async def _all_left(within_s: float) -> bool:
    """Cancel every other task; whether all of them end in time, and every thread.

    A degraded handler of somebody's may not hear it, or have a thread that hangs.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=within_s))[1]:
        return False
    while loop.time() < until:
        if not _threads():
            return True
        await asyncio.sleep(LOOK_S)
    return not _threads()


def _threads() -> list[threading.Thread]:
    """Those for which the interpreter's end would wait."""
    main = threading.main_thread()
    return [one for one in threading.enumerate() if one is not main and not one.daemon]


def _code(drain: Drain) -> int:
    return 0 if drain is Drain.CLEAN else FORCED


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    session: Any = None,
    handlers: Mapping[str, Plugin] = MappingProxyType({}),
) -> Drain:
    """Take jobs until `stop` is set, then drain.

    Args:
        settings: Checked settings.
        stop: Ends the intake; jobs in hand get `grace_s` seconds.
        session: An `aiobotocore` or an `aioboto3` session; a new one when None.
        handlers: Degraded handlers of the program's own, for each `[degraded.<name>]` of kind
            `plugin` by its name; functions and classes will do.

    Raises:
        HandlersUnusableError: A degraded handler cannot be made.
        PortUnusableError: The health port cannot be bound.
        TracesUnusableError: Traces are asked for, and cannot be made.
    """
    routes = settings.all_routes()
    targets = [target for route in routes.values() for target in route.targets]
    helpers = [spec.target for spec in settings.all_handlers() if spec.target]
    lanes = settings.all_lanes()
    in_hand: list[Supervisor] = []
    async with AsyncExitStack() as stack:
        if settings.health.port is not None:
            port = health_port(
                settings.health.host,
                settings.health.port,
                lambda: in_hand[0].health if in_hand else STARTING,
            )
            await stack.enter_async_context(port)
        clients = await stack.enter_async_context(
            open_clients(
                session=session,
                pollers=len(lanes) * (settings.queue.pollers_max + 1),
                slots=settings.slots,
                regions={target.region for target in (*targets, *helpers)},
                bedrock_read_s=max(t.attempt_s for t in targets) + READ_MARGIN_S,
                tasks=settings.task_tokens,
            )
        )
        protection: Protection | None = None
        agent_uri = os.environ.get("ECS_AGENT_URI")
        if settings.protection == "auto" and agent_uri:
            protection = await stack.enter_async_context(agent_protection(agent_uri))
        rules = _rules(settings)
        breakers = None
        if settings.breaker.shared:
            breakers = DynamoBreakers(
                clients.breakers, settings.breakers_table, service=settings.service
            )
        lag = LoopLag()
        telemetry = Telemetry(
            service=settings.service,
            worker=rules.worker,
            names=names_of(settings),
            flush=flusher(
                _write_line,
                namespace=settings.metrics.namespace,
                service=settings.service,
                worker=rules.worker,
            ),
            level=settings.log_level,
            flush_s=settings.metrics.flush_s,
            profile=settings.metrics.profile,
            gauges=gauges(in_hand, lag),
        )
        tell, services = await stack.enter_async_context(
            traced(
                settings,
                telemetry,
                worker=rules.worker,
                version=rules.version,
                targets=(*targets, *helpers),
            )
        )
        table = settings.cache_table
        made = build(
            settings.all_handlers(),
            given=handlers,
            model=Bedrock(clients.bedrock),
            store=DynamoCache(clients.cache, table) if table else None,
            tell=tell,
        )
        house = _house(
            settings,
            rules,
            clients,
            tell=tell,
            protection=protection,
            breakers=breakers,
            handlers=made,
        )
        supervisor = Supervisor(house, stop=stop, services=(telemetry.run, lag.run, *services))
        in_hand.append(supervisor)
        # The SDK's models are a million objects that never die: no use to look at each again.
        gc.collect()
        gc.freeze()
        return await supervisor.run()


def _rules(settings: Settings) -> Rules:
    return Rules(
        worker=uuid.uuid4().hex[:12],
        version=version("inference-worker"),
        routes=settings.all_routes(),
        limits=settings.limits(),
        slots=settings.slots,
        bytes_max=settings.bytes_max,
        lease_s=settings.queue.lease_s,
        wait_s=settings.queue.wait_s,
        linger_s=settings.queue.linger_s,
        pollers_max=settings.queue.pollers_max,
        grace_s=settings.grace_s,
        crashes_max=settings.crashes_max,
        inline_bytes=settings.payloads.inline_answer_bytes,
        policies=settings.policies(),
        pacing=settings.pacing.policy(),
    )


def _house(
    settings: Settings,
    rules: Rules,
    clients: Clients,
    *,
    tell: Tell,
    protection: Protection | None,
    breakers: BreakerStore | None,
    handlers: Mapping[str, Handler],
) -> House:
    def queue(url: str) -> SqsQueue:
        return SqsQueue(clients.sqs_poll, clients.sqs_control, url)

    bucket = settings.payloads.bucket
    return House(
        rules=rules,
        lanes=tuple(
            Lane(
                name=lane.name,
                jobs=queue(lane.url),
                parked=queue(lane.parked_url),
                dead=queue(lane.dead_url),
                routes=frozenset(lane.routes),
            )
            for lane in settings.all_lanes()
        ),
        ledger=DynamoLedger(
            clients.dynamodb,
            settings.ledger_table,
            skew_s=settings.queue.clock_skew_s,
            keep_s=settings.ledger.keep_s,
        ),
        model=Bedrock(clients.bedrock),
        payloads=S3Payloads(clients.s3, bucket) if bucket else None,
        protection=protection,
        callbacks=StepFunctionsTasks(clients.tasks) if settings.task_tokens else None,
        breakers=breakers,
        handlers=handlers,
        replies={name: queue(url) for name, url in settings.replies.items()},
        tell=tell,
        traces=None if settings.traces.exporter == "off" else settings.traces.share,
        at=time.time,
        roll=random.Random().random,  # noqa: S311  (dice for jitter, not for secrets)
    )


def _write_line(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
