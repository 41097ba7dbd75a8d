"""What a single value may be: the types that the settings are made of, each with its error."""

import re
from collections.abc import Callable
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from worker.core.answer import ANSWERED
from worker.core.fault import Kind
from worker.core.geo import is_place
from worker.settings.schema import matcher

DAY_S: Final = 86_400.0
MIB: Final = 1_048_576

_NAME: Final = re.compile(r"[a-z0-9](?:_?[a-z0-9-]){0,31}")
_MEMBER: Final = rf"(?:{_NAME.pattern})(?::[0-9]{{1,6}}(?:\.[0-9]{{1,3}})?)?"
_STEP: Final = re.compile(rf"{_MEMBER}(?: *\| *{_MEMBER})*")
_TOKEN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_WORD: Final = re.compile(r"[a-z][a-z_ -]{0,31}")


def valid(is_valid: Callable[[str], object], says: str) -> AfterValidator:
    """A check of one text, and what its error says."""

    def check(value: str) -> str:
        if not is_valid(value):
            raise ValueError(says)
        return value

    return AfterValidator(check)


def matching(pattern: re.Pattern[str], says: str) -> AfterValidator:
    """A text that a pattern matches as a whole, and what the error says."""
    return valid(pattern.fullmatch, says)


def _is_about_a_target(kind: Kind) -> Kind:
    if kind in (Kind.REJECTED, Kind.LOCAL):
        msg = (
            "must be a fault that another target may not have; a bad job has it everywhere, and "
            "our own trouble is no target's"
        )
        raise ValueError(msg)
    return kind


def _is_schema(value: str) -> bool:
    try:
        matcher(value)
    except ValueError:
        return False
    return True


def _queue_url(value: str) -> str:
    parts = urlsplit(value)
    wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.username
    if wrong or not _queue_path(parts.path) or parts.query or parts.fragment:
        msg = "must be the URL of a queue, https://<host>/<account>/<name>, and not its name or ARN"
        raise ValueError(msg)
    return value


def _queue_path(path: str) -> bool:
    return re.fullmatch(r"(?:/[A-Za-z0-9_.-]+)+", path) is not None


def _split(value: object) -> object:
    """A list in one environment variable: `a,b`, or JSON for those who like it."""
    if not isinstance(value, str):
        return value
    return [part.strip(' "') for part in value.strip(" []").split(",") if part.strip()]


Name = Annotated[
    str, matching(_NAME, "must be 1 to 32 characters of a-z 0-9 - and single _ between them")
]
Step = Annotated[
    str,
    matching(
        _STEP,
        "must be the name of a target, or of several that share the work, with a weight where "
        "they do not share evenly: `near:3 | far`",
    ),
]
QueueUrl = Annotated[str, AfterValidator(_queue_url)]
BucketName = Annotated[str, matching(_BUCKET, "must be the name of a bucket")]
Steps = Annotated[tuple[Step, ...], NoDecode, BeforeValidator(_split)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_split)]
BucketNames = Annotated[tuple[BucketName, ...], NoDecode, BeforeValidator(_split)]
Words = Annotated[
    tuple[Annotated[str, matching(_WORD, "must be 1 to 32 characters of a-z _ -")], ...],
    NoDecode,
    BeforeValidator(_split),
]
Place = Annotated[str, valid(is_place, "must be a geography (`eu`, `us`, `apac`, …) or a Region")]
Places = Annotated[tuple[Place, ...], NoDecode, BeforeValidator(_split)]
JsonSchema = Annotated[
    str,
    valid(_is_schema, "must be a JSON Schema, as JSON text, that refers to no other document"),
]
StopReason = Annotated[
    str, valid(ANSWERED.__contains__, f"must be one of {', '.join(sorted(ANSWERED))}")
]
StopReasons = Annotated[tuple[StopReason, ...], NoDecode, BeforeValidator(_split)]
# A bad job and our own trouble are no target's fault: what is done about them is no choice.
TargetsFault = Annotated[
    Kind,
    AfterValidator(_is_about_a_target),
]
Quality = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0.01, le=0.99)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


Service = Annotated[str, matching(_TOKEN, "must be letters and digits, with . _ - between them")]


class Section(BaseModel):
    """A table of settings: frozen, and closed to names it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )
