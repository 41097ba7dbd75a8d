"""What is wrong with a bucket that is there. Pure: answers in, findings out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from worker.cli.doctor.asking import DENIED, Question, granting
from worker.cli.doctor.finding import Finding, yellow
from worker.cli.doctor.place import Place

BLOCKS: Final = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)
KEEP_DAYS: Final = 30

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
        causes="No large request or answer could be kept.",
        missing=f"aws s3api create-bucket --bucket {name}{where}",
    )


def bucket_findings(
    name: str, head: Mapping[str, Any], lifecycle: Told, public: Told, place: Place
) -> Iterator[Finding]:
    """What is wrong with a bucket that is there."""
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
    yield from _old(of, name, lifecycle, place)
    yield from _public(of, name, public, place)


def _old(of: str, name: str, lifecycle: Told, place: Place) -> Iterator[Finding]:
    code, told = lifecycle
    if code in DENIED:
        yield _unseen(of, name, "s3:GetLifecycleConfiguration", place)
        return
    rules = told.get("Rules", ())
    if any(rule.get("Status") == "Enabled" and "Expiration" in rule for rule in rules):
        return
    rule = {
        "ID": "old-payloads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": KEEP_DAYS},
    }
    document = orjson.dumps({"Rules": [*rules, rule]}, default=str).decode()
    yield yellow(
        of,
        f"the bucket {name} keeps payloads and answers for ever: it has no lifecycle.",
        "It would grow without end, and so would what you hold of other people's text.",
        f"{KEEP_DAYS} days are longer than a job and its record live by default:",
        f"aws s3api put-bucket-lifecycle-configuration --bucket {name} "
        f"--lifecycle-configuration '{document}'",
    )


def _public(of: str, name: str, public: Told, place: Place) -> Iterator[Finding]:
    code, told = public
    if code in DENIED:
        yield _unseen(of, name, "s3:GetBucketPublicAccessBlock", place)
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


def _unseen(of: str, name: str, action: str, place: Place) -> Finding:
    return yellow(
        of,
        f"the bucket {name} cannot be looked at as a whole: {action} is denied.",
        "Whoever runs this lacks it; workers do without.",
        *granting((action,), (place.bucket_arn(name),), place),
    )
