"""Guards around the table of faults: when many alike faults mean something else.

A single `rejected` speaks against its job; five jobs in a row speak against the
target. One connection that fails speaks against its endpoint; two unrelated
endpoints at once speak against us.
"""

from typing import Final

from worker.core.fault import Kind

MASS: Final = 5
MASS_CALM_S: Final = 60.0
LOCAL_SPAN_S: Final = 5.0
NETWORK: Final = frozenset({Kind.UNREACHABLE})


class MassDeathGuard:
    """Keeps a bad deploy from dead-lettering a whole queue.

    When `MASS` distinct jobs in a row are rejected by one target, and it served
    nobody for `MASS_CALM_S` seconds, its rejections are read as
    `misconfigured`: the jobs wait, and the target is what gets mended.
    """

    __slots__ = ("_good_at", "_rejected")

    def __init__(self) -> None:
        self._good_at: dict[str, float] = {}
        self._rejected: dict[str, set[str]] = {}

    def served(self, target: str, now: float) -> None:
        """The target gave an answer."""
        self._good_at[target] = now
        self._rejected.pop(target, None)

    def reads(self, target: str, job: str, kind: Kind, now: float) -> Kind:
        """What this fault means, in the light of those before it."""
        if kind is not Kind.REJECTED:
            return kind
        rejected = self._rejected.setdefault(target, set())
        if len(rejected) < MASS:
            rejected.add(job)
        good_at = self._good_at.get(target)
        calm = good_at is not None and now - good_at < MASS_CALM_S
        return kind if calm or len(rejected) < MASS else Kind.MISCONFIGURED


class LocalCauseGuard:
    """Finds out that the network trouble is our own.

    Connection faults at two unrelated endpoints within `LOCAL_SPAN_S` seconds
    have one cause, and it is on this side.
    """

    __slots__ = ("_seen_at",)

    def __init__(self) -> None:
        self._seen_at: dict[str, float] = {}

    def unreachable(self, endpoint: str, now: float) -> bool:
        """Note that `endpoint` could not be reached; True if the cause is local."""
        self._seen_at[endpoint] = now
        recent = [at for at in self._seen_at.values() if now - at <= LOCAL_SPAN_S]
        return len(recent) > 1

    def reads(self, endpoint: str, kind: Kind, now: float) -> Kind:
        """What this fault means, in the light of those at other endpoints."""
        if kind in NETWORK and self.unreachable(endpoint, now):
            return Kind.LOCAL
        return kind
