"""How a client of Bedrock Runtime is set up: one request per call, and sockets that tell.

`retries` takes both keys, for then nothing in the environment brings the SDK's own
retries back. Redirects are off, which the SDK follows in silence: the service sends
none, and a prompt goes nowhere else because something in between says so.

The SDK ignores `tcp_keepalive`, and a unary call is silent until its answer is ready,
so keepalive comes through a socket factory: a connection that a NAT has dropped is
found out in a minute and a half. It is left out where the SDK is too old for it. The
fixed user agent saves an eighth of the CPU of a call.
"""

import socket
from typing import Any, Final

import aiobotocore
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ParamValidationError

CONNECT_S: Final = 3.0
KEEPALIVE_S: Final = 12  # for idle connections; the service's own load balancers wait longer
DNS_CACHE_S: Final = 30
_IDLE_S, _INTERVAL_S, _PROBES = 45, 15, 3


def bedrock_config(pool: int, read_s: float) -> AioConfig:
    """The configuration of one client.

    Args:
        pool: Connections, at least one for each call that may be out at a time: a
            call beyond them waits without a bound of its own.
        read_s: The longest silence on a socket, in seconds. A backstop: longer than
            any timer of a target.
    """
    options: dict[str, Any] = {
        "http_session_cls": OneRequestSession,
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "connect_timeout": CONNECT_S,
        "read_timeout": read_s,
        "max_pool_connections": pool,
        "parameter_validation": True,  # requests are other people's
        "user_agent": f"aiobotocore/{aiobotocore.__version__} inference-worker",
    }
    kept = {"keepalive_timeout": KEEPALIVE_S, "ttl_dns_cache": DNS_CACHE_S}
    try:
        return AioConfig(connector_args={**kept, "socket_factory": keepalive_socket}, **options)
    except ParamValidationError:  # aiobotocore 2.25
        return AioConfig(connector_args=kept, **options)


class OneRequestSession(AIOHTTPSession):  # type: ignore[misc]  # the SDK has no types
    """The SDK's session over aiohttp (the one over httpx cannot stream), without redirects."""

    async def _get_session(self, proxy_url: str | None) -> Any:
        return _WithoutRedirects(await super()._get_session(proxy_url))


class _WithoutRedirects:
    """An aiohttp session that takes a redirect for what it is: an answer."""

    __slots__ = ("_session",)

    def __init__(self, session: Any) -> None:
        self._session = session

    def request(self, method: str, **how: Any) -> Any:
        return self._session.request(method, **{**how, "allow_redirects": False})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for one entry of `getaddrinfo`, with TCP keepalive on."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE_S),
        ("TCP_KEEPINTVL", _INTERVAL_S),
        ("TCP_KEEPCNT", _PROBES),
    ):
        if (option := getattr(socket, name, None)) is not None:  # macOS has no TCP_KEEPIDLE
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
