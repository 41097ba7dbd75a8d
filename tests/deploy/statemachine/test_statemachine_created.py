"""The state machine, created from its template on the embedded stack, and run there for real.

Over the wire: CloudFormation, Step Functions, DynamoDB, SQS. The embedded stack's Step Functions
cannot call Bedrock, so the one call that it lacks is lent to it: over HTTP to the stack's own
stand-in. What is not shown here is what only AWS can show: that the role's rights are enough.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from aiobotocore.session import get_session

from tests.deploy.account import Account, in_account
from tests.deploy.conftest import need_tools
from tests.deploy.statemachine.interpreters import _ministack
from tests.deploy.template import MACHINE, read
from worker.aws.breakers import DynamoBreakers
from worker.core.envelope import parse
from worker.core.job import Job, Limits
from worker.core.verdict import State
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Fail

GIVEN = {
    "Service": "chat",
    "ModelId": "model-a",
    "ModelArns": "arn:aws:bedrock:us-east-1::foundation-model/model-a",
    "AlternateTarget": "other",
    "AlternateModelId": "model-b",
}
BODY_MAX = 51_200  # of a template that comes with the request
DOWN = Mood(chances=(Chance(1.0, Fail("ServiceUnavailableException")),))


def _lent(url: str) -> Callable[[str, Any], Any]:
    """The call of Bedrock that the embedded Step Functions has not."""
    sfn = _ministack()
    own = sfn._invoke_aws_sdk_integration

    def invoke(resource: str, params: Any) -> Any:
        if not resource.endswith("bedrockruntime:converse"):
            return own(resource, params)
        text = params["Messages"][0]["Content"][0]["Text"]
        body = {"messages": [{"role": "user", "content": [{"text": text}]}]}
        headers = {
            "content-type": "application/json",
            "authorization": "AWS4-HMAC-SHA256 Credential=1/20260101/us-east-1/bedrock/aws4",
        }
        where = urlsplit(url)
        connection = HTTPConnection(str(where.hostname), where.port, timeout=5)
        try:
            way = f"/model/{params['ModelId']}/converse"
            connection.request("POST", way, json.dumps(body), headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            code = str(answer.headers["x-amzn-ErrorType"]).partition(":")[0]
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            raise sfn._ExecutionError(f"BedrockRuntime.{code}", "")
        (block,) = told["output"]["message"]["content"]
        message = {"Role": "assistant", "Content": [{"Text": block["text"]}]}
        return {
            "Output": {"Message": message},
            "StopReason": told["stopReason"],
            "Usage": {"InputTokens": told["usage"]["inputTokens"]},
        }

    return invoke


class Place:
    """The machine in an account, with the tables that it shares."""

    def __init__(self, here: Account, clients: dict[str, Any], arn: str) -> None:
        self.here = here
        self.clients = clients
        self.arn = arn
        self.breakers = DynamoBreakers(clients["dynamodb"], "chat-breakers", service="chat")

    async def start(self, **given: Any) -> str:
        told = await self.clients["stepfunctions"].start_execution(
            stateMachineArn=self.arn, input=json.dumps({"prompt": "Why?", **given})
        )
        return str(told["executionArn"])

    async def ended(self, execution: str) -> Any:
        while True:
            told = await self.clients["stepfunctions"].describe_execution(executionArn=execution)
            if told["status"] != "RUNNING":
                assert told["status"] == "SUCCEEDED", told
                return json.loads(told["output"])
            await asyncio.sleep(0.02)

    async def run(self, **given: Any) -> Any:
        return await self.ended(await self.start(**given))

    async def state(self, wanted: State) -> None:
        """Wait until the fleet's circuit is so, as a worker reads it."""
        async with asyncio.timeout(20):
            while True:
                board = await self.breakers.read(consistent=True)
                found = board.verdicts.get("default")
                if found is not None and found.state is wanted:
                    return
                await asyncio.sleep(0.05)


def in_place(story: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    async def main(here: Account) -> None:
        text = json.dumps(read(MACHINE))
        assert len(text) > BODY_MAX, "it goes by a bucket, as docs/stepfunctions.md says"
        async with get_session().create_client("s3", endpoint_url=here.stack.url) as s3:
            await s3.create_bucket(Bucket="templates")
            await s3.put_object(Bucket="templates", Key="machine.json", Body=text.encode())
        made = await here.cloudformation.create_stack(
            StackName="chat-machine",
            TemplateURL="https://s3.us-east-1.amazonaws.com/templates/machine.json",
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in GIVEN.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        state: Any = {"StackStatus": "CREATE_IN_PROGRESS"}
        while state["StackStatus"].endswith("IN_PROGRESS"):
            (state,) = (await here.cloudformation.describe_stacks(StackName=made["StackId"]))[
                "Stacks"
            ]
            await asyncio.sleep(0.02)
        assert state["StackStatus"] == "CREATE_COMPLETE", state
        (arn,) = (one["OutputValue"] for one in state["Outputs"])
        clients = {}
        names = ("dynamodb", "sqs", "stepfunctions")
        for name in names:
            context = get_session().create_client(name, endpoint_url=here.stack.url)
            clients[name] = await context.__aenter__()
        try:
            await _tables(clients)
            with (
                patch.object(_ministack(), "_invoke_aws_sdk_integration", _lent(here.stack.url)),
                patch.object(_ministack(), "_SFN_WAIT_SCALE", 0.02),
            ):
                await story(Place(here, clients, arn))
        finally:
            for client in clients.values():
                await client.close()

    need_tools()
    in_account(main)


async def _tables(clients: dict[str, Any]) -> None:
    for name, keys in (("chat-breakers", ("pk", "sk")), ("chat-cache", ("key",))):
        kinds = zip(keys, ("HASH", "RANGE"), strict=False)
        await clients["dynamodb"].create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": k, "KeyType": t} for k, t in kinds],
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
        )
    await clients["sqs"].create_queue(QueueName="chat-jobs")


def test_an_outage_is_seen_rested_probed_and_over() -> None:
    async def story(place: Place) -> None:
        bedrock = place.here.stack.bedrock
        bedrock.set_mood(Mood(text="Because."))
        well = await place.run()
        bedrock.set_mood(DOWN, model="model-a")
        out = [await place.run() for _ in range(5)]
        await place.state(State.OPEN)
        bedrock.set_mood(Mood(text="Because."), model="model-a")
        await place.run()
        await place.state(State.RAMP)
        for _ in range(80):
            await asyncio.gather(*(place.run() for _ in range(5)))
            if (await place.breakers.read(consistent=True)).verdicts["default"].share == 1.0:
                break
        rows = await place.breakers.history("default", 20)

        assert well == {
            "status": "ok",
            "text": "Because.",
            "stop_reason": "end_turn",
            "usage": well["usage"],
            "served_by": "default",
        }
        assert {one["served_by"] for one in out} == {"other"}
        told = [(row.new, row.why) for row in reversed(rows)]
        assert told[0][0] is State.OPEN
        assert told[0][1].endswith("calls of state machines failed")
        assert [new for new, _ in told][-4:] == [
            State.HALF_OPEN,
            State.RAMP,
            State.RAMP,
            State.CLOSED,
        ]
        assert {row.by for row in rows} == {"machine:chat-breaker"}

    in_place(story)


def test_a_job_through_the_queue_is_one_that_workers_take() -> None:
    async def story(place: Place) -> None:
        sqs, sfn = place.clients["sqs"], place.clients["stepfunctions"]
        url = (await sqs.get_queue_url(QueueName="chat-jobs"))["QueueUrl"]
        execution = await place.start(through="queue")
        got: Any = {}
        while not got.get("Messages"):
            got = await sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
        body = json.loads(got["Messages"][0]["Body"])
        token = body.pop("task_token")
        job = parse(json.dumps(body).encode(), Limits())
        await sfn.send_task_success(
            taskToken=token, output=json.dumps({"status": "ok", "output": {"text": "Because."}})
        )

        ended = await place.ended(execution)

        assert isinstance(job, Job)
        assert job.deadline_s == 300
        assert ended["status"] == "ok"
        assert ended["result"]["output"]["text"] == "Because."

    in_place(story)
