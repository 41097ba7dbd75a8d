"""The errors that Bedrock Runtime and what stands before it are known to send.

The first twelve are the service's model; the rest come without a model and reach
an SDK as a plain client error. The statuses of the twelve are those of botocore's
service model, and a test compares them; most of the others are from the "Common
errors" page of the Bedrock API.
"""

from dataclasses import dataclass
from typing import Final

import orjson


@dataclass(frozen=True, slots=True)
class ServiceError:
    """One error: its HTTP status, and what it says unless told otherwise."""

    status: int
    message: str


MODELLED: Final = {
    "AccessDeniedException": ServiceError(
        403, "You don't have access to the model with the specified model ID."
    ),
    "ConflictException": ServiceError(400, "Conflict with an earlier request."),
    "InternalServerException": ServiceError(
        500, "The system encountered an unexpected error during processing. Try your request again."
    ),
    "ModelErrorException": ServiceError(
        424, "The request failed due to an error while processing the model."
    ),
    "ModelNotReadyException": ServiceError(
        429, "Model is not ready for inference. Wait and try your request again."
    ),
    "ModelStreamErrorException": ServiceError(
        424, "An error occurred while streaming the response. Retry your request."
    ),
    "ModelTimeoutException": ServiceError(
        408, "Model has timed out in processing the request. Try your request again."
    ),
    "ResourceNotFoundException": ServiceError(404, "Could not resolve the foundation model."),
    "ServiceQuotaExceededException": ServiceError(400, "Your request exceeds the service quota."),
    "ServiceUnavailableException": ServiceError(
        503, "Bedrock is unable to process your request. Try again."
    ),
    "ThrottlingException": ServiceError(429, "Too many requests, please wait before trying again."),
    "ValidationException": ServiceError(400, "The input fails to satisfy the constraints."),
}

UNMODELLED: Final = {
    "ExpiredTokenException": ServiceError(
        403, "The security token included in the request is expired"
    ),
    "UnrecognizedClientException": ServiceError(
        403, "The security token included in the request is invalid."
    ),
    "InvalidSignatureException": ServiceError(
        403, "The request signature we calculated does not match the signature you provided."
    ),
    "MissingAuthenticationTokenException": ServiceError(403, "Missing Authentication Token"),
    "InternalFailure": ServiceError(500, "An internal failure occurred."),
    "ServiceUnavailable": ServiceError(503, "Service is unavailable."),
    "RequestTimeout": ServiceError(408, "The request timed out."),
    "RequestExpired": ServiceError(400, "Request has expired."),
    "SerializationException": ServiceError(400, "The request could not be deserialized."),
    "UnknownOperationException": ServiceError(404, "The operation is not known."),
    "overloaded_error": ServiceError(529, "Overloaded"),
}

ERRORS: Final = MODELLED | UNMODELLED

TOO_MANY_TOKENS: Final = "Too many tokens, please wait before trying again."


def error_body(code: str, message: str, original_status: int | None) -> bytes:
    """The JSON body of an error; its code travels in the header `x-amzn-ErrorType`."""
    if code == "overloaded_error":  # the one that speaks Anthropic's dialect, without a header
        return orjson.dumps({"type": "error", "error": {"type": code, "message": message}})
    body: dict[str, str | int] = {"message": message}
    if original_status is not None:
        body["originalStatusCode"] = original_status
        body["originalMessage"] = message
    return orjson.dumps(body)
