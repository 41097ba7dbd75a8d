"""What the fleet has decided about one breaker: a small record that all workers share.

What may change it is in `core/moves.py`.

Records hold lengths of time, never points in time: clocks of hosts differ. Each
worker counts a length on its own clock from when it first saw the stage. Time
decides *when* somebody gives an order, never *whether* it holds.

    version   grows by 1 at every write
    stage     grows by 1 whenever the state or the share changes; votes name it
    epoch     grows by 1 at every trip
    round     grows by 1 at every round of probes, and is never set back

Only who restores what the store has lost lets all four leap, by a thousand and more.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RAMP = "ramp"


class Mode(StrEnum):
    """What the operator orders; apart from the state, which goes on by itself."""

    ENFORCE = "enforce"
    OBSERVE = "observe"  # decide, but let every call pass
    HOLD_OPEN = "hold_open"
    HOLD_CLOSED = "hold_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """An operator's order, which ends by itself.

    It is in force until `until_at`, and on no worker for longer than `for_s` after
    that worker first saw it: whichever comes first, so that a host with a wrong
    clock cannot keep it alive.

    Attributes:
        number: +1 with every order for this breaker.
        until_at: Seconds since 1970.
    """

    mode: Mode
    for_s: float
    until_at: float
    author: str
    reason: str
    number: int = 1

    def holds(self, *, at: float, seen_for_s: float) -> bool:
        """Whether it is in force at `at`, on a worker that saw it `seen_for_s` ago."""
        return at < self.until_at and seen_for_s < self.for_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the fleet has decided about one breaker.

    Attributes:
        name: The breaker: a target's name, or `endpoint:<region>`.
        share: The share of each worker's slots that is admitted, 0 to 1.
        level: How often the cooldown has grown.
        cooldown_s: How long this rest lasts, jitter included.
        tickets: Probes that this round allows, for the whole fleet.
        claims: Who holds a ticket: the claims' nonces. A ticket's number is its index.
        outcomes: What came of each claimed ticket: good, bad, or None as yet.
        why: The evidence for the last change of the stage, at most 200 characters.
        writer: Who wrote last; `nonce` is that write's own.
        at: When the stage began by the writer's clock, for people.
    """

    name: str
    state: State = State.CLOSED
    share: float = 1.0
    version: int = 0
    stage: int = 0
    epoch: int = 0
    round: int = 0
    level: int = 0
    cooldown_s: float = 0.0
    tickets: int = 0
    claims: tuple[str, ...] = ()
    outcomes: tuple[bool | None, ...] = ()
    why: str = ""
    writer: str = ""
    nonce: str = ""
    at: float = 0.0
    override: Override | None = None
    orders: int = 0

    @property
    def tickets_left(self) -> int:
        """Probes that nobody has claimed."""
        return self.tickets - len(self.claims)

    @property
    def good(self) -> int:
        """Probes of this round that came back well."""
        return self.outcomes.count(True)

    @property
    def bad(self) -> int:
        """Probes of this round that came back badly."""
        return self.outcomes.count(False)


def is_behind(there: Verdict, known: Verdict) -> bool:
    """Whether a store that holds `there` has forgotten something that we know.

    Two writes under one version are of two lives: the store was wiped, and began anew.
    """
    if there.version == known.version:
        return there.nonce != known.nonce
    return there.version < known.version or there.stage < known.stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One row of a breaker's history: what changed, who wrote it, and why.

    The verdict's `version` names it, so it is kept once whoever notes it.

    Attributes:
        by: The worker, or the operator who gave the order.
        mode: The operator's mode after it.
        for_s: For how long the override was ordered; 0 for none.
    """

    name: str
    version: int
    stage: int
    epoch: int
    round: int
    old: State
    new: State
    share: float
    level: int
    cooldown_s: float
    mode: Mode
    why: str
    by: str
    at: float
    for_s: float = 0.0


def transition(old: Verdict, new: Verdict, at: float) -> Transition | None:
    """What to note of one write; None if neither the stage nor the override changed.

    Args:
        old: What was there.
        new: What was written.
        at: When, seconds since 1970.
    """
    if (old.stage, old.override) == (new.stage, new.override):
        return None
    override, why, by, for_s = new.override, new.why, new.writer, 0.0
    # Who restores what was lost begins another epoch, and gives nobody's order anew.
    if override != old.override and new.epoch == old.epoch:
        why = "released"
        if override is not None:
            why, by, for_s = override.reason, override.author, override.for_s
    return Transition(
        name=new.name,
        version=new.version,
        stage=new.stage,
        epoch=new.epoch,
        round=new.round,
        old=old.state,
        new=new.state,
        share=new.share,
        level=new.level,
        cooldown_s=new.cooldown_s,
        mode=Mode.ENFORCE if override is None else override.mode,
        why=why,
        by=by,
        at=at,
        for_s=for_s,
    )
