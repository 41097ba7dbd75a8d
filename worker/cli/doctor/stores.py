"""Looking at queues, tables and the bucket: one question each, and the rules on its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from worker.cli.doctor import buckets, queues, tables
from worker.cli.doctor.asking import Question, answered
from worker.cli.doctor.finding import Finding, green
from worker.cli.doctor.opening import Hands, or_code
from worker.cli.doctor.place import account_of, name_of
from worker.settings import Lane, Settings

Ask = Callable[[], Awaitable[Iterable[Finding]]]


def stores(hands: Hands) -> Iterator[Awaitable[Iterable[Finding]]]:
    """One question for each lane, table and so on."""
    settings = hands.settings
    yield from (_lane(hands, lane) for lane in settings.all_lanes())
    yield from (_reply(hands, url) for url in settings.replies.values())
    yield from (_table(hands, name, kind) for name, kind in tables_of(settings))
    if settings.payloads.bucket:
        yield _bucket(hands, settings.payloads.bucket)
    yield from (_others(hands, name) for name in settings.payloads.allowed_buckets)


def tables_of(settings: Settings) -> Iterator[tuple[str, tables.TableKind]]:
    """The tables that a worker needs, and what each must be."""
    yield settings.ledger_table, tables.LEDGER
    if settings.breaker.shared:
        yield settings.breakers_table, tables.BREAKERS
    if settings.cache_table:
        yield settings.cache_table, tables.CACHE


async def _answered(hands: Hands, question: Question, ask: Ask) -> tuple[Finding, ...]:
    return await answered(question, ask, hands.place, limit_s=hands.limits.question_s)


async def _lane(hands: Hands, lane: Lane) -> Iterable[Finding]:
    routes = hands.settings.all_routes()
    needs = queues.Needs(
        lease_s=hands.settings.queue.lease_s,
        waits_s=max(routes[name].park_max_s for name in lane.routes),
        keep_s=hands.settings.ledger.keep_s,
        sources=tuple(
            url
            for other in hands.settings.all_lanes()
            if other.dead_url == lane.dead_url
            for url in (other.url, other.parked_url)
        ),
    )
    urls, seen = queues.urls_of(lane), dict[str, Mapping[str, str]]()
    told = await asyncio.gather(
        *(_queue(hands, url, role, seen, lane=lane, needs=needs) for role, url in urls.items())
    )
    found = [one for some in told for one in some]
    found += queues.lane_findings(
        lane, {role: seen[role] for role in urls if role in seen}, needs, hands.place
    )
    wrong = {one.of for one in found}
    for role in seen:
        name = name_of(urls[role])
        if f"queue {name}" not in wrong:
            found.append(green(f"queue {name}", f"the {role} queue is as it should be"))
    return found


async def _queue(
    hands: Hands,
    url: str,
    role: str,
    seen: dict[str, Mapping[str, str]],
    *,
    lane: Lane | None = None,
    needs: queues.Needs | None = None,
) -> Iterable[Finding]:
    """Fills `seen`; what comes back is why it could not."""
    if (elsewhere := queues.wrong_region(url, role, hands.place)) is not None:
        return (elsewhere,)

    async def ask() -> Iterable[Finding]:
        answer = await hands.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        seen[role] = answer.get("Attributes", {})
        return ()

    question = Question(
        of=f"queue {name_of(url)}",
        what=f"the {role} queue {name_of(url)}",
        action="sqs:GetQueueAttributes",
        arn=hands.place.queue_arn(url),
        causes=queues.CAUSES[role],
        missing=queues.made(url, role, lane, needs, hands.place),
    )
    theirs, ours = account_of(url), hands.place.account
    if ours and theirs != ours:  # made here, it would be another queue
        question = replace(
            question,
            mend=f"Its URL names the account {theirs}, and AWS takes us for one of {ours}. Correct "
            "the URL, or let them make it there and let us in:",
            missing="aws sts get-caller-identity",
        )
    return await _answered(hands, question, ask)


async def _reply(hands: Hands, url: str) -> Iterable[Finding]:
    seen = dict[str, Mapping[str, str]]()
    found = [*await _queue(hands, url, "reply", seen)]
    if "reply" in seen:
        found += queues.queue_findings(url, "reply", seen["reply"])
    if not found:
        found.append(green(f"queue {name_of(url)}", "the reply queue is as it should be"))
    return found


async def _table(hands: Hands, name: str, kind: tables.TableKind) -> Iterable[Finding]:
    question = Question(
        of=f"table {name}",
        what=f"the table {name}",
        action="dynamodb:DescribeTable",
        arn=hands.place.table_arn(name),
        causes=kind.causes,
        missing=kind.made(name),
    )

    async def ask() -> Iterable[Finding]:
        table = (await hands.dynamodb.describe_table(TableName=name))["Table"]
        parts = (
            ("DescribeTimeToLive", hands.dynamodb.describe_time_to_live),
            ("DescribeContinuousBackups", hands.dynamodb.describe_continuous_backups),
        )
        told = dict[str, Mapping[str, Any]]()

        async def fill(action: str, describe: Callable[..., Awaitable[Any]]) -> tuple[()]:
            told[action] = await describe(TableName=name)
            return ()

        lacking = await asyncio.gather(
            *(
                _answered(
                    hands,
                    replace(question, action=f"dynamodb:{action}"),
                    partial(fill, action, describe),
                )
                for action, describe in parts
            )
        )
        ttl, backups = (told.get(action) for action, _ in parts)
        found = tables.table_findings(
            name,
            table,
            kind,
            ttl=None if ttl is None else ttl.get("TimeToLiveDescription", {}),
            backups=None
            if backups is None
            else backups.get("ContinuousBackupsDescription", {}).get(
                "PointInTimeRecoveryDescription", {}
            ),
        )
        return [one for some in (*lacking, found) for one in some] or [
            green(f"table {name}", "key, TTL, backups and capacity are as they should be")
        ]

    return await _answered(hands, question, ask)


async def _bucket(hands: Hands, name: str) -> Iterable[Finding]:
    question = buckets.question(name, hands.place)

    async def ask() -> Iterable[Finding]:
        head = await hands.s3.head_bucket(Bucket=name)
        lifecycle, public = await asyncio.gather(
            or_code(hands.s3.get_bucket_lifecycle_configuration(Bucket=name)),
            or_code(hands.s3.get_public_access_block(Bucket=name)),
        )
        keep_s = hands.settings.ledger.keep_s
        found = [
            *buckets.bucket_findings(name, head, lifecycle, public, hands.place, keep_s=keep_s)
        ]
        return found or [green(f"bucket {name}", "it is private, and forgets what is old")]

    return await _answered(hands, question, ask)


async def _others(hands: Hands, name: str) -> Iterable[Finding]:
    """A bucket that jobs may name and that is not ours to judge."""
    question = replace(
        buckets.question(name, hands.place),
        causes=buckets.CAUSES_OF_OTHERS,
        mend="Correct or shorten the list:",
        missing="WORKER_PAYLOADS__ALLOWED_BUCKETS="
        + ",".join(one for one in hands.settings.payloads.allowed_buckets if one != name),
    )

    async def ask() -> Iterable[Finding]:
        await hands.s3.head_bucket(Bucket=name)
        return (green(f"bucket {name}", "it is there"),)

    return await _answered(hands, question, ask)
