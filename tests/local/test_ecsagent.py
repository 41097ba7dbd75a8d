"""The ECS agent's task-protection endpoint."""

from typing import Any

import aiohttp
import pytest

from tests.local.conftest import Local, on_stack


async def asked(local: Local, method: str, body: object = None, task: str = "") -> tuple[int, Any]:
    """Status and JSON of one call to the agent, as a task would make it."""
    agent_uri = f"{local.stack.url}/ecs{task}"  # what ECS_AGENT_URI says
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{agent_uri}/task-protection/v1/state", json=body) as response,
    ):
        return response.status, await response.json()


def test_protection_is_given_told_and_taken_away() -> None:
    async def main(local: Local) -> None:
        status, given = await asked(
            local, "PUT", {"ProtectionEnabled": True, "ExpiresInMinutes": 10}
        )
        _, told = await asked(local, "GET")
        _, taken = await asked(local, "PUT", {"ProtectionEnabled": False})

        assert status == 200
        assert given["protection"]["ProtectionEnabled"] is True
        assert given["protection"]["ExpirationDate"].endswith("Z")
        assert told == given
        assert taken["protection"]["ProtectionEnabled"] is False
        assert taken["protection"]["ExpirationDate"] is None
        calls = [(call.method, call.enabled, call.expires_min) for call in local.stack.agent.calls]
        assert calls == [("PUT", True, 10), ("GET", None, None), ("PUT", False, 120)]

    on_stack(main)


def test_tasks_that_share_an_agent_have_states_of_their_own() -> None:
    async def main(local: Local) -> None:
        await asked(local, "PUT", {"ProtectionEnabled": True}, task="/a")

        _, other = await asked(local, "GET", task="/b")

        assert other["protection"]["ProtectionEnabled"] is False
        assert set(local.stack.agent.protected()) == {"a"}

    on_stack(main)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "ProtectionEnabled"),
        ({"ProtectionEnabled": "yes"}, "ProtectionEnabled"),
        ({"ProtectionEnabled": True, "ExpiresInMinutes": 0}, "ExpiresInMinutes"),
        ({"ProtectionEnabled": True, "ExpiresInMinutes": 2_881}, "ExpiresInMinutes"),
    ],
)
def test_a_wrong_request_is_refused(body: Any, complaint: str) -> None:
    async def main(local: Local) -> None:
        status, answer = await asked(local, "PUT", body)

        assert status == 400
        assert complaint in answer["error"]["Message"]
        assert not local.stack.agent.protected()

    on_stack(main)


def test_protection_can_be_denied() -> None:
    async def main(local: Local) -> None:
        local.stack.agent.failure = "DEPLOYMENT_BLOCKED"

        _, answer = await asked(local, "PUT", {"ProtectionEnabled": True})

        assert answer["failure"]["Reason"] == "DEPLOYMENT_BLOCKED"
        assert not local.stack.agent.protected()

    on_stack(main)
