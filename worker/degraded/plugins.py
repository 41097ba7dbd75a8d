"""Plug-ins: whatever answers `await answer(job, context)`.

Found by an object that the program gives, by a dotted path, or by an entry point of
the group `inference_worker.degraded` that bears the handler's name. An entry point
that no `[degraded.<name>]` names is not even loaded.
"""

import importlib
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from inspect import isclass
from typing import Any, Final

from worker.core.degrade import Context
from worker.core.job import Job
from worker.core.settlement import DegradedAnswer
from worker.ports import DegradedHandler

GROUP: Final = "inference_worker.degraded"

Answers = Callable[[Job, Context], Awaitable[DegradedAnswer | None]]
Plugin = DegradedHandler | Answers | Callable[[], DegradedHandler]


class NoPluginError(Exception):
    """There is no such plug-in; the text says what was looked for."""


class Plain:
    """A plain function as a handler."""

    def __init__(self, function: Answers) -> None:
        self._function = function

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        return await self._function(job, context)


def plugin(name: str, use: str) -> DegradedHandler:
    """The plug-in `use` (`package.module:name`), or the entry point called `name`.

    Raises:
        NoPluginError: It cannot be found, imported or made.
    """
    return as_handler(_by_path(use) if use else _by_entry_point(name))


def as_handler(found: Any) -> DegradedHandler:
    """A function, a class without arguments, or an object with `answer`, as a handler.

    Raises:
        NoPluginError: It is none of them.
    """
    if isclass(found):
        try:
            found = found()
        except Exception as error:
            msg = f"{found.__name__} cannot be made without arguments: {type(error).__name__}"
            raise NoPluginError(msg) from error
    if callable(getattr(found, "answer", None)):
        handler: DegradedHandler = found
        return handler
    if callable(found):
        return Plain(found)
    msg = f"a {type(found).__name__} has no method `answer`, and is no function"
    raise NoPluginError(msg)


def _by_path(use: str) -> Any:
    module, _, name = use.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        msg = f"{module} has no {name!r}"
        raise NoPluginError(msg) from None
    except Exception as error:
        msg = f"{module} cannot be imported: {type(error).__name__}"
        raise NoPluginError(msg) from error
    return found


def _by_entry_point(name: str) -> Any:
    found = entry_points(group=GROUP, name=name)
    if len(found) != 1:
        how_many = "no" if not found else "more than one"
        msg = f"{how_many} installed package has an entry point {name!r} in the group {GROUP}"
        raise NoPluginError(msg)
    (point,) = found
    try:
        return point.load()
    except Exception as error:
        msg = f"the entry point {name!r} ({point.value}) cannot be loaded: {type(error).__name__}"
        raise NoPluginError(msg) from error
