"""What failed travels with the votes, and into the sentence with which a circuit opens."""

import pytest

from tests.runtime.test_circuit import DENIED, DOWN, employed, steady, world_with
from worker.core.attendance import CALM_S
from worker.core.fault import OF_JOB, Fault, Kind
from worker.core.jury import Seat
from worker.core.target import Target
from worker.core.verdict import State
from worker.runtime.juror import SPREAD
from worker.sim.clock import EPOCH, in_virtual_time
from worker.sim.memory import Reply, answer
from worker.sim.world import World

THROTTLE = Fault(kind=Kind.THROTTLED, code="ThrottlingException", http=429, message="Too many")


def lived(world: World, seconds: int) -> list[Seat]:
    """A fleet of four works so long; the seats as they are then."""

    async def main() -> list[Seat]:
        workers = employed(world, 4)
        await steady(world, seconds * 4, 0.25)
        assert world.breakers is not None
        seats = list(world.breakers.seats.values())
        for worker in workers:
            await worker.drain()
        return seats

    return in_virtual_time(main())


def test_a_circuit_opens_with_what_failed_in_its_sentence() -> None:
    world = world_with()
    world.model.mood = lambda _: Reply(DOWN, 0.2)

    seats = lived(world, 30)

    assert world.breakers is not None
    rows = world.breakers.rows["model-a"]
    opened = next(rows[n] for n in sorted(rows) if rows[n].new is State.OPEN)
    assert "voters" in opened.why
    assert " x unavailable ServiceUnavailableException 503" in opened.why
    for seat in seats:
        assert [(seen.of, seen.kind) for seen in seat.seen] == [("model-a", "unavailable")]
        assert EPOCH < seat.seen_at <= EPOCH + 30


@pytest.mark.parametrize("fault", [THROTTLE, DENIED])
def test_what_opens_no_circuit_is_told_all_the_same(fault: Fault) -> None:
    world = world_with(Target(name="model-a", model="m", region="eu-west-1", attempt_s=60.0))
    world.model.mood = lambda _: Reply(fault, 0.2)

    seats = lived(world, 30)

    told = {seen for seat in seats for seen in seat.seen}
    assert {(seen.of, seen.region, seen.code, seen.says) for seen in told} == {
        ("model-a", "eu-west-1", fault.code, fault.message)
    }


@pytest.mark.parametrize("kind", sorted(OF_JOB))
def test_what_is_about_a_job_is_told_without_the_services_words(kind: Kind) -> None:
    fault = Fault(kind=kind, code="ValidationException", http=400, message="role Jane Roe is bad")
    world = world_with()
    world.model.mood = lambda _: Reply(fault, 0.2)

    seats = lived(world, 30)

    told = {seen for seat in seats for seen in seat.seen if seen.of == "model-a"}
    assert {seen.code for seen in told} == {"ValidationException"}
    assert {seen.says for seen in told} == {""}
    if kind is Kind.REJECTED:  # so many of them are read as another kind
        assert "misconfigured" in {seen.kind for seen in told}


def test_after_a_minute_of_calm_a_seat_tells_only_when_it_was_published() -> None:
    world = world_with()
    world.model.mood = lambda call: Reply(THROTTLE, 0.2) if call.now < 5 else Reply(answer(), 0.2)

    seats = lived(world, 100)

    assert {seat.seen for seat in seats} == {()}
    assert all(EPOCH + 80 <= seat.seen_at <= EPOCH + 100 for seat in seats)


def test_to_tell_of_faults_costs_no_write() -> None:
    world = world_with()
    world.model.mood = lambda call: (
        Reply(THROTTLE, 0.2) if call.number == 1 else Reply(answer(), 0.2)
    )

    seats = lived(world, 60)

    assert all(seat.seen for seat in seats)
    often = 60 / (CALM_S * (1 - SPREAD)) + 1  # as often as a calm worker publishes, and no more
    assert max(seat.beat for seat in seats) <= often
