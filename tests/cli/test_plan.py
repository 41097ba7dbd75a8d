"""What CloudWatch will ask, said before it does."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.cli.app import app
from worker.cli.plan import MONTH_S, idle_bytes
from worker.core.bill import series
from worker.core.measures import Names
from worker.core.metric import Profile
from worker.core.metrics import CATALOGUE
from worker.settings import load
from worker.wiring_names import names_of

QUEUE = "https://sqs.eu-central-1.amazonaws.com/111122223333/chat-jobs"
SMALLEST = {"WORKER_QUEUE__URL": QUEUE, "WORKER_MODEL__ID": "eu.amazon.nova-lite-v1:0"}


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str, **settings: str) -> int:
    for name, value in {**SMALLEST, **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as left:
        app(["plan", *arguments])
    return int(left.value.code or 0)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert asked(monkeypatch, "--json", "--alarms", "35") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_both_profiles_are_priced_by_the_series_that_these_settings_come_to(
    told: dict[str, Any],
) -> None:
    core, full = told["profiles"]["core"], told["profiles"]["full"]

    assert told["profile"] == "full"
    assert core["series"] == 23
    assert core["usd"] == 3.90  # 13 beyond the 10 that are free
    assert full["series"] == sum(full["by_metric"].values())
    assert full["usd"] == pytest.approx((full["series"] - 10) * 0.30)
    assert told["alarms"] == {"metrics": 35, "usd": 2.5}
    assert full["log_usd"] == pytest.approx(full["log_bytes"] / 1e9 * 0.50, abs=0.005)
    assert told["prices"]["source"].startswith("https://aws.amazon.com/")


def test_a_change_of_more_than_five_series_is_seen(told: dict[str, Any]) -> None:
    """Each costs 0.30 USD a month, everywhere: raise this number knowingly."""
    assert told["profiles"]["full"]["series"] == 147


def test_what_is_counted_is_named(told: dict[str, Any]) -> None:
    assert told["names"]["breakers"] == ["default", "endpoint:default"]
    assert set(told["profiles"]["full"]["by_metric"]) <= set(CATALOGUE)


def test_people_get_a_table_that_says_what_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch, WORKER_METRICS__PROFILE="core") == 0

    out = capsys.readouterr().out
    assert "1 route, 1 target, 2 breakers, 0 handlers, 1 bucket" in out
    assert next(line for line in out.splitlines() if "in force" in line).startswith("core")
    assert "paid for by the\nhour in which it was written, so this is the most" in out
    assert all(len(line) <= 100 for line in out.splitlines())


def test_settings_that_are_wrong_have_no_price(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch, WORKER_METRICS__PROFILE="most") == 1

    assert "WORKER_METRICS__PROFILE" in capsys.readouterr().out


EVERYTHING = """
[payloads]
bucket = "chat-payloads"
[breaker]
shared = false
[targets.near]
id = "eu.amazon.nova-lite-v1:0"
region = "eu-west-1"
[targets.far]
id = "us.amazon.nova-lite-v1:0"
region = "us-east-1"
bucket = "shared"
[targets.cheap]
id = "eu.amazon.nova-micro-v1:0"
region = "eu-west-3"
[degraded.before]
kind = "cache"
[degraded.short]
kind = "summary"
target = "cheap"
[routes.chat]
targets = ["near", "far"]
degraded = ["before", "short"]
on_open = "degrade"
"""


def test_every_name_of_the_settings_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    file.write_text(EVERYTHING, encoding="utf-8")

    names = names_of(load({"WORKER_QUEUE__URL": QUEUE, "WORKER_PROTECTION": "off"}, file))

    assert names == Names(
        routes=frozenset({"chat"}),
        targets=frozenset({"near", "far", "cheap"}),
        breakers=frozenset({"near", "far", "endpoint:eu-west-1", "endpoint:us-east-1"}),
        handlers=frozenset({"before", "short"}),
        buckets=frozenset({"near", "shared", "cheap"}),
        stores=frozenset({"ledger", "queue", "cache", "payloads"}),
    )
    assert sum(series(names, Profile.CORE).values()) == 26


def test_who_only_waits_writes_more_the_more_often_it_is_asked() -> None:
    often = load({**SMALLEST, "WORKER_METRICS__FLUSH_S": "1"})
    seldom = load({**SMALLEST, "WORKER_METRICS__FLUSH_S": "60"})

    sizes = [idle_bytes(one, names_of(one), Profile.FULL) for one in (often, seldom)]

    assert sizes[0] == pytest.approx(60 * sizes[1])
    assert sizes[1] / MONTH_S * 60 > 1000, "a flush has its heartbeat and its gauges"
