"""One breaker: how it stands, what became of it, and the orders that an operator may give it.

An order is shown before it is given: what it would change now, by the same words as
`inference-worker breaker --dry-run`.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.core.verdict import Mode
from worker.ops.breakers import look, past
from worker.ops.desk import Desk, Misused
from worker.ops.overrides import FOR_MAX_S, FOR_MIN_S, hold, release, signed
from worker.page.view import Form, View, soon
from worker.page.words import query
from worker.words import breaker as words
from worker.words.given import seconds_of

ROWS: Final = 20
AUTO: Final = "auto"
ORDERS: Final[Mapping[str, tuple[str, str]]] = {
    "hold_open": ("Hold open", "let no call pass, not even a probe"),
    "hold_closed": ("Hold closed", "let every call pass, whatever fails"),
    "observe": ("Observe", "let the fleet decide, and every call pass all the same"),
    AUTO: ("Auto", "end what was ordered: the fleet decides again"),
}
_EMPTY: Final = {"mode": "", "lasting": "30m", "reason": ""}


class Circuits:
    """The screens of single breakers."""

    def __init__(self, view: View) -> None:
        self._view = view

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [self._view.look("/breaker", self._one), self._view.act("/breaker", self._order)]

    async def _one(self, request: Request) -> Response:
        return await self._screen(request, request.query_params.get("name", ""), _EMPTY)

    async def _screen(
        self,
        request: Request,
        name: str,
        values: Mapping[str, str],
        *,
        status: int = 200,
        wrong: str = "",
    ) -> Response:
        desk = self._shared(self._view.backing.sources.desk)
        scene, rows = await soon(
            "breakers", asyncio.gather(look(desk, [name], why=True), past(desk, name, most=ROWS))
        )
        return self._view.show(
            request,
            "breaker.html",
            status,
            title=name,
            now=scene,
            one=scene.breakers[0],
            jury=words.jury(scene.breakers[0].jury) if scene.breakers[0].jury else [],
            rows=rows.rows,
            orders=ORDERS,
            values={**_EMPTY, **values},
            wrong=wrong,
        )

    async def _order(self, request: Request, form: Form) -> Response:
        name, mode = form["name"], form["mode"]
        desk = self._shared(self._view.backing.circuit)
        try:
            mode = _known(mode)
            author, reason = signed(form["author"], form["reason"])
            dry = form["step"] != "order"
            if mode == AUTO:
                told = await release(desk, name, author=author, reason=reason, dry=dry)
                text = words.would_release(told.now) if dry else words.released(told)
            else:
                for_s = seconds_of(
                    form["lasting"], "for how long", low_s=FOR_MIN_S, high_s=FOR_MAX_S
                )
                told = await hold(
                    desk, name, Mode(mode), for_s=for_s, author=author, reason=reason, dry=dry
                )
                text = words.would_hold(told.now, Mode(mode), for_s) if dry else words.held(told)
        except Misused as error:
            return await self._screen(request, name, form.values(), status=422, wrong=f"{error}.")
        if dry:
            return self._view.show(
                request,
                "order.html",
                title=f"{ORDERS[mode][0]}: {name}",
                name=name,
                order=ORDERS[mode],
                values=form.values(),
                text=text,
            )
        here = query("/breaker", name=name)
        return self._view.go(request, here, text, well=told.stands)

    @staticmethod
    def _shared(desk: Desk | None) -> Desk:
        if desk is None:
            raise Misused(words.NOT_SHARED.replace("\n", " ").removesuffix("."))
        return desk


def _known(mode: str) -> str:
    if mode not in ORDERS:
        msg = "say which order: hold open, hold closed, observe, or auto"
        raise Misused(msg)
    return mode
