"""What went wrong of late: how it is counted, cut down, and told in a sentence."""

from dataclasses import astuple, replace

import orjson
import pytest

from worker.core.sightings import (
    CODE_MAX,
    DISTINCT_MAX,
    MOST,
    SAYS_MAX,
    SEEN_MAX,
    SPAN_S,
    Sighting,
    Sightings,
    evidence,
    named,
    remembered,
)

DOWN = Sighting(of="sonnet", region="eu-west-1", kind="unavailable", code="Oops", http=503)
DNS = Sighting(of="sonnet", region="eu-west-1", kind="unreachable", code="NoSuchHost")
SLOW = Sighting(of="sonnet", kind="timed_out", code="TimeoutError", timer="stall")
THROTTLED = Sighting(of="sonnet", kind="throttled", code="ThrottlingException", http=429)


def test_alike_faults_are_counted_together_the_most_frequent_first() -> None:
    sightings = Sightings()
    for n, seen in enumerate([DOWN, SLOW, DOWN, DNS, DOWN, SLOW]):
        sightings.note(seen, now=100.0 + n)

    assert sightings.most(now=106.0) == (
        replace(DOWN, count=3),
        replace(SLOW, count=2),
        replace(DNS, count=1),
    )


def test_after_a_minute_they_are_no_more() -> None:
    sightings = Sightings()
    sightings.note(DOWN, now=100.0)
    sightings.note(SLOW, now=130.0)

    assert sightings.most(now=100.0 + SPAN_S) == (SLOW,)
    assert sightings.most(now=130.0 + SPAN_S) == ()
    sightings.note(DNS, now=500.0)
    assert sightings.most(now=500.0) == (DNS,)


def test_only_the_most_frequent_are_published_and_no_long_text() -> None:
    sightings = Sightings()
    for n in range(MOST + 3):
        sightings.note(replace(DOWN, code=f"{n}{'x' * 100}", says="y" * 160), now=100.0)

    most = sightings.most(now=100.0)
    assert len(most) == MOST
    assert {len(seen.code) for seen in most} == {CODE_MAX}


def test_where_not_all_sentences_have_room_the_most_frequent_are_whole() -> None:
    sightings = Sightings()
    for n in range(MOST):
        for _ in range(MOST - n):
            sightings.note(replace(DOWN, code=f"{n}{'x' * 63}", says="y" * 160), now=100.0)

    says = [len(seen.says) for seen in sightings.most(now=100.0)]

    assert says[:2] == [SAYS_MAX, SAYS_MAX]
    assert 0 < says[2] < SAYS_MAX
    assert says[3] == 0


@pytest.mark.parametrize("says", ["y", "日", "\\", "\N{PILE OF POO}", '"', "\x01"])
@pytest.mark.parametrize("name", ["sonnet", "日" * 25, "n" * 67])
def test_all_that_a_seat_carries_has_an_end_in_bytes(says: str, name: str) -> None:
    sightings = Sightings()
    for n in range(MOST):
        one = replace(SLOW, of=name, region="ap-southeast-2", http=504, says=says * 160)
        sightings.note(replace(one, code=f"{n}{says * 63}"), now=100.0)

    most = sightings.most(now=100.0)

    seen_bytes = len(orjson.dumps([astuple(one) for one in most]))
    assert SEEN_MAX - 30 <= seen_bytes <= SEEN_MAX, "and the room is used"
    assert {one.of for one in most} == {name}


def test_what_has_no_room_at_all_is_left_out() -> None:
    sightings = Sightings()
    for n in range(MOST):
        sightings.note(replace(DOWN, of=f"{n}{'x' * 250}"), now=100.0)

    assert len(sightings.most(now=100.0)) == 2


def test_a_process_in_chaos_keeps_no_endless_list() -> None:
    sightings = Sightings()
    for n in range(10 * DISTINCT_MAX):
        sightings.note(replace(DOWN, code=f"code-{n}"), now=100.0)
    sightings.note(replace(DOWN, code="code-0"), now=101.0)

    assert sum(len(counts) for _, counts in sightings._slices) == DISTINCT_MAX
    assert sightings.most(now=101.0)[0] == replace(DOWN, code="code-0", count=2)


def test_the_evidence_against_a_target_is_what_its_breaker_counts() -> None:
    seen = [replace(DOWN, count=4), replace(DOWN, count=3, says="other words"), THROTTLED, DNS]

    assert evidence("sonnet", [*seen, replace(SLOW, count=2)]) == (
        "7 x unavailable Oops 503, 2 x timed_out TimeoutError (stall)"
    )


def test_the_evidence_against_an_endpoint_is_that_nobody_reaches_it() -> None:
    seen = [replace(DNS, count=4), replace(DNS, of="haiku", count=2), DOWN]

    assert evidence("endpoint:eu-west-1", seen) == "6 x unreachable NoSuchHost"
    assert evidence("endpoint:default", seen) == ""


def test_what_opened_a_circuit_is_read_back_from_its_sentence() -> None:
    seen = [replace(DOWN, count=12), replace(SLOW, count=3)]
    why = f"3 of 3 voters find it bad (recent): {evidence('sonnet', seen)}"

    assert remembered("sonnet", why) == (
        replace(DOWN, region="", count=12),
        replace(SLOW, count=3),
    )
    assert remembered("sonnet", "3 of 3 voters find it bad (recent)") == ()
    assert remembered("sonnet", "8 of 20 calls of 4 voters failed (all)") == ()


def test_of_nothing_nothing_is_told() -> None:
    assert evidence("sonnet", [THROTTLED]) == ""
    assert named(Sighting(of="jobs", kind="dead", code="crash_loop")) == "dead crash_loop"
