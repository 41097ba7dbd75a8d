"""The Timeline: what became of every breaker in a day or a week, in pictures and as a table."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.ops.timeline import Line, empty, timeline
from worker.page import chart
from worker.page.view import View, soon
from worker.page.words import counted
from worker.words.breaker import span

SPANS: Final = {"24h": 86_400.0, "7d": 7 * 86_400.0}
ROWS_SHOWN: Final = 200


class History:
    """The screen."""

    def __init__(self, view: View) -> None:
        self._view = view

    def routes(self) -> list[Route]:
        """Its address."""
        return [self._view.look("/timeline", self._timeline)]

    async def _timeline(self, request: Request) -> Response:
        chosen = request.query_params.get("span", "24h")
        span_s = SPANS.get(chosen, SPANS["24h"])
        desk = self._view.backing.sources.desk
        found = (
            empty(self._view.backing.letters.at(), span_s)
            if desk is None
            else await soon("breakers", timeline(desk, span_s))
        )
        return self._view.show(
            request,
            "timeline.html",
            title="Timeline",
            now=found,
            chosen=chosen if chosen in SPANS else "24h",
            spans=list(SPANS),
            shared=desk is not None,
            lines=[
                (one, chart.shapes(one, found), chart.orders(one, found), summary(one))
                for one in found.lines
            ],
            ticks=chart.ticks(span_s),
            width=chart.WIDTH,
            height=chart.HEIGHT,
            shares=chart.shares(found),
            rows=found.rows[:ROWS_SHOWN],
            more=max(0, len(found.rows) - ROWS_SHOWN),
        )


def summary(line: Line) -> str:
    """One breaker's time in a sentence: also what is read out in place of its band."""
    told = []
    if line.open_s:
        times = sum(row.new == "open" and row.old == "closed" for row in line.rows)
        opened = f", opened {counted(times, 'time')}" if times else ""
        told.append(f"not closed for {span(line.open_s)}{opened}")
    else:
        told.append("never opened")
    if line.spells:
        told.append(counted(len(line.spells), "order"))
    if any(one.state is None for one in line.stretches):
        told.append("not known before its newest rows")
    return ", ".join(told)
