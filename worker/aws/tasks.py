"""Port `Callbacks` on AWS Step Functions.

Each call is one request, bound in time: whoever asks tries again later, with the message
that has the token. Step Functions says in three ways that nobody waits.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from botocore.exceptions import ClientError

from worker.aws.trouble import asking, code_of
from worker.ports import TaskRefused

OVERDUE_S: Final = 5.0  # the client's own timers bind neither the pool nor the resolver
_GONE: Final = frozenset({"InvalidToken", "TaskDoesNotExist", "TaskTimedOut"})
# Of one state machine alone: its key, or what its token is made of.
_REFUSED: Final = frozenset(
    {
        "InvalidOutput",
        "KmsAccessDeniedException",
        "KmsInvalidStateException",
        "ValidationException",
    }
)


class StepFunctionsTasks:
    """Tasks of any state machine of our account and Region."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def succeed(self, token: str, output: str) -> bool:
        return await _heard(self._client.send_task_success(taskToken=token, output=output))

    async def fail(self, token: str, error: str, cause: str) -> bool:
        return await _heard(
            self._client.send_task_failure(taskToken=token, error=error, cause=cause)
        )


async def _heard(asked: Awaitable[Any]) -> bool:
    with asking("tasks"):
        try:
            async with asyncio.timeout(OVERDUE_S):
                await asked
        except ClientError as error:
            code = code_of(error)
            if code in _GONE:
                return False
            if code in _REFUSED:
                raise TaskRefused(code) from None
            raise
    return True
