"""What is wrong with a bucket that is there. Pure: answers in, findings out."""

import math
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from worker.aws.payloads import PREFIX
from worker.cli.doctor.asking import DENIED, Question, granting
from worker.cli.doctor.finding import Finding, yellow
from worker.cli.doctor.place import Place
from worker.words.breaker import span

BLOCKS: Final = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)
CAUSES: Final = "No large request or answer could be kept."
CAUSES_OF_OTHERS: Final = "A job whose payload lies there would be dead-lettered."
KEEP_DAYS: Final = 30
DAY_S: Final = 86_400
NO_LIFECYCLE: Final = "NoSuchLifecycleConfiguration"
NO_BLOCK: Final = "NoSuchPublicAccessBlockConfiguration"

Told = tuple[str, Mapping[str, Any]]  # the code of why there is no answer, and the answer


def question(name: str, place: Place) -> Question:
    """Whether it is there."""
    where = ""
    if place.region and place.region != "us-east-1":  # the one Region that must not be named
        where = f" --create-bucket-configuration LocationConstraint={place.region}"
    return Question(
        of=f"bucket {name}",
        what=f"the bucket {name}",
        action="s3:ListBucket",
        arn=place.bucket_arn(name),
        causes=CAUSES,
        missing=f"aws s3api create-bucket --bucket {name}{where}",
    )


def bucket_findings(
    name: str,
    head: Mapping[str, Any],
    lifecycle: Told,
    public: Told,
    place: Place,
    *,
    keep_s: float,
) -> Iterator[Finding]:
    """What is wrong with a bucket that is there.

    Args:
        name: Its name.
        head: What a HEAD told.
        lifecycle: Its rules.
        public: What shuts it to the public.
        place: Where we are.
        keep_s: How long the ledger knows a finished job, in seconds.
    """
    of = f"bucket {name}"
    theirs = head.get("BucketRegion", "")
    if theirs and place.region and theirs != place.region:
        yield yellow(
            of,
            f"the bucket {name} is in {theirs}, and the SDK's Region is {place.region}.",
            "Each payload goes to another Region and back, which takes time and is charged.",
            "Make one here, and name it in WORKER_PAYLOADS__BUCKET:",
            question(f"{name}-{place.region}", place).missing,
        )
    yield from _old(of, name, lifecycle, place, keep_s)
    yield from _public(of, name, public, place)


def _old(of: str, name: str, lifecycle: Told, place: Place, keep_s: float) -> Iterator[Finding]:
    code, told = lifecycle
    if code not in ("", NO_LIFECYCLE):
        # Without the rules that are there no command may be told, for it would take their place.
        yield _unseen(of, name, "s3:GetLifecycleConfiguration", code, place)
        return
    rules = told.get("Rules", ())
    ends = [rule["Expiration"]["Days"] for rule in rules if _forgets(rule)]
    if ends and min(ends) * DAY_S < keep_s:
        yield yellow(
            of,
            f"the bucket {name} deletes payloads after {min(ends)} d, and the ledger knows a job "
            f"for {span(keep_s)} (ledger.keep_s).",
            "A job that waits, a dead letter or an answer could point at what is gone.",
            f"Let the rule wait for {math.ceil(keep_s / DAY_S)} days at least. What it says now:",
            f"aws s3api get-bucket-lifecycle-configuration --bucket {name}",
        )
    if ends:
        return
    days = max(KEEP_DAYS, math.ceil(keep_s / DAY_S))
    rule = {
        "ID": "old-payloads",
        "Status": "Enabled",
        "Filter": {"Prefix": PREFIX},
        "Expiration": {"Days": days},
    }
    document = orjson.dumps({"Rules": [*rules, rule]}, default=str).decode()
    yield yellow(
        of,
        f"the bucket {name} keeps payloads and answers for ever: no rule of its lifecycle ends "
        f"what lies under {PREFIX}.",
        "It would grow without end, and so would what you hold of other people's text.",
        f"This deletes what is older than {days} days under {PREFIX}, and nothing else:",
        f"aws s3api put-bucket-lifecycle-configuration --bucket {name} "
        f"--lifecycle-configuration {shlex.quote(document)}",
    )


def _forgets(rule: Mapping[str, Any]) -> bool:
    """Whether a rule ends all that workers put there."""
    chosen = rule.get("Filter", {})
    prefix = chosen.get("Prefix", rule.get("Prefix", ""))
    return (
        rule.get("Status") == "Enabled"
        and "Days" in rule.get("Expiration", {})
        and PREFIX.startswith(prefix)
        and not chosen.keys() - {"Prefix"}
    )


def _public(of: str, name: str, public: Told, place: Place) -> Iterator[Finding]:
    code, told = public
    if code not in ("", NO_BLOCK):
        yield _unseen(of, name, "s3:GetBucketPublicAccessBlock", code, place)
        return
    blocks = told.get("PublicAccessBlockConfiguration", {})
    if open_to := [block for block in BLOCKS if not blocks.get(block)]:
        yield yellow(
            of,
            f"the bucket {name} could be made public; off: {', '.join(open_to)}.",
            "Jobs and answers lie in it.",
            run=f"aws s3api put-public-access-block --bucket {name} "
            "--public-access-block-configuration " + ",".join(f"{block}=true" for block in BLOCKS),
        )


def _unseen(of: str, name: str, action: str, code: str, place: Place) -> Finding:
    if code not in DENIED:
        return yellow(
            of,
            f"the bucket {name} cannot be looked at as a whole: {action}: {code}.",
            "Nothing is known of that part of it.",
            "Ask again.",
        )
    return yellow(
        of,
        f"the bucket {name} cannot be looked at as a whole: {action} is denied.",
        "Whoever runs this lacks it; workers do without.",
        *granting((action,), (place.bucket_arn(name),), place),
    )
