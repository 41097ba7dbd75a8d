from dataclasses import replace

from worker.core.attendance import FRESH_S, LAPSE_S, PRESENT_S, Attendance
from worker.core.jury import Seat, Vote
from worker.core.sightings import Sighting

BAD = Vote(stage=0, calls=10, failures=10)
GOOD = Vote(stage=0, calls=10)


def seat(number: int = 0, *, beat: int = 1, holder: str = "w", vote: Vote = BAD) -> Seat:
    return Seat(number=number, holder=holder, lot=0.5, beat=beat, votes={"model-a": vote})


def test_a_bad_vote_counts_only_while_its_beat_moves() -> None:
    jury = Attendance()

    jury.note([seat(beat=1)], now=0.0)
    first = jury.votes("model-a", now=0.0)
    jury.note([seat(beat=2)], now=1.0)
    second = jury.votes("model-a", now=1.0)
    later = jury.votes("model-a", now=1.0 + FRESH_S + 0.1)

    assert (first, second, later) == ([], [BAD], [])


def test_a_good_vote_counts_as_long_as_its_holder_is_present() -> None:
    jury = Attendance()
    jury.note([seat(vote=GOOD)], now=0.0)

    assert jury.votes("model-a", now=PRESENT_S) == [GOOD]
    assert jury.votes("model-a", now=PRESENT_S + 0.1) == []
    assert jury.votes("model-b", now=0.0) == []


def test_what_went_wrong_is_heard_from_those_who_are_present() -> None:
    seen = Sighting(of="model-a", kind="unavailable", code="Oops")
    jury = Attendance()
    jury.note([replace(seat(), seen=(seen,)), seat(1)], now=0.0)

    assert jury.sightings(now=PRESENT_S) == (seen,)
    assert jury.sightings(now=PRESENT_S + 0.1) == ()


def test_what_we_said_ourselves_counts_at_once() -> None:
    jury = Attendance()

    jury.own(seat(), now=5.0)

    assert jury.votes("model-a", now=5.0) == [BAD]


def test_a_new_holder_says_nothing_for_the_one_before() -> None:
    jury = Attendance()
    jury.note([seat(beat=7, holder="before")], now=0.0)

    jury.note([seat(beat=8, holder="after")], now=1.0)

    assert jury.votes("model-a", now=1.0) == [], "its beat has not been seen to move yet"


def test_a_seat_that_stands_still_lapses_by_our_own_clock() -> None:
    jury = Attendance()
    jury.note([seat(0), seat(1)], now=0.0)
    jury.note([seat(0), seat(1, beat=2)], now=10.0)

    assert jury.lapsed(LAPSE_S) == {0}
    assert [one.number for one in jury.held(LAPSE_S)] == [1]
    assert jury.seat(1) == seat(1, beat=2)
    assert jury.seat(5) is None


def test_a_seat_that_is_read_no_more_is_no_more() -> None:
    jury = Attendance()
    jury.note([seat(0), seat(1)], now=0.0)

    jury.note([seat(1)], now=1.0)

    assert jury.seat(0) is None
    assert [one.number for one in jury.held(1.0)] == [1]


def test_who_was_killed_is_not_waited_for_but_keeps_its_seat_a_little_longer() -> None:
    jury = Attendance()
    jury.note([seat(0, holder="killed"), seat(1)], now=0.0)
    jury.note([seat(0, holder="killed"), seat(1, beat=2)], now=15.0)

    assert [one.number for one in jury.present(PRESENT_S + 0.1)] == [1]
    assert [one.number for one in jury.held(PRESENT_S + 0.1)] == [0, 1]


def test_a_seat_that_was_given_back_is_nobodys() -> None:
    jury = Attendance()

    jury.note([seat(0, holder=""), seat(1)], now=0.0)

    assert [one.number for one in jury.held(0.0)] == [1]
    assert jury.seat(0) == seat(0, holder=""), "who takes it must say what was there"
