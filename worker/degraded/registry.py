"""Makes the degraded handlers that the settings describe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

from worker.core.degrade import HandlerSpec
from worker.degraded.plugins import NoPluginError, as_handler, plugin
from worker.degraded.rules import RulesUnreadableError, read_rules
from worker.ports import DegradedHandler, Handler


class HandlersUnusableError(Exception):
    """Handlers cannot be made.

    Attributes:
        why: By the handler's name.
    """

    def __init__(self, why: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {what}" for name, what in why.items()))
        self.why = why


def build(specs: Sequence[HandlerSpec], *, given: Mapping[str, Any]) -> dict[str, Handler]:
    """Every handler, by name.

    Args:
        specs: As the settings describe them.
        given: Plug-ins that the program brings, by the handler's name.

    Raises:
        HandlersUnusableError: One or more of them cannot be made.
    """
    made: dict[str, Handler] = {}
    unasked = set(given) - {spec.name for spec in specs if spec.kind == "plugin"}
    why = "an object was given for it, and no route names a [degraded.<name>] of kind `plugin`"
    wrong = dict.fromkeys(sorted(unasked), why)
    for spec in specs:
        try:
            made[spec.name] = Handler(does=_made(spec, given), terms=spec.terms)
        except (NoPluginError, RulesUnreadableError) as error:
            wrong[spec.name] = str(error)
    if wrong:
        raise HandlersUnusableError(wrong)
    return made


def _made(spec: HandlerSpec, given: Mapping[str, Any]) -> DegradedHandler:
    match spec.kind:
        case "rules":
            return read_rules(Path(spec.file))
        case "plugin":
            return (
                as_handler(given[spec.name]) if spec.name in given else plugin(spec.name, spec.use)
            )
        case _:
            assert_never(spec.kind)
