"""What docs/degraded.md shows works as it stands."""

import asyncio
import re
import tomllib
from pathlib import Path
from typing import Any

from worker.core.degrade import HandlerSpec, Terms
from worker.degraded import Context, DegradedAnswer, Job, Request
from worker.degraded.registry import build
from worker.settings import Settings
from worker.sim.memory import ScriptedModel, Told, Wire

MEANS: Any = {"tell": Told(), "model": ScriptedModel().seen_by(Wire())}
PAGE = (Path(__file__).parents[2] / "docs" / "degraded.md").read_text(encoding="utf-8")
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def ask(handler: Any, text: str, reason: str = "circuit_open") -> DegradedAnswer | None:
    request = Request(messages=({"role": "user", "content": [{"text": text}]},))
    context = Context(request=request, reason=reason, left_s=1.0)
    answer: DegradedAnswer | None = asyncio.run(handler.answer(Job(request=request), context))
    return answer


def test_the_plugin_on_the_page_runs_and_is_short() -> None:
    [source] = blocks("python")
    page: dict[str, Any] = {}
    exec(compile(source, "degraded.md", "exec"), page)  # noqa: S102 - it is ours
    spec = HandlerSpec(name="sorry", kind="plugin", terms=Terms())

    handler = build([spec], given={"sorry": page["sorry"]}, **MEANS)["sorry"].does

    assert len(source.strip().splitlines()) <= 10
    answer = ask(handler, "Hello?")
    assert answer is not None
    assert answer.content == ({"text": "Please ask again in an hour."},)
    assert ask(handler, "Hello?", "too_long") is None


def test_the_rules_on_the_page_answer(tmp_path: Path) -> None:
    (source,) = (text for text in blocks("toml") if "[[rules]]" in text)
    file = tmp_path / "faq.toml"
    file.write_text(source, encoding="utf-8")
    spec = HandlerSpec(name="faq", kind="rules", terms=Terms(), file=str(file))

    answer = ask(
        build([spec], given={}, **MEANS)["faq"].does,
        "Opening hours in Bonn, please?",
    )

    assert answer is not None
    assert answer.content == ({"text": "Our shop in Bonn is open from 9 to 18."},)


def test_the_settings_on_the_page_are_settings() -> None:
    plan, summary = (tomllib.loads(text) for text in blocks("toml") if "[[rules]]" not in text)
    smallest: Any = {"queue": {"url": URL}, "model": {"id": "m"}}

    planned = Settings(**smallest, **plan)
    both = Settings(
        **smallest,
        targets=summary["targets"],
        degraded=plan["degraded"] | summary["degraded"],
        routes={"default": plan["routes"]["default"] | {"degraded": ["before", "short"]}},
    )

    assert planned.warnings == ()
    assert [spec.name for spec in planned.all_handlers()] == ["before", "faq", "sorry"]
    assert [spec.name for spec in both.all_handlers()] == ["before", "short"]
