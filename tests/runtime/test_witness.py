"""The witness passes every event on, and counts those that tell of a fault."""

from dataclasses import replace

from worker.core.events import (
    AttemptMade,
    Event,
    FlightFailed,
    IntakeHeld,
    JobSettled,
    StoreFailed,
)
from worker.core.fault import Billed, Kind
from worker.core.sightings import Sighting
from worker.core.target import Target
from worker.runtime.witness import Witness
from worker.sim.clock import in_virtual_time

MADE = AttemptMade(
    job="a",
    target="sonnet",
    number=1,
    kind=Kind.TIMED_OUT,
    code="TimeoutError",
    http=None,
    duration_ms=5,
    first_token_ms=None,
    slow=False,
    billed=Billed.NO,
    timer="stall",
    request_id="",
    message="nothing came for N s",
)
SETTLED = JobSettled(
    job="a",
    settlement="dead",
    reason="crash_loop",
    route="default",
    tenant="",
    target="",
    attempts=1,
    parks=0,
    interruptions=0,
    crashes=3,
    generation=4,
    waited_ms=1,
    worked_ms=1,
    model_ms=0,
)
FAULTS: list[tuple[Event, Sighting]] = [
    (
        MADE,
        Sighting(
            of="sonnet",
            region="eu-west-1",
            kind="timed_out",
            code="TimeoutError",
            timer="stall",
            says="nothing came for N s",
        ),
    ),
    (
        replace(MADE, target="elsewhere", http=503, timer="", message=""),
        Sighting(of="elsewhere", kind="timed_out", code="TimeoutError", http=503),
    ),
    (
        StoreFailed(store="ledger", operation="claim", why="AccessDeniedException"),
        Sighting(of="store:ledger", kind="failed", code="AccessDeniedException", says="claim"),
    ),
    (SETTLED, Sighting(of="jobs", kind="dead", code="crash_loop")),
    (
        FlightFailed(job="a", error="KeyError", where="trip.py:12"),
        Sighting(of="jobs", kind="crashed", code="KeyError", says="trip.py:12"),
    ),
]
OTHERS: list[Event] = [
    replace(MADE, kind=None, code="", http=200),
    replace(SETTLED, settlement="answered"),
    IntakeHeld(why="queue", for_s=2.0),
]


def test_every_event_is_passed_on_and_faults_are_counted() -> None:
    async def main() -> None:
        told: list[Event] = []
        witness = Witness(told.append, [Target(name="sonnet", model="m", region="eu-west-1")])
        events = [event for event, _ in FAULTS] + OTHERS

        for event in events:
            witness(event)

        assert told == events
        assert set(witness.most(0.0)) <= {seen for _, seen in FAULTS}

    in_virtual_time(main())


def test_each_fault_is_told_with_what_is_known_of_it() -> None:
    async def main() -> None:
        for event, seen in FAULTS:
            witness = Witness(
                lambda _: None, [Target(name="sonnet", model="m", region="eu-west-1")]
            )
            witness(event)
            assert witness.most(0.0) == (seen,)
        for event in OTHERS:
            witness = Witness(lambda _: None, [])
            witness(event)
            assert witness.most(0.0) == ()

    in_virtual_time(main())
