"""How a screen is made: who may see it, who may act, and what it looks like.

Handlers are put on addresses by `look` and `act` alone, so that none of them can forget to ask
who is there. `look` wants a session; `act` wants one that may act, and the form's own secret.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from worker.ops.desk import InDoubt, Misused
from worker.ops.overrides import AUTHOR_MAX
from worker.page.backing import LOOK_S, Backing
from worker.page.door import Door, Session, is_own
from worker.page.files import Files
from worker.page.guard import BODY_MAX
from worker.page.words import FILTERS, MODES, STATES, query
from worker.ports import Unavailable
from worker.words import breaker as breaker_words
from worker.words import dead as dead_words

T = TypeVar("T")
Screen = Callable[[Request], Awaitable[Response]]
Action = Callable[[Request, "Form"], Awaitable[Response]]

_TEMPLATES: Final = Path(__file__).parent / "templates"
AGAIN_S: Final = 5  # a screen that looks again by itself goes on after one look that failed
SCREENS: Final = (
    ("/", "Now"),
    ("/timeline", "Timeline"),
    ("/routes", "Routes"),
    ("/queues", "Queues"),
    ("/dead", "Dead letters"),
    ("/workers", "Workers"),
    ("/configuration", "Configuration"),
)


class Form:
    """What somebody filled in. A field that is not there is empty."""

    def __init__(self, fields: FormData) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        value = self._fields.get(name, "")
        return value if isinstance(value, str) else ""

    def every(self, name: str) -> list[str]:
        """All values of one field."""
        return [value for value in self._fields.getlist(name) if isinstance(value, str) and value]

    def text(self, name: str) -> str:
        """A text of several lines: browsers send each end of a line as two characters."""
        return self[name].replace("\r\n", "\n")

    def values(self) -> Mapping[str, str]:
        """What is kept when it has to be filled in again."""
        return {name: self[name] for name in self._fields if name != "csrf"}


class View:
    """What all screens share."""

    def __init__(self, backing: Backing, door: Door, *, port: int) -> None:
        self.backing = backing
        self.door = door
        self.cookie = f"inference-worker-{port}"  # cookies are shared between ports
        self.files = Files()
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= FILTERS
        self._templates.globals |= {
            "files": self.files,
            "modes": MODES,
            "query": query,
            "screens": SCREENS,
            "service": backing.service,
            "states": STATES,
        }
        self._templates.globals["m"] = self._templates.get_template("macros.html").module

    # --- addresses -------------------------------------------------------------------

    def look(self, path: str, screen: Screen) -> Route:
        """A screen; whoever has no session is asked for the token first."""

        async def guarded(request: Request) -> Response:
            if self.session(request) is None:
                return self.show(request, "sign_in.html", 401, title="Sign in", wrong="")
            try:
                return await screen(request)
            except Misused as error:
                return self.wrong(request, 404, f"{error}.")
            except Unavailable as error:
                return self.wrong(request, 503, self.unread(error))

        return Route(path, guarded, methods=["GET"])

    def act(self, path: str, action: Action) -> Route:
        """What changes something, or shows somebody's text: for a form of ours alone."""

        async def guarded(request: Request) -> Response:
            session = self.session(request)
            if session is None:
                return self.show(request, "sign_in.html", 401, title="Sign in", wrong="")
            if not session.may_act:
                return self.wrong(request, 403, "This page only shows; it changes nothing.")
            form = Form(await request.form(max_part_size=BODY_MAX))
            if not is_own(session, form["csrf"]):
                return self.wrong(
                    request,
                    403,
                    "This form is of another session, and nothing was done. Load its page again.",
                )
            if form["author"]:
                session.author = form["author"][:AUTHOR_MAX]
            try:
                return await action(request, form)
            except Misused as error:
                return self.wrong(request, 422, f"{error}.")
            except Unavailable as error:
                return self.wrong(request, 503, self.unread(error))

        return Route(path, guarded, methods=["POST"])

    def session(self, request: Request) -> Session | None:
        """Whose request this is."""
        return self.door.session(request.cookies.get(self.cookie, ""))

    # --- answers ---------------------------------------------------------------------

    def show(
        self, request: Request, template: str, status: int = 200, *, title: str, **values: Any
    ) -> HTMLResponse:
        """A screen."""
        session = self.session(request)
        news: list[tuple[bool, str]] = []
        if session is not None and "hx-request" not in request.headers:
            news, session.news = session.news, []
        text = self._templates.get_template(template).render(
            title=title,
            path=request.url.path,
            here=_here(request),
            session=session,
            author=(session.author if session else "") or self.backing.author,
            news=news,
            **values,
        )
        return HTMLResponse(text, status)

    def wrong(self, request: Request, status: int, text: str) -> Response:
        """Say what went wrong, and nothing else."""
        title = "Not done" if request.method == "POST" else "Cannot be shown"
        return self.show(
            request,
            "wrong.html",
            status,
            title=title,
            text=f"{text[:1].upper()}{text[1:]}",
            again_s=AGAIN_S if "hx-request" in request.headers else None,
        )

    def go(self, request: Request, address: str, text: str = "", *, well: bool = True) -> Response:
        """Go to another screen, and tell something there."""
        session = self.session(request)
        if session is not None and text:
            session.news.append((well, text))
        return RedirectResponse(address, 303)

    def unread(self, error: Unavailable) -> str:
        """A store that could not be asked: why, and what to do, as the commands say it."""
        if isinstance(error, InDoubt):
            return breaker_words.in_doubt(error)
        if error.store == "breakers":
            return breaker_words.unavailable(error, self.backing.breakers_table)
        told = dead_words.unavailable(error, self.backing.ledger_table)
        late = error.why == "TimeoutError"
        return told + (" If there are very many letters, choose fewer, by age." if late else "")


def own(address: str) -> str:
    """An address of this page; the first screen for any other."""
    ours = (
        address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    )
    return address if ours else "/"


def _here(request: Request) -> str:
    """Where the same screen is seen again; after a form that is the first, for it has none."""
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return own(address) if request.method != "POST" else "/"


async def soon(store: str, asking: Awaitable[T]) -> T:
    """Wait for what a screen asks a store, but not for long.

    Raises:
        Unavailable: It failed, or took too long.
    """
    try:
        async with asyncio.timeout(LOOK_S):
            return await asking
    except TimeoutError:
        raise Unavailable(store=store, why="TimeoutError") from None
