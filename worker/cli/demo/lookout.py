"""The lookout of the first act: sends jobs at an even pace, and sees what becomes of everything.

What the circuits did is read from their own table; what they did to the model, from the
model's own count.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from worker.cli.demo import logs
from worker.cli.demo.act import Polls, Rest
from worker.cli.demo.circuit import Bout, Circuit, Count, Turn, rests_of
from worker.cli.demo.company import LOOK_S, Company, Rows
from worker.cli.demo.facts import Row
from worker.cli.demo.mix import Sort, question
from worker.cli.demo.plans import REGIONS
from worker.cli.demo.screen import Screen
from worker.cli.demo.watch import Figures, Watch
from worker.core.policy import BreakerPolicy
from worker.local.moods import Mood

JOBS_PER_S: Final = 10
COUNT_S: Final = 0.1


class Lookout:
    """Eyes and hands of the act. Counts from entering to leaving.

    Attributes:
        rows, depth: The ledger and the queues at the last look.
        turns: Of every circuit, in the order of time.
        polls: How often the parked queues were asked, in the order of time.
    """

    def __init__(
        self,
        company: Company,
        watch: Watch,
        screen: Screen,
        canary: str,
        on_turn: Callable[[Turn], None],
    ) -> None:
        """`on_turn` is told of each turn of a circuit, once."""
        self.rows: Rows = {}
        self.depth: dict[str, int] = {}
        self.turns: tuple[Turn, ...] = ()
        self.polls: list[Polls] = []
        self.zero_at = time.time() - screen.elapsed_s
        self._company = company
        self._watch = watch
        self._screen = screen
        self._canary = canary
        self._on_turn = on_turn
        self._counts: dict[str, list[Count]] = {target: [] for target in REGIONS}
        self._known: set[tuple[str, int]] = set()
        self._stream: tuple[tuple[Sort, ...], float, int] | None = None
        self._counting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._counting = asyncio.create_task(self._count())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._counting is not None, "left without having been entered"
        self._counting.cancel()
        await asyncio.gather(self._counting, return_exceptions=True)
        if exc is None:
            self._note(await self._watch.count(self.zero_at))

    # --- what is done ----------------------------------------------------------

    def send(self, *sorts: Sort) -> None:
        """From now on send jobs of these sorts by turns; without any, no more."""
        self._stream = (sorts, self._screen.elapsed_s, 0) if sorts else None

    async def set_mood(self, mood: Mood, *targets: str) -> dict[str, Count]:
        """Change how the model behaves, and return its counts from just before."""
        before = await self._watch.count(self.zero_at)
        await self._watch.set_mood(mood, *targets)
        return dict(before.calls)

    async def until(self, moment: Callable[[], bool], limit_s: float) -> None:
        """Look until the moment has come; what follows if it does not is told at the end.

        Raises:
            Trouble: A process has ended by itself, or a job was not taken.
        """
        until_s = self._screen.elapsed_s + limit_s
        while True:
            await self.look()
            if moment() or self._screen.elapsed_s >= until_s:
                return
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Send what is due, and see how things stand."""
        await self._send()
        turns = tuple(
            replace(turn, by=self._company.name_of(turn.by))
            for turn in await self._watch.turns(self.zero_at)
        )
        for turn in turns:
            if (turn.breaker, turn.version) not in self._known:
                self._known.add((turn.breaker, turn.version))
                self._on_turn(turn)
        self.turns = turns
        self.rows, self.depth = await self._company.look()

    async def look_closely(self) -> None:
        """See the results too."""
        self.rows = await self._watch.ledger()

    # --- what was seen ---------------------------------------------------------

    def of(self, *sorts: Sort) -> dict[str, Row | None]:
        """The jobs of these sorts, with their records as far as there are any."""
        sent = self._company.sent
        return {job: self.rows.get(job) for job, order in sent.items() if order.sort in sorts}

    def ended(self, *sorts: Sort) -> int:
        """How many jobs of these sorts are finished."""
        return sum(row is not None and row.final for row in self.of(*sorts).values())

    def are_over(self, *sorts: Sort) -> bool:
        """Whether all of them are."""
        return self.ended(*sorts) == len(self.of(*sorts))

    def of_target(self, target: str) -> tuple[Turn, ...]:
        """The turns of one circuit."""
        return tuple(turn for turn in self.turns if turn.breaker == target)

    @property
    def rest(self) -> Rest:
        """What was polled while both circuits were open, until now."""
        until_s = self.polls[-1].at_s if self.polls else 0.0
        near, far = (rests_of(self.of_target(target), until_s) for target in REGIONS)
        return Rest.seen(near, far, self.polls)

    def failed_s(self, target: str) -> dict[str, list[float]]:
        """When each worker told of its failed calls to a target, in the story's time."""
        return {
            worker.name: [at - self.zero_at for at in logs.failed_at(worker, target)]
            for worker in self._company.here
        }

    def circuit(self, target: str, outage: Bout) -> Circuit:
        """All that was seen of one circuit, `outage` being its trouble."""
        policy = BreakerPolicy()
        return Circuit(
            target=target,
            turns=self.of_target(target),
            counts=tuple(self._counts[target]),
            outage=outage,
            probes=policy.probes,
            ramp=policy.ramp,
            failed_by={
                worker: sum(at_s >= outage.began_s for at_s in told)
                for worker, told in self.failed_s(target).items()
            },
        )

    # --- small change ----------------------------------------------------------

    async def _send(self) -> None:
        if self._stream is None:
            return
        sorts, began_s, sent = self._stream
        due = int((self._screen.elapsed_s - began_s) * JOBS_PER_S)
        await self._company.send(
            question(sorts[number % len(sorts)], number, self._canary)
            for number in range(sent + 1, due + 1)
        )
        self._stream = (sorts, began_s, max(sent, due))

    async def _count(self) -> None:
        while True:
            self._note(await self._watch.count(self.zero_at))
            await asyncio.sleep(COUNT_S)

    def _note(self, figures: Figures) -> None:
        for target, count in figures.calls.items():
            self._counts[target].append(count)
        self.polls.append(figures.polls)
