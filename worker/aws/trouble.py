"""What the SDK raises, as `Unavailable`: a code, and whose fault it is.

For the stores only; Bedrock's faults have a table of their own in `faults.py`. The
text of an SDK error may name URLs, keys and receipts, so none of it is kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from worker.ports import Unavailable

# An OSError is a socket's, or a TimeoutError of one.
FOREIGN: Final = (
    sdk.BotoCoreError,
    sdk.ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
)

_LOCAL_CODES: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_LOCAL: Final = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.NoAuthTokenError,
    sdk.TokenRetrievalError,
    sdk.SSOError,
    sdk.NoRegionError,
)
_NETWORK: Final = (
    sdk.EndpointConnectionError,
    sdk.ConnectTimeoutError,
    sdk.ProxyConnectionError,
    sdk.SSLError,
    aiohttp.ClientConnectorError,
)
# A reset in mid-call comes as an EndpointConnectionError around one of these.
_REACHED: Final = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


def code_of(error: BaseException) -> str:
    """The service's own code, without a namespace; else the name of the exception's class.

    >>> code_of(TimeoutError())
    'TimeoutError'
    """
    if not isinstance(error, sdk.ClientError):
        return type(error).__name__
    code: Any = error.response.get("Error", {}).get("Code")
    return str(code or "Unknown").rpartition(".")[2][:64]


def unavailable(store: str, error: BaseException) -> Unavailable:
    """One of `FOREIGN`, as what our ports raise."""
    code = code_of(error)
    inner = getattr(error, "kwargs", {}).get("error")
    if type(error) is sdk.HTTPClientError:
        # What the SDK's transport did not expect; AttributeError and RuntimeError say
        # that the client was closed.
        closed = isinstance(inner, AttributeError | RuntimeError)
        return Unavailable(store, "ClientClosed" if closed else code, local=closed)
    reset = isinstance(inner, _REACHED) and not isinstance(inner, aiohttp.ClientConnectorError)
    if reset:
        return Unavailable(store, "ConnectionReset")
    return Unavailable(
        store,
        code,
        local=isinstance(error, _LOCAL) or code in _LOCAL_CODES,
        network=isinstance(error, _NETWORK),
    )


@contextmanager
def asking(store: str) -> Iterator[None]:
    """Let `Unavailable` come out where the SDK raises.

    Raises:
        Unavailable: For every one of `FOREIGN`.
    """
    try:
        yield
    except FOREIGN as error:
        raise unavailable(store, error) from None
