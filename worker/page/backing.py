"""What the page asks and acts through. Whoever serves it brings these ready-made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.ops.dead_desk import DeadDesk
from worker.ops.desk import Desk
from worker.ops.status import Sources

LOOK_S: Final = 2.0  # a screen waits no longer for all that it asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """The services behind the page.

    Attributes:
        service: Whose page it is.
        sources, letters: For looking: behind clients that are in a hurry.
        circuit: For orders to breakers; None where every process decides alone.
        dead: For what is done to dead letters: behind clients that wait.
        ledger_table, breakers_table: As they are named in AWS.
        settings: Every setting: its name, its value, where that comes from.
        warnings: What is doubtful about them.
        author: Who is proposed as the author of what is done.
    """

    service: str
    sources: Sources
    letters: DeadDesk
    circuit: Desk | None
    dead: DeadDesk
    ledger_table: str
    breakers_table: str
    settings: Sequence[tuple[str, Any, str]]
    warnings: Sequence[str] = ()
    author: str = ""
