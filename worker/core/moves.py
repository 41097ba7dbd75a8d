"""Every move of a verdict: who wants what, when it holds, and what it changes.

Whoever wants to change a verdict gives an order; `moved` says what the record
becomes, or that the order does not hold any more. The store does one thing: it
replaces a record if nobody was faster (compare and swap on `version` and `nonce`). So
every decision is made from a view that is still true when it is written, and a write that
arrives twice changes nothing twice.

An order names what it is about (a stage, an epoch and a round, a claim), so an old
one finds nothing to change. `MOVES` is the whole table; the page draws it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from worker.core.policy import LEVEL_MAX, BreakerPolicy
from worker.core.verdict import Override, State, Verdict, is_behind

WHY_MAX: Final = 200
RESTORE_STEP: Final = 1000
RESTORED: Final = "restored after a loss: "


# --- orders ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """The jury found the target bad. `stage` is what the votes were about."""

    stage: int
    why: str
    roll: float
    calm_s: float = 0.0  # how long the caller has seen it closed


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRound:
    """The rest is over, and a real job waits."""

    stage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTicket:
    """Somebody wants to probe. `claim` is a nonce: with it the caller knows its ticket."""

    epoch: int
    round: int
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A probe came back."""

    epoch: int
    round: int
    claim: str
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclude:
    """Enough probes came back to decide, or (`overdue`) the round has lasted too long."""

    stage: int
    overdue: bool
    roll: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """The jury found this step of the ramp good."""

    stage: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDown:
    """The jury found this step of the ramp bad."""

    stage: int
    why: str
    roll: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An operator takes over. `number` is the last order that the operator knew of."""

    override: Override
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An operator, or the end of its time, ends the override of this number."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """The store has lost what we know: an older record is there, or none."""

    known: Verdict


Order = (
    Trip
    | BeginRound
    | ClaimTicket
    | Report
    | Conclude
    | StepUp
    | StepDown
    | Hold
    | Release
    | Restore
)


# --- the table ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Move:
    """One row: in which states an order may hold, when it does, and what it changes.

    `when` and `then` are also the text of the page; `leads_to` its arrows.
    """

    states: frozenset[State]
    when: str
    holds: Callable[[Verdict, Any, BreakerPolicy], bool]
    then: str
    change: Callable[[Verdict, Any, BreakerPolicy], Verdict]
    leads_to: frozenset[State]


def _rest(verdict: Verdict, policy: BreakerPolicy, *, level: int, roll: float) -> Verdict:
    level = min(level, LEVEL_MAX)
    return replace(
        verdict,
        state=State.OPEN,
        share=0.0,
        level=level,
        cooldown_s=round(policy.rest_s(level, roll), 3),
        tickets=0,
        claims=(),
        outcomes=(),
    )


def _trip(verdict: Verdict, order: Trip | StepDown, policy: BreakerPolicy) -> Verdict:
    if verdict.state is State.RAMP:
        level = verdict.level + 1
    else:
        assert isinstance(order, Trip), "only the ramp steps down"
        level = max(0, verdict.level - int(order.calm_s / policy.forgive_s))
    tripped = _rest(verdict, policy, level=level, roll=order.roll)
    return replace(tripped, epoch=verdict.epoch + 1, why=order.why)


def _begin_round(verdict: Verdict, _: BeginRound, policy: BreakerPolicy) -> Verdict:
    return replace(
        verdict,
        state=State.HALF_OPEN,
        round=verdict.round + 1,
        tickets=policy.probes,
        claims=(),
        outcomes=(),
        why="the rest is over and a job waits",
    )


def _claim(verdict: Verdict, order: ClaimTicket, _: BreakerPolicy) -> Verdict:
    return replace(
        verdict, claims=(*verdict.claims, order.claim), outcomes=(*verdict.outcomes, None)
    )


def _report(verdict: Verdict, order: Report, _: BreakerPolicy) -> Verdict:
    ticket = verdict.claims.index(order.claim)
    outcomes = (*verdict.outcomes[:ticket], order.good, *verdict.outcomes[ticket + 1 :])
    return replace(verdict, outcomes=outcomes)


def _may_report(verdict: Verdict, order: Report, _: BreakerPolicy) -> bool:
    return (
        (verdict.epoch, verdict.round) == (order.epoch, order.round)
        and order.claim in verdict.claims
        and verdict.outcomes[verdict.claims.index(order.claim)] is None
    )


def _may_conclude(verdict: Verdict, order: Conclude, policy: BreakerPolicy) -> bool:
    if verdict.stage != order.stage:
        return False
    need = min(policy.probes_good, verdict.tickets)
    hopeless = verdict.tickets - verdict.bad < need
    return order.overdue or verdict.good >= need or hopeless


def _conclude(verdict: Verdict, order: Conclude, policy: BreakerPolicy) -> Verdict:
    need = min(policy.probes_good, verdict.tickets)
    tally = f"{verdict.good} of {verdict.tickets} probes good, {verdict.bad} bad"
    if verdict.good >= need:
        return replace(
            verdict,
            state=State.RAMP,
            share=policy.ramp[0],
            tickets=0,
            claims=(),
            outcomes=(),
            why=tally,
        )
    # Without one bad probe the round says nothing against the target: its probers died.
    level = verdict.level + 1 if verdict.bad else verdict.level
    return replace(_rest(verdict, policy, level=level, roll=order.roll), why=tally)


def _step_up(verdict: Verdict, order: StepUp, policy: BreakerPolicy) -> Verdict:
    higher = [share for share in policy.ramp if share > verdict.share]
    if higher:
        return replace(verdict, share=higher[0], why=order.why)
    return replace(verdict, state=State.CLOSED, share=1.0, why=order.why)


def _step_down(verdict: Verdict, order: StepDown, policy: BreakerPolicy) -> Verdict:
    lower = [share for share in policy.ramp if share < verdict.share]
    if lower:
        return replace(verdict, share=lower[-1], why=order.why)
    return _trip(verdict, order, policy)


def _hold(verdict: Verdict, order: Hold, _: BreakerPolicy) -> Verdict:
    number = verdict.orders + 1
    return replace(verdict, override=replace(order.override, number=number), orders=number)


def _restore(verdict: Verdict, order: Restore, _: BreakerPolicy) -> Verdict:
    # Somebody may know a few writes more than we do, and tickets, votes and reports about
    # them may be under way: every number steps beyond whatever they can name.
    known = order.known
    restored = replace(
        known,
        version=max(known.version, verdict.version) + RESTORE_STEP,
        stage=max(known.stage, verdict.stage) + RESTORE_STEP,
        epoch=max(known.epoch, verdict.epoch) + RESTORE_STEP,
        round=max(known.round, verdict.round) + RESTORE_STEP,
        tickets=0,
        claims=(),
        outcomes=(),
        why=RESTORED + known.why.removeprefix(RESTORED),
    )
    if known.state is State.HALF_OPEN:
        restored = replace(restored, state=State.OPEN)
    if verdict.override is None:
        return replace(restored, orders=max(known.orders, verdict.orders))
    # An operator was faster, and did not know of the orders that were lost.
    number = known.orders + verdict.override.number
    return replace(restored, override=replace(verdict.override, number=number), orders=number)


_ANY: Final = frozenset(State)

MOVES: Final[Mapping[type[Order], Move]] = MappingProxyType(
    {
        Trip: Move(
            frozenset({State.CLOSED}),
            "the jury finds this very stage bad",
            lambda v, o, _: v.stage == o.stage,
            "epoch + 1; rest for the cooldown",
            _trip,
            frozenset({State.OPEN}),
        ),
        BeginRound: Move(
            frozenset({State.OPEN}),
            "the cooldown is over and a job waits",
            lambda v, o, _: v.stage == o.stage,
            "round + 1; as many tickets as the policy has probes",
            _begin_round,
            frozenset({State.HALF_OPEN}),
        ),
        ClaimTicket: Move(
            frozenset({State.HALF_OPEN}),
            "same epoch, same round, a ticket is left",
            lambda v, o, _: (
                (v.epoch, v.round) == (o.epoch, o.round)
                and v.tickets_left > 0
                and o.claim not in v.claims
            ),
            "one ticket less",
            _claim,
            frozenset({State.HALF_OPEN}),
        ),
        Report: Move(
            frozenset({State.HALF_OPEN}),
            "same epoch, same round, my ticket, no report yet",
            _may_report,
            "its outcome is written under the ticket",
            _report,
            frozenset({State.HALF_OPEN}),
        ),
        Conclude: Move(
            frozenset({State.HALF_OPEN}),
            "enough good, or too many bad, or the round is overdue",
            _may_conclude,
            "enough good: the first step of the ramp; else rest, longer if a probe was bad",
            _conclude,
            frozenset({State.RAMP, State.OPEN}),
        ),
        StepUp: Move(
            frozenset({State.RAMP}),
            "the jury finds this very step good",
            lambda v, o, _: v.stage == o.stage,
            "the next share; after the last one closed",
            _step_up,
            frozenset({State.RAMP, State.CLOSED}),
        ),
        StepDown: Move(
            frozenset({State.RAMP}),
            "the jury finds this very step bad",
            lambda v, o, _: v.stage == o.stage,
            "the share before; from the first one: epoch + 1, rest longer",
            _step_down,
            frozenset({State.RAMP, State.OPEN}),
        ),
        Hold: Move(
            _ANY,
            "the operator knew the last order",
            lambda v, o, _: v.orders == o.number,
            "the override is in force until its time is over",
            _hold,
            _ANY,
        ),
        Release: Move(
            _ANY,
            "that very override is still there",
            lambda v, o, _: v.override is not None and v.override.number == o.number,
            "no override",
            lambda v, _, __: replace(v, override=None),
            _ANY,
        ),
        Restore: Move(
            _ANY,
            "the store knows less than the worker",
            lambda v, o, _: v.name == o.known.name and is_behind(v, o.known),
            "what the worker knows is written back, half-open as open",
            _restore,
            _ANY,
        ),
    }
)


def moved(
    verdict: Verdict,
    order: Order,
    policy: BreakerPolicy,
    *,
    writer: str = "",
    nonce: str = "",
    at: float = 0.0,
) -> Verdict | None:
    """What an order makes of a verdict; None if it does not hold.

    Args:
        verdict: What is written now.
        order: What the caller wants.
        policy: The breaker's policy.
        writer: Who gives the order.
        nonce: New for every try to write.
        at: Seconds since 1970, for people.
    """
    move = MOVES[type(order)]
    if verdict.state not in move.states or not move.holds(verdict, order, policy):
        return None
    new = move.change(verdict, order, policy)
    assert new.state in move.leads_to or isinstance(order, Hold | Release | Restore)
    version = new.version if isinstance(order, Restore) else verdict.version
    new = replace(new, version=version + 1, writer=writer, nonce=nonce, why=new.why[:WHY_MAX])
    if isinstance(order, Restore) or (new.state, new.share) == (verdict.state, verdict.share):
        return new
    return replace(new, stage=verdict.stage + 1, at=at)
