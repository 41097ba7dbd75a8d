"""What can go wrong with one call, and how we react to it: one table.

A `Fault` is what was seen, already named and cleaned: it carries no prompt and
no answer text. `REACTIONS` says for every kind of fault what it means for the
target (vote), for this delivery (try again?) and for the job (ending).
Which exception becomes which kind is the business of `aws/faults.py`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from worker.core.answer import Usage
from worker.core.window import Outcome


class Kind(StrEnum):
    """What a fault is about. The order is that of `docs/faults.md`."""

    UNAVAILABLE = "unavailable"
    TIMED_OUT = "timed_out"
    THROTTLED = "throttled"
    EXHAUSTED = "exhausted"
    REJECTED = "rejected"
    TOO_LONG = "too_long"
    MISCONFIGURED = "misconfigured"
    POOR = "poor"
    UNREACHABLE = "unreachable"
    LOCAL = "local"
    UNKNOWN = "unknown"


class Vote(StrEnum):
    """What a finished call tells its target's breaker and pacer, and its endpoint's breaker."""

    OK = "ok"
    FAIL = "fail"
    FAIL_ENDPOINT = "fail_endpoint"
    THROTTLE = "throttle"
    EXHAUST = "exhaust"
    QUARANTINE = "quarantine"
    IGNORE = "ignore"


class Again(StrEnum):
    """Whether this delivery may make another attempt, and where."""

    NEVER = "never"
    SAME = "same"  # the next target if there is one, else the same one after a backoff
    OTHER = "other"  # only another target
    LARGER = "larger"  # only a target with a larger context window


class Ending(StrEnum):
    """What becomes of the job when no attempt is left in this delivery."""

    PARK = "park"
    DISCARD = "discard"
    RELEASE = "release"


class Billed(StrEnum):
    """Whether the call was paid for although it gave no answer."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One row of the table.

    `charges` says whether the call counts as an attempt of the job; `wears_out`
    whether a job that used up all its attempts on such faults is discarded
    (it may be the cause) or goes on waiting (nobody is to blame).
    """

    vote: Vote
    slow: bool = False
    again: Again
    ending: Ending
    degrades: bool = True
    charges: bool = True
    wears_out: bool = False
    base_s: float = 0.1


REACTIONS: Final[Mapping[Kind, Reaction]] = MappingProxyType(
    {
        Kind.UNAVAILABLE: Reaction(vote=Vote.FAIL, again=Again.SAME, ending=Ending.PARK),
        Kind.TIMED_OUT: Reaction(
            vote=Vote.FAIL, slow=True, again=Again.OTHER, ending=Ending.PARK, wears_out=True
        ),
        Kind.THROTTLED: Reaction(
            vote=Vote.THROTTLE, again=Again.SAME, ending=Ending.PARK, charges=False, base_s=1.0
        ),
        Kind.EXHAUSTED: Reaction(
            vote=Vote.EXHAUST, again=Again.OTHER, ending=Ending.PARK, charges=False
        ),
        Kind.REJECTED: Reaction(
            vote=Vote.IGNORE, again=Again.NEVER, ending=Ending.DISCARD, degrades=False
        ),
        Kind.TOO_LONG: Reaction(vote=Vote.IGNORE, again=Again.LARGER, ending=Ending.DISCARD),
        Kind.MISCONFIGURED: Reaction(
            vote=Vote.QUARANTINE, again=Again.OTHER, ending=Ending.PARK, charges=False
        ),
        Kind.POOR: Reaction(vote=Vote.OK, again=Again.SAME, ending=Ending.PARK, wears_out=True),
        Kind.UNREACHABLE: Reaction(
            vote=Vote.FAIL_ENDPOINT, again=Again.OTHER, ending=Ending.PARK, charges=False
        ),
        Kind.LOCAL: Reaction(
            vote=Vote.IGNORE,
            again=Again.NEVER,
            ending=Ending.RELEASE,
            degrades=False,
            charges=False,
        ),
        Kind.UNKNOWN: Reaction(
            vote=Vote.FAIL, again=Again.SAME, ending=Ending.PARK, wears_out=True
        ),
    }
)


# About the job, or about we know not what: such a message may name parts of the request
# without quotation marks, which `normalised` cannot tell from the sentence.
OF_JOB: Final = frozenset({Kind.REJECTED, Kind.TOO_LONG, Kind.POOR, Kind.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong with one call.

    Attributes:
        kind: The row of `REACTIONS`.
        code: The service's own code (`ThrottlingException`) or the name of the
            exception class; at most 64 characters.
        http: The HTTP status, or None if there was no answer.
        message: The service's message with everything variable taken out
            (`normalised`); never job text. At most 160 characters.
        request_id: The service's request id, "" if it gave none.
        spent: The tokens that it cost, where the service told them.
        retry_after_s: How long the service asks us to wait, in seconds.
        timer: Which of our timers fired (`attempt`, `first_token`, `stall`), or "".
    """

    kind: Kind
    code: str
    http: int | None = None
    message: str = ""
    request_id: str = ""
    billed: Billed = Billed.NO
    spent: Usage | None = None
    retry_after_s: float | None = None
    timer: str = ""

    @property
    def reaction(self) -> Reaction:
        """How we react to it."""
        return REACTIONS[self.kind]

    @property
    def sentence(self) -> str:
        """The message if all may hear it, else ""."""
        return "" if self.kind in OF_JOB else self.message


def heard(vote: Vote, *, slow: bool, answered: bool) -> tuple[Outcome, Outcome]:
    """What a finished call tells of its target, and what of its endpoint.

    Args:
        vote: Of the fault's row; OK for an answer.
        slow: Whether the call took longer than the target's limit.
        answered: Whether the endpoint gave any answer at all.

    >>> heard(Vote.FAIL, slow=True, answered=False)
    (<Outcome.HUNG: 'hung'>, <Outcome.IGNORED: 'ignored'>)
    """
    reached = Outcome.SUCCESS if answered else Outcome.IGNORED
    match vote:
        case Vote.OK:
            return (Outcome.SLOW if slow else Outcome.SUCCESS), Outcome.SUCCESS
        case Vote.FAIL:
            return (Outcome.HUNG if slow else Outcome.FAILURE), reached
        case Vote.FAIL_ENDPOINT:
            return Outcome.IGNORED, Outcome.FAILURE
        case Vote.THROTTLE:
            return Outcome.THROTTLED, reached
        case Vote.EXHAUST:
            return Outcome.EXHAUSTED, reached
        case Vote.QUARANTINE:
            return Outcome.DENIED, reached
        case Vote.IGNORE:  # pragma: no branch  (closed enum)
            return Outcome.IGNORED, Outcome.IGNORED


_APOSTROPHE: Final = re.compile(r"(?<=\w)['\u2019](?=(?:s|t|d|m|re|ve|ll)\b)")
_MARK: Final = re.compile(r"""['"`“”„\u2018\u2019«»]""")
_CLOSES: Final = MappingProxyType({"“": "”", "„": "“", "\u2018": "\u2019", "«": "»"})
_IDENTIFIER: Final = re.compile(r"\b(?:arn:\S+|https?://\S+|[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*)")
_NUMBER: Final = re.compile(r"\d[\d.,]*")


def normalised(message: str) -> str:
    """A message without what varies from job to job: quotes, ids, numbers.

    Service messages may quote the request, and a quotation may itself hold
    quotation marks. So all goes from the first mark to the last, and everything
    after the first where they do not pair. What stays is the sentence around
    it, at most 160 characters: equal causes have equal messages, and no quoted
    job text leaves the process.

    >>> normalised("The maximum tokens you requested exceeds the model limit of 4,096.")
    'The maximum tokens you requested exceeds the model limit of N'
    >>> normalised("Malformed input: expected type 'x', found 'my secret prompt'")
    'Malformed input: expected type <>'
    >>> normalised("Value 'it's my 'secret' prompt' at 'text' isn't allowed")
    'Value <> isnt allowed'
    """
    text = " ".join(_unquoted(message)[:2000].split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    text = _IDENTIFIER.sub("<id>", text)
    text = _NUMBER.sub("N", text)
    return text[:160].rstrip()


def _unquoted(message: str) -> str:
    text = _APOSTROPHE.sub("", message)
    marks = list(_MARK.finditer(text))
    if not marks:
        return text
    first, last = marks[0], marks[-1]
    paired = len(marks) % 2 == 0 and last[0] == _CLOSES.get(first[0], first[0])
    return f"{text[: first.start()]}<>{text[last.end() :] if paired else ''}"


def fingerprint(reason: str, code: str, message: str) -> str:
    """The name of a group of alike dead letters: 12 hex digits.

    Args:
        reason: Why the job was discarded.
        code: The last fault's code, or "".
        message: The last fault's message, already `normalised`.
    """
    text = f"{reason}\n{code}\n{message}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
