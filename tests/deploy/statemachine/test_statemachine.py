"""What one execution does: whom it asks, what it answers, and what it leaves to others."""

import base64
import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.deploy.conftest import need_tools
from tests.deploy.statemachine.asl_orders import INTERPRETERS, places
from tests.deploy.statemachine.interpreters import Ended, Failed, Item, Table, on_ministack
from worker.aws.breakers_item import read_verdict, seat_item, verdict_item
from worker.core.cache import cache_key
from worker.core.fault import REACTIONS, Kind, Vote
from worker.core.job import Request
from worker.core.jury import Seat
from worker.core.verdict import Mode, Override, State, Verdict

from inference_worker_asl import calls, elsewhere  # isort: skip
from inference_worker_asl.machine import deployed, machine  # isort: skip

AT = 1_790_000_000.0
Run = Callable[[Item], Ended]


def _said(content: list[Item], stop: str = "end_turn") -> Item:
    return {
        "Output": {"Message": {"Role": "assistant", "Content": content}},
        "StopReason": stop,
        "Usage": {"InputTokens": 4, "OutputTokens": 2},
    }


@dataclass
class World:
    """Models by what they answer, one table, and a cache."""

    table: Table
    now: float = AT
    # By id: the error of each call, or the answer.
    models: dict[str, str | Item] = field(default_factory=dict)
    cache: Item = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    started: list[Item] = field(default_factory=list)
    sent: list[Item] = field(default_factory=list)
    store: str = ""  # the error of every call to the table
    workers: Any = None  # what they say to a job

    def ask(self, resource: str, params: Any) -> Any:
        if resource.endswith("converse"):
            return self._model(params)
        if resource.startswith("states:startExecution"):
            given = params.get("Input") or params.get("input")
            self.started.append(json.loads(given) if isinstance(given, str) else given)
            return {}
        if resource.startswith("sqs"):
            self.sent.append(params)
            if isinstance(self.workers, Failed):
                raise self.workers
            return self.workers
        if params.get("TableName") == "cache":
            found = self.cache.get(params["Key"]["key"]["S"])
            return {"Item": found} if found else {}
        if self.store:
            raise Failed(self.store)
        return self.table(resource.rpartition(":")[2], params)

    def _model(self, params: Any) -> Any:
        self.calls.append(params["ModelId"])
        assert params["Messages"] == [{"Role": "user", "Content": [{"Text": 'Say "hi".'}]}]
        said = self.models.get(params["ModelId"]) or _said([{"Text": "Hi."}])
        if isinstance(said, str):
            raise Failed(said)
        return said

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def entered(self) -> str:
        self.now += 0.001
        moment = dt.datetime.fromtimestamp(self.now, dt.UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # --- what is there

    def verdict(self, name: str = "a") -> Verdict:
        item = self.table.item("svc#verdicts", f"v#{name}")
        return read_verdict(item) if item else Verdict(name=name)

    def holds(self, verdict: Verdict, **more: Any) -> None:
        self.table.put(verdict_item("svc", verdict) | more)

    def window(self) -> Item:
        found = self.table.item("svc#machines", "w#a")
        return {name: int(value["N"]) for name, value in found.items() if "N" in value}


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Any:
    need_tools()
    del request
    table = Table("asl-test")  # always the same, for moto takes a second to parse a definition
    yield World(table)
    table.drop()


@pytest.fixture(params=list(INTERPRETERS))
def run(request: pytest.FixtureRequest, world: World) -> Run:
    filled = places(world.table.name, CacheTable="cache", JobsQueueUrl="https://queue")
    definition = deployed(machine(), filled)
    sorry = deployed(machine(), filled | {"Sorry": "We call you back."})

    def one(given: Item) -> Ended:
        chosen = sorry if given.pop("sorry", False) else definition
        return INTERPRETERS[request.param](chosen, {"prompt": 'Say "hi".', **given}, world)

    return one


def open_at(stage: int) -> Verdict:
    return Verdict(
        name="a", state=State.OPEN, share=0.0, version=4, stage=stage, epoch=1, nonce="n",
        cooldown_s=2.137,
    )  # fmt: skip


# --- the way of a job ----------------------------------------------------------------


def test_a_job_is_answered_by_the_first_target_and_counted(world: World, run: Run) -> None:
    ended = run({})

    assert ended.output == {
        "status": "ok",
        "text": "Hi.",
        "stop_reason": "end_turn",
        "usage": {"InputTokens": 4, "OutputTokens": 2},
        "served_by": "a",
    }
    assert (world.window()["c0"], world.window()["f0"], world.window()["w_good"]) == (1, 0, 1)
    assert world.verdict().version == 0, "health writes no verdict"


def test_a_failing_target_is_tried_again_with_growing_pauses_then_another_one(
    world: World, run: Run
) -> None:
    world.models["model-a"] = "BedrockRuntime.InternalServerException"

    ended = run({})

    assert ended.output["served_by"] == "b"
    assert world.calls == ["model-a"] * 3 + ["model-b"]
    assert all(1 <= wait <= most for wait, most in zip(world.waits, calls.BACKOFFS, strict=True))
    assert min(calls.BACKOFFS) > 2, "AWS never draws the end: of 1 and 2 it would always be 1"
    assert world.window()["f0"] == 3, "each call is told of"


def test_an_empty_success_is_a_failure(world: World, run: Run) -> None:
    world.models["model-a"] = {"Output": {"Message": {"Role": "assistant", "Content": []}}}

    ended = run({})

    assert ended.output["served_by"] == "b"
    assert world.window()["f0"] == 3


def test_a_model_that_thinks_aloud_before_its_answer_is_well(world: World, run: Run) -> None:
    thought = {"ReasoningContent": {"ReasoningText": {"Text": "They greet."}}}
    world.models["model-a"] = _said([thought, {"Text": "Hi."}])

    ended = run({})

    assert (ended.output["text"], ended.output["served_by"]) == ("Hi.", "a")
    assert (world.window()["f0"], world.window()["w_good"]) == (0, 1)


@pytest.mark.parametrize("content", [[], [{"Text": "I must not say."}]])
@pytest.mark.parametrize("stop", ["content_filtered", "guardrail_intervened"])
def test_a_filter_in_the_place_of_an_answer_says_nothing_against_the_target(
    world: World, run: Run, stop: str, content: list[Item]
) -> None:
    world.models["model-a"] = _said(content, stop)

    ended = run({})

    assert ended.output == {
        "status": "blocked",
        "stop_reason": stop,
        "usage": {"InputTokens": 4, "OutputTokens": 2},
        "served_by": "a",
    }
    assert (world.window()["f0"], world.window()["w_good"]) == (0, 1)


@pytest.mark.parametrize(
    ("content", "stop", "counted"),
    [
        ([], "max_tokens", 1),
        ([{"Text": "{"}], "malformed_model_output", 1),
        ([{"Text": "I"}], "model_context_window_exceeded", 0),
    ],
)
def test_what_is_no_use_to_the_user_goes_elsewhere_and_counts_as_for_a_worker(
    world: World, run: Run, content: list[Item], stop: str, counted: int
) -> None:
    world.models["model-a"] = _said(content, stop)

    ended = run({})

    assert ended.output["served_by"] == "b"
    assert world.calls == ["model-a", "model-b"]
    assert world.window().get("w_good", 0) == counted
    assert world.window().get("f0", 0) == 0


def test_every_reason_to_stop_that_workers_know_as_a_fault_has_its_way() -> None:
    from worker.aws.bedrock_answers import BY_STOP_REASON  # noqa: PLC0415

    assert {
        stop: Kind.TOO_LONG if stop == calls.TOO_LONG else Kind.POOR
        for stop in BY_STOP_REASON
        if stop == calls.TOO_LONG or stop.startswith("malformed_")
    } == BY_STOP_REASON


def test_a_filter_ends_a_probe_well(world: World, run: Run) -> None:
    world.holds(open_at(7))
    run({})
    world.models["model-a"] = _said([], "content_filtered")

    run(world.started[0])

    assert world.verdict().state is State.RAMP


@pytest.mark.parametrize("error", ["ThrottlingException", "ValidationException"])
def test_what_says_nothing_against_a_target_is_not_counted(
    world: World, run: Run, error: str
) -> None:
    world.models["model-a"] = f"BedrockRuntime.{error}"

    ended = run({})

    assert ended.output["served_by"] == "b"
    assert world.window() == {}
    again = len([one for one in world.calls if one == "model-a"])
    assert again == (3 if error == "ThrottlingException" else 1)


def test_errors_that_say_nothing_are_those_of_the_workers_table() -> None:
    from worker.aws.faults import BY_CODE, BY_OTHER_CODE  # noqa: PLC0415

    kinds = {**BY_CODE, **BY_OTHER_CODE}
    silent = {
        code
        for code, kind in kinds.items()
        if REACTIONS[kind].vote not in (Vote.FAIL, Vote.FAIL_ENDPOINT)
    }

    def counted(code: str) -> bool:
        return not any(part in code for part in (*calls.PACED, *calls.SILENT))

    assert {code for code in kinds if not counted(code)} == silent


def test_a_right_that_step_functions_itself_misses_is_not_counted(world: World, run: Run) -> None:
    world.models["model-a"] = "States.Permissions"

    ended = run({})

    assert (ended.output["served_by"], world.window()) == ("b", {})


def test_without_a_model_the_workers_cache_answers(world: World, run: Run) -> None:
    world.models = {
        "model-a": "BedrockRuntime.InternalServerException",
        "model-b": "BedrockRuntime.ServiceUnavailableException",
    }
    asked = Request(messages=({"role": "user", "content": [{"text": 'Say "hi".'}]},))
    content = base64.b64encode(b'[{"text":"Hi, as before."}]').decode()
    world.cache[cache_key("", asked)] = {
        "content": {"B": content},
        "ttl": {"N": str(int(AT + 900))},
    }

    ended = run({})

    assert ended.output == {"status": "degraded", "handler": "cache", "text": "Hi, as before."}


def test_an_entry_that_is_over_is_none_and_a_rule_answers(world: World, run: Run) -> None:
    world.models = {"model-a": "Oops", "model-b": "Oops"}
    asked = Request(messages=({"role": "user", "content": [{"text": 'Say "hi".'}]},))
    content = base64.b64encode(b'[{"text":"Old."}]').decode()
    world.cache[cache_key("", asked)] = {"content": {"B": content}, "ttl": {"N": str(int(AT))}}

    ended = run({"sorry": True})

    assert ended.output == {"status": "degraded", "handler": "rule", "text": "We call you back."}


def test_a_job_that_nothing_can_serve_fails_by_a_stable_name(world: World, run: Run) -> None:
    world.models = {"model-a": "Oops", "model-b": "Oops"}

    ended = run({})

    assert ended.error == "InferenceWorker.unserved"
    assert "Say" not in ended.cause


def test_through_the_queue_the_workers_decide(world: World, run: Run) -> None:
    world.holds(open_at(7))
    world.workers = {"status": "ok", "output": {"text": "Hi from a worker."}}

    ended = run({"through": "queue"})

    assert ended.output == {"status": "ok", "result": world.workers}
    (sent,) = world.sent
    body = sent["MessageBody"]
    body = json.loads(body) if isinstance(body, str) else body
    assert {key: body[key] for key in ("id", "prompt", "deadline_s")} == {
        "id": "x:ask",
        "prompt": 'Say "hi".',
        "deadline_s": elsewhere.DEADLINE_S,
    }
    assert body["task_token"]
    assert world.calls == []
    assert world.window() == {}, "who calls is who tells"


def test_a_job_that_the_workers_give_up_falls_back(world: World, run: Run) -> None:
    world.workers = Failed("InferenceWorker.expired")

    ended = run({"through": "queue", "sorry": True})

    assert ended.output["handler"] == "rule"


def test_the_largest_result_finds_no_prompt_beside_it() -> None:
    """A state takes 256 KiB, and what is over that nobody can catch."""
    assert machine()["States"]["Hand over"]["ResultPath"] == "$"


# --- the verdict ---------------------------------------------------------------------


def test_an_open_circuit_sends_the_job_elsewhere_and_asks_somebody_to_probe(
    world: World, run: Run
) -> None:
    world.holds(open_at(7))

    ended = run({})

    assert ended.output["served_by"] == "b"
    assert world.calls == ["model-b"]
    assert world.waits == []
    assert [(one["errand"], one["wait"]) for one in world.started] == [("recover", True)]
    assert world.started[0]["plan"] == [{"breaker": "a", "model": "model-a"}]


def test_the_errand_rests_probes_reports_and_concludes(world: World, run: Run) -> None:
    world.holds(open_at(7))
    run({})

    ended = run(world.started[0])

    assert ended.output == {"status": "errand"}
    assert world.waits == [3], "2.137 s, in whole seconds"
    there = world.verdict()
    assert (there.state, there.share, there.stage, there.round) == (State.RAMP, 0.2, 9, 1)
    assert there.why == "1 of 3 probes good, 0 bad"


def test_an_errand_that_finds_a_closed_circuit_calls_nothing(world: World, run: Run) -> None:
    errand = {"errand": "recover", "wait": True, "plan": [{"breaker": "a", "model": "model-a"}]}

    ended = run(errand)

    assert (ended.output, world.calls) == ({"status": "errand"}, [])


def test_a_job_that_waits_is_its_own_probe(world: World, run: Run) -> None:
    world.holds(open_at(7))

    ended = run({"wait": True})

    assert ended.output["served_by"] == "a"
    assert world.calls == ["model-a"]
    assert world.verdict().state is State.RAMP


def test_a_round_whose_probers_died_is_ended_after_its_time(world: World, run: Run) -> None:
    world.holds(
        Verdict(
            name="a",
            state=State.HALF_OPEN,
            share=0.0,
            version=9,
            stage=8,
            epoch=1,
            round=1,
            nonce="n",
            tickets=1,
            claims=("dead",),
            outcomes=(None,),
            level=2,
        )
    )

    ended = run({"errand": "recover", "wait": True, "plan": [{"breaker": "a", "model": "model-a"}]})

    assert ended.output == {"status": "errand"}
    assert world.waits[0] == 36
    there = world.verdict()
    assert (there.state, there.level, there.round) == (State.RAMP, 2, 2), "and then it probed"


@pytest.mark.parametrize(
    ("mode", "state", "served"),
    [
        (Mode.HOLD_OPEN, State.CLOSED, "b"),
        (Mode.HOLD_CLOSED, State.OPEN, "a"),
        (Mode.OBSERVE, State.OPEN, "a"),
    ],
)
@pytest.mark.parametrize("over", [False, True])
def test_an_operators_order_is_obeyed_until_its_time_is_over(
    world: World, run: Run, mode: Mode, state: State, served: str, *, over: bool
) -> None:
    until_at = AT + (-1 if over else 60)
    given = Override(mode=mode, for_s=90.0, until_at=until_at, author="o", reason="r")
    verdict = open_at(7) if state is State.OPEN else Verdict(name="a", version=1, nonce="n")
    world.holds(
        Verdict(
            **{
                **{name: getattr(verdict, name) for name in Verdict.__dataclass_fields__},
                "override": given,
                "orders": 1,
            }
        )
    )

    ended = run({})

    without = "b" if state is State.OPEN else "a"
    assert ended.output["served_by"] == (without if over else served)
    assert world.verdict().override == given, "and is left for workers to release"


def test_a_verdict_of_a_later_schema_is_left_alone(world: World, run: Run) -> None:
    world.holds(open_at(7), schema={"N": "2"})
    before = world.table.item("svc#verdicts", "v#a")
    world.models["model-a"] = "Oops"

    for _ in range(5):
        run({})

    assert world.table.item("svc#verdicts", "v#a") == before
    assert world.calls[0] == "model-a", "to us it is absent"


def test_a_store_out_of_reach_keeps_no_job_from_its_model(world: World, run: Run) -> None:
    world.store = "DynamoDB.InternalServerError"

    ended = run({})

    assert ended.output["served_by"] == "a"


def test_the_ramp_admits_its_share(world: World) -> None:
    definition = deployed(machine(), places(world.table.name))
    random.seed(5)  # of ministack's `States.MathRandom`

    for _ in range(100):
        world.holds(Verdict(name="a", state=State.RAMP, share=0.2, version=4, stage=9, nonce="n"))
        on_ministack(definition, {"prompt": 'Say "hi".'}, world)

    assert 10 <= world.calls.count("model-a") <= 30


# --- who may open ------------------------------------------------------------------------


def _fail_until_it_is_plain(world: World, run: Run) -> None:
    world.models["model-a"] = "BedrockRuntime.InternalServerException"
    for _ in range(4):
        run({})


def test_machines_alone_open_by_their_own_window(world: World, run: Run) -> None:
    _fail_until_it_is_plain(world, run)

    there = world.verdict()
    assert (there.state, there.epoch, there.level) == (State.OPEN, 1, 0)
    assert there.why == "8 of 8 calls of state machines failed"


def test_a_seat_given_back_is_no_juror(world: World, run: Run) -> None:
    world.table.put(seat_item("svc", Seat(number=3, holder="", lot=0.5, beat=9)))

    _fail_until_it_is_plain(world, run)

    assert world.verdict().state is State.OPEN


def test_among_workers_machines_only_rest_for_themselves(world: World, run: Run) -> None:
    world.table.put(seat_item("svc", Seat(number=3, holder="w", lot=0.5, beat=9)))

    _fail_until_it_is_plain(world, run)

    assert world.verdict().version == 0
    assert [one["errand"] for one in world.started] == ["judge"]
    assert world.calls.count("model-a") == 8, "by then it is surely bad"


@pytest.mark.parametrize("alive", [False, True])
def test_a_seat_that_stands_still_is_nobodys(world: World, run: Run, *, alive: bool) -> None:
    world.table.put(seat_item("svc", Seat(number=3, holder="w", lot=0.5, beat=9)))
    _fail_until_it_is_plain(world, run)
    wait = world.wait

    def beats(seconds: float) -> None:
        wait(seconds)
        if alive:
            world.table.put(seat_item("svc", Seat(number=3, holder="w", lot=0.5, beat=10)))

    world.wait = beats  # type: ignore[method-assign]

    ended = run(world.started[0])

    assert ended.output == {"status": "errand"}
    assert world.verdict().state is (State.CLOSED if alive else State.OPEN)


# --- the window and the clock ---------------------------------------------------------


def test_the_window_slides(world: World, run: Run) -> None:
    counts = []
    for pause in (0, 0, 11, 11, 25, 300):
        world.now += pause
        run({})
        window = world.window()
        counts.append(tuple(window[name] for name in ("c0", "c1", "c2")))

    assert counts == [(1, 0, 0), (2, 0, 0), (1, 2, 0), (1, 1, 2), (1, 0, 1), (1, 0, 0)]


def test_another_stage_begins_another_window(world: World, run: Run) -> None:
    run({})
    world.holds(Verdict(name="a", version=1, stage=1, nonce="n"))

    run({})

    assert (world.window()["c0"], world.window()["w_stage"]) == (1, 1)


def test_a_call_of_an_earlier_stage_does_not_wipe_what_is_known_of_the_next_one(
    world: World, run: Run
) -> None:
    world.holds(Verdict(name="a", version=2, stage=2, nonce="n"))
    run({})
    before = world.window()
    world.holds(Verdict(name="a", version=1, stage=1, nonce="m"))  # as a late reader saw it

    run({})

    assert world.window() == before

    world.now += 31

    run({})

    assert world.window()["w_stage"] == 1, "unless nobody knows that stage any more"
