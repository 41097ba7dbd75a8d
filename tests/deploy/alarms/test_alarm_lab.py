"""The committed template's own alarms, in incidents of real workers and beside every limit."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.deploy.alarms.alarm_lab import (
    EXPECTED,
    NAMES,
    PAGES,
    Measured,
    Standing,
    cause,
    delays,
    every,
    limits,
    of_incident,
    of_strip,
    read_alarms,
    short,
    wrong_in_incident,
    wrong_in_strip,
    wrong_in_telling,
)
from tests.deploy.alarms.strip import ASLEEP, IDLE, WELL, Minute, Strip, aws, log
from tests.deploy.alarms.strips import STRIPS
from tests.deploy.template import FILES, ROOT, Template, read
from worker.alarms.alarm import Alarm, State
from worker.alarms.composite import Composite
from worker.alarms.lines import Read, read_own
from worker.alarms.lines import read as read_lines
from worker.alarms.references import TemplateError
from worker.alarms.replay import Story, play, spans
from worker.alarms.samples import Samples

TEMPLATE = read("template.json")
STANDING = Standing(read_alarms(TEMPLATE))


def everyone(scenario: Measured) -> Iterator[tuple[Alarm | Composite, list[State]]]:
    """All alarms, with their states in a scenario."""
    states = dict(STANDING.metric(scenario))
    for one in STANDING.of.metric:
        yield one, list(states[one.name])
    for composite in STANDING.of.composite:
        states[composite.name] = composite.states(states, scenario.minutes)
        yield composite, list(states[composite.name])


def story(name: str) -> Story:
    return play(STANDING.of, of_incident(name).samples)


def told_in(name: str, topic: str) -> list[tuple[int, str, State]]:
    """What was told to a topic in an incident."""
    found = story(name)
    return [
        (one.minute, short(found.alarms[one.alarm].alarm.name), one.state)
        for one in found.notices
        if topic in one.to
    ]


@pytest.mark.parametrize("name", NAMES)
def test_in_an_incident_those_alarms_ring_that_should(name: str) -> None:
    wrong = [
        what
        for one, states in everyone(of_incident(name))
        for what in wrong_in_incident(name, one, states)
    ]

    assert wrong == []


@pytest.mark.parametrize("one", STRIPS, ids=lambda one: one.name)
def test_beside_a_limit_an_alarm_rings_to_the_minute(one: Strip) -> None:
    scenario = of_strip(one.name)
    found = list(everyone(scenario))
    states = {alarm.name: its for alarm, its in found}
    wrong = [
        what
        for alarm, its in found
        for what in (
            *wrong_in_strip(one, alarm, its),
            *wrong_in_telling(alarm, states, its, one.worse),
        )
    ]

    assert wrong == []


def test_every_alarm_rings_somewhere_and_is_quiet_elsewhere() -> None:
    alarms = {short(one.name) for one in every(STANDING.of)}

    ring = {name for rings in EXPECTED.values() for name in rings}
    beside = {name for one in STRIPS for name in one.rings}

    assert ring == beside == alarms


def test_both_templates_have_the_same_alarms() -> None:
    first, second = (read_alarms(read(name)) for name in FILES)

    assert (first.metric, first.composite) == (second.metric, second.composite)


def rows_of_the_page() -> list[str]:
    """For each alarm its limits and the slowest of all incidents; a dash for what never was."""
    late: dict[str, list[tuple[int, int | None]]] = {}
    for name in NAMES:
        for one, states in everyone(of_incident(name)):
            if expected := EXPECTED[name].get(short(one.name)):
                (rang,) = spans(states)
                late.setdefault(short(one.name), []).append(delays(name, expected, rang))
    rows = []
    for one in every(STANDING.of):
        fired, cleared = zip(*late[short(one.name)], strict=True)
        over = [n for n in cleared if n is not None]
        own = limits(one) if isinstance(one, Alarm) else ("-", "-")
        cells = (own[0], max(fired), own[1], max(over) if over else "-")
        rows.append(f"| `{short(one.name)}` | {' | '.join(str(cell) for cell in cells)} |")
    return rows


def test_the_page_says_how_soon_each_alarm_rings_and_is_over() -> None:
    page = (ROOT / "docs" / "alarm-lab.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 6]

    assert shown == rows_of_the_page()


# --- what the issue asks for -------------------------------------------------


def test_the_error_rate_rings_through_a_whole_outage_with_its_circuit_open() -> None:
    name = "an_outage_with_nothing_else"
    rings = {short(one.alarm.name): one.spans for one in story(name).alarms.values()}
    open_from, open_to = cause(name, "circuit")
    ill_from, ill_to = cause(name, "model")

    ((fired, cleared),) = ((one.fired, one.cleared) for one in rings["UpstreamUnserved"])

    assert open_from <= ill_from + 1
    assert open_to >= ill_to
    assert fired <= ill_from + 2
    assert cleared is not None
    assert cleared >= ill_to


def test_an_outage_with_a_second_best_answer_calls_nobody() -> None:
    assert told_in("an_outage_with_a_handler", "Page") == []
    assert told_in("an_outage_with_another_target", "Page") == []


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("an_outage_with_nothing_else", {"UserImpact", "DataAtRisk"}),
        ("a_right_is_taken", {"UserImpact"}),
        ("every_worker_dies", {"UserImpact"}),
        ("the_ledger_is_gone", {"UserImpact"}),
        ("jobs_that_die", {"UserImpact", "DataAtRisk"}),
        ("dead_letters", {"DataAtRisk"}),
        ("a_bug", {"DataAtRisk"}),
    ],
)
def test_one_incident_calls_once(name: str, calls: set[str]) -> None:
    rang = [alarm for _, alarm, state in told_in(name, "Page") if state is State.ALARM]

    assert sorted(rang) == sorted(calls)


def test_all_other_incidents_call_nobody() -> None:
    quiet = set(NAMES) - {name for name, rings in EXPECTED.items() if PAGES & set(rings)}

    assert [name for name in quiet if told_in(name, "Page")] == []
    assert len(quiet) == 9


@pytest.mark.parametrize(
    "name",
    ["an_outage_with_nothing_else", "an_outage_with_a_handler", "an_outage_with_another_target"],
)
def test_one_outage_is_one_notice(name: str) -> None:
    """Errors, throttles and slowness keep quiet while a circuit speaks for them."""
    told = [alarm for _, alarm, state in told_in(name, "Chat") if state is State.ALARM]

    assert "UpstreamWorse" not in told
    assert len(told) == len(set(told))
    assert told[0] == "CircuitOpen"


@pytest.mark.parametrize("name", ["throttles", "a_slow_model", "jobs_that_die"])
def test_what_opens_no_circuit_speaks_for_itself(name: str) -> None:
    told = [state for _, alarm, state in told_in(name, "Chat") if alarm == "UpstreamWorse"]

    assert told == [State.ALARM, State.OK]


@pytest.mark.parametrize("further", [0, 1, 5])
def test_how_far_cloudwatch_looks_back_decides_nothing_while_it_is_measured(further: int) -> None:
    """It does not say; where an alarm reads a metric that is always there, it need not."""
    for name in NAMES:
        scenario = of_incident(name)
        for one in STANDING.of.metric:
            points = one.points(scenario.samples, *scenario.ends)
            assert spans(one.states(points, further=further)) == spans(one.states(points)), name


# --- defects that no linter sees -------------------------------------------------


def broken(alarm: str, **more: Any) -> Template:
    """The template with other properties of one alarm."""
    made = copy.deepcopy(TEMPLATE)
    made["Resources"][f"Alarm{alarm}"]["Properties"] |= more
    return made


def with_expression(text: str) -> Template:
    """The template with another share of errors."""
    queries = copy.deepcopy(TEMPLATE["Resources"]["AlarmUpstreamUnserved"]["Properties"]["Metrics"])
    for query in queries:
        if "Expression" in query:
            query["Expression"] = text
    return broken("UpstreamUnserved", Metrics=queries)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (with_expression("IF(calls >= 20, 100 * errors / calls, 0"), "expected ')'"),
        (with_expression("IF(call >= 20, 100 * errors / call, 0)"), "no metric has the id call"),
        (with_expression("100 * errors DIV calls"), "'DIV' is not expected"),
        (with_expression("RATE(errors)"), "not evaluated here"),
        (broken("DataAtRisk", AlarmRule='ALARM("x") AND'), "the rule ends"),
        (broken("DataAtRisk", AlarmRule="ALARM(x"), "expected ')'"),
        (broken("DataAtRisk", AlarmRule={"Fn::Sub": 'ALARM("${Alarm}")'}), "Ref to Alarm"),
        (broken("DataAtRisk", AlarmRule='ALARM("DlqNotEmpty")'), "there is no alarm DlqNotEmpty"),
    ],
)
def test_what_cloudwatch_would_refuse_is_refused(template: Template, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        read_alarms(template)

    assert says in str(refused.value)


def test_the_textbook_error_rate_is_blind_while_the_circuit_is_open() -> None:
    """An alarm that fires too short, or never: no linter and no emulator sees it."""
    textbook = "IF(FILL(calls,0) >= 20, 100 * FILL(errors,0) / calls, 0)"
    (share,) = (
        one
        for one in read_alarms(with_expression(textbook)).metric
        if short(one.name) == "UpstreamUnserved"
    )
    name = "an_outage_with_a_handler"
    scenario = of_incident(name)
    states = share.states(share.points(scenario.samples, *scenario.ends))

    assert list(wrong_in_incident(name, share, states)) != []


@pytest.mark.parametrize("alarm", [short(one.name) for one in STANDING.of.metric])
def test_an_alarm_that_never_fires_is_noticed(alarm: str) -> None:
    never = {"GreaterThanThreshold": 1e9, "LessThanThreshold": -1}
    (one,) = (one for one in STANDING.of.metric if short(one.name) == alarm)
    dead = replace(one, threshold=never.get(one.comparison, 1e9))

    wrong = [
        what
        for strip in STRIPS
        if alarm in strip.rings
        for scenario in [of_strip(strip.name)]
        for what in wrong_in_strip(
            strip, dead, dead.states(dead.points(scenario.samples, *scenario.ends))
        )
    ]

    assert wrong != []


@pytest.mark.parametrize("name", NAMES)
def test_metrics_that_come_a_minute_late_make_alarms_a_minute_late(name: str) -> None:
    """In an account the newest minute often has no data yet, and FILL fills it all the same."""
    scenario = of_incident(name)
    wrong = []
    for one in STANDING.of.metric:
        (blank,) = one.points(Samples(), 0, 0)
        points = one.points(scenario.samples, *scenario.ends)
        if one.minutes > 1:
            late = one.states([blank, *points[:-1]])
        else:
            late = [one.states([*points[:n], blank])[-1] for n in range(1, scenario.minutes)]
            late.insert(0, State.OK)  # nothing has come yet
        wrong += list(wrong_in_incident(name, one, late, later=1))

    assert wrong == []


# --- a fleet with little to do, or with nothing ----------------------------------


def rings_over(minutes: list[Minute], **given: str) -> dict[str, list[tuple[int, int | None]]]:
    """What rings over such minutes, with these parameters."""
    had = Read()
    read_lines(log(minutes).splitlines(keepends=True), had)
    read_own(aws(minutes).splitlines(keepends=True), had)
    played = play(read_alarms(TEMPLATE, **given), had.samples, after_min=0)
    return {
        short(one.alarm.name): [(span.fired, span.cleared) for span in one.spans]
        for one in played.alarms.values()
        if one.rings
    }


DAY = 1440


def test_a_fleet_of_none_sleeps_for_a_day_and_calls_nobody() -> None:
    """Container Insights tells nothing of a service without tasks, nor SQS of an idle queue."""
    wakes = replace(ASLEEP, jobs=(1,), oldest=(60,))
    night = [*[WELL] * 10, *[ASLEEP] * DAY, *[wakes] * 4, *[WELL] * 10]

    assert rings_over(night, TasksMin="0") == {"WorkerScalingAsleep": [(1452, 1454)]}


def test_a_fleet_of_none_that_does_not_wake_calls_somebody() -> None:
    stuck = [replace(ASLEEP, jobs=(1,), oldest=(60 * n,)) for n in range(30)]

    rings = rings_over([*[WELL] * 10, *[ASLEEP] * 60, *stuck], TasksMin="0")

    assert rings["UserImpact"] == [(79, None)]
    assert "FleetSilent" not in rings


def test_a_dead_fleet_of_one_rings_though_nobody_counts_it() -> None:
    rings = rings_over([*[WELL] * 10, *[ASLEEP] * 10, WELL])

    assert rings == {"FleetSilent": [(12, 20)], "UserImpact": [(12, 20)]}


@pytest.mark.parametrize("least", ["0", "1", "2"])
def test_an_idle_fleet_rings_nothing_for_a_day(least: str) -> None:
    fresh = replace(IDLE, parked_age=(), letters=())

    assert rings_over([fresh] * DAY, TasksMin=least) == {}


@pytest.mark.parametrize("every", [6, 8, 10, 12, 15, 20, 60])
def test_one_job_of_a_quiet_night_that_fails_calls_nobody(every: int) -> None:
    """A job every so many minutes; one of them got its answer too late."""
    job = replace(IDLE, good=1, answered=1)
    hours = [job, *[IDLE] * (every - 1)] * (480 // every)
    hours[240] = replace(IDLE, dead=1)

    rings = rings_over(hours)

    assert not {"SloFastBurn", "SloSlowBurn", "UserImpact"} & set(rings), rings


def test_a_job_an_hour_rings_nothing_for_a_day() -> None:
    hour = [replace(IDLE, good=1, answered=1, jobs=(0, 1)), *[IDLE] * 59]

    assert rings_over(hour * 24) == {}
