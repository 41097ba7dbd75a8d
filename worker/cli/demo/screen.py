"""How the story is shown while it happens.

A terminal gets the lines of the story and, below them, a picture that moves. A
pipe gets the lines, and one about the progress every few seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

WIDTH_MAX: Final = 110
HEAD: Final = 10  # columns for the first word of a line
PLAIN_EVERY_S: Final = 5.0
BAR: Final = 40
NORMAL, GOOD, BAD, STRONG, QUIET = "", "green", "red", "bold", "dim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One worker, as the picture shows it. `in_hand` is None when it is gone."""

    name: str
    pid: int
    state: str
    in_hand: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One moment."""

    done: int
    jobs: int
    slots: int
    desks: tuple[Desk, ...]
    depth: Mapping[str, int]
    calls: int


class Screen:
    """Where the story is told."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = monotonic()
        self._live: Live | None = None
        self._plain_at = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.update(Text(""))
            self._live.stop()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the story began."""
        return monotonic() - self._started

    def say(self, head: str, text: str, style: str = NORMAL, *, at_s: float | None = None) -> None:
        """Tell one line of the story: what happened `at_s` seconds after its beginning, or now."""
        line = Table.grid(padding=(0, 1))
        line.add_column(width=7, justify="right", style=QUIET)
        line.add_column(width=HEAD, style=style or STRONG, no_wrap=True)
        line.add_column(ratio=1)
        line.add_row(f"{self.elapsed_s if at_s is None else at_s:.1f} s", head, text)
        self.console.print(line)

    def show(self, view: View) -> None:
        """Show how things stand."""
        if self._live is not None:
            self._live.update(_picture(view, self.elapsed_s))
        elif self.elapsed_s - self._plain_at >= PLAIN_EVERY_S:
            self._plain_at = self.elapsed_s
            self.say("", f"{view.done} of {view.jobs} jobs are finished")


def _picture(view: View, elapsed_s: float) -> RenderableType:
    head = Table.grid(padding=(0, 2))
    head.add_row(
        ProgressBar(total=view.jobs, completed=view.done, width=BAR),
        f"{view.done} of {view.jobs} jobs",
        f"{elapsed_s:.0f} s",
    )
    desks = Table.grid(padding=(0, 2))
    for desk in view.desks:
        busy = "" if desk.in_hand is None else _dots(desk.in_hand, view.slots)
        style = QUIET if desk.in_hand is None else NORMAL
        desks.add_row(desk.name, str(desk.pid), desk.state, Text(busy, style="cyan"), style=style)
    waiting = "".join(f"{name} {count}, " for name, count in view.depth.items() if count)
    foot = Text(f"{waiting}model calls {view.calls}", style=QUIET)
    return Padding(Group(head, desks, foot), (1, 0, 0, 2))


def _dots(busy: int, slots: int) -> str:
    return "●" * min(busy, slots) + "○" * max(0, slots - busy)
