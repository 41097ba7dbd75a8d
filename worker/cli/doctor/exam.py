"""Everything that is looked at, at once: each question has an end, and none waits for another.

Reads attributes, makes the dry calls of `targets.py` and the void ones of `rights.py`, and
changes nothing anywhere. Who we are is asked first, for the fixes name it.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from worker.aws.trouble import FOREIGN
from worker.cli.doctor import buckets, queues, rights
from worker.cli.doctor.asking import trouble_of, unopened
from worker.cli.doctor.finding import Finding, Level, green, ordered, yellow
from worker.cli.doctor.host import (
    clock_findings,
    memory_findings,
    offset_of,
    pool_findings,
    stop_findings,
    task_of,
)
from worker.cli.doctor.opening import LIMITS, Hands, Limits, opened, or_code
from worker.cli.doctor.place import Place, name_of
from worker.cli.doctor.stores import stores, tables_of
from worker.cli.doctor.targets import target_findings
from worker.settings import Settings

TASKS_CAUSES = "No state machine that waits for a job would get its answer."
Finds = Awaitable[Iterable[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found.

    Attributes:
        calls: Dry calls of models that were made.
    """

    place: Place
    calls: int
    took_s: float
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is red."""
        return all(one.level is not Level.RED for one in self.findings)


async def examine(
    settings: Settings,
    *,
    calls: bool,
    at: Callable[[], float],
    environ: Mapping[str, str],
    limits: Limits = LIMITS,
) -> Report:
    """Look at all that a worker needs. Never raises for what the world does.

    Args:
        settings: The worker's.
        calls: Whether each target is called, for a token.
        at: The wall clock.
        environ: Tells of ECS and of Kubernetes.
        limits: How long it may take.
    """
    asking = asyncio.get_running_loop().time
    began, made = asking(), 0

    async def all_of(hands: Hands) -> list[Finding]:
        nonlocal made
        targets = list(settings.all_targets().values()) if calls else []
        caller = await _caller(hands)
        asks: list[Finds] = [*stores(hands), *_rights(hands)]
        asks += [
            target_findings(target, hands.model, hands.place, limit_s=limits.question_s)
            for target in targets
        ]
        found = await asyncio.gather(*asks)
        made = hands.calls["sent"]
        host = await _host(hands, environ)
        return [one for some in (caller, *found, host) for one in some]

    place, found = await _held(settings, limits, at, all_of)
    return Report(place=place, calls=made, took_s=round(asking() - began, 3), findings=found)


async def examine_stores(
    settings: Settings, *, at: Callable[[], float], limits: Limits = LIMITS
) -> tuple[Finding, ...]:
    """Look at queues, tables and the bucket alone, as `examine` does."""

    async def all_of(hands: Hands) -> list[Finding]:
        found = await asyncio.gather(*stores(hands))
        return [one for some in found for one in some]

    return (await _held(settings, limits, at, all_of))[1]


async def _held(
    settings: Settings,
    limits: Limits,
    at: Callable[[], float],
    look: Callable[[Hands], Awaitable[list[Finding]]],
) -> tuple[Place, tuple[Finding, ...]]:
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(limits.clients_s):
                hands = await opened(stack, settings, limits, at)
        except (*FOREIGN, ValueError) as error:  # the latter of an endpoint that is no URL
            return Place(), (unopened(error),)
        found = ordered(await look(hands))
        return hands.place, found


async def _caller(hands: Hands) -> list[Finding]:
    """Who asks, for `hands.place`; without that the fixes name nobody."""
    try:
        async with asyncio.timeout(hands.limits.caller_s):
            told = await hands.sts.get_caller_identity()
    except FOREIGN as error:
        known = trouble_of(error, "sts", hands.place)
        if known is not None and known.of != "endpoint sts":
            return [known]
        return [
            yellow(
                "caller",
                "who asks is not known: STS did not answer.",
                "Workers do without; the fixes cannot name the role.",
            )
        ]
    hands.place = replace(hands.place, account=told["Account"], caller=told["Arn"])
    return [green("caller", f"AWS takes us for {told['Arn']}")]


def _rights(hands: Hands) -> Iterator[Finds]:
    """What workers do, with what."""
    settings, place = hands.settings, hands.place
    uses = [(u, r) for lane in settings.all_lanes() for r, u in queues.urls_of(lane).items()]
    for url, role in (*uses, *((url, "reply") for url in settings.replies.values())):
        if queues.wrong_region(url, role, place) is not None:
            continue  # who is asked there knows no such queue, and so denies nothing
        receives, sends = role in ("jobs", "parked"), role != "jobs"
        tries = rights.of_queue(hands.sqs, url, receives=receives, sends=sends)
        causes = queues.CAUSES[role]
        yield _tried(hands, f"queue {name_of(url)}", tries, place.queue_arn(url), causes)
    for name, kind in tables_of(settings):
        tries = rights.of_table(hands.dynamodb, name, kind)
        yield _tried(hands, f"table {name}", tries, place.table_arn(name), kind.causes)
    bucket = settings.payloads.bucket
    for name in dict.fromkeys((bucket, *settings.payloads.allowed_buckets) if bucket else ()):
        tries = rights.of_bucket(hands.s3, name, writes=name == bucket)
        causes = buckets.CAUSES if name == bucket else buckets.CAUSES_OF_OTHERS
        arn = place.bucket_arn(name) + "/*"
        yield _tried(hands, f"bucket {name}", tries, arn, causes, bucket=name)
    if hands.tasks is not None:
        # These actions know no resource: a token names its task.
        yield _tried(hands, "task tokens", rights.of_tasks(hands.tasks), "*", TASKS_CAUSES)


async def _tried(
    hands: Hands,
    of: str,
    tries: Mapping[str, rights.Try],
    arn: str,
    causes: str,
    *,
    bucket: str = "",
) -> Iterable[Finding]:
    try:
        async with asyncio.timeout(hands.limits.question_s):
            listed = True
            if bucket:
                code, _ = await or_code(hands.s3.head_bucket(Bucket=bucket))
                listed = not code
            return await rights.rights(of, tries, arn, hands.place, causes=causes, listed=listed)
    except FOREIGN as error:
        known = trouble_of(error, next(iter(tries)).partition(":")[0], hands.place)
        return () if known is None else (known,)


async def _host(hands: Hands, environ: Mapping[str, str]) -> Iterable[Finding]:
    settings = hands.settings
    task = await task_of(environ, limit_s=1.0)
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        *clock_findings(offset_of(hands.answers), settings.queue.clock_skew_s),
        *stop_findings(settings.grace_s, task, environ),
        *memory_findings(settings.bytes_max, task),
        *pool_findings(settings, files_max),
    )
