"""Plug-ins: an object, a dotted path, an entry point; and what is none."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.core.degrade import HandlerSpec, Terms
from worker.degraded import Context, DegradedAnswer, Job, Request
from worker.degraded.registry import HandlersUnusableError, build
from worker.ports import Handler
from worker.sim.memory import ScriptedModel, Told, Wire

MEANS: Any = {"tell": Told(), "model": ScriptedModel().seen_by(Wire())}
SOURCE = """
from worker.degraded import DegradedAnswer

async def function(job, context):
    return DegradedAnswer.saying(f"function: {context.reason}")

class Class:
    async def answer(self, job, context):
        return DegradedAnswer.saying("class")

class Needy:
    def __init__(self, what):
        pass

thing = Class()
number = 7
"""
REQUEST = Request(messages=({"role": "user", "content": [{"text": "Hello."}]},))


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of a user's, installed, with two entry points."""
    (tmp_path / "ours.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('no')")
    info = tmp_path / "ours-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[inference_worker.degraded]\nsorry = ours:function\nbad = broken:x\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ours", raising=False)


def spec(name: str = "sorry", use: str = "") -> HandlerSpec:
    return HandlerSpec(name=name, kind="plugin", terms=Terms(quality=0.5), use=use)


def said(handler: Handler) -> str:
    context = Context(request=REQUEST, reason="throttled", left_s=1.0)
    answer = asyncio.run(handler.does.answer(Job(request=REQUEST), context))
    assert isinstance(answer, DegradedAnswer)
    text: str = answer.content[0]["text"]
    return text


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("use", "text"),
    [
        ("ours:function", "function: throttled"),
        ("ours:Class", "class"),
        ("ours:thing", "class"),
        ("ours:thing.answer", "class"),
        ("", "function: throttled"),
    ],
)
def test_a_plugin_is_found_by_its_path_or_its_entry_point(use: str, text: str) -> None:
    made = build([spec(use=use)], given={}, **MEANS)

    assert said(made["sorry"]) == text
    assert made["sorry"].terms == Terms(quality=0.5)


def test_an_object_that_the_program_gives_comes_before_all_else() -> None:
    class Mine:
        async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
            del job, context
            return DegradedAnswer.saying("mine")

    assert (
        said(build([spec(use="no.such:thing")], given={"sorry": Mine()}, **MEANS)["sorry"])
        == "mine"
    )
    assert said(build([spec()], given={"sorry": Mine}, **MEANS)["sorry"]) == "mine"


@pytest.mark.usefixtures("ours")
def test_an_entry_point_that_no_route_names_is_not_even_loaded() -> None:
    assert build([], given={}, **MEANS) == {}
    assert "ours" not in sys.modules


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("name", "use", "says"),
    [
        ("sorry", "no_such_module:x", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("sorry", "broken:x", "broken cannot be imported: RuntimeError"),
        ("sorry", "ours:nothing", "ours has no 'nothing'"),
        ("sorry", "ours:number", "a int has no method `answer`, and is no function"),
        ("sorry", "ours:Needy", "Needy cannot be made without arguments: TypeError"),
        ("bad", "", "the entry point 'bad' (broken:x) cannot be loaded: RuntimeError"),
        ("else", "", "no installed package has an entry point 'else'"),
    ],
)
def test_what_is_no_plugin_is_told_at_the_start(name: str, use: str, says: str) -> None:
    with pytest.raises(HandlersUnusableError) as refused:
        build([spec(name, use)], given={}, **MEANS)

    assert says in refused.value.why[name]


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    rules = HandlerSpec(name="faq", kind="rules", terms=Terms(), file=str(tmp_path / "faq.toml"))

    given: Any = {"stranger": object()}
    with pytest.raises(HandlersUnusableError) as refused:
        build([spec(use="no.such:x"), rules], given=given, **MEANS)

    assert set(refused.value.why) == {"sorry", "faq", "stranger"}
    assert "faq.toml: No such file" in str(refused.value)
