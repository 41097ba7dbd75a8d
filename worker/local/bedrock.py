"""A stand-in for Amazon Bedrock Runtime, over its real wire protocol.

It serves Converse, ConverseStream, InvokeModel and InvokeModelWithResponseStream
for any model id, profile id or ARN. What a call comes to is decided by the mood of
its target: the model in the path, and the Region that the client signed for.

It answers with invented text and checks requests where the service would, but it
verifies no signature, runs no tool, applies no guardrail, and reads no image.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NoReturn
from uuid import uuid4

from aiohttp import web

from worker.local import dialects, wire
from worker.local.calls import Call, RefusedError, check, read
from worker.local.dialogue import Ask, Reply, reply_to
from worker.local.errors import ERRORS
from worker.local.moods import Mood, Temper
from worker.local.outcomes import (
    Answer,
    Close,
    Drip,
    EndEarly,
    Fail,
    Hang,
    Outcome,
    Page,
    Reset,
    StreamFault,
)
from worker.local.stats import Stats, Target
from worker.local.wire import Delivery, Pace

ANY: Final = "*"
_TEMPERS_MAX: Final = 1_000
_WELL: Final = Mood()
_EVENTS_AROUND: Final = 4  # messageStart, contentBlockStop, messageStop, metadata


class Bedrock:
    """The stand-in: set its moods, read its stats.

    `known_models` refuses every model that is not in it; None takes any.
    """

    def __init__(self) -> None:
        self.stats = Stats()
        self.known_models: frozenset[str] | None = None
        self._moods: dict[tuple[str, str], tuple[Mood, float]] = {}
        self._tempers: OrderedDict[tuple[str, str], Temper] = OrderedDict()

    def set_mood(self, mood: Mood | None, *, model: str = ANY, region: str = ANY) -> None:
        """Put a model in a Region in `mood`, from now; None takes the mood away.

        `*` stands for every model or Region. The most exact mood counts: model
        and Region, then the model anywhere, then the Region, then `*` and `*`.
        Every target has dice, quotas and a place in the script of its own, and
        those that `model` and `region` name start afresh.
        """
        if mood is None:
            self._moods.pop((model, region), None)
        else:
            self._moods[model, region] = (mood, asyncio.get_running_loop().time())
        for known in list(self._tempers):
            if model in (ANY, known[0]) and region in (ANY, known[1]):
                del self._tempers[known]

    def clear_moods(self) -> None:
        """Let every model answer well again."""
        self._moods.clear()
        self._tempers.clear()

    def moods(self) -> list[tuple[str, str, Mood]]:
        """Every mood that is set, with its model and Region."""
        return [(model, region, mood) for (model, region), (mood, _) in self._moods.items()]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request whose path begins with `calls.PREFIX`."""
        call = await read(request)
        self.stats.begin(call.target, call.job)
        try:
            return await self._serve(call)
        except RefusedError as refused:
            return await _refuse(call, refused.failure)
        finally:
            self.stats.end(call.target, call.job, call.ending)

    async def _serve(self, call: Call) -> web.StreamResponse:
        ask = check(call, self.known_models)
        temper = self._temper(call.target, call.started)
        decision = temper.decide(call.started, ask.reserved_tokens)
        outcome = decision.outcome if call.streams else _for_unary(decision.outcome)
        used_tokens = 0
        try:
            match outcome:
                case Fail() | Page():
                    return await _refuse(call, outcome)
                case Hang(None) | Reset(None) | Close(None):
                    await _vanish(call, outcome)
                case _:
                    pass
            answer = outcome if isinstance(outcome, Answer) else Answer()
            reply = reply_to(ask, temper.mood, answer)
            used_tokens = reply.input_tokens + reply.output_tokens
            saying = _Saying(call, ask, reply, answer, outcome, decision.latency_s)
            if call.streams:
                return await saying.stream(temper.mood.first_token_share)
            return await saying.whole()
        finally:
            temper.settle(decision, used_tokens)

    def _temper(self, target: Target, now: float) -> Temper:
        key = (target.model, target.region)
        if (temper := self._tempers.get(key)) is not None:
            return temper
        for named in (key, (target.model, ANY), (ANY, target.region), (ANY, ANY)):
            if named in self._moods:
                mood, since = self._moods[named]
                break
        else:
            mood, since = _WELL, now
        if len(self._tempers) >= _TEMPERS_MAX:
            self._tempers.popitem(last=False)
        temper = self._tempers[key] = Temper(mood, "/".join(key), since)
        return temper


@dataclass(frozen=True, slots=True)
class _Saying:
    """A reply on its way out, with what is to become of it."""

    call: Call
    ask: Ask
    reply: Reply
    answer: Answer
    outcome: Delivery
    latency_s: float

    async def whole(self) -> web.StreamResponse:
        await asyncio.sleep(self.latency_s)
        call, omit = self.call, self.answer.omit
        headers = {"x-amzn-RequestId": str(uuid4())}
        if call.converses:
            body = dialects.converse_body(self.ask, self.reply, call.latency_ms, omit)
        else:
            body = dialects.invoke_body(call.target.model, self.reply, omit)
            headers["X-Amzn-Bedrock-Input-Token-Count"] = str(self.reply.input_tokens)
            headers["X-Amzn-Bedrock-Output-Token-Count"] = str(self.reply.output_tokens)
            headers["X-Amzn-Bedrock-Invocation-Latency"] = str(call.latency_ms())
        return await self._sent(wire.send_whole(call.request, self.outcome, headers, body))

    async def stream(self, first_token_share: float) -> web.StreamResponse:
        call, omit = self.call, self.answer.omit
        headers = {"x-amzn-RequestId": str(uuid4())}
        if call.converses:
            frames = dialects.converse_frames(self.ask, self.reply, call.latency_ms, omit)
        else:
            model = call.target.model
            frames = dialects.invoke_frames(model, self.reply, call.latency_ms, omit)
        first_s = self.latency_s * first_token_share
        gaps = len(self.reply.pieces()) + _EVENTS_AROUND - 1
        pace = Pace(first_s, (self.latency_s - first_s) / gaps)
        return await self._sent(wire.send_stream(call.request, self.outcome, headers, frames, pace))

    async def _sent(self, sending: Coroutine[None, None, web.StreamResponse]) -> web.StreamResponse:
        match self.outcome:
            case Answer() | Drip():
                response = await sending
                self.call.ending = "incomplete" if self.answer.omit else "answer"
                return response
            case StreamFault(exception=name):
                self.call.ending = name
            case Hang() | Reset() | Close() | EndEarly():
                self.call.ending = self.outcome.kind
        return await sending


async def _refuse(call: Call, outcome: Fail | Page) -> web.StreamResponse:
    match outcome:
        case Fail():
            await asyncio.sleep(outcome.after_s)
            call.ending = outcome.error
            return wire.refusal(outcome)
        case Page():
            call.ending = f"page_{outcome.status}"
            return wire.page(outcome)


async def _vanish(call: Call, outcome: Hang | Reset | Close) -> NoReturn:
    call.ending = outcome.kind
    match outcome:
        case Hang():
            await wire.silence()
        case Reset():
            await wire.reset(call.request)
        case Close():
            await wire.close(call.request)


def _for_unary(outcome: Outcome) -> Outcome:
    """A unary call has no frames: its error comes as an answer of its own."""
    match outcome:
        case StreamFault(exception, message):
            code = exception[:1].upper() + exception[1:]
            status = None if code in ERRORS else HTTPStatus.INTERNAL_SERVER_ERROR
            original_status = outcome.original_status
            return Fail(code, message, status, original_status=original_status)
        case _:
            return outcome
