"""What went wrong of late in one process, counted by what it was.

A vote says how many calls failed; a person wants to know of what. A `Sighting` is the
kind and code of alike faults, with the service's own sentence where it has one: cleaned,
and of those kinds alone that are not about a job (`core/fault.py`). The most
frequent ones travel with the worker's seat in the jury, and into the sentence with which
a circuit opens. They decide nothing.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Final

from worker.core.fault import REACTIONS, Kind, Vote

SPAN_S: Final = 60.0
SLICE_S: Final = 10.0
MOST: Final = 4
SEEN_MAX: Final = 640  # bytes; with the votes on a target and its endpoint a seat is 1 KiB
DISTINCT_MAX: Final = 64  # in one slice; a process in chaos tells no more by a longer list
CODE_MAX: Final = 48  # bytes
SAYS_MAX: Final = 100  # bytes

STORE: Final = "store:"  # and its name: not a target, but what a port could not reach
JOBS: Final = "jobs"  # jobs that were given up
_ENDPOINT: Final = "endpoint:"  # and its Region: the breaker of an endpoint

_EVIDENCE: Final = re.compile(
    r"(?P<count>\d+) x (?P<kind>[a-z_]+) (?P<code>[^\s,]+)"
    r"(?: (?P<http>\d{3}))?(?: \((?P<timer>\w+)\))?(?=,|$)"
)
_AGAINST: Final = {
    "target": frozenset(str(k) for k in Kind if REACTIONS[k].vote is Vote.FAIL),
    "endpoint": frozenset(str(k) for k in Kind if REACTIONS[k].vote is Vote.FAIL_ENDPOINT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Alike faults of the last minute.

    Attributes:
        of: A target; `store:<name>`; or `jobs`.
        region: The target's, "" for the SDK's own.
        kind: A kind of fault; `failed` for a store; `dead` or `crashed` for jobs.
        code: The service's own, the class of an exception, or the reason of a dead letter.
        http: The status, 0 without an answer.
        timer: Which of our timers fired, or "".
        says: The service's sentence, normalised, "" if it has none or may hold words of a job;
            for a store, the operation.
        count: How many.
    """

    of: str
    region: str = ""
    kind: str
    code: str
    http: int = 0
    timer: str = ""
    says: str = ""
    count: int = 1

    @property
    def endpoint(self) -> str:
        """The name of the breaker of its endpoint."""
        return f"{_ENDPOINT}{self.region or 'default'}"

    @property
    def breaker(self) -> str:
        """The name of the breaker that judges by it: its target's, or its endpoint's.

        >>> Sighting(of="a", region="eu-west-1", kind="unreachable", code="Oops").breaker
        'endpoint:eu-west-1'
        """
        itself = self.of.startswith(_ENDPOINT)  # `remembered` of its breaker
        return self.endpoint if self.kind in _AGAINST["endpoint"] and not itself else self.of


class Sightings:
    """The faults of one process, of the last minute. Times are seconds on one clock."""

    def __init__(self) -> None:
        self._slices: list[tuple[float, Counter[Sighting]]] = []

    def note(self, seen: Sighting, now: float) -> None:
        """Count one fault; `seen.count` is 1."""
        if not self._slices or now - self._slices[-1][0] >= SLICE_S:
            self._drop(now)
            self._slices.append((now, Counter()))
        counts = self._slices[-1][1]
        if seen in counts or len(counts) < DISTINCT_MAX:
            counts[seen] += 1

    def most(self, now: float) -> tuple[Sighting, ...]:
        """The most frequent ones, in a form that is fit to be published.

        All of them together are at most `SEEN_MAX` bytes of JSON: sentences are cut first.
        """
        self._drop(now)
        total: Counter[Sighting] = Counter()
        for _, counts in self._slices:
            total.update(counts)
        return _fitting([replace(seen, count=count) for seen, count in total.most_common(MOST)])

    def _drop(self, now: float) -> None:
        if self._slices and now - self._slices[0][0] >= SPAN_S:
            self._slices = [(at, counts) for at, counts in self._slices if now - at < SPAN_S]


def _fitting(seen: list[Sighting]) -> tuple[Sighting, ...]:
    """As many as there is room for, then of their sentences, the most frequent one's first."""
    spare = SEEN_MAX - len("[]")
    bare: list[tuple[Sighting, str]] = []
    for one in seen:
        cut = replace(one, code=_cut(one.code, CODE_MAX), says="")
        size = _size(astuple(cut)) + len(",")
        if size > spare:
            break
        spare -= size
        bare.append((cut, one.says))
    fitting: list[Sighting] = []
    for one, says in bare:
        part = _cut(says, min(SAYS_MAX, spare))
        spare -= _size(part) - len('""')
        fitting.append(replace(one, says=part))
    return tuple(fitting)


def _cut(text: str, most: int) -> str:
    """At most `most` bytes of it, as JSON has them."""
    text = text.encode()[:most].decode(errors="ignore")
    while _size(text) - len('""') > most:  # what JSON escapes
        text = text[:-1]
    return text


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def evidence(breaker: str, seen: Iterable[Sighting]) -> str:
    """What speaks against a target or an endpoint most often, for a sentence; "" if nothing does.

    >>> evidence("a", [Sighting(of="a", kind="unavailable", code="Oops", http=503, count=7)])
    '7 x unavailable Oops 503'
    """
    counts: Counter[str] = Counter()
    for one in seen:
        own = one.of == breaker and one.kind in _AGAINST["target"]
        if own or (one.endpoint == breaker and one.kind in _AGAINST["endpoint"]):
            counts[named(one)] += one.count
    return ", ".join(f"{count} x {name}" for name, count in counts.most_common(2))


def remembered(breaker: str, why: str) -> tuple[Sighting, ...]:
    """What `evidence` put into a sentence, read back; nothing of a sentence without any.

    >>> [(one.count, named(one)) for one in remembered("a", "1 of 1: 7 x unavailable Oops 503")]
    [(7, 'unavailable Oops 503')]
    """
    return tuple(
        Sighting(
            of=breaker,
            kind=found["kind"],
            code=found["code"],
            http=int(found["http"] or 0),
            timer=found["timer"] or "",
            count=int(found["count"]),
        )
        for found in _EVIDENCE.finditer(why)
    )


def named(seen: Sighting) -> str:
    """Kind, code, status and timer, as far as there are any.

    >>> named(Sighting(of="a", kind="timed_out", code="TimeoutError", timer="stall"))
    'timed_out TimeoutError (stall)'
    """
    status = str(seen.http) if seen.http else ""
    timer = f"({seen.timer})" if seen.timer else ""
    return " ".join(filter(None, (seen.kind, seen.code, status, timer)))
