"""No orphans: what is listed is told somewhere, and what is told is listed, exactly so.

Names are read off the lines that real workers wrote (`scenes.py`), not off the code.
"""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.aws_emf.documents import check_line
from tests.telemetry.scenes import an_outage, told, wrote
from tests.telemetry.stage import Speaking, Written, total, values_of, written
from worker.core.bill import series
from worker.core.metric import Metric, Profile
from worker.core.metrics import CATALOGUE
from worker.runtime.telemetry import EVENTS, LEVELS, ORDER

DOCS = Path(__file__).parents[2] / "docs"
BY_NAME = {event.name: event for event in EVENTS}


def emitted(wrote: Written) -> dict[str, set[tuple[str, tuple[tuple[str, ...], ...]]]]:
    """Of each metric its unit and its dimension sets, in each way that it was written."""
    found: dict[str, set[tuple[str, tuple[tuple[str, ...], ...]]]] = {}
    for document in wrote.documents:
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        sets = tuple(map(tuple, directive["Dimensions"]))
        for metric in directive["Metrics"]:
            found.setdefault(metric["Name"], set()).add((metric["Unit"], sets))
    return found


def series_in(wrote: Written) -> set[tuple[str, ...]]:
    """Every series that CloudWatch would make of it, by metric and values."""
    return {
        (name, *(document[key] for key in keys))
        for document in wrote.documents
        for directive in document["_aws"]["CloudWatchMetrics"]
        for keys in directive["Dimensions"]
        for name in values_of(document)
    }


def test_every_metric_of_the_catalogue_is_emitted_and_no_other_with_its_unit_and_its_sets() -> None:
    listed = {row.name: {(row.unit.value, row.dimensions)} for row in CATALOGUE.values()}

    assert emitted(wrote()) == listed


def test_the_page_lists_the_catalogue_and_nothing_else() -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    table = page.partition("<!-- catalogue -->")[2].partition("<!-- /catalogue -->")[0]
    found = re.findall(r"^\| `(\w+)` \| ([\w/]+) \| (.*?) \|", table, re.MULTILINE)

    assert found == [(row.name, row.unit.value, sets(row)) for row in CATALOGUE.values()]


def sets(row: Metric) -> str:
    return " ".join(f"[{', '.join(keys)}]" for keys in row.dimensions)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_no_page_speaks_of_a_metric_that_is_not_there(page: Path) -> None:
    prose = page.read_text(encoding="utf-8").partition("## What is not in here")[0]
    known = {*CATALOGUE, *(by for row in CATALOGUE.values() for by in row.by)}
    template = orjson.loads((DOCS.parent / "deploy" / "template.json").read_bytes())
    known |= {*template["Parameters"], *template["Outputs"]}
    known |= {name.removeprefix("Alarm") for name in template["Resources"]}
    looks_so = r"`((?:Jobs|Calls|Breakers?|Model|Handler|Cache|Probe|Upgrades|Store)[A-Z]\w+)`"
    found = {name for name in re.findall(looks_so, prose) if not name.endswith("Exception")}

    assert found <= known


def test_every_event_is_told_and_no_other_with_its_fields_and_its_level() -> None:
    found: dict[str, set[tuple[str, frozenset[str]]]] = {}
    for line in wrote().events:
        fields = frozenset(line) - {"at", "level", "event", "service", "worker"}
        found.setdefault(line["event"], set()).add((line["level"], fields))

    assert found == {
        name: {(LEVELS.get(event, "info"), frozenset(event.__slots__) - {"worker"})}
        for name, event in BY_NAME.items()
    }


def test_the_page_of_events_lists_them_and_nothing_else() -> None:
    page = (DOCS / "events.md").read_text(encoding="utf-8")

    found = re.findall(r"^## `(.*?)` \((\w+)\)$", page, re.MULTILINE)

    assert found == [(event.name, LEVELS.get(event, "info")) for event in EVENTS]
    assert set(dict(found).values()) <= set(ORDER)


@pytest.mark.parametrize("scene", sorted(told()))
def test_every_line_of_metrics_is_what_cloudwatch_asks_for(scene: str) -> None:
    lines = [line for one in told()[scene] for line in one.out.getvalue().splitlines()]
    documents = [check_line(line) for line in lines if b'"_aws"' in line]

    assert documents
    assert len(lines) > len(documents)


@pytest.mark.parametrize("scene", sorted(told()))
def test_the_bill_counts_every_series_that_is_written(scene: str) -> None:
    workers = told()[scene]
    counted = series(workers[0].names, Profile.FULL)

    found = series_in(written(*workers))

    for name in CATALOGUE:
        assert sum(one[0] == name for one in found) <= counted.get(name, 0), name


def test_the_core_profile_writes_its_rows_in_its_sets_and_nothing_else() -> None:
    full, core = told()["an_outage"], an_outage(Profile.CORE)
    rows = [row.within(Profile.CORE) for row in CATALOGUE.values()]
    listed = {row.name: (row.unit.value, row.dimensions) for row in rows if row is not None}

    found = emitted(written(*core))

    assert set(found) == set(listed) & set(emitted(written(*full)))
    assert {name: {listed[name]} for name in found} == found
    assert len(series_in(written(*core))) <= sum(series(core[0].names, Profile.CORE).values())
    for name in found:  # and what it says is the same
        if (("Service",)) in CATALOGUE[name].dimensions and name not in GAUGES:
            assert total(written(*core), name) == pytest.approx(total(written(*full), name))


GAUGES = {row.name for row in CATALOGUE.values() if row.way == "gauge"}


def test_a_redriven_job_is_told_once() -> None:
    wrote_ = written(*told()["an_outage"])

    lines = [line for line in wrote_.events if line["event"] == "job.redriven"]

    assert [(line["job"], line["generation"]) for line in lines] == [("bad", 1)]
    assert total(wrote_, "JobsRedriven") == 1


def held(one: Speaking) -> list[float]:
    """What a worker told to autoscaling, one number for each flush."""
    return [
        value
        for document in written(one).documents
        for value in values_of(document).get("UpstreamHold", ())
    ]


def test_an_outage_holds_the_fleet_then_lets_it_shrink_then_lets_it_grow() -> None:
    for one in told()["an_outage"]:
        told_ = held(one)
        steps = [told_[n] for n in range(len(told_)) if n == 0 or told_[n] != told_[n - 1]]

        assert steps == [0, 1, 2, 0], "probes and their rounds make no difference"
        assert 89 <= told_.count(1) <= 91, "900 s of flushes of 10 s"


def test_the_gauges_of_a_circuit_follow_it() -> None:
    (one, *_) = told()["an_outage"]
    circuits: list[tuple[float, float]] = [
        (values["BreakerOpen"][0], values["BreakerHalfOpen"][0])
        for document in written(one).documents
        if document.get("Breaker") == "near" and "BreakerOpen" in (values := values_of(document))
    ]

    assert circuits[0] == circuits[-1] == (0.0, 0.0)
    assert (1.0, 0.0) in circuits
    assert (0.0, 1.0) in circuits
    assert (1.0, 1.0) not in circuits


def test_the_time_that_a_circuit_was_not_closed_is_told_once_when_it_closes() -> None:
    wrote_ = written(*told()["an_outage"])
    moves = [
        line
        for line in wrote_.events
        if line["event"] == "breaker.moved"
        and (line["scope"], line["breaker"]) == ("fleet", "near")
    ]
    moves.sort(key=lambda line: line["version"])
    closed = [line for line in moves if line["new"] == "closed"]

    assert [line["lasted_s"] for line in moves if line["new"] != "closed"] == [0] * (len(moves) - 1)
    (close,) = closed
    assert close["lasted_s"] == pytest.approx(close["at"] - moves[0]["at"], abs=2.0)
    assert total(wrote_, "BreakerOpenSeconds", Breaker="near") == close["lasted_s"]


def test_what_was_not_served_is_a_term_of_the_rate_of_errors() -> None:
    wrote_ = written(*told()["second_best"])
    settled = [line for line in wrote_.events if line["event"] == "job.settled"]
    open_ = [
        line
        for line in settled
        if line["reason"] == "circuit_open" and line["calls"] == 0 and "+" not in line["job"]
    ]

    assert len(open_) > 10
    skipped = sum(
        line.get("why") == "circuit_open" and "+" not in line["job"]
        for line in wrote_.events
        if line["event"] == "delivery.skipped"
    )
    assert total(wrote_, "JobsUnserved") == len(open_) + skipped


def test_no_line_of_metrics_holds_what_a_job_brought() -> None:
    jobs: set[Any] = {line["job"] for line in wrote().events if "job" in line}
    texts = {
        value
        for document in wrote().documents
        for value in document.values()
        if isinstance(value, str)
    }

    assert not jobs & texts
