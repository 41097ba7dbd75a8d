"""Dead letters as values: which are meant, how they group, and what a message is."""

from dataclasses import replace

import pytest

from worker.core.dead import (
    Copy,
    Letter,
    Pick,
    Remedy,
    copy_of,
    grouped,
    letter_of,
    remedy_of,
    told_generation,
)
from worker.core.fault import Kind
from worker.core.ledger import Attempt, Record, State

DEAD = Record(
    job="order-1",
    state=State.DEAD,
    fence=3,
    generation=1,
    attempts=2,
    sent_at=10.0,
    finished_at=70.0,
    reason="attempts_exhausted",
    fingerprint="0123456789ab",
    route="chat",
    tenant="acme",
    history=(
        Attempt(number=1, target="near", kind=Kind.TIMED_OUT, code="first"),
        Attempt(number=2, target="far", kind=Kind.UNAVAILABLE, code="last"),
    ),
)
LETTER = Letter(
    job="order-1",
    died_at=70.0,
    sent_at=10.0,
    generation=1,
    fence=3,
    attempts=2,
    fingerprint="0123456789ab",
    reason="attempts_exhausted",
    code="last",
    target="far",
    route="chat",
    tenant="acme",
)


def test_a_letter_says_how_a_job_died_and_who_was_called_last() -> None:
    assert letter_of(DEAD) == LETTER


def test_a_job_that_died_uncalled_has_neither_code_nor_target() -> None:
    letter = letter_of(replace(DEAD, history=()))

    assert letter == replace(LETTER, code="", target="")


@pytest.mark.parametrize(
    "record",
    [
        *(replace(DEAD, state=state) for state in State if state is not State.DEAD),
        replace(DEAD, job="order-1+upgrade"),
        replace(DEAD, finished_at=None),
    ],
)
def test_what_is_not_dead_or_only_an_upgrade_is_no_letter(record: Record) -> None:
    assert letter_of(record) is None


@pytest.mark.parametrize(
    "pick",
    [
        Pick(),
        Pick(jobs=frozenset({"order-1", "order-2"})),
        Pick(fingerprint="0123"),
        Pick(reason="attempts_exhausted", code="last", target="far", route="chat", tenant="acme"),
        Pick(since=70.0, until=70.1),
    ],
)
def test_a_letter_is_meant_that_fits_every_part(pick: Pick) -> None:
    assert pick.fits(LETTER)


@pytest.mark.parametrize(
    "pick",
    [
        Pick(jobs=frozenset({"order-2"})),
        Pick(fingerprint="123"),
        Pick(reason="expired"),
        Pick(code="first"),
        Pick(target="near"),
        Pick(route="cha"),
        Pick(tenant="acme", route="other"),
        Pick(since=70.1),
        Pick(until=70.0),
    ],
)
def test_one_part_that_does_not_fit_leaves_a_letter_out(pick: Pick) -> None:
    assert not pick.fits(LETTER)
    assert not pick.all


def test_only_a_pick_without_any_part_means_all() -> None:
    assert Pick().all


def test_groups_count_who_died_of_the_same_and_the_largest_comes_first() -> None:
    others = [
        replace(LETTER, job=f"other-{n}", fingerprint="ff", reason="expired", died_at=100.0 + n)
        for n in range(3)
    ]
    others[1] = replace(others[1], tenant="zeta", route="", target="")

    first, second = grouped([LETTER, *others])

    assert (first.fingerprint, first.count, second.count) == ("ff", 3, 1)
    assert first.tenants == {"acme": 2, "zeta": 1}
    assert first.routes == {"chat": 2}
    assert (first.first_at, first.last_at, first.sample) == (100.0, 102.0, "other-2")
    assert (first.remedy, second.remedy) == (Remedy.TIME, Remedy.HEALTH)


def test_a_reason_that_nobody_foresaw_asks_for_care() -> None:
    assert remedy_of("a reason of tomorrow") is Remedy.CARE


@pytest.mark.parametrize(
    ("record", "generation", "is_"),
    [
        (None, 0, Copy.FOREIGN),
        (DEAD, 1, Copy.LETTER),
        (DEAD, None, Copy.LETTER),
        (DEAD, 2, Copy.FOREIGN),
        (DEAD, 0, Copy.FOREIGN),
        (replace(DEAD, told=True), 0, Copy.OUTDATED),
        (replace(DEAD, state=State.ANSWERED, told=True), 0, Copy.OUTDATED),
        (replace(DEAD, state=State.ANSWERED), 0, Copy.FOREIGN),
        (replace(DEAD, state=State.RUNNING), 0, Copy.FOREIGN),
        (replace(DEAD, state=State.PARKED, told=True), 0, Copy.FOREIGN),
        (replace(DEAD, state=State.ANSWERED), None, Copy.FOREIGN),
        (replace(DEAD, state=State.PARKED), None, Copy.FOREIGN),
        (replace(DEAD, state=State.RUNNING), 1, Copy.FOREIGN),
    ],
)
def test_a_message_is_outdated_only_if_a_later_life_has_ended_and_was_told(
    record: Record | None, generation: int | None, is_: Copy
) -> None:
    assert copy_of(record, generation=generation, message="m", digest="") is is_


@pytest.mark.parametrize(
    ("generation", "message", "digest", "is_"),
    [
        (None, "stranger", "asks-this", Copy.LETTER),
        (None, "stranger", "asks-that", Copy.FOREIGN),
        (None, "rang", "asks-that", Copy.FOREIGN),
        (0, "rang", "asks-this", Copy.LETTER),  # AWS's redrive kept the story of its last life
        (0, "rang", "asks-that", Copy.FOREIGN),
        (0, "stranger", "asks-this", Copy.OUTDATED),
        (1, "stranger", "set-aside", Copy.LETTER),
    ],
)
def test_a_message_without_a_story_of_this_death_is_told_by_what_it_asks_for(
    generation: int | None, message: str, digest: str, is_: Copy
) -> None:
    record = replace(DEAD, told=True, doorbells=frozenset({"rang"}), digest="asks-this")

    assert copy_of(record, generation=generation, message=message, digest=digest) is is_


@pytest.mark.parametrize("story", ["", "{", "[1]", "null", "{}", '{"generation":true}'])
def test_a_story_that_is_none_tells_no_generation(story: str) -> None:
    assert told_generation(story) is None


def test_a_story_tells_its_generation() -> None:
    assert told_generation('{"v":1,"job":"a","generation":4}') == 4
