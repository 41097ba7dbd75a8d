"""How one call to a model may end: a closed set.

The stand-in acts each of these out on the wire. They are values, so that a mood
can hold them, a test can script them, and the control plane can carry them as
JSON, where `kind` names the class:

    {"kind": "fail", "error": "ThrottlingException"}

`after_events` says how far an answer has come when it goes wrong. None means
before the first byte; 0 means the headers are out and nothing else; n means n
events of a stream are. A unary answer is treated as one event: for it, 0 and
more mean the headers and half of the body.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from worker.local.errors import ERRORS

Part = Literal["output", "stopReason", "usage", "metrics"]


class Wire:
    """A value that may also come as JSON; unknown fields are then refused."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Constant(Wire):
    """Every answer takes `seconds`."""

    seconds: float
    kind: Literal["constant"] = field(default="constant", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.seconds < 0:
            msg = f"seconds must not be negative, got {self.seconds}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class LogNormal(Wire):
    """Half of the answers take `median_s` at most, and 99 % take `p99_s` at most."""

    median_s: float
    p99_s: float
    kind: Literal["log_normal"] = field(default="log_normal", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.median_s <= self.p99_s:
            msg = f"0 < median_s <= p99_s must hold, got {self.median_s} and {self.p99_s}"
            raise ValueError(msg)


Latency = Annotated[Constant | LogNormal, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Answer(Wire):
    """The model answers; what it says may still be no good.

    `text` and `latency` are the mood's own when None. `stop_reason` is what the
    service would say (`end_turn`, or `max_tokens` when the text was cut) when None.
    `omit` leaves parts out of a 200: without all four the body is `{}`, and a
    stream without `stopReason` ends without `messageStop`.
    """

    text: str | None = None
    stop_reason: str | None = None
    omit: frozenset[Part] = frozenset()
    latency: Latency | None = None
    kind: Literal["answer"] = field(default="answer", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Fail(Wire):
    """The service refuses with an error, before any stream begins.

    `error` is a code of `errors.ERRORS`, or any other with a `status`. `after_s`
    is how long the refusal takes. `retry_after_ms` is sent as `x-amz-retry-after`,
    `original_status` as `originalStatusCode` (Model errors have it).

    Raises:
        ValueError: The code is not known and no status is given.
    """

    error: str
    message: str | None = None
    status: int | None = None
    after_s: float = 0.0
    retry_after_ms: int | None = None
    original_status: int | None = None
    kind: Literal["fail"] = field(default="fail", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.status is None and self.error not in ERRORS:
            msg = f"error {self.error!r} is not known: give its HTTP status, or one of {[*ERRORS]}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Page(Wire):
    """Something in between answers with HTML, as load balancers do (502, 503, 504, 413)."""

    status: int = 502
    body: str = "<html><body><h1>Bad Gateway</h1></body></html>"
    kind: Literal["page"] = field(default="page", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Hang(Wire):
    """Nothing more comes, and the connection stays open until the client leaves."""

    after_events: int | None = None
    kind: Literal["hang"] = field(default="hang", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Reset(Wire):
    """The connection is reset (a real RST)."""

    after_events: int | None = None
    kind: Literal["reset"] = field(default="reset", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Close(Wire):
    """The connection is closed; with `after_events`, in the middle of the next event."""

    after_events: int | None = None
    kind: Literal["close"] = field(default="close", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class EndEarly(Wire):
    """A stream ends cleanly without `messageStop`; a unary body is half its JSON.

    The half body comes with a matching Content-Length, so HTTP sees no fault.
    """

    after_events: int = 2
    kind: Literal["end_early"] = field(default="end_early", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class StreamFault(Wire):
    """An exception frame in mid-stream; unary calls fail with the same code.

    `exception` is in lower camel case, as on the wire. Names that the operation
    does not model (`modelTimeoutException` in ConverseStream) are sent as they are.
    """

    exception: str = "modelStreamErrorException"
    message: str | None = None
    after_events: int = 2
    original_status: int | None = None
    kind: Literal["stream_fault"] = field(default="stream_fault", kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Drip(Wire):
    """A good answer whose body comes `chunk_bytes` at a time, `gap_s` apart."""

    chunk_bytes: int = 64
    gap_s: float = 0.05
    kind: Literal["drip"] = field(default="drip", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.chunk_bytes < 1:
            msg = f"chunk_bytes must be at least 1, got {self.chunk_bytes}"
            raise ValueError(msg)


Outcome = Annotated[
    Answer | Fail | Page | Hang | Reset | Close | EndEarly | StreamFault | Drip,
    Field(discriminator="kind"),
]
