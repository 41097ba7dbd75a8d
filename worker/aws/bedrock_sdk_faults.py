"""From what the SDK raises on this side of the wire to a `Fault`: one table by class.

The exceptions of botocore carry values, a job's text among them, so none of their
messages is used: a fault tells the template, the class, and the class of the cause.

Source: aiobotocore's `httpsession.py`, which folds aiohttp's classes into botocore's.
"""

import errno
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from worker.core.fault import Billed, Fault, Kind, normalised


def _classes(
    rows: Iterable[tuple[Kind, Billed, Mapping[str, str]]],
) -> Mapping[str, tuple[Kind, Billed]]:
    return MappingProxyType(
        {
            f"{package}.{name}": (kind, billed)
            for kind, billed, packages in rows
            for package, names in packages.items()
            for name in names.split()
        }
    )


# By package and name, for the SDKs we run on do not all have every class. An
# exception is read by the first of its bases that is listed, so a `ReadTimeoutError`
# that is a `TimeoutError` too, or an aiohttp class of many bases, finds the nearest row.
BY_CLASS: Final = _classes(
    (
        (
            Kind.UNREACHABLE,
            Billed.NO,
            {
                "botocore": "ConnectionError",  # connect, refused, DNS, TLS
                "aiohttp": "ClientConnectorError ConnectionTimeoutError ServerFingerprintMismatch",
                "socket": "gaierror",
                "ssl": "SSLError",
            },
        ),
        (
            Kind.TIMED_OUT,
            Billed.MAYBE,
            {
                "botocore": "ReadTimeoutError",
                "aiohttp": "ServerTimeoutError",
                "builtins": "TimeoutError",
            },
        ),
        (
            Kind.UNAVAILABLE,
            Billed.MAYBE,
            {
                "botocore": "HTTPClientError",
                "aiohttp": "ClientError",
                "builtins": "ConnectionError UnicodeDecodeError",
            },
        ),
        (
            Kind.UNAVAILABLE,
            Billed.YES,
            {
                "botocore": "AwsChunkedWrapperError ChecksumError FlexibleChecksumError "
                "IncompleteReadError ParserError ResponseParserError ResponseStreamingError",
                "aiohttp": "ClientPayloadError",
            },
        ),
        (
            Kind.LOCAL,
            Billed.NO,
            {
                "botocore": "CapacityNotAvailableError CredentialRetrievalError LoginError "
                "MetadataRetrievalError NoAuthTokenError NoCredentialsError "
                "PartialCredentialsError ProfileNotFound ProxyConnectionError "
                "RefreshWithMFAUnsupportedError SSOError TokenRetrievalError "
                "UnknownCredentialError UnknownTokenProviderError",
                "aiohttp": "ClientHttpProxyError ClientProxyConnectionError",
            },
        ),
        (
            Kind.REJECTED,
            Billed.NO,
            {
                "botocore": "InvalidHostLabelError MissingParametersError ParamValidationError "
                "ValidationError",
            },
        ),
        (
            Kind.MISCONFIGURED,
            Billed.NO,
            {
                "botocore": "ApiVersionNotFoundError BaseEndpointResolverError ConfigNotFound "
                "ConfigParseError DataNotFoundError EndpointProviderError "
                "InvalidChecksumConfigError InvalidConfigError InvalidDefaultsMode "
                "InvalidEndpointConfigurationError InvalidEndpointDiscoveryConfigurationError "
                "InvalidIMDSEndpointError InvalidIMDSEndpointModeError InvalidProxiesConfigError "
                "InvalidRegionError InvalidRetryConfigurationError "
                "InvalidSTSRegionalEndpointsConfigError MD5UnavailableError "
                "MissingDependencyException ServiceNotInRegionError UndefinedModelAttributeError "
                "UnknownClientMethodError UnknownRegionError UnknownServiceStyle "
                "UnknownSignatureVersionError UnsupportedServiceProtocolsError "
                "UnsupportedSignatureVersionError",
                "aiohttp": "InvalidURL",
            },
        ),
    )
)

_OUR_OWN: Final = ("modelId", "requestMetadata", "serviceTier")  # the rest is the job's
_NO_ROOM: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
_CLOSED: Final = re.compile(r"\b(?:closed|shutdown)\b")
_TREE: Final = re.compile(r"[\[{].*", re.DOTALL)
# The beginnings of botocore's reports that name members of the service model only.
_PATH: Final = re.compile(
    r"(Missing required parameter in|Unknown parameter in"
    r"|Invalid (?:type|value|length) for parameter"
    r"|Invalid number of parameters set for tagged union structure"
    r"|Must set one of the following keys for tagged union ?structure) ([A-Za-z0-9_.\[\]]+)[:, ]"
)


def fault_of_exception(error: Exception) -> Fault:
    """The fault of an exception that was raised on this side of the wire."""
    name = type(error).__name__[:64]
    cause = getattr(error, "kwargs", {}).get("error")
    kind, billed = _row(error)
    if _is_ours(error) or _is_ours(cause):
        return Fault(kind=Kind.LOCAL, code=name, message=_template(error, cause))
    if "botocore.ParamValidationError" in _bases(error):
        return _of_parameters(error, name)
    if kind is Kind.UNREACHABLE and "aiohttp.ClientConnectionError" in _bases(cause):
        # The SDK calls it a failed connection even where one broke with our request in it.
        kind, billed = _row(cause)
    return Fault(kind=kind, code=name, message=_template(error, cause), billed=billed)


def _of_parameters(error: Exception, name: str) -> Fault:
    # The report holds values; only the path at its beginning is the SDK's own.
    found = _PATH.match(str(getattr(error, "kwargs", {}).get("report", "")))
    if found is None:
        return Fault(kind=Kind.REJECTED, code=name, message="A parameter is not valid")
    ours = found[2].startswith(_OUR_OWN)
    kind = Kind.MISCONFIGURED if ours else Kind.REJECTED
    return Fault(kind=kind, code=name, message=normalised(f"{found[1]} {found[2].rstrip('.')}"))


def _row(error: object) -> tuple[Kind, Billed]:
    unknown = (Kind.UNKNOWN, Billed.MAYBE)
    return next((BY_CLASS[base] for base in _bases(error) if base in BY_CLASS), unknown)


def _bases(error: object) -> list[str]:
    return [f"{c.__module__.partition('.')[0]}.{c.__name__}" for c in type(error).__mro__]


def _is_ours(error: object) -> bool:
    """Whether our own process ran out of something, or was closing down."""
    match error:
        case OSError(errno=number) if number in _NO_ROOM:
            return True
        case AttributeError(obj=None, name="get"):
            return True  # aiobotocore's closed session
        case RuntimeError():
            return _CLOSED.search(str(error)) is not None
        case _:
            pass
    lost = isinstance(error, Exception) and "aiohttp.ClientConnectionError" in _bases(error)
    return lost and "is closed" in str(getattr(error, "args", ())[:1])


def _template(error: Exception, cause: object) -> str:
    """What the SDK says, without the values it fills in."""
    says = _TREE.sub("<>", str(getattr(error, "fmt", "")))
    because = f" ({type(cause).__name__})" if isinstance(cause, Exception) else ""
    return normalised(says) + because
