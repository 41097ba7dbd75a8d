"""Hears every event on its way out, and counts what went wrong: see `core/sightings.py`."""

import asyncio
from collections.abc import Iterable

from worker.core.events import AttemptMade, Event, FlightFailed, JobSettled, StoreFailed
from worker.core.sightings import JOBS, STORE, Sighting, Sightings
from worker.core.target import Target
from worker.ports import Tell


class Witness:
    """Port `Tell`, in front of another one.

    Args:
        tell: Whom every event is told.
        targets: Of every route, for their Regions.
    """

    def __init__(self, tell: Tell, targets: Iterable[Target]) -> None:
        self._tell = tell
        self._regions = {target.name: target.region for target in targets}
        self._sightings = Sightings()

    def __call__(self, event: Event, /) -> None:
        """Tell it, and count it if it is a fault."""
        self._tell(event)
        seen = self._seen(event)
        if seen is not None:
            self._sightings.note(seen, asyncio.get_running_loop().time())

    def most(self, now: float) -> tuple[Sighting, ...]:
        """The most frequent faults of the last minute."""
        return self._sightings.most(now)

    def _seen(self, event: Event) -> Sighting | None:
        match event:
            case AttemptMade(kind=None):
                return None
            case AttemptMade(target=target, kind=kind, code=code):
                return Sighting(
                    of=target,
                    region=self._regions.get(target, ""),
                    kind=str(kind),
                    code=code,
                    http=event.http or 0,
                    timer=event.timer,
                    says=event.message,
                )
            case StoreFailed(store=store, operation=operation, why=why):
                return Sighting(of=STORE + store, kind="failed", code=why, says=operation)
            case JobSettled(settlement="dead", reason=reason):
                return Sighting(of=JOBS, kind="dead", code=reason)
            case FlightFailed(error=error, where=where):
                return Sighting(of=JOBS, kind="crashed", code=error, says=where)
            case _:
                return None
