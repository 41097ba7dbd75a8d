"""The twin of Step Functions, as far as tasks wait there for an answer."""

from dataclasses import dataclass, field
from typing import Final

from worker.core.callback import Failed, Succeeded
from worker.sim.wire import Wire

OUTPUT_BYTES_MAX: Final = 262_144
CODE_MAX: Final = 256
CAUSE_MAX: Final = 32_768


@dataclass(slots=True, eq=False)
class MemoryTasks:
    """Tasks by their tokens.

    Attributes:
        waiting: Tokens of the tasks that wait.
        answers: What each task was told that did wait.
        late: Tokens that were answered when nobody waited, as often as that was.
    """

    waiting: set[str] = field(default_factory=set)
    answers: dict[str, Succeeded | Failed] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)

    def wait(self, token: str) -> str:
        """A task begins to wait; returns its token."""
        assert token not in self.answers, "every task has a token of its own"
        self.waiting.add(token)
        return token

    def time_out(self, token: str) -> None:
        """The state machine gives up."""
        self.waiting.discard(token)

    def seen_by(self, wire: Wire | None = None) -> "TasksHandle":
        """The tasks as one worker sees them."""
        return TasksHandle(self, wire or Wire())


class TasksHandle:
    """Port `Callbacks`: `MemoryTasks` as one worker sees them."""

    def __init__(self, tasks: MemoryTasks, wire: Wire) -> None:
        self._tasks = tasks
        self._wire = wire

    async def succeed(self, token: str, output: str) -> bool:
        assert len(output.encode()) <= OUTPUT_BYTES_MAX, "Step Functions takes no more"
        return await self._end("succeed", token, Succeeded(output))

    async def fail(self, token: str, error: str, cause: str) -> bool:
        assert len(error) <= CODE_MAX, "Step Functions takes no more"
        assert len(cause) <= CAUSE_MAX, "Step Functions takes no more"
        return await self._end("fail", token, Failed(error, cause))

    async def _end(self, operation: str, token: str, answer: Succeeded | Failed) -> bool:
        async def do() -> bool:
            if token not in self._tasks.waiting:
                self._tasks.late.append(token)
                return False
            self._tasks.waiting.remove(token)
            self._tasks.answers[token] = answer
            return True

        return await self._wire.call("tasks", operation, do)
