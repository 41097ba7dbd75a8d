"""The cache as a handler: what goes in, what comes out, and what nobody else sees."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.accept import Accept
from worker.core.answer import Answer, Usage
from worker.core.degrade import Context, HandlerSpec, Terms
from worker.core.events import CacheFilled, CacheRead, HandlerAsked, JobSettled, StoreFailed
from worker.core.fault import Fault, Kind
from worker.core.job import Job, PayloadRef, Request
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.settlement import DegradedAnswer, Origin
from worker.core.target import Target
from worker.degraded.cache import Cache
from worker.degraded.registry import build
from worker.ports import Unavailable
from worker.sim.clock import in_virtual_time, wall_clock
from worker.sim.memory import MemoryCache, Mishap, ScriptedModel, Told, Wire, always, answer
from worker.sim.world import LivingWorker, World, until_quiet

NO_MODEL = ScriptedModel().seen_by(Wire())
GOOD = Answer(content=({"text": "Good."},), stop_reason="end_turn", usage=Usage())
TARGET = Target(name="a", model="eu.m", region="eu-west-1", quality=0.8)


@dataclass
class Scene:
    """A cache with a clock that the test moves."""

    told: Told = field(default_factory=Told)
    store: MemoryCache = field(default_factory=MemoryCache)
    wire: Wire = field(default_factory=Wire)
    now: float = 1_800_000_000.0
    cache: Cache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = Cache(
            "cache",
            self.store.seen_by(self.wire),
            ttl_s=60.0,
            stale_s=600.0,
            entry_bytes_max=1000,
            at=lambda: self.now,
            tell=self.told,
        )

    def learn(self, given: Answer = GOOD, **job: Any) -> None:
        one = job_of(**job)
        asyncio.run(self.cache.learn(one, request_of(one), given, TARGET))

    def ask(self, *, circuit_open: bool = False, **job: Any) -> DegradedAnswer | None:
        one = job_of(**job)
        context = Context(
            request=request_of(one), reason="x", circuit_open=circuit_open, left_s=1.0
        )
        return asyncio.run(self.cache.answer(one, context))


def job_of(text: str = "Hello.", tenant: str = "acme", **more: Any) -> Job:
    request = Request(messages=({"role": "user", "content": [{"text": text}]},))
    return Job(**{"request": request, "tenant": tenant, **more})


def request_of(job: Job) -> Request:
    plain = Request(messages=({"role": "user", "content": [{"text": "large"}]},))
    return job.request if isinstance(job.request, Request) else plain


def test_the_same_request_gets_the_answer_that_it_got_before() -> None:
    scene = Scene()
    scene.learn()

    origin = Origin(places=frozenset({"eu", "eu-west-1"}), stop_reason="end_turn")
    assert scene.ask() == DegradedAnswer(content=GOOD.content, quality=0.8, origin=origin)
    assert scene.ask(text="Hello!") is None


@pytest.mark.parametrize(
    ("age_s", "circuit_open", "found"),
    [(60, False, "fresh"), (61, False, "too_old"), (61, True, "stale"), (661, True, "too_old")],
)
def test_a_stale_answer_serves_only_while_the_circuit_is_open(
    age_s: float,
    circuit_open: bool,  # noqa: FBT001
    found: str,
) -> None:
    scene = Scene()
    scene.learn()
    scene.now += age_s

    answer = scene.ask(circuit_open=circuit_open)

    (event,) = scene.told.of(CacheRead)
    assert (event.found, event.age_s) == (found, age_s)
    assert (answer is not None) == (found in ("fresh", "stale"))


@pytest.mark.parametrize(
    "reason", ["max_tokens", "guardrail_intervened", "content_filtered", "tool_use"]
)
def test_what_is_not_good_and_whole_never_gets_in(reason: str) -> None:
    scene = Scene()

    scene.learn(replace(GOOD, stop_reason=reason))

    assert not scene.store.entries
    assert not scene.wire.calls


def test_what_is_too_large_never_gets_in() -> None:
    scene = Scene()
    ref = PayloadRef(bucket="b", key="k", sha256="0" * 64, size_bytes=2_000_000)

    scene.learn(replace(GOOD, content=({"text": "x" * 1000},)))
    scene.learn(request=ref)
    scene.ask(request=ref)

    assert not scene.wire.calls
    assert [event.outcome for event in scene.told.of(CacheFilled)] == ["too_large"]


def test_a_better_answer_keeps_its_place() -> None:
    scene = Scene()
    worse = replace(TARGET, quality=0.1)

    scene.learn()
    asyncio.run(scene.cache.learn(job_of(), request_of(job_of()), GOOD, worse))

    assert [event.outcome for event in scene.told.of(CacheFilled)] == ["written", "better_kept"]


def test_a_store_that_fails_is_told_and_keeps_no_answer_from_anybody() -> None:
    scene = Scene()
    scene.wire.plan = lambda _: Mishap(when="before")

    scene.learn()
    with pytest.raises(Unavailable):
        scene.ask()

    failed = [(event.store, event.operation) for event in scene.told.of(StoreFailed)]
    assert failed == [("cache", "put"), ("cache", "get")]


tenants = st.sampled_from(["", "a", "b", "a b", "ab", "a:b"])
questions = st.sampled_from(["", "a", "b", "ab", '"', "]"])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), tenants, questions), max_size=30))
def test_nobody_ever_gets_what_was_said_to_another_tenant(
    steps: list[tuple[bool, str, str]],
) -> None:
    scene = Scene()
    said: dict[tuple[str, str], str] = {}
    for n, (learns, tenant, text) in enumerate(steps):
        if learns:
            said[tenant, text] = f"{n} for {tenant} on {text}"
            own = replace(GOOD, content=({"text": said[tenant, text]},))
            scene.learn(own, tenant=tenant, text=text)
            continue
        answer = scene.ask(tenant=tenant, text=text)

        expected = said.get((tenant, text))
        assert (None if answer is None else answer.content[0]["text"]) == expected


# --- with a whole worker --------------------------------------------------------------

DOWN = Fault(kind=Kind.UNAVAILABLE, code="ServiceUnavailableException", http=503)
ROUTE = Route(
    name="default",
    targets=(Target(name="a", model="m", quality=0.8),),
    degraded=("cache",),
    on_open="degrade",
    retry=RetryPolicy(attempts=1),
)
TERMS = Terms(quality=1.0, loses=("freshness",), limit_s=2.0)


def calm_then_down(
    *, wire: Wire | None = None, calm: Answer | None = None, terms: Terms = TERMS
) -> tuple[World, LivingWorker]:
    """Three jobs of two tenants while all is well, and the same again in an outage."""
    world = World(routes={"default": ROUTE})
    world.model.mood = always(calm or answer("What was said."), 0.1)
    spec = HandlerSpec(name="cache", kind="cache", terms=terms)
    store = MemoryCache().seen_by(wire)

    async def main() -> LivingWorker:
        told = Told()
        made = build([spec], given={}, store=store, at=wall_clock, tell=told, model=NO_MODEL)
        worker = LivingWorker(world, "w1", told=told, house={"handlers": made})
        jobs = [("acme", "one"), ("acme", "two"), ("other", "one")]
        for n, (tenant, text) in enumerate(jobs):
            world.submit(id=f"calm-{n}", prompt=text, tenant=tenant)
        await until_quiet(world)
        await asyncio.sleep(5)
        world.model.mood = always(DOWN, 0.1)
        for n, (tenant, text) in enumerate([*jobs, ("other", "two")]):
            world.submit(id=f"down-{n}", prompt=text, tenant=tenant)
        await asyncio.sleep(30)
        await worker.drain()
        return worker

    return world, in_virtual_time(main())


def test_in_an_outage_a_job_gets_what_its_tenant_got_before() -> None:
    world, worker = calm_then_down()

    records = world.ledger.records
    last = {event.job: event.settlement for event in worker.told.of(JobSettled)}
    degraded = {f"down-{n}": "degraded" for n in range(3)}
    assert last == {f"calm-{n}": "answered" for n in range(3)} | degraded | {"down-3": "parked"}
    envelope = orjson.loads(records["down-0"].result or b"")
    assert envelope["output"]["message"]["content"] == [{"text": "What was said."}]
    assert envelope["quality"]["served"] == 0.8
    assert envelope["degraded"]["loses"] == ["freshness"]
    # Degraded answers teach nothing.
    assert len(worker.told.of(CacheFilled)) == 3


def test_practice_does_not_find_what_was_only_just_said() -> None:
    _, worker = calm_then_down(terms=replace(TERMS, canary_share=1.0))

    practised = [event.found for event in worker.told.of(CacheRead) if event.canary]
    assert practised
    assert set(practised) == {"none"}


def test_a_cache_out_of_reach_costs_a_job_that_step_and_no_more() -> None:
    wire = Wire(plan=lambda _: Mishap(when="before"))

    _, worker = calm_then_down(wire=wire)

    last = {event.job: event.settlement for event in worker.told.of(JobSettled)}
    assert {last[f"calm-{n}"] for n in range(3)} == {"answered"}
    assert {last[f"down-{n}"] for n in range(4)} == {"parked"}
    assert {event.outcome for event in worker.told.of(HandlerAsked)} <= {"failed", "refused"}


def test_a_cut_answer_is_not_what_others_get_later() -> None:
    cut = Answer(content=({"text": "What was"},), stop_reason="max_tokens", usage=Usage())

    _, worker = calm_then_down(calm=cut)

    last = {event.job: event.settlement for event in worker.told.of(JobSettled)}
    assert {last[f"down-{n}"] for n in range(4)} == {"parked"}


# --- to whom it is given again ---------------------------------------------------------

IN_US = Target(name="us", model="us.m", region="us-east-1", quality=0.8)
IN_EU = Target(name="eu", model="eu.m", region="eu-west-1", quality=0.8)
NOWHERE = Target(name="nowhere", model="m", quality=0.8)
EU = frozenset({"eu"})
JSON_ONLY = Accept(matches=lambda value: isinstance(value, list))


def filled_then_asked(
    target: Target,
    *,
    rules: Route,
    said: str = "What was said.",
    older: bool = False,
    **job: Any,
) -> tuple[str, list[tuple[str, str]]]:
    """Fill the cache on a route without rules; in an outage, ask for the same on another.

    Returns how the job ended, and what `handler.asked` tells of the practice-free asking.
    """
    filling = replace(ROUTE, name="filling", targets=(target,))
    asking = replace(rules, name="default", targets=(IN_EU,), on_open="degrade")
    world = World(routes={"filling": filling, "default": asking})
    world.model.mood = always(answer(said), 0.1)
    memory = MemoryCache()
    spec = HandlerSpec(name="cache", kind="cache", terms=TERMS)

    async def main() -> LivingWorker:
        told = Told()
        made = build(
            [spec], given={}, store=memory.seen_by(), at=wall_clock, tell=told, model=NO_MODEL
        )
        worker = LivingWorker(world, "w1", told=told, house={"handlers": made})
        world.submit(id="calm", prompt="Hello.", route="filling")
        await until_quiet(world)
        await asyncio.sleep(5)
        if older:
            for key, entry in memory.entries.items():
                memory.entries[key] = replace(entry, places=frozenset(), stop_reason="")
        world.model.mood = always(DOWN, 0.1)
        world.submit(id="down", prompt="Hello.", **job)
        await asyncio.sleep(5)
        await worker.drain()
        return worker

    worker = in_virtual_time(main())
    assert memory.entries, "the cache was filled"
    first = next(one for one in worker.told.of(JobSettled) if one.job == "down")
    asked = [one for one in worker.told.of(HandlerAsked) if one.job == "down"]
    return first.settlement, [(one.outcome, one.error) for one in asked[:1]]


@pytest.mark.parametrize(
    ("rules", "job"),
    [(replace(ROUTE, allow_geo=EU), {}), (ROUTE, {"allow_geo": ["eu"]})],
    ids=["of the route", "of the job"],
)
def test_an_answer_from_outside_its_borders_is_no_answer_for_a_job(
    rules: Route, job: dict[str, Any]
) -> None:
    outside = ("parked", [("outside_geo", "")])

    assert filled_then_asked(IN_US, rules=rules, **job) == outside
    assert filled_then_asked(NOWHERE, rules=rules, **job) == outside
    assert filled_then_asked(IN_EU, rules=rules, older=True, **job) == outside
    assert filled_then_asked(IN_EU, rules=rules, **job) == ("degraded", [("answered", "")])


def test_a_job_that_may_go_anywhere_may_have_what_came_from_anywhere() -> None:
    for target in (IN_US, NOWHERE):
        assert filled_then_asked(target, rules=ROUTE)[0] == "degraded"
        assert filled_then_asked(target, rules=ROUTE, allow_geo=["global"])[0] == "degraded"
    assert filled_then_asked(IN_US, rules=ROUTE, older=True)[0] == "degraded"


@pytest.mark.parametrize(
    ("accept", "said", "ended", "told"),
    [
        (JSON_ONLY, "No.", "parked", ("poor", "not_json")),
        (JSON_ONLY, "{}", "parked", ("poor", "off_schema")),
        (JSON_ONLY, "[]", "degraded", ("answered", "")),
        (Accept(chars_min=4), "No.", "parked", ("poor", "too_short")),
        (Accept(stop_reasons=frozenset({"stop_sequence"})), "No.", "parked", None),
        (Accept(stop_reasons=frozenset({"end_turn"})), "No.", "degraded", None),
    ],
)
def test_an_answer_that_the_route_would_not_take_from_its_target_it_does_not_take_from_the_cache(
    accept: Accept, said: str, ended: str, told: tuple[str, str] | None
) -> None:
    settlement, asked = filled_then_asked(IN_EU, rules=replace(ROUTE, accept=accept), said=said)

    assert settlement == ended
    if told is not None:
        assert asked == [told]


def test_an_older_entry_passes_the_rules_that_its_text_can_be_held_to() -> None:
    by_text, by_reason = JSON_ONLY, Accept(stop_reasons=frozenset({"end_turn"}))

    for accept, ended in ((by_text, "degraded"), (by_reason, "parked")):
        rules = replace(ROUTE, accept=accept)
        assert filled_then_asked(IN_EU, rules=rules, said="[]", older=True)[0] == ended
