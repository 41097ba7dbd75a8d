"""The jumping clock is a loop like any other, except that nobody waits for it."""

import asyncio
import gc
import time

import pytest

from worker.sim.clock import EPOCH, Stuck, in_virtual_time, wall_clock


def test_an_hour_passes_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == 3600.0


def test_timeouts_task_groups_and_timers_work() -> None:
    async def main() -> list[tuple[str, float]]:
        loop, seen = asyncio.get_running_loop(), list[tuple[str, float]]()

        async def note(what: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            seen.append((what, loop.time()))

        loop.call_later(2.5, lambda: seen.append(("timer", loop.time())))
        try:
            async with asyncio.timeout(3), asyncio.TaskGroup() as group:
                group.create_task(note("second", 2))
                group.create_task(note("first", 1))
                group.create_task(note("never", 4))
        except TimeoutError:
            seen.append(("timeout", loop.time()))
        return seen

    assert in_virtual_time(main()) == [
        ("first", 1.0),
        ("second", 2.0),
        ("timer", 2.5),
        ("timeout", 3.0),
    ]


def test_the_wall_clock_starts_at_the_epoch() -> None:
    async def main() -> tuple[float, float]:
        start = wall_clock()
        await asyncio.sleep(1.5)
        return start, wall_clock()

    assert in_virtual_time(main()) == (EPOCH, EPOCH + 1.5)


def test_outside_a_simulation_the_wall_clock_is_the_real_one() -> None:
    async def main() -> float:
        return wall_clock()

    before = time.time()
    assert before <= wall_clock() <= asyncio.run(main()) <= time.time()


def test_a_stuck_simulation_says_who_waits() -> None:
    async def nobody_sets_it() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        asyncio.current_task().set_name("main")  # type: ignore[union-attr]
        async with asyncio.TaskGroup() as group:
            group.create_task(nobody_sets_it(), name="waiter")

    with pytest.raises(Stuck, match=r"no timer is set: main .*, waiter .*nobody_sets_it"):
        in_virtual_time(main())
    gc.collect()  # leftovers would warn now


def test_a_simulation_without_an_end_has_failed() -> None:
    async def tick() -> None:
        while True:  # this is what it does
            await asyncio.sleep(10)

    with pytest.raises(Stuck, match=r"not over after 3600 virtual seconds: .*tick"):
        in_virtual_time(tick(), limit_s=3600)


def test_what_is_left_behind_is_cancelled() -> None:
    ended: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append("lingerer")

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(linger())
        await asyncio.sleep(0)
        return task

    assert in_virtual_time(main()).cancelled()
    assert ended == ["lingerer"]


def test_an_error_of_the_simulation_comes_out() -> None:
    async def main() -> None:
        await asyncio.sleep(5)
        msg = "as planned"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="as planned"):
        in_virtual_time(main())


def test_waiting_for_a_point_in_time_always_ends() -> None:
    """Sums of floats miss the point by a hair; the clock must move all the same."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(86_400 / 7)
        for n in range(1, 2000):
            until = loop.time() + n / 7
            while loop.time() < until:
                await asyncio.sleep(until - loop.time())
        return loop.time()

    assert in_virtual_time(main()) > 86_400
