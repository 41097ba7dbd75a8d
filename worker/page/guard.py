"""Before anything else: which requests are heard at all, and what every answer forbids.

A page on loopback is reached by every site that its user visits, and a site may give its own
name the address 127.0.0.1. So a request must name us (`Host`), and one that changes anything
must come from a page of ours (`Origin`, or `Sec-Fetch-Site` where a browser leaves that out).
"""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Two copies of the largest message, the old one and the edited one, each byte as %XX.
BODY_MAX: Final = 8 * 1_048_576
_ALLOWED: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": "; ".join(" ".join(pair) for pair in _ALLOWED.items()),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # With `no-referrer` a browser sends `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Refuses what does not come from a page of ours, and closes down every answer."""

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def closed_down(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        why = self._against(scope["method"], Headers(scope=scope))
        answer = self._app if why is None else PlainTextResponse(why[1] + "\n", why[0])
        await answer(scope, receive, closed_down)

    def _against(self, method: str, headers: Headers) -> tuple[int, str] | None:
        """The status and the reason for a refusal; None if there is none."""
        host = headers.get("host", "")
        if host not in self._hosts:
            ours = " or ".join(sorted(self._hosts))
            return 421, f"This is no name of this page: ask for {ours}."
        if method in ("GET", "HEAD"):
            return None
        if method != "POST":
            return 405, "This page knows GET and POST."
        origin = headers.get("origin")
        if origin is None and headers.get("sec-fetch-site") != "same-origin":
            return 403, "This request does not say that it comes from a page of ours (Origin)."
        if origin not in (None, f"http://{host}"):
            return 403, "This request comes from another site."
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "This request comes from another site."
        length = headers.get("content-length", "")
        # With both, what comes in pieces has no end, whatever the length says.
        if not length.isdecimal() or "transfer-encoding" in headers:
            return 411, "This request does not say how long it is."
        if int(length) > BODY_MAX:
            return 413, f"This request is longer than {BODY_MAX} bytes."
        return None
