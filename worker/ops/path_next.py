"""What comes next for a job that is not over: where it waits, until when, and for what."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.core.dead import letter_of, remedy_of
from worker.core.ledger import Record, State
from worker.core.trail import Bar, Leg
from worker.core.upgrade import upgraded
from worker.ops.breakers import standing
from worker.ops.dead_desk import DeadDesk, DeadLane
from worker.ops.desk import read
from worker.ports import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A circuit that the job waits for, as it stands now; `state` is "" if that is not known."""

    name: str
    state: str
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What comes next.

    Attributes:
        what: In words.
        queue: Where its message lies; "" if that is not known, or it needs none.
        until: When that is due, seconds since 1970; None if it is no matter of time.
        circuits: What it waits for.
    """

    what: str
    queue: str = ""
    until: float | None = None
    circuits: tuple[Circuit, ...] = ()


async def next_of(
    desk: DeadDesk, record: Record, trail: Sequence[Leg], *, will_upgrade: bool
) -> Next | None:
    """What comes next for a job; None if it is over."""
    lane = _lane_of(desk, record)
    match record.state:
        case State.RUNNING:
            return _running(desk, record)
        case State.PARKED:
            last = trail[-1] if trail and trail[-1].fence == record.fence else None
            bars = last.bars if last is not None else ()
            return Next(
                what="its doorbell rings, and a worker claims it; a queue whose targets admit "
                "nothing is not polled before",
                queue=lane.parked if lane else "",
                until=record.not_before,
                circuits=await _circuits(desk, bars),
            )
        case State.QUEUED | State.INTERRUPTED:
            return Next(
                what="its message is visible again in the queue that it came from, and a worker "
                "claims it",
                queue=lane.jobs.name if lane and not record.parks else "",
            )
        case State.DEAD if letter_of(record) is not None:
            told = "" if record.told else " (a redelivery sends it there, if a crash kept it)"
            return Next(
                what=f"nothing, by itself: its letter is to be reviewed{told}; "
                f"{remedy_of(record.reason).value}",
                queue=lane.dead.name if lane else "",
            )
        case State.DEGRADED if will_upgrade:
            return Next(
                what=f"its upgrade runs as the job {record.job}+upgrade once a target is well",
                queue=lane.parked if lane else "",
            )
        case _ if not record.told and upgraded(record.job) is None:
            return Next(what="its reply is not known to be sent: the next delivery sends it")
        case _:
            return None


def _running(desk: DeadDesk, record: Record) -> Next:
    if record.lease_until >= desk.at():
        what = f"worker {record.owner} works on it, and renews its lease meanwhile"
    else:
        what = (
            f"the lease of worker {record.owner} has lapsed: who gets its message claims it, and "
            "counts a crash"
        )
    return Next(what=what, until=record.lease_until)


def _lane_of(desk: DeadDesk, record: Record) -> DeadLane | None:
    return next((lane for lane in desk.lanes if record.route in lane.routes), None)


async def _circuits(desk: DeadDesk, bars: Sequence[Bar]) -> tuple[Circuit, ...]:
    names = list(dict.fromkeys(bar.name for bar in bars))
    circuit = desk.circuit
    if circuit is None or not names:
        return tuple(Circuit(name=name, state="") for name in names)
    try:
        board = await read(circuit)
    except Unavailable:
        return tuple(Circuit(name=name, state="") for name in names)
    found = [standing(circuit, board, name) for name in names]
    return tuple(
        Circuit(name=one.name, state=one.state.value, held=one.mode.value == "hold_open")
        for one in found
    )
