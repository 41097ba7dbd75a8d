"""What a fault means, and what of its message may leave the process."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.core.fault import (
    REACTIONS,
    Again,
    Ending,
    Fault,
    Kind,
    Vote,
    fingerprint,
    heard,
    normalised,
)
from worker.core.window import Outcome

SECRET = "my secret prompt"
MARKS = "'\"`“”„\u2018\u2019«»"


def test_every_kind_has_a_reaction() -> None:
    assert set(REACTIONS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_fault_knows_its_row(kind: Kind) -> None:
    fault = Fault(kind=kind, code="X")

    assert fault.reaction is REACTIONS[kind]


@pytest.mark.parametrize(
    ("kind", "vote"),
    [
        (Kind.UNAVAILABLE, Vote.FAIL),
        (Kind.TIMED_OUT, Vote.FAIL),
        (Kind.THROTTLED, Vote.THROTTLE),
        (Kind.EXHAUSTED, Vote.EXHAUST),
        (Kind.REJECTED, Vote.IGNORE),
        (Kind.TOO_LONG, Vote.IGNORE),
        (Kind.MISCONFIGURED, Vote.QUARANTINE),
        (Kind.POOR, Vote.OK),
        (Kind.UNREACHABLE, Vote.FAIL_ENDPOINT),
        (Kind.LOCAL, Vote.IGNORE),
        (Kind.UNKNOWN, Vote.FAIL),
    ],
)
def test_the_votes_are_those_of_the_design(kind: Kind, vote: Vote) -> None:
    assert REACTIONS[kind].vote is vote


@pytest.mark.parametrize("kind", Kind)
def test_what_a_service_says_of_the_job_itself_is_not_passed_on(kind: Kind) -> None:
    own = (Kind.REJECTED, Kind.TOO_LONG, Kind.POOR, Kind.UNKNOWN)

    heard_by_all = Fault(kind=kind, code="Code", message="Some words.").sentence

    assert heard_by_all == ("" if kind in own else "Some words.")


def test_only_the_jobs_own_faults_can_discard_it_at_once() -> None:
    discarding = {kind for kind, row in REACTIONS.items() if row.ending is Ending.DISCARD}

    assert discarding == {Kind.REJECTED, Kind.TOO_LONG}


def test_nobody_pays_an_attempt_for_what_was_never_asked_of_a_model() -> None:
    free = {kind for kind, row in REACTIONS.items() if not row.charges}

    assert free == {
        Kind.THROTTLED,
        Kind.EXHAUSTED,
        Kind.MISCONFIGURED,
        Kind.UNREACHABLE,
        Kind.LOCAL,
    }


def test_a_rejected_job_and_a_sick_process_never_try_again() -> None:
    never = {kind for kind, row in REACTIONS.items() if row.again is Again.NEVER}

    assert never == {Kind.REJECTED, Kind.LOCAL}


@pytest.mark.parametrize(
    ("message", "stays"),
    [
        ("", ""),
        ("Too many requests, please wait.", "Too many requests, please wait."),
        (f"Malformed input: '{SECRET}'", "Malformed input: <>"),
        (f'found "{SECRET}" here', "found <> here"),
        (f"found `{SECRET}` here", "found <> here"),
        (f"found “{SECRET}” here", "found <> here"),
        (f"found «{SECRET}» here", "found <> here"),
        (f"found \u2018{SECRET}\u2019 here", "found <> here"),
        (f"Value '{SECRET}' at 'text' failed", "Value <> failed"),
        (f"Value 'it's {SECRET}' failed", "Value <> failed"),
        (f"Value 'a' {SECRET} 'b' failed", "Value <> failed"),
        (f"Value '{SECRET}", "Value <>"),
        (f"Value '{SECRET}" + "x" * 3000 + "' failed", "Value <> failed"),
        (f'Value \'a "b" {SECRET}', "Value <>"),
        (f"Value 'a \"b' {SECRET}", "Value <>"),
        (f"the model's input isn't '{SECRET}'", "the models input isnt <>"),
        (f"the models' input is {SECRET}", "the models<>"),
        ("bad line b'GET / HTTP'", "bad line b<>"),
        ("limit of 4,096.5 tokens", "limit of N tokens"),
        ("arn:aws:bedrock:eu-west-1:1:x is not known", "<id> is not known"),
        ("see https://docs.example.com/a?b=c for more", "see <id> for more"),
        ("id 1b4e28ba-2fa1-11d2-883f-0016d3cca427 failed", "id <id> failed"),
        ("a\n\tb  c\x00\x1b[2J\ud800", "a b c??[NJ?"),
        ("x" * 200, "x" * 160),
        ("x" * 159 + " y", "x" * 159),
    ],
    ids=lambda text: text[:40].encode("ascii", "replace").decode(),
)
def test_a_message_keeps_its_sentence_and_loses_what_varies(message: str, stays: str) -> None:
    assert normalised(message) == stays


PIECES = st.sampled_from([*MARKS, "it's", "\\", " ", "x", "\n"])
QUOTATIONS = st.lists(PIECES, max_size=12).map("".join)


@given(
    before=st.sampled_from(["Value ", "found: ", "field=", "the model's value (", "isn't "]),
    mark=st.sampled_from(["''", '""', "``", "“”", "\u2018\u2019", "«»"]),
    left=QUOTATIONS,
    right=QUOTATIONS,
    after=st.sampled_from(["", " at position 5", ", which isn't allowed", ")"]),
)
@example(before="Value ", mark="''", left="x' ", right=" 'x", after="")
def test_no_quoted_text_survives(before: str, mark: str, left: str, right: str, after: str) -> None:
    message = f"{before}{mark[0]}{left}{SECRET}{right}{mark[1]}{after}"

    assert SECRET not in normalised(message)


@given(
    st.text(max_size=300) | st.text(st.sampled_from([*MARKS, *"arn:htps/ Ne1,.s-"]), max_size=250)
)
@example("isn't " * 40)
def test_what_is_normal_stays_as_it_is(message: str) -> None:
    once = normalised(message)

    assert normalised(once) == once
    assert len(once) <= 160
    assert once.isprintable()


def test_alike_dead_letters_have_one_fingerprint() -> None:
    one = fingerprint("rejected", "ValidationException", normalised("got 17 of '5'"))
    other = fingerprint("rejected", "ValidationException", normalised("got 4 of 'x'"))

    assert one == other
    assert len(one) == 12


@pytest.mark.parametrize(
    "other", [("poison", "C", "m"), ("rejected", "D", "m"), ("rejected", "C", "n")]
)
def test_another_cause_has_another_fingerprint(other: tuple[str, str, str]) -> None:
    assert fingerprint(*other) != fingerprint("rejected", "C", "m")


@pytest.mark.parametrize(
    ("vote", "slow", "answered", "target", "endpoint"),
    [
        (Vote.OK, False, True, Outcome.SUCCESS, Outcome.SUCCESS),
        (Vote.OK, True, True, Outcome.SLOW, Outcome.SUCCESS),
        (Vote.FAIL, False, True, Outcome.FAILURE, Outcome.SUCCESS),
        (Vote.FAIL, True, False, Outcome.HUNG, Outcome.IGNORED),
        (Vote.FAIL_ENDPOINT, False, False, Outcome.IGNORED, Outcome.FAILURE),
        (Vote.THROTTLE, False, True, Outcome.THROTTLED, Outcome.SUCCESS),
        (Vote.EXHAUST, False, True, Outcome.EXHAUSTED, Outcome.SUCCESS),
        (Vote.QUARANTINE, False, True, Outcome.DENIED, Outcome.SUCCESS),
        (Vote.IGNORE, True, True, Outcome.IGNORED, Outcome.IGNORED),
    ],
)
def test_each_breaker_hears_what_concerns_it(
    vote: Vote, *, slow: bool, answered: bool, target: Outcome, endpoint: Outcome
) -> None:
    assert heard(vote, slow=slow, answered=answered) == (target, endpoint)
