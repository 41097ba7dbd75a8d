"""All screens together, behind the guard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from worker.page.acts import Acts
from worker.page.backing import Backing
from worker.page.circuits import Circuits
from worker.page.door import Door
from worker.page.fleet import Fleet
from worker.page.guard import Guard
from worker.page.history import History
from worker.page.jobs import Jobs
from worker.page.letters import Letters
from worker.page.runs import Runs
from worker.page.status_screens import StatusScreens
from worker.page.view import Action, Form, Screen, View, own


def page(backing: Backing, door: Door, *, port: int) -> Guard:
    """The page, for a server that listens on this port of 127.0.0.1 and nowhere else."""
    view = View(backing, door, port=port)
    runs = Runs(backing.dead.at)
    screens = (
        StatusScreens(view),
        Circuits(view),
        History(view),
        Letters(view),
        Jobs(view, runs),
        Acts(view, runs),
        Fleet(view),
    )

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        yield
        await runs.leave()

    async def missing(request: Request, _: Exception) -> Response:
        return view.wrong(request, 404, "There is no such screen.")

    async def broken(request: Request, _: Exception) -> Response:
        text = "This is a fault of the page itself; the terminal where it runs says where it lies."
        return view.wrong(request, 500, text)

    app = Starlette(
        routes=[
            view.files.route(),
            *(route for one in screens for route in one.routes()),
            Route("/sign-in", _sign_in(view), methods=["POST"]),
            view.act("/sign-out", _sign_out(view)),
        ],
        exception_handlers={404: missing, 500: broken},
        lifespan=life,
    )
    return Guard(app, port=port)  # outermost: what fails inside is closed down, too


def _sign_in(view: View) -> Screen:
    async def sign_in(request: Request) -> Response:
        form = Form(await request.form())
        name = view.door.let_in(form["token"])
        if name is None:
            wrong = "This is not the token. It was printed when `inference-worker ui` started."
            here = own(form["next"])
            return view.show(request, "sign_in.html", 401, title="Sign in", wrong=wrong, next=here)
        answer = RedirectResponse(own(form["next"]), 303)
        answer.set_cookie(view.cookie, name, httponly=True, samesite="strict", path="/")
        return answer

    return sign_in


def _sign_out(view: View) -> Action:
    async def sign_out(request: Request, _: Form) -> Response:
        view.door.leave(request.cookies.get(view.cookie, ""))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(view.cookie, httponly=True, samesite="strict", path="/")
        return answer

    return sign_out
