"""The stage of these tests: the local stack and the workers, each a process of its own.

Everything is real: `python -m worker local up` serves on a port of its own, and
workers are `python -m worker run` in an environment that holds nothing but what a
test gives them. A test talks to the queues, the table and the bucket with plain
SDK clients, as a producer or an operator would.

Nothing here sleeps for an effect: `until` asks again until a condition holds, and
fails when its deadline is over. Only processes that a stage started are ended.
"""

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeVar
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from pydantic import TypeAdapter

from worker.aws.dead_letters import ROW_PREFIX
from worker.aws.ledger_item import decode
from worker.core.ledger import Record, State
from worker.local.control import FaultsOrder, MoodOrder, MoodsOrder
from worker.local.faults import Rule
from worker.local.moods import Mood

T = TypeVar("T")

WITHIN_S: Final = 60.0  # far above what is needed: a busy machine is no failure
POLL_S: Final = 0.05
TAIL_LINES: Final = 40
_BATCH: Final = 10
_BATCH_BYTES: Final = 900_000
# What Python and the SDK need, and nothing that this machine happens to have set.
_CLEAN: Final = {
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONUNBUFFERED": "1",
    "PYTHONDEVMODE": "",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def until(ask: Callable[[], T], *, says: str, within_s: float = WITHIN_S) -> T:
    """The first answer that is true; fails with `says` and the last one after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            msg = f"not within {within_s:g} s: {says} (last answer: {answer!r})"
            raise AssertionError(msg)
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages of a queue may be received, are in hand, and come later."""

    visible: int
    in_hand: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.in_hand + self.delayed


@dataclass(frozen=True, slots=True)
class Message:
    """What a test receives from a queue."""

    id: str
    body: str
    attributes: Mapping[str, str]

    @property
    def story(self) -> Mapping[str, Any]:
        """The story of a dead letter."""
        told: Mapping[str, Any] = json.loads(self.attributes["iw-dead"])
        return told


@dataclass(slots=True)
class Worker:
    """One worker process, and what it has said."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def log(self) -> str:
        """All that it has written."""
        return self.out.read_text() + self.err.read_text()

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Its events so far, of one name or all."""
        # The last line may be half written: it has no line end yet.
        whole = self.out.read_text().rpartition("\n")[0].splitlines()
        told = [json.loads(line) for line in whole if line.startswith('{"at"')]
        return [line for line in told if event in ("", line["event"])]

    def wait_for(self, event: str, *, times: int = 1, within_s: float = WITHIN_S) -> None:
        """Until it told `event` so often."""

        def told() -> bool:
            alive = self.process.poll() is None
            return len(self.lines(event)) >= times or not alive

        until(told, says=f"{self.name} tells {event} {times} times", within_s=within_s)
        count = len(self.lines(event))
        assert count >= times, f"{self.name} ended after {count} of {times} {event}"

    def memory_kib(self, name: str = "VmRSS") -> int:
        """A figure of its /proc status, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1])

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, *, within_s: float = WITHIN_S) -> int:
        """Its exit code, once it has one."""
        return self.process.wait(within_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.send(signal.SIGTERM)
        return self.ended()

    def tail(self) -> str:
        lines = self.log().splitlines()[-TAIL_LINES:]
        code = self.process.poll()
        head = f"--- worker {self.name}, exit code {code}, last {len(lines)} lines ---"
        return "\n".join((head, *(line[:400] for line in lines)))


@dataclass(slots=True)
class Stage:
    """A stack, its clients, and the workers that a test starts. A context manager."""

    folder: Path
    workers: list[Worker] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    jobs_url: str = ""
    parked_url: str = ""
    dead_url: str = ""
    bucket: str = ""
    table: str = "inference-worker-jobs"
    sqs: Any = None
    dynamodb: Any = None
    s3: Any = None
    _host: str = ""
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        err = self._open.enter_context((self.folder / "stack.err").open("wb"))
        stack = subprocess.Popen(
            [sys.executable, "-m", "worker", "local", "up"],
            cwd=self.folder,
            env=_CLEAN,
            stdout=subprocess.PIPE,
            stderr=err,
        )
        self._open.callback(_end, stack)
        assert stack.stdout is not None, "it is a pipe"
        self.variables = dict(_exports(self._open.enter_context(stack.stdout)))
        self.jobs_url = self.variables["WORKER_QUEUE__URL"]
        self.parked_url = self.jobs_url.removesuffix("-jobs") + "-parked"
        self.dead_url = self.jobs_url.removesuffix("-jobs") + "-dead"
        self.bucket = self.variables["WORKER_PAYLOADS__BUCKET"]
        self._host = urlsplit(self.jobs_url).netloc
        self.sqs, self.dynamodb, self.s3 = map(self.client, ("sqs", "dynamodb", "s3"))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self._open.close()

    @property
    def url(self) -> str:
        return f"http://{self._host}"

    def tails(self) -> str:
        return "\n".join(worker.tail() for worker in self.workers)

    # --- workers ------------------------------------------------------------------

    def worker(self, name: str, toml: str = "", /, **variables: object) -> Worker:
        """Start a worker, and wait until it takes jobs.

        `toml` is its settings file. `variables` are settings (`slots=5`,
        `queue__lease_s=3`), or with a name in capitals any variable of its environment.
        """
        environment = _CLEAN | self.variables | {"WORKER_QUEUE__WAIT_S": "2"}
        if toml:
            environment = {k: v for k, v in environment.items() if not k.startswith("WORKER_")}
            config = self.folder / f"{name}.toml"
            config.write_text(toml)
            environment["WORKER_CONFIG"] = str(config)
        for key, value in variables.items():
            environment[key if key.isupper() else f"WORKER_{key.upper()}"] = str(value)
        out, err = self.folder / f"{name}.out", self.folder / f"{name}.err"
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run"],
                cwd=self.folder,
                env=environment,
                stdout=to_out,
                stderr=to_err,
            )
        worker = Worker(name, process, out, err)
        self.workers.append(worker)
        worker.wait_for("worker.started")
        return worker

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command as an operator does, with the settings of the stack."""
        return subprocess.run(  # noqa: S603  (our own program)
            [sys.executable, "-m", "worker", *arguments],
            cwd=self.folder,
            env=_CLEAN | self.variables,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one command as an operator does; whoever starts it waits for its end."""
        return subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-m", "worker", *arguments],
            cwd=self.folder,
            env=_CLEAN | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    # --- queues -------------------------------------------------------------------

    def make_queue(self, name: str) -> str:
        """Make a plain queue, and return its URL."""
        url: str = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        return url

    def send(self, jobs: Iterable[Mapping[str, Any] | str], *, url: str = "") -> list[str]:
        """Send jobs, or bodies as they are, and return their MessageIds."""
        bodies = [job if isinstance(job, str) else json.dumps(job) for job in jobs]
        sent: list[str] = []
        for batch in _batches(bodies):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(batch)]
            answer = self.sqs.send_message_batch(QueueUrl=url or self.jobs_url, Entries=entries)
            assert not answer.get("Failed"), answer["Failed"]
            by_entry = {done["Id"]: done["MessageId"] for done in answer["Successful"]}
            sent += [by_entry[entry["Id"]] for entry in entries]
        return sent

    def depth(self, url: str = "") -> Depth:
        """What a queue holds; of the jobs queue when none is named."""
        names = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        )
        answer = self.sqs.get_queue_attributes(
            QueueUrl=url or self.jobs_url, AttributeNames=list(names)
        )
        return Depth(*(int(answer["Attributes"][name]) for name in names))

    def received(self, url: str) -> list[Message]:
        """Everything that may be received, and stays in hand."""
        found: list[Message] = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=600,
                MessageAttributeNames=["All"],
            )
            if not (messages := answer.get("Messages", ())):
                return found
            found += [
                Message(
                    id=message["MessageId"],
                    body=message["Body"],
                    attributes={
                        name: value["StringValue"]
                        for name, value in message.get("MessageAttributes", {}).items()
                    },
                )
                for message in messages
            ]

    def settled(self) -> bool:
        """Whether nothing waits, and nothing is in hand."""
        return self.depth().total == 0 and self.depth(self.parked_url).total == 0

    # --- ledger and objects -------------------------------------------------------

    def records(self) -> dict[str, Record]:
        """Every record of the ledger, by job."""
        found: dict[str, Record] = {}
        for page in self.dynamodb.get_paginator("scan").paginate(
            TableName=self.table, ConsistentRead=True
        ):
            for item in page["Items"]:
                if item["job"]["S"].startswith(ROW_PREFIX):
                    continue
                record = decode(item)
                assert record.job not in found, "one item per job"
                found[record.job] = record
        return found

    def states(self) -> dict[State, int]:
        """How many records there are of each state."""
        count: dict[State, int] = {}
        for record in self.records().values():
            count[record.state] = count.get(record.state, 0) + 1
        return count

    def put_object(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def get_object(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        with self.s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
            content: bytes = body.read()
        return content

    # --- what the models and the services do ----------------------------------------

    def mood(self, mood: Mood, model: str = "*") -> None:
        """Put a model in a mood, from now."""
        order = MoodsOrder((MoodOrder(mood, model),))
        self._control("PUT", "moods", TypeAdapter(MoodsOrder).dump_json(order))

    def faults(self, *rules: Rule) -> None:
        """Put these rules in the place of all others; none lets every call take its course."""
        order = FaultsOrder(rules, seed=1)
        self._control("PUT", "faults", TypeAdapter(FaultsOrder).dump_json(order))

    def stats(self) -> dict[str, Any]:
        """What the stack has counted."""
        return self._control("GET", "stats")

    def in_flight(self) -> int:
        """Calls that models are working on."""
        count: int = self.stats()["bedrock"]["in_flight"]
        return count

    def calls_by_job(self) -> dict[str, int]:
        """HTTP requests to models that were made for each job."""
        calls: dict[str, int] = self.stats()["bedrock"]["calls_by_job"]
        return calls

    def _control(self, method: str, name: str, body: bytes | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, timeout=WITHIN_S)
        try:
            connection.request(method, f"/_local/{name}", body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status == http.HTTPStatus.OK, content
        told: dict[str, Any] = json.loads(content)
        return told

    def client(self, service: str) -> Any:
        """A plain client of the SDK, closed with the stage."""
        session = botocore.session.Session()
        session.set_credentials(
            self.variables["AWS_ACCESS_KEY_ID"], self.variables["AWS_SECRET_ACCESS_KEY"]
        )
        client = session.create_client(
            service,
            region_name=self.variables["AWS_REGION"],
            endpoint_url=self.url,
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
        )
        self._open.callback(client.close)
        return client


def _exports(out: BinaryIO | Any) -> Iterator[tuple[str, str]]:
    """The variables that the stack prints; the last of them ends the reading."""
    for line in out:
        word, _, assignment = line.decode().partition(" ")
        assert word == "export", f"the stack says {line!r}"
        name, _, value = assignment.partition("=")
        yield name, shlex.split(value)[0]
        if name == "WORKER_PAYLOADS__BUCKET":
            return
    msg = "the stack ended before it was up"
    raise AssertionError(msg)


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        length = len(body.encode())
        if batch and (len(batch) == _BATCH or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += length
    if batch:
        yield batch


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
