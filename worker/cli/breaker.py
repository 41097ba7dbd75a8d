"""`inference-worker breaker`: the operator's hand on the fleet's circuit.

What is done is in `worker/ops`; here it is given a store, and told. Exit codes: 0 all
is closed, or the order stands; 1 something is not closed, or somebody else was
faster; 2 used wrongly, or the store could not be asked.
"""

import asyncio
import getpass
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from aiobotocore.config import AioConfig

from worker.aws.breakers import DynamoBreakers
from worker.cli.check import loaded
from worker.cli.clients import Unopened, clients
from worker.core.policy import EVERY, BreakerPolicy
from worker.core.verdict import Mode
from worker.ops import breakers, overrides, policies
from worker.ops.desk import Desk, InDoubt, Misused
from worker.ports import Unavailable
from worker.runtime.gates import Gates
from worker.settings import Loaded, Settings, SettingsError
from worker.words import breaker as text
from worker.words.given import seconds_of

LOOK_MAX_S: Final = 60.0
ROWS_MAX: Final = 100
# A person waits longer than a worker does. To repeat a write does no harm: the second
# one is refused, and the refusal brings our own.
_CONFIG: Final = AioConfig(
    connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
)


def show(
    config: Path | None, names: Sequence[str], *, why: bool, lasting: str | None, as_json: bool
) -> int:
    """Print how breakers stand; 0 if every one is closed, and none is held open."""

    async def act(desk: Desk) -> int:
        scene = await breakers.look(desk, names, why=why, look_s=_look_s(lasting))
        print(_json(scene) if as_json else text.scene(scene))
        return 0 if scene.calm else 1

    return at_desk(config, act)


def history(config: Path | None, name: str | None, *, most: int, as_json: bool) -> int:
    """Print what changed, the newest first."""

    async def act(desk: Desk) -> int:
        if not 1 <= most <= ROWS_MAX:
            msg = f"--most is from 1 to {ROWS_MAX}, not {most}"
            raise Misused(msg)
        past = await breakers.past(desk, name, most=most)
        print(_json(past) if as_json else text.past(past))
        return 0

    return at_desk(config, act)


def hold(
    config: Path | None,
    name: str,
    mode: Mode,
    *,
    lasting: str,
    author: str | None,
    reason: str,
    dry: bool,
    look: str | None,
) -> int:
    """Take a breaker over for a time."""

    async def act(desk: Desk) -> int:
        for_s = seconds_of(lasting, "--for", low_s=overrides.FOR_MIN_S, high_s=overrides.FOR_MAX_S)
        told = await overrides.hold(
            desk,
            name,
            mode,
            for_s=for_s,
            author=author or user(),
            reason=reason,
            dry=dry,
            look_s=_look_s(look),
        )
        if dry:
            print(text.would_hold(told.now, mode, for_s))
            return 0
        return _tell(text.held(told), stands=told.stands)

    return at_desk(config, act)


def auto(config: Path | None, name: str, *, author: str | None, reason: str, dry: bool) -> int:
    """Give a breaker back to the fleet."""

    async def act(desk: Desk) -> int:
        told = await overrides.release(desk, name, author=author or user(), reason=reason, dry=dry)
        if dry:
            print(text.would_release(told.now))
            return 0
        return _tell(text.released(told), stands=told.stands)

    return at_desk(config, act)


def policy(
    config: Path | None,
    name: str | None,
    *,
    every: bool,
    put: Sequence[str],
    drop: Sequence[str],
    author: str | None,
    reason: str,
    dry: bool,
    as_json: bool,
) -> int:
    """Print the policies in force, or change one in the store."""

    async def act(desk: Desk) -> int:
        if name and every:
            msg = "name one breaker or say --every, not both"
            raise Misused(msg)
        if not put and not drop:
            found = await policies.policies(desk, name)
            print(_json(found) if as_json else text.policies(found))
            return 0
        if not name and not every:
            msg = "say whose policy is to change: a breaker's NAME, or --every"
            raise Misused(msg)
        told = await policies.amend(
            desk,
            name or EVERY,
            put=dict(map(_assigned, put)),
            drop=drop,
            author=author or user(),
            reason=reason,
            dry=dry,
        )
        if as_json:
            print(_json(told))
            return 0 if told.stands or told.dry else 1
        return _tell(text.amended(told), stands=told.stands or told.dry)

    return at_desk(config, act)


# --- arguments -----------------------------------------------------------------


def _look_s(given: str | None) -> float:
    return 0.0 if given is None else seconds_of(given, "--look", low_s=1.0, high_s=LOOK_MAX_S)


def _assigned(given: str) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not equals:
        msg = f"--set takes a knob and its value, as in --set failure_rate=0.6, not {given!r}"
        raise Misused(msg)
    return name.strip(), policies.number_of(name.strip(), value)


def user() -> str:
    """Who sits at this shell."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unknown"


# --- the desk --------------------------------------------------------------------


def at_desk(config: Path | None, act: Callable[[Desk], Awaitable[int]]) -> int:
    """Do something at the desk; 2 if it was asked wrongly, or the store could not be asked."""
    try:
        ours = loaded(config)
    except SettingsError as error:
        return _tell(str(error), code=2)
    if not ours.settings.breaker.shared:
        return _tell(text.NOT_SHARED, code=2)
    try:
        return asyncio.run(_open(ours, act))
    except Misused as error:
        return _tell(f"{error}.", code=2)
    except InDoubt as error:
        return _tell(text.in_doubt(error), code=2)
    except Unavailable as error:
        return _tell(text.unavailable(error, ours.settings.breakers_table), code=2)
    except Unopened as error:
        return _tell(str(error), code=2)


async def _open(ours: Loaded, act: Callable[[Desk], Awaitable[int]]) -> int:
    async with clients(_CONFIG, "dynamodb") as made:
        return await act(desk_of(ours, made["dynamodb"]))


def desk_of(ours: Loaded, dynamodb: Any) -> Desk:
    """Where an operator sits whose settings these are."""
    settings = ours.settings
    return Desk(
        store=DynamoBreakers(dynamodb, settings.breakers_table, service=settings.service),
        policies=policies_of(settings),
        given=frozenset(path[1] for path in ours.origins if path[0] == "breaker"),
        at=time.time,
    )


def policies_of(settings: Settings) -> dict[str, BreakerPolicy]:
    """The policy of each breaker that a worker with these settings has."""
    routes = settings.all_routes().values()
    gates = Gates(
        worker="",
        slots=1,
        targets=[target for route in routes for target in route.targets],
        policies=settings.policies(),
        tell=lambda _: None,
        now=0.0,
    )
    return {gate.local.name: gate.policy for gate in gates}


def _json(found: Any) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def _tell(message: str, *, stands: bool = False, code: int = 1) -> int:
    """Print what became of an order: to stdout if it stands, else to stderr."""
    print(message, file=sys.stdout if stands else sys.stderr)
    return 0 if stands else code
