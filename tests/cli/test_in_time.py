"""Leaving in time: at once where a thread still works, and as usual where none does."""

import asyncio
import os
import threading

import pytest

from worker.cli import in_time


class LeftError(Exception):
    """The process would have ended at once."""


@pytest.fixture(autouse=True)
def leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    def exit_(code: int) -> None:
        raise LeftError(code)

    monkeypatch.setattr(os, "_exit", exit_)


def test_a_thread_that_has_nothing_to_do_is_no_reason_to_leave_at_once() -> None:
    """On a busy machine it takes a while to end."""

    async def ask(threads: in_time.Threads) -> int:
        return await asyncio.get_running_loop().run_in_executor(threads, lambda: 7)

    with in_time.Threads() as threads:
        assert asyncio.run(ask(threads)) == 7
        assert in_time.left(3) == 3


def test_a_thread_that_still_works_is_left_behind() -> None:
    go = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            in_time.run(asyncio.to_thread(go.wait), 0.05)
        with pytest.raises(LeftError):
            in_time.left(1)
    finally:
        go.set()
