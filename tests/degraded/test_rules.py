"""Answers by pattern: which one wins, and what a file of them may not be."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from worker.core.degrade import Context
from worker.core.job import Job, Request
from worker.degraded.rules import RulesUnreadableError, read_rules

SHOP = """
[[rules]]
pattern = '(?i)opening (hours|times) (of|in) (?P<city>[a-zé]+)'
answer = "Our shop in $city is open from 9 to 18. That is $$0."
quality = 0.25
loses = ["detail"]

[[rules]]
pattern = '(?i)(?P<greeting>hello)?.*opening'
answer = "${greeting}We open at 9."
"""


def file(at: Path, text: str, name: str = "rules.toml") -> Path:
    path = at / name
    path.write_text(text, encoding="utf-8")
    return path


def asking(*texts: str, role: str = "user") -> Context:
    request = Request(messages=({"role": role, "content": [{"text": text} for text in texts]},))
    return Context(request=request, reason="circuit_open", left_s=1.0)


def said(path: Path, context: Context) -> Any:
    job = Job(request=context.request)
    return asyncio.run(read_rules(path).answer(job, context))


def text_of(path: Path, *texts: str) -> str | None:
    answer = said(path, asking(*texts))
    return None if answer is None else answer.content[0]["text"]


def test_the_first_rule_that_matches_answers(tmp_path: Path) -> None:
    rules = file(tmp_path, SHOP)

    answer = said(rules, asking("What are the Opening Times in Orléans?"))

    assert answer.content == ({"text": "Our shop in Orléans is open from 9 to 18. That is $0."},)
    assert (answer.quality, answer.loses) == (0.25, ("detail",))


def test_what_a_group_did_not_match_is_empty(tmp_path: Path) -> None:
    assert text_of(file(tmp_path, SHOP), "opening?") == "We open at 9."


def test_without_a_match_there_is_no_answer(tmp_path: Path) -> None:
    assert text_of(file(tmp_path, SHOP), "Do you ship?") is None


def test_what_a_job_says_is_never_evaluated(tmp_path: Path) -> None:
    rules = file(tmp_path, "[[rules]]\npattern = '(?s)(?P<all>.*)'\nanswer = 'You said: $all'\n")

    hostile = "${__class__} $all {0} %s $(id) {{7*7}}"

    assert text_of(rules, hostile) == f"You said: {hostile}"


def test_rules_may_be_json(tmp_path: Path) -> None:
    text = json.dumps({"rules": [{"pattern": "a", "answer": "b"}]})

    assert text_of(file(tmp_path, text, "rules.json"), "a") == "b"


def test_the_last_user_message_counts_with_all_its_texts(tmp_path: Path) -> None:
    rules = file(tmp_path, "[[rules]]\npattern = '^one\\ntwo$'\nanswer = 'yes'\n")
    said_by_the_model = {"role": "assistant", "content": [{"text": "three"}]}
    request = Request(
        messages=(
            {"role": "user", "content": [{"text": "zero"}]},
            {"role": "user", "content": [{"text": "one"}, {"image": {}}, {"text": "two"}]},
            said_by_the_model,
        )
    )

    assert said(rules, Context(request=request, reason="", left_s=1.0)) is not None
    assert said(rules, asking("one", "two", role="assistant")) is None


def test_a_pattern_that_would_explode_elsewhere_takes_its_time_by_the_text(tmp_path: Path) -> None:
    rules = file(tmp_path, "[[rules]]\npattern = '(a+)+$'\nanswer = 'yes'\n")

    # Python's own engine would need 2 ** 8000 steps; this test would never end.
    assert text_of(rules, "a" * 8000 + "b") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[rules", "neither TOML nor"),
        ("", "must hold 1 to 500 `rules`"),
        ("rules = []", "must hold 1 to 500 `rules`"),
        ("more = 1\n[[rules]]\npattern='a'\nanswer='b'", "must hold 1 to 500 `rules`"),
        ("rules = ['a']", "rule 1: has `pattern`"),
        ("[[rules]]\npattern='a'\nanswer='b'\nsecret='c'", "rule 1: has `pattern`"),
        ("[[rules]]\npattern='a'", "rule 1: `answer` must be a text"),
        ("[[rules]]\nanswer='a'", "rule 1: `pattern` must be a text"),
        ("[[rules]]\npattern='a'\nanswer='b'\n[[rules]]\npattern=''\nanswer='b'", "rule 2"),
        ("[[rules]]\npattern='a'\nanswer='b'\nquality=true", "`quality` must be from 0 to 1"),
        ("[[rules]]\npattern='a'\nanswer='b'\nquality=7", "`quality` must be from 0 to 1"),
        (
            "[[rules]]\npattern='a'\nanswer='b'\nloses='c'",
            "`loses` must be a list of up to 32 words",
        ),
        ("[[rules]]\npattern='(a'\nanswer='b'", "`pattern` is none of RE2"),
        ("[[rules]]\npattern='(a)\\1'\nanswer='b'", "`pattern` is none of RE2"),
        ("[[rules]]\npattern='a'\nanswer='costs $5'", "a `$` that names no group"),
        ("[[rules]]\npattern='a'\nanswer='in $city'", "`pattern` has no group called 'city'"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(RulesUnreadableError) as refused:
        read_rules(file(tmp_path, text))

    assert str(refused.value).startswith("rules.toml: ")
    assert says in str(refused.value)


def test_a_file_that_is_not_there_or_far_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RulesUnreadableError, match=r"rules\.toml: No such file"):
        read_rules(tmp_path / "rules.toml")
    with pytest.raises(RulesUnreadableError, match="longer than"):
        read_rules(file(tmp_path, "#" * 1_100_000))


def test_what_is_no_utf_8_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff")

    with pytest.raises(RulesUnreadableError, match="neither TOML nor"):
        read_rules(path)


def test_a_late_rule_of_many_is_found_too(tmp_path: Path) -> None:
    rules = "".join(f"[[rules]]\npattern='^{n}$'\nanswer='rule {n}'\n" for n in range(200))

    assert text_of(file(tmp_path, rules), "150") == "rule 150"
