"""Styles and scripts: ours, and those of others, which are kept as they were published.

An address has the file's own hash in it, so a browser may keep it for ever, and the page says
what it must hash to (Subresource Integrity).
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
OURS: Final = ("page.css", "page.js", "timeline.js", "icon.svg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    """A file of somebody else, as npm publishes it: `path` in `package` of that version."""

    name: str
    package: str
    version: str
    path: str
    licence: str
    source: str
    sha256: str


VENDORED: Final = (
    Vendored(
        name="htmx.min.js",
        package="htmx.org",
        version="4.0.1",
        path="dist/htmx.min.js",
        licence="0BSD",
        source="https://github.com/bigskysoftware/htmx",
        sha256="a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    ),
    Vendored(
        name="uPlot.iife.min.js",
        package="uplot",
        version="1.6.32",
        path="dist/uPlot.iife.min.js",
        licence="MIT",
        source="https://github.com/leeoniya/uPlot",
        sha256="19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    ),
    Vendored(
        name="uPlot.min.css",
        package="uplot",
        version="1.6.32",
        path="dist/uPlot.min.css",
        licence="MIT",
        source="https://github.com/leeoniya/uPlot",
        sha256="df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    ),
)


class File:
    """One file that is served."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.content = (_STATIC / name).read_bytes()
        self.type = _TYPES[Path(name).suffix]
        self.digest = hashlib.sha256(self.content)

    @cached_property
    def address(self) -> str:
        """Where it is served."""
        return f"/static/{self.digest.hexdigest()[:16]}/{self.name}"

    @cached_property
    def integrity(self) -> str:
        """What a page says that it must hash to."""
        return "sha256-" + base64.b64encode(self.digest.digest()).decode()


class Files:
    """Every file that is served, read once."""

    def __init__(self) -> None:
        self._files = {name: File(name) for name in (*OURS, *(one.name for one in VENDORED))}

    def __getitem__(self, name: str) -> File:
        return self._files[name]

    def route(self) -> Route:
        """Serves them to everybody: there is nothing in them."""
        by_address = {one.address: one for one in self._files.values()}

        async def serve(request: Request) -> Response:
            found = by_address.get(request.url.path)
            if found is None:
                return PlainTextResponse("There is no such file.\n", 404)
            kept = {"cache-control": "public, max-age=31536000, immutable"}
            return Response(found.content, media_type=found.type, headers=kept)

        return Route("/static/{digest}/{name}", serve, methods=["GET"])
