"""What happened to a job in this delivery so far.

The executor fills it in, the settler reads it: it turns into the history of the
ledger, the result envelope, and the canonical line of the log.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from worker.core.answer import Answer
from worker.core.breaker import Refusal
from worker.core.cost import NOTHING, Waste
from worker.core.fault import Billed, Fault
from worker.core.geo import lies_within
from worker.core.job import Job, Request
from worker.core.ledger import Attempt, Record
from worker.core.plan import Seen
from worker.core.route import Route
from worker.core.strict_json import Malformed
from worker.core.target import Target
from worker.core.trace import Context, context_of, is_chosen
from worker.core.trail import BARS_MAX, Bar, Leg
from worker.core.upgrade import upgraded
from worker.core.verdict import State


@dataclass(slots=True, kw_only=True)
class Trip:
    """One run of one job, from its claim on.

    Attributes:
        job: None if the body is no job; then `malformed` says why.
        record: The record as claimed; its `attempts` include the one that the claim charged.
        started_at: When the run began, seconds since 1970.
        deadline_at: When an answer becomes worthless, seconds since 1970.
        tried: Every call of this run that brought a fault.
        attempts: Charged calls over the job's whole life.
        ran: Whether work on it began: an outcome then clears it of earlier crashes.
        request: What is asked, once it is here.
        handler_s: Waited for degraded handlers, in seconds.
        waste: What this run paid for nothing.
        declined: Handlers that had no answer for it in this delivery.
        payload_bytes: Held for a payload that was fetched.
        refused: Targets whose gate gave this job no leave, and until when, on the loop's clock.
        bars: What stood in the way of its calls, by name and why.
        cut: The target of the call in which it was cut short, "" if in none.
    """

    job: Job | None
    malformed: Malformed | None = None
    record: Record
    route: Route | None
    started_at: float
    deadline_at: float | None
    tried: list[tuple[str, Fault]] = field(default_factory=list)
    history: list[Attempt] = field(default_factory=list)
    attempts: int = 0
    backoff_s: float = 0.0
    model_ms: int = 0
    ran: bool = False
    request: Request | None = field(default=None, repr=False)
    handler_s: float = 0.0
    waste: Waste = NOTHING
    declined: set[str] = field(default_factory=set)
    payload_bytes: int = 0
    refused: dict[str, Refusal] = field(default_factory=dict)
    bars: dict[tuple[str, str], Bar] = field(default_factory=dict)
    cut: str = ""

    @property
    def is_upgrade(self) -> bool:
        """Whether it is to better a degraded answer that is there already."""
        return upgraded(self.record.job) is not None

    @property
    def floor(self) -> float:
        """No answer below this quality: by the job's own word, and its route's."""
        own = self.job.min_quality if self.job else 0.0
        return max(own, self.route.min_quality if self.route else 0.0)

    @property
    def best(self) -> float:
        """The quality of the route's best target; 0 without a route."""
        return max((t.quality for t in self.route.targets), default=0.0) if self.route else 0.0

    @property
    def parked_s(self) -> float:
        """How long the job waited parked, over its life, until this run."""
        record = self.record
        waited_s = 0.0 if record.parked_at is None else self.started_at - record.parked_at
        return record.parked_s + max(0.0, waited_s)

    @property
    def wasted(self) -> Waste:
        """What was paid for nothing, over the job's life."""
        return Waste(self.record.wasted_usd, self.record.wasted_most_usd) + self.waste

    def allows(self, places: Collection[str]) -> bool:
        """Whether the job and its route both allow that it is processed there."""
        borders = [setter.allow_geo for setter in (self.job, self.route) if setter is not None]
        return all(allowed is None or lies_within(places, allowed) for allowed in borders)

    def judge(self, answer: Answer) -> Answer | Fault:
        """The answer, or the fault that it is by the rules of the route."""
        return self.route.accept.judge(answer) if self.route else answer

    def seen(self, at: float) -> Seen:
        """What `plan` needs to know, `at` seconds since 1970."""
        return Seen(
            tried=tuple(self.tried),
            attempts=self.attempts,
            parks=self.record.parks,
            age_s=max(0.0, at - self.record.sent_at),
            left_s=None if self.deadline_at is None else self.deadline_at - at,
            min_quality=self.floor,
            allow_geo=self.job.allow_geo if self.job else None,
            on_open=self.job.on_open if self.job else None,
            degrade_after_s=self.job.degrade_after_s if self.job else None,
            declined=frozenset(self.declined),
        )

    def came_back(
        self,
        target: Target,
        outcome: Answer | Fault,
        duration_s: float,
        *,
        circuit: State = State.CLOSED,
        at: float = 0.0,
    ) -> Attempt:
        """Note one finished call, and the state of the target's circuit when it went out at `at`.

        A probe that brings a fault costs the job no attempt: it went out for all of them.
        """
        duration_ms, fence, at = round(duration_s * 1000), self.record.fence, round(at, 3)
        if isinstance(outcome, Answer):
            self.attempts += 1
            self.model_ms = outcome.model_ms
            row = Attempt(
                number=self.attempts,
                target=target.name,
                duration_ms=duration_ms,
                breaker=circuit.value,
                http=200,
                billed=Billed.YES,
                request_id=outcome.request_id,
                fence=fence,
                at=at,
            )
        else:
            self.tried.append((target.name, outcome))
            self.attempts += outcome.reaction.charges and circuit is not State.HALF_OPEN
            row = Attempt(
                number=max(1, self.attempts),
                target=target.name,
                breaker=circuit.value,
                kind=outcome.kind,
                code=outcome.code,
                http=outcome.http,
                message=outcome.message,
                duration_ms=duration_ms,
                billed=outcome.billed,
                request_id=outcome.request_id,
                timer=outcome.timer,
                fence=fence,
                at=at,
            )
        self.history.append(row)
        return row

    def context(self, share: float | None) -> Context | None:
        """Where this run's trace is, if that share of all runs is traced and it is one."""
        if share is None:
            return None
        context = context_of(self.record.nonce)
        return context if is_chosen(context, share) else None

    def barred(self, bars: Iterable[Bar]) -> None:
        """Note what stood in the way."""
        self.bars |= {(bar.name, bar.why): bar for bar in bars}

    def leg(
        self, ended: str, at: float, *, why: str = "", until: float = 0.0, handler: str = ""
    ) -> Leg:
        """What the job's trail tells of this run, which ends as `ended` at `at`."""
        return Leg(
            fence=self.record.fence,
            generation=self.record.generation,
            owner=self.record.owner,
            began_at=round(self.started_at, 3),
            ended_at=round(at, 3),
            ended=ended,
            why=why,
            until=round(until, 3),
            handler=handler,
            cut=self.cut,
            bars=tuple(self.bars.values())[-BARS_MAX:],
        )
