"""The way to the emulator, with the fault layer across it."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final
from uuid import uuid4
from xml.sax.saxutils import escape

import orjson
from aiohttp import web

from worker.local import wire
from worker.local.asgi import forward
from worker.local.emulator import AsgiApp
from worker.local.faults import (
    Delay,
    Duplicate,
    Faults,
    LoseRequest,
    LoseResponse,
    Redeliver,
    Refuse,
)
from worker.local.operations import operation_of

_RECEIVE: Final = "sqs:ReceiveMessage"


class Gateway:
    """Carries requests to the emulator, and breaks those that a rule wants broken."""

    def __init__(self, app: AsgiApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request for anything but Bedrock."""
        operation = operation_of(request)
        body = await request.read()
        match self._faults.decide(operation, request.raw_path, body):
            case None:
                pass
            case Delay(delay_s):
                await asyncio.sleep(delay_s)
            case Refuse() as refuse:
                return _refusal(operation, refuse)
            case LoseRequest():
                await wire.reset(request)
            case LoseResponse():
                await forward(self._app, request, body)
                await wire.reset(request)
            case Duplicate():
                await forward(self._app, request, body)
            case Redeliver():
                answer = await forward(self._app, request, body)
                if operation == _RECEIVE:
                    await self._show_again(request, body, answer)
                return answer
        return await forward(self._app, request, body)

    async def _show_again(
        self, request: web.BaseRequest, asked: bytes, answer: web.Response
    ) -> None:
        if answer.status != HTTPStatus.OK or not isinstance(answer.body, bytes):
            return
        messages = orjson.loads(answer.body).get("Messages", ())
        if not messages:
            return
        entries = [
            {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for n, message in enumerate(messages)
        ]
        queue_url = orjson.loads(asked)["QueueUrl"]
        body = orjson.dumps({"QueueUrl": queue_url, "Entries": entries})
        headers = list(_retargeted(request, "AmazonSQS.ChangeMessageVisibilityBatch", len(body)))
        await forward(self._app, request, body, headers)


def _retargeted(
    request: web.BaseRequest, target: str, body_bytes: int
) -> Iterator[tuple[bytes, bytes]]:
    for name, value in request.raw_headers:
        match name.lower():
            case b"x-amz-target":
                yield name, target.encode()
            case b"content-length":
                yield name, str(body_bytes).encode()
            case _:
                yield name, value


def _refusal(operation: str, refuse: Refuse) -> web.Response:
    request_id = str(uuid4())
    if operation.startswith("s3:"):
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f"<Error><Code>{escape(refuse.code)}</Code><Message>{escape(refuse.message)}</Message>"
            f"<RequestId>{request_id}</RequestId></Error>"
        )
        headers = {"Content-Type": "application/xml", "x-amz-request-id": request_id}
        return web.Response(status=refuse.status, headers=headers, body=body.encode())
    fault = "Sender" if refuse.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "x-amzn-RequestId": request_id,
        # SQS keeps the codes of its older protocol in this header; others ignore it.
        "x-amzn-query-error": f"{refuse.code};{fault}",
    }
    answer = orjson.dumps({"__type": refuse.code, "message": refuse.message})
    return web.Response(status=refuse.status, headers=headers, body=answer)
