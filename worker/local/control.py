"""The control plane: moods, faults and figures over HTTP, for other processes.

    GET    /_local/health
    GET    /_local/stats            POST /_local/reset-stats
    GET    /_local/moods            PUT  {"moods": [{"model", "region", "mood"}]}     DELETE
    GET    /_local/models           PUT  {"known": [...] or null}
    GET    /_local/faults           PUT  {"rules": [...], "seed": 0}                  DELETE

Bodies are the dataclasses of `moods`, `outcomes` and `faults` as JSON, field by
field; a field that they do not have is refused with 400 and its name. PUT on
moods sets those that it names (a null mood takes one away) and leaves the others;
PUT on faults puts its rules in the place of all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from worker.local.bedrock import ANY, Bedrock
from worker.local.ecsagent import EcsAgent
from worker.local.faults import Faults, Rule
from worker.local.moods import Mood
from worker.local.outcomes import Wire

PREFIX: Final = "/_local/"


@dataclass(frozen=True, slots=True)
class MoodOrder(Wire):
    """One mood and where it belongs; `mood` None takes it away."""

    mood: Mood | None
    model: str = ANY
    region: str = ANY


@dataclass(frozen=True, slots=True)
class MoodsOrder(Wire):
    """The body of PUT /_local/moods."""

    moods: tuple[MoodOrder, ...]


@dataclass(frozen=True, slots=True)
class ModelsOrder(Wire):
    """The body of PUT /_local/models: the only models there are; None for any."""

    known: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class FaultsOrder(Wire):
    """The body of PUT /_local/faults."""

    rules: tuple[Rule, ...]
    seed: int = 0


_MOODS: Final = TypeAdapter(MoodsOrder)
_MODELS: Final = TypeAdapter(ModelsOrder)
_FAULTS: Final = TypeAdapter(FaultsOrder)


class Control:
    """Answers for `/_local/`."""

    def __init__(self, bedrock: Bedrock, faults: Faults, agent: EcsAgent) -> None:
        self._bedrock = bedrock
        self._faults = faults
        self._agent = agent
        self._routes: dict[tuple[str, str], Callable[[bytes], object]] = {
            ("GET", "health"): lambda _: {"status": "ok"},
            ("GET", "stats"): self._stats,
            ("POST", "reset-stats"): self._reset_stats,
            ("GET", "moods"): self._moods,
            ("PUT", "moods"): self._set_moods,
            ("DELETE", "moods"): self._clear_moods,
            ("GET", "models"): self._models,
            ("PUT", "models"): self._set_models,
            ("GET", "faults"): self._rules,
            ("PUT", "faults"): self._set_rules,
            ("DELETE", "faults"): self._clear_rules,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request whose path begins with `PREFIX`."""
        name = request.raw_path.partition("?")[0].removeprefix(PREFIX)
        route = self._routes.get((request.method, name))
        if route is None:
            known = ", ".join(f"{method} {PREFIX}{path}" for method, path in self._routes)
            return _json(
                HTTPStatus.NOT_FOUND,
                {"error": f"{request.method} {PREFIX}{name} is not served; these are: {known}"},
            )
        try:
            return _json(HTTPStatus.OK, route(await request.read()))
        except ValidationError as wrong:
            return _json(HTTPStatus.BAD_REQUEST, {"error": _in_words(wrong)})

    def _stats(self, _: bytes) -> object:
        return {
            "bedrock": self._bedrock.stats.as_json(),
            "calls": dict(self._faults.calls),
            "faults": [
                {"operation": rule.operation, "kind": rule.act.kind, "acted": acted}
                for rule, acted in zip(self._faults.rules, self._faults.acted, strict=True)
            ],
            "ecs": self._agent.as_json(),
        }

    def _reset_stats(self, _: bytes) -> object:
        self._bedrock.stats.reset()
        self._faults.calls.clear()
        self._agent.calls.clear()
        return {}

    def _moods(self, _: bytes) -> object:
        orders = tuple(
            MoodOrder(mood, model, region) for model, region, mood in self._bedrock.moods()
        )
        return _MOODS.dump_python(MoodsOrder(orders), mode="json")

    def _set_moods(self, body: bytes) -> object:
        for order in _MOODS.validate_json(body).moods:
            self._bedrock.set_mood(order.mood, model=order.model, region=order.region)
        return {}

    def _clear_moods(self, _: bytes) -> object:
        self._bedrock.clear_moods()
        return {}

    def _models(self, _: bytes) -> object:
        return _MODELS.dump_python(ModelsOrder(self._bedrock.known_models), mode="json")

    def _set_models(self, body: bytes) -> object:
        self._bedrock.known_models = _MODELS.validate_json(body).known
        return {}

    def _rules(self, _: bytes) -> object:
        return _FAULTS.dump_python(FaultsOrder(self._faults.rules), mode="json")

    def _set_rules(self, body: bytes) -> object:
        order = _FAULTS.validate_json(body)
        self._faults.set_rules(order.rules, seed=order.seed)
        return {}

    def _clear_rules(self, _: bytes) -> object:
        self._faults.clear()
        return {}


def _in_words(wrong: ValidationError) -> str:
    """Every mistake with its place: `moods.0.mood.latency: ...`."""
    return "; ".join(
        f"{'.'.join(str(step) for step in mistake['loc']) or 'body'}: {mistake['msg']}"
        for mistake in wrong.errors(include_url=False)
    )


def _json(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
