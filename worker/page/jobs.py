"""One job: how it ended, its calls, what was done to it; and on demand its message, and an edit.

A message is somebody's text. It is on no screen but the one that answers a click, and the log
has a row that says who clicked before the text is read from the queue.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from worker.ops.dead_bodies import show_body
from worker.ops.dead_desk import show
from worker.ops.dead_edit import edit
from worker.ops.desk import Misused
from worker.ops.overrides import signed
from worker.ops.path import Path, Step, path
from worker.page.diff import diff, pretty
from worker.page.picks import number_of
from worker.page.runs import Runs
from worker.page.view import Form, View, soon
from worker.page.words import query
from worker.words import dead as words
from worker.words import why

LINES_SHOWN: Final = 4_000
_EMPTY: Final = {"reason": "", "force": "", "fence": ""}


class Jobs:
    """The screens of single jobs."""

    def __init__(self, view: View, runs: Runs) -> None:
        self._view = view
        self._runs = runs

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            self._view.look("/job", self._job),
            self._view.act("/job/body", self._body),
            self._view.act("/job/edit", self._edit),
        ]

    async def _job(self, request: Request) -> Response:
        job = request.query_params.get("id", "").strip()
        if not job:
            return RedirectResponse("/dead", 303)
        desk = self._view.backing.letters
        told, found = await soon("ledger", asyncio.gather(show(desk, job), path(desk, job)))
        return self._view.show(
            request,
            "job.html",
            title=job,
            found=told,
            lives=list(_lives(found)),
        )

    async def _body(self, request: Request, form: Form) -> Response:
        job = form["id"]
        author, _ = signed(form["author"], form["reason"] or "-")
        self._runs.must_be_over()
        found = await show_body(
            self._view.backing.dead, job, author=author, why=form["reason"].strip()
        )
        if found.body is None:
            text = f"its message is not in reach. {words.REACH}."
            return self._view.go(request, query("/job", id=job), text, well=False)
        assert found.letter is not None, "else there was no body to ask for"
        values = {"fence": str(found.letter.fence)}
        return self._editor(request, job, found.body, pretty(found.body), values)

    def _editor(
        self,
        request: Request,
        job: str,
        old: str,
        new: str,
        values: Mapping[str, str],
        *,
        status: int = 200,
        wrong: str = "",
    ) -> Response:
        return self._view.show(
            request,
            "body.html",
            status,
            title=job,
            job=job,
            old=old,
            new=new,
            values={**_EMPTY, **values},
            wrong=wrong,
        )

    async def _edit(self, request: Request, form: Form) -> Response:
        job, old, new = form["id"], form.text("old"), form.text("new")
        step = form["step"]
        if step == "again":
            return self._editor(request, job, old, new, form.values())
        try:
            author, why = signed(form["author"], form["reason"])
            self._runs.must_be_over()
            told = await edit(
                self._view.backing.dead,
                job,
                put={},
                body=new.encode(),
                fence=int(number_of(form["fence"], "the letter's fence")),
                author=author,
                why=why,
                force=bool(form["force"]),
                dry=step != "send",
            )
        except Misused as error:
            return self._editor(
                request, job, old, new, form.values(), status=422, wrong=f"{error}."
            )
        if told.wrong:
            return self._editor(
                request, job, old, new, form.values(), status=422, wrong=words.edited(told)
            )
        if told.sent:
            return self._view.go(request, query("/job", id=job), words.edited(told))
        rows = diff(old, new)
        return self._view.show(
            request,
            "edit.html",
            title=job,
            job=job,
            told=told,
            old=old,
            new=new,
            rows=rows[:LINES_SHOWN],
            more=max(0, len(rows) - LINES_SHOWN),
            values=form.values(),
        )


def _lives(found: Path) -> Iterator[tuple[Path, Sequence[tuple[Step, list[str]]], list[str]]]:
    """The path of a job, and of the upgrade that its answer promised: steps, and what comes."""
    yield found, [(step, why.says(step)) for step in found.steps], list(why.coming(found.next))
    if found.upgrade is not None:
        yield from _lives(found.upgrade)
