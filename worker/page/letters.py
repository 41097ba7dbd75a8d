"""Dead letters: by what they died of, one by one, and the log of what was done to them.

No text of a job is here. An edit's original is shown on demand, and the log says so first.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.core.dead import Pick
from worker.ops.dead_bodies import original
from worker.ops.dead_desk import Groups, Listing, groups_of, listing
from worker.ops.desk import Misused
from worker.page.picks import PARTS, Choice, choice_of
from worker.page.view import Form, View, soon

SHOWN: Final = 200
LOG_S: Final = 90 * 86_400.0
LOG_SHOWN: Final = 300


class Letters:
    """The list and the log."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._desk = view.backing.letters

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            self._view.look("/dead", self._list),
            self._view.look("/dead/log", self._log),
            self._view.act("/dead/original", self._original),
        ]

    async def _list(self, request: Request) -> Response:
        choice = asked(request)
        pick = choice.pick(self._desk.at())
        listed, grouped = await soon("ledger", self._asked(pick))
        return self._view.show(
            request,
            "dead.html",
            title="Dead letters",
            choice=choice,
            parts=PARTS,
            found=grouped,
            letters=list(reversed(listed.letters))[:SHOWN],
            count=len(listed.letters),
            at=listed.at,
        )

    async def _asked(self, pick: Pick) -> tuple[Listing, Groups]:
        """Asked once: there may be very many, and both are to tell of the same."""
        listed = await listing(self._desk, pick)
        return listed, await groups_of(self._desk, listed.letters)

    async def _log(self, request: Request) -> Response:
        at = self._desk.at()
        rows = await soon("ledger", self._desk.index.notes(since=at - LOG_S))
        return self._view.show(
            request,
            "log.html",
            title="Log",
            rows=list(reversed(rows))[:LOG_SHOWN],
            more=max(0, len(rows) - LOG_SHOWN),
            at=at,
        )

    async def _original(self, request: Request, form: Form) -> Response:
        content = await original(
            self._view.backing.dead, form["row"], author=form["author"], why=form["reason"]
        )
        return self._view.show(
            request,
            "original.html",
            title="Original",
            row=form["row"],
            text=content.decode(errors="replace"),
        )


def asked(request: Request) -> Choice:
    """The choice in an address.

    Raises:
        Misused: Single letters were to be chosen, and none was: that does not mean all.
    """
    given = request.query_params
    choice = choice_of(lambda name: given.get(name, ""), given.getlist)
    if given.get("chosen") and not choice.jobs:
        msg = "no letter was chosen: tick some of the list, or act on all that fit"
        raise Misused(msg)
    return choice
