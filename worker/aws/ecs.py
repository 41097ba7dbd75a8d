"""Port `Protection` on the ECS agent: keeps this task from being scaled in.

The agent answers at `$ECS_AGENT_URI` inside every task, without credentials. It may
refuse in an answer of 200: the cluster's capacity, or the service, has the last word.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson

from worker.aws.trouble import asking
from worker.ports import Unavailable

PATH: Final = "/task-protection/v1/state"
ASK_S: Final = 5.0


class AgentProtection:
    """The agent at `agent_uri`, asked through `http`."""

    def __init__(self, http: aiohttp.ClientSession, agent_uri: str) -> None:
        self._http = http
        self._url = agent_uri.rstrip("/") + PATH

    async def protect(self, minutes: int) -> None:
        await self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})

    async def unprotect(self) -> None:
        await self._put({"ProtectionEnabled": False})

    async def _put(self, state: dict[str, Any]) -> None:
        with asking("protection"):
            async with self._http.put(self._url, json=state) as response:
                status, body = response.status, await response.read()
        if (why := _refusal(status, body)) is not None:
            raise Unavailable(store="protection", why=why)


def _refusal(status: int, body: bytes) -> str | None:
    """Why the agent did not do it, as a code; None if it did.

    >>> _refusal(200, b'{"failure": {"Arn": "...", "Reason": "DEPLOYMENT_BLOCKED"}}')
    'DEPLOYMENT_BLOCKED'
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return f"Http{status}"
    if not isinstance(answer, dict):
        return f"Http{status}"
    for part, code in (("error", "Code"), ("failure", "Reason")):
        if isinstance(told := answer.get(part), dict):
            return str(told.get(code) or part)[:64]
    return None if status == 200 and "protection" in answer else f"Http{status}"  # noqa: PLR2004


@asynccontextmanager
async def agent_protection(agent_uri: str) -> AsyncIterator[AgentProtection]:
    """The agent at `agent_uri`, with a connection of its own."""
    timeouts = aiohttp.ClientTimeout(total=ASK_S)
    async with aiohttp.ClientSession(timeout=timeouts, trust_env=False) as http:
        yield AgentProtection(http, agent_uri)
