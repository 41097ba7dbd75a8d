"""What must hold of every write, and of every moment.

I-5   at most B probes are let out per epoch and round, by the whole fleet. The
      bystander counts them when a worker believes that it has a ticket.
I-6   a circuit that admitted nothing admits again only after enough probes of that
      very round truly ended well, each counted once. "Truly" is the bystander's word,
      heard when a probe ends. The liar's probes always report bad; a host that
      reports good where it saw bad is outside the promise.
I-7   a report writes one outcome, that of its own ticket of its own round, once.
I-8   the version grows with every write, the stage with every change of state or
      share, the epoch with every trip; no (epoch, round) begins twice, wipe or not.
I-9   a Trip or StepDown counts on honest evidence: at least min(3, live) - 1 honest
      workers saw the target bad at that very stage. With one liar among three votes
      and a healthy target nothing opens. A StepUp counts on one who saw it good.
I-10  what is written is what its order makes of the record that it replaces, and an
      order about a stage, an override or an operator's last order is about this one.
I-12  a ticket that nobody reported stays without an outcome, and a round of which
      nothing bad was heard makes no rest longer.
I-15  the level falls only at a trip after a calm time, and a rest is bounded.

I-11 is checked on every distinct verdict with a real gate (`checker.admissions`), I-14
in `liveness.py`. I-13 (no store failure reaches a job) is not in this model.
"""

from tests.model.rules import Book
from tests.model.state import STAGED, Order, Record, Round
from worker.core.verdict import State, Verdict

BARRED = (State.OPEN, State.HALF_OPEN)


def broken_by_write(book: Book, old: Record, order: Order, new: Record, seen: Round) -> str | None:
    """The promise that this write breaks, in a sentence; None if it breaks none."""
    before, after = book.core(old), book.core(new)
    return (
        _order_broken(book, old, order, new)
        or _numbers_broken(before, old, after, new)
        or _evidence_broken(book, before, order, after, seen)
        or _tickets_broken(before, old, order, after, new)
        or _rest_broken(book, before, order, after)
    )


def _order_broken(book: Book, old: Record, order: Order, new: Record) -> str | None:
    should = book.became(old, order)
    if order.kind == "Restore" and should is not None:
        should = should._replace(version=new.version)  # that it leads is looked at apart
    if should != new:
        return f"I-10: {order.kind} was worked out from another record than it replaced"
    if order.kind in STAGED and order.about != old.stage:
        return f"I-10: {order.kind} was about another stage"
    return None


def _numbers_broken(before: Verdict, old: Record, after: Verdict, new: Record) -> str | None:
    if new.version <= old.version:
        return "I-8: the version did not grow"
    if after.epoch < before.epoch or after.round < before.round:
        return "I-8: the epoch or the round went back"
    changed = (before.state, before.share) != (after.state, after.share)
    if changed and new.stage <= old.stage:
        return "I-8: a new state or share without a new stage"
    tripped = after.state is State.OPEN and before.state in (State.CLOSED, State.RAMP)
    if tripped and after.epoch <= before.epoch:
        return "I-8: a trip without a new epoch"
    return None


def _evidence_broken(
    book: Book, before: Verdict, order: Order, after: Verdict, seen: Round
) -> str | None:
    if order.kind in ("Trip", "StepDown") and not order.proof:
        return "I-9: too few honest workers saw it bad at this stage"
    if order.kind == "StepUp" and not order.proof:
        return "I-9: no honest worker saw it good at this stage"
    if order.kind == "Restore":
        return None
    if before.state in BARRED and after.state not in BARRED:
        proven = seen.good if (seen.epoch, seen.round) == (before.epoch, before.round) else 0
        if proven < book.policy.probes_good:
            return f"I-6: it admits calls after {proven} probes of this round truly ended well"
    if order.kind == "BeginRound" and (after.epoch, after.round) <= (seen.epoch, seen.round):
        return f"I-8: round {after.round} of epoch {after.epoch} begins after {seen[:2]}"
    if order.kind == "Hold" and order.about != before.orders:
        return "I-10: an operator overwrote an order that it had not seen"
    if order.kind == "Release":
        override = before.override
        if override is None or override.number != order.about:
            return "I-10: a release ended another override than it was given for"
    return None


def _tickets_broken(
    before: Verdict, old: Record, order: Order, after: Verdict, new: Record
) -> str | None:
    if len(new.claims) > after.tickets:
        return "I-5: more tickets were claimed than there are"
    if order.kind == "Report":
        if (before.epoch, before.round) != (order.about, order.round):
            return "I-7: a result counted for another round"
        if order.claim not in old.claims:
            return "I-7: a result counted for a ticket that nobody has"
        changed = [
            claim
            for claim, was, now in zip(old.claims, before.outcomes, after.outcomes, strict=False)
            if was is not now
        ]
        was = before.outcomes[old.claims.index(order.claim)]
        if changed != [order.claim] or was is not None:
            return "I-7: a result counted twice, or for another ticket"
    elif after.tickets and order.kind not in ("BeginRound", "Restore"):
        kept = after.outcomes[: len(before.outcomes)] == before.outcomes
        if not kept or any(
            outcome is not None for outcome in after.outcomes[len(before.outcomes) :]
        ):
            return "I-12: an outcome was written that nobody reported"
    return None


def _rest_broken(book: Book, before: Verdict, order: Order, after: Verdict) -> str | None:
    policy = book.policy
    if after.cooldown_s > policy.cooldown_max_s * (1 + policy.jitter):
        return "I-15: a rest longer than the policy's longest"
    if order.kind == "Restore" or (order.kind == "Trip" and order.flag):
        return None
    if after.level < before.level:
        return "I-15: the level fell without a calm time"
    if order.kind == "Conclude" and after.state is State.OPEN:
        if before.bad and after.level <= before.level:
            return "I-15: a bad round, and no longer rest"
        if not before.bad and after.level != before.level:
            return "I-12: a round of which nothing was heard, and a longer rest"
    return None
