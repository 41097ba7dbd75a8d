"""A receive that hangs where no timer of the client's own reaches: the resolver, or credentials."""

import asyncio
from typing import Any

import pytest

from worker.aws.sqs import OVERDUE_S, SqsQueue
from worker.ports import Unavailable
from worker.runtime.pulse import LATE_S
from worker.sim.clock import in_virtual_time


class Hangs:
    """A client whose requests never come back."""

    async def receive_message(self, **_: Any) -> Any:
        await asyncio.Event().wait()


def test_a_receive_that_hangs_is_unavailable_long_before_its_poller_counts_as_late() -> None:
    async def main() -> float:
        queue = SqsQueue(Hangs(), Hangs(), "https://sqs.eu-west-1.amazonaws.com/1/jobs")
        with pytest.raises(Unavailable) as raised:
            await queue.receive(10, wait_s=20.0, lease_s=90.0)
        assert (raised.value.store, raised.value.why) == ("queue", "TimeoutError")
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == 20.0 + OVERDUE_S
    assert OVERDUE_S < LATE_S
