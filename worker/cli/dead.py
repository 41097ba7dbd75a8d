"""`inference-worker dead`: reviewing dead letters at the shell.

What is done is in `worker/ops`; here it is given its services, and told. Exit codes: 0
done; 1 something was kept, missing or stopped; 2 used wrongly, or a service could not
be asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from worker.cli.breaker import user
from worker.cli.dead_place import at_desk, say
from worker.ops import dead_bodies, dead_desk, dead_discard, dead_edit, dead_import, dead_redrive
from worker.ops.dead_desk import DeadDesk
from worker.ops.dead_pace import Pace
from worker.ops.desk import Misused
from worker.words import dead as text
from worker.words.given import Chosen, age_s, stages_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who does it, and why."""

    author: str | None = None
    why: str = ""

    @property
    def who(self) -> Mapping[str, Any]:
        """For `worker/ops`."""
        return {"author": self.author or user(), "why": self.why}


def groups(config: Path | None, which: Chosen, *, as_json: bool) -> int:
    """Print dead letters by what they died of."""

    async def act(desk: DeadDesk) -> int:
        found = await dead_desk.groups(desk, which.pick(desk.at()))
        print(_json(found) if as_json else text.groups(found))
        return 0

    return at_desk(config, act)


def listing(config: Path | None, which: Chosen, *, most: int, as_json: bool) -> int:
    """Print dead letters one by one."""

    async def act(desk: DeadDesk) -> int:
        found = await dead_desk.listing(desk, which.pick(desk.at()))
        print(_json(found) if as_json else text.listing(found, most))
        return 0

    return at_desk(config, act)


def show(config: Path | None, job: str, *, body: bool, signed: Signed, as_json: bool) -> int:
    """Print one job; with `body` its message too, and the log says so."""

    async def act(desk: DeadDesk) -> int:
        if body:
            found = await dead_bodies.show_body(desk, job, **signed.who)
        else:
            found = await dead_desk.show(desk, job)
        print(_json(found) if as_json else text.shown(found))
        return 1 if found.found is False else 0

    return at_desk(config, act)


def log(config: Path | None, *, since: str, as_json: bool) -> int:
    """Print what people did to dead letters."""

    async def act(desk: DeadDesk) -> int:
        rows = await desk.index.notes(since=desk.at() - age_s(since, "--since"))
        told = [asdict(row) | {"original": None} for row in rows]
        print(_json({"at": desk.at(), "rows": told}) if as_json else text.notes(rows))
        return 0

    return at_desk(config, act)


def original(config: Path | None, row: str, *, signed: Signed) -> int:
    """Print the message that an edit replaced, as it was."""

    async def act(desk: DeadDesk) -> int:
        content = await dead_bodies.original(desk, row, **signed.who)
        print(content.decode(errors="replace"))
        return 0

    return at_desk(config, act)


def redrive(
    config: Path | None,
    which: Chosen,
    *,
    signed: Signed,
    rate: float,
    canary: str | None,
    stop_share: float,
    force: bool,
    dry: bool,
    as_json: bool,
) -> int:
    """Send dead letters back to their queues."""

    async def act(desk: DeadDesk) -> int:
        pace = Pace(rate=rate, stages=stages_of(canary), stop_share=stop_share, force=force)
        pick = which.pick(desk.at(), all_needs_saying=True)
        if desk.circuit is None and not force:
            say(text.NOT_SHARED)
        told = await dead_redrive.redrive(desk, pick, pace, **signed.who, dry=dry, tell=say)
        print(_json(told) if as_json else text.redriven(told))
        return 0 if told.whole else 1

    return at_desk(config, act)


def edit(
    config: Path | None,
    job: str,
    *,
    put: Sequence[str],
    drop: Sequence[str],
    body: Path | None,
    signed: Signed,
    force: bool,
    dry: bool,
    as_json: bool,
) -> int:
    """Send a dead job back with another body."""

    async def act(desk: DeadDesk) -> int:
        if not put and not drop and body is None:
            msg = "say what is to change: --set PATH=JSON, --unset PATH, or --body FILE"
            raise Misused(msg)
        told = await dead_edit.edit(
            desk,
            job,
            put=dict(map(_assigned, put)),
            drop=drop,
            body=None if body is None else _content(body),
            **signed.who,
            force=force,
            dry=dry,
        )
        if as_json or told.sent or told.dry:
            print(_json(told) if as_json else text.edited(told))
        else:
            say(text.edited(told))
        return 1 if told.wrong else 0

    return at_desk(config, act)


def discard(
    config: Path | None, which: Chosen, *, signed: Signed, unfound: bool, dry: bool, as_json: bool
) -> int:
    """Throw dead letters away."""

    async def act(desk: DeadDesk) -> int:
        pick = which.pick(desk.at(), all_needs_saying=True)
        told = await dead_discard.discard(desk, pick, **signed.who, unfound=unfound, dry=dry)
        print(_json(told) if as_json else text.discarded(told))
        return 1 if told.stopped or told.missing_count else 0

    return at_desk(config, act)


def export(config: Path | None, which: Chosen, *, bodies: bool, signed: Signed) -> int:
    """Print dead letters whole, each as one line of JSON."""

    async def act(desk: DeadDesk) -> int:
        pick = which.pick(desk.at())
        async for row in dead_bodies.export(desk, pick, bodies=bodies, **signed.who):
            print(orjson.dumps(row).decode())
        return 0

    return at_desk(config, act)


def adopt(config: Path | None, *, signed: Signed, dry: bool, as_json: bool) -> int:
    """List what lies in the dead-letter queues and is on no list."""

    async def act(desk: DeadDesk) -> int:
        told = await dead_import.adopt(desk, **signed.who, dry=dry)
        print(_json(told) if as_json else text.imported(told))
        return 1 if told.stopped or told.alive else 0

    return at_desk(config, act)


# --- arguments -----------------------------------------------------------------


def _assigned(given: str) -> tuple[str, Any]:
    path, equals, value = given.partition("=")
    if not equals or not path.strip():
        msg = f"--set takes a path and its value, as in inference.maxTokens=512, not {given!r}"
        raise Misused(msg)
    try:
        return path.strip(), orjson.loads(value)
    except orjson.JSONDecodeError:
        return path.strip(), value  # a plain word needs no quotes


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise Misused(msg) from None


def _json(found: Any) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
