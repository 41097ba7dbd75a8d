"""One promise, kept or broken."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SHOWN: Final = 5  # of what is wrong


@dataclass(frozen=True, slots=True)
class Promise:
    """What it says, the figures, and what speaks against it."""

    says: str
    figures: str
    wrong: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.wrong


def jobs(what: str, found: Iterable[str]) -> tuple[str, ...]:
    """What speaks against it, job by job; not too many of them."""
    names = sorted(found)
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return (*(f"{job} {what}" for job in names[:SHOWN]), *more)
