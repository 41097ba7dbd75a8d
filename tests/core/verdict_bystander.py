"""Who sees every write of a verdict, knows how each probe truly ended, and forgets nothing.

`wrote` holds one write to what DESIGN promises of it. It is told the record before and
after, the order, and the policy of who gave it; it works out nothing from the record
that it can remember itself: tickets, outcomes and numbers are its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest

from worker.core.moves import (
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
from worker.core.verdict import Mode, State, Transition, Verdict, transition

NAME = "a"
LEAD = 1000  # others may know so many writes more than who restores
BARRED = (State.OPEN, State.HALF_OPEN)


@dataclass
class Round:
    """One round of probes: who got a ticket, who went out, and what was heard."""

    tickets: int
    heard: dict[str, bool | None] = field(default_factory=dict)
    went_out: set[str] = field(default_factory=set)

    @property
    def good(self) -> int:
        return list(self.heard.values()).count(True)

    @property
    def bad(self) -> int:
        return list(self.heard.values()).count(False)


class Bystander:
    """One breaker's whole story, through all lives of its store."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self.record = Verdict(name=NAME)
        self.past: list[Verdict] = [self.record]  # of this life
        self.all_lives: set[Verdict] = {self.record}
        self.rounds: dict[tuple[int, int], Round] = {}  # of this life
        self.truth: dict[str, bool] = {}  # how the probe of each claim ended
        self.rows: list[Transition] = []  # of this life
        self.lives = 1

    def wipe(self) -> None:
        """The store forgets everything: another life begins."""
        self.lives += 1
        self.record = Verdict(name=NAME)
        self.past = [self.record]
        self.rounds = {}
        self.rows = []

    def goes_out(self, epoch: int, number: int, claim: str) -> None:
        """A worker believes that it has a ticket: its probe goes out (I-5)."""
        one = self.rounds.get((epoch, number))
        if one is None:
            self.note("a probe went out for a round of a lost life")
            return
        assert claim in one.heard, "a probe went out without a ticket"
        one.went_out.add(claim)
        assert len(one.went_out) <= one.tickets, "I-5: more probes than tickets"

    # --- one write -----------------------------------------------------------------

    def wrote(self, new: Verdict, order: Order, policy: BreakerPolicy, *, writer: str) -> None:
        """Hold one write to the promises, and remember it."""
        old = self.record
        self.note(f"{type(order).__name__}: {old.state} to {new.state}")
        assert new not in self.all_lives, "a write that is no write"
        assert new.writer == writer
        assert len(new.why) <= 200
        if isinstance(order, Restore):
            self._restored(old, order, new)
        else:
            self._is_about_this(old, order)
            should = self._changes(old, order, new, policy)
            for one in fields(Verdict):
                if one.name not in should and one.name not in ("writer", "nonce", "at", "stage"):
                    was, became = getattr(old, one.name), getattr(new, one.name)
                    assert became == was, f"{type(order).__name__} changed {one.name}"
            for name, value in should.items():
                assert getattr(new, name) == value, f"{type(order).__name__}: a wrong {name}"
            changed = (old.state, old.share) != (new.state, new.share)
            assert new.stage == old.stage + changed, "I-8: a stage is a change of state or share"
            assert changed or new.at == old.at, "a stage began twice"
        self._is_whole(new)
        self._told(old, order, new)
        self.record = new
        self.past.append(new)
        self.all_lives.add(new)

    def _is_about_this(self, old: Verdict, order: Order) -> None:
        """I-10: an order holds only of what it names."""
        match order:
            case Trip() | BeginRound() | Conclude() | StepUp() | StepDown():
                assert order.stage == old.stage, "I-10: an order about another stage"
            case ClaimTicket() | Report():
                assert (order.epoch, order.round) == (old.epoch, old.round), "I-7: another round"
            case Hold():
                assert order.number == old.orders, "an operator overwrote what it never saw"
            case Release():
                assert old.override is not None
                assert order.number == old.override.number, "another override was released"
            case _:
                raise AssertionError(order)

    def _changes(
        self, old: Verdict, order: Order, new: Verdict, policy: BreakerPolicy
    ) -> dict[str, Any]:
        """Every field that this order is to change; all others stay."""
        match order:
            case Trip() | StepUp() | StepDown():
                changes = self._by_jury(old, order, new, policy)
            case BeginRound():
                changes = self._begins_round(old, new, policy)
            case ClaimTicket() | Report():
                changes = self._by_prober(old, order)
            case Conclude():
                changes = self._concludes(old, order, new, policy)
            case _:
                changes = self._by_operator(order, new)
        return {"version": old.version + 1} | changes

    def _by_jury(
        self, old: Verdict, order: Trip | StepUp | StepDown, new: Verdict, policy: BreakerPolicy
    ) -> dict[str, Any]:
        why = {"why": order.why}
        assert old.state is (State.CLOSED if isinstance(order, Trip) else State.RAMP)
        if isinstance(order, StepUp):
            above = [share for share in sorted(policy.ramp) if share > old.share]
            return why | ({"share": above[0]} if above else {"state": State.CLOSED, "share": 1.0})
        if isinstance(order, Trip):
            forgiven = int(order.calm_s // policy.forgive_s)
            level = max(0, old.level - forgiven)
            if level < old.level:
                self.note("a calm time forgave")
        else:
            below = [share for share in sorted(policy.ramp) if share < old.share]
            if below:
                return why | {"share": below[-1]}
            level = min(64, old.level + 1)
        rest = self._rests(new, policy, level=level, roll=order.roll)
        return why | rest | {"epoch": old.epoch + 1}

    def _by_prober(self, old: Verdict, order: ClaimTicket | Report) -> dict[str, Any]:
        one = self.rounds[old.epoch, old.round]
        if isinstance(order, ClaimTicket):
            assert order.claim not in one.heard, "one claim, two tickets"
            assert len(one.heard) < one.tickets, "I-5: a ticket that there is not"
            one.heard[order.claim] = None
            if len(one.heard) == one.tickets:
                self.note("the last ticket was claimed")
        else:
            assert one.heard.get(order.claim, "no ticket") is None, "I-7: counted twice"
            assert order.good == self.truth[order.claim], "a result that is not true"
            one.heard[order.claim] = order.good
        return {"claims": tuple(one.heard), "outcomes": tuple(one.heard.values())}

    def _by_operator(self, order: Order, new: Verdict) -> dict[str, Any]:
        if not isinstance(order, Hold):
            return {"override": None}
        assert new.override is not None
        numbers = [seen.override.number for seen in self.past if seen.override]
        assert new.override.number > max(numbers, default=0), "an order's number came twice"
        assert replace(new.override, number=order.override.number) == order.override
        return {"override": new.override, "orders": new.override.number}

    def _rests(
        self, new: Verdict, policy: BreakerPolicy, *, level: int, roll: float
    ) -> dict[str, Any]:
        rest_s = policy.cooldown_s
        for _ in range(level):
            rest_s = min(policy.cooldown_max_s, rest_s * policy.cooldown_growth)
        if level and rest_s == policy.cooldown_max_s:
            self.note("a rest reached its longest")
        longest_s = rest_s * (1 + policy.jitter)
        assert new.cooldown_s == pytest.approx(
            longest_s - (1 - roll) * 2 * policy.jitter * rest_s, abs=1e-3
        ), "I-15: a wrong rest"
        return {
            "state": State.OPEN,
            "share": 0.0,
            "level": level,
            "cooldown_s": new.cooldown_s,
            "tickets": 0,
            "claims": (),
            "outcomes": (),
        }

    def _begins_round(self, old: Verdict, new: Verdict, policy: BreakerPolicy) -> dict[str, Any]:
        assert old.state is State.OPEN
        key = (old.epoch, old.round + 1)
        assert key not in self.rounds, "I-8: a round began twice"
        self.rounds[key] = Round(policy.probes)
        return {
            "state": State.HALF_OPEN,
            "round": old.round + 1,
            "tickets": policy.probes,
            "claims": (),
            "outcomes": (),
            "why": new.why,
        }

    def _concludes(
        self, old: Verdict, order: Conclude, new: Verdict, policy: BreakerPolicy
    ) -> dict[str, Any]:
        assert old.state is State.HALF_OPEN
        one = self.rounds[old.epoch, old.round]
        need = min(policy.probes_good, one.tickets)
        hopeless = one.tickets - one.bad < need
        if one.good >= need:
            truly = sum(self.truth[claim] for claim in one.heard if claim in self.truth)
            assert truly >= need, "I-6: a ramp without proof"
            return {
                "state": State.RAMP,
                "share": policy.ramp[0],
                "tickets": 0,
                "claims": (),
                "outcomes": (),
                "why": new.why,
            }
        assert order.overdue or hopeless, "a round ended before it was decided"
        if not one.bad:
            self.note("a round of which nothing bad was heard was overdue")
        elif not hopeless:
            self.note("a round with a bad probe was overdue")
        level = min(64, old.level + (one.bad > 0))
        return self._rests(new, policy, level=level, roll=order.roll) | {"why": new.why}

    def _restored(self, old: Verdict, order: Restore, new: Verdict) -> None:
        known = order.known
        for name in ("version", "stage", "epoch", "round"):
            number = getattr(new, name)
            assert number >= max(getattr(known, name), getattr(old, name)) + LEAD, (
                f"I-8: a restored {name} does not lead"
            )
            # After two losses nobody can tell how far the one before had led.
            if self.lives == 2:
                assert number > max(getattr(seen, name) for seen in self.all_lives)
        state = State.OPEN if known.state is State.HALF_OPEN else known.state
        if known.state is State.HALF_OPEN:
            self.note("a round was lost, and restored as a rest")
        assert new.state is state
        assert (new.share, new.level, new.cooldown_s) == (
            known.share,
            known.level,
            known.cooldown_s,
        )
        assert new.why.startswith("restored after a loss: ")
        assert new.why.count("restored") == 1, "it is said once"
        if old.override is None:
            assert new.override == known.override, "an order got lost"
        else:
            self.note("an operator was faster than the restore")
            assert new.override is not None
            assert (new.override.mode, new.override.reason) == (
                old.override.mode,
                old.override.reason,
            )
            assert known.override is None or new.override.number > known.override.number
        assert new.orders >= max(known.orders, old.orders), "an order's number may come again"

    def _is_whole(self, new: Verdict) -> None:
        assert (new.state is State.CLOSED) == (new.share == 1.0)
        assert (new.state in BARRED) == (new.share == 0.0)
        assert (new.state is State.HALF_OPEN) == (new.tickets > 0)
        assert len(new.outcomes) == len(new.claims) <= new.tickets
        assert new.orders >= (new.override.number if new.override else 0)

    # --- history -----------------------------------------------------------------------

    def _told(self, old: Verdict, order: Order, new: Verdict) -> None:
        row = transition(old, new, 77.0)
        worth = (old.state, old.share, old.override) != (new.state, new.share, new.override)
        if not worth and not isinstance(order, Restore):
            assert row is None, "a row of history about nothing"
            return
        assert row is not None, "a change that history does not tell"
        before = self.rows[-1].new if self.rows else State.CLOSED
        assert row.old is before, "history has a hole"
        mode = new.override.mode if new.override else Mode.ENFORCE
        assert (row.version, row.stage, row.epoch, row.round) == (
            new.version,
            new.stage,
            new.epoch,
            new.round,
        )
        assert (row.new, row.share, row.level, row.cooldown_s, row.mode, row.at) == (
            new.state,
            new.share,
            new.level,
            new.cooldown_s,
            mode,
            77.0,
        )
        match order:
            case Hold():
                given = order.override
                assert (row.by, row.why, row.for_s) == (given.author, given.reason, given.for_s)
            case Release():
                assert (row.by, row.why, row.for_s) == (new.writer, "released", 0.0)
            case _:
                assert (row.by, row.why, row.for_s) == (new.writer, new.why, 0.0)
        self.rows.append(row)
