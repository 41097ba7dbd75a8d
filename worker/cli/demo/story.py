"""What happens, scene by scene."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from worker.cli.demo import logs, plans, results
from worker.cli.demo.act import Act
from worker.cli.demo.children import Child, Children, Trouble
from worker.cli.demo.company import GRACE_S, LOOK_S, SLOTS, Company, Rows
from worker.cli.demo.facts import Facts, Kill, Leave
from worker.cli.demo.live import opened
from worker.cli.demo.mix import MOOD, MOOD_IN_WORDS, WELL, Order, Sort
from worker.cli.demo.outage import Outage
from worker.cli.demo.screen import BAD, GOOD, Screen
from worker.cli.demo.watch import Watch
from worker.client import Client

LEASE_S: Final = 6.0
SETTINGS: Final = {
    "WORKER_LOG_LEVEL": "debug",  # the more they write, the more there is to search
    "WORKER_SLOTS": str(SLOTS),
    "WORKER_GRACE_S": str(GRACE_S),
    "WORKER_QUEUE__LEASE_S": str(LEASE_S),
    "WORKER_QUEUE__WAIT_S": "1",
    "WORKER_QUEUE__CLOCK_SKEW_S": "0.5",  # one host, one clock
    "WORKER_METRICS__FLUSH_S": "1",
    "WORKER_PACING__CUT": "0.9",  # the stand-in throttles by chance: there is no quota to find
}
LIMIT_S: Final = 45.0  # for one scene; then the promises are judged as things stand
SETTLE_S: Final = 0.3  # a claim that was on its way when its worker died has landed by then
KILL_AT: Final = 0.2  # of all jobs
LEAVE_AT: Final = 0.5
BUSY: Final = SLOTS // 2  # jobs in hand that make a kill or a farewell worth while


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
        self._company = Company(children, watch, screen)
        self._second: set[str] = set()  # the jobs of the second act

    async def tell(self) -> Facts:
        """Play it, and return what was seen.

        Raises:
            Trouble: It cannot go on; the message says why.
        """
        say, place = self._screen.say, self._watch.place
        say("stack", f"queues, tables, bucket and model at {place.url}, in this machine only")
        await self._watch.prepare()
        await self._watch.set_mood(WELL)
        self._set_up()
        first, second = [await self._company.hire() for _ in range(2)]
        page = asyncio.create_task(self._open_page())
        bucket = os.environ["WORKER_PAYLOADS__BUCKET"]
        async with AsyncExitStack() as clients:
            for route, url in place.queues.items():
                client = Client.open(url, place.table, bucket=bucket)
                self._company.clients[route] = await clients.enter_async_context(client)
            act = await Outage(self._company, self._watch, self._screen, self._canary).tell()
            await page
            await self._watch.set_mood(MOOD)
            say("model", MOOD_IN_WORDS)
            await self._send()
            kill = await self._kill(first)
            await self._company.hire()
            drain = await self._dismiss(second)
            await self._finish()
            leaves = await self._close()
            return await self._facts(kill, drain, leaves, act)

    def _set_up(self) -> None:
        """Set the workers' environment: ours has one queue and one model, theirs have more."""
        place, theirs = self._watch.place, self._children.environment
        del theirs["WORKER_QUEUE__URL"]
        theirs |= plans.environment(theirs.pop("WORKER_MODEL__ID"), place.queues, place.dead_url)
        theirs |= SETTINGS | {"WORKER_LEDGER__TABLE": place.table}

    async def _open_page(self) -> None:
        if (address := await opened(self._children)) is not None:
            self._screen.say("page", f"look on at {address} as long as this runs")

    # --- scenes ----------------------------------------------------------------

    async def _send(self) -> None:
        before = set(self._company.sent)
        messages = await self._company.send(self._orders)
        self._second = self._company.sent.keys() - before
        raw = sum(bool(order.body) for order in self._orders)
        twice = sum(order.sort is Sort.TWICE for order in self._orders)
        self._screen.say(
            "sent",
            f"{len(self._orders)} jobs in {messages} messages: {twice} of them twice, "
            f"{raw} of them garbage",
        )

    async def _kill(self, worker: Child) -> Kill:
        await self._until(
            lambda rows: (
                self._share_done(rows) >= KILL_AT and self._company.in_hand(worker, rows) >= BUSY
            ),
            f"{worker.name} never had {BUSY} jobs in hand",
        )
        worker.end(signal.SIGKILL)
        await worker.ended()
        await asyncio.sleep(SETTLE_S)
        rows, calls = await self._watch.glance(), await self._watch.calls()
        in_hand = {job for job, row in rows.items() if self._company.holds(worker, row)}
        failed = logs.failed_calls(self._company.workers)
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
                self._share_done(rows) >= LEAVE_AT and self._company.in_hand(worker, rows) >= BUSY
            ),
            f"{worker.name} had less than {BUSY} jobs in hand when it was to leave",
        )
        in_hand = self._company.in_hand(worker, rows)
        self._screen.say(
            "SIGTERM",
            f"{worker.name} is asked to leave, with {in_hand} jobs in hand and {GRACE_S:g} s",
            BAD,
        )
        leaving = asyncio.create_task(self._company.leave(worker, in_hand))
        await self._company.hire()
        leave = await leaving
        self._screen.say(
            worker.name, f"has left after {leave.took_s:.1f} s, exit code {leave.exit_code}", GOOD
        )
        return leave

    async def _finish(self) -> None:
        until_s = self._screen.elapsed_s + LIMIT_S
        while not self._company.is_over(*await self._company.look()):
            if self._screen.elapsed_s > until_s:
                self._screen.say("time over", "not every job is finished", BAD)
                return
            await asyncio.sleep(LOOK_S)
        self._screen.say("finished", "every job has its record, and no queue a message")

    async def _close(self) -> tuple[Leave, ...]:
        rows = await self._watch.glance()
        leaves = await asyncio.gather(
            *(
                self._company.leave(worker, self._company.in_hand(worker, rows))
                for worker in self._company.here
            )
        )
        names = " and ".join(leave.worker for leave in leaves)
        codes = ", ".join(str(leave.exit_code) for leave in leaves)
        self._screen.say("SIGTERM", f"{names} have left, exit codes {codes}")
        return tuple(leaves)

    async def _facts(self, kill: Kill, drain: Leave, leaves: tuple[Leave, ...], act: Act) -> Facts:
        rows, left = await self._watch.ledger(), await self._watch.depth()
        letters = await self._watch.take_letters()
        phrases = [
            self._canary,
            *{o.answer.split()[0] for o in self._company.sent.values() if o.answer},
        ]
        return Facts(
            orders=self._company.sent,
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
            act=act,
            results={
                what: await self._company.result(job)
                for what, job in results.chosen(self._company.sent, rows).items()
            },
            logs=logs.read(self._company.workers, phrases),
            took_s=self._screen.elapsed_s,
        )

    # --- small change ----------------------------------------------------------

    async def _until(self, moment: Callable[[Rows], bool], otherwise: str) -> Rows:
        """Look until the moment has come.

        Raises:
            Trouble: It did not come in time, or a process has ended by itself.
        """
        until_s = self._screen.elapsed_s + LIMIT_S
        while True:
            rows, _ = await self._company.look()
            if moment(rows):
                return rows
            if self._screen.elapsed_s > until_s or self._share_done(rows) >= 1:
                msg = f"{otherwise}: is this machine very busy?"
                raise Trouble(msg)
            await asyncio.sleep(LOOK_S)

    def _share_done(self, rows: Rows) -> float:
        """How much of the second act's work is done."""
        return sum(job in rows and rows[job].final for job in self._second) / len(self._second)
