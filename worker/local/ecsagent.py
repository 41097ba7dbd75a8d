"""The ECS agent's task-protection endpoint, for `ECS_AGENT_URI=<url>/ecs`.

    PUT|GET <ECS_AGENT_URI>/task-protection/v1/state

Workers that share a stack take an id of their own (`<url>/ecs/<task>`); each has
its own state. Every call is recorded. Contract: "Amazon ECS task scale-in
protection endpoint" in the ECS developer guide.
"""

from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

PREFIX: Final = "/ecs"
SUFFIX: Final = "/task-protection/v1/state"

_CALLS_MAX: Final = 1_000
_TASKS_MAX: Final = 1_000
_EXPIRES_MAX_MIN: Final = 2_880
_EXPIRES_DEFAULT_MIN: Final = 120


@dataclass(frozen=True, slots=True)
class AgentCall:
    """One call to the endpoint; `enabled` and `expires_min` are None for a GET."""

    task: str
    method: str
    enabled: bool | None
    expires_min: int | None
    status: int


class EcsAgent:
    """The agent: `calls` are the latest 1,000, oldest first.

    While `failure` is a reason such as `DEPLOYMENT_BLOCKED`, every PUT is answered
    with it, and changes nothing.
    """

    def __init__(self) -> None:
        self.calls: deque[AgentCall] = deque(maxlen=_CALLS_MAX)
        self.failure: str | None = None
        self._expires_at: dict[str, datetime] = {}

    def protected(self) -> dict[str, str]:
        """The tasks under protection, and until when (ISO 8601)."""
        now = datetime.now(UTC)
        return {task: _iso(until) for task, until in self._expires_at.items() if until > now}

    def as_json(self) -> dict[str, object]:
        """Calls and states as JSON values."""
        return {"calls": [asdict(call) for call in self.calls], "protected": self.protected()}

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request for a path between `PREFIX` and `SUFFIX`."""
        path = request.raw_path.partition("?")[0]
        task = path.removeprefix(PREFIX).removesuffix(SUFFIX).strip("/") or "local"
        arn = f"arn:aws:ecs:us-east-1:000000000000:task/local/{task}"
        if request.method == "GET":
            return self._told(task, arn, "GET", enabled=None, expires_min=None)
        if request.method != "PUT":
            return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "only GET and PUT are served"})
        asked = _asked(await request.read())
        if isinstance(asked, str):
            self.calls.append(AgentCall(task, "PUT", None, None, HTTPStatus.BAD_REQUEST))
            error = {"Arn": arn, "Code": "InvalidParameterException", "Message": asked}
            return _json(HTTPStatus.BAD_REQUEST, {"error": error})
        enabled, expires_min = asked
        if self.failure is None:
            self._expires_at.pop(task, None)
            if enabled and len(self._expires_at) < _TASKS_MAX:
                self._expires_at[task] = datetime.now(UTC) + timedelta(minutes=expires_min)
        return self._told(task, arn, "PUT", enabled=enabled, expires_min=expires_min)

    def _told(
        self, task: str, arn: str, method: str, *, enabled: bool | None, expires_min: int | None
    ) -> web.Response:
        self.calls.append(AgentCall(task, method, enabled, expires_min, HTTPStatus.OK))
        if method == "PUT" and self.failure is not None:
            failure = {"Arn": arn, "Reason": self.failure, "Detail": None}
            return _json(HTTPStatus.OK, {"failure": failure})
        until = self.protected().get(task)
        protection = {"ExpirationDate": until, "ProtectionEnabled": bool(until), "TaskArn": arn}
        return _json(HTTPStatus.OK, {"protection": protection})


def _asked(raw: bytes) -> tuple[bool, int] | str:
    """What a PUT asks for, or what is wrong with it."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return "Unable to decode the request body"
    match body:
        case {"ProtectionEnabled": bool(enabled), **others} if others.keys() <= {
            "ExpiresInMinutes"
        }:
            expires_min = others.get("ExpiresInMinutes", _EXPIRES_DEFAULT_MIN)
        case _:
            return "Invalid request: does not contain 'ProtectionEnabled' field"
    if not isinstance(expires_min, int) or not 1 <= expires_min <= _EXPIRES_MAX_MIN:
        return f"Invalid value for 'ExpiresInMinutes': must be from 1 to {_EXPIRES_MAX_MIN}"
    return enabled, expires_min


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
