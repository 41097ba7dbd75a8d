"""What the demo sends, and what must become of it.

Every prompt holds the canary, a phrase that must not turn up in any log; and every
answer begins with a digest of its prompt, so that it can be told whose it is.
"""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from worker.cli.demo.plans import BATCH, CHAT, DEFAULT
from worker.local.dialogue import Ask, reply_to
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Answer, Fail, LogNormal

LARGE_BYTES: Final = 600 * 1024
SHORT_TOKENS: Final = 200
STREAMED_TOKENS: Final = 1024  # from here on the worker uses ConverseStream

MOOD: Final = Mood(
    latency=LogNormal(0.55, 1.5),
    chances=(
        Chance(0.03, Fail("ServiceUnavailableException")),
        Chance(0.01, Fail("ThrottlingException")),
    ),
    output_tokens=48,
)
MOOD_IN_WORDS: Final = (
    "a stand-in: invents answers in 0.2 to 1.5 s each; 3 % of its calls end with 503, "
    "1 % are throttled"
)
BROWNOUT_RATE: Final = 0.3
_QUICK: Final = LogNormal(0.3, 0.8)
WELL: Final = replace(MOOD, latency=_QUICK, chances=())
BROWNOUT: Final = replace(
    WELL, chances=(Chance(BROWNOUT_RATE, Fail("ServiceUnavailableException", after_s=0.1)),)
)
OUTAGE: Final = replace(
    WELL,
    chances=(
        Chance(0.6, Fail("ServiceUnavailableException", after_s=0.1)),
        Chance(0.4, Fail("InternalServerException", after_s=0.3)),
    ),
)


class Sort(StrEnum):
    """Sorts of jobs; the value is what the report calls them."""

    SHORT = "short question"
    STREAMED = "long answer, streamed"
    LARGE = "600 KiB question, by way of S3"
    TWICE = "sent twice under one id"
    LATE = "deadline already over"
    REFUSED = "refused by the model"
    MALFORMED = "malformed body"
    BROWNOUT = "sent during the brown-out"
    MOVED = "sent while one Region fails"
    CHAT = "chat, sent while both fail"
    BATCH = "batch, sent while both fail"


# How many of 300; the rest are short ones.
SHARES: Final[Mapping[Sort, int]] = {
    Sort.STREAMED: 72,
    Sort.TWICE: 12,
    Sort.MALFORMED: 8,
    Sort.LARGE: 4,
    Sort.REFUSED: 2,
    Sort.LATE: 2,
}
OF: Final = 300
# Those of the first act are sent one by one, and not mixed.
FIRST_ACT: Final = frozenset({Sort.BROWNOUT, Sort.MOVED, Sort.CHAT, Sort.BATCH})
QUESTIONS: Final = 8  # people who chat ask the same few things
JOBS_MIN: Final = 60  # fewer are done before a worker can be killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One job to send.

    Attributes:
        body: The message's text if it is sent raw; else `tree` goes through the client.
        dies: The reason for which it must be given up; "" if it must be answered.
        answer: What the model must say to it.
    """

    sort: Sort
    tree: Mapping[str, Any] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)
    dies: str = ""
    answer: str = field(default="", repr=False)

    @property
    def times(self) -> int:
        """How many messages it is."""
        return 2 if self.sort is Sort.TWICE else 1

    @property
    def route(self) -> str:
        """The route that it names."""
        return str(self.tree.get("route", DEFAULT))

    @property
    def may_degrade(self) -> bool:
        """Whether a second-best answer is one."""
        return self.sort is Sort.CHAT


def orders(jobs: int, canary: str) -> list[Order]:
    """A mix of `jobs` jobs in an order that is the same every time."""
    sorts = [sort for sort, share in SHARES.items() for _ in range(max(1, share * jobs // OF))]
    sorts += [Sort.SHORT] * (jobs - len(sorts))
    random.Random(jobs).shuffle(sorts)  # noqa: S311  (dice, not secrets)
    garbage = itertools.cycle(_GARBAGE)
    return [
        _malformed(next(garbage), _prompt(number, canary))
        if sort is Sort.MALFORMED
        else _order(sort, number, _prompt(number, canary))
        for number, sort in enumerate(sorts, start=1)
    ]


def question(sort: Sort, number: int, canary: str) -> Order:
    """One question of the first act; of those sent while one Region fails every other is chat."""
    match sort:
        case Sort.BROWNOUT:
            route = DEFAULT
        case Sort.MOVED:
            route = CHAT if number % 2 else BATCH
        case _:
            route = CHAT if sort is Sort.CHAT else BATCH
    asks = number // 2 % QUESTIONS if route == CHAT else number
    order = _order(sort, number, _prompt(asks, canary))
    return order if route == DEFAULT else replace(order, tree={**order.tree, "route": route})


def _prompt(number: int, canary: str) -> str:
    return f"Question {number}: why is the sky blue? ({canary})"


def _order(sort: Sort, number: int, prompt: str) -> Order:
    tree: dict[str, Any] = {
        "id": f"{_ID.get(sort, 'demo')}-{number:03}",
        "prompt": prompt,
        "inference": {"maxTokens": SHORT_TOKENS},
    }
    match sort:
        case Sort.STREAMED:
            tree["inference"] = {"maxTokens": STREAMED_TOKENS}
        case Sort.LARGE:
            prompt = tree["prompt"] = (prompt + "\n") * (LARGE_BYTES // len(prompt))
        case Sort.LATE:
            return Order(sort=sort, tree={**tree, "deadline_s": 0.05}, dies="expired")
        case Sort.REFUSED:
            # A conversation must start with the user; only the model itself knows.
            said = [{"role": "assistant", "content": [{"text": prompt}]}]
            return Order(sort=sort, tree={"id": tree["id"], "messages": said}, dies="rejected")
        case _:
            pass  # a plain question
    ask = Ask(prompt, tree["inference"]["maxTokens"])
    return Order(sort=sort, tree=tree, answer=reply_to(ask, MOOD, Answer()).text)


_ID: Final[Mapping[Sort, str]] = {
    Sort.BROWNOUT: "brownout",
    Sort.MOVED: "moved",
    Sort.CHAT: "chat",
    Sort.BATCH: "batch",
}
_GARBAGE: Final = ("not_json", "unknown_field", "missing_field", "schema")


def _malformed(reason: str, prompt: str) -> Order:
    bodies = {
        "not_json": f'{{"prompt": "{prompt}',
        "unknown_field": orjson.dumps({"prompt": prompt, "temprature": 0.2}).decode(),
        "missing_field": orjson.dumps({"system": prompt}).decode(),
        "schema": orjson.dumps({"v": 2, "prompt": prompt}).decode(),
    }
    return Order(sort=Sort.MALFORMED, body=bodies[reason], dies=reason)
