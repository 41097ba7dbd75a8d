"""What the scale-in protection promises, beside an agent that keeps to its documentation."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.contract.stage import STAGES
from worker.aws.ecs import agent_protection
from worker.ports import Protection, Unavailable
from worker.sim.clock import in_virtual_time
from worker.sim.memory import MemoryProtection


@dataclass
class Agent:
    """The ECS agent: `answer` replaces its own, with a status."""

    answer: tuple[int, Any] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked)
        status, body = self.answer or (200, {"protection": {**asked, "TaskArn": "arn:…"}})
        return web.json_response(body, status=status)


def on_agent(agent: Agent, test: Callable[[Protection], Awaitable[None]]) -> None:
    async def main() -> None:
        app = web.Application()
        app.router.add_put("/api/0123/task-protection/v1/state", agent.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            uri = f"http://127.0.0.1:{runner.addresses[0][1]}/api/0123"
            async with agent_protection(uri) as protection:
                await test(protection)
        finally:
            await runner.cleanup()

    asyncio.run(main())


@pytest.mark.parametrize("stage", STAGES)
def test_protection_can_be_set_renewed_and_ended(stage: str) -> None:
    agent, twin = Agent(), MemoryProtection()

    async def main(protection: Protection) -> None:
        await protection.protect(60)
        await protection.protect(30)
        await protection.unprotect()

    if stage == "twin":
        in_virtual_time(main(twin.seen_by()))
        assert twin.changes == [60, 30, 0]
    else:
        on_agent(agent, main)
        assert agent.asked == [
            {"ProtectionEnabled": True, "ExpiresInMinutes": 60},
            {"ProtectionEnabled": True, "ExpiresInMinutes": 30},
            {"ProtectionEnabled": False},
        ]


def test_the_twin_knows_when_the_protection_is_over() -> None:
    twin = MemoryProtection()

    async def main() -> list[bool]:
        seen = [twin.protected]
        await twin.seen_by().protect(1)
        for _ in range(3):
            await asyncio.sleep(25)
            seen.append(twin.protected)
        return seen

    assert in_virtual_time(main()) == [False, True, True, False]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, {"failure": {"Arn": "arn:…", "Reason": "DEPLOYMENT_BLOCKED"}}, "DEPLOYMENT_BLOCKED"),
        (400, {"error": {"Code": "InvalidParameterException", "Message": "…"}}, "InvalidParam"),
        (500, {"requestID": "…"}, "Http500"),
        (502, "no object", "Http502"),
        (200, {}, "Http200"),
    ],
)
def test_a_refusal_of_the_agent_is_told_by_its_code(status: int, body: Any, why: str) -> None:
    async def main(protection: Protection) -> None:
        with pytest.raises(Unavailable, match=why):
            await protection.protect(60)

    on_agent(Agent(answer=(status, body)), main)


def test_an_agent_that_is_not_there_is_out_of_reach() -> None:
    async def main() -> Unavailable:
        async with agent_protection("http://127.0.0.1:9") as protection:
            with pytest.raises(Unavailable) as told:
                await protection.protect(60)
        return told.value

    assert asyncio.run(main()).network
