"""The life of a job: its states, the legal moves, and who may make them.

The message in the queue is a doorbell; the `Record` here is the truth. Each
claim raises the `fence`, and every later write names the fence it was given:
a zombie that lost its lease cannot write any more.

    absent, QUEUED, PARKED, INTERRUPTED   claim                 -> RUNNING
    RUNNING (its lease lapsed)            claim, crashes + 1    -> RUNNING
    DEAD (by another message)             claim, generation + 1 -> RUNNING
    RUNNING                               finish                -> ANSWERED, DEGRADED, DEAD,
                                                                   PARKED, INTERRUPTED

These functions decide; `aws/ledger.py` and `sim/memory.py` carry out, with one
conditional write each. Times called `at` are seconds since 1970 by the wall
clock: a lease is read by other hosts, so `skew_s` allows for their clocks.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, assert_never

from worker.core.fault import Billed, Kind
from worker.core.trail import Leg, with_leg


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"  # known, and waiting for a worker
    RUNNING = "running"  # claimed by one worker until its lease lapses
    PARKED = "parked"  # waiting in the parked queue; nobody is to blame
    INTERRUPTED = "interrupted"  # cut short by a drain or a lost dependency; uncharged
    ANSWERED = "answered"  # by a model, or blocked by its guardrail
    DEGRADED = "degraded"  # by a second-best handler
    DEAD = "dead"  # discarded; its dead letter says why
    CANCELLED = "cancelled"  # by its producer, before it ran

    @property
    def final(self) -> bool:
        """Whether the job has its one final record."""
        return self in FINAL

    @property
    def waiting(self) -> bool:
        """Whether a claim needs no more than to find the job so."""
        return self in WAITING


WAITING: Final = frozenset({State.QUEUED, State.PARKED, State.INTERRUPTED})
FINAL: Final = frozenset({State.ANSWERED, State.DEGRADED, State.DEAD, State.CANCELLED})

# The whole automaton. A move that is not listed here cannot happen.
LEGAL: Final = frozenset(
    {(state, State.RUNNING) for state in WAITING}
    | {(State.RUNNING, State.RUNNING), (State.DEAD, State.RUNNING)}
    | {
        (State.RUNNING, state)
        for state in (
            State.ANSWERED,
            State.DEGRADED,
            State.DEAD,
            State.PARKED,
            State.INTERRUPTED,
        )
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call to one target for one job: a row of the job's history.

    `kind` is None for a call that brought an answer. `number` counts the job's
    charged attempts from 1; uncharged calls carry the number they would have had.
    `fence` is that of the claim which made it, 0 if that is not known; `at` is when the
    call went out, seconds since 1970, by the worker's clock.
    """

    number: int
    target: str
    kind: Kind | None = None
    code: str = ""
    http: int | None = None
    message: str = ""
    duration_ms: int = 0
    billed: Billed = Billed.NO
    request_id: str = ""
    timer: str = ""
    breaker: str = "closed"
    fence: int = 0
    at: float = 0.0


HISTORY_MAX: Final = 20  # rows kept: the first of all tells the cause, the rest are the latest


def with_history(old: tuple[Attempt, ...], new: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Both histories in order, cut in the middle to `HISTORY_MAX` rows."""
    both = (*old, *new)
    return both if len(both) <= HISTORY_MAX else (both[0], *both[1 - HISTORY_MAX :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job in the ledger.

    Attributes:
        job: The job's id.
        fence: Number of the latest claim; only its holder may write.
        generation: Number of redrives.
        owner: The worker process that claimed last (a boot id), for people.
        nonce: The claim that wrote last; tells an ambiguous write of ours from a rival's.
        lease_until: When the claim lapses, seconds since 1970.
        attempts: Charged model calls. A park, a drain or a throttle is none.
        parks: How often the job was parked.
        parked_at: When it was parked, if that was its last ending; seconds since 1970. A
            run does not clear it: a job that crashed thereafter still waits.
        parked_s: How long it waited parked before that, over its life, in seconds.
        interruptions: How often a drain or a lost dependency cut it short.
        crashes: How often a run ended without any outcome, since the last outcome.
        doorbells: MessageIds seen for this job: none of them is ever a redrive.
        digest: What the job asks for, hashed: another request under this id is refused.
        sent_at: When the job was first sent; deadlines count from here.
        result: The result envelope as JSON, if it is small; else `result_ref` names it.
        told: Whether the reply or the dead letter is known to be sent.
        wasted_usd, wasted_most_usd: What was paid for nothing over its life (`cost.Waste`).
        finished_at: When it ended, seconds since 1970; None while it has not.
        trail: What became of its claims, over all generations (`core/trail.py`).
        past: The calls of earlier generations; `history` has those of this one.
    """

    job: str
    state: State
    fence: int = 0
    generation: int = 0
    owner: str = ""
    nonce: str = ""
    lease_until: float = 0.0
    attempts: int = 0
    parks: int = 0
    interruptions: int = 0
    crashes: int = 0
    doorbells: frozenset[str] = frozenset()
    digest: str = ""
    sent_at: float = 0.0
    route: str = ""
    tenant: str = ""
    history: tuple[Attempt, ...] = ()
    not_before: float | None = None
    reason: str = ""
    fingerprint: str = ""
    result: bytes | None = None
    result_ref: str = ""
    told: bool = False
    parked_at: float | None = None
    parked_s: float = 0.0
    wasted_usd: float = 0.0
    wasted_most_usd: float = 0.0
    finished_at: float | None = None
    trail: tuple[Leg, ...] = ()
    past: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who asks for a job, and by which message.

    `own_doorbell` says that the message is one that a worker sent (a parked
    doorbell), and so never a redrive. `redrive` is the generation that a redrive by an
    operator asks for, 0 for any other message: of two that ask for the same one, one runs.
    Below 0 it wakes no dead job.
    """

    job: str
    owner: str
    nonce: str
    doorbell: str
    lease_s: float
    digest: str
    sent_at: float
    route: str = ""
    tenant: str = ""
    own_doorbell: bool = False
    redrive: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The job has its final record: the message is a late doorbell."""

    record: Record


@dataclass(frozen=True, slots=True)
class RunningElsewhere:
    """Another run holds the job; hide the message for `lease_left_s` seconds."""

    record: Record
    lease_left_s: float


@dataclass(frozen=True, slots=True)
class Conflict:
    """The id belongs to a job that asks for something else."""

    record: Record


Refusal = Finished | RunningElsewhere | Conflict


def claim(old: Record | None, ask: Claim, at: float, *, skew_s: float) -> Record | Refusal:
    """What the record becomes if `ask` may run the job, or why it may not.

    Args:
        old: The record as it is, None if there is none.
        ask: Who asks.
        at: Now, seconds since 1970.
        skew_s: How far two hosts' clocks may be apart.
    """
    if old is None:
        return _claimed(Record(job=ask.job, state=State.QUEUED, sent_at=ask.sent_at), ask, at)
    if old.state is State.RUNNING and old.nonce == ask.nonce:
        return old  # our own write, whose answer was lost
    if old.state is State.DEAD and not ask.own_doorbell and ask.doorbell not in old.doorbells:
        if ask.redrive not in (0, old.generation + 1):
            # That redrive had its run. This is its second message, or another one's edit.
            other = old.digest and ask.digest != old.digest
            return Conflict(old) if other else Finished(old)
        return _claimed(_redriven(old, ask), ask, at)
    if old.digest and ask.digest != old.digest:
        return Conflict(old)
    match old.state:
        case State.ANSWERED | State.DEGRADED | State.DEAD | State.CANCELLED:
            return Finished(old)
        case State.QUEUED | State.PARKED | State.INTERRUPTED:
            return _claimed(old, ask, at)
        case State.RUNNING if at > old.lease_until + skew_s:
            trail = with_leg(old.trail, _leg(old, ended="", ended_at=old.lease_until))
            return _claimed(replace(old, crashes=old.crashes + 1, trail=trail), ask, at)
        case State.RUNNING:
            return RunningElsewhere(old, old.lease_until + skew_s - at)
        case _:
            assert_never(old.state)


def _leg(old: Record, *, ended: str, ended_at: float) -> Leg:
    """What the record itself tells of its latest claim."""
    return Leg(
        fence=old.fence,
        generation=old.generation,
        owner=old.owner,
        ended=ended,
        ended_at=ended_at,
        why=old.reason if ended else "",
    )


def _redriven(old: Record, ask: Claim) -> Record:
    trail = old.trail
    if not trail or trail[-1].fence != old.fence:  # a record from before there were legs
        died_at = old.finished_at or 0.0
        trail = with_leg(trail, _leg(old, ended=old.state.value, ended_at=died_at))
    return replace(
        Record(job=old.job, state=State.DEAD),
        fence=old.fence,
        generation=old.generation + 1,
        sent_at=ask.sent_at,
        doorbells=old.doorbells,
        trail=(*trail[:-1], replace(trail[-1], sent_at=old.sent_at)),
        past=with_history(old.past, old.history),
    )


def _claimed(old: Record, ask: Claim, at: float) -> Record:
    assert (old.state, State.RUNNING) in LEGAL, f"{old.job}: {old.state} cannot be claimed"
    return replace(
        old,
        state=State.RUNNING,
        fence=old.fence + 1,
        owner=ask.owner,
        nonce=ask.nonce,
        lease_until=at + ask.lease_s,
        attempts=old.attempts + 1,
        # A worker's own doorbell is never taken for a redrive, so it need not be known.
        doorbells=old.doorbells if ask.own_doorbell else old.doorbells | {ask.doorbell},
        digest=ask.digest,
        route=ask.route,
        tenant=ask.tenant,
        not_before=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What a claim's holder writes when its run is over.

    `attempts`, `crashes` and the rest are the new totals, not differences: the
    same ending written twice is the same record. `leg` is put behind the trail. `rung` are
    the MessageIds of further messages that the run is to settle: no redrive either.
    """

    state: State
    attempts: int
    parks: int
    interruptions: int
    crashes: int
    history: tuple[Attempt, ...] = ()
    not_before: float | None = None
    reason: str = ""
    fingerprint: str = ""
    result: bytes | None = None
    result_ref: str = ""
    told: bool = True
    parked_s: float = 0.0
    wasted_usd: float = 0.0
    wasted_most_usd: float = 0.0
    leg: Leg | None = None
    rung: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Stale:
    """The fence has moved on: somebody else holds, or has ended, the job."""

    record: Record | None


def finish(old: Record | None, held: Record, ending: Ending, at: float) -> Record | Stale:
    """What the record becomes if the holder of `held` may end its run.

    An ending that was already written by this very claim is accepted again:
    the first answer was lost.
    """
    if old is None or (old.fence, old.nonce) != (held.fence, held.nonce):
        return Stale(old)
    if old.state is ending.state:
        return old
    if old.state is not State.RUNNING:
        return Stale(old)
    assert (old.state, ending.state) in LEGAL, f"{old.job}: cannot end as {ending.state}"
    return replace(
        old,
        state=ending.state,
        attempts=ending.attempts,
        parks=ending.parks,
        interruptions=ending.interruptions,
        crashes=ending.crashes,
        history=ending.history,
        not_before=ending.not_before,
        reason=ending.reason,
        fingerprint=ending.fingerprint,
        result=ending.result,
        result_ref=ending.result_ref,
        told=ending.told,
        parked_at=at if ending.state is State.PARKED else None,
        parked_s=ending.parked_s,
        wasted_usd=ending.wasted_usd,
        wasted_most_usd=ending.wasted_most_usd,
        lease_until=0.0,
        finished_at=at if ending.state.final else None,
        doorbells=old.doorbells | ending.rung,
        trail=old.trail if ending.leg is None else with_leg(old.trail, ending.leg),
    )
