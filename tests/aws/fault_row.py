"""One row of the fault table that a server can provoke, and ways to write one shortly."""

from dataclasses import dataclass, replace
from typing import Any, Final

from worker.core.fault import Billed, Kind
from worker.core.target import Api
from worker.local.outcomes import (
    Answer,
    Fail,
    Hang,
    Outcome,
    Page,
    StreamFault,
)

UNARY: Final = (Api.CONVERSE,)
STREAM: Final = (Api.CONVERSE_STREAM,)
INVOKE: Final = (Api.INVOKE,)
BOTH: Final = UNARY + STREAM
ALL: Final = BOTH + INVOKE


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`outcome` is acted; the rest is expected. `code` and `http` None: not looked at."""

    name: str
    outcome: Outcome
    kind: Kind
    on: tuple[Api, ...] = ALL
    code: str | None = None
    http: int | None = None
    billed: Billed = Billed.NO
    timer: str = ""
    retry_after_s: float | None = None
    first_token_s: float = 2.0
    stall_s: float = 2.0
    bound_s: float = 5.0
    read_s: float = 5.0


def refused(name: str, kind: Kind, http: int, message: str | None = None) -> Row:
    """A row whose name is the service's code, and what follows the colon a remark."""
    code = name.partition(":")[0]
    paid = kind is Kind.TIMED_OUT or code == "ModelStreamErrorException"
    return Row(
        name=name,
        outcome=Fail(code, message, http),
        kind=kind,
        code=code,
        http=http,
        billed=Billed.MAYBE if paid else Billed.NO,
        retry_after_s=10.0 if code == "ModelNotReadyException" else None,
    )


def model_error(original: int | None, kind: Kind) -> Row:
    return Row(
        name=f"ModelErrorException:{original}",
        outcome=Fail("ModelErrorException", original_status=original),
        kind=kind,
        http=424,
        billed=Billed.MAYBE if kind is Kind.TIMED_OUT else Billed.NO,
    )


def page(status: int, kind: Kind, billed: Billed = Billed.NO) -> Row:
    return Row(
        name=f"page:{status}",
        outcome=Page(status),
        kind=kind,
        code=str(status),
        http=status,
        billed=billed,
    )


def event(exception: str, kind: Kind, code: str) -> Row:
    return Row(
        name=f"event:{exception}",
        on=STREAM,
        outcome=StreamFault(exception),
        kind=kind,
        code=code,
        http=200,
        billed=Billed.MAYBE,
    )


def hint(code: str, hint_ms: int, waits_s: float) -> Row:
    kind = Kind.UNAVAILABLE if code == "ModelNotReadyException" else Kind.THROTTLED
    outcome = Fail(code, retry_after_ms=hint_ms)
    return Row(name=f"{code}:{hint_ms}", outcome=outcome, kind=kind, retry_after_s=waits_s)


def hollow(name: str, outcome: Outcome, on: tuple[Api, ...], code: str) -> Row:
    return Row(
        name=f"200:{name}",
        outcome=outcome,
        on=on,
        kind=Kind.UNAVAILABLE,
        code=code,
        http=200,
        billed=Billed.MAYBE,
    )


def stop(reason: str, kind: Kind) -> Row:
    return Row(
        name=f"stop:{reason}",
        outcome=Answer(stop_reason=reason),
        kind=kind,
        code=reason,
        http=200,
        billed=Billed.YES,
    )


def torn(
    name: str,
    outcome: Outcome,
    on: tuple[Api, ...],
    *,
    code: str | None = None,
    http: int | None = None,
    billed: Billed,
) -> Row:
    return Row(
        name=name,
        outcome=outcome,
        on=on,
        kind=Kind.UNAVAILABLE,
        code=code,
        http=http,
        billed=billed,
    )


def silent(
    name: str, hang: Hang, on: tuple[Api, ...], timer: str, http: int | None, **timers: Any
) -> Row:
    """A row that one of our timers ends, or the SDK's own if `timer` is ""."""
    row = Row(
        name=name,
        outcome=hang,
        on=on,
        kind=Kind.TIMED_OUT,
        code=f"{timer}_timeout" if timer else None,
        http=http,
        billed=Billed.MAYBE,
        timer=timer,
    )
    return replace(row, **timers)
