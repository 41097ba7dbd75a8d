"""The machine's moves are those of the core, on two interpreters; and bugs in it are found."""

import copy

import pytest

from tests.deploy.conftest import need_tools
from tests.deploy.statemachine import asl_orders, mixed_fleet
from tests.deploy.statemachine.mixed_fleet import Story
from tests.deploy.statemachine.planted_asl import BROKEN_FOR_MACHINES, BUGS, Bug
from tests.deploy.statemachine.verdict_watch import Broken
from worker.core.verdict import State
from worker.sim.service import Phase

from inference_worker_asl.machine import machine  # isort: skip

REACHED = (
    "Trip: closed to open",
    "BeginRound: open to half_open",
    "ClaimTicket: half_open to half_open",
    "Report: half_open to half_open",
    "Conclude: half_open to open",
    "Conclude: half_open to ramp",
    "StepUp: ramp to ramp",
    "StepUp: ramp to closed",
    "StepDown: ramp to ramp",
    "StepDown: ramp to open",
    "somebody was faster",
    "history told it",
    "an unknown attribute was kept",
    *(f"{order} did not hold" for order in ("Trip", "BeginRound", "ClaimTicket", "Report")),
    *(f"{order} did not hold" for order in ("Conclude", "StepUp", "StepDown")),
)


@pytest.mark.parametrize(("interpreter", "sequences"), [("ministack", 150), ("moto", 15)])
def test_the_machine_makes_of_a_verdict_what_the_core_makes(
    interpreter: str, sequences: int
) -> None:
    need_tools()

    seen = asl_orders.check(interpreter, sequences, seed=4)

    if interpreter == "ministack":
        assert {what for what in REACHED if not seen[what]} == set()
    assert seen["history told it"] > sequences


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    if bug.story is None:
        with pytest.raises(asl_orders.Disagreement, match=bug.promise):
            asl_orders.check("ministack", 300, seed=2, plant=bug.plant)
        return
    definition = copy.deepcopy(machine(bug.story.policy))
    bug.plant(definition["States"])

    def story() -> None:
        for seed in range(4):
            _keeps_its_promises(bug.story or Story(), seed, definition)

    with pytest.raises(Broken, match=bug.promise):
        story()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_mixed_fleet_keeps_the_promises(seed: int) -> None:
    fleet = _keeps_its_promises(Story(), seed)

    who = {what.partition(":")[0] for what in fleet.watch.seen}
    assert who >= {"a worker", "a machine"}
    assert fleet.watch.record.state is State.CLOSED


def test_machines_alone_open_recover_and_close() -> None:
    fleet = _keeps_its_promises(Story(workers=0, machines_per_s=4.0, lasts_s=90.0), 1)

    assert fleet.watch.seen["a machine: Trip, closed to open"] >= 1
    assert fleet.watch.seen["a machine: StepUp, ramp to closed"] >= 1
    assert fleet.watch.record.state is State.CLOSED


def test_machines_that_fail_open_nothing_among_workers() -> None:
    fleet = _keeps_its_promises(BROKEN_FOR_MACHINES, 3)

    assert fleet.watch.record.version == 0
    assert fleet.ended["ok b"] > 40, "they go elsewhere, by their own window"


def test_what_the_workers_do_not_see_the_machine_leaves_alone_by_itself() -> None:
    story = Story(idle=True, phases=(Phase(lasts_s=60.0, errors=1.0),))

    fleet = _keeps_its_promises(story, 2)

    assert fleet.watch.record.version == 0, "one voter opens nothing"
    assert fleet.service_calls <= 40, "and calls what fails no more than now and then"


def _keeps_its_promises(
    story: Story, seed: int, definition: object = None
) -> mixed_fleet.MixedFleet:
    fleet = mixed_fleet.told(story, seed, definition)  # type: ignore[arg-type]
    healthy = all(phase.errors < 0.5 for phase in story.phases)
    if healthy and fleet.watch.record.epoch:
        raise Broken("I-9: a healthy target was opened")
    return fleet
