"""What AWS would answer to a request of a role: its statements, before the embedded stack.

The embedded stack lets everybody do everything. `guarded` puts a role's statements before it,
for requests that carry `TOKEN` as their session token; all others pass. A denied request gets
what the service would answer, and is noted.

Only the part of IAM that the templates use is known, and anything else is an error here rather
than a guess: `Allow`, actions by their whole name, `*` in a resource, `StringLike` of one key.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import unquote

from aiohttp import web

from tests.deploy.template import listed, plain
from worker.local import front
from worker.local.operations import operation_of
from worker.local.signature import scope_of

TOKEN: Final = "of-the-task-role"
THROUGH: Final = "bedrock:InferenceProfileArn"
_ACTIONS: Final = {
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:UploadPart": "s3:PutObject",
}
_STREAMED: Final = ("converse-stream", "invoke-with-response-stream")
_CODES: Final = {"dynamodb": ("AccessDeniedException", 400), "sqs": ("AccessDenied", 403)}

_LISTS: Final = {"CallsModelsThemselves": "ProfileArns", "CallsNoOthers": "OtherModelArns"}
"""Each condition says that this parameter lists nothing."""

Asked = tuple[str, str]  # an action, and the ARN of what it is done to


@dataclass(slots=True)
class Role:
    """A role of a template that was created in `account`.

    Attributes:
        made: Physical ids by logical id, and the parameters by their names.
        leads_to: The models that a profile leads to, by their ARNs.
        asked: What was asked for and allowed.
        denied: What was not.
    """

    statements: Mapping[str, Any]
    made: Mapping[str, str]
    account: str
    leads_to: tuple[str, ...]
    region: str = "us-east-1"
    asked: set[Asked] = field(default_factory=set)
    denied: set[Asked] = field(default_factory=set)

    def allows(self, action: str, arn: str, **keys: str) -> bool:
        """Whether a statement does. `keys` are condition keys, by `_` for `:`."""
        return any(self._allows(one, action, arn, keys) for one in self.statements.values())

    def _allows(self, one: Any, action: str, arn: str, keys: Mapping[str, str]) -> bool:
        assert set(one) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, one
        assert one["Effect"] == "Allow"
        assert not any("*" in each for each in listed(one["Action"]))
        if action not in listed(one["Action"]):
            return False
        if not any(_like(arn, each) for each in self._arns(one["Resource"])):
            return False
        if "Condition" not in one:
            return True
        assert set(one["Condition"]) == {"StringLike"}
        ((key, patterns),) = one["Condition"]["StringLike"].items()
        value = keys.get(key.replace(":", "_"))
        return value is not None and any(_like(value, each) for each in self._arns(patterns))

    def _arns(self, value: Any) -> list[str]:
        """A resource, or several, as ARNs."""
        if isinstance(value, list):
            return [arn for one in value for arn in self._arns(one)]
        if isinstance(value, dict) and set(value) == {"Fn::If"}:
            name, yes, no = value["Fn::If"]
            return self._arns(no if self.made[_LISTS[name]] else yes)
        if isinstance(value, dict) and set(value) == {"Ref"}:
            return self.made[value["Ref"]].split(",")
        text = plain(value, {**self.made, "AWS::AccountId": self.account, **self._pseudo})
        return [re.sub(r"^(\w+)\.Arn", lambda found: self._arn(found[1]), text)]

    @property
    def _pseudo(self) -> dict[str, str]:
        return {"AWS::Partition": "aws", "AWS::Region": self.region}

    def _arn(self, name: str) -> str:
        """Of a queue, a table or the bucket, by its logical id."""
        physical = self.made[name]
        if name.endswith("Queue"):
            return self.queue(physical)
        return self.table(physical) if name.endswith("Table") else f"arn:aws:s3:::{physical}"

    def queue(self, url: str) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account}:{url.rpartition('/')[2]}"

    def table(self, name: str) -> str:
        return f"arn:aws:dynamodb:{self.region}:{self.account}:table/{name}"

    def wanted(self, operation: str, path: str, given: Mapping[str, Any]) -> list[Asked]:
        """The actions, and on what, that a request to SQS, DynamoDB or S3 is authorised by."""
        action = _ACTIONS.get(operation, operation)
        match action.partition(":")[0]:
            case "sqs":
                return [(action, self.queue(given["QueueUrl"]))]
            case "dynamodb":
                names = given.get("RequestItems") or [given["TableName"]]
                index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
                return [(action, self.table(name) + index) for name in names]
            case "s3":
                where = unquote(path.partition("?")[0].strip("/"))
                return [(action, f"arn:aws:s3:::{where}")]
            case "sts":
                return []  # GetCallerIdentity is denied to nobody
            case other:
                msg = f"no worker asks {other}"
                raise AssertionError(msg)

    def may(self, asks: list[Asked]) -> bool:
        """Whether all of it is allowed, and note it."""
        refused = {one for one in asks if not self.allows(*one)}
        self.denied |= refused
        self.asked |= set(asks) - refused
        return not refused

    def may_call(self, path: str, region: str) -> str:
        """The action that a call of a model lacks, or nothing.

        A profile is called on itself, and through itself on every model that it leads to.
        """
        _, _, model, verb = unquote(path).split("/")
        streamed = verb in _STREAMED
        action = "bedrock:InvokeModelWithResponseStream" if streamed else "bedrock:InvokeModel"
        profile = f"arn:aws:bedrock:{region}:{self.account}:inference-profile/{model}"
        if profile in self.made["ProfileArns"].split(","):
            allowed = self.allows(action, profile) and all(
                self.allows(action, arn, bedrock_InferenceProfileArn=profile)
                for arn in self.leads_to
            )
            arn = profile
        else:
            arn = f"arn:aws:bedrock:{region}::foundation-model/{model}"
            allowed = self.allows(action, arn)
        (self.asked if allowed else self.denied).add((action, arn))
        return "" if allowed else action


def _like(text: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


@contextmanager
def guarded() -> Iterator[list[Role]]:
    """Stacks that are entered in here ask the role in the list, if there is one."""
    roles: list[Role] = []
    real = front.server

    def server(houses: front.Houses) -> web.Server:
        def role_of(request: web.BaseRequest) -> Role | None:
            ours = request.headers.get("X-Amz-Security-Token") == TOKEN
            return roles[-1] if ours and roles else None

        async def emulator(request: web.BaseRequest) -> web.StreamResponse:
            if (role := role_of(request)) is not None:
                body = await request.read()
                given = json.loads(body) if body.startswith(b"{") else {}
                operation = operation_of(request)
                if not role.may(role.wanted(operation, request.raw_path, given)):
                    return _denied(operation.partition(":")[0])
            return await houses.emulator(request)

        async def bedrock(request: web.BaseRequest) -> web.StreamResponse:
            if (role := role_of(request)) is not None:
                region, _ = scope_of(request)
                if lacks := role.may_call(request.raw_path, region):
                    return _not_authorized(lacks)
            return await houses.bedrock(request)

        return real(
            front.Houses(
                bedrock=bedrock, control=houses.control, agent=houses.agent, emulator=emulator
            )
        )

    with patch.object(front, "server", server):
        yield roles


def _denied(service: str) -> web.Response:
    if service == "s3":
        text = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        return web.Response(status=403, content_type="application/xml", text=text)
    code, status = _CODES[service]
    return web.json_response({"__type": code, "message": "not authorized"}, status=status)


def _not_authorized(action: str) -> web.Response:
    return web.json_response(
        {"message": f"User: somebody is not authorized to perform: {action} on resource: it"},
        status=403,
        headers={"x-amzn-ErrorType": "AccessDeniedException"},
    )
