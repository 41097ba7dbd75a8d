"""`inference-worker plan`: what CloudWatch will ask for metrics and logs, before it does."""

import time
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from worker.aws.emf import documents
from worker.cli.check import loaded
from worker.core.bill import (
    ALARMS,
    GB,
    LOGS,
    READ_ON,
    SERIES,
    SOURCE,
    idle,
    log_bytes,
    series,
)
from worker.core.measures import Names
from worker.core.metric import Profile
from worker.core.series import Metrics
from worker.settings import Settings, SettingsError
from worker.wiring_names import names_of

JOBS: Final = 1_000_000
MONTH_S: Final = 30 * 86_400


def plan(config: Path | None, *, alarms: int, as_json: bool) -> int:
    """Print the bill of both profiles; exit 1 if the settings are wrong."""
    try:
        settings = loaded(config).settings
    except SettingsError as error:
        print(error)
        return 1
    told = bill(settings, alarms=alarms)
    print(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() if as_json else _as_text(told))
    return 0


def bill(settings: Settings, *, alarms: int) -> dict[str, Any]:
    """What it comes to, as JSON has it. All prices are USD a month."""
    names = names_of(settings)
    return {
        "service": settings.service,
        "namespace": settings.metrics.namespace,
        "profile": settings.metrics.profile.value,
        "log_level": settings.log_level,
        "names": {one.name: sorted(getattr(names, one.name)) for one in fields(names)},
        "profiles": {profile.value: _profile(settings, names, profile) for profile in Profile},
        "alarms": {"metrics": alarms, "usd": _usd(ALARMS.usd(alarms))},
        "jobs": JOBS,
        "prices": {"source": SOURCE, "read_on": READ_ON, "region": "us-east-1"},
    }


def _profile(settings: Settings, names: Names, profile: Profile) -> dict[str, Any]:
    by_metric = series(names, profile)
    count, size = sum(by_metric.values()), log_bytes(profile, settings.log_level, JOBS)
    waits = idle_bytes(settings, names, profile)
    return {
        "series": count,
        "usd": _usd(SERIES.usd(count)),
        "log_bytes": size,
        "log_usd": _usd(_log_usd(size)),
        "idle_log_bytes": waits,
        "idle_log_usd": _usd(_log_usd(waits)),
        "by_metric": by_metric,
    }


def idle_bytes(settings: Settings, names: Names, profile: Profile) -> int:
    """What a worker that only waits writes in a month: a flush, written out, so many times."""
    metrics = Metrics(profile)
    for one in idle(names):
        metrics.add(one)
    lines = documents(
        metrics.take(),
        time.time(),
        namespace=settings.metrics.namespace,
        service=settings.service,
        worker="0" * 12,
    )
    flush = sum(len(line) + 1 for line in lines)
    return round(flush * MONTH_S / settings.metrics.flush_s)


def _log_usd(size: int) -> Decimal:
    return Decimal(size) / GB * LOGS.steps[0][1]


def _usd(amount: Decimal) -> float:
    return float(round(amount, 2))


def _as_text(told: Mapping[str, Any]) -> str:
    names = {kind: len(found) for kind, found in told["names"].items()}
    lines = [
        f"{told['service']} in {told['namespace']}: "
        + ", ".join(
            f"{count} {kind if count != 1 else kind[:-1]}" for kind, count in names.items()
        ),
        "",
        f"{'profile':<10}{'series':>8}{'USD a month':>14}   log per million jobs   per idle worker",
    ]
    for name, profile in told["profiles"].items():
        in_force = "   in force" if name == told["profile"] else ""
        lines.append(
            f"{name:<10}{profile['series']:>8}{profile['usd']:>14.2f}"
            f"{profile['log_bytes'] / 1e6:>11.0f} MB {profile['log_usd']:>8.2f}"
            f"{profile['idle_log_bytes'] / 1e6:>11.0f} MB {profile['idle_log_usd']:>5.2f}{in_force}"
        )
    alarms = told["alarms"]
    if alarms["metrics"]:
        lines.append(f"{'alarms':<10}{alarms['metrics']:>8}{alarms['usd']:>14.2f}")
    return "\n".join([*lines, "", _NOTES])


_NOTES: Final = f"""\
Series: one metric with one value of each dimension in a set. Counted are all that these
settings can come to: every route (and `other`, for jobs that name none of them), target,
breaker, handler, bucket and store, and every kind of fault. A series is paid for by the
hour in which it was written, so this is the most. Workers add nothing: none of them is a
dimension.
Log: lines and metrics of a million jobs, answered at once, at this log level; and what a
worker writes in a month that only waits, every `metrics.flush_s` seconds.
Prices, in USD: {SERIES.steps[0][1]} per {SERIES.per}, cheaper from 10,000 on;
{ALARMS.steps[0][1]} per {ALARMS.per};
{LOGS.steps[0][1]} per {LOGS.per}. The account's first {SERIES.free} series, {ALARMS.free} alarmed
metrics and {LOGS.free} GB are free; the first two are taken off above.
{SOURCE}, us-east-1, as of {READ_ON}."""
