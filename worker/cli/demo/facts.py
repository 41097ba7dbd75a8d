"""What was seen, as values: what `promises.judge` judges, and the report tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from worker.cli.demo.act import Act
from worker.cli.demo.mix import Order, Sort

ANSWERED: Final = "answered"
DEGRADED: Final = "degraded"
PARKED: Final = "parked"
OUT_OF_ORDER: Final = ("ServiceUnavailableException", "InternalServerException")
FINAL: Final = frozenset({ANSWERED, DEGRADED, "dead", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One item of the ledger, as a Scan shows it.

    Attributes:
        owner: The worker that claimed last.
        version: What makes it this final record and no other: state, fence, time of its end.
        charged: Model calls that the job was charged for.
        parks: How often it was put back without blame.
        finished_at: When it ended, seconds since 1970; 0 if it has not.
        envelope: The result envelope; empty while there is none.
    """

    job: str
    state: str
    owner: str = ""
    version: tuple[str, ...] = ()
    reason: str = ""
    charged: int = 0
    parks: int = 0
    interruptions: int = 0
    crashes: int = 0
    finished_at: float = 0.0
    envelope: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def final(self) -> bool:
        """Whether the job is over."""
        return self.state in FINAL

    @property
    def text(self) -> str:
        """The answer."""
        message = (self.envelope.get("output") or {}).get("message", {})
        return "".join(block.get("text", "") for block in message.get("content", ()))

    @property
    def target(self) -> str:
        """Who answered; "" if no model did."""
        return str(self.envelope.get("route", {}).get("target", ""))

    @property
    def took_s(self) -> float:
        """From its first send to its end, as its own envelope tells."""
        return float(self.envelope.get("latency_ms", {}).get("total", 0)) / 1000

    @property
    def calls_told(self) -> int:
        """Model calls that the job's own history tells of; an envelope shows the latest only."""
        told = len(self.envelope.get("attempts", ()))
        return max(told, int(self.envelope.get("attempts_total", 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message of the dead-letter queue."""

    job: str
    reason: str
    fingerprint: str
    detail: str
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What the stand-in for the model counted, HTTP request by HTTP request."""

    total: int
    by_ending: Mapping[str, int]
    by_job: Mapping[str, int] = field(repr=False)
    streamed: int = 0

    @property
    def paid(self) -> int:
        """Calls that were answered, or would have been had anybody waited."""
        return self.by_ending.get("answer", 0) + self.by_ending.get("client_gone", 0)

    @property
    def failed(self) -> int:
        """Calls that ended because the model was out of order."""
        return sum(self.by_ending.get(code, 0) for code in OUT_OF_ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What a worker left behind when it was killed.

    Attributes:
        in_hand: The jobs whose claim it held.
        calling: Those of them in a model call, or with an answer that was not recorded yet:
            the model counted a call more than the workers had noted as failed.
    """

    worker: str
    in_hand: frozenset[str]
    calling: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """How a worker left that was asked to: its exit code, and how long it took."""

    worker: str
    exit_code: int
    took_s: float
    in_hand: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What the workers wrote.

    Attributes:
        leaks: Phrases of jobs or answers that were found, each with its file.
        metrics: Lines in the embedded metric format, by worker.
    """

    size_bytes: int
    leaks: tuple[str, ...]
    metrics: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was seen.

    Attributes:
        orders: What was sent, by the job's id.
        rows: The ledger at the end, by the job's id.
        looks: How often the ledger was read.
        rewritten: Jobs whose final record was seen to change.
        left: Messages still in the queues for work, by queue.
        drain: The worker that was asked to leave in mid-run.
        leaves: The workers that were asked to leave at the end.
        act: What the fleet did in the brown-out and in the outages.
        results: Result envelopes as the client of a producer gets them, by what they show.
    """

    orders: Mapping[str, Order]
    rows: Mapping[str, Row]
    looks: int
    rewritten: frozenset[str]
    letters: tuple[Letter, ...]
    left: Mapping[str, int]
    calls: Calls
    kill: Kill
    drain: Leave
    leaves: tuple[Leave, ...]
    grace_s: float
    act: Act
    results: Mapping[str, Mapping[str, Any]]
    logs: Logs
    took_s: float

    @property
    def answered(self) -> list[Row]:
        """The jobs that were answered."""
        return [row for row in self.rows.values() if row.state == ANSWERED]

    @property
    def degraded(self) -> list[Row]:
        """The jobs that got a second-best answer."""
        return [row for row in self.rows.values() if row.state == DEGRADED]

    def rows_of(self, *sorts: Sort) -> list[Row]:
        """The records of these sorts of jobs, as far as there are any."""
        jobs = [job for job, order in self.orders.items() if order.sort in sorts]
        return [self.rows[job] for job in jobs if job in self.rows]

    def jobs_of(self, sort: Sort) -> frozenset[str]:
        """The jobs of one sort, by id."""
        return frozenset(job for job, order in self.orders.items() if order.sort is sort)

    @property
    def cut(self) -> frozenset[str]:
        """Jobs that a drain cut short, by their records."""
        return frozenset(job for job, row in self.rows.items() if row.interruptions)

    @property
    def repeated(self) -> int:
        """Calls that had to be made again although the model had not failed them."""
        return self.calls.paid - len(self.answered)

    @property
    def untold(self) -> Mapping[str, int]:
        """Calls that the model counted and the job's history does not know, by job."""
        more = {
            job: calls - (self.rows[job].calls_told if job in self.rows else 0)
            for job, calls in self.calls.by_job.items()
        }
        return {job: calls for job, calls in more.items() if calls > 0}
