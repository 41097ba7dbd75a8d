"""Redrive and discard: how many letters that would be, then the form, then how it goes on."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.core.dead import Pick
from worker.ops.dead_desk import DeadDesk, chosen
from worker.ops.dead_discard import discard
from worker.ops.dead_pace import Pace, Redriven
from worker.ops.dead_redrive import redrive
from worker.ops.desk import Misused
from worker.ops.overrides import signed
from worker.page.letters import asked
from worker.page.picks import Choice, choice_of, number_of
from worker.page.runs import Run, Runs
from worker.page.view import Form, View, soon
from worker.page.words import query
from worker.words import dead as words
from worker.words.given import stages_of

REFRESH_S: Final = 1
_REDRIVE: Final = {"rate": "20", "canary": "1,10,100", "stop_if": "0.05", "force": "", "reason": ""}
_DISCARD: Final = {"unfound": "", "reason": ""}


class Acts:
    """The screens of both, and of what goes on."""

    def __init__(self, view: View, runs: Runs) -> None:
        self._view = view
        self._runs = runs

    def routes(self) -> list[Route]:
        """Their addresses."""
        look, act = self._view.look, self._view.act
        return [
            look("/dead/redrive", self._redrive_form),
            act("/dead/redrive", self._redrive),
            look("/dead/discard", self._discard_form),
            act("/dead/discard", self._discard),
            look("/dead/run", self._run),
            act("/dead/stop", self._stop),
        ]

    # --- redrive ---------------------------------------------------------------------

    async def _redrive_form(self, request: Request) -> Response:
        desk = self._view.backing.letters
        return await self._redrive_screen(request, asked(request), desk.at(), _REDRIVE)

    async def _redrive_screen(
        self,
        request: Request,
        choice: Choice,
        at: float,
        values: Mapping[str, str],
        *,
        status: int = 200,
        wrong: str = "",
    ) -> Response:
        desk = self._view.backing.letters
        told = await soon("ledger", dry(desk, choice.pick(at)))
        return self._view.show(
            request,
            "redrive.html",
            status,
            title="Redrive",
            choice=choice,
            at=at,
            told=told,
            would=told.meant - sum(told.kept.values()),
            shared=desk.circuit is not None,
            values={**_REDRIVE, **values},
            other=self._runs.now,
            wrong=wrong,
        )

    async def _redrive(self, request: Request, form: Form) -> Response:
        choice = choice_of(form.__getitem__, form.every)
        at = self._time_of(form)
        desk = self._view.backing.dead
        pick = choice.pick(at)
        try:
            author, why = signed(form["author"], form["reason"])
            pace = pace_of(form)
            told = await dry(desk, pick)
            _worth(told.meant, barred=0 if pace.force else sum(told.kept.values()))

            async def act(run: Run) -> tuple[bool, str]:
                found = await redrive(
                    desk, pick, pace, author=author, why=why, tell=run.tell, helm=run.helm
                )
                return found.whole, words.redriven(found)

            run = self._runs.begin(
                act, verb="redrive", what=choice.words, meant=told.meant, author=author, why=why
            )
        except Misused as error:
            return await self._redrive_screen(
                request, choice, at, form.values(), status=422, wrong=f"{error}."
            )
        return self._view.go(request, query("/dead/run", id=run.id))

    def _time_of(self, form: Form) -> float:
        """When the letters of a form were counted: nobody has counted later than now."""
        at = number_of(form["at"], "the time of the form")
        return max(0.0, min(at, self._view.backing.letters.at()))

    # --- discard ---------------------------------------------------------------------

    async def _discard_form(self, request: Request) -> Response:
        desk = self._view.backing.letters
        return await self._discard_screen(request, asked(request), desk.at(), _DISCARD)

    async def _discard_screen(
        self,
        request: Request,
        choice: Choice,
        at: float,
        values: Mapping[str, str],
        *,
        status: int = 200,
        wrong: str = "",
    ) -> Response:
        meant = await soon("ledger", chosen(self._view.backing.letters, choice.pick(at)))
        return self._view.show(
            request,
            "discard.html",
            status,
            title="Discard",
            choice=choice,
            at=at,
            meant=len(meant),
            values={**_DISCARD, **values},
            other=self._runs.now,
            wrong=wrong,
        )

    async def _discard(self, request: Request, form: Form) -> Response:
        choice = choice_of(form.__getitem__, form.every)
        at = self._time_of(form)
        desk = self._view.backing.dead
        pick = choice.pick(at)
        try:
            author, why = signed(form["author"], form["reason"])
            meant = len(await chosen(desk, pick))
            _worth(meant)

            async def act(_: Run) -> tuple[bool, str]:
                found = await discard(
                    desk, pick, author=author, why=why, unfound=bool(form["unfound"])
                )
                return not (found.stopped or found.missing_count), words.discarded(found)

            run = self._runs.begin(
                act, verb="discard", what=choice.words, meant=meant, author=author, why=why
            )
        except Misused as error:
            return await self._discard_screen(
                request, choice, at, form.values(), status=422, wrong=f"{error}."
            )
        return self._view.go(request, query("/dead/run", id=run.id))

    # --- what goes on ------------------------------------------------------------------

    async def _run(self, request: Request) -> Response:
        run = self._runs[request.query_params.get("id", "")]
        refresh: dict[str, Any] = {"refresh_s": REFRESH_S} if run.goes_on else {}
        return self._view.show(
            request,
            "run.html",
            title=run.verb.capitalize(),
            run=run,
            at=self._view.backing.letters.at(),
            **refresh,
        )

    async def _stop(self, request: Request, form: Form) -> Response:
        run = self._runs[form["id"]]
        session = self._view.session(request)
        who = (session.author if session else "") or run.author
        run.helm.stop = run.helm.stop or f"{who} stopped it"
        return self._view.go(request, query("/dead/run", id=run.id))


def _worth(meant: int, *, barred: int = 0) -> None:
    if not meant:
        msg = "none of these letters is on the list any more"
        raise Misused(msg)
    if barred == meant:
        msg = "no letter's route may be called now, so nothing was sent"
        raise Misused(msg)


async def dry(desk: DeadDesk, pick: Pick) -> Redriven:
    """What a redrive would do now."""
    return await redrive(desk, pick, Pace(), author="-", why="-", dry=True)


def pace_of(form: Form) -> Pace:
    """How fast, as somebody typed it.

    Raises:
        Misused: Something of it makes no sense.
    """
    return Pace(
        rate=number_of(form["rate"], "the rate"),
        stages=stages_of(form["canary"].strip() or None, "the canary"),
        stop_share=number_of(form["stop_if"], "the share that stops a canary"),
        force=bool(form["force"]),
    )
