"""The company: the workers on the stage, what was sent to them, and the picture of both."""

import asyncio
import signal
from collections.abc import Iterable, Mapping
from typing import Any, Final

from worker.cli.demo import logs
from worker.cli.demo.children import Child, Children, Trouble
from worker.cli.demo.facts import Leave, Row
from worker.cli.demo.mix import Order
from worker.cli.demo.screen import GOOD, Desk, Screen, View
from worker.cli.demo.watch import Watch
from worker.client import Client, NotSubmitted

SLOTS: Final = 8
GRACE_S: Final = 10.0
LOOK_S: Final = 0.25
RESULT_S: Final = 10.0  # far above what a read takes
LEAVE_S: Final = GRACE_S + 1.0  # then a worker is killed, and a promise broken

Rows = dict[str, Row]


class Company:
    """Who plays.

    Attributes:
        sent: Every job that was sent, by its id.
        workers: Every worker that was ever hired.
        clients: The producer's, by route.
    """

    def __init__(self, children: Children, watch: Watch, screen: Screen) -> None:
        self.sent: dict[str, Order] = {}
        self.workers: list[Child] = []
        self.clients: dict[str, Client] = {}
        self._children = children
        self._watch = watch
        self._screen = screen
        self._boot_ids: dict[str, Child] = {}

    @property
    def here(self) -> list[Child]:
        """The workers that nobody has killed or asked to leave."""
        return [worker for worker in self.workers if worker.wanted]

    def name_of(self, boot_id: str) -> str:
        """What the story calls the worker that gives itself this name."""
        worker = self._boot_ids.get(boot_id)
        return boot_id if worker is None else worker.name

    async def hire(self) -> Child:
        """Start a worker."""
        worker = await self._children.start(f"worker-{len(self.workers) + 1}", "run")
        self.workers.append(worker)
        self._screen.say(worker.name, f"starts, with {SLOTS} slots (pid {worker.pid})", GOOD)
        return worker

    async def leave(self, worker: Child, in_hand: int) -> Leave:
        """Ask a worker to leave, and wait until it has."""
        began = self._screen.elapsed_s
        worker.end(signal.SIGTERM)
        try:
            async with asyncio.timeout(LEAVE_S):
                code = await worker.ended()
        except TimeoutError:
            worker.end(signal.SIGKILL)
            code = await worker.ended()
        took_s = self._screen.elapsed_s - began
        return Leave(worker=worker.name, exit_code=code, took_s=took_s, in_hand=in_hand)

    async def send(self, orders: Iterable[Order]) -> int:
        """Send jobs, and return how many messages they were.

        Raises:
            Trouble: One was not taken.
        """
        messages = 0
        orders = list(orders)
        for route, client in self.clients.items():
            own = [order for order in orders if order.tree and order.route == route]
            trees = [order.tree for order in own for _ in range(order.times)]
            for outcome in await client.submit_many(trees):
                messages += 1
                if isinstance(outcome, NotSubmitted):
                    msg = f"A job was not taken: {outcome.code}, {outcome.detail}"
                    raise Trouble(msg)
        self.sent |= {order.tree["id"]: order for order in orders if order.tree}
        for order in orders:
            if order.body:
                messages += 1
                self.sent[await self._watch.send_raw(order.body)] = order
        return messages

    async def result(self, job: str) -> Mapping[str, Any]:
        """The result envelope of a finished job, as its producer gets it.

        Raises:
            TimeoutError: It has none.
        """
        client = self.clients[self.sent[job].route]
        return (await client.wait(job, timeout_s=RESULT_S)).envelope

    async def look(self) -> tuple[Rows, dict[str, int]]:
        """The ledger and the queues as they are now; the picture follows.

        Raises:
            Trouble: A process has ended by itself.
        """
        self._children.check()
        for worker in self.workers:
            if worker not in self._boot_ids.values() and (boot := logs.boot_id(worker)):
                self._boot_ids[boot] = worker
        depth = await self._watch.depth()
        rows, calls = await self._watch.glance(), await self._watch.calls()
        self._screen.show(
            View(
                done=sum(row.final for row in rows.values()),
                jobs=len(self.sent),
                slots=SLOTS,
                desks=tuple(self._desk(worker, rows) for worker in self.workers),
                depth=depth,
                calls=calls.total,
            )
        )
        return rows, depth

    def in_hand(self, worker: Child, rows: Rows) -> int:
        """How many jobs a worker works on."""
        return sum(self.holds(worker, row) for row in rows.values())

    def holds(self, worker: Child, row: Row) -> bool:
        """Whether a worker works on this job."""
        return row.state == "running" and self._boot_ids.get(row.owner) is worker

    def is_over(self, rows: Rows, depth: dict[str, int]) -> bool:
        """Whether every job has its final record, and no queue a message."""
        final = {job for job, row in rows.items() if row.final}
        return self.sent.keys() <= final and not any(depth.values())

    def _desk(self, worker: Child, rows: Rows) -> Desk:
        if worker.exit_code is not None:
            state = "has left" if worker.exit_code == 0 else "is dead"
            return Desk(name=worker.name, pid=worker.pid, state=state, in_hand=None)
        state = "leaves"
        if worker.wanted:
            state = "works" if worker in self._boot_ids.values() else "starts"
        in_hand = self.in_hand(worker, rows)
        return Desk(name=worker.name, pid=worker.pid, state=state, in_hand=in_hand)
