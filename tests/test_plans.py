"""The plan linter: mistakes in routes, each planted, and each refused with what to do."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from worker.core.degrade import HandlerSpec, Terms
from worker.core.retry import RetryPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.settings import Settings, SettingsError, load
from worker.settings.plans import Plans, called, findings

PAGE: Final = Path(__file__).parents[1] / "docs" / "routes.md"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
TARGETS: dict[str, dict[str, Any]] = {
    "home": {"id": "eu.model", "region": "eu-central-1"},
    "near": {"id": "eu.model", "region": "eu-west-1"},
    "away": {"id": "us.model", "region": "us-east-1", "quality": 0.8},
    "world": {"id": "global.model", "region": "eu-west-1"},
    "bare": {"id": "model"},
    "again": {"id": "eu.model", "region": "eu-central-1", "tier": "flex"},
}


def settings(targets: str = "home", model: dict[str, Any] | None = None, **more: Any) -> Settings:
    """A route of these targets, and nothing else that could be wrong."""
    steps = [step.strip() for step in targets.split(",")]
    named = {
        name: values
        for name, values in TARGETS.items()
        if any(name in step for step in steps) or name in more.get("also", ())
    }
    tree: dict[str, Any] = {
        "queue": {"url": URL},
        "targets": {name: {**values, **(model or {})} for name, values in named.items()},
        "routes": {"default": {"targets": steps, **more.get("route", {})}},
    }
    return Settings(**tree, **more.get("rest", {}))


@pytest.mark.parametrize(
    ("planted", "wrong", "advice"),
    [
        (
            {"targets": "home, near", "route": {"deadline_s": 1.5}},
            "target `near` cannot be reached within the deadline",
            "Raise the deadline",
        ),
        (
            {"targets": "home, near", "model": {"min_useful_s": 20}, "route": {"deadline_s": 30}},
            "target `near` cannot be reached within the deadline",
            "lower `min_useful_s`",
        ),
        (
            {"route": {"deadline_s": 0.5}},
            "every job expires before its first call",
            "Raise the deadline",
        ),
        (
            {"targets": "home, near, away, world"},
            "no attempt is left for target `world`",
            "Set WORKER_RETRY__ATTEMPTS to at least 4",
        ),
        (
            {"targets": "home, near", "rest": {"retry": {"attempts": 1}}},
            "no attempt is left for target `near`",
            "Set WORKER_RETRY__ATTEMPTS to at least 2",
        ),
        (
            {"targets": "home, again"},
            "targets `home` and `again` draw on one quota",
            "another model, profile or Region",
        ),
        (
            {"targets": "home | again, near"},
            "targets `home` and `again` draw on one quota",
            "leave one out",
        ),
        (
            {"targets": "home, away", "route": {"allow_geo": ["eu"]}},
            "target `away` may process jobs outside",
            "No job would ever be sent there",
        ),
        (
            {"targets": "home, world", "route": {"allow_geo": ["eu"]}},
            "target `world` may process jobs outside",
            "Allow all its places",
        ),
        (
            {"targets": "home, bare", "route": {"allow_geo": ["eu"]}},
            "nobody knows where target `bare` processes jobs",
            "Set `region` of the target",
        ),
        (
            {"targets": "home, away", "route": {"min_quality": 0.9}},
            "target `away` is below the route's quality",
            "Lower `min_quality`",
        ),
        (
            {"route": {"on_fault": {"throttled": "next"}}},
            "after `throttled` the next target is to be tried, and there is none",
            "Add a target",
        ),
        (
            {"route": {"on_fault": {"timed_out": "degrade"}}},
            "after `timed_out` a handler is to answer, and there is none",
            "Name a handler in `degraded`",
        ),
        (
            {"route": {"on_fault": {"misconfigured": "fail"}}},
            "a wrong setting of ours is to cost the jobs",
            "such jobs wait until it is mended",
        ),
        (
            {"also": ["near"]},
            "no route names target `near`",
            "remove [targets.near]",
        ),
        (
            {"targets": "home, home"},
            "names a target twice",
            "Name each target once",
        ),
        (
            {"targets": "home:0 | near"},
            "gives target `home` the weight 0",
            "Give it a weight above 0",
        ),
        (
            {"targets": "home, nowhere"},
            "names targets that do not exist: nowhere",
            "add [targets.nowhere]",
        ),
    ],
)
def test_a_planted_mistake_is_refused_with_what_to_do(
    planted: dict[str, Any], wrong: str, advice: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**planted)

    (problem,) = refused.value.problems
    assert wrong in problem.wrong
    assert advice in problem.advice


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_tokens", 0), ("attempt_s", 0), ("quality", 1.5), ("geo", "europe")],
)
def test_a_value_that_makes_a_target_useless_is_out_of_range(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        settings(model={field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("json_schema", '{"type": "secret"}'),
        ("json_schema", '{"pattern": "(secret"}'),
        ("json_schema", '{"$ref": "https://example.com/secret.json"}'),
        ("json_schema", '{"$ref": "file:///secret.json"}'),
        ("json_schema", "secret"),
        ("json_schema", '["secret"]'),
        ("stop_reasons", "end_turn, secret"),
        ("stop_reasons", "guardrail_intervened"),
        ("chars_min", "-1"),
    ],
)
def test_a_rule_that_no_answer_could_be_judged_by_is_refused_and_not_repeated(
    field: str, value: str
) -> None:
    environ = {
        "WORKER_QUEUE__URL": URL,
        "WORKER_MODEL__ID": "m",
        "WORKER_ROUTES__DEFAULT__TARGETS": "default",
        f"WORKER_ROUTES__DEFAULT__ACCEPT__{field.upper()}": value,
    }

    with pytest.raises(SettingsError) as refused:
        load(environ)

    assert f"`WORKER_ROUTES__DEFAULT__ACCEPT__{field.upper()}` must be" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "action"), [("rejected", "next"), ("local", "park"), ("odd", "next"), ("poor", "odd")]
)
def test_only_what_a_route_may_do_about_a_fault_is_a_setting(kind: str, action: str) -> None:
    environ = {
        "WORKER_QUEUE__URL": URL,
        "WORKER_MODEL__ID": "m",
        "WORKER_ROUTES__DEFAULT__TARGETS": "default",
        f"WORKER_ROUTES__DEFAULT__ON_FAULT__{kind.upper()}": action,
    }

    with pytest.raises(SettingsError) as refused:
        load(environ)

    assert f"`WORKER_ROUTES__DEFAULT__ON_FAULT__{kind.upper()}` must be" in str(refused.value)


def test_a_schema_with_references_of_its_own_is_one() -> None:
    schema = '{"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}'

    accept = settings(route={"accept": {"json_schema": schema}}).all_routes()["default"].accept

    assert accept.matches is not None
    assert [accept.matches(value) for value in ([1, 2], ["1"])] == [True, False]


@pytest.mark.parametrize(
    "sound",
    [
        {},
        {"targets": "home, near, away", "route": {"deadline_s": 10}},
        {"targets": "home | near | away", "rest": {"retry": {"attempts": 1}}},
        {"targets": "home, near", "route": {"allow_geo": ["eu"], "min_quality": 1}},
        {"targets": "home, world", "route": {"allow_geo": ["global"]}},
        {"targets": "home, bare"},
        {"targets": "home, near", "route": {"on_fault": {"unavailable": "park"}}},
        {"targets": "home, near", "route": {"on_fault": {"throttled": "next", "poor": "fail"}}},
        {"targets": "bare", "model": {"geo": "eu"}, "route": {"allow_geo": ["eu"]}},
        {"targets": "home, away", "route": {"allow_geo": ["eu", "us"], "min_quality": 0.8}},
    ],
)
def test_a_sound_plan_has_no_findings(sound: dict[str, Any]) -> None:
    assert settings(**sound).warnings == ()


def test_the_three_lines_of_the_page_are_a_working_route(tmp_path: Path) -> None:
    three, *others = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "worker.toml"
    file.write_text(f'queue.url = "{URL}"\n{three}')

    ours = load({}, file)

    assert len(three.splitlines()) == 3
    assert others
    assert ours.warnings == ()
    assert [t.region for t in ours.all_routes()["default"].targets] == ["", "eu-west-1"]


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        settings("home, again, away", route={"allow_geo": ["eu"]}, also=["near"])

    assert len(refused.value.problems) == 3


HOME, NEAR = (Target(name=name, model=name) for name in ("home", "near"))


def test_a_handler_below_the_quality_of_its_route_is_found() -> None:
    route = Route(name="r", targets=(HOME,), degraded=("cache", "rules"), min_quality=0.5)
    handlers = {
        "cache": HandlerSpec(name="cache", kind="cache", terms=Terms(quality=0.5)),
        "rules": HandlerSpec(name="rules", kind="rules", terms=Terms(quality=0.3)),
    }
    plans = Plans(routes={"r": route}, targets={"home": HOME}, handlers=handlers)

    (finding,) = findings(plans)

    assert finding.wrong == "route `r`: handler `rules` is below the route's quality."
    assert "leave the handler out" in finding.advice


FAR = Target(name="far", model="eu.model", region="eu-central-1")


def with_summary(target: Target, usual: Target = FAR, **rules: Any) -> Plans:
    """A route to `usual` whose handler asks `target`, which no route names."""
    spec = HandlerSpec(name="short", kind="summary", terms=Terms(), target=target)
    route = Route(name="r", targets=(usual,), degraded=("short",), **rules)
    targets = {usual.name: usual, target.name: target}
    return Plans(routes={"r": route}, targets=targets, handlers={"short": spec})


def test_the_target_of_a_summary_is_not_one_that_nobody_names() -> None:
    assert not list(findings(with_summary(NEAR)))


@pytest.mark.parametrize(
    ("summary", "route"),
    [
        (FAR, FAR),  # the same model in the same Region
        (replace(FAR, max_tokens=100, tier="flex"), FAR),
        (replace(FAR, bucket="ours"), FAR),
        (FAR, replace(FAR, bucket="ours")),
    ],
)
@pytest.mark.parametrize("of_its_route", [True, False])
def test_a_summary_of_the_model_and_region_of_a_route_is_found(
    summary: Target, route: Target, *, of_its_route: bool
) -> None:
    cheap = replace(summary, name="cheap")
    plans = with_summary(cheap, route if of_its_route else Target(name="home", model="home"))
    others = {} if of_its_route else {"r2": Route(name="r2", targets=(route,))}

    (finding,) = findings(replace(plans, routes={**plans.routes, **others}))

    named = "r" if of_its_route else "r2"
    assert finding.wrong == (
        f"the degraded handler `short` asks the model of route `{named}` in the same Region."
    )
    assert ("one model and Region", "cheap, far") in finding.facts
    assert "another model, profile or Region" in finding.advice


@pytest.mark.parametrize(
    "apart", [{"model": "other"}, {"region": "eu-west-1"}, {"tier": "reserved"}]
)
def test_a_summary_of_another_model_or_region_is_fine(apart: dict[str, str]) -> None:
    assert not list(findings(with_summary(replace(FAR, name="cheap", **apart))))  # type: ignore[arg-type]


def test_a_summary_may_share_a_bucket_with_its_route_and_keeps_its_pace() -> None:
    far, cheap = replace(FAR, bucket="ours"), replace(NEAR, bucket="ours")

    assert not list(findings(with_summary(cheap, far)))


def test_a_summary_of_the_model_and_region_of_its_route_keeps_a_worker_from_starting() -> None:
    tree: dict[str, Any] = {
        "queue": {"url": URL},
        "targets": {"home": TARGETS["home"], "cheap": {**TARGETS["home"], "max_tokens": 100}},
        "degraded": {"short": {"kind": "summary", "target": "cheap"}},
        "routes": {"default": {"targets": ["home"], "degraded": ["short"], "on_open": "degrade"}},
    }

    with pytest.raises(SettingsError) as refused:
        Settings(**tree)

    assert "handler `short` asks the model of route `default`" in str(refused.value)


def test_a_summary_is_no_better_than_its_target() -> None:
    (finding,) = findings(with_summary(replace(NEAR, quality=0.4), min_quality=0.5))

    assert finding.wrong == "route `r`: handler `short` is below the route's quality."


@pytest.mark.parametrize(("region", "places"), [("us-east-1", "us-east-1"), ("", "unknown")])
def test_a_summary_of_a_target_outside_is_found(region: str, places: str) -> None:
    (finding,) = findings(with_summary(replace(NEAR, region=region), allow_geo=frozenset({"eu"})))

    assert finding.wrong == "route `r`: handler `short` may process jobs outside."
    assert ("places of `near`", places) in finding.facts
    assert "leave the handler out" in finding.advice


def test_a_summary_of_a_target_inside_is_none() -> None:
    inside = replace(NEAR, region="eu-west-1")

    assert not list(findings(with_summary(inside, allow_geo=frozenset({"eu"}))))


def test_handlers_of_the_settings_are_held_to_the_quality_of_their_route() -> None:
    rules = {"degraded": {"faq": {"kind": "rules", "file": "faq.toml"}}}

    with pytest.raises(SettingsError) as refused:
        settings(route={"degraded": ["faq"], "min_quality": 0.5}, rest=rules)

    (problem,) = refused.value.problems
    assert problem.wrong == "route `default`: handler `faq` is below the route's quality."


def test_as_much_time_is_kept_for_handlers_as_they_may_take() -> None:
    rest = {
        "degraded": {
            "before": {"kind": "cache", "limit_s": 0.5},
            "sorry": {"kind": "plugin", "limit_s": 3},
        }
    }

    route = settings(route={"degraded": ["before", "sorry"]}, rest=rest).all_routes()["default"]

    assert route.handlers_s == 3.5


def test_targets_that_name_one_bucket_draw_on_one_quota() -> None:
    targets = {t.name: Target(name=t.name, model=t.model, bucket="b") for t in (HOME, NEAR)}
    route = Route(name="r", targets=tuple(targets.values()))

    (finding,) = findings(Plans(routes={"r": route}, targets=targets, handlers={}))

    assert "draw on one quota" in finding.wrong


def test_reserved_capacity_is_a_quota_of_its_own() -> None:
    reserved = Target(name="reserved", model="home", tier="reserved")
    route = Route(name="r", targets=(reserved, HOME))

    assert not list(findings(Plans(routes={"r": route}, targets={}, handlers={})))


def test_who_is_called_is_asked_of_the_plan_itself() -> None:
    route = Route(name="r", targets=(HOME, NEAR))

    assert called(route, None) == {"home", "near"}
    assert called(route, 1.5) == {"home"}
    assert called(Route(name="r", targets=route.targets, retry=RetryPolicy(attempts=1)), None) == {
        "home"
    }
