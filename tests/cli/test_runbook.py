"""The runbook and every other page: the commands exist, so do causes, metrics and places."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from worker.cli.app import app
from worker.core.metrics import CATALOGUE
from worker.ops.causes import Cause, CauseName
from worker.words import status as status_text

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
ALARMS = [
    "UserImpact",
    "DataAtRisk",
    "UpstreamWorse",
    "UpstreamUnserved",
    "CircuitOpen",
    "CircuitOpenLong",
    "CircuitFlapping",
    "ErrorsNew",
    "ThrottleRising",
    "LatencySpike",
    "DlqNotEmpty",
    "OldestJob",
    "ParkedOld",
    "Standstill",
    "FleetSilent",
    "UnhandledErrors",
    "BreakerStoreStale",
    "FallbackSustained",
    "SloFastBurn",
    "SloSlowBurn",
    "EmfBroken",
]
PAGING = {"UserImpact", "DataAtRisk"}


# --- commands --------------------------------------------------------------------


def commands(text: str) -> Iterator[str]:
    """Every `inference-worker …` of a page, in a block or in a line."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        mark = "" if language == "sh" else r"\$ "  # else it is what a command printed
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(rf"{mark}(?:until )?(inference-worker .*)", line.strip()):
                yield re.split(r"  #|;| \|", found[1])[0].strip()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`(inference-worker [^`]+)`", prose):
        yield " ".join(code.split())


def wrong_with(command: str) -> str:
    """Why it is no command; "" if it is one."""
    words = shlex.split(command)[1:]
    here: Any = typer.main.get_command(app)
    while words and hasattr(here, "commands"):
        name = words.pop(0)
        if name not in here.commands:
            return f"no command {name}"
        here = here.commands[name]
    if hasattr(here, "commands"):
        return ""  # a group by its name
    options = {name: p for p in here.params for name in (*p.opts, *p.secondary_opts)}
    named, given = not words, set[str]()
    places, taken = [p for p in here.params if p.param_type_name == "argument"], 0
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        if not word.startswith("--"):
            taken += 1
            continue
        if name not in options:
            return f"no option {name}"
        given.add(options[name].name)
        if not options[name].is_flag and not value:
            if not words or words[0].startswith("--"):
                return f"{name} takes a value"
            words.pop(0)
    if not named and (lack := [p.opts[0] for p in needs_of(here) if p.name not in given]):
        return f"lacks {', '.join(lack)}"
    return "" if taken <= len(places) or any(p.nargs == -1 for p in places) else "too many words"


def needs_of(command: Any) -> list[Any]:
    """The options that it cannot do without."""
    return [p for p in command.params if p.required and p.param_type_name == "option"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one(page: Path) -> None:
    found = list(commands(page.read_text(encoding="utf-8")))

    wrong = {command: why for command in found if (why := wrong_with(command))}

    assert wrong == {}


def test_the_pages_that_tell_of_commands_are_read() -> None:
    assert len(set(commands(RUNBOOK))) >= 25
    assert "inference-worker dead groups" in commands((DOCS / "dead-letters.md").read_text())


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("inference-worker statuss", "no command statuss"),
        ("inference-worker breaker hold NAME", "no command hold"),
        ("inference-worker status --whhy", "no option --whhy"),
        ("inference-worker breaker hold-open NAME --for --reason x", "--for takes a value"),
        ("inference-worker status chat", "too many words"),
        ("inference-worker breaker hold-open NAME --for 1h", "lacks --reason"),
        ("inference-worker dead redrive a b --reason 'so it is'", ""),
        ("inference-worker breaker policy NAME --set failure_rate=0.7 --dry-run", ""),
        ("inference-worker breaker", ""),
    ],
)
def test_what_is_no_command_is_found(command: str, why: str) -> None:
    assert wrong_with(command) == why


# --- paragraphs ------------------------------------------------------------------


def paragraphs() -> dict[str, str]:
    """Each paragraph of the runbook by its heading."""
    parts = re.split(r"^### (.+)\n", RUNBOOK, flags=re.MULTILINE)[1:]
    texts = (text.partition("\n## ")[0] for text in parts[1::2])
    return dict(zip(parts[::2], texts, strict=True))


def anchor(heading: str) -> str:
    """As a page of Markdown makes it."""
    return re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")


def test_each_alarm_and_each_cause_has_a_paragraph() -> None:
    found = paragraphs()

    assert [*found][: len(ALARMS)] == ALARMS
    assert [*found][len(ALARMS) : len(ALARMS) + len(CauseName)] == [str(one) for one in CauseName]
    assert len({anchor(heading) for heading in found}) == len(found)


@pytest.mark.parametrize("heading", paragraphs())
def test_a_paragraph_says_what_to_do_first_what_to_decide_and_what_not_to_do(heading: str) -> None:
    text = paragraphs()[heading]

    assert "First:" in text
    assert text.count("| If | Then |\n| --- | --- |\n| ") == 1
    assert len(re.findall(r"^\| (?!If|---)", text, re.MULTILINE)) >= 2
    assert text.rstrip().rpartition("\n")[2].startswith("Not: ")
    assert heading in PAGING or "Users" in text
    assert len(text.splitlines()) <= 20


def test_every_metric_that_the_runbook_names_is_in_the_catalogue() -> None:
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", RUNBOOK)) | {
        word for word in re.findall(r"`([A-Z][a-z]+)`", RUNBOOK) if word in CATALOGUE
    }

    assert len(named) >= 15
    assert named - set(CATALOGUE) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )

    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, place = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), target
        if place:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in {anchor(re.sub(r"[`*]", "", one)) for one in headings}, target


@pytest.mark.parametrize("name", CauseName)
def test_status_names_the_paragraph_of_each_cause(name: CauseName) -> None:
    told = list(status_text.cause(Cause(name=name, of=("x",))))

    place = told[-1].rpartition("docs/runbook.md#")[2]
    assert place in {anchor(heading) for heading in paragraphs()}


def test_the_page_of_status_leads_to_the_runbook() -> None:
    assert "(runbook.md#causes)" in (DOCS / "status.md").read_text(encoding="utf-8")
