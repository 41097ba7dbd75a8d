"""Sixteen processes that race for one breaker; run by `test_breaker_races.py`.

    python -m tests.contract.breaker_racers <table>

Endpoints and credentials come from the environment. Every racer goes through the same
steps, each begun by all of them at once, and writes only what the moves of the core
make of its own view. What each saw and won comes out as one JSON text.
"""

import asyncio
import multiprocessing
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, Final

import orjson
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.contract.stage import SERVICE
from worker.aws.breakers import DynamoBreakers
from worker.core.moves import (
    BeginRound,
    ClaimTicket,
    Conclude,
    Order,
    Report,
    StepUp,
    Trip,
    moved,
)
from worker.core.policy import BreakerPolicy
from worker.core.verdict import State, Verdict, transition

RACERS: Final = 16
EPOCHS: Final = 3
ROUNDS: Final = 2  # of each epoch: the probes of the last one are good
NAME: Final = "sonnet-eu"
POLICY: Final = BreakerPolicy(probes=5, probes_good=2, ramp=(0.2, 0.5))
START_S: Final = 30.0  # a racer that waits for longer has lost the others
WRITES_MAX: Final = 500

_LOADER: Final = get_session().get_component("data_loader")


@dataclass
class Won:
    """What one racer has to tell."""

    writes: list[tuple[int, str]] = field(default_factory=list)  # version, kind of order
    begun: list[tuple[int, int]] = field(default_factory=list)  # epoch, round
    tickets: list[tuple[int, int, str]] = field(default_factory=list)  # epoch, round, claim
    reports: list[tuple[int, int, str]] = field(default_factory=list)
    noted: list[int] = field(default_factory=list)
    trips: list[tuple[int, str, bool]] = field(default_factory=list)  # version, nonce, mine?
    lost: int = 0


class Racer:
    """One process. It believes what the store answered last."""

    def __init__(self, number: int, store: DynamoBreakers, barrier: Barrier) -> None:
        self.number = number
        self.store = store
        self.barrier = barrier
        self.view = Verdict(name=NAME)
        self.won = Won()
        self._writes = 0
        self._changes: list[tuple[Verdict, Verdict]] = []

    async def run(self) -> Won:
        for _ in range(EPOCHS):
            await self.together(self.look)
            await self.together(self.trip)
            for round_ in range(ROUNDS):
                await self.together(self.begin)
                await self.together(self.claim)
                await self.together(self.look)
                await self.together(partial(self.report, good=round_ == ROUNDS - 1))
                await self.together(self.look)
                await self.together(self.conclude)
            await self.together(self.look)
            await self.together(self.step_up)
        return self.won

    async def together(self, step: Callable[[], Awaitable[None]]) -> None:
        """Begin a step when all have ended the one before."""
        self.barrier.wait(START_S)
        await step()

    async def look(self) -> None:
        board = await self.store.read(consistent=True)
        self.view = board.verdicts.get(NAME, Verdict(name=NAME))

    async def trip(self) -> None:
        """Once, from the view that all have."""
        old = self.view
        assert old.state is State.CLOSED
        mine = await self.give(Trip(stage=old.stage, why="they race", roll=self.number / RACERS))
        self.won.trips.append((self.view.version, self.view.nonce, bool(mine)))
        await self.note(old, self.view)  # all saw the same change, so all note it

    async def begin(self) -> None:
        while self.view.state is State.OPEN:
            if await self.give(BeginRound(stage=self.view.stage)):
                self.won.begun.append((self.view.epoch, self.view.round))

    async def claim(self) -> None:
        """Ticket after ticket, until none is left."""
        epoch, round_ = self.view.epoch, self.view.round
        while self.view.tickets_left > 0:
            claim = f"{self.number}-{self._writes}"
            if await self.give(ClaimTicket(epoch=epoch, round=round_, claim=claim)):
                self.won.tickets.append((epoch, round_, claim))

    async def report(self, *, good: bool) -> None:
        """Every ticket by its holder, and the last one by everybody."""
        tickets = [claim for *_, claim in self.won.tickets if claim in self.view.claims]
        for claim in (*tickets, self.view.claims[-1]):
            epoch, round_ = self.view.epoch, self.view.round
            order = Report(epoch=epoch, round=round_, claim=claim, good=good)
            mine = False
            while moved(self.view, order, POLICY) is not None:
                mine = await self.give(order)
            if mine:
                self.won.reports.append((epoch, round_, claim))

    async def conclude(self) -> None:
        stage = self.view.stage
        while self.view.stage == stage:
            await self.give(Conclude(stage=stage, overdue=False, roll=0.5))

    async def step_up(self) -> None:
        while self.view.state is State.RAMP:
            await self.give(StepUp(stage=self.view.stage, why="they race"))

    async def give(self, order: Order) -> bool:
        """Give an order from our view, and take over what the store answers."""
        self._writes += 1
        assert self._writes <= WRITES_MAX, "this never ends"
        old, nonce = self.view, f"{self.number}.{self._writes}"
        new = moved(old, order, POLICY, writer=f"racer-{self.number}", nonce=nonce)
        assert new is not None, f"{order} does not hold for {old}"
        self.view = await self.store.swap(old, new)
        if self.view.nonce != nonce:
            assert self.view.version > old.version, "who loses learns something new"
            self.won.lost += 1
            return False
        self.won.writes.append((new.version, type(order).__name__))
        if not isinstance(order, Trip):
            await self.note(old, new)
        return True

    async def note(self, old: Verdict, new: Verdict) -> None:
        row = transition(old, new, at=0.0)
        if row is not None and await self.store.note(row):
            self.won.noted.append(row.version)


def race(number: int, table: str, barrier: Barrier, out: Connection) -> None:
    """The whole life of one process."""

    async def main() -> Won:
        session = get_session()
        session.register_component("data_loader", _LOADER)
        # Patient timers: sixteen on a busy machine are no failure of the store.
        config = AioConfig(
            connect_timeout=30,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        async with session.create_client("dynamodb", config=config) as client:
            return await Racer(
                number, DynamoBreakers(client, table, service=SERVICE), barrier
            ).run()

    try:
        out.send(asyncio.run(main()))
    except BaseException:
        barrier.abort()  # the others need not wait
        raise
    finally:
        out.close()


def main(table: str) -> int:
    """Start the racers, and print what they tell."""
    processes = multiprocessing.get_context("fork")  # what was imported is shared
    _LOADER.load_service_model("dynamodb", "service-2")
    barrier = processes.Barrier(RACERS)
    started: list[tuple[Any, Connection]] = []
    for number in range(RACERS):
        out, end = processes.Pipe(duplex=False)
        process = processes.Process(target=race, args=(number, table, barrier, end))
        process.start()
        end.close()
        started.append((process, out))
    told: list[Won] = []
    for process, out in started:
        try:
            told.append(out.recv())
        except EOFError:
            print(f"{process.name} has nothing to tell", file=sys.stderr)  # noqa: T201
        process.join()
    print(orjson.dumps(told).decode())  # noqa: T201
    return 0 if len(told) == RACERS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
