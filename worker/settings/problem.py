"""What is wrong with the settings, told so that it helps."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with the settings.

    Attributes:
        wrong: What is wrong, a sentence.
        facts: Names of settings (as environment variables) and what they are.
        advice: What it would cause, and what to do.
        run: A command that mends it, on a line of its own.
        fatal: Whether the worker refuses to start.
    """

    wrong: str
    facts: tuple[tuple[str, str], ...] = ()
    advice: str = ""
    run: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        width = max((len(name) for name, _ in self.facts), default=0)
        facts = "\n".join(f"    {name:<{width}} = {value}" for name, value in self.facts)
        run = f"    {self.run}" if self.run else ""
        parts = (_wrapped(self.wrong), facts, _wrapped(self.advice), run)
        return "\n\n".join(part for part in parts if part)


class SettingsError(Exception):
    """The settings cannot be used; `problems` says why, all at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("worker cannot start:\n\n" + "\n\n\n".join(map(str, problems)))
        self.problems = problems


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)


def listed(names: Iterable[str]) -> str:
    """Names in order, for a sentence.

    >>> listed({"b", "a"})
    'a, b'
    """
    return ", ".join(sorted(names)) or "none"
