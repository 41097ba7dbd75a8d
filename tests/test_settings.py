import doctest
import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from worker.core.degrade import HandlerSpec, Terms
from worker.core.retry import RetryPolicy
from worker.core.target import Target
from worker.settings import (
    Lane,
    Settings,
    SettingsError,
    fields,
    knobs,
    load,
    load_all,
    model,
    plan_knobs,
    plans,
    problem,
    schema,
    values,
)
from worker.settings.fields import nearest, rows
from worker.settings.knobs import RetrySettings
from worker.settings.plan_knobs import TargetSettings

EXAMPLE = Path(__file__).parent.parent / "worker.example.toml"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
OTHER = "https://sqs.eu-west-1.amazonaws.com/123456789012/batch-jobs"
SMALLEST = {"WORKER_QUEUE__URL": URL, "WORKER_MODEL__ID": "some.model-v1:0"}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker.toml of the developer's own is read."""
    monkeypatch.chdir(tmp_path)


def settings(**given: Any) -> Settings:
    return Settings(**{"queue": {"url": URL}, "model": {"id": "m"}, **given})


def refusal(**given: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        settings(**given)
    return str(refused.value)


def refused_load(environ: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as refused:
        load({**SMALLEST, **environ}, file)
    return str(refused.value)


def toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "some.toml"
    file.write_text(text)
    return file


# --- the smallest configuration -------------------------------------------------


def test_a_queue_and_a_model_are_enough() -> None:
    ours = load(SMALLEST)

    assert ours.warnings == ()
    assert ours.slots == 32
    assert ours.all_lanes() == (
        Lane(
            name="default",
            url=URL,
            parked_url=URL.replace("-jobs", "-parked"),
            dead_url=URL.replace("-jobs", "-dead"),
            routes=("default",),
        ),
    )
    assert ours.all_targets() == {"default": Target(name="default", model="some.model-v1:0")}
    assert ours.all_routes()["default"].targets == (ours.all_targets()["default"],)
    assert ours.ledger_table == "inference-worker-jobs"


def test_a_queue_with_another_name_gets_siblings_beside_it() -> None:
    (lane,) = settings(queue={"url": URL.replace("chat-jobs", "todo")}).all_lanes()

    assert lane.parked_url.endswith("/todo-parked")
    assert lane.dead_url.endswith("/todo-dead")


def test_siblings_can_be_named() -> None:
    (lane,) = settings(queue={"url": URL, "parked_url": OTHER}).all_lanes()

    assert (lane.parked_url, lane.dead_url) == (OTHER, URL.replace("-jobs", "-dead"))


def test_the_defaults_are_the_cores_own() -> None:
    assert TargetSettings(id="m").target("a") == Target(name="a", model="m")
    assert RetrySettings().policy() == RetryPolicy()


def test_a_short_call_cuts_the_timers_that_nobody_set() -> None:
    target = settings(model={"id": "m", "attempt_s": 5}).all_targets()["default"]

    assert (target.first_token_s, target.stall_s, target.slow_s) == (5, 5, 5)


@pytest.mark.parametrize("says", ["wait", "degrade_after", "degrade_after:", "degrade_after:-1"])
def test_another_policy_is_refused_with_those_that_are(says: str) -> None:
    told = refused_load({"WORKER_ROUTES__R__TARGETS": "default", "WORKER_ROUTES__R__ON_OPEN": says})

    assert "must be park, fail, degrade or degrade_after:<seconds>" in " ".join(told.split())


def test_without_routes_every_target_is_tried_in_order() -> None:
    ours = settings(targets={"b": {"id": "b"}, "a": {"id": "a"}})

    assert [t.name for t in ours.all_routes()["default"].targets] == ["default", "b", "a"]


def test_routes_are_built_from_targets() -> None:
    ours = settings(
        targets={"a": {"id": "a"}},
        routes={"default": {"targets": ["a", "default"]}, "slow": {"targets": ["a"]}},
        retry={"attempts": 2},
    )

    assert [t.model for t in ours.all_routes()["default"].targets] == ["a", "m"]
    assert ours.all_routes()["slow"].retry.attempts == 2
    assert ours.all_lanes()[0].routes == ("default", "slow")


@pytest.mark.parametrize(
    ("steps", "names", "groups"),
    [
        (["a", "b", "c"], ["a", "b", "c"], ((1,), (1,), (1,))),
        (["a | b", "c"], ["a", "b", "c"], ((1, 1), (1,))),
        (["c:2.5|a:0.5", "b:7"], ["c", "a", "b"], ((2.5, 0.5), (7,))),
    ],
)
def test_a_step_of_a_route_may_be_several_targets_that_share_the_work(
    steps: list[str], names: list[str], groups: tuple[tuple[float, ...], ...]
) -> None:
    targets = {name: {"id": name} for name in "abc"}

    route = settings(targets=targets, routes={"default": {"targets": steps}}).all_routes()

    assert [target.name for target in route["default"].targets] == names
    assert route["default"].groups == groups


def test_steps_are_written_in_the_environment_as_in_the_file() -> None:
    ours = load(
        {
            **SMALLEST,
            "WORKER_TARGETS__B__ID": "b",
            "WORKER_TARGETS__C__ID": "c",
            "WORKER_ROUTES__DEFAULT__TARGETS": "default:3 | b, c",
        }
    )

    assert ours.routes["default"].groups() == ((("default", 3), ("b", 1)), (("c", 1),))


def test_our_own_bucket_is_always_allowed() -> None:
    ours = settings(payloads={"bucket": "ours", "allowed_buckets": ["theirs"]})

    assert ours.limits().payload_buckets == {"ours", "theirs"}
    assert settings().limits().payload_buckets == frozenset()


def test_the_table_is_named_after_the_service() -> None:
    assert settings(service="chat").ledger_table == "chat-jobs"
    assert settings(ledger={"table": "mine"}).ledger_table == "mine"
    assert settings(service="chat").breakers_table == "chat-breakers"


def test_a_target_trips_earlier_where_every_route_has_another_one() -> None:
    ours = settings(
        targets={"b": {"id": "b"}, "c": {"id": "c"}},
        routes={
            "default": {"targets": ["default", "b"]},
            "alone": {"targets": ["b"]},
            "twice": {"targets": ["default", "c"]},
        },
    )

    rates = {name: policy.failure_rate for name, policy in ours.policies().items()}

    assert rates == {"default": 0.5, "b": 0.8, "c": 0.5}


def test_a_call_is_stuck_when_it_is_slow() -> None:
    ours = settings(model={"id": "m", "attempt_s": 20, "slow_s": 12}, breaker={"min_calls": 5})

    policy = ours.policies()["default"]

    assert (policy.stuck_s, policy.probe_s, policy.min_calls) == (12, 12, 5)
    assert settings(model={"id": "m", "attempt_s": 0.5}).policies()["default"].recent_s == 1


def test_the_longest_job_is_all_calls_and_all_waits() -> None:
    assert settings(model={"id": "m", "attempt_s": 20}).longest_job_s == 3 * 20 + 2 * 5


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        settings().slots = 3


def test_building_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_SLOTS", "7")

    assert settings().slots == 32


# --- where values come from ------------------------------------------------------


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "slots = 4\ngrace_s = 60\n[queue]\nlease_s = 30\nwait_s = 5\n")

    ours = load_all({**SMALLEST, "WORKER_SLOTS": "8", "WORKER_QUEUE__LEASE_S": "45"}, file)

    assert (ours.settings.slots, ours.settings.grace_s) == (8, 60)
    assert (ours.settings.queue.lease_s, ours.settings.queue.wait_s) == (45, 5)
    assert ours.origins["slots",] == "WORKER_SLOTS"
    assert ours.origins["queue", "wait_s"] == str(file)


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "slots = 4")

    assert load({**SMALLEST, "WORKER_CONFIG": str(file)}).slots == 4


def test_a_worker_toml_here_is_read(tmp_path: Path) -> None:
    (tmp_path / "worker.toml").write_text(f'slots = 4\nqueue.url = "{URL}"\nmodel.id = "m"\n')

    assert load({}).slots == 4


def test_an_empty_variable_is_none() -> None:
    assert load({**SMALLEST, "WORKER_PAYLOADS__BUCKET": ""}).payloads.bucket is None


def test_names_are_chosen_in_the_environment_too() -> None:
    ours = load(
        {
            **SMALLEST,
            "WORKER_TARGETS__ELSEWHERE__ID": "b",
            "WORKER_TARGETS__ELSEWHERE__QUALITY": "0.5",
            "WORKER_ROUTES__DEFAULT__TARGETS": "default, elsewhere",
            "WORKER_REPLIES__BILLING": OTHER,
            "WORKER_PAYLOADS__BUCKET": "ours",
            "WORKER_PAYLOADS__ALLOWED_BUCKETS": '["one", "two"]',
        }
    )

    assert ours.targets["elsewhere"].quality == 0.5
    assert ours.routes["default"].targets == ("default", "elsewhere")
    assert ours.replies == {"billing": OTHER}
    assert ours.payloads.allowed_buckets == ("one", "two")


def test_a_whole_table_may_be_json() -> None:
    ours = load({**SMALLEST, "WORKER_RETRY": '{"attempts": 2}', "WORKER_RETRY__CAP_S": "3"})

    assert (ours.retry.attempts, ours.retry.cap_s) == (2, 3)


def test_a_file_that_is_not_there_is_told() -> None:
    assert "there is no file /no/such.toml." in refused_load({"WORKER_CONFIG": "/no/such.toml"})


def test_a_broken_file_is_told_by_its_place_and_not_its_text(tmp_path: Path) -> None:
    told = refused_load({}, toml(tmp_path, 'slots = 4\nqueue = "secret\n'))

    assert re.search(r"no valid TOML at line 2", told)
    assert "secret" not in told


# --- names that are no setting --------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("WORKER_SLOT", "WORKER_SLOTS"),
        ("WORKER_QUEUE_URL", "WORKER_QUEUE__URL"),
        ("WORKER_QUEUE__LEASE", "WORKER_QUEUE__LEASE_S"),
        ("WORKER_TARGETS__ELSEWHERE__QUALTY", "WORKER_TARGETS__ELSEWHERE__QUALITY"),
        ("WORKER_RETRY__ATTEMPT_MAX", "WORKER_RETRY__ATTEMPTS_MAX"),
        ("worker_grace", "WORKER_GRACE_S"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(variable: str, meant: str) -> None:
    told = refused_load({variable: "3"})

    assert f"`{variable}` is not a setting." in told
    assert f"Did you mean `{meant}`?" in told


def test_a_misspelt_name_in_the_file_is_refused_too(tmp_path: Path) -> None:
    file = toml(tmp_path, "slot = 3\n[queue]\nlease = 5\n")

    told = " ".join(refused_load({}, file).split())

    assert f"`slot` in {file} is not a setting." in told
    assert f"`queue.lease` in {file} is not a setting." in told
    assert "Did you mean `queue.lease_s`?" in told


def test_a_name_like_no_other_gets_the_list() -> None:
    assert "docs/settings.md lists all settings" in refused_load({"WORKER_XYZZYQQQQQ": "1"})
    assert nearest(("xyzzyqqqqq",)) is None


def test_variables_of_others_are_their_business() -> None:
    load({**SMALLEST, "WORKERS": "3", "AWS_REGION": "x", "WORK": "y"})


# --- values ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("WORKER_QUEUE__URL", "secret", "must be the URL of a queue"),
        ("WORKER_QUEUE__URL", "https://user:secret@host/1/jobs", "must be the URL of a queue"),
        ("WORKER_QUEUE__URL", "https://host/1/jobs?secret", "must be the URL of a queue"),
        ("WORKER_QUEUE__LEASE_S", "1", "must be greater than or equal to 2"),
        ("WORKER_QUEUE__WAIT_S", "21", "must be less than or equal to 20"),
        ("WORKER_QUEUE__LINGER_S", "1.5", "must be less than or equal to 1"),
        ("WORKER_SLOTS", "secret", "must be a valid integer"),
        ("WORKER_SLOTS", "0", "must be greater than or equal to 1"),
        ("WORKER_GRACE_S", "inf", "must be a finite number"),
        ("WORKER_LOG_LEVEL", "secret", "must be 'debug', 'info', 'warning' or 'error'"),
        ("WORKER_MODEL__ID", "two words", "must be a model id"),
        ("WORKER_ROUTES__DEFAULT__TARGETS", "default:secret", "must be the name of a target, or"),
        ("WORKER_ROUTES__DEFAULT__TARGETS", "default|", "must be the name of a target, or"),
        ("WORKER_ROUTES__DEFAULT__TARGETS", "default:-1", "must be the name of a target, or"),
        ("WORKER_SERVICE", "-secret-", "must be letters and digits"),
        ("WORKER_PAYLOADS__BUCKET", "Secret!", "must be the name of a bucket"),
        ("WORKER_METRICS__NAMESPACE", "AWS/Secret", "must be a CloudWatch namespace"),
        ("WORKER_RETRY", "secret", "must be a table of settings"),
        ("WORKER_RETRY", "{secret", "must be a table of settings"),
        ("WORKER_REPLIES__A.B", URL, "must be 1 to 32 characters"),
    ],
)
def test_a_value_out_of_range_is_told_and_not_repeated(
    variable: str, value: str, says: str
) -> None:
    told = refused_load({variable: value})

    assert f"`{variable}` {says}" in told
    assert "secret" not in told.lower()


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = refused_load(
        {
            "WORKER_SLOT": "3",
            "WORKER_LOG_LEVEL": "loud",
            "WORKER_QUEUE__LEASE": "3",
            "WORKER_GRACE_S": "10",
            "WORKER_RETRY__ATTEMPTS": "9",
        }
    )

    assert told.startswith("worker cannot start:")
    for part in (
        "`WORKER_SLOT` is not a setting",
        "`WORKER_LOG_LEVEL` must be",
        "`WORKER_QUEUE__LEASE` is not a setting",
        "a long poll can outlast the grace",
        "more often in one delivery",
    ):
        assert part in told


def test_a_rule_about_a_wrong_value_is_not_told_twice() -> None:
    told = refused_load({"WORKER_QUEUE__WAIT_S": "99", "WORKER_GRACE_S": "5"})

    assert "`WORKER_QUEUE__WAIT_S` must be" in told
    assert "outlast" not in told


def test_an_empty_configuration_asks_for_the_two_things_it_needs() -> None:
    with pytest.raises(SettingsError) as refused:
        load({})

    assert "Set WORKER_QUEUE__URL" in str(refused.value)
    assert "Set WORKER_MODEL__ID" in str(refused.value)


# --- rules -----------------------------------------------------------------------

LANES = {
    "chat": {"url": URL, "routes": ["default"]},
    "batch": {"url": OTHER, "routes": ["batch"]},
}
ROUTES = {"default": {"targets": ["default"]}, "batch": {"targets": ["default"]}}
NO_QUEUE: dict[str, Any] = {"queue": {}}


def test_lanes_take_the_place_of_the_queue() -> None:
    ours = settings(**NO_QUEUE, lanes=LANES, routes=ROUTES)

    assert [(lane.name, lane.url, lane.routes) for lane in ours.all_lanes()] == [
        ("chat", URL, ("default",)),
        ("batch", OTHER, ("batch",)),
    ]
    assert ours.all_lanes()[1].parked_url.endswith("/batch-parked")


def test_lanes_may_share_a_dead_letter_queue() -> None:
    dead = URL.replace("chat-jobs", "dead")

    lanes = {name: {**lane, "dead_url": dead} for name, lane in LANES.items()}
    ours = settings(**NO_QUEUE, lanes=lanes, routes=ROUTES)

    assert {lane.dead_url for lane in ours.all_lanes()} == {dead}


@pytest.mark.parametrize(
    ("given", "wrong", "advice"),
    [
        (NO_QUEUE, "no queue is named", "Set WORKER_QUEUE__URL"),
        (
            {"lanes": LANES, "routes": ROUTES},
            "both a queue and lanes are named",
            "drop the lanes",
        ),
        ({"model": None}, "no model is named", "Set WORKER_MODEL__ID"),
        (
            {"targets": {"default": {"id": "b"}}},
            "two targets are called `default`",
            "another name",
        ),
        (
            {"routes": {"default": {"targets": ["default", "gone"]}}},
            "route `default` names targets that do not exist: gone",
            "[targets.gone]",
        ),
        (
            {"routes": {"default": {"targets": ["default", "default"]}}},
            "names a target twice",
            "Name each target once",
        ),
        (
            {
                "targets": {"b": {"id": "b"}},
                "routes": {"default": {"targets": ["default | b:0"]}},
            },
            "route `default` gives target `b` the weight 0",
            "Give it a weight above 0",
        ),
        (
            {**NO_QUEUE, "lanes": {"chat": {"url": URL, "routes": ["default", "gone"]}}},
            "lane `chat` names routes that do not exist: gone",
            "under [routes]",
        ),
        (
            {
                **NO_QUEUE,
                "lanes": {
                    "chat": {"url": URL, "routes": ["default"]},
                    "batch": {"url": OTHER, "routes": ["default"]},
                },
            },
            "route `default` is in two lanes, `chat` and `batch`",
            "Leave it in one lane",
        ),
        (
            {**NO_QUEUE, "lanes": {"chat": LANES["chat"]}, "routes": ROUTES},
            "no lane carries batch",
            "Add the route to a lane",
        ),
        (
            {"queue": {"url": URL, "parked_url": URL}},
            "one queue has two uses",
            "Give each its own queue",
        ),
        ({"replies": {"a": URL}}, "one queue has two uses", "Give each its own queue"),
        ({"queue": {"url": f"{URL}.fifo"}}, "a FIFO queue is named", "Use a standard queue"),
        ({"grace_s": 28}, "a long poll can outlast the grace", "WORKER_GRACE_S above 28 s"),
        ({"bytes_max": 10_485_759}, "no room for one receive", "at least 10485760"),
        (
            {"bytes_max": 30_485_759, "payloads": {"bucket": "our-payloads"}},
            "no room for the largest payload",
            "at least 30485760",
        ),
        (
            {"payloads": {"bucket": "our-payloads", "payload_bytes_max": 200_000_000}},
            "no room for the largest payload",
            "or lower the largest payload",
        ),
        (
            {"model": {"id": "m", "attempt_s": 20, "first_token_s": 21}},
            "`first_token_s` is longer than the call it watches",
            "raise WORKER_MODEL__ATTEMPT_S",
        ),
        (
            {"targets": {"a": {"id": "a", "attempt_s": 20, "stall_s": 21}}},
            "`stall_s` is longer than the call it watches",
            "raise WORKER_TARGETS__A__ATTEMPT_S",
        ),
        (
            {"model": {"id": "m", "attempt_s": 15_000}},
            "longer than SQS lets us hold it",
            "Lower `attempt_s`",
        ),
        (
            {"retry": {"attempts": 4, "attempts_max": 3}},
            "more often in one delivery than in its whole life",
            "at least 4",
        ),
        (
            {"routes": {"default": {"targets": ["default"], "park_base_s": 400}}},
            "`park_base_s` is longer than `park_cap_s`",
            "Raise the second",
        ),
        (
            {"routes": {"default": {"targets": ["default"], "park_max_s": 200}}},
            "`park_cap_s` is longer than `park_max_s`",
            "Raise the second",
        ),
        (
            {"breaker": {"probes": 2, "probes_good": 3}},
            "a round of probes cannot succeed",
            "Set WORKER_BREAKER__PROBES_GOOD to at most 2",
        ),
        (
            {"breaker": {"cooldown_s": 9}},
            "the first rest of an open circuit is longer than the longest",
            "probes are cheap",
        ),
        (
            {"pacing": {"quarantine_s": 7200}},
            "the first quarantine of a quota is longer than the longest",
            "Raise the second",
        ),
        (
            {"payloads": {"allowed_buckets": ["theirs"]}},
            "buckets are allowed, but claim checks are off",
            "Set WORKER_PAYLOADS__BUCKET",
        ),
        (
            {"routes": {"default": {"targets": ["default"], "deadline_s": 1}}},
            "every job expires before its first call",
            "Raise the deadline",
        ),
        (
            {
                "targets": {"b": {"id": "b"}},
                "routes": {"default": {"targets": ["default", "b"], "deadline_s": 1.5}},
            },
            "target `b` cannot be reached within the deadline",
            "or `attempt_s` of those before it",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    given: dict[str, Any], wrong: str, advice: str
) -> None:
    told = " ".join(refusal(**given).split())

    assert wrong in told
    assert advice in told


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"queue": {"url": URL, "lease_s": 2}}, "the lease is very short"),
        ({"grace_s": 111}, "the grace is longer than Fargate grants"),
        ({"ledger": {"keep_s": 3600}}, "forgotten sooner than a queue forgets"),
        ({"routes": {"chat": {"targets": ["default"]}}}, "no route is called `default`"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(given: dict[str, Any], wrong: str) -> None:
    (warning,) = settings(**given).warnings

    assert wrong in warning.wrong
    assert not warning.fatal


@pytest.mark.parametrize(
    "given",
    [
        {"grace_s": 28.1},
        {"bytes_max": 10_485_760},
        {"bytes_max": 10_485_760, "payloads": {"payload_bytes_max": 200_000_000}},
        {"bytes_max": 30_485_760, "payloads": {"bucket": "our-payloads"}},
        {"model": {"id": "m", "attempt_s": 20, "first_token_s": 20}},
        {"routes": {"default": {"targets": ["default"], "deadline_s": 1.1}}},
        {"queue": {"url": URL, "lease_s": 10}},
        {
            "targets": {"b": {"id": "b"}},
            "routes": {"default": {"targets": ["default", "b"], "deadline_s": 2}},
        },
    ],
)
def test_the_edge_of_a_rule_is_allowed(given: dict[str, Any]) -> None:
    assert settings(**given).warnings == ()


# --- documents -------------------------------------------------------------------


# --- degraded handlers ---------------------------------------------------------------

FAQ = {"kind": "rules", "file": "faq.toml"}


def degrading(route: Any = None, **handlers: Any) -> dict[str, Any]:
    names = {"degraded": list(handlers)}
    return {
        "degraded": handlers,
        "routes": {"default": {"targets": ["default"], **names, **(route or {})}},
    }


def test_a_route_names_its_handlers_in_order() -> None:
    ours = settings(**degrading({"notice": "Sorry."}, faq=FAQ, sorry={"kind": "plugin"}))

    route = ours.all_routes()["default"]
    assert (route.degraded, route.notice) == (("faq", "sorry"), "Sorry.")
    assert ours.all_handlers() == (
        HandlerSpec(
            name="faq",
            kind="rules",
            terms=Terms(quality=0.3, loses=("specificity",), canary_share=0.01),
            file="faq.toml",
        ),
        HandlerSpec(
            name="sorry", kind="plugin", terms=Terms(quality=0.5, loses=(), canary_share=0.01)
        ),
    )


def test_what_the_settings_say_of_a_handler_holds() -> None:
    said = {"quality": 0.7, "loses": ["tone"], "limit_s": 0.5, "canary_share": 0}

    (spec,) = settings(**degrading(sorry={"kind": "plugin", "use": "a.b:c", **said})).all_handlers()

    assert (spec.use, spec.terms) == ("a.b:c", Terms(quality=0.7, loses=("tone",), limit_s=0.5))


@pytest.mark.parametrize(
    ("says", "policy", "after_s"),
    [
        ("park", "park", None),
        ("fail", "fail", None),
        ("degrade", "degrade", None),
        ("degrade_after:2.5", "degrade_after", 2.5),
    ],
)
def test_a_route_says_what_becomes_of_a_job_that_nothing_admits(
    says: str, policy: str, after_s: float | None
) -> None:
    route = settings(**degrading({"on_open": says}, faq=FAQ)).all_routes()["default"]

    assert (route.on_open, route.degrade_after_s) == (policy, after_s)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (degrading({"degraded": ["faq", "x"]}, faq=FAQ), "handlers that do not exist: x"),
        (degrading({"degraded": ["faq", "faq"]}, faq=FAQ), "names a degraded handler twice"),
        (degrading({"on_open": "degrade"}), "is to degrade, and names no handler"),
        (
            degrading({"upgrade_later": True}),
            "is to upgrade degraded answers, and names no handler",
        ),
        (degrading(faq={"kind": "rules"}), "handler `faq` has no rules"),
        (degrading(short={"kind": "summary"}), "handler `short` has nobody to ask"),
        (degrading(short={"kind": "summary", "target": "x"}), "`short` has nobody to ask"),
        (
            degrading(short={"kind": "summary", "target": "default"}),
            "handler `short` asks a target of route default",
        ),
        (degrading(faq={**FAQ, "use": "a:b"}), "`faq` has settings of another kind"),
        (degrading(sorry={"kind": "plugin", "file": "x"}), "`sorry` has settings of another kind"),
    ],
)
def test_handlers_and_routes_that_do_not_fit_are_refused(given: Any, says: str) -> None:
    assert says in refusal(**given)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("USE", "not dotted", "must be package.module:name"),
        ("KIND", "magic", "must be 'rules'"),
        ("LIMIT_S", "61", "must be less than or equal to 60"),
        ("LOSES", "UPPER", "must be 1 to 32 characters of a-z _ -"),
    ],
)
def test_a_handlers_values_have_limits(name: str, value: str, says: str) -> None:
    given = {"WORKER_DEGRADED__X__KIND": "plugin", f"WORKER_DEGRADED__X__{name}": value}

    assert says in refused_load(given)


def test_a_policy_for_open_circuits_that_is_none_is_refused() -> None:
    given = {"WORKER_ROUTES__A__TARGETS": "default", "WORKER_ROUTES__A__ON_OPEN": "degrade_after"}

    assert "must be park, fail, degrade or\ndegrade_after:<seconds>" in refused_load(given)


def test_a_handler_that_no_route_names_is_a_warning_and_is_not_made() -> None:
    ours = settings(degraded={"faq": FAQ})

    assert [problem.wrong for problem in ours.warnings] == [
        "no route names the degraded handler faq."
    ]
    assert ours.all_handlers() == ()


def test_the_example_is_the_smallest_configuration() -> None:
    ours = load({}, EXAMPLE)

    assert ours.warnings == ()
    assert tomllib.loads(EXAMPLE.read_text()).keys() == {"queue", "model"}


def test_every_setting_says_what_it_means() -> None:
    assert [row.variable for row in rows() if not row.doc] == []


def test_no_two_settings_have_one_name() -> None:
    names = [row.variable for row in rows()]

    assert all(a != b for a, b in itertools.combinations(names, 2))


@pytest.mark.parametrize(
    "module", [fields, knobs, model, plan_knobs, plans, problem, schema, values]
)
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_a_cache_has_a_table_only_where_a_route_uses_it() -> None:
    unused = settings(degraded={"before": {"kind": "cache"}})
    used = settings(**degrading(before={"kind": "cache", "ttl_s": 60, "stale_s": 0}))
    named = settings(**degrading(before={"kind": "cache"}), cache={"table": "answers"})

    assert unused.cache_table is None
    assert used.cache_table == "inference-worker-cache"
    assert named.cache_table == "answers"
    (spec,) = used.all_handlers()
    assert (spec.ttl_s, spec.stale_s, spec.terms.loses) == (60, 0, ("freshness",))


def test_a_summary_has_a_target_of_its_own() -> None:
    cheap = {"cheap": {"id": "small", "max_tokens": 200}}
    ours = settings(**degrading(short={"kind": "summary", "target": "cheap"}), targets=cheap)

    (spec,) = ours.all_handlers()
    assert spec.target == ours.all_targets()["cheap"]
    assert (spec.terms.quality, spec.terms.loses) == (0.5, ("length", "detail"))
