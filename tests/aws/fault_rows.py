"""Every row of the fault table that a server can provoke.

The sections are those of the survey that the table was made from: errors that the
service models, errors that it does not, a 200 that is none, streams, connections.
"""

from typing import Final

from tests.aws.fault_row import (
    ALL,
    BOTH,
    INVOKE,
    STREAM,
    UNARY,
    Row,
    event,
    hint,
    hollow,
    model_error,
    page,
    refused,
    silent,
    stop,
    torn,
)
from worker.core.fault import Billed, Kind
from worker.local.outcomes import Answer, Close, EndEarly, Fail, Hang, Reset

PER_DAY: Final = "Too many tokens per day, please wait before trying again."
PER_MINUTE: Final = "Too many tokens, please wait before trying again."
THROUGHPUT: Final = (
    "Invocation of model ID anthropic.claude-sonnet-4-20250514-v1:0 with on-demand throughput "
    "isn\N{RIGHT SINGLE QUOTATION MARK}t supported. Retry your request with the ID or ARN of an "
    "inference profile that contains this model."
)
CONTEXT: Final = (
    "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, "
    "decrease input length or `max_tokens` and try again"
)
MODEL_LIMIT: Final = (
    "The maximum tokens you requested exceeds the model limit of 4096. "
    "Try again with a maximum tokens value that is lower than 4096."
)


MODELLED: Final = (  # 1.2 of the survey
    refused("ThrottlingException:requests", Kind.THROTTLED, 429),
    refused("ThrottlingException:tokens", Kind.THROTTLED, 429, PER_MINUTE),
    refused("ThrottlingException:day", Kind.EXHAUSTED, 429, PER_DAY),
    hint("ThrottlingException", 1500, 1.5),
    refused("ModelNotReadyException", Kind.UNAVAILABLE, 429),
    hint("ModelNotReadyException", 400, 10.0),
    hint("ModelNotReadyException", 45_000, 45.0),
    refused("ServiceUnavailableException", Kind.UNAVAILABLE, 503),
    refused("ServiceUnavailableException:busy", Kind.UNAVAILABLE, 503, "Too many connections"),
    refused("InternalServerException", Kind.UNAVAILABLE, 500),
    refused("ModelTimeoutException", Kind.TIMED_OUT, 408),
    model_error(None, Kind.UNAVAILABLE),
    model_error(400, Kind.REJECTED),
    model_error(404, Kind.MISCONFIGURED),
    model_error(408, Kind.TIMED_OUT),
    model_error(429, Kind.THROTTLED),
    model_error(500, Kind.UNAVAILABLE),
    refused("ModelStreamErrorException", Kind.UNAVAILABLE, 424),
    refused("ValidationException", Kind.REJECTED, 400),
    refused("ValidationException:long input", Kind.TOO_LONG, 400, "Input is too long for it."),
    refused("ValidationException:long prompt", Kind.TOO_LONG, 400, "prompt is too long: 9 > 8"),
    refused("ValidationException:context", Kind.TOO_LONG, 400, CONTEXT),
    refused("ValidationException:throughput", Kind.MISCONFIGURED, 400, THROUGHPUT),
    refused(
        "ValidationException:model",
        Kind.MISCONFIGURED,
        400,
        "The provided model identifier is invalid.",
    ),
    refused("ValidationException:limit", Kind.MISCONFIGURED, 400, MODEL_LIMIT),
    refused(
        "ValidationException:our field",
        Kind.MISCONFIGURED,
        400,
        "This model doesn't support the serviceTier field. Remove serviceTier and try again.",
    ),
    refused(
        "ValidationException:field of the job",
        Kind.REJECTED,
        400,
        "This model doesn't support the stopSequences field. Remove it and try again.",
    ),
    refused(
        "ValidationException:text of the job",
        Kind.REJECTED,
        400,
        "Malformed input: 'on-demand throughput' is no role",
    ),
    refused("ServiceQuotaExceededException", Kind.EXHAUSTED, 400),
    refused("AccessDeniedException", Kind.MISCONFIGURED, 403),
    refused(
        "AccessDeniedException:expired",
        Kind.LOCAL,
        403,
        "The security token included in the request is expired",
    ),
    refused("ResourceNotFoundException", Kind.MISCONFIGURED, 404),
    refused("ConflictException", Kind.REJECTED, 400),
)

UNMODELLED: Final = (  # 1.3
    refused("ExpiredTokenException", Kind.LOCAL, 403),
    refused("ExpiredToken", Kind.LOCAL, 400),
    refused("RequestExpired", Kind.LOCAL, 400),
    refused("UnrecognizedClientException", Kind.LOCAL, 403),
    refused("InvalidClientTokenId", Kind.LOCAL, 403),
    refused("MissingAuthenticationToken", Kind.LOCAL, 403),
    refused("MissingAuthenticationTokenException", Kind.LOCAL, 403),
    refused("IncompleteSignature", Kind.LOCAL, 400),
    refused("InvalidSignatureException", Kind.LOCAL, 403),
    refused("SignatureDoesNotMatch", Kind.LOCAL, 403),
    refused("NotAuthorized", Kind.MISCONFIGURED, 400),
    refused("OptInRequired", Kind.MISCONFIGURED, 403),
    refused("MPAgreementBeingCreated", Kind.MISCONFIGURED, 403),
    refused("InternalFailure", Kind.UNAVAILABLE, 500),
    refused("ServiceUnavailable", Kind.UNAVAILABLE, 503),
    refused("RequestTimeout", Kind.UNAVAILABLE, 408),
    refused("RequestTimeoutException", Kind.UNAVAILABLE, 400),
    refused("PriorRequestNotComplete", Kind.UNAVAILABLE, 400),
    refused("UnknownOperationException", Kind.MISCONFIGURED, 404),
    refused("SerializationException", Kind.REJECTED, 400),
    refused("TeapotException", Kind.REJECTED, 418),
    refused("BrandNewException", Kind.UNAVAILABLE, 520),
    refused("BrandNewDenial", Kind.MISCONFIGURED, 403),
    Row(
        name="overloaded",
        outcome=Fail("overloaded_error"),
        kind=Kind.UNAVAILABLE,
        code="529",
        http=529,
    ),
    page(502, Kind.UNAVAILABLE),
    page(503, Kind.UNAVAILABLE),
    page(504, Kind.UNAVAILABLE, Billed.MAYBE),
    page(413, Kind.REJECTED),
    page(403, Kind.MISCONFIGURED),
    page(408, Kind.TIMED_OUT, Billed.MAYBE),
    page(429, Kind.THROTTLED),
)

HOLLOW: Final = (  # 1.4
    hollow("no output", Answer(omit=frozenset({"output"})), UNARY, "malformed_response"),
    hollow("no stop", Answer(omit=frozenset({"stopReason"})), UNARY, "malformed_response"),
    hollow("no usage", Answer(omit=frozenset({"usage"})), BOTH, "malformed_response"),
    hollow(
        "{}",
        Answer(omit=frozenset({"output", "stopReason", "usage", "metrics"})),
        UNARY,
        "malformed_response",
    ),
    hollow("torn JSON", EndEarly(), UNARY + INVOKE, "malformed_response"),
    stop("malformed_model_output", Kind.POOR),
    stop("malformed_tool_use", Kind.POOR),
    stop("model_context_window_exceeded", Kind.TOO_LONG),
)

STREAMED: Final = (  # 1.5
    event("throttlingException", Kind.THROTTLED, "ThrottlingException"),
    event("serviceUnavailableException", Kind.UNAVAILABLE, "ServiceUnavailableException"),
    event("internalServerException", Kind.UNAVAILABLE, "InternalServerException"),
    event("modelStreamErrorException", Kind.UNAVAILABLE, "ModelStreamErrorException"),
    event("validationException", Kind.REJECTED, "ValidationException"),
    event("modelTimeoutException", Kind.UNAVAILABLE, "EventStreamError"),
    event("somethingNewException", Kind.UNAVAILABLE, "EventStreamError"),
    hollow("clean end", EndEarly(2), STREAM, "stream_truncated"),
    hollow("empty stream", EndEarly(0), STREAM, "stream_truncated"),
    hollow("no messageStop", Answer(omit=frozenset({"stopReason"})), STREAM, "stream_truncated"),
    hollow("no metadata", Answer(omit=frozenset({"usage", "metrics"})), STREAM, "stream_truncated"),
    torn(
        "cut in an event", Close(2), STREAM, code="ClientPayloadError", http=200, billed=Billed.YES
    ),
    torn("reset in a stream", Reset(2), STREAM, http=200, billed=Billed.YES),
    silent("no headers", Hang(), STREAM, "first_token", None, first_token_s=0.15),
    silent("no first event", Hang(0), STREAM, "first_token", 200, first_token_s=0.15),
    silent("stall", Hang(2), STREAM, "stall", 200, stall_s=0.15),
    silent("long stall", Hang(2), STREAM, "attempt", 200, bound_s=0.15, stall_s=9, read_s=1),
    silent("backstop in a stream", Hang(2), STREAM, "", 200, read_s=0.15),
)

BROKEN: Final = (  # 1.6 and 1.7, as far as a server can do it
    torn("closed", Close(), ALL, code="ConnectionClosedError", billed=Billed.MAYBE),
    torn("reset", Reset(), ALL, billed=Billed.MAYBE),
    torn("body cut", Close(0), UNARY, code="ConnectionClosedError", billed=Billed.MAYBE),
    torn("native body cut", Close(0), INVOKE, code="ClientPayloadError", billed=Billed.YES),
    silent("backstop", Hang(), UNARY + INVOKE, "", None, read_s=0.15),
    silent("hang", Hang(), UNARY + INVOKE, "attempt", None, bound_s=0.15),
    silent("hang in the body", Hang(0), UNARY + INVOKE, "attempt", None, bound_s=0.15),
)

ROWS: Final = MODELLED + UNMODELLED + HOLLOW + STREAMED + BROKEN
