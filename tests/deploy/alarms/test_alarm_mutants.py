"""Alarms with one thing wrong: a strip must notice, as an incident would too late."""

from typing import Final

from tests.deploy.alarms.alarm_lab import (
    Standing,
    every,
    of_strip,
    read_alarms,
    short,
    states_of,
    wrong_in_strip,
    wrong_in_telling,
)
from tests.deploy.alarms.alarm_mutants import Mutant, mutants
from tests.deploy.alarms.strips import STRIPS
from tests.deploy.template import ROOT, read
from worker.alarms.alarm import Alarm
from worker.alarms.references import TemplateError

TEMPLATE: Final = read("template.json")
STANDING: Final = Standing(read_alarms(TEMPLATE))
KILLED_AT_LEAST: Final = 0.95
_WHERE_THERE_ARE_SOME: Final = (
    "It is counted where there is one alone, so each statistic of it is above 0 when its sum is."
)
SURVIVORS: Final = {
    (alarm, f"{metric} by {statistic}"): _WHERE_THERE_ARE_SOME
    for alarm, metric in (
        ("EmfBroken", "EMFParsingErrors"),
        ("EmfBroken", "EMFValidationErrors"),
        ("ErrorsNew", "CallsMisconfigured"),
        ("FleetSilent", "Heartbeat"),
        ("Standstill", "JobsTerminal"),
        ("UnhandledErrors", "UnhandledErrors"),
    )
    for statistic in ("Minimum", "SampleCount")
}
"""Mutants that nothing notices, and why that is right."""


def noticed(mutant: Mutant) -> str:
    """What the first strip to notice it says; "" if none does."""
    try:
        made = read_alarms(mutant.template)
    except TemplateError as refused:
        return str(refused)
    of = {one.id: one for one in every(made)}[mutant.id]
    called = short(of.name)
    for one in sorted(STRIPS, key=lambda one: called not in one.rings):
        scenario = of_strip(one.name)
        states = dict(STANDING.metric(scenario))
        for composite in STANDING.of.composite:
            states[composite.name] = composite.states(states, scenario.minutes)
        if isinstance(of, Alarm):
            own = states_of(of, scenario)
        else:
            own = of.states(states, scenario.minutes)
        wrong = [*wrong_in_strip(one, of, own), *wrong_in_telling(of, states, own, one.worse)]
        if wrong:
            return f"{one.name}: {wrong[0]}"
    return ""


def test_an_alarm_with_one_thing_wrong_is_noticed() -> None:
    planted = list(mutants(TEMPLATE))

    names = {one.id: short(one.name) for one in every(STANDING.of)}
    survivors = {(names[one.id], one.what) for one in planted if not noticed(one)}
    assert survivors == SURVIVORS.keys()
    assert len(survivors) <= (1 - KILLED_AT_LEAST) * len(planted)
    assert {names[one.id] for one in planted} == set(names.values())
    page = (ROOT / "docs" / "alarm-lab.md").read_text(encoding="utf-8")
    killed = len(planted) - len(survivors)
    assert f"Of {len(planted)} such alarms {killed} are" in " ".join(page.split())
    assert f"noticed ({100 * killed / len(planted):.1f} %)" in " ".join(page.split())
