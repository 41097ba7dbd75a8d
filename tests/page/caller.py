"""A browser without a screen: it asks the page as a server would, and keeps its cookies."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp

from tests.page.world import World
from worker.page import Door, page

PORT = 8765
HOST = f"127.0.0.1:{PORT}"
TOKEN = "a-token-of-these-tests"
Fields = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Sequence[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def words(self) -> str:
        """What a person reads, without tags."""
        bare = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", self.text, flags=re.DOTALL)
        return re.sub(r"\s+", " ", html.unescape(bare))

    def field(self, name: str) -> str:
        """The value of the first field of that name in a form."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        assert found is not None, f"there is no field {name}"
        return html.unescape(found[1])


class Browser:
    """Asks the page at `HOST`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, b"", headers)

    async def post(self, path: str, fields: Fields, **headers: str) -> Answer:
        body = urlencode(fields, doseq=True).encode()
        given = {
            "content-type": "application/x-www-form-urlencoded",
            "content-length": str(len(body)),
            "origin": f"http://{HOST}",
            "sec-fetch-site": "same-origin",
        }
        return await self.ask("POST", path, body, given | headers)

    async def sign_in(self, token: str = TOKEN) -> Answer:
        return await self.post("/sign-in", {"token": token, "next": "/dead"})

    async def send(self, path: str, fields: Fields, *, seen: str | None = None) -> Answer:
        """Send a form of a screen that was seen, and go where the answer leads."""
        screen = await self.get(seen or path)
        signed = {"csrf": screen.field("csrf"), "author": "alice", "reason": "incident 42"}
        answer = await self.post(path, {**signed, **fields})
        return await self.follow(answer)

    async def follow(self, answer: Answer) -> Answer:
        return await self.get(answer.header("location")) if answer.status == 303 else answer

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One request; a header that is empty is left out."""
        where, _, query = path.partition("?")
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {"host": HOST, "cookie": cookies, **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": where,
            "raw_path": where.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.replace("_", "-").encode(), value.encode())
                for name, value in given.items()
                if value
            ],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", PORT),
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            await self.app(scope, receive, send)
        except RuntimeError:
            if not sent:  # a fault that was answered is told to the server as well
                raise
        start = sent[0]
        told = [(key.decode(), value.decode()) for key, value in start["headers"]]
        for key, value in told:
            if key == "set-cookie":
                name, _, rest = value.partition("=")
                self.cookies[name] = rest.partition(";")[0]
        text = b"".join(one.get("body", b"") for one in sent[1:]).decode(errors="replace")
        return Answer(start["status"], told, text)


def browser(world: World, *, token: str | None = TOKEN, now: Any = lambda: 0.0) -> Browser:
    return Browser(page(world.backing, Door(token, now), port=PORT))


async def inside(world: World) -> Browser:
    """A browser that has signed in."""
    asks = browser(world)
    answer = await asks.sign_in()
    assert answer.status == 303, answer.text
    return asks


async def begun() -> tuple[World, Browser]:
    """A world in the middle of an outage, and a browser in it."""
    world = World()
    await world.begin()
    return world, await inside(world)


async def calm() -> tuple[World, Browser]:
    """The same letters, and every circuit closed."""
    world, asks = await begun()
    world.room.breakers.verdicts.clear()
    return world, asks
