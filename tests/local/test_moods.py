"""Moods: what the dice, the quotas and the clock decide; nothing is sent here."""

from collections import Counter
from statistics import quantiles
from typing import Any

import pytest

from worker.local.moods import Chance, Mood, Phase, Temper, Throttle, outage
from worker.local.outcomes import Answer, Constant, Fail, Hang, LogNormal, Outcome, Reset

UNAVAILABLE = Fail("ServiceUnavailableException")


def temper(**mood: Any) -> Temper:
    return Temper(Mood(**mood), "model/region", since=100.0)


def kinds(decisions: list[Outcome]) -> Counter[str]:
    return Counter(
        outcome.error if isinstance(outcome, Fail) else outcome.kind for outcome in decisions
    )


def test_a_healthy_model_answers_at_once() -> None:
    decision = temper().decide(100.0, 10)

    assert decision.outcome == Answer()
    assert decision.latency_s == 0.0


def test_chances_come_true_at_their_rates() -> None:
    moody = temper(chances=(Chance(0.2, UNAVAILABLE), Chance(0.1, Hang())))

    seen = kinds([moody.decide(100.0, 1).outcome for _ in range(10_000)])

    assert 1_850 <= seen["ServiceUnavailableException"] <= 2_150
    assert 900 <= seen["hang"] <= 1_100


def test_the_same_seed_gives_the_same_fortune_and_targets_have_their_own() -> None:
    mood = Mood(chances=(Chance(0.5, Reset()),), latency=LogNormal(1, 10), seed=3)

    first, again = (Temper(mood, "a", since=0.0) for _ in range(2))
    other = Temper(mood, "b", since=0.0)
    fortunes = [[one.decide(0.0, 1) for _ in range(50)] for one in (first, again, other)]

    assert fortunes[0] == fortunes[1] != fortunes[2]


def test_a_log_normal_latency_has_its_median_and_its_99th_percentile() -> None:
    moody = temper(latency=LogNormal(median_s=2.0, p99_s=20.0))

    drawn = quantiles((moody.decide(100.0, 1).latency_s for _ in range(20_000)), n=100)

    assert drawn[49] == pytest.approx(2.0, rel=0.1)
    assert drawn[98] == pytest.approx(20.0, rel=0.2)


def test_requests_beyond_the_quota_are_throttled_until_it_refills() -> None:
    moody = temper(throttle=Throttle(requests_per_minute=60, burst_s=2))

    at_once = kinds([moody.decide(100.0, 1).outcome for _ in range(5)])
    later = kinds([moody.decide(101.0, 1).outcome for _ in range(5)])

    assert at_once == {"answer": 2, "ThrottlingException": 3}
    assert later == {"answer": 1, "ThrottlingException": 4}


def test_tokens_are_reserved_and_what_is_not_used_comes_back() -> None:
    moody = temper(throttle=Throttle(tokens_per_minute=1_000))
    first = moody.decide(100.0, 900)

    refused = moody.decide(100.0, 900).outcome
    moody.settle(first, used_tokens=50)
    granted = moody.decide(100.0, 900).outcome

    assert isinstance(refused, Fail)
    assert refused.message is not None
    assert refused.message.startswith("Too many tokens")
    assert granted == Answer()


def test_an_outage_has_a_beginning_and_an_end() -> None:
    moody = temper(phases=(outage(10, 20),), latency=Constant(1.0))

    seen = [moody.decide(100.0 + at, 1).outcome for at in (0, 9.9, 10, 19.9, 20)]

    assert [isinstance(outcome, Fail) for outcome in seen] == [False, False, True, True, False]


def test_a_phase_can_be_slow_without_failing() -> None:
    moody = temper(phases=(Phase(from_s=5, latency=Constant(9.0)),), latency=Constant(1.0))

    assert [moody.decide(100.0 + at, 1).latency_s for at in (0, 5, 500)] == [1.0, 9.0, 9.0]


def test_a_script_is_played_first_and_once() -> None:
    moody = temper(script=(UNAVAILABLE, Answer(latency=Constant(3.0))), phases=(outage(0, 1),))

    decisions = [moody.decide(100.0, 1) for _ in range(3)]

    assert decisions[0].outcome == UNAVAILABLE
    assert decisions[1].latency_s == 3.0
    assert decisions[2].outcome == UNAVAILABLE


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Chance(1.2, Hang()), "rate must be in"),
        (lambda: Mood(chances=(Chance(0.6, Hang()), Chance(0.6, Reset()))), "must not exceed 1"),
        (lambda: Phase(from_s=5, until_s=5), "must come after"),
        (lambda: Throttle(requests_per_minute=0), "must be above 0"),
        (lambda: LogNormal(2.0, 1.0), "median_s <= p99_s"),
        (lambda: Constant(-1.0), "must not be negative"),
        (lambda: Mood(output_tokens=0), "at least 1"),
        (lambda: Mood(first_token_share=2.0), "first_token_share"),
        (lambda: Fail("NoSuchException"), "is not known: give its HTTP status"),
    ],
)
def test_a_mood_that_makes_no_sense_is_refused(build: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build()
