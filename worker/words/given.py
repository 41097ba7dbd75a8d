"""What somebody types, at the shell or on the page: lengths of time, a choice of letters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.dead import Pick
from worker.ops.desk import Misused
from worker.words.breaker import span

AGE_MAX_S: Final = 400 * 86_400.0
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_SIZE: Final = re.compile(r"\d{1,9}")  # of thousands of digits no number can be read
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which letters, as somebody types it; `since` and `before` are ages."""

    jobs: Sequence[str] = ()
    fingerprint: str = ""
    reason: str = ""
    code: str = ""
    target: str = ""
    route: str = ""
    tenant: str = ""
    since: str | None = None
    before: str | None = None
    everything: bool = False

    def pick(
        self,
        at: float,
        *,
        all_needs_saying: bool = False,
        since: str = "--since",
        before: str = "--before",
    ) -> Pick:
        """The letters that are meant; `since` and `before` name the ages in a message.

        Raises:
            Misused: An age is none, or nothing was chosen where something must be.
        """
        pick = Pick(
            jobs=frozenset(self.jobs),
            fingerprint=self.fingerprint,
            reason=self.reason,
            code=self.code,
            target=self.target,
            route=self.route,
            tenant=self.tenant,
            since=at - age_s(self.since, since) if self.since else 0.0,
            until=at - age_s(self.before, before) if self.before else float("inf"),
        )
        if all_needs_saying and pick.all != self.everything:
            msg = (
                "--all and a choice do not go together"
                if self.everything
                else "say which letters: jobs by their ids, a choice as --fingerprint, or --all"
            )
            raise Misused(msg)
        return pick


def seconds_of(given: str, option: str, *, low_s: float, high_s: float) -> float:
    """A length of time as somebody types it: 90s, 30m, 2h, 1d.

    Raises:
        Misused: It is none, or out of range; the message names the option.
    """
    found = _SPAN.fullmatch(given.strip())
    if found is None:
        msg = f"{option} is a number and a unit, as in 90s, 30m, 2h or 1d, not {given!r}"
        raise Misused(msg)
    seconds = float(found[1]) * _UNITS[found[2]]
    if not low_s <= seconds <= high_s:
        msg = f"{option} is from {span(low_s)} to {span(high_s)}, not {given}"
        raise Misused(msg)
    return seconds


def age_s(given: str, option: str) -> float:
    """How long ago, as somebody types it; up to 400 days.

    Raises:
        Misused: It is none, or out of range; the message names the option.
    """
    return seconds_of(given, option, low_s=1.0, high_s=AGE_MAX_S)


def stages_of(given: str | None, option: str = "--canary") -> tuple[int, ...]:
    """The sizes of a canary's stages, as 1,10,100; none if none are given.

    >>> stages_of("1, 10")
    (1, 10)

    Raises:
        Misused: They are no whole numbers; the message names the option.
    """
    if given is None:
        return ()
    parts = given.split(",")
    if not all(_SIZE.fullmatch(part.strip()) for part in parts):
        msg = f"{option} takes the sizes of its stages, as in 1,10,100, not {given!r}"
        raise Misused(msg)
    return tuple(int(part) for part in parts)
