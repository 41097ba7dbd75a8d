"""The world, as the runtime sees it: one protocol per service.

Each port states an intent, its atomicity and its failure. `aws/` holds the real
ones, `sim/memory.py` their twins; one contract suite holds both to this file.

A port raises nothing but `Unavailable` for what the world may do to us; what
may happen in the course of business is a return value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from worker.core.answer import Answer
from worker.core.cache import CachedAnswer
from worker.core.dead import Letter, Note
from worker.core.degrade import Context, Terms
from worker.core.events import Event
from worker.core.fault import Fault
from worker.core.job import Job, PayloadRef, Request
from worker.core.jury import Seat
from worker.core.ledger import Claim, Ending, Record, Refusal, Stale
from worker.core.policy import PolicyChange
from worker.core.settlement import DegradedAnswer
from worker.core.target import Target
from worker.core.verdict import Transition, Verdict


class Unavailable(Exception):
    """A service could not be asked, or did not answer; what it did is unknown.

    Attributes:
        store: `queue`, `ledger`, `payloads`, `breakers`, `cache`, `tasks`.
        why: A code fit for logs and metrics: never a URL, a body or a receipt.
        local: Whether the cause is this process (no credentials, closed session).
        network: Whether the service could not even be reached.
    """

    def __init__(self, store: str, why: str, *, local: bool = False, network: bool = False) -> None:
        super().__init__(f"{store}: {why}")
        self.store = store
        self.why = why
        self.local = local
        self.network = network


class RecordUnreadable(Unavailable):
    """The record of this one job cannot be read, say because a later version wrote it."""

    def __init__(self) -> None:
        super().__init__("ledger", "RecordUnreadable")


class TaskRefused(Unavailable):
    """One task cannot be told, say because of its machine's own key; others are not concerned."""

    def __init__(self, why: str) -> None:
        super().__init__("tasks", why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message in our hands.

    Attributes:
        queue: The queue's URL or name, as the port knows it.
        message_id: The same at every delivery of one message.
        receipt: The handle of this delivery; new at each receive. Never log it.
        body: As received.
        receive_count: How often the queue has given it out.
        sent_at: When it was sent, seconds since 1970.
        tenant: The message group, "" if none.
        job: The job's id if a worker sent this message (parked doorbell, dead letter); "" if
            what stands there is no id.
        first_sent_at: When the job was first sent, if a worker sent this message.
        doorbell: Whether it is a parked doorbell.
        above: For an upgrade's doorbell, the quality of the answer that is there, 0 to 1.
        redrive: The generation that an operator's redrive asks for, 0 for other messages.
        attributes: The attributes that the port was told to bring, by name.
        trace: The `AWSTraceHeader`, "" if none.
    """

    queue: str
    message_id: str
    receipt: str = field(repr=False)
    body: bytes = field(repr=False)
    receive_count: int = 1
    sent_at: float = 0.0
    tenant: str = ""
    job: str = ""
    first_sent_at: float | None = None
    doorbell: bool = False
    above: float = 0.0
    redrive: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to send.

    Attributes:
        body: At most 1 MiB together with `attributes`.
        attributes: String attributes, at most 8, names of ours start with `iw-`.
        delay_s: 0 to 900 whole seconds; rounded up.
        group: The message group (a tenant), "" for none.
    """

    body: bytes = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    group: str = ""


# What became of one entry of a batch. `gone`: the receipt no longer holds the
# message (its lease lapsed, or it was deleted). `failed`: try again.
Fate = Literal["done", "gone", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much a queue holds, as it says itself: about, and up to a minute late.

    Attributes:
        visible: May be received now.
        in_flight: In somebody's hands.
        delayed: Come later.
    """

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


class Queue(Protocol):
    """One queue."""

    @property
    def name(self) -> str:
        """What logs and metrics call it."""
        ...

    async def receive(self, most: int, *, wait_s: float, lease_s: float) -> list[Delivery]:
        """Take up to `most` (1 to 10) messages, waiting up to `wait_s` (0 to 20) for the first.

        Each is hidden from others for `lease_s` seconds. Must not be cancelled:
        messages taken by a cancelled call are hidden until their lease lapses.

        Raises:
            Unavailable: Nothing is known to have been taken.
        """
        ...

    async def delete(self, receipts: Sequence[str]) -> list[Fate]:
        """Delete up to 10 messages; one fate each, in order. Deleting twice is `done`.

        Raises:
            Unavailable: The fate of all is unknown.
        """
        ...

    async def extend(self, leases: Sequence[tuple[str, float]]) -> list[Fate]:
        """Let each of up to 10 receipts' leases end that many seconds from now (0 to 43,200).

        0 releases the message: anybody may receive it at once.

        Raises:
            Unavailable: The fate of all is unknown.
        """
        ...

    async def send(self, message: Outgoing) -> str:
        """Send one message, and return its MessageId.

        Raises:
            Unavailable: It may or may not have been sent.
        """
        ...


class Ledger(Protocol):
    """Where the life of every job is recorded. All writes are conditional and atomic."""

    async def claim(self, ask: Claim) -> Record | Refusal:
        """Claim a job as `core.ledger.claim` decides. A refusal costs no second read.

        A claim whose answer was lost is settled by its nonce.

        Raises:
            RecordUnreadable: Nothing is known of this job; others are not concerned.
            Unavailable: The claim may or may not stand.
        """
        ...

    async def renew(self, held: Record, lease_s: float) -> bool:
        """Let the lease end `lease_s` seconds from now; False if the claim is no longer ours.

        Raises:
            Unavailable: The lease may or may not have been renewed.
        """
        ...

    async def finish(self, held: Record, ending: Ending) -> Record | Stale:
        """End a claim as `core.ledger.finish` decides; the same ending twice is one.

        Raises:
            Unavailable: The ending may or may not stand; ask again.
        """
        ...

    async def mark_told(self, record: Record) -> None:
        """Note that the reply or dead letter of this final record was sent.

        Raises:
            Unavailable: It may be sent again after a redelivery.
        """
        ...

    async def load(self, jobs: Sequence[str]) -> dict[str, Record | RecordUnreadable]:
        """The records of up to 100 jobs, consistently read; absent ones are left out.

        A record that cannot be read is told in its place, and no other is concerned.

        Raises:
            Unavailable: The ledger could not be asked, or refused.
        """
        ...


class DeadLetters(Protocol):
    """The ledger's index of dead letters, and the log of what people did to them.

    Listing receives nothing from any queue. The index follows the ledger within a second or so.
    """

    async def letters(self, *, since: float, until: float) -> list[Letter]:
        """Every letter that died from `since` to before `until` (seconds since 1970), by death.

        Raises:
            Unavailable: The index could not be asked; `IndexMissing` and `IndexBackfilling`
                say that it is not there, or not yet whole.
        """
        ...

    async def dismiss(self, letter: Letter) -> bool:
        """Take a letter off the list; False if its job has moved on. The record stays dead.

        Raises:
            Unavailable: It may or may not be taken off; again is safe.
        """
        ...

    async def enlist(self, record: Record) -> bool:
        """Put a dead record on the list that is not on it; False if its job has moved on.

        Raises:
            Unavailable: It may or may not be listed; again is safe.
        """
        ...

    async def note(self, row: Note) -> None:
        """Keep one row of the log; the same row again is one.

        Raises:
            Unavailable: It may or may not be kept.
        """
        ...

    async def notes(self, *, since: float) -> list[Note]:
        """The rows of the log from `since` (seconds since 1970) on, oldest first, no originals.

        Raises:
            Unavailable: As `letters` does.
        """
        ...

    async def note_of(self, row: str) -> Note | None:
        """One row of the log by its id, with its original; None if there is none.

        Raises:
            Unavailable: The log could not be asked.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All that the fleet has decided, by breaker. What was never written is left out."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    policies: Mapping[str, PolicyChange] = field(default_factory=dict)


class BreakerStore(Protocol):
    """Where the fleet keeps its verdicts, its jury and its history. All writes are atomic.

    Nothing is retried inside: whoever called asks again, or does without.
    """

    async def read(self, *, consistent: bool = False) -> Board:
        """Every verdict and policy of the service, in one request.

        Raises:
            Unavailable: The store could not be asked.
        """
        ...

    async def swap(self, old: Verdict, new: Verdict) -> Verdict:
        """Write `new` if `old` is still what is there, by version and nonce (0: nothing is).

        Losing the race is an answer, and costs no second read.

        Returns:
            `new` itself if it was written; else what is there, at version 0 if nothing is.

        Raises:
            Unavailable: It may or may not be written; its nonce in a consistent read tells.
        """
        ...

    async def swap_policy(self, change: PolicyChange) -> PolicyChange:
        """Write `change` if `change.version - 1` is what is there; answers as `swap` does.

        Raises:
            Unavailable: It may or may not be written.
        """
        ...

    async def seats(self) -> list[Seat]:
        """Every seat that was ever taken, lapsed ones included, in one request.

        Raises:
            Unavailable: The store could not be asked.
        """
        ...

    async def sit(self, seat: Seat, old: Seat | None) -> bool:
        """Take or keep a seat: write it if `old` (holder and beat) is what is there.

        Args:
            seat: With the beat raised by one.
            old: What the seat was when it was last seen; None if it was never taken.

        Returns:
            Whether it was written; False if somebody else sits there.

        Raises:
            Unavailable: It may or may not be written.
        """
        ...

    async def note(self, row: Transition) -> bool:
        """Keep one row of history; False if that version's row is there already.

        Raises:
            Unavailable: It may or may not be kept; noting again is safe.
        """
        ...

    async def history(self, name: str, most: int) -> list[Transition]:
        """The newest `most` (1 to 1,000) rows of one breaker, newest first.

        Raises:
            Unavailable: The store could not be asked.
        """
        ...


class PayloadMissing(Exception):
    """There is no such object."""


class Payloads(Protocol):
    """Where requests and answers lie that are too large for a message or a record."""

    async def get(self, bucket: str, key: str, *, bytes_max: int) -> bytes:
        """Read one object, and never more than `bytes_max + 1` bytes of it.

        Raises:
            PayloadMissing: There is no such object.
            Unavailable: The store could not be asked.
        """
        ...

    async def put(self, content: bytes) -> PayloadRef:
        """Store `content` under its own hash in our bucket; twice is once.

        Raises:
            Unavailable: It may or may not be stored; putting again is safe.
        """
        ...


class Callbacks(Protocol):
    """The tasks of state machines that wait for an answer, each by its token.

    The first answer counts: whoever comes later finds that nobody waits.
    """

    async def succeed(self, token: str, output: str) -> bool:
        """End a task with its output, JSON of at most 256 KiB; False if nobody waits for it.

        Raises:
            TaskRefused: This task cannot be told; others are not concerned.
            Unavailable: It may or may not have been told; again is safe.
        """
        ...

    async def fail(self, token: str, error: str, cause: str) -> bool:
        """Fail a task with a code of at most 256 characters; else as `succeed`.

        Raises:
            TaskRefused: This task cannot be told; others are not concerned.
            Unavailable: It may or may not have been told; again is safe.
        """
        ...


class Model(Protocol):
    """Bedrock Runtime."""

    async def call(
        self, target: Target, request: Request, *, job: str, attempt: int, bound_s: float
    ) -> Answer | Fault:
        """Make one attempt: exactly one HTTP request, over within `bound_s` seconds.

        Faults are answers. `CancelledError` passes through, and leaves neither a
        connection nor a stream behind. `job` and `attempt` go into the request's
        metadata, for the invocation log.
        """
        ...


class Protection(Protocol):
    """The ECS agent's scale-in protection of this task."""

    async def protect(self, minutes: int) -> None:
        """Keep the task from being scaled in for so many minutes (1 to 2,880).

        Raises:
            Unavailable: The agent did not answer, or refused.
        """
        ...

    async def unprotect(self) -> None:
        """Let the task be scaled in again.

        Raises:
            Unavailable: The agent did not answer, or refused.
        """
        ...


class AnswerCache(Protocol):
    """Where answers lie that the same request may get again."""

    async def get(self, key: str, tenant: str) -> CachedAnswer | None:
        """The entry of a key if it is this tenant's. It may be older than it was to be kept.

        Raises:
            Unavailable: The store could not be asked.
        """
        ...

    async def put(self, key: str, entry: CachedAnswer, *, fresh_s: float, keep_s: float) -> bool:
        """Write an entry unless a better one is there that is not older than `fresh_s` seconds.

        Args:
            key: Of the request and its tenant.
            entry: What to keep.
            fresh_s: How long an entry of better quality holds its place, in seconds.
            keep_s: When the store may forget it, in seconds after `entry.at`.

        Returns:
            Whether it was written.

        Raises:
            Unavailable: It may or may not be written.
        """
        ...


class DegradedHandler(Protocol):
    """Gives a second-best answer where no model can."""

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        """An answer, or None if this handler has none for the job.

        May be cancelled, and is no longer waited for after `context.left_s`. Whatever it
        raises costs the job this step and no more.
        """
        ...


@runtime_checkable
class Learner(Protocol):
    """A degraded handler that looks on while models answer."""

    async def learn(self, job: Job, request: Request, answer: Answer, target: Target) -> None:
        """See an answer that was just recorded. Nobody waits for it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A degraded handler, and on which terms it serves.

    Attributes:
        target: Whom it asks, for jobs that may not go everywhere; None if it asks no model.
    """

    does: DegradedHandler
    terms: Terms = field(default_factory=Terms)
    target: Target | None = None


class Tell(Protocol):
    """Whoever wants to know."""

    def __call__(self, event: Event, /) -> None:
        """Tell one event. Never blocks, never raises."""
        ...
