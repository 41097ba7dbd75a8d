"""Degraded handler `rules`: the first pattern that matches gives the answer.

The rules are a file, TOML or JSON by its name:

    [[rules]]
    pattern = "(?i)opening (hours|times) (of|in) (?P<city>[a-z]+)"
    answer = "Our shop in $city is open from 9 to 18."
    quality = 0.3       # optional, at most the handler's own
    loses = ["detail"]  # optional, beside the handler's own

Patterns are RE2's: their time grows with the text and not with what the pattern
hides, so neither a careless pattern nor a hostile job can hold the event loop. They
are searched in the first `TEXT_CHARS_MAX` characters of the last user message. An
answer's `$name` is what the group of that name matched; nothing is evaluated.
"""

import asyncio
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

import orjson
import re2

from worker.core.degrade import WORD_CHARS_MAX, WORDS_MAX, Context, is_words
from worker.core.job import Job
from worker.core.settlement import DegradedAnswer
from worker.degraded.texts import asked

TEXT_CHARS_MAX: Final = 8192
RULES_MAX: Final = 500
BREATH_EACH: Final = 50  # rules searched at a stretch: at the worst 10 ms
FILE_BYTES_MAX: Final = 1_048_576
PATTERN_BYTES_MAX: Final = 8 * 1_048_576  # what RE2 may use for one compiled pattern
_FIELDS: Final = frozenset({"pattern", "answer", "quality", "loses"})


class RulesUnreadableError(Exception):
    """The file cannot be used; the text says where and why, and repeats no answer."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled."""

    pattern: Any
    answer: Template
    quality: float
    loses: tuple[str, ...]


class Rules:
    """Answers by pattern; the first one that matches wins."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        del job
        text = asked(context.request, chars_max=TEXT_CHARS_MAX)
        for n, rule in enumerate(self._rules, 1):
            if n % BREATH_EACH == 0:
                await asyncio.sleep(0)  # others have jobs, too
            if (match := rule.pattern.search(text)) is not None:
                found = {name: part or "" for name, part in match.groupdict().items()}
                said = rule.answer.substitute(found)
                return DegradedAnswer.saying(said, quality=rule.quality, loses=rule.loses)
        return None


def read_rules(path: Path) -> Rules:
    """The rules of a file.

    Raises:
        RulesUnreadableError: There is no such file, or a rule in it is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RulesUnreadableError(path.name, str(error.strerror)) from None
    if len(content) > FILE_BYTES_MAX:
        raise RulesUnreadableError(path.name, f"longer than {FILE_BYTES_MAX} bytes")
    try:
        tree: Any = (
            orjson.loads(content)
            if path.suffix == ".json"
            else tomllib.loads(content.decode("utf-8"))
        )
    except ValueError:  # of either, and of bytes that are no UTF-8
        raise RulesUnreadableError(path.name, "neither TOML nor, as *.json, JSON") from None
    rules = tree.get("rules") if isinstance(tree, Mapping) and set(tree) == {"rules"} else None
    if not isinstance(rules, list) or not 0 < len(rules) <= RULES_MAX:
        raise RulesUnreadableError(path.name, f"must hold 1 to {RULES_MAX} `rules` and no more")
    return Rules(tuple(_rule(rule, f"{path.name}: rule {n}") for n, rule in enumerate(rules, 1)))


def _rule(rule: Any, where: str) -> Rule:
    if not isinstance(rule, Mapping) or set(rule) - _FIELDS:
        raise RulesUnreadableError(where, "has `pattern`, `answer`, `quality`, `loses` at most")
    for name in ("pattern", "answer"):
        if not isinstance(rule.get(name), str) or not rule[name]:
            raise RulesUnreadableError(where, f"`{name}` must be a text that is not empty")
    quality, loses = rule.get("quality", 1.0), rule.get("loses", [])
    if isinstance(quality, bool) or not isinstance(quality, int | float) or not 0 <= quality <= 1:
        raise RulesUnreadableError(where, "`quality` must be from 0 to 1")
    if not is_words(loses):
        most = f"{WORDS_MAX} words of up to {WORD_CHARS_MAX} characters"
        raise RulesUnreadableError(where, f"`loses` must be a list of up to {most}")
    pattern = _compiled(rule["pattern"], where)
    template = Template(rule["answer"])
    if not template.is_valid():
        raise RulesUnreadableError(where, "`answer` has a `$` that names no group; write `$$`")
    if unknown := sorted(set(template.get_identifiers()) - set(pattern.groupindex)):
        raise RulesUnreadableError(where, f"`pattern` has no group called {unknown[0]!r}")
    return Rule(pattern, template, float(quality), tuple(loses))


def _compiled(pattern: str, where: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    try:
        return re2.compile(pattern, options)
    except re2.error:
        why = "`pattern` is none of RE2, which has no look-around and no back-references"
        raise RulesUnreadableError(where, why) from None
