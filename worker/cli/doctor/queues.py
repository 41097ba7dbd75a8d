"""What is wrong with queues that are there. Pure: attributes in, findings out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from worker.cli.doctor.finding import Finding, red, yellow
from worker.cli.doctor.place import Place, name_of, region_of
from worker.settings import Lane
from worker.words.breaker import span

ROLES: Final = ("dead-letter", "jobs", "parked")  # in the order in which they can be made
CAUSES: Final = {
    "dead-letter": "No job that is given up could be kept.",
    "jobs": "No job could be taken.",
    "parked": "No job could wait for a circuit.",
    "reply": "No answer could be sent there.",
}
RECEIVES_MIN: Final = 20
RECEIVES: Final = 100
ALLOWED_MAX: Final = 10  # queues that a redrive allow policy can name
MESSAGE_BYTES: Final = 1_048_576
RETENTION_MAX_S: Final = 14 * 86_400
RETENTION_USUAL_S: Final = 4 * 86_400  # SQS's own, unless told otherwise

Attributes = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the settings ask of the queues of one lane, in seconds.

    Attributes:
        lease_s: How long a delivery is ours.
        waits_s: The longest that a job of its routes may wait.
        keep_s: How long the ledger knows a finished job.
        sources: The URLs of all queues whose dead letters go where this lane's go.
    """

    lease_s: float
    waits_s: float
    keep_s: float
    sources: tuple[str, ...]


def urls_of(lane: Lane) -> dict[str, str]:
    """Its queues by role."""
    return {"dead-letter": lane.dead_url, "jobs": lane.url, "parked": lane.parked_url}


def lane_findings(
    lane: Lane, seen: Mapping[str, Attributes], needs: Needs, place: Place
) -> Iterator[Finding]:
    """What is wrong with the queues of a lane.

    Args:
        lane: The lane.
        seen: The attributes of those that could be read, by role.
        needs: What the settings ask of its queues.
        place: Where they are.
    """
    urls = urls_of(lane)
    for role, attributes in seen.items():
        yield from queue_findings(urls[role], role, attributes)
    for role in ("jobs", "parked"):
        if role in seen:
            dead_arn = place.queue_arn(lane.dead_url)
            yield from _backstop(urls[role], role, seen[role], dead_arn)
            yield from _source(urls[role], role, seen[role], needs)
    if "jobs" in seen:
        yield from _jobs(lane.url, seen["jobs"], needs)
    if "dead-letter" in seen:
        yield from _dead(lane.dead_url, seen)
        wanted = [place.queue_arn(source) for source in needs.sources]
        yield from _allowed(lane.dead_url, seen["dead-letter"], wanted)


def queue_findings(url: str, role: str, attributes: Attributes) -> Iterator[Finding]:
    """What any queue of ours must be."""
    name = name_of(url)
    size = attributes.get("MaximumMessageSize", MESSAGE_BYTES)
    if int(size) < MESSAGE_BYTES:
        yield yellow(
            _of(url),
            f"the {role} queue {name} takes small messages only: MaximumMessageSize is {size}.",
            "Large jobs could not be parked or dead-lettered with their story.",
            run=_set(url, MaximumMessageSize=str(MESSAGE_BYTES)),
        )
    if attributes.get("SqsManagedSseEnabled") == "false" and "KmsMasterKeyId" not in attributes:
        yield yellow(
            _of(url),
            f"the {role} queue {name} is not encrypted.",
            "Jobs lie in it as they were sent.",
            run=_set(url, SqsManagedSseEnabled="true"),
        )


def _backstop(url: str, role: str, attributes: Attributes, dead_arn: str) -> Iterator[Finding]:
    """Where SQS itself puts what kills every worker."""
    of, what = _of(url), f"the {role} queue {name_of(url)}"
    policy = orjson.loads(attributes.get("RedrivePolicy") or "{}")
    receives = int(policy.get("maxReceiveCount", 0))
    mend = _set(url, RedrivePolicy=redrive_policy(dead_arn))
    dead = dead_arn.rpartition(":")[2]
    goes_to = str(policy.get("deadLetterTargetArn", ""))
    if not policy:
        yield yellow(
            of,
            f"{what} never gives up: it has no redrive policy.",
            "A message that kills every worker would come back for ever.",
            run=mend,
        )
    elif receives < RECEIVES_MIN:
        yield red(
            of,
            f"{what} gives up too early: maxReceiveCount is {receives}.",
            "SQS would move waiting jobs to the dead-letter queue, without a reason.",
            run=mend,
        )
    elif goes_to.rpartition(":")[2] != dead:
        yield yellow(
            of,
            f"{what} gives up to another queue than {dead}.",
            "What it gives up would not be among the dead letters.",
            run=mend,
        )


def _source(url: str, role: str, attributes: Attributes, needs: Needs) -> Iterator[Finding]:
    """A queue that workers receive from."""
    of, what = _of(url), f"the {role} queue {name_of(url)}"
    kept_s = int(attributes.get("MessageRetentionPeriod", RETENTION_USUAL_S))
    if kept_s < needs.waits_s:
        yield red(
            of,
            f"{what} keeps messages for {span(kept_s)}, and a job may wait for "
            f"{span(needs.waits_s)} (park_max_s).",
            "SQS would delete jobs that wait for a circuit, without a word.",
            run=_set(url, MessageRetentionPeriod=str(RETENTION_MAX_S)),
        )
    visibility_s = int(attributes.get("VisibilityTimeout", 30))
    if visibility_s < needs.lease_s:
        yield yellow(
            of,
            f"{what} has a visibility timeout of {visibility_s} s, below queue.lease_s "
            f"({needs.lease_s:g} s).",
            "Workers ask for their own; for whoever else receives, a person or a script, a job "
            "comes back before it could have ended, and is taken a second time.",
            run=_set(url, VisibilityTimeout=str(_up(needs.lease_s))),
        )


def _jobs(url: str, attributes: Attributes, needs: Needs) -> Iterator[Finding]:
    of, name = _of(url), name_of(url)
    if (delay_s := int(attributes.get("DelaySeconds", 0))) > 0:
        yield yellow(
            of,
            f"the jobs queue {name} hides each job for its first {delay_s} s: DelaySeconds.",
            "Users wait so much longer, for nothing.",
            run=_set(url, DelaySeconds="0"),
        )
    kept_s = int(attributes.get("MessageRetentionPeriod", RETENTION_USUAL_S))
    if needs.keep_s < kept_s:
        yield yellow(
            of,
            f"the jobs queue {name} keeps messages for {span(kept_s)}, longer than the ledger "
            f"knows a finished job ({span(needs.keep_s)}, ledger.keep_s).",
            "A late duplicate would be answered and paid for again.",
            "Set:",
            f"WORKER_LEDGER__KEEP_S={kept_s}",
        )


def _dead(url: str, seen: Mapping[str, Attributes]) -> Iterator[Finding]:
    """How long dead letters are kept."""
    of, what = _of(url), f"the dead-letter queue {name_of(url)}"
    kept_s = _kept_s(seen["dead-letter"])
    sources = [_kept_s(seen[role]) for role in ("jobs", "parked") if role in seen]
    mend = _set(url, MessageRetentionPeriod=str(RETENTION_MAX_S))
    if sources and kept_s < max(sources):
        yield red(
            of,
            f"{what} keeps messages for {span(kept_s)}, shorter than the queue they come from "
            f"({span(max(sources))}).",
            "What SQS itself moves keeps its first send's time, and could be deleted as it comes.",
            run=mend,
        )
    elif kept_s < RETENTION_MAX_S:
        yield yellow(
            of,
            f"{what} forgets dead letters after {span(kept_s)}.",
            "So long you have to look at them; SQS allows 14 days.",
            run=mend,
        )


def _allowed(url: str, attributes: Attributes, wanted: list[str]) -> Iterator[Finding]:
    """Which queues may have it as their dead-letter queue: those that do, and no other."""
    of, what = _of(url), f"the dead-letter queue {name_of(url)}"
    policy = orjson.loads(attributes.get("RedriveAllowPolicy") or "{}")
    permission = policy.get("redrivePermission", "allowAll")
    named = [str(arn) for arn in policy.get("sourceQueueArns", ())]
    missing = wanted if permission == "denyAll" else [arn for arn in wanted if arn not in named]
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": list(dict.fromkeys(named + wanted))}
    mend = _set(url, RedriveAllowPolicy=_json(allow))
    if len(allow["sourceQueueArns"]) > ALLOWED_MAX:  # more than can be named
        mend = _set(url, RedriveAllowPolicy=_json({"redrivePermission": "allowAll"}))
    elif permission == "allowAll":
        yield yellow(
            of,
            f"{what} may be the dead-letter queue of any queue of this account.",
            "Messages that are no dead letters of ours could come into it.",
            "This shuts out every queue that it does not name:",
            run=mend,
        )
    if missing and permission != "allowAll":
        names = ", ".join(arn.rpartition(":")[2] for arn in missing)
        yield red(
            of,
            f"{what} takes nothing from {names}: its redrive allow policy is {permission}.",
            "SQS could not move a message there that kills every worker.",
            run=mend,
        )


def wrong_region(url: str, role: str, place: Place) -> Finding | None:
    """A queue whose URL names another Region than the SDK asks in."""
    theirs = region_of(url)
    if not theirs or not place.region or theirs == place.region:
        return None
    return red(
        _of(url),
        f"the {role} queue {name_of(url)} is in {theirs}, and the SDK's Region is {place.region}.",
        "SQS would be asked in a Region where the queue is not.",
        "Set one of them right:",
        f"export AWS_DEFAULT_REGION={theirs}",
    )


def made(url: str, role: str, lane: Lane | None, needs: Needs | None, place: Place) -> str:
    """The command that makes a queue as it should be."""
    attributes = {
        "MessageRetentionPeriod": str(RETENTION_MAX_S),
        "MaximumMessageSize": str(MESSAGE_BYTES),
    }
    if needs is not None:
        attributes["VisibilityTimeout"] = str(_up(needs.lease_s))
    if lane is not None and role in ("jobs", "parked"):
        attributes["RedrivePolicy"] = redrive_policy(place.queue_arn(lane.dead_url))
    return f"aws sqs create-queue --queue-name {name_of(url)} --attributes '{_json(attributes)}'"


def redrive_policy(dead_arn: str) -> str:
    """What makes SQS give up on a message only where every worker dies of it."""
    return _json({"deadLetterTargetArn": dead_arn, "maxReceiveCount": str(RECEIVES)})


def _kept_s(attributes: Attributes) -> int:
    return int(attributes.get("MessageRetentionPeriod", RETENTION_USUAL_S))


def _set(url: str, **attributes: str) -> str:
    return f"aws sqs set-queue-attributes --queue-url {url} --attributes '{_json(attributes)}'"


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _of(url: str) -> str:
    return f"queue {name_of(url)}"


def _up(seconds: float) -> int:
    return -int(-seconds // 1)
