"""What was measured, played through alarms."""

from tests.alarms.stack import template
from worker.alarms.alarm import State
from worker.alarms.replay import Notice, Span, Story, play
from worker.alarms.samples import Samples, key
from worker.alarms.template import alarms

OK, RINGS = State.OK, State.ALARM
SERVICE = [("Service", "inference-worker")]
DEAD = key("AWS/SQS", "Visible", [("QueueName", "inference-worker-dead")])


def outage(*, dead_from: int | None = None, minutes: int = 30) -> Samples:
    """From minute 10 to minute 19 every call fails."""
    samples = Samples()
    for minute in range(minutes):
        at = (1000 + minute) * 60
        samples.add(key("Lab", "Calls", SERVICE), at, [30])
        if 10 <= minute < 20:
            samples.add(key("Lab", "Errors", SERVICE), at, [30])
        if dead_from is not None:
            samples.add(DEAD, at, [float(minute >= dead_from)])
    return samples


def story(samples: Samples, **more: int) -> Story:
    return play(alarms(template()), samples, **more)


def test_an_alarm_fires_and_clears_and_tells_its_topic() -> None:
    found = story(outage())

    assert (found.start, found.minutes) == (1000, 30)
    assert found.alarms["Unserved"].spans == (Span(12, 22),)
    assert [one for one in found.notices if one.alarm == "Unserved"] == [
        Notice(12, "Unserved", RINGS, "Chat"),
        Notice(22, "Unserved", OK, "Chat"),
    ]


def test_what_was_never_measured_is_told() -> None:
    found = story(outage())

    assert found.alarms["DeadJobs"].absent == (DEAD,)
    assert [one.metric for one in found.alarms["Unserved"].absent] == ["Unserved"]
    assert not found.alarms["DeadJobs"].rings


def test_a_composite_follows_what_it_asks() -> None:
    found = story(outage(dead_from=15))

    assert found.alarms["Worse"].spans == (Span(12, 22),)
    assert found.alarms["Both"].spans == (Span(15, 22),)
    assert [one for one in found.notices if one.to == "Page"] == [Notice(15, "Both", RINGS, "Page")]


def test_a_suppressor_keeps_it_quiet() -> None:
    quiet, loud, late = (
        [one.minute for one in story(outage(dead_from=at)).notices if one.alarm == "Worse"]
        for at in (5, 29, 12)
    )

    assert (quiet, loud, late) == ([], [13], [])


def test_what_still_rings_has_no_end() -> None:
    assert story(outage(minutes=18)).alarms["Unserved"].spans == (Span(12, None),)


def test_minutes_after_the_last_line_have_no_data() -> None:
    silent = template()
    silent["Resources"]["Unserved"]["Properties"] |= {
        "ComparisonOperator": "LessThanThreshold",
        "Threshold": 1,
        "EvaluationPeriods": 3,
        "TreatMissingData": "breaching",
        "Metrics": [
            silent["Resources"]["Unserved"]["Properties"]["Metrics"][1] | {"ReturnData": True}
        ],
    }
    samples = outage()

    ended, watched = (
        play(alarms(silent), samples, after_min=after).alarms["Unserved"].spans for after in (0, 10)
    )

    assert ended == ()
    # The last three real points still lie within what CloudWatch looks at, for two minutes more.
    assert watched == (Span(34, None),)


def test_without_a_value_nothing_happens() -> None:
    found = story(Samples())

    assert (found.minutes, found.notices) == (0, ())
    assert not any(one.rings for one in found.alarms.values())
