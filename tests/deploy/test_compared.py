"""The 25 defects that somebody seeded to compare linters (issue 6), each with what catches it.

No tool that was tried sees the half of them. Here each has a test that plants it, and the case of
that test.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.deploy import test_gates
from tests.deploy.alarms import test_alarm_lab, test_dashboard
from tests.deploy.defects import Defect
from tests.deploy.statemachine import test_statemachine_gates

Test = Callable[..., None]
_GATES: Final = test_gates.test_a_seeded_defect_is_caught
_BOARD: Final = test_dashboard.test_a_seeded_defect_is_seen
_REFUSED: Final = test_alarm_lab.test_what_cloudwatch_would_refuse_is_refused
_NEVER: Final = test_alarm_lab.test_an_alarm_that_never_fires_is_noticed
_MACHINE: Final = test_statemachine_gates.test_a_seeded_defect_is_caught
COMPARED: Final[dict[str, tuple[Test, str]]] = {
    "a typo in a property": (_GATES, "a typo in a property"),
    "a bad Ref": (_GATES, "a Ref to nothing"),
    "a bad GetAtt": (_GATES, "an attribute that is none"),
    "a cycle": (_GATES, "a circle of references"),
    "a visibility above 43,200 s": (_GATES, "a visibility that SQS refuses"),
    "a delay above 900 s": (_GATES, "a delay that SQS refuses"),
    "an attribute that no key uses": (_GATES, "an attribute of no key"),
    "a size that Fargate has not": (_GATES, "a size that Fargate has not"),
    "an alarm's period of 45 s": (_GATES, "a period of 45 s"),
    "a typo in an action of IAM": (_GATES, "an action that is none"),
    "a log kept for 31 days": (_GATES, "a retention that logs have not"),
    "a StopTimeout of 300 s": (_GATES, "a stop that Fargate refuses"),
    "a launch type and a capacity provider": (_GATES, "two ways to launch"),
    'Resource "*" for Bedrock': (_GATES, "every model"),
    "no execution role": (_GATES, "nobody to pull the image"),
    "more tasks at least than at most": (_GATES, "more at least than at most"),
    "more datapoints than periods": (_GATES, "more points than periods"),
    "wrong syntax of metric math": (_REFUSED, "expected ')'"),
    "an id that no metric has": (_REFUSED, "no metric has the id call"),
    "wrong syntax of a composite's rule": (_REFUSED, "the rule ends"),
    "a dashboard that is no JSON": (_BOARD, "a body that is no JSON"),
    "a kind of widget that is none": (_BOARD, "a kind of widget that is none"),
    "a state machine's Next to nothing": (_MACHINE, "a Next to nothing"),
    "an alarm that never fires": (_NEVER, "UpstreamUnserved"),
    "a topic under alias/aws/sns": (_GATES, "a topic that CloudWatch cannot publish to"),
}


def cases(test: Test) -> Iterator[str]:
    """What names the cases of a test: its ids, and whatever is a text, or a defect's name."""
    marks: list[pytest.Mark] = test.pytestmark  # type: ignore[attr-defined]
    for mark in marks:
        assert mark.name == "parametrize"  # nothing skips it
        rows = mark.args[1]
        yield from mark.kwargs["ids"] if isinstance(mark.kwargs.get("ids"), list) else ()
        for row in rows:
            values: tuple[Any, ...] = row if isinstance(row, tuple) else (row,)
            for value in values:
                if isinstance(value, str):
                    yield value
                elif isinstance(value, Defect):
                    yield value.name


def test_each_defect_that_linters_were_compared_by_is_planted_and_caught() -> None:
    assert len(COMPARED) == 25
    assert len(set(COMPARED.values())) == 25
    assert {name: case for name, (test, case) in COMPARED.items() if case not in cases(test)} == {}
