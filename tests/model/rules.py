"""The rules that the model plays by: the real `moved`, `finding` and `Gate`, remembered.

Nothing of the core is copied. A planted bug is another table of moves, or another
constant, under the very same code (`with_globals`). Every answer is kept, because
the same question comes up in thousands of moments.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any, Final

from tests.model.state import Order, Record
from worker.core import jury, moves
from worker.core.breaker import Permit
from worker.core.gate import Gate, NeedsTicket, slots_admitted
from worker.core.jury import Vote
from worker.core.moves import MOVES, Move
from worker.core.policy import BreakerPolicy
from worker.core.verdict import Mode, Override, State, Verdict

SLOTS: Final = 10
ROLL: Final = 0.999  # the longest rests: their bound is what matters
FOREVER_S: Final = 1e9
NAME: Final = "a"
GOOD_CALLS: Final = Vote(
    stage=0, calls=8, failures=0, recent_calls=8, recent_failures=0, successes=8
)
BAD_CALLS: Final = Vote(stage=0, calls=8, failures=8, recent_calls=8, recent_failures=8)
NO_CALLS: Final = Vote(stage=0)
LIAR: Final = Vote(stage=0, calls=20, failures=20, sick=True)
BY_KIND: Final = {1: GOOD_CALLS, 0: BAD_CALLS, -1: NO_CALLS}


MODES: Final = (Mode.OBSERVE, Mode.HOLD_OPEN, Mode.HOLD_CLOSED)


def _override(mode: Mode) -> Override:
    return Override(mode=mode, for_s=60, until_at=1e10, author="", reason="")


# The product's order for each of the model's; a Restore needs the book to be read.
REAL: Final[Mapping[str, Callable[[Order], moves.Order]]] = {
    "Trip": lambda o: moves.Trip(
        stage=o.about, why="", roll=ROLL, calm_s=FOREVER_S if o.flag else 0.0
    ),
    "BeginRound": lambda o: moves.BeginRound(stage=o.about),
    "ClaimTicket": lambda o: moves.ClaimTicket(epoch=o.about, round=o.round, claim=str(o.claim)),
    "Report": lambda o: moves.Report(
        epoch=o.about, round=o.round, claim=str(o.claim), good=bool(o.flag)
    ),
    "Conclude": lambda o: moves.Conclude(stage=o.about, overdue=bool(o.flag), roll=ROLL),
    "StepUp": lambda o: moves.StepUp(stage=o.about, why=""),
    "StepDown": lambda o: moves.StepDown(stage=o.about, why="", roll=ROLL),
    "Hold": lambda o: moves.Hold(override=_override(MODES[o.flag]), number=o.about),
    "Release": lambda o: moves.Release(number=o.about),
}


def with_globals(function: Any, **values: Any) -> Any:
    """The very code of `function`, seeing other values for some names of its module."""
    changed = FunctionType(function.__code__, {**function.__globals__, **values})
    changed.__kwdefaults__ = function.__kwdefaults__
    return changed


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be bent to plant a bug. As it stands, it is the product.

    Attributes:
        table: The moves.
        find: What the votes say.
        same: Whether what the store holds is what a writer knew; else it takes no write.
    """

    table: Mapping[type[moves.Order], Move] = field(default_factory=lambda: MOVES)
    find: Callable[..., Any] = jury.finding
    same: Callable[[Record, Record], bool] = operator.eq

    @property
    def moved(self) -> Any:
        """`moves.moved` by this table."""
        return moves.moved if self.table is MOVES else with_globals(moves.moved, MOVES=self.table)


class Book:
    """The rules under one policy, with all answers given so far."""

    def __init__(self, rules: Rules, policy: BreakerPolicy) -> None:
        self.rules = rules
        self.policy = policy
        self._moved = rules.moved
        self._cores: list[Verdict] = []
        self._numbers: dict[Verdict, int] = {}
        self._became: dict[tuple[Record, Order], Record | None] = {}
        self._found: dict[Any, str] = {}
        self._adopted: dict[tuple[Record, Record], bool] = {}
        self._admits: dict[int, tuple[bool, bool]] = {}
        self.used: set[type[moves.Order]] = set()
        self.nothing = self.record(Verdict(name=NAME))

    def record(self, verdict: Verdict) -> Record:
        """A verdict as the model keeps it."""
        rest = replace(verdict, version=0, stage=0, claims=(), why="", writer="", nonce="", at=0.0)
        number = self._numbers.setdefault(rest, len(self._cores))
        if number == len(self._cores):
            self._cores.append(rest)
        claims = tuple(int(claim) for claim in verdict.claims)
        return Record(number, verdict.version, verdict.stage, claims)

    def core(self, record: Record) -> Verdict:
        """All of a verdict but its version, stage and claims."""
        return self._cores[record.core]

    def verdict(self, record: Record) -> Verdict:
        """The verdict itself."""
        return replace(
            self.core(record),
            version=record.version,
            stage=record.stage,
            claims=tuple(str(claim) for claim in record.claims),
            nonce=f"{record.core} {record.stage} {record.claims}" if record.version else "",
        )

    def became(self, record: Record, order: Order) -> Record | None:
        """What the order makes of the record; None if it does not hold."""
        key = (record, order)
        if key not in self._became:
            real = self._order(order)
            new = self._moved(self.verdict(record), real, self.policy)
            if new is not None:
                self.used.add(type(real))
            self._became[key] = None if new is None else self.record(new)
        return self._became[key]

    def _order(self, order: Order) -> moves.Order:
        if order.kind == "Restore":
            return moves.Restore(known=self.verdict(order.known))
        return REAL[order.kind](order)

    def found(self, record: Record, votes: tuple[tuple[int, int], ...], live: int) -> str:
        """The kind of order that the votes give, "" for none. The liar's vote is added."""
        key = (record.core, record.stage, votes, live)
        if key not in self._found:
            ballots = [replace(LIAR, stage=record.stage)]
            ballots += [replace(BY_KIND[kind], stage=stage) for stage, kind in votes]
            order = self.rules.find(
                self.verdict(record), ballots, live, self.policy, roll=ROLL, calm_s=0.0
            )
            self._found[key] = "" if order is None else type(order).__name__
        return self._found[key]

    def adopts(self, known: Record, there: Record) -> bool:
        """Whether a real gate that knows one record takes over another."""
        key = (known, there)
        if key not in self._adopted:
            gate = self._gate()
            gate.verdict = self.verdict(known)
            self._adopted[key] = gate.adopt(self.verdict(there), now=1.0, at=0.0)
        return self._adopted[key]

    def _gate(self) -> Gate:
        return Gate(NAME, self.policy, slots=SLOTS, worker="w", now=0.0)

    def admits(self, record: Record) -> tuple[bool, bool]:
        """Whether a gate with this view may let out calls, and may ask for a ticket.

        At some time: just after it saw the record, or when every rest, every patience
        and every override is long over.
        """
        core = self.core(record)
        key = record.core
        if key not in self._admits:
            calls = probes = False
            for juror in (True, False):
                for later_s in (0.0, FOREVER_S):
                    gate = self._gate()
                    gate.seat(0.0, juror=juror)
                    gate.adopt(replace(self.verdict(record), version=1), now=0.0, at=0.0)
                    answer = gate.admit(later_s)
                    calls |= isinstance(answer, Permit)
                    probes |= isinstance(answer, NeedsTicket)
            assert core.override is not None or calls == (core.share > 0)
            self._admits[key] = calls, probes
        return self._admits[key]

    def calls_admitted(self, core: Verdict, now: float) -> tuple[int, int]:
        """How many calls a gate of `SLOTS` slots lets out at once, and how many it may (I-11)."""
        gate, alone = self._gate(), self._gate()
        gate.adopt(replace(core, version=1), now=0.0, at=0.0)
        let_out = sum(isinstance(gate.admit(now), Permit) for _ in range(2 * SLOTS))
        without = sum(isinstance(alone.admit(now), Permit) for _ in range(2 * SLOTS))
        if gate.mode(now) is Mode.HOLD_OPEN:
            return let_out, 0
        if core.state is State.CLOSED:
            return let_out, without
        return let_out, min(without, slots_admitted(SLOTS, core.share, "w", core.epoch))

    @property
    def cores(self) -> list[Verdict]:
        """Every verdict that was met, but for version, stage and claims."""
        return self._cores
