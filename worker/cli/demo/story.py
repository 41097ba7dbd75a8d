"""What happens, scene by scene."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

from worker.cli.demo import logs
from worker.cli.demo.children import Child, Children, Trouble
from worker.cli.demo.facts import Facts, Kill, Leave, Row
from worker.cli.demo.mix import MOOD, MOOD_IN_WORDS, Order, Sort
from worker.cli.demo.screen import BAD, GOOD, Desk, Screen, View
from worker.cli.demo.watch import Watch
from worker.client import Client, NotSubmitted

SLOTS: Final = 8
LEASE_S: Final = 6.0
GRACE_S: Final = 10.0
SETTINGS: Final = {
    "WORKER_LOG_LEVEL": "debug",  # the more they write, the more there is to search
    "WORKER_SLOTS": str(SLOTS),
    "WORKER_GRACE_S": str(GRACE_S),
    "WORKER_QUEUE__LEASE_S": str(LEASE_S),
    "WORKER_QUEUE__WAIT_S": "1",
    "WORKER_QUEUE__CLOCK_SKEW_S": "0.5",  # one host, one clock
    "WORKER_METRICS__FLUSH_S": "1",
    "WORKER_MODEL__PRICE_INPUT": "1",
    "WORKER_MODEL__PRICE_OUTPUT": "5",
}
LIMIT_S: Final = 45.0  # then the promises are judged as things stand
LOOK_S: Final = 0.25
SETTLE_S: Final = 0.3  # a claim that was on its way when its worker died has landed by then
LEAVE_S: Final = GRACE_S + 1.0  # then a worker is killed, and a promise broken
KILL_AT: Final = 0.2  # of all jobs
LEAVE_AT: Final = 0.5
BUSY: Final = SLOTS // 2  # jobs in hand that make a kill or a farewell worth while

Rows = dict[str, Row]


class Story:
    """One performance."""

    def __init__(
        self,
        children: Children,
        watch: Watch,
        screen: Screen,
        orders: Sequence[Order],
        canary: str,
    ) -> None:
        self._children = children
        self._watch = watch
        self._screen = screen
        self._orders = orders
        self._canary = canary
        self._sent: dict[str, Order] = {}
        self._workers: list[Child] = []
        self._boot_ids: dict[str, Child] = {}

    async def tell(self) -> Facts:
        """Play it, and return what was seen.

        Raises:
            Trouble: It cannot go on; the message says why.
        """
        say, place = self._screen.say, self._watch.place
        say("stack", f"queues, table, bucket and model at {place.url}, in this machine only")
        await self._watch.set_mood(MOOD)
        say("model", MOOD_IN_WORDS)
        self._children.environment |= SETTINGS | {"WORKER_LEDGER__TABLE": place.table}
        first, second = [await self._hire() for _ in range(2)]
        await self._send()
        kill = await self._kill(first)
        await self._hire()
        drain = await self._dismiss(second)
        await self._finish()
        leaves = await self._close()
        return await self._facts(kill, drain, leaves)

    # --- scenes ----------------------------------------------------------------

    async def _hire(self) -> Child:
        worker = await self._children.start(f"worker-{len(self._workers) + 1}", "run")
        self._workers.append(worker)
        self._screen.say(worker.name, f"starts, with {SLOTS} slots (pid {worker.pid})", GOOD)
        return worker

    async def _send(self) -> None:
        place = self._watch.place
        trees = [order.tree for order in self._orders for _ in range(order.times) if order.tree]
        bucket = os.environ["WORKER_PAYLOADS__BUCKET"]
        async with Client.open(place.jobs_url, place.table, bucket=bucket) as client:
            outcomes = await client.submit_many(trees)
        for outcome in outcomes:
            if isinstance(outcome, NotSubmitted):
                msg = f"A job was not taken: {outcome.code}, {outcome.detail}"
                raise Trouble(msg)
        self._sent = {order.tree["id"]: order for order in self._orders if order.tree}
        for order in self._orders:
            if order.body:
                self._sent[await self._watch.send_raw(order.body)] = order
        raw = len(self._orders) - len({outcome.job_id for outcome in outcomes})
        twice = sum(order.sort is Sort.TWICE for order in self._orders)
        self._screen.say(
            "sent",
            f"{len(self._sent)} jobs in {len(outcomes) + raw} messages: {twice} of them twice, "
            f"{raw} of them garbage",
        )

    async def _kill(self, worker: Child) -> Kill:
        await self._until(
            lambda rows: (
                _done(rows) >= KILL_AT * len(self._sent) and self._in_hand(worker, rows) >= BUSY
            ),
            f"{worker.name} never had {BUSY} jobs in hand",
        )
        worker.end(signal.SIGKILL)
        await worker.ended()
        await asyncio.sleep(SETTLE_S)
        rows, calls = await self._watch.glance(), await self._watch.calls()
        in_hand = {job for job, row in rows.items() if self._holds(worker, row)}
        failed = logs.failed_calls(worker)
        kill = Kill(
            worker=worker.name,
            in_hand=frozenset(in_hand),
            calling=frozenset(job for job in in_hand if calls.by_job.get(job, 0) > failed[job]),
        )
        self._screen.say(
            "SIGKILL",
            f"{worker.name} is dead, with {len(in_hand)} jobs in hand. Their leases lapse in "
            f"{LEASE_S:g} s at most; then others take them",
            BAD,
        )
        return kill

    async def _dismiss(self, worker: Child) -> Leave:
        rows = await self._until(
            lambda rows: (
                _done(rows) >= LEAVE_AT * len(self._sent) and self._in_hand(worker, rows) >= BUSY
            ),
            f"{worker.name} had less than {BUSY} jobs in hand when it was to leave",
        )
        in_hand = self._in_hand(worker, rows)
        self._screen.say(
            "SIGTERM",
            f"{worker.name} is asked to leave, with {in_hand} jobs in hand and {GRACE_S:g} s",
            BAD,
        )
        leaving = asyncio.create_task(self._leave(worker, in_hand))
        await self._hire()
        leave = await leaving
        self._screen.say(
            worker.name, f"has left after {leave.took_s:.1f} s, exit code {leave.exit_code}", GOOD
        )
        return leave

    async def _finish(self) -> None:
        while True:
            depth = await self._watch.depth()
            rows = await self._look(depth)
            if self._sent.keys() <= {job for job, row in rows.items() if row.final} and not any(
                depth.values()
            ):
                self._screen.say("finished", "every job has its record, and no queue a message")
                return
            if self._screen.elapsed_s > LIMIT_S:
                self._screen.say("time over", "not every job is finished", BAD)
                return
            await asyncio.sleep(LOOK_S)

    async def _close(self) -> tuple[Leave, ...]:
        here = [worker for worker in self._workers if worker.wanted]
        rows = await self._watch.glance()
        leaves = await asyncio.gather(
            *(self._leave(worker, self._in_hand(worker, rows)) for worker in here)
        )
        names = " and ".join(leave.worker for leave in leaves)
        codes = ", ".join(str(leave.exit_code) for leave in leaves)
        self._screen.say("SIGTERM", f"{names} have left, exit codes {codes}")
        return tuple(leaves)

    async def _facts(self, kill: Kill, drain: Leave, leaves: tuple[Leave, ...]) -> Facts:
        rows, left = await self._watch.ledger(), await self._watch.depth()
        letters = await self._watch.take_letters()
        phrases = [self._canary, *{o.answer.split()[0] for o in self._orders if o.answer}]
        return Facts(
            orders=self._sent,
            rows=rows,
            looks=self._watch.looks,
            rewritten=frozenset(self._watch.rewritten),
            letters=letters,
            left=left,
            calls=await self._watch.calls(),
            kill=kill,
            drain=drain,
            leaves=leaves,
            grace_s=GRACE_S,
            logs=logs.read(self._workers, phrases),
            took_s=self._screen.elapsed_s,
        )

    # --- small change ----------------------------------------------------------

    async def _leave(self, worker: Child, in_hand: int) -> Leave:
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

    async def _until(self, moment: Callable[[Rows], bool], otherwise: str) -> Rows:
        """Look until the moment has come.

        Raises:
            Trouble: It did not come in time, or a process has ended by itself.
        """
        while True:
            rows = await self._look(await self._watch.depth())
            if moment(rows):
                return rows
            if self._screen.elapsed_s > LIMIT_S or _done(rows) == len(self._sent):
                msg = f"{otherwise}: is this machine very busy?"
                raise Trouble(msg)
            await asyncio.sleep(LOOK_S)

    async def _look(self, depth: dict[str, int]) -> Rows:
        self._children.check()
        for worker in self._workers:
            if worker not in self._boot_ids.values() and (boot := logs.boot_id(worker)):
                self._boot_ids[boot] = worker
        rows, calls = await self._watch.glance(), await self._watch.calls()
        self._screen.show(
            View(
                done=_done(rows),
                jobs=len(self._sent),
                slots=SLOTS,
                desks=tuple(self._desk(worker, rows) for worker in self._workers),
                depth=depth,
                calls=calls.total,
            )
        )
        return rows

    def _desk(self, worker: Child, rows: Rows) -> Desk:
        if worker.exit_code is not None:
            state = "has left" if worker.exit_code == 0 else "is dead"
            return Desk(name=worker.name, pid=worker.pid, state=state, in_hand=None)
        state = "leaves"
        if worker.wanted:
            state = "works" if worker in self._boot_ids.values() else "starts"
        in_hand = self._in_hand(worker, rows)
        return Desk(name=worker.name, pid=worker.pid, state=state, in_hand=in_hand)

    def _in_hand(self, worker: Child, rows: Rows) -> int:
        return sum(self._holds(worker, row) for row in rows.values())

    def _holds(self, worker: Child, row: Row) -> bool:
        return row.state == "running" and self._boot_ids.get(row.owner) is worker


def _done(rows: Rows) -> int:
    return sum(row.final for row in rows.values())
