"""From an error of Bedrock Runtime to a `Fault`: tables, and how to read them.

    BY_CODE         the service's own error shapes, as botocore models them
    BY_OTHER_CODE   codes that no model lists
    BY_TEXT         what a message says more exactly, within one code only
    BY_STATUS       a code that nobody knows, or none
    BY_CLASS        what the SDK raises itself: in `bedrock_sdk_faults.py`

A fault holds codes, class names and sentences of the service, `normalised`, and
never text of a job. What no table knows is `unknown`.

Sources: botocore's model of bedrock-runtime (2023-09-30); "Common errors" of the
Bedrock API; "Troubleshooting Bedrock API error codes" of its user guide.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import isfinite
from types import MappingProxyType
from typing import Any, Final

from worker.aws.bedrock_sdk_faults import fault_of_exception
from worker.core.echo import without_echo
from worker.core.fault import Billed, Fault, Kind, normalised

# tests/aws holds this equal to the service model: an SDK that adds an error fails there.
BY_CODE: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "AccessDeniedException": Kind.MISCONFIGURED,
        "ConflictException": Kind.REJECTED,
        "InternalServerException": Kind.UNAVAILABLE,
        "ModelErrorException": Kind.UNAVAILABLE,  # or as its `originalStatusCode` says
        "ModelNotReadyException": Kind.UNAVAILABLE,
        "ModelStreamErrorException": Kind.UNAVAILABLE,  # likewise
        "ModelTimeoutException": Kind.TIMED_OUT,
        "ResourceNotFoundException": Kind.MISCONFIGURED,
        "ServiceQuotaExceededException": Kind.EXHAUSTED,
        "ServiceUnavailableException": Kind.UNAVAILABLE,
        "ThrottlingException": Kind.THROTTLED,
        "ValidationException": Kind.REJECTED,
    }
)


def _each(rows: Mapping[Kind, str]) -> Mapping[str, Kind]:
    return MappingProxyType({name: kind for kind, names in rows.items() for name in names.split()})


BY_OTHER_CODE: Final = _each(
    {
        # Our signature or our clock: another process may well be right.
        Kind.LOCAL: "ExpiredToken ExpiredTokenException IncompleteSignature "
        "IncompleteSignatureException InvalidClientTokenId InvalidSignatureException "
        "MissingAuthenticationToken MissingAuthenticationTokenException RequestExpired "
        "RequestInTheFuture SignatureDoesNotMatch UnrecognizedClientException",
        Kind.MISCONFIGURED: "AccessDenied MPAgreementBeingCreated NotAuthorized OptInRequired "
        "UnknownOperationException",
        # A request that never arrived whole is no slow model: `RequestTimeout` is not `timed_out`.
        Kind.UNAVAILABLE: "InternalFailure InternalServerError PriorRequestNotComplete "
        "RequestTimeout RequestTimeoutException ServiceUnavailable",
        Kind.THROTTLED: "RequestLimitExceeded SlowDown Throttling TooManyRequestsException",
        Kind.REJECTED: "SerializationException",
    }
)

# Each pattern is looked for in the cleaned message, so that what a message quotes
# from a job cannot speak; but `too_long` in the whole of it, for there the service
# itself quotes ("input length and `max_tokens` exceed context limit: ...").
# "Doesn't support the x field" is `misconfigured` for fields of ours only: any other
# is the job's, and a job must not take a target away from all others.
BY_TEXT: Final[Mapping[str, tuple[tuple[str, Kind], ...]]] = MappingProxyType(
    {
        "ThrottlingException": ((r"per day|daily", Kind.EXHAUSTED),),
        "AccessDeniedException": ((r"security token .*(?:expired|invalid)", Kind.LOCAL),),
        "ValidationException": (
            (r"(?:input|prompt|request) is too long", Kind.TOO_LONG),
            (r"exceeds? (?:the )?context|context (?:window|length)", Kind.TOO_LONG),
            (r"too many input tokens|input tokens exceed", Kind.TOO_LONG),
            (r"on-demand throughput|model identifier is invalid", Kind.MISCONFIGURED),
            (r"maximum tokens you requested", Kind.MISCONFIGURED),
            (r"doesn.?t support (?:the model|this model|on-demand)", Kind.MISCONFIGURED),
            (
                r"doesn.?t support the (?:maxTokens|requestMetadata|serviceTier) field",
                Kind.MISCONFIGURED,
            ),
            (r"unsupported for streaming|end of its life", Kind.MISCONFIGURED),
        ),
        # An event that the operation does not model comes without a code.
        "": ((r"timed? ?out", Kind.TIMED_OUT), (r"too many|throttl", Kind.THROTTLED)),
    }
)

BY_STATUS: Final[Mapping[int, Kind]] = MappingProxyType(
    {
        401: Kind.MISCONFIGURED,
        403: Kind.MISCONFIGURED,
        404: Kind.MISCONFIGURED,
        405: Kind.MISCONFIGURED,
        407: Kind.LOCAL,
        408: Kind.TIMED_OUT,
        424: Kind.UNAVAILABLE,
        429: Kind.THROTTLED,
    }
)
BY_HUNDRED: Final[Mapping[int, Kind]] = MappingProxyType(
    {3: Kind.MISCONFIGURED, 4: Kind.REJECTED, 5: Kind.UNAVAILABLE}
)

CLEAN_MAX: Final = 500
CLEAN_CHARS_MAX: Final = 1000
_CLEAN: Final[OrderedDict[str, None]] = OrderedDict()  # in an outage the same ones come all day

WARM_UP_S: Final = 10.0
"""A model that is not ready is not worth asking sooner: the job waits elsewhere."""

OPERATIONS: Final = frozenset({"Converse", "ConverseStream", "InvokeModel"})
_MAYBE_BILLED: Final = frozenset({"ModelStreamErrorException"})
_CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")
# Where a message becomes a tree or a page: the request's own, or who knows whose.
_FOREIGN: Final = re.compile(r"[\[{<].*", re.DOTALL)
_TEXTS: Final = {
    code: tuple((re.compile(says, re.IGNORECASE), kind) for says, kind in rows)
    for code, rows in BY_TEXT.items()
}


def fault_of(error: Exception, *, at: float, request: Iterable[object] = ()) -> Fault:
    """The fault that `error` tells of; never text of the job.

    Args:
        error: What one call of `OPERATIONS` raised.
        at: Now, in seconds since 1970: a hint of the service may be a date.
        request: What was asked: the service may give it back.

    Raises:
        MemoryError: It was one; that is no fault of a service.
    """
    if isinstance(error, MemoryError):
        raise error
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return _of_answer(error, response, at, request)
    return fault_of_exception(error)


def retry_after_s(headers: Mapping[str, str], at: float) -> float | None:
    """How long the service asks us to wait, in seconds; None if it does not say.

    >>> retry_after_s({"retry-after": "7", "x-amz-retry-after": "1500"}, at=0.0)
    1.5
    >>> retry_after_s({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, at=45.0)
    15.0
    """
    for name, unit_s in (
        ("x-amz-retry-after", 0.001),
        ("retry-after-ms", 0.001),
        ("retry-after", 1.0),
    ):
        if (hint := headers.get(name)) is None:
            continue
        try:
            wait_s = float(hint) * unit_s
        except ValueError:
            wait_s = _until(hint, at)
        if isfinite(wait_s) and wait_s >= 0.0:
            return wait_s
    return None


def kind_of_status(status: int | None) -> Kind:
    """What a status means where no code says more."""
    if status is None:
        return Kind.UNKNOWN
    return BY_STATUS.get(status) or BY_HUNDRED.get(status // 100, Kind.UNKNOWN)


def _of_answer(
    error: Exception, response: Mapping[str, Any], at: float, request: Iterable[object]
) -> Fault:
    """The fault of an error that the service (or something before it) answered with."""
    said = response.get("Error", {})
    told = str(said.get("Message") or "")
    message = normalised(_FOREIGN.sub("<>", told))
    meta = response.get("ResponseMetadata")
    streamed = meta is None  # an event of a stream has no headers of its own
    meta = meta or {}
    http = meta.get("HTTPStatusCode")
    raw = str(said.get("Code") or "").partition(":")[0]
    code = raw[:1].upper() + raw[1:] if _CODE.fullmatch(raw) else ""
    known = _by_text(code, told, message) if code or streamed else None
    known = known or BY_CODE.get(code) or BY_OTHER_CODE.get(code)
    kind = known or (Kind.UNAVAILABLE if streamed else kind_of_status(http))
    original = response.get("originalStatusCode")
    if kind is Kind.UNAVAILABLE and isinstance(original, int):
        kind = kind_of_status(original)
    if getattr(error, "operation_name", None) not in OPERATIONS:
        kind = Kind.LOCAL  # a call that was made to get credentials
    wait_s = retry_after_s(meta.get("HTTPHeaders", {}), at)
    if code == "ModelNotReadyException":
        wait_s = max(WARM_UP_S, wait_s or 0.0)
    paid = streamed or kind is Kind.TIMED_OUT or code in _MAYBE_BILLED
    return Fault(
        kind=kind,
        code=code or type(error).__name__,
        http=http,
        message=_message(_FOREIGN.sub("<>", told), request),
        request_id=str(meta.get("RequestId") or ""),
        billed=Billed.MAYBE if paid or http == HTTPStatus.GATEWAY_TIMEOUT else Billed.NO,
        retry_after_s=wait_s,
    )


def _message(told: str, request: Iterable[object]) -> str:
    """The service's sentence alone. One that had no echo once is not compared again."""
    if told not in _CLEAN:
        without = without_echo(told, request)
        if without.split() != told.split():
            return normalised(without)
        if len(told) <= CLEAN_CHARS_MAX:
            _CLEAN[told] = None
        if len(_CLEAN) > CLEAN_MAX:
            _CLEAN.popitem(last=False)
    return normalised(told)


def _by_text(code: str, told: str, message: str) -> Kind | None:
    for says, kind in _TEXTS.get(code, ()):
        if says.search(told if kind is Kind.TOO_LONG else message):
            return kind
    return None


def _until(date: str, at: float) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - at)
    except (ValueError, OverflowError):
        return -1.0
