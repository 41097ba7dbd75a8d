"""From what is seen to what is wrong: a name for each cause, and what speaks for it.

The table is small and closed. It names what was seen most, never what might lie behind
it; where nothing fits it says `unknown`, with the code. Causes are ordered: what stands
in the way of everything comes first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from worker.core.failures import FAILURES, Failure
from worker.core.fault import Kind
from worker.core.sightings import JOBS, STORE, Sighting


class CauseName(StrEnum):
    """What may be wrong, the most hindering first."""

    STORE_DOWN = "store_down"
    NO_WORKER = "no_worker"
    LOCAL_CLOCK = "local_clock"
    CREDENTIALS = "credentials"
    HELD_OPEN = "held_open"
    REGION_DOWN = "region_down"
    NAME_UNRESOLVED = "name_unresolved"
    UNREACHABLE = "unreachable"
    ACCESS_DENIED = "access_denied"
    MODEL_UNUSABLE = "model_unusable"
    QUOTA_USED_UP = "quota_used_up"
    STALLED = "stalled"
    NO_FIRST_TOKEN = "no_first_token"  # noqa: S105  (a token of text)
    TIMED_OUT = "timed_out"
    SERVICE_ERRORS = "service_errors"
    THROTTLED = "throttled"
    ONE_WORKER = "one_worker"
    POOR_ANSWERS = "poor_answers"
    BAD_REQUESTS = "bad_requests"
    TOO_LONG = "too_long"
    MALFORMED_JOBS = "malformed_jobs"
    CRASHES = "crashes"
    GIVEN_UP = "given_up"
    LOCAL = "local"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is wrong.

    Attributes:
        of: Targets, endpoints, stores or workers that it is about.
        code: What was seen most: kind, code and status, in one line.
        says: The service's own sentence, "" if it has none.
        count: How often in the last minute of those workers that told of it.
        workers: How many told of it; 0 if nobody does now, and it is what opened a circuit.
        minor: Whether nothing follows from it: few calls fail, and no circuit minds.
    """

    name: CauseName
    of: tuple[str, ...]
    code: str = ""
    says: str = ""
    count: int = 0
    workers: int = 0
    minor: bool = False


# Our signature or our clock. The code alone cannot tell them apart; the clock is the usual one.
_CLOCK: Final = frozenset(
    {
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_CREDENTIALS: Final = frozenset(
    {
        "CredentialRetrievalError",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NoCredentialsError",
        "PartialCredentialsError",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized"})
_UNRESOLVED: Final = ("DNSError", "gaierror")
_BY_TIMER: Final = {"stall": CauseName.STALLED, "first_token": CauseName.NO_FIRST_TOKEN}
_BY_KIND: Final[Mapping[str, CauseName]] = {
    Kind.UNAVAILABLE: CauseName.SERVICE_ERRORS,
    Kind.TIMED_OUT: CauseName.TIMED_OUT,
    Kind.THROTTLED: CauseName.THROTTLED,
    Kind.EXHAUSTED: CauseName.QUOTA_USED_UP,
    Kind.REJECTED: CauseName.BAD_REQUESTS,
    Kind.TOO_LONG: CauseName.TOO_LONG,
    Kind.MISCONFIGURED: CauseName.MODEL_UNUSABLE,
    Kind.POOR: CauseName.POOR_ANSWERS,
    Kind.UNREACHABLE: CauseName.UNREACHABLE,
    Kind.LOCAL: CauseName.LOCAL,
}
_BY_FAILURE: Final = {
    Failure.MALFORMED: CauseName.MALFORMED_JOBS,
    Failure.POISON: CauseName.CRASHES,
    Failure.REJECTED: CauseName.BAD_REQUESTS,
}
ILL: Final = frozenset(
    {
        CauseName.NAME_UNRESOLVED,
        CauseName.NO_FIRST_TOKEN,
        CauseName.SERVICE_ERRORS,
        CauseName.STALLED,
        CauseName.TIMED_OUT,
        CauseName.UNREACHABLE,
    }
)
MINOR: Final = ILL | {CauseName.THROTTLED}  # pacers look for the limit by finding it
FEW: Final = 0.1  # of the calls may fail, and all is well
_ORDER: Final = {name: n for n, name in enumerate(CauseName)}
NOBODY: Final = ""  # tells of it now: it is what opened a circuit
REGION_MIN: Final = 2  # with one target in it, nobody can tell a Region from a model

# Which share of the calls that a breaker hears of fails, or is throttled if so many throttles
# were seen in a minute: 1 where its circuit is not closed, None where nobody calls.
Share = Callable[[str, int], float | None]


def cause_of(seen: Sighting) -> CauseName:
    """What one kind of fault speaks for."""
    if seen.code in _CLOCK:
        return CauseName.LOCAL_CLOCK
    if seen.code in _CREDENTIALS:
        return CauseName.CREDENTIALS
    if seen.of.startswith(STORE):
        return CauseName.STORE_DOWN
    if seen.of == JOBS:
        failure = Failure.POISON if seen.kind == "crashed" else FAILURES.get(seen.code)
        return _BY_FAILURE.get(failure or Failure.OTHER, CauseName.GIVEN_UP)
    if seen.kind == Kind.MISCONFIGURED and seen.code in _DENIED:
        return CauseName.ACCESS_DENIED
    if any(name in f"{seen.code} {seen.says}" for name in _UNRESOLVED):
        return CauseName.NAME_UNRESOLVED
    return _BY_TIMER.get(seen.timer) or _BY_KIND.get(seen.kind, CauseName.UNKNOWN)


def causes_of(
    seen: Iterable[tuple[str, Sighting]],
    regions: Mapping[str, str],
    share: Share = lambda *_: 1.0,
) -> tuple[Cause, ...]:
    """The causes that faults speak for, the most hindering first.

    Args:
        seen: Worker, or `NOBODY`, and what it saw.
        regions: The Region of each target that the settings name.
        share: What becomes of the calls, to tell what is minor.
    """
    groups: dict[CauseName, list[tuple[str, Sighting]]] = {}
    for worker, one in seen:
        groups.setdefault(cause_of(one), []).append((worker, one))
    found: list[Cause] = []
    ill: set[str] = set()
    for name, group in groups.items():
        shares = _shares(name, [one for _, one in group], share)
        few = all(part is not None and part <= FEW for part in shares.values())
        found.append(_cause(name, group, minor=name in MINOR and few))
        if name in ILL:
            ill |= {one.of for _, one in group if (shares[one.breaker] or 0.0) > FEW}
    return ordered(_with_regions(found, ill, regions))


def _shares(name: CauseName, seen: Sequence[Sighting], share: Share) -> dict[str, float | None]:
    """By each breaker that hears of it."""
    counts: Counter[str] = Counter()
    for one in seen:
        counts[one.breaker] += one.count if name is CauseName.THROTTLED else 0
    return {breaker: share(breaker, throttles) for breaker, throttles in counts.items()}


def _cause(name: CauseName, group: Sequence[tuple[str, Sighting]], *, minor: bool) -> Cause:
    _, most = max(group, key=lambda row: row[1].count)
    status = str(most.http) if most.http and str(most.http) != most.code else ""
    timer = f"({most.timer})" if most.timer else ""
    return Cause(
        name=name,
        of=tuple(sorted({_named(one.of) for _, one in group})),
        code=" ".join(filter(None, (most.code, status, timer))),
        says=most.says,
        count=sum(one.count for _, one in group),
        workers=len({worker for worker, _ in group} - {NOBODY}),
        minor=minor,
    )


def ordered(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """The most hindering first, and what is minor last."""
    return tuple(sorted(causes, key=lambda one: (one.minor, _ORDER[one.name])))


def _named(of: str) -> str:
    return of.removeprefix(STORE)


def _with_regions(found: list[Cause], ill: set[str], regions: Mapping[str, str]) -> Iterable[Cause]:
    """The causes, and a Region in which every one of several targets is ill."""
    yield from found
    places: dict[str, set[str]] = {}
    for target, region in regions.items():
        places.setdefault(region, set()).add(target)
    for region, targets in places.items():
        if len(targets) >= REGION_MIN and targets <= ill and len(places) > 1:
            parts = [one for one in found if one.name in ILL and targets & {*one.of}]
            most = max(parts, key=lambda one: one.count)
            yield Cause(
                name=CauseName.REGION_DOWN,
                of=(region or "default",),
                code=most.code,
                says=most.says,
                count=sum(one.count for one in parts),
                workers=max(one.workers for one in parts),
            )
