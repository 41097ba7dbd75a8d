"""Who opened a circuit that stood in a job's way, and why: by the breakers' history."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.trail import Bar
from worker.core.verdict import Mode, State, Transition
from worker.ops.desk import Desk, asked
from worker.ports import Unavailable

ROWS: Final = 100
Pasts = Mapping[str, Sequence[Transition]]  # by breaker, the newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """What stood in a job's way.

    Attributes:
        name, why, version: As the trail has them (`core/trail.py`).
        state: The circuit's then; "" if its history does not tell.
        by: Who opened it, or held it open: a worker, or the operator who gave the order.
        because: What spoke against it, or the operator's reason.
        since_at: When it opened, seconds since 1970.
        alone: Whether the worker decided alone: no history tells of that.
        known: Whether the history tells who opened it.
    """

    name: str
    why: str
    version: int
    state: str = ""
    by: str = ""
    because: str = ""
    since_at: float | None = None
    alone: bool = False
    known: bool = False


async def pasts_of(desk: Desk | None, names: Iterable[str], unknown: list[str]) -> Pasts:
    """The newest history of these breakers; what could not be read is added to `unknown`."""
    found: dict[str, Sequence[Transition]] = {}
    for name in sorted(names) if desk is not None else ():
        assert desk is not None, "no names without a desk"
        try:
            found[name] = await asked(desk.store.history(name, ROWS))
        except Unavailable as error:
            unknown.append(
                f"who opened the circuit of {name}: its history cannot be read ({error})"
            )
    return found


def hindrance(bar: Bar, pasts: Pasts) -> Hindrance:
    """What a bar was, by the history of its breaker."""
    if not bar.version:
        return Hindrance(name=bar.name, why=bar.why, version=0, alone=True)
    rows = [row for row in pasts.get(bar.name, ()) if row.version <= bar.version]
    then = rows[0] if rows else None
    began = next((row for row in rows if _begins(row, held=bar.why == "held")), None)
    return Hindrance(
        name=bar.name,
        why=bar.why,
        version=bar.version,
        state=then.new.value if then else "",
        by=began.by if began else "",
        because=began.why if began else "",
        since_at=began.at if began else None,
        known=began is not None,
    )


def _begins(row: Transition, *, held: bool) -> bool:
    """Whether a row is where the trouble began: the order, or the trip."""
    if held:
        return row.mode is Mode.HOLD_OPEN and row.for_s > 0
    return row.new is State.OPEN and row.old in (State.CLOSED, State.RAMP)
