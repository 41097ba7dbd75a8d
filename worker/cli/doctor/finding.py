"""What `doctor` finds: a level, what it is about, what is wrong, what follows, and the fix."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from worker.settings import Problem


class Level(StrEnum):
    """How bad it is; the order is that of the answer."""

    RED = "red"  # jobs are lost, paid for twice or not taken
    YELLOW = "yellow"  # works, and is not as it should be; or could not be looked at
    GREEN = "green"


_ORDER: Final = {level: n for n, level in enumerate(Level)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        of: What it is about: `queue chat-jobs`, `target default`, `clock`.
        says: What is wrong, or what was found to be right; a sentence.
        causes: What follows from it, "" for what is green.
        fix: What to do.
        run: A command that does it, or a line of settings; "" where there is none.
    """

    level: Level
    of: str
    says: str
    causes: str = ""
    fix: str = ""
    run: str = ""

    @property
    def problem(self) -> Problem:
        """The same, as `check` prints it."""
        return Problem(
            wrong=self.says,
            advice=" ".join(filter(None, (self.causes, self.fix))),
            run=self.run,
            fatal=self.level is Level.RED,
        )


def red(of: str, says: str, causes: str, fix: str = "", run: str = "") -> Finding:
    """Jobs are lost, paid for twice, or not taken."""
    return Finding(level=Level.RED, of=of, says=says, causes=causes, fix=fix, run=run)


def yellow(of: str, says: str, causes: str, fix: str = "", run: str = "") -> Finding:
    """Works, and is not as it should be; or could not be looked at."""
    return Finding(level=Level.YELLOW, of=of, says=says, causes=causes, fix=fix, run=run)


def green(of: str, says: str) -> Finding:
    """All that was looked at is right."""
    return Finding(level=Level.GREEN, of=of, says=says)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst first, each once; else in the order in which they were asked."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda one: _ORDER[one.level]))
