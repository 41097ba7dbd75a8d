"""What every part of the runtime is given: the ports, the rules, clock and dice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worker.core.job import Limits
from worker.core.pacer import PacePolicy
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.ports import (
    BreakerStore,
    Callbacks,
    Handler,
    Ledger,
    Model,
    Payloads,
    Protection,
    Queue,
    Tell,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A pair of queues, and the routes that they serve."""

    name: str
    jobs: Queue
    parked: Queue
    dead: Queue
    routes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Plain values from the settings. All `_s` are seconds.

    Attributes:
        worker: The boot id of this process: new at each start.
        slots: Jobs in hand at a time.
        bytes_max: Bodies and payloads in hand at a time, in bytes.
        lease_s: How long a delivery and a claim are ours without an extension.
        wait_s: The longest that a long poll waits, at most 20.
        linger_s: The longest wait for a fuller batch.
        grace_s: How long a drain may last.
        policies: The breakers' policies by target; the default one where none is named.
        pacing: The policy of every quota bucket.
        crashes_max: A job that crashed this often is discarded.
        inline_bytes: Larger results go to the payload store.
    """

    worker: str
    version: str
    routes: Mapping[str, Route]
    limits: Limits
    slots: int = 32
    bytes_max: int = 64 * 1024 * 1024
    lease_s: float = 90.0
    wait_s: float = 20.0
    linger_s: float = 0.1
    pollers_max: int = 4
    grace_s: float = 100.0
    crashes_max: int = 3
    inline_bytes: int = 8192
    policies: Mapping[str, BreakerPolicy] = field(default_factory=dict)
    pacing: PacePolicy = field(default_factory=PacePolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The ports, with a clock for people (`at`, seconds since 1970) and dice.

    The monotonic clock is the running loop's own.
    """

    rules: Rules
    lanes: tuple[Lane, ...]
    ledger: Ledger
    model: Model
    tell: Tell
    at: Callable[[], float]
    roll: Callable[[], float]
    payloads: Payloads | None = None
    breakers: BreakerStore | None = None  # without it, every process decides alone
    protection: Protection | None = None
    callbacks: Callbacks | None = None  # without it, a job with a task token is dead
    replies: Mapping[str, Queue] = field(default_factory=dict)
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    traces: float | None = None  # the share of runs that are traced; None for no traces at all
