"""Who sees every write of one breaker's verdict, and every call, whoever made it.

Nobody tells it of orders: each write must be what `moved` makes of what was there by *some*
order, at a time when that order may be given. So a write from a stale view, a ticket too many
or an invented result has no explanation.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from worker.core.moves import (
    BeginRound,
    ClaimTicket,
    Conclude,
    Order,
    Report,
    StepDown,
    StepUp,
    Trip,
    moved,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State, Verdict


class Broken(AssertionError):
    """A promise was not kept; the message names it."""


@dataclass
class Watch:
    """One breaker's story.

    Attributes:
        seen: How often each thing came up, by who did it.
        truth: How the probe of each claim ended.
        out: Claims whose probe went out, by epoch and round.
    """

    name: str
    policy: BreakerPolicy
    record: Verdict
    since: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    truth: dict[str, bool] = field(default_factory=dict)
    out: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    rounds: dict[tuple[int, int], int] = field(default_factory=dict)
    epochs: set[int] = field(default_factory=set)

    def wrote(self, old: Verdict, new: Verdict, now: float) -> None:
        """One write.

        Raises:
            Broken: It is none that anybody may make.
        """
        if old != self.record:
            raise Broken(f"a write that nobody saw: {old}, not {self.record}")
        if new.version != old.version + 1:
            raise Broken(f"I-8: version {new.version} after {old.version}")
        order = self._explained(old, new, now)
        who = "a machine" if new.writer.startswith("machine") else "a worker"
        self.seen[f"{who}: {type(order).__name__}, {old.state} to {new.state}"] += 1
        self._numbered(order, new)
        if isinstance(order, Report) and self.truth.get(order.claim) is not order.good:
            raise Broken(f"I-7: a probe is told as {order.good}, and was {self.truth}")
        if new.state is State.RAMP and old.state is State.HALF_OPEN:
            good = [claim for claim in old.claims if self.truth.get(claim)]
            if len(good) < min(self.policy.probes_good, old.tickets):
                raise Broken("I-6: a ramp without proof")
        if new.stage != old.stage:
            self.since = now
        self.record = new

    def _numbered(self, order: Order, new: Verdict) -> None:
        if isinstance(order, Trip | StepDown) and new.state is State.OPEN:
            if new.epoch in self.epochs:
                raise Broken("I-8: an epoch came again")
            self.epochs.add(new.epoch)
        if isinstance(order, BeginRound):
            key = (new.epoch, new.round)
            if key in self.rounds:
                raise Broken("I-8: a round came again")
            self.rounds[key] = new.tickets

    def _explained(self, old: Verdict, new: Verdict, now: float) -> Order:
        for order in self._orders(old, new):
            made = moved(old, order, self.policy, writer=new.writer, nonce=new.nonce, at=new.at)
            if made is None:
                continue
            if made.cooldown_s != new.cooldown_s and new.state is State.OPEN:
                low, high = (self.policy.rest_s(made.level, roll) for roll in (0.0, 1.0))
                if low - 0.001 <= new.cooldown_s <= high + 0.001:
                    made = replace(made, cooldown_s=new.cooldown_s)
            if made == new:
                self._in_time(order, old, now)
                return order
        raise Broken(f"I-10: nothing leads from {old} to {new}")

    def _in_time(self, order: Order, old: Verdict, now: float) -> None:
        lasted_s = now - self.since
        if isinstance(order, BeginRound) and lasted_s < old.cooldown_s:
            raise Broken(
                f"a round began {old.cooldown_s - lasted_s:.2f} s before the rest was over"
            )
        if isinstance(order, Conclude) and order.overdue and lasted_s < self.policy.probe_s:
            raise Broken("a round was called overdue before its time")

    def _orders(self, old: Verdict, new: Verdict) -> Iterator[Order]:
        here = {"epoch": old.epoch, "round": old.round}
        for claim in new.claims:
            if claim not in old.claims:
                yield ClaimTicket(**here, claim=claim)
            elif new.outcomes[new.claims.index(claim)] is not None:
                yield Report(**here, claim=claim, good=bool(new.outcomes[new.claims.index(claim)]))
        yield BeginRound(stage=old.stage)
        yield Conclude(stage=old.stage, overdue=False, roll=0.5)
        yield Conclude(stage=old.stage, overdue=True, roll=0.5)
        yield StepUp(stage=old.stage, why=new.why)
        yield StepDown(stage=old.stage, why=new.why, roll=0.5)
        for steps in range(old.level + 1):
            calm_s = steps * self.policy.forgive_s
            yield Trip(stage=old.stage, why=new.why, roll=0.5, calm_s=calm_s)

    def probe_goes_out(self, epoch: int, number: int, claim: str) -> None:
        """A call went out on a ticket.

        Raises:
            Broken: There was none.
        """
        key = (epoch, number)
        out = self.out.setdefault(key, set())
        out.add(claim)
        if len(out) > self.rounds.get(key, 0):
            raise Broken(f"I-5: {len(out)} probes in a round of {self.rounds.get(key, 0)} tickets")
        self.seen["a probe went out"] += 1
