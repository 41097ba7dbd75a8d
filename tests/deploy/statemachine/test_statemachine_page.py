"""docs/stepfunctions.md: its examples are run, its prices counted, its command parsed."""

import base64
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.deploy.conftest import need_tools
from tests.deploy.statemachine.asl_orders import places
from tests.deploy.statemachine.interpreters import Ended, Item, Table, on_ministack
from tests.deploy.statemachine.test_statemachine import AT, World, open_at
from tests.deploy.template import MACHINE, ROOT, read
from worker.core.cache import cache_key
from worker.core.job import Request
from worker.core.policy import BreakerPolicy

from inference_worker_asl.machine import POLICY, deployed, machine  # isort: skip

PAGE = ROOT / "docs" / "stepfunctions.md"
PROMPT = "Why is the sky blue?"
SORRY = "We are busy. Please ask again later."
USD_PER_STATE = 25 / 1_000_000


@dataclass
class Reader(World):
    """The world of the page."""

    states: int = 0

    def entered(self) -> str:
        self.states += 1
        return super().entered()

    def _model(self, params: Item) -> Item:
        self.calls.append(params["ModelId"])
        if self.models.get(params["ModelId"]):
            return {}
        return {
            "Output": {"Message": {"Role": "assistant", "Content": [{"Text": "Because."}]}},
            "StopReason": "end_turn",
            "Usage": {"InputTokens": 8, "OutputTokens": 2},
        }


@pytest.fixture
def world() -> Iterator[Reader]:
    need_tools()
    table = Table("asl-page")
    yield Reader(table)
    table.drop()


def _run(world: Reader, given: Item) -> Ended:
    filled = places(
        world.table.name, Target="default", CacheTable="cache", JobsQueueUrl="q", Sorry=SORRY
    )
    return on_ministack(deployed(machine(), filled), given, world)


def _examples() -> list[tuple[str, str, str]]:
    found = re.findall(
        r"```json input(.*?)\n(.*?)```\s+(?:.*?)```json output\n(.*?)```",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert len(found) == 3
    return [(title.strip(), given, told) for title, given, told in found]


@pytest.mark.parametrize("number", range(3))
def test_an_example_of_the_page_is_what_comes_of_it(number: int, world: Reader) -> None:
    title, given, told = _examples()[number]
    if "out" in title:
        world.models = {"model-a": "out", "model-b": "out"}
    if "cache" in title:
        asked = Request(messages=({"role": "user", "content": [{"text": PROMPT}]},))
        content = base64.b64encode(b'[{"text":"Because, as before."}]').decode()
        entry = {"content": {"B": content}, "ttl": {"N": str(int(AT + 900))}}
        world.cache[cache_key("", asked)] = entry

    ended = _run(world, json.loads(given))

    assert ended.output == json.loads(told)


def _healthy(world: Reader) -> None:
    _run(world, {"prompt": PROMPT})
    world.states = 0
    _run(world, {"prompt": PROMPT})


def _open(world: Reader) -> None:
    world.holds(open_at(7), sk={"S": "v#default"})
    _run(world, {"prompt": PROMPT})


def _errand(world: Reader) -> None:
    _open(world)
    world.states = 0
    _run(world, world.started[0])


def _queue(world: Reader) -> None:
    world.workers = {"status": "ok", "output": {}}
    _run(world, {"prompt": PROMPT, "through": "queue"})


COUNTED: tuple[tuple[str, Callable[[Reader], None]], ...] = (
    ("answered by the first target", _healthy),
    ("its circuit is open: answered by the second one", _open),
    ("an errand: rest, probe, report, conclude", _errand),
    ("through the queue", _queue),
)


def test_the_page_tells_what_an_execution_costs(world: Reader) -> None:
    rows = []
    for name, story in COUNTED:
        world.states = 0
        world.started.clear()
        story(world)
        rows.append(f"| {name} | {world.states} | {1000 * USD_PER_STATE * world.states:.2f} |")

    _, table, _ = PAGE.read_text(encoding="utf-8").split("transitions -->")
    told = [line for line in table.splitlines() if line.startswith("| ")][2:]

    assert told == rows


def test_the_command_of_the_page_fits_the_template() -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    words = shlex.split(block.replace("\\\n", " ").replace("<BucketForTemplates>", "bucket"))
    given = dict(one.split("=", 1) for one in words[words.index("--parameter-overrides") + 1 :])
    parameters = read(MACHINE)["Parameters"]

    assert words[words.index("--template-file") + 1] == f"deploy/{MACHINE}"
    assert set(given) <= set(parameters)
    needed = {name for name, one in parameters.items() if "Default" not in one}
    assert needed <= set(given)
    page = PAGE.read_text(encoding="utf-8")
    assert {name for name in parameters if f"`{name}`" not in page} == set()


@pytest.mark.parametrize(
    "knob", [{"slow_rate": 0.5}, {"window_calls": 99}, {"window_s": 20}, {"forgive_s": 0.5 + 1}]
)
def test_a_policy_that_it_cannot_follow_is_refused(knob: Item) -> None:
    assert isinstance(POLICY, BreakerPolicy)
    with pytest.raises(ValueError, match=next(iter(knob))):
        machine(POLICY.changed(knob))
