"""The control plane: the same moods, rules and figures, from another process."""

from typing import Any

import aiohttp
import pytest

from tests.local.conftest import MODEL, USER, Local, on_stack
from worker.local.faults import Delay, LoseResponse, Refuse, Rule
from worker.local.moods import Chance, Mood, Throttle, outage
from worker.local.outcomes import Answer, Close, Fail, Hang, LogNormal, StreamFault

FULL_MOOD = Mood(
    latency=LogNormal(2.0, 9.0),
    chances=(Chance(0.1, Fail("ThrottlingException")), Chance(0.1, Hang(3))),
    throttle=Throttle(requests_per_minute=60.0),
    phases=(outage(10.0, 20.0),),
    script=(Answer(omit=frozenset({"usage"})), StreamFault(), Close(1)),
    seed=7,
)
FULL_RULES = (
    Rule("sqs:SendMessage", LoseResponse(), where="parked", chance=0.5, count=3, until_s=60.0),
    Rule("dynamodb:*", Refuse("ThrottlingException"), skip=2),
    Rule("s3:*", Delay(0.5), from_s=1.0),
)


async def asked(local: Local, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of one control call."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{local.stack.url}/_local/{path}", json=body) as response,
    ):
        return response.status, await response.json()


def test_a_stack_that_is_up_says_so() -> None:
    async def main(local: Local) -> None:
        assert await asked(local, "GET", "health") == (200, {"status": "ok"})

    on_stack(main)


def test_a_mood_sent_as_json_is_the_mood_that_acts() -> None:
    async def main(local: Local) -> None:
        bedrock = await local.client("bedrock-runtime")
        outcome = {"kind": "fail", "error": "ModelTimeoutException"}
        mood = {"phases": [{"chances": [{"rate": 1, "outcome": outcome}]}]}

        status, _ = await asked(local, "PUT", "moods", {"moods": [{"model": MODEL, "mood": mood}]})

        assert status == 200
        with pytest.raises(bedrock.exceptions.ModelTimeoutException):
            await bedrock.converse(modelId=MODEL, messages=USER)
        await asked(local, "PUT", "moods", {"moods": [{"model": MODEL, "mood": None}]})
        await bedrock.converse(modelId=MODEL, messages=USER)

    on_stack(main)


def test_moods_and_rules_survive_the_way_out_and_back() -> None:
    async def main(local: Local) -> None:
        local.stack.bedrock.set_mood(FULL_MOOD, model="m", region="eu-west-1")
        local.stack.faults.set_rules(FULL_RULES)

        _, moods = await asked(local, "GET", "moods")
        _, rules = await asked(local, "GET", "faults")
        await asked(local, "DELETE", "moods")
        await asked(local, "DELETE", "faults")
        assert not local.stack.bedrock.moods()
        assert not local.stack.faults.rules
        await asked(local, "PUT", "moods", moods)
        await asked(local, "PUT", "faults", rules)

        assert local.stack.bedrock.moods() == [("m", "eu-west-1", FULL_MOOD)]
        assert local.stack.faults.rules == FULL_RULES

    on_stack(main)


@pytest.mark.parametrize(
    ("path", "body", "complaint"),
    [
        ("moods", {"moods": [{"mood": {"latencyy": 1}}]}, "moods.0.mood.latencyy: Unexpected"),
        ("moods", {"moods": [{"mood": {"script": [{"kind": "explode"}]}}]}, "'explode'"),
        ("moods", {"moods": [{"mood": {"script": [{"kind": "fail", "error": "X"}]}}]}, "status"),
        ("moods", {}, "moods: Field required"),
        ("faults", {"rules": [{"operation": "Send", "act": {"kind": "delay"}}]}, "delay_s"),
        ("faults", {"rules": [], "sede": 1}, "sede: Unexpected"),
        ("models", {"known": "all"}, "known"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(path: str, body: Any, complaint: str) -> None:
    async def main(local: Local) -> None:
        status, answer = await asked(local, "PUT", path, body)

        assert status == 400
        assert complaint in answer["error"]

    on_stack(main)


def test_a_path_that_is_not_served_names_those_that_are() -> None:
    async def main(local: Local) -> None:
        status, answer = await asked(local, "POST", "moods")

        assert status == 404
        assert "PUT /_local/moods" in answer["error"]

    on_stack(main)


def test_the_known_models_can_be_set() -> None:
    async def main(local: Local) -> None:
        await asked(local, "PUT", "models", {"known": [MODEL]})

        assert local.stack.bedrock.known_models == frozenset({MODEL})
        assert await asked(local, "GET", "models") == (200, {"known": [MODEL]})

    on_stack(main)


def test_the_figures_tell_every_call_and_can_be_reset() -> None:
    async def main(local: Local) -> None:
        made, sqs = await local.resources(), await local.client("sqs")
        bedrock = await local.client("bedrock-runtime")
        await asked(local, "POST", "reset-stats")
        local.stack.faults.set_rules([Rule("sqs:SendMessage", Delay(0))])
        await bedrock.converse(modelId=MODEL, messages=USER, requestMetadata={"job": "a"})
        await sqs.send_message(QueueUrl=made.jobs_url, MessageBody="x")

        _, stats = await asked(local, "GET", "stats")
        await asked(local, "POST", "reset-stats")
        _, afterwards = await asked(local, "GET", "stats")

        assert stats["bedrock"]["total"] == 1
        assert stats["bedrock"]["by_outcome"] == {"answer": 1}
        assert stats["bedrock"]["by_target"] == [
            {
                "model": MODEL,
                "region": "us-east-1",
                "operation": "Converse",
                "calls": 1,
                "outcomes": {"answer": 1},
            }
        ]
        assert stats["bedrock"]["calls_by_job"] == stats["bedrock"]["answers_by_job"] == {"a": 1}
        assert stats["calls"] == {"sqs:SendMessage": 1}
        assert stats["faults"] == [{"operation": "sqs:SendMessage", "kind": "delay", "acted": 1}]
        assert stats["ecs"] == {"calls": [], "protected": {}}
        assert afterwards["bedrock"]["total"] == 0
        assert afterwards["calls"] == {}

    on_stack(main)
