"""Bugs of the protocol that we plant ourselves: a checker that finds nothing checks nothing.

The first eight are those of other people's breakers. Each bends one row of the table,
one constant or the store's fence; all other code is the product's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from tests.model.rules import Rules, with_globals
from tests.model.writes import Limits
from worker.core import jury
from worker.core.moves import (
    MOVES,
    BeginRound,
    ClaimTicket,
    Conclude,
    Hold,
    Order,
    Release,
    Report,
    Restore,
    StepDown,
    StepUp,
    Trip,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A bug, the promise that it breaks, and where it shows first."""

    name: str
    breaks: str
    rules: Rules
    limits: Limits
    probes_good: int = 1


def bent(
    order: type[Order],
    *,
    holds: Callable[[Verdict, Any, BreakerPolicy], bool] | None = None,
    change: Callable[[Verdict, Any, BreakerPolicy], Verdict] | None = None,
) -> Rules:
    """The product with one row of the table changed."""
    row = MOVES[order]
    row = replace(
        row,
        holds=holds or row.holds,
        change=change or row.change,
        leads_to=frozenset(State),
    )
    return Rules(table=MappingProxyType({**MOVES, order: row}))


def _and_then(order: type[Order], **values: Callable[[Verdict], Any]) -> Rules:
    """The product, but one order leaves some fields as they were before, or worse."""

    def change(verdict: Verdict, given: Any, policy: BreakerPolicy) -> Verdict:
        new = MOVES[order].change(verdict, given, policy)
        return replace(new, **{name: value(verdict) for name, value in values.items()})

    return bent(order, change=change)


def _close_at_once(verdict: Verdict, order: Report, policy: BreakerPolicy) -> Verdict:
    if not order.good:
        return MOVES[Report].change(verdict, order, policy)
    return replace(verdict, state=State.CLOSED, share=1.0, tickets=0, claims=(), outcomes=())


def _count(verdict: Verdict, order: Report, _: BreakerPolicy) -> Verdict:
    """Outcomes as a counter: whatever comes in takes the next free place."""
    place = verdict.outcomes.index(None)
    outcomes = (*verdict.outcomes[:place], order.good, *verdict.outcomes[place + 1 :])
    return replace(verdict, outcomes=outcomes)


def _same_round(verdict: Verdict, order: Report, _: BreakerPolicy) -> bool:
    here = (verdict.epoch, verdict.round) == (order.epoch, order.round)
    return here and order.claim in verdict.claims and None in verdict.outcomes


def _whole_tickets(verdict: Verdict, order: Conclude, policy: BreakerPolicy) -> Verdict:
    missing = verdict.tickets - len(verdict.claims)
    outcomes = tuple(outcome is not False for outcome in verdict.outcomes) + (True,) * missing
    return MOVES[Conclude].change(replace(verdict, outcomes=outcomes), order, policy)


def _find_without_stage(verdict: Verdict, votes: Any, *args: Any, **kwargs: Any) -> Any:
    votes = [replace(vote, stage=verdict.stage) for vote in votes]
    return jury.finding(verdict, votes, *args, **kwargs)


_FIRST_TRIPPER: Final = with_globals(jury.finding, tally=with_globals(jury.tally, QUORUM_MIN=1))

BUGS: Final = (
    Bug(
        name="one good probe closes the circuit",
        breaks="I-6",
        rules=bent(Report, change=_close_at_once),
        limits=Limits(),
        probes_good=2,
    ),
    Bug(
        name="outcomes are a counter, and a retry counts again",
        breaks="I-7",
        rules=bent(Report, holds=_same_round, change=_count),
        limits=Limits(flights=1, rounds=1),
        probes_good=2,
    ),
    Bug(
        name="a result does not name its round",
        breaks="I-7",
        rules=bent(Report, holds=lambda v, _, __: None in v.outcomes, change=_count),
        limits=Limits(),
    ),
    Bug(
        name="a ticket is claimed whether or not one is left",
        breaks="I-5",
        rules=bent(ClaimTicket, holds=lambda v, o, _: (v.epoch, v.round) == (o.epoch, o.round)),
        limits=Limits(flights=1, rounds=1),
    ),
    Bug(
        name="a round has no deadline",
        breaks="I-14",
        rules=bent(
            Conclude,
            holds=lambda v, o, p: MOVES[Conclude].holds(v, replace(o, overdue=False), p),
        ),
        limits=Limits(crashes=1),
    ),
    Bug(
        name="votes do not name their stage",
        breaks="I-9",
        rules=Rules(find=_find_without_stage),
        limits=Limits(epochs=2),
    ),
    Bug(
        name="the first who trips decides for all",
        breaks="I-9",
        rules=Rules(find=_FIRST_TRIPPER),
        limits=Limits(turns=0),
    ),
    Bug(
        name="the store replaces whatever is there",
        breaks="I-10",
        rules=Rules(same=lambda _, __: True),
        limits=Limits(flights=1, rounds=1),
    ),
    Bug(
        name="a trip sets the rounds back",
        breaks="I-8",
        rules=_and_then(Trip, round=lambda _: 0),
        limits=Limits(epochs=2, turns=3),
    ),
    Bug(
        name="a trip begins no epoch",
        breaks="I-8",
        rules=_and_then(Trip, epoch=lambda v: v.epoch),
        limits=Limits(),
    ),
    Bug(
        name="a round has the number of the last one",
        breaks="I-8",
        rules=_and_then(BeginRound, round=lambda v: max(1, v.round)),
        limits=Limits(),
    ),
    Bug(
        name="a restored round gives out its tickets again",
        breaks="I-5",
        rules=bent(Restore, change=lambda v, o, _: replace(o.known, version=v.version + 1000)),
        limits=Limits(wipes=1),
    ),
    Bug(
        name="a restored record does not lead",
        breaks="I-8",
        rules=bent(Restore, change=with_globals(MOVES[Restore].change, RESTORE_STEP=0)),
        limits=Limits(wipes=1, lags=1),
    ),
    Bug(
        name="the store knows a write by its version alone",
        breaks="I-10",
        rules=Rules(same=lambda there, old: there.version == old.version),
        limits=Limits(turns=1, wipes=1, holds=1),
    ),
    Bug(
        name="a restored record begins the rounds again that others know",
        breaks="I-8",
        rules=_and_then(Restore, epoch=lambda v: v.epoch, round=lambda v: v.round),
        limits=Limits(turns=1, wipes=1, lags=1),
    ),
    Bug(
        name="a step of the ramp is climbed on the votes for the one before",
        breaks="I-10",
        rules=bent(StepUp, holds=lambda _, __, ___: True),
        limits=Limits(flights=1, rounds=1),
    ),
    Bug(
        name="an operator overwrites what it never saw",
        breaks="I-10",
        rules=bent(Hold, holds=lambda _, __, ___: True),
        limits=Limits(holds=2),
    ),
    Bug(
        name="the end of one override ends the next one too",
        breaks="I-10",
        rules=bent(Release, holds=lambda v, _, __: v.override is not None),
        limits=Limits(holds=2, flights=1, turns=0),
    ),
    Bug(
        name="a ticket that nobody reported is a good one",
        breaks="I-6",
        rules=bent(Conclude, change=_whole_tickets),
        limits=Limits(),
    ),
    Bug(
        name="a silent round makes the rest longer",
        breaks="I-12",
        rules=_and_then(Conclude, level=lambda v: v.level + 1),
        limits=Limits(),
    ),
    Bug(
        name="a bad round makes the rest no longer",
        breaks="I-15",
        rules=_and_then(Conclude, level=lambda v: v.level),
        limits=Limits(),
    ),
    Bug(
        name="a step down to rest begins no epoch",
        breaks="I-8",
        rules=_and_then(StepDown, epoch=lambda v: v.epoch),
        limits=Limits(epochs=2, turns=3),
    ),
)
