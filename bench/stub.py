"""The other side of the benchmark: SQS, DynamoDB and Bedrock Runtime, as cheap as they can be.

One raw asyncio protocol answers on loopback. It hands out each job once, keeps
what UpdateItem sets and returns it, answers Converse after a fixed latency, and
counts every call. It checks neither signatures nor conditions: the jobs here
have no rivals. It is no emulator; `worker/local` is.

    python -m bench.stub --jobs 5000 --latency-ms 20

Three lines on stdout, each one JSON object: `{"port": …}` when it listens,
`{"first": true}` at the first model call, and the counts when all are deleted.
"""

import argparse
import asyncio
import hashlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import orjson

from bench.scene import ANSWER, JOBS_QUEUE, PROMPT

AFTERWARDS_S: Final = 0.2  # long polls after the last job, so that no peer's stop waits for one

_Item = dict[str, Any]
_Ask = Mapping[str, Any]
_Answer = tuple[float, Mapping[str, Any]]


class Updates:
    """DynamoDB items, and as much of UpdateItem as the ledger uses.

    SET with `:values`, attributes, `if_not_exists(a, b)`, `+` and `-`; REMOVE;
    ADD of numbers and sets. Conditions are not looked at.
    """

    def __init__(self) -> None:
        self.items: dict[str, _Item] = {}

    def update(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one UpdateItem, and return its answer."""
        key = ask["Key"]
        text = _key_text(ask["TableName"], key)
        before = dict(self.items.get(text, {}))
        item = self.items.setdefault(text, dict(key))
        names = ask.get("ExpressionAttributeNames", {})
        values = ask.get("ExpressionAttributeValues", {})
        for verb, clauses in _parsed(ask.get("UpdateExpression", "")):
            for path, value in clauses:
                name = names.get(path, path)
                if verb == "REMOVE":
                    item.pop(name, None)
                elif verb == "ADD":
                    item[name] = _added(item.get(name), values[value])
                else:
                    item[name] = _evaluate(value, before, names, values)
        match ask.get("ReturnValues"):
            case "ALL_NEW":
                return {"Attributes": item}
            case "ALL_OLD" if before:
                return {"Attributes": before}
            case _:
                return {}

    def get(self, table: str, key: Mapping[str, Any]) -> _Item | None:
        return self.items.get(_key_text(table, key))


def _key_text(table: str, key: Mapping[str, Any]) -> str:
    return table + "".join(str(v) for attribute in key.values() for v in attribute.values())


@cache
def _parsed(expression: str) -> list[tuple[str, list[tuple[str, str]]]]:
    parts = re.split(r"\b(SET|REMOVE|ADD|DELETE)\b", expression)[1:]
    parsed = []
    for verb, text in zip(parts[::2], parts[1::2], strict=True):
        clauses = re.split(r",(?![^()]*\))", text)
        split = {"SET": "=", "ADD": None, "DELETE": None}.get(verb, "\0")
        pairs = []
        for clause in clauses:
            left, *right = clause.strip().split(split, 1)
            pairs.append((left.strip(), right[0].strip() if right else ""))
        parsed.append((verb, pairs))
    return parsed


def _evaluate(text: str, item: _Item, names: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    if text.startswith(":"):
        plain = values.get(text)
        if plain is not None:
            return plain
    if arithmetic := _sum(text):
        left, sign, right = arithmetic
        a = _evaluate(left, item, names, values)["N"]
        b = _evaluate(right, item, names, values)["N"]
        return {"N": str(int(a) + int(b) * (1 if sign == "+" else -1))}
    if text.startswith("if_not_exists("):
        name, fallback = (part.strip() for part in text[14:-1].split(",", 1))
        held = item.get(names.get(name, name))
        return held if held is not None else _evaluate(fallback, item, names, values)
    return item[names.get(text, text)]


@cache
def _sum(text: str) -> tuple[str, str, str] | None:
    found = re.fullmatch(r"(.+?)\s*([+-])\s*([^()]+)", text)
    return (found[1], found[2], found[3]) if found else None


def _added(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Mapping[str, Any]:
    (kind, value), *_ = new.items()
    if old is None:
        return new
    if kind == "N":
        return {"N": str(int(old["N"]) + int(value))}
    return {kind: sorted({*old[kind], *value})}


class World:
    """The jobs that are left, and how often each operation was called."""

    def __init__(self, jobs: int, latency_s: float) -> None:
        self.jobs = jobs
        self.latency_s = latency_s
        self.given = self.deleted = self.sent = 0
        self.calls: Counter[str] = Counter()
        self.updates = Updates()
        self.done = asyncio.Event()
        self.held: list[Callable[[], None]] = []  # long polls that wait
        self.body = orjson.dumps({"prompt": PROMPT}).decode()
        self.body_md5 = hashlib.md5(self.body.encode(), usedforsecurity=False).hexdigest()
        self.sent_ms = str(int(time.time() * 1000))
        self._answers: Mapping[str, Callable[[_Ask], _Answer]] = {
            "Query": lambda _: (0, {"Items": []}),  # a fleet of one, and calm
            "UpdateItem": lambda ask: (0, self.updates.update(ask)),
            "BatchGetItem": self._get,
            "ReceiveMessage": self._receive,
            "DeleteMessageBatch": self._delete,
            "ChangeMessageVisibilityBatch": _all_done,
            "SendMessage": self._send,
        }
        self.answer = orjson.dumps(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": ANSWER}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 420, "outputTokens": 160, "totalTokens": 580},
                "metrics": {"latencyMs": int(latency_s * 1000)},
            }
        )

    def answer_to(self, operation: str, body: bytes) -> tuple[float, bytes]:
        """After how many seconds to answer, and what."""
        self.calls[operation] += 1
        if operation == "Converse":
            if self.calls[operation] == 1:
                say({"first": True})
            return self.latency_s, self.answer
        answer = self._answers.get(operation)
        if answer is None:
            return 0, b"{}"
        after_s, told = answer(orjson.loads(body))
        return after_s, orjson.dumps(told)

    def _receive(self, ask: _Ask) -> _Answer:
        most = ask.get("MaxNumberOfMessages", 1)
        if not ask["QueueUrl"].endswith(f"/{JOBS_QUEUE}"):
            most = 0
        numbers = range(self.given, min(self.given + most, self.jobs))
        if not numbers:
            self.calls["ReceiveMessage:empty"] += 1
            return AFTERWARDS_S if self.done.is_set() else float(ask["WaitTimeSeconds"]), {}
        self.given = numbers.stop
        messages = [
            {
                "MessageId": f"{n:08x}-0000-4000-8000-000000000000",
                "ReceiptHandle": f"receipt-{n:08x}-" + "x" * 160,
                "Body": self.body,
                "MD5OfBody": self.body_md5,
                "Attributes": {"SentTimestamp": self.sent_ms, "ApproximateReceiveCount": "1"},
            }
            for n in numbers
        ]
        return 0, {"Messages": messages}

    def _delete(self, ask: _Ask) -> _Answer:
        entries = ask["Entries"]
        self.deleted += len(entries)
        if self.deleted >= self.jobs:
            self.done.set()
            for release in self.held:
                release()
            self.held.clear()
        return _all_done(ask)

    def _send(self, ask: _Ask) -> _Answer:
        md5 = hashlib.md5(ask["MessageBody"].encode(), usedforsecurity=False).hexdigest()
        self.sent += 1
        return 0, {"MessageId": f"sent-{self.sent}", "MD5OfMessageBody": md5}

    def _get(self, ask: _Ask) -> _Answer:
        found = {
            table: [i for key in want["Keys"] if (i := self.updates.get(table, key))]
            for table, want in ask["RequestItems"].items()
        }
        return 0, {"Responses": found, "UnprocessedKeys": {}}

    def report(self) -> dict[str, Any]:
        return {"jobs": self.jobs, "deleted": self.deleted, "calls": dict(self.calls)}


def _all_done(ask: _Ask) -> _Answer:
    return 0, {"Successful": [{"Id": entry["Id"]} for entry in ask["Entries"]], "Failed": []}


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests on it come one after another."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            length = _header(head, b"content-length")
            whole = end + 4 + int(length or 0)
            if len(self._unread) < whole:
                return
            body, self._unread = self._unread[end + 4 : whole], self._unread[whole:]
            after_s, answer = self._world.answer_to(_operation(head), body)
            if after_s > self._world.latency_s:
                self._hold(after_s, answer)
            elif after_s:
                self._loop.call_later(after_s, self._send, answer)
            else:
                self._send(answer)

    def _hold(self, after_s: float, answer: bytes) -> None:
        """A long poll: over when its time is, or when there is nothing more to wait for."""
        send = asyncio.get_running_loop().call_later(after_s, self._send, answer)

        def release() -> None:
            if not send.cancelled() and send.when() > self._loop.time():
                send.cancel()
                self._send(answer)

        self._world.held.append(release)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(_HEAD % len(answer) + answer)


_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\nContent-Length: %d\r\n\r\n"
)
_OPERATIONS: Final = {
    name.lower().encode(): name
    for name in (
        "ReceiveMessage",
        "DeleteMessage",
        "DeleteMessageBatch",
        "ChangeMessageVisibility",
        "ChangeMessageVisibilityBatch",
        "SendMessage",
        "SendMessageBatch",
        "GetQueueUrl",
        "GetQueueAttributes",
        "UpdateItem",
        "PutItem",
        "Query",
        "GetItem",
        "BatchGetItem",
    )
}


def _header(head: bytes, name: bytes) -> bytes:
    found = head.find(b"\r\n" + name + b":")
    return b"" if found < 0 else head[found + len(name) + 3 :].split(b"\r\n", 1)[0].strip()


def _operation(head: bytes) -> str:
    target = _header(head, b"x-amz-target")
    if target:
        name = target.rpartition(b".")[2]
        return _OPERATIONS.get(name) or name.decode()
    path = head.split(b" ", 2)[1]
    return "Converse" if path.endswith(b"/converse") else path.decode()


def say(line: Mapping[str, Any]) -> None:
    """Tell the parent process."""
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


async def serve(jobs: int, latency_s: float) -> None:
    """Listen until all jobs are deleted, tell the counts, and stay until killed."""
    world = World(jobs, latency_s)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", 0, backlog=1024)
    say({"port": server.sockets[0].getsockname()[1]})
    await world.done.wait()
    say(world.report())
    await server.serve_forever()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    args = parser.parse_args()
    asyncio.run(serve(args.jobs, args.latency_ms / 1000))


if __name__ == "__main__":
    main()
