"""Makes the degraded handlers that the settings describe."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

from worker.core.degrade import HandlerSpec
from worker.degraded.cache import Cache
from worker.degraded.plugins import NoPluginError, Plugin, as_handler, plugin
from worker.degraded.rules import RulesUnreadableError, read_rules
from worker.degraded.summary import Summary
from worker.ports import AnswerCache, DegradedHandler, Handler, Model, Tell


class HandlersUnusableError(Exception):
    """Handlers cannot be made.

    Attributes:
        why: By the handler's name.
    """

    def __init__(self, why: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {what}" for name, what in why.items()))
        self.why = why


def check_all(specs: Sequence[HandlerSpec]) -> None:
    """Whether rules can be read and plug-ins found; what else there is needs no more than settings.

    Raises:
        HandlersUnusableError: One or more of them cannot be made.
    """
    wrong = {}
    for spec in specs:
        try:
            if spec.kind == "rules":
                read_rules(Path(spec.file))
            elif spec.kind == "plugin":
                plugin(spec.name, spec.use)
        except (NoPluginError, RulesUnreadableError) as error:
            wrong[spec.name] = str(error)
    if wrong:
        raise HandlersUnusableError(wrong)


def build(
    specs: Sequence[HandlerSpec],
    *,
    given: Mapping[str, Plugin],
    model: Model,
    store: AnswerCache | None = None,
    at: Callable[[], float] = time.time,
    tell: Tell,
) -> dict[str, Handler]:
    """Every handler, by name.

    Args:
        specs: As the settings describe them.
        given: Plug-ins that the program brings, by the handler's name.
        model: Bedrock Runtime, for summaries.
        store: Where caches keep their answers; may be None if there is no cache.
        at: The wall clock, seconds since 1970.
        tell: Hears what caches did.

    Raises:
        HandlersUnusableError: One or more of them cannot be made.
    """
    made: dict[str, Handler] = {}
    made_of = partial(_made, given=given, model=model, store=store, at=at, tell=tell)
    unasked = set(given) - {spec.name for spec in specs if spec.kind == "plugin"}
    why = "an object was given for it, and no route names a [degraded.<name>] of kind `plugin`"
    wrong = dict.fromkeys(sorted(unasked), why)
    for spec in specs:
        try:
            made[spec.name] = Handler(does=made_of(spec), terms=spec.terms, target=spec.target)
        except (NoPluginError, RulesUnreadableError) as error:
            wrong[spec.name] = str(error)
    if wrong:
        raise HandlersUnusableError(wrong)
    return made


def _made(
    spec: HandlerSpec,
    *,
    given: Mapping[str, Plugin],
    model: Model,
    store: AnswerCache | None,
    at: Callable[[], float],
    tell: Tell,
) -> DegradedHandler:
    match spec.kind:
        case "rules":
            return read_rules(Path(spec.file))
        case "cache":
            assert store is not None, "where a route has a cache there is a table"
            return Cache(
                spec.name,
                store,
                ttl_s=spec.ttl_s,
                stale_s=spec.stale_s,
                entry_bytes_max=spec.entry_bytes_max,
                at=at,
                tell=tell,
            )
        case "summary":
            assert spec.target is not None, "a summary names a target"
            return Summary(model, spec.target)
        case "plugin":
            if spec.name in given:
                return as_handler(given[spec.name])
            return plugin(spec.name, spec.use)
        case _:
            assert_never(spec.kind)
