"""What can be seen from outside: both tables by Scan, the queues, the model's own count.

Plain SDK calls and no code of the worker's, so that a mistake of the worker's is
not repeated here. All endpoints come from the environment.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import aiohttp
import orjson
from aiobotocore.session import get_session
from pydantic import TypeAdapter

from worker.cli.demo.act import Polls
from worker.cli.demo.circuit import Count, Turn
from worker.cli.demo.facts import OUT_OF_ORDER, Calls, Letter, Row
from worker.cli.demo.plans import BATCH, CHAT, DEFAULT, REGIONS
from worker.local.control import PREFIX, FaultsOrder, MoodOrder, MoodsOrder
from worker.local.faults import Delay, Rule
from worker.local.moods import Mood
from worker.settings.knobs import sibling

STREAM: Final = "ConverseStream"
_HISTORY: Final = "#history#"
# A glance leaves out the results, which are most of an item.
_GLANCE: Final = {
    "ProjectionExpression": "#job, #state, #owner, #fence, #finished_at",
    "ExpressionAttributeNames": {
        f"#{name}": name for name in ("job", "state", "owner", "fence", "finished_at")
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to look. `queues` has the jobs queue of each route."""

    url: str
    table: str
    breakers: str
    queues: Mapping[str, str]
    dead_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the stack counted at one moment: the model's calls by target, and the polls."""

    calls: Mapping[str, Count]
    polls: Polls


@dataclass(slots=True)
class Watch:
    """Eyes on the stack. `rewritten` are jobs whose final record was seen to change."""

    place: Place
    sqs: Any
    dynamodb: Any
    http: aiohttp.ClientSession
    looks: int = 0
    rewritten: set[str] = field(default_factory=set)
    _versions: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place) -> AsyncIterator[Self]:
        """Open clients of our own, and close them on leaving."""
        session = get_session()
        async with AsyncExitStack() as stack:
            sqs = await stack.enter_async_context(session.create_client("sqs"))
            dynamodb = await stack.enter_async_context(session.create_client("dynamodb"))
            http = await stack.enter_async_context(aiohttp.ClientSession(raise_for_status=True))
            yield cls(place, sqs, dynamodb, http)

    async def prepare(self) -> None:
        """Make the queues that the stack has not, and have the polls of two of them counted."""
        for url in self.place.queues.values():
            for one in (url, sibling(url, "parked")):
                await self.sqs.create_queue(QueueName=one.rpartition("/")[2])
        # A rule counts the calls that it acts upon, and these change nothing.
        names = [sibling(self.place.queues[route], "parked") for route in (BATCH, CHAT)]
        rules = tuple(
            Rule("sqs:ReceiveMessage", Delay(0.0), where=name.rpartition("/")[2]) for name in names
        )
        await self._put("faults", TypeAdapter(FaultsOrder).dump_json(FaultsOrder(rules)))

    async def set_mood(self, mood: Mood, *targets: str) -> None:
        """Tell the stand-in how the model behaves at these targets, or at all of them."""
        orders = (MoodOrder(mood, region=REGIONS[target]) for target in targets or REGIONS)
        await self._put("moods", TypeAdapter(MoodsOrder).dump_json(MoodsOrder(tuple(orders))))

    async def calls(self) -> Calls:
        """Every model call that reached the stand-in so far."""
        seen = (await self._stats())["bedrock"]
        return Calls(
            total=seen["total"],
            by_ending=seen["by_outcome"],
            by_job=seen["calls_by_job"],
            streamed=sum(t["calls"] for t in seen["by_target"] if t["operation"] == STREAM),
        )

    async def count(self, zero_at: float) -> Figures:
        """The stack's count now; `zero_at` is when the story began, seconds since 1970."""
        stats = await self._stats()
        # Taken after the answer: whatever it does not count began later than it says.
        now_s, seen, failed = time.time() - zero_at, stats["bedrock"], Counter[str]()
        for target in seen["by_target"]:
            failed[target["region"]] += sum(target["outcomes"].get(c, 0) for c in OUT_OF_ORDER)
        return Figures(
            calls={
                target: Count(now_s, seen["begun_by_region"].get(region, 0), failed[region])
                for target, region in REGIONS.items()
            },
            polls=Polls(now_s, *(rule["acted"] for rule in stats["faults"])),
        )

    async def turns(self, zero_at: float) -> tuple[Turn, ...]:
        """The history of every circuit, as the breakers' table tells it."""
        items = await self._items(self.place.breakers, {})
        rows = [item for item in items if _HISTORY in item["pk"]["S"]]
        return tuple(sorted((_turn(row, zero_at) for row in rows), key=_order_of))

    async def glance(self) -> dict[str, Row]:
        """The ledger without its results; notes final records that have changed."""
        return await self._scan(_GLANCE)

    async def ledger(self) -> dict[str, Row]:
        """The whole ledger, results included."""
        return await self._scan({})

    async def depth(self) -> dict[str, int]:
        """Messages in the queues for work: visible, in somebody's hands, or delayed."""
        urls: dict[str, str] = {}
        for route, url in self.place.queues.items():
            urls |= {jobs_queue(route): url, parked_queue(route): sibling(url, "parked")}
        counts = await asyncio.gather(*(self._count(url) for url in urls.values()))
        return dict(zip(urls, counts, strict=True))

    async def take_letters(self) -> tuple[Letter, ...]:
        """Every dead letter; they are gone from the queue afterwards."""
        letters: list[Letter] = []
        while True:
            answer = await self.sqs.receive_message(
                QueueUrl=self.place.dead_url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            )
            if not (messages := answer.get("Messages", ())):
                return tuple(letters)
            for message in messages:
                letters.append(_letter(message))
                await self.sqs.delete_message(
                    QueueUrl=self.place.dead_url, ReceiptHandle=message["ReceiptHandle"]
                )

    async def send_raw(self, body: str) -> str:
        """Send a message as anybody could, and return its MessageId."""
        sent = await self.sqs.send_message(QueueUrl=self.place.queues[DEFAULT], MessageBody=body)
        message_id: str = sent["MessageId"]
        return message_id

    async def _put(self, what: str, body: bytes) -> None:
        async with self.http.put(f"{self.place.url}{PREFIX}{what}", data=body) as answer:
            await answer.read()

    async def _stats(self) -> Any:
        async with self.http.get(f"{self.place.url}{PREFIX}stats") as answer:
            return orjson.loads(await answer.read())

    async def _scan(self, what: Mapping[str, Any]) -> dict[str, Row]:
        items = await self._items(self.place.table, what)
        rows = {row.job: row for row in map(_row, items)}
        self.looks += 1
        for job, row in rows.items():
            if self._versions.get(job, row.version) != row.version:
                self.rewritten.add(job)
            if row.final:
                self._versions.setdefault(job, row.version)
        return rows

    async def _items(self, table: str, what: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        items: list[Mapping[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = await self.dynamodb.scan(TableName=table, ConsistentRead=True, **what, **after)
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return items
            after = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def _count(self, url: str) -> int:
        kinds = ("", "NotVisible", "Delayed")
        names = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
        answer = await self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


def jobs_queue(route: str) -> str:
    """What the jobs queue of a route is called in `Watch.depth`."""
    return f"{route} jobs"


def parked_queue(route: str) -> str:
    """What the parked queue of a route is called in `Watch.depth`."""
    return f"{route} parked"


def _order_of(turn: Turn) -> tuple[float, str, int]:
    """Turns of one circuit in the order of their versions, and those of several in that of time."""
    return turn.at_s, turn.breaker, turn.version


def _text(item: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """An attribute's value, whatever its type; "" if there is none."""
    return "".join(str(value) for value in item.get(name, {}).values())


def _turn(item: Mapping[str, Mapping[str, Any]], zero_at: float) -> Turn:
    """A row of history. The key is `<service>#history#<breaker>` and the version."""
    return Turn(
        breaker=item["pk"]["S"].partition(_HISTORY)[2],
        version=int(item["sk"]["S"]),
        old=_text(item, "old"),
        new=_text(item, "new"),
        share=float(_text(item, "share")),
        round=int(_text(item, "round")),
        rest_s=float(_text(item, "cooldown_s")),
        why=_text(item, "why"),
        by=_text(item, "by"),
        at_s=float(_text(item, "at")) - zero_at,
    )


def _row(item: Mapping[str, Mapping[str, Any]]) -> Row:
    def text(name: str) -> str:
        return _text(item, name)

    return Row(
        job=item["job"]["S"],
        state=item["state"]["S"],
        owner=text("owner"),
        version=(text("state"), text("fence"), text("finished_at")),
        reason=text("reason"),
        charged=int(text("attempts") or 0),
        parks=int(text("parks") or 0),
        interruptions=int(text("interruptions") or 0),
        crashes=int(text("crashes") or 0),
        finished_at=float(text("finished_at") or 0),
        envelope=orjson.loads(item["result"]["B"]) if "result" in item else {},
    )


def _letter(message: Mapping[str, Any]) -> Letter:
    told = {
        name: attribute["StringValue"]
        for name, attribute in message.get("MessageAttributes", {}).items()
    }
    story = orjson.loads(told.get("iw-dead", "{}"))
    return Letter(
        job=told.get("iw-job", message["MessageId"]),
        reason=told.get("iw-reason", ""),
        fingerprint=told.get("iw-fingerprint", ""),
        detail=story.get("detail", ""),
        body=message["Body"],
    )
