"""Which dead letters are meant: read from an address or a form, and written into the next one.

What a person saw and what is done are the same letters: a form carries the time at which its
number was counted, and whatever died after that is not meant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.core.dead import Pick
from worker.ops.desk import Misused
from worker.words.given import Chosen

PARTS: Final = ("fingerprint", "class", "code", "target", "route", "tenant", "since", "before")
_LABELS: Final = {
    "fingerprint": "fingerprint",
    "class": "class",
    "code": "code",
    "target": "target",
    "route": "route",
    "tenant": "tenant",
    "since": "died within",
    "before": "died longer ago than",
    "job": "job",
}
_AFTER_S: Final = 0.001  # a letter that died in that very moment was counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A choice of letters as somebody typed it: `parts` by their names in a form."""

    parts: dict[str, str]
    jobs: Sequence[str] = ()

    def pick(self, at: float) -> Pick:
        """The letters that were meant at `at`.

        Raises:
            Misused: An age is none.
        """
        chosen = Chosen(
            jobs=self.jobs,
            fingerprint=self.parts["fingerprint"],
            reason=self.parts["class"],
            code=self.parts["code"],
            target=self.parts["target"],
            route=self.parts["route"],
            tenant=self.parts["tenant"],
            since=self.parts["since"] or None,
            before=self.parts["before"] or None,
        )
        pick = chosen.pick(at, since=_LABELS["since"], before=_LABELS["before"])
        return replace(pick, until=min(pick.until, at + _AFTER_S))

    @property
    def query(self) -> dict[str, str | Sequence[str]]:
        """For an address."""
        return {**{name: text for name, text in self.parts.items() if text}, "job": self.jobs}

    @property
    def fields(self) -> list[tuple[str, str]]:
        """For a form's hidden fields."""
        return [*self.parts.items(), *(("job", job) for job in self.jobs)]

    @property
    def words(self) -> str:
        """For a person."""
        told = [f"{_LABELS[name]} {text}" for name, text in self.parts.items() if text]
        if self.jobs:
            first = ", ".join(self.jobs[:3])
            more = f" and {len(self.jobs) - 3} more" if len(self.jobs) > 3 else ""  # noqa: PLR2004
            told.append(f"job {first}{more}")
        return ", ".join(told) or "all dead letters"


def choice_of(one: Callable[[str], str], every: Callable[[str], Sequence[str]]) -> Choice:
    """A choice, by how a single field is read, and how all values of one are."""
    return Choice(
        parts={name: one(name).strip() for name in PARTS},
        jobs=tuple(dict.fromkeys(filter(None, every("job")))),
    )


def number_of(text: str, what: str) -> float:
    """A number that somebody typed.

    Raises:
        Misused: It is none; the message names it.
    """
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not float("-inf") < number < float("inf"):
        msg = f"{what} is a number, not {text!r}"
        raise Misused(msg)
    return number
