"""The state machine is what its generator makes; it passes every gate, and gates catch defects."""

import copy
import datetime as dt
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import gates
from tests.deploy.conftest import need_tools
from tests.deploy.statemachine import asl_gates
from tests.deploy.statemachine.asl_orders import INTERPRETERS
from tests.deploy.template import MACHINE, read

from inference_worker_asl import clock, orders  # isort: skip
from inference_worker_asl.asl import lay  # isort: skip
from inference_worker_asl.machine import FILE, PLACES, machine, written  # isort: skip

States = dict[str, Any]
GATES = {one.__name__: one for one in (asl_gates.statelint, asl_gates.validator, asl_gates.ours)}
EXCEPTIONS = {
    ("AwsSolutions-SF1", "Breaker/Machine"): "Only errors are logged: all events would have "
    "the input of each state, and with it the prompt.",
    ("AwsSolutions-SF2", "Breaker/Machine"): "X-Ray is told where somebody asks for it.",
    ("AwsSolutions-IAM5[Resource::*]", "Breaker/Role/DefaultPolicy"): "The delivery of logs "
    "takes no resource.",
}


def test_the_committed_machine_is_what_the_generator_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == written(machine())


def test_the_template_is_what_the_code_makes_and_fills_every_place(synthesized: Path) -> None:
    committed = read(MACHINE)

    assert (synthesized / MACHINE).read_text(encoding="utf-8") == (
        Path(FILE.parent.parent / MACHINE).read_text(encoding="utf-8")
    )
    substitutions = committed["Resources"]["Machine"]["Properties"]["DefinitionSubstitutions"]
    assert set(substitutions) == set(PLACES)


@pytest.mark.parametrize("name", GATES)
def test_the_machine_passes(name: str, tmp_path: Path) -> None:
    assert GATES[name](machine(), tmp_path) == []


def test_the_template_passes_every_gate_of_templates(tmp_path: Path) -> None:
    template = read(MACHINE)

    assert {gate.__name__: gate(template) for gate in (gates.lint, gates.validate)} == {
        "lint": [],
        "validate": [],
    }
    assert gates.nag_machine(tmp_path) == EXCEPTIONS.keys()


SPOILS = ('Ask "us" again.', "C:\\temp", "Two\nlines")


@pytest.mark.parametrize("text", SPOILS)
def test_a_text_that_would_break_the_definition_is_refused(text: str) -> None:
    """It is JSON, and nobody says that CloudFormation escapes what it puts into it."""
    need_tools()
    from aws_cdk import Stack  # noqa: PLC0415

    from inference_worker_cdk.statemachine import InferenceStateMachine  # noqa: PLC0415

    parameters = read(MACHINE)["Parameters"]
    taken = [
        name
        for name, one in parameters.items()
        if one["Type"] == "String"
        and "AllowedValues" not in one
        and re.fullmatch(one.get("AllowedPattern", r"[\s\S]*"), text)
    ]
    assert taken == []
    with pytest.raises(ValueError, match="Sorry"):
        InferenceStateMachine(
            Stack(), "It", service="chat", target="default", model_id="m", model_arns=["arn"],
            profile_arns=[], sorry=text,
        )  # fmt: skip


def test_a_text_of_any_other_kind_is_taken() -> None:
    pattern = read(MACHINE)["Parameters"]["Sorry"]["AllowedPattern"]

    assert re.fullmatch(pattern, "")
    assert re.fullmatch(pattern, "Désolé: l'adresse est {ici}, à 10 % près ✓.")


def test_neither_prompts_nor_traces_are_written_anywhere() -> None:
    properties = read(MACHINE)["Resources"]["Machine"]["Properties"]

    assert properties["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert properties["LoggingConfiguration"]["Level"] == "ERROR"
    assert properties["TracingConfiguration"] == {"Enabled": False}


def _put(name: str, **fields: Any) -> Callable[[States], None]:
    return lambda states: states[name].update(fields)


def _lonely(states: States) -> None:
    states["Lonely"] = {"Type": "Succeed"}


def _uncaught(states: States) -> None:
    del states["Look"]["Catch"]


def _jitter(states: States) -> None:
    states["Look"]["Retry"][1]["JitterStrategy"] = "FUL"


DEFECTS = (
    ("a Next to nothing", _put("Size", Next="Hwo"), {"statelint", "validator", "ours"}),
    ("a state that nothing leads to", _lonely, {"statelint", "validator", "ours"}),
    (
        "a service that is none",
        _put("Hand over", Resource="arn:aws:states:::sqs:sendMessge.waitForTaskToken"),
        {"ours"},
    ),
    ("a heartbeat beyond the time", _put("Hand over", HeartbeatSeconds=999), {"ours"}),
    (
        "JSONata in a machine of JSONPath",
        _put("Size", Parameters={"plan": "{% $count($states.input.plan) %}"}),
        {"ours"},
    ),
    ("a field of JSONata", _put("Look", Arguments={}), {"validator"}),
    ("a jitter that is none", _jitter, {"statelint", "ours"}),
    ("an error that nobody catches", _uncaught, {"ours"}),
    ("a misspelt field", _put("Look", TimeoutSecond=3), {"validator"}),
    ("a path that is none", _put("Resting", SecondsPath="rest.s"), {"statelint", "validator"}),
    ("a number that is a text", _put("Look", TimeoutSeconds="10"), {"statelint", "validator"}),
    (
        "braces in a text",
        _put("Size", Parameters={"plan.$": "States.StringSplit($.in.prompt, '{,')"}),
        {"ours"},
    ),
    ("no type", _put("Size", Type="Pas"), {"statelint", "validator"}),
)


@pytest.mark.parametrize(("name", "plant", "seen_by"), DEFECTS, ids=[one[0] for one in DEFECTS])
def test_a_seeded_defect_is_caught(
    name: str, plant: Callable[[States], None], seen_by: set[str], tmp_path: Path
) -> None:
    del name
    worse = copy.deepcopy(machine())
    plant(worse["States"])

    found = {gate for gate in seen_by if GATES[gate](worse, tmp_path)}

    assert found == seen_by


def test_no_sum_of_the_clock_is_too_large_for_aws() -> None:
    """`States.MathAdd` takes whole numbers from -2147483648 to 2147483647."""
    end = dt.datetime(clock.LAST + 1, 1, 1, tzinfo=dt.UTC).timestamp()

    assert end + orders.KEEP_S < 2**31


class Moment:
    """A world in which it is one moment."""

    def __init__(self, at: dt.datetime, form: str) -> None:
        self.at = at
        self.form = form

    def ask(self, resource: str, params: Any) -> Any:
        raise AssertionError((resource, params))

    def wait(self, seconds: float) -> None:
        raise AssertionError(seconds)

    def entered(self) -> str:
        return self.at.strftime(self.form)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_clock_is_right_from_its_first_day_to_its_last(interpreter: str) -> None:
    need_tools()
    states = {
        "Clock": lay("clock", clock.parts(), "Now"),
        "Now": {**lay("now", {"at.$": clock.total("$.clock")}, ""), "End": True},
    }
    del states["Now"]["Next"]
    moment = partial(dt.datetime, tzinfo=dt.UTC)
    dice = random.Random(3)  # noqa: S311 - a test's dice
    moments = [
        *(moment(year, 12, 31, 23, 59, 59) for year in (clock.FIRST, clock.LAST)),
        *(moment(year, 2, 28, 8, 9, 9) for year in (2027, 2028)),
        *(moment(year, 3, 1) for year in (2027, 2028, 2032)),
        moment(2028, 2, 29, 10, 0, 1),
        moment(clock.FIRST, 1, 1),
    ]
    moments += [
        moment(2025, 1, 1) + dt.timedelta(seconds=dice.randrange(370_000_000)) for _ in range(40)
    ]

    for at in moments:
        for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.123Z", "%Y-%m-%dT%H:%M:%S+00:00"):
            ended = INTERPRETERS[interpreter](
                {"StartAt": "Clock", "States": states}, {}, Moment(at, form)
            )
            assert ended.output["now"]["at"] == at.timestamp()
