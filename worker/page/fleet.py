"""Workers: each one's own view against the fleet's. Configuration: what is set, and where."""

from itertools import groupby
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.ops.workers import workers
from worker.page.view import View, soon

REFRESH_S: Final = 5


class Fleet:
    """Both screens."""

    def __init__(self, view: View) -> None:
        self._view = view

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            self._view.look("/workers", self._workers),
            self._view.look("/configuration", self._configuration),
        ]

    async def _workers(self, request: Request) -> Response:
        desk = self._view.backing.sources.desk
        found = None if desk is None else await soon("breakers", workers(desk))
        return self._view.show(
            request, "workers.html", title="Workers", refresh_s=REFRESH_S, now=found
        )

    async def _configuration(self, request: Request) -> Response:
        backing = self._view.backing
        parts = [
            (head.removeprefix("WORKER_").lower(), list(rows))
            for head, rows in groupby(backing.settings, key=lambda row: row[0].split("__")[0])
        ]
        alone = [row for _, rows in parts if len(rows) == 1 for row in rows]
        groups = [("general", alone)] * bool(alone)
        groups += [(head, rows) for head, rows in parts if len(rows) > 1]
        return self._view.show(
            request,
            "configuration.html",
            title="Configuration",
            groups=groups,
            changed=sum(origin != "default" for _, _, origin in backing.settings),
            count=len(backing.settings),
            warnings=backing.warnings,
        )
