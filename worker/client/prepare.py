"""From what a producer wrote to a message: checked, named, and small enough.

A job is checked by the very reader that the worker uses, so what passes here is
not refused there. It gets an id in any case: the id makes a repeated send harmless.

A request over the inline limit goes to S3, and the message carries a claim check.
The payload holds the request's fields alone, as canonical JSON, under its own hash:
the same request is the same object, and the same job under its id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

from worker.core.envelope import parse
from worker.core.job import Limits
from worker.core.strict_json import Malformed
from worker.core.trace import TRACEPARENT
from worker.ports import Payloads

REQUEST_FIELDS: Final = ("prompt", "messages", "system", "inference", "tools", "additional")

# Money alone would say 448 KiB: that is where S3's PUT and GET get cheaper than SQS's 64 KiB
# chunks, sent and received. Memory says less: a worker holds the bodies of all its slots.
INLINE_MAX_BYTES: Final = 262_144


class InvalidJob(ValueError):
    """A job cannot be sent: a worker would refuse it.

    Attributes:
        malformed: What is wrong with which field; never a value of the job.
    """

    def __init__(self, malformed: Malformed) -> None:
        where = f"field `{malformed.field}`: " if malformed.field else ""
        super().__init__(f"job not sent: {where}{malformed.detail}")
        self.malformed = malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One job, ready to be sent. `size_bytes` is what SQS counts, the trace context included."""

    index: int
    job_id: str
    body: str = field(repr=False)
    group: str
    size_bytes: int
    traceparent: str = ""

    def traced(self, traceparent: str) -> "Message":
        """The same with a trace context, which the run of the job is linked to."""
        if not traceparent:
            return self
        size_bytes = self.size_bytes + len(TRACEPARENT) + len("String") + len(traceparent)
        return replace(self, traceparent=traceparent, size_bytes=size_bytes)


def tree_of(job: Mapping[str, Any] | str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope of `job`, a text standing for its prompt; with an id in any case.

    Raises:
        InvalidJob: It is neither, or a field is given twice.
    """
    if isinstance(job, str):
        job = {"prompt": job}
    if not isinstance(job, Mapping):
        raise InvalidJob(Malformed("not_json", "", "a job is a mapping or a prompt"))
    for name in fields:
        if name in job:
            detail = "is given twice: in the job and as an argument"
            raise InvalidJob(Malformed("duplicate_key", name, detail))
    tree = {**job, **fields}
    if tree.get("id") is None:
        tree["id"] = uuid4().hex
    return tree


def dump(tree: Mapping[str, Any]) -> bytes:
    """Compact JSON with sorted keys: the same job gives the same bytes.

    Raises:
        InvalidJob: It is no JSON (a NaN, a lone surrogate, an object of another type).
    """
    try:
        text = json.dumps(
            tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        )
        # The only characters that JSON lets pass and SQS refuses.
        text = text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidJob(Malformed("not_json", "", "a text holds a lone surrogate")) from None
    except (TypeError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidJob(Malformed("not_json", "", f"the job is no JSON: {why}")) from None


def _too_large(size_bytes: int, limits: Limits) -> InvalidJob:
    """The refusal of a body for which there is no bucket."""
    detail = (
        f"{size_bytes} bytes, and a message holds {limits.body_bytes}: "
        "open the client with a bucket, and the request travels through S3"
    )
    return InvalidJob(Malformed("too_large", "", detail))


class Preparer:
    """Makes messages of envelopes, and leaves large requests in S3 where it may."""

    def __init__(self, payloads: Payloads | None, *, limits: Limits, inline_max_bytes: int) -> None:
        """Without `payloads` there are no claim checks, and a message's limit is the limit."""
        self._payloads = payloads
        self._limits = limits
        self._inline_max_bytes = inline_max_bytes

    async def prepare(self, index: int, tree: Mapping[str, Any]) -> Message:
        """The message of one envelope that `tree_of` made.

        Raises:
            InvalidJob: A worker would refuse it.
            Unavailable: Its request may or may not lie in S3; preparing again is safe.
        """
        body, limits = dump(tree), self._limits
        if self._payloads is None:
            if len(body) > limits.body_bytes:
                raise _too_large(len(body), limits)
        else:
            limits = replace(limits, body_bytes=limits.body_bytes + limits.payload_bytes)
        job = parse(body, limits)
        if isinstance(job, Malformed):
            raise InvalidJob(job)
        if self._payloads is not None and len(body) > self._inline_max_bytes:
            body = await self._checked_in(tree, self._payloads) or body
        return Message(
            index=index,
            job_id=tree["id"],
            body=body.decode(),
            group=job.tenant,
            size_bytes=len(body) + len(job.tenant),
        )

    async def _checked_in(self, tree: Mapping[str, Any], payloads: Payloads) -> bytes | None:
        """The envelope with its request left in S3; None if it holds a claim check already."""
        request = {name: tree[name] for name in REQUEST_FIELDS if name in tree}
        if not request:
            return None
        payload = dump(request)
        if len(payload) > self._limits.payload_bytes:
            detail = f"a request of {len(payload)} bytes, the limit is {self._limits.payload_bytes}"
            raise InvalidJob(Malformed("too_large", "", detail))
        ref = await payloads.put(payload)
        rest = {name: value for name, value in tree.items() if name not in request}
        uri = f"s3://{ref.bucket}/{ref.key}"
        return dump(
            {**rest, "payload_ref": {"uri": uri, "sha256": ref.sha256, "bytes": ref.size_bytes}}
        )
