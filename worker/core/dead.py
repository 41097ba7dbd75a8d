"""Dead letters as people review them: which are meant, how they group, what may be done.

A dead letter is two things: a record in the ledger that says why, and a message in the
dead-letter queue that holds the body. What a list shows is the record's; `Letter` is
that much of it. Here is nothing of the job's own text.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import orjson

from worker.core.ledger import Record, State
from worker.core.upgrade import upgraded


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a list knows of one dead job.

    Attributes:
        died_at, sent_at: Seconds since 1970.
        generation, fence: Which death of the job it is: a later one has other numbers.
        reason: Why it was discarded; `code` is the last fault's, `target` who was asked last.
    """

    job: str
    died_at: float
    sent_at: float
    generation: int = 0
    fence: int = 0
    attempts: int = 0
    fingerprint: str = ""
    reason: str = ""
    code: str = ""
    target: str = ""
    route: str = ""
    tenant: str = ""


def letter_of(record: Record) -> Letter | None:
    """What is listed of a record; None if it is no dead letter (an upgrade leaves none)."""
    if record.state is not State.DEAD or record.finished_at is None or upgraded(record.job):
        return None
    last = record.history[-1] if record.history else None
    return Letter(
        job=record.job,
        died_at=record.finished_at,
        sent_at=record.sent_at,
        generation=record.generation,
        fence=record.fence,
        attempts=record.attempts,
        fingerprint=record.fingerprint,
        reason=record.reason,
        code=last.code if last else "",
        target=last.target if last else "",
        route=record.route,
        tenant=record.tenant,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Which dead letters are meant: all that fit every part that is given.

    Attributes:
        jobs: Ids; of any job when empty.
        fingerprint: How the fingerprint begins.
        since, until: When they died, seconds since 1970; `until` itself is left out.
    """

    jobs: frozenset[str] = frozenset()
    fingerprint: str = ""
    reason: str = ""
    code: str = ""
    target: str = ""
    route: str = ""
    tenant: str = ""
    since: float = 0.0
    until: float = float("inf")

    @property
    def all(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Pick()

    def fits(self, letter: Letter) -> bool:
        """Whether a letter is meant.

        >>> letter = Letter(job="a", died_at=5.0, sent_at=0.0, fingerprint="7a3f", tenant="acme")
        >>> Pick(fingerprint="7a", tenant="acme").fits(letter), Pick(until=5.0).fits(letter)
        (True, False)
        """
        same = all(
            getattr(self, name) in ("", getattr(letter, name))
            for name in ("reason", "code", "target", "route", "tenant")
        )
        return (
            same
            and (not self.jobs or letter.job in self.jobs)
            and letter.fingerprint.startswith(self.fingerprint)
            and self.since <= letter.died_at < self.until
        )


class Remedy(StrEnum):
    """What a group of dead letters needs before it can do better."""

    MESSAGE = "edit the message, or discard it"
    SETTINGS = "correct the settings, then redrive"
    HEALTH = "redrive once the circuit is closed"
    TIME = "redrive: its time begins anew; or discard it"
    CARE = "look into the worker's log; redrive with --canary"


_REMEDIES: Final = MappingProxyType(
    dict.fromkeys(
        (
            "not_json",
            "too_large",
            "too_deep",
            "duplicate_key",
            "schema",
            "unknown_field",
            "missing_field",
            "invalid_field",
            "payload_forbidden",
            "payload_missing",
            "payload_mismatch",
            "id_conflict",
            "rejected",
            "too_long",
        ),
        Remedy.MESSAGE,
    )
    | dict.fromkeys(
        (
            "unknown_route",
            "unknown_reply_to",
            "task_tokens_off",
            "below_quality",
            "outside_geo",
            "answer_too_large",
        ),
        Remedy.SETTINGS,
    )
    | dict.fromkeys(("attempts_exhausted",), Remedy.HEALTH)
    | dict.fromkeys(("expired",), Remedy.TIME)
)


def remedy_of(reason: str) -> Remedy:
    """What to do about letters of one reason; an unknown reason asks for care.

    >>> remedy_of("unknown_route").value, remedy_of("crash_loop") is Remedy.CARE
    ('correct the settings, then redrive', True)
    """
    return _REMEDIES.get(reason, Remedy.CARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Letters that died of the same.

    Attributes:
        routes, targets, tenants: How many letters each has, most first.
        first_at, last_at: The deaths, seconds since 1970.
        sample: The job that died last.
        detail: What its record says, without what varies; "" until somebody has looked.
    """

    fingerprint: str
    reason: str
    code: str
    count: int
    routes: dict[str, int]
    targets: dict[str, int]
    tenants: dict[str, int]
    first_at: float
    last_at: float
    sample: str
    remedy: Remedy
    detail: str = ""


def grouped(letters: Iterable[Letter]) -> list[Group]:
    """The letters by fingerprint, the largest group first."""
    found: dict[str, list[Letter]] = {}
    for letter in letters:
        found.setdefault(letter.fingerprint, []).append(letter)
    groups = [_group(alike) for alike in found.values()]
    return sorted(groups, key=lambda group: (-group.count, group.fingerprint))


def _group(alike: Sequence[Letter]) -> Group:
    last = max(alike, key=lambda letter: (letter.died_at, letter.job))
    return Group(
        fingerprint=last.fingerprint,
        reason=last.reason,
        code=last.code,
        count=len(alike),
        routes=_counted(letter.route for letter in alike),
        targets=_counted(letter.target for letter in alike),
        tenants=_counted(letter.tenant for letter in alike),
        first_at=min(letter.died_at for letter in alike),
        last_at=last.died_at,
        sample=last.job,
        remedy=remedy_of(last.reason),
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(filter(None, names)).most_common())


# --- copies ------------------------------------------------------------------------


class Copy(StrEnum):
    """What a message of the dead-letter queue is, by the record of its job."""

    LETTER = "letter"  # of the death that is recorded
    OUTDATED = "outdated"  # of an earlier life, and the present one has ended and was told
    FOREIGN = "foreign"  # anything else: it stays, or `import` adopts it


def copy_of(record: Record | None, *, generation: int | None, message: str, digest: str) -> Copy:
    """What a message of the dead-letter queue is.

    A story is no proof of an earlier life: AWS's redrive keeps it, and SQS moves such a
    message back when nobody could end its job. The record knows it by its MessageId.

    Args:
        record: Of its job, None if there is none.
        generation: The life that the letter tells of; None if it tells none.
        message: Its MessageId.
        digest: What its body asks for, "" if nobody can read that.
    """
    if record is None:
        return Copy.FOREIGN
    rang = message in record.doorbells
    if record.state is State.DEAD:
        alike = record.digest in ("", digest)
        if generation == record.generation or (alike and (rang or generation is None)):
            return Copy.LETTER
    earlier = generation is not None and generation < record.generation and not rang
    return Copy.OUTDATED if earlier and record.state.final and record.told else Copy.FOREIGN


def told_generation(story: str) -> int | None:
    """The generation that the attribute `iw-dead` tells of, None if it tells none.

    >>> told_generation('{"v":1,"generation":2}'), told_generation("{"), told_generation("[]")
    (2, None, None)
    """
    try:
        tree: Any = orjson.loads(story)
    except orjson.JSONDecodeError:
        return None
    found = tree.get("generation") if isinstance(tree, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


# --- the log of what people did -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One row of the log: who did what to which dead letters, and why.

    Attributes:
        id: A name of its own.
        at: Seconds since 1970.
        verb: `show`, `redrive`, `edit`, `discard` or `import`.
        job: The one job that it was about, "" for many.
        what: Which letters, in words, and what became of them.
        original: The body before an edit, if it fits the row; else `original_ref` names it.
    """

    id: str
    at: float
    verb: str
    author: str
    why: str = ""
    job: str = ""
    what: str = ""
    original: bytes | None = field(default=None, repr=False)
    original_ref: str = ""
