"""Whether a process still takes jobs, told by the turns of its pollers."""

import pytest

from worker.runtime.pulse import LATE_S, STARTING, Health, Pulse

WAIT_S = 20.0
LATE = WAIT_S + LATE_S


class Hands:
    """Jobs in hand, as many as a test says."""

    count = 0

    def __call__(self) -> int:
        return self.count


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def pulse(hands: Hands) -> Pulse:
    return Pulse(wait_s=WAIT_S, in_flight=hands)


def test_a_process_that_has_not_started_is_live_and_not_ready(pulse: Pulse) -> None:
    assert pulse.health(now=1000.0) == STARTING


def test_a_process_whose_pollers_turn_is_live_and_ready(pulse: Pulse, hands: Hands) -> None:
    pulse.start()
    pulse.turn("jobs", now=100.0)
    hands.count = 3

    assert pulse.health(now=100.0 + LATE) == Health(live=True, ready=True, in_flight=3)


def test_a_poller_whose_receive_never_returns_is_no_life(pulse: Pulse) -> None:
    pulse.start()
    pulse.turn("jobs", now=100.0)
    pulse.turn("parked", now=150.0)

    health = pulse.health(now=100.1 + LATE)

    assert (health.live, health.ready) == (False, False)
    assert health.why == "1 of 2 pollers have not turned for 80 s"


def test_a_poller_waits_for_a_slot_as_long_as_jobs_are_in_hand(pulse: Pulse, hands: Hands) -> None:
    pulse.start()
    pulse.turn("jobs", now=100.0)
    pulse.wait("jobs")
    hands.count = 1

    assert pulse.health(now=9000.0).live


def test_a_slot_that_was_just_given_back_is_on_its_way(pulse: Pulse, hands: Hands) -> None:
    pulse.start()
    pulse.turn("jobs", now=100.0)
    pulse.wait("jobs")
    hands.count = 0
    pulse.landed(now=9000.0)

    assert pulse.health(now=9000.0).live
    assert not pulse.health(now=9000.1 + LATE).live


def test_a_slot_that_nobody_gives_back_is_no_life(pulse: Pulse) -> None:
    pulse.start()
    pulse.turn("jobs", now=100.0)
    pulse.wait("jobs")

    assert not pulse.health(now=100.1 + LATE).live


def test_a_process_that_drains_is_live_and_not_ready_however_late_its_pollers(
    pulse: Pulse, hands: Hands
) -> None:
    pulse.start()
    pulse.turn("jobs", now=100.0)
    hands.count = 2
    pulse.leave()

    assert pulse.health(now=9000.0) == Health(live=True, ready=False, why="it drains", in_flight=2)


def test_a_poller_that_ended_is_not_missed(pulse: Pulse) -> None:
    pulse.start()
    pulse.turn("jobs", now=100.0)
    pulse.turn("extra", now=100.0)
    pulse.gone("extra")
    pulse.turn("jobs", now=500.0)

    assert pulse.health(now=500.0).ready
