"""The fault tables: nothing of the SDK is unknown, and no text of a job gets through."""

import builtins
import errno
import inspect
import socket
import ssl
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import aiohttp
import botocore.exceptions
import botocore.session
import pytest
from aiobotocore.response import AioReadTimeoutError
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    EventStreamError,
    HTTPClientError,
    ParamValidationError,
)
from botocore.parsers import ResponseParserError
from botocore.validate import validate_parameters

from tests.aws.bedrock_stage import SECRET
from worker.aws.bedrock_sdk_faults import BY_CLASS
from worker.aws.faults import (
    BY_CODE,
    BY_OTHER_CODE,
    OPERATIONS,
    fault_of,
    kind_of_status,
    retry_after_s,
)
from worker.core.fault import Billed, Fault, Kind

SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")

# What no call of ours can raise: other services, paginators, waiters, stubs; and what
# is no class of its own (`BotoCoreError`) or has a response (`ClientError`).
NOT_OURS = {
    "BotoCoreError",
    "ClientError",
    "EventStreamError",
    "ImminentRemovalWarning",
    "InvalidDNSNameError",
    "InvalidExpressionError",
    "InvalidS3AddressingStyleError",
    "InvalidS3UsEast1RegionalEndpointConfigError",
    "OperationNotPageableError",
    "PaginationError",
    "StubAssertionError",
    "StubResponseError",
    "UnStubbedResponseError",
    "UnseekableStreamError",
    "UnsupportedOutpostResourceError",
    "UnsupportedS3AccesspointConfigurationError",
    "UnsupportedS3ArnError",
    "UnsupportedS3ConfigurationError",
    "UnsupportedS3ControlArnError",
    "UnsupportedS3ControlConfigurationError",
    "UnsupportedTLSVersionWarning",
    "WaiterConfigError",
    "WaiterError",
}


def _classes(module: ModuleType, base: type[BaseException]) -> Iterator[type[BaseException]]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, base):
            yield found


def _told(error: Exception) -> Fault:
    return fault_of(error, at=0.0)


def _bare(cls: type[BaseException]) -> Any:
    """An instance of a class whose constructor we know nothing of."""
    return cls.__new__(cls)


def _answered(code: str, http: int, message: str = "", **headers: str) -> ClientError:
    metadata = {"HTTPStatusCode": http, "HTTPHeaders": headers, "RequestId": "r-1"}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return ClientError(response, "Converse")


def test_every_error_shape_of_the_service_has_a_kind() -> None:
    assert {shape.error_code for shape in SERVICE.error_shapes} == set(BY_CODE)


def test_every_error_of_our_operations_is_read_from_its_code() -> None:
    for operation in OPERATIONS:
        for shape in SERVICE.operation_model(operation).error_shapes:
            http = shape.metadata["error"]["httpStatusCode"]

            fault = _told(_answered(shape.error_code, http))

            assert (fault.kind, fault.code) == (BY_CODE[shape.error_code], shape.error_code)


def test_every_error_event_of_a_stream_has_a_kind() -> None:
    stream = SERVICE.operation_model("ConverseStream").get_event_stream_output()
    events = [n for n, s in stream.members.items() if s.metadata.get("exception")]

    for name in events:
        error = EventStreamError({"Error": {"Code": name, "Message": ""}}, "ConverseStream")

        assert _told(error).kind is BY_CODE[name[0].upper() + name[1:]]
    assert events


def test_every_exception_of_the_sdk_has_a_row() -> None:
    names = {f.__name__ for f in _classes(botocore.exceptions, Exception)}
    unknown = {
        found.__name__
        for found in _classes(botocore.exceptions, Exception)
        if _told(_bare(found)).kind is Kind.UNKNOWN
    }

    assert unknown <= NOT_OURS, "a new SDK raises something new: give it a row"
    assert names >= NOT_OURS


def test_every_exception_of_aiohttp_has_a_row() -> None:
    unknown = {
        found.__name__
        for found in _classes(aiohttp, aiohttp.ClientError)
        if _told(_bare(found)).kind is Kind.UNKNOWN
    }

    assert unknown == set()


def test_every_row_names_a_class_that_exists() -> None:
    modules = {
        "botocore": (botocore.exceptions, botocore.parsers, botocore.eventstream),
        "aiohttp": (aiohttp,),
        "builtins": (builtins,),
        "socket": (socket,),
        "ssl": (ssl,),
    }
    newer = {"LoginError", "UnknownTokenProviderError"}  # absent from the oldest SDK we run on

    for row in BY_CLASS:
        package, name = row.split(".")
        found = [module for module in modules[package] if hasattr(module, name)]
        assert found or name in newer, row


@pytest.mark.parametrize(
    ("error", "kind", "billed"),
    [
        (AioReadTimeoutError(endpoint_url="x", error="y"), Kind.TIMED_OUT, Billed.MAYBE),
        (aiohttp.SocketTimeoutError(), Kind.TIMED_OUT, Billed.MAYBE),
        (aiohttp.ConnectionTimeoutError(), Kind.UNREACHABLE, Billed.NO),
        (aiohttp.ClientPayloadError(), Kind.UNAVAILABLE, Billed.YES),
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), Kind.UNAVAILABLE, Billed.MAYBE),
        (TimeoutError(), Kind.TIMED_OUT, Billed.MAYBE),
        (ConnectionResetError(), Kind.UNAVAILABLE, Billed.MAYBE),
        (ResponseParserError("x"), Kind.UNAVAILABLE, Billed.YES),
        (ChecksumMismatch(1, 2), Kind.UNAVAILABLE, Billed.YES),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), Kind.UNAVAILABLE, Billed.MAYBE),
        (HTTPClientError(error=ValueError()), Kind.UNAVAILABLE, Billed.MAYBE),
        (HTTPClientError(error=RuntimeError("Session is closed")), Kind.LOCAL, Billed.NO),
        (RuntimeError("Event loop is closed"), Kind.LOCAL, Billed.NO),
        (RuntimeError("generator raised StopIteration"), Kind.UNKNOWN, Billed.MAYBE),
        (AttributeError("x"), Kind.UNKNOWN, Billed.MAYBE),
        (KeyError("x"), Kind.UNKNOWN, Billed.MAYBE),
        (ZeroDivisionError(), Kind.UNKNOWN, Billed.MAYBE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_exception_is_read_by_the_nearest_row(
    error: Exception, kind: Kind, billed: Billed
) -> None:
    fault = _told(error)

    assert (fault.kind, fault.billed) == (kind, billed)
    assert fault.code == type(error).__name__


def _no_connection(error: Exception) -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="https://host", error=error)


def test_a_connection_that_broke_is_not_one_that_was_never_made() -> None:
    """The SDK has one class for both; the cause tells them apart."""
    refused = aiohttp.ClientConnectorError(Mock(), OSError(errno.ECONNREFUSED, "refused"))
    reset = aiohttp.ClientOSError(errno.ECONNRESET, "reset")
    full = aiohttp.ClientConnectorError(Mock(), OSError(errno.EMFILE, "too many open files"))
    closed = aiohttp.ClientConnectionError("Connector is closed")

    kinds = [_told(_no_connection(cause)).kind for cause in (refused, reset, full, closed)]

    assert kinds == [Kind.UNREACHABLE, Kind.UNAVAILABLE, Kind.LOCAL, Kind.LOCAL]
    assert _told(_no_connection(reset)).billed is Billed.MAYBE


def test_a_refused_call_for_credentials_is_our_own_trouble() -> None:
    response = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}

    fault = _told(ClientError(response, "AssumeRoleWithWebIdentity"))

    assert fault.kind is Kind.LOCAL


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("", "Model has timed out in processing the request.", Kind.TIMED_OUT),
        ("", "Too many requests", Kind.THROTTLED),
        ("", "Try your request again.", Kind.UNAVAILABLE),
        ("", "The system encountered an unexpected error during processing.", Kind.UNAVAILABLE),
        ("", "", Kind.UNAVAILABLE),
        ("modelTimeoutException", "", Kind.TIMED_OUT),
        ("not a code!", "", Kind.UNAVAILABLE),
    ],
)
def test_an_event_without_a_known_code_is_read_from_its_text(
    code: str, text: str, kind: Kind
) -> None:
    error = EventStreamError({"Error": {"Code": code, "Message": text}}, "ConverseStream")

    fault = _told(error)

    assert (fault.kind, fault.http, fault.billed) == (kind, None, Billed.MAYBE)


@pytest.mark.parametrize("code", [*BY_CODE, *BY_OTHER_CODE, "502", "BrandNew"])
def test_a_code_may_carry_the_address_of_its_shape(code: str) -> None:
    plain = _told(_answered(code, 400))

    assert _told(_answered(f"{code}:http://internal.amazon.com/coral/", 400)) == plain


def test_an_unknown_status_is_unknown() -> None:
    assert kind_of_status(None) is Kind.UNKNOWN
    assert kind_of_status(299) is Kind.UNKNOWN
    assert kind_of_status(307) is Kind.MISCONFIGURED


@pytest.mark.parametrize(
    ("headers", "waits_s"),
    [
        ({}, None),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250", "x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after": "7", "x-amz-retry-after": "soon"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 60.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "whenever"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_a_hint_is_honoured_in_its_order_and_a_wrong_one_is_none(
    headers: dict[str, str], waits_s: float | None
) -> None:
    assert retry_after_s(headers, at=40.0) == waits_s


def _reports() -> Iterator[ParamValidationError]:
    shape = SERVICE.operation_model("Converse").input_shape
    said = {"role": "user", "content": [{"text": SECRET}]}
    schema = {"toolSpec": {"name": "x", "inputSchema": {"json": {SECRET: {SECRET: None}}}}}
    wrong: list[dict[str, Any]] = [
        {"messages": SECRET},
        {"messages": [SECRET]},
        {"messages": [{**said, SECRET: SECRET}]},
        {"messages": [{"content": [{SECRET: SECRET}]}]},
        {"messages": [{"role": "user", "content": [{"text": SECRET, "image": {}}]}]},
        {"messages": [{"role": "user", "content": [{"text": [SECRET]}]}]},
        {"messages": [{"role": "user", "content": [{}]}], "system": SECRET},
        {"messages": [said], "inferenceConfig": {"temperature": SECRET, SECRET: 1}},
        {"messages": [said], "inferenceConfig": {"maxTokens": 0}},
        {"messages": [said], "inferenceConfig": {"stopSequences": [SECRET, 1]}},
        {"messages": [said], "toolConfig": {"tools": [{**schema, SECRET: 1}]}},
        {"messages": [said], "additionalModelRequestFields": {SECRET: {SECRET: b"x"}}},
        {"messages": [said], "additionalModelRequestFields": {f"in {SECRET}": b"x"}},
        {"messages": [{"role": f"x\nUnknown parameter in {SECRET}: ", "content": SECRET}]},
    ]
    for arguments in wrong:
        with pytest.raises(ParamValidationError) as caught:
            validate_parameters({"modelId": "m", **arguments}, shape)
        yield caught.value


def test_a_refused_parameter_is_named_and_its_value_is_not() -> None:
    faults = [_told(error) for error in _reports()]

    assert {fault.kind for fault in faults} == {Kind.REJECTED}
    assert not [fault.message for fault in faults if SECRET in repr(fault)]
    assert faults[0].message == "Invalid type for parameter messages"
    assert faults[3].message == "Missing required parameter in messages[N]"
    assert faults[7].message == "Unknown parameter in inferenceConfig"


def test_a_parameter_of_ours_is_a_setting_and_not_the_job() -> None:
    report = "Invalid length for parameter modelId, value: 0, valid min length: 1"

    fault = _told(ParamValidationError(report=report))

    assert fault.kind is Kind.MISCONFIGURED


@pytest.mark.parametrize(
    "message",
    [
        f"Malformed input: expected a role, found '{SECRET}'",
        f"Malformed input: expected 'x', found 'it's {SECRET}",
        f"extraneous key [{SECRET}] is not permitted",
        f'string [{SECRET}] does not match {{"{SECRET}"}}',
        f"<html>it is {SECRET}</html>",
        f"it is “{SECRET}”",
    ],
)
def test_what_the_service_quotes_does_not_get_through(message: str) -> None:
    for code, http in (("ValidationException", 400), ("", 502), (SECRET + "!", 500)):
        assert SECRET not in repr(_told(_answered(code, http, message)))


def test_no_exception_of_the_sdk_shows_the_values_it_carries() -> None:
    errors: list[BotoCoreError] = [
        ConnectionClosedError(endpoint_url=f"https://{SECRET}", error=ValueError(SECRET)),
        HTTPClientError(error=ValueError(SECRET)),
        botocore.exceptions.CredentialRetrievalError(provider=SECRET, error_msg=SECRET),
        botocore.exceptions.ValidationError(value=SECRET, param=SECRET, type_name=SECRET),
    ]

    assert not [error for error in errors if SECRET in repr(_told(error))]
    assert _told(errors[0]).message.endswith("(ValueError)")


def test_a_lack_of_memory_is_not_a_fault() -> None:
    with pytest.raises(MemoryError):
        fault_of(MemoryError(), at=0.0)


def test_a_fault_keeps_what_support_will_ask_for() -> None:
    fault = _told(
        _answered("ThrottlingException", 429, "Too many requests", **{"retry-after": "3"})
    )

    assert fault == Fault(
        kind=Kind.THROTTLED,
        code="ThrottlingException",
        http=429,
        message="Too many requests",
        request_id="r-1",
        retry_after_s=3.0,
    )


@pytest.mark.parametrize("times", [1, 2])
def test_what_a_service_gives_back_of_a_request_is_no_part_of_its_sentence(times: int) -> None:
    request = ({"role": "user", "content": [{"text": "Zebra-Marzipan-Xylophone, please"}]},)
    error = _answered("ValidationException", 400, "Cannot read Zebra-Marzipan-Xylophone there.")

    for _ in range(times):
        fault = fault_of(error, at=0.0, request=request)

    assert (fault.kind, fault.message) == (Kind.REJECTED, "Cannot read <> there.")


def test_a_sentence_that_had_no_echo_is_told_as_it_is_whoever_asks() -> None:
    error = _answered("ServiceUnavailableException", 503, "Bedrock cannot serve this request now.")

    told = {fault_of(error, at=0.0, request=({"text": text},)).message for text in ("a", "b")}

    assert told == {"Bedrock cannot serve this request now."}
