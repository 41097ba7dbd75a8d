"""Composite alarms: the state of a rule over others, and when it may be told.

With a suppressor, what changes is told only while that one keeps quiet: not while it rings; not
in the `extension_s` after it rang, so that the composite can become OK with it; and not in the
first `wait_s` after the composite begins to ring, so that the suppressor can ring too. What is then
still so is told.

Source: Amazon CloudWatch User Guide, "Suppressing composite alarm actions".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.alarms.alarm import State
from worker.alarms.rule import Rule
from worker.alarms.samples import MINUTE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """One composite alarm.

    Attributes:
        id: Its logical id in the template.
        name: As other composites call it.
        suppressor: The name of the alarm that keeps it from telling; None for none.
        actions: Who is told that it rings.
        ok_actions: Who is told that it is over.
    """

    id: str
    name: str
    rule: Rule
    actions: tuple[str, ...] = ()
    ok_actions: tuple[str, ...] = ()
    suppressor: str | None = None
    wait_s: int = 0
    extension_s: int = 0

    @property
    def asks(self) -> tuple[str, ...]:
        """The alarms that it needs to know of."""
        return self.rule.names if self.suppressor is None else (*self.rule.names, self.suppressor)

    def states(self, of: Mapping[str, Sequence[State]], length: int) -> list[State]:
        """Its state at each minute, with the states of every alarm that it asks, by name."""
        return [
            State.ALARM
            if self.rule.holds({name: of[name][n] for name in self.rule.names})
            else State.OK
            for n in range(length)
        ]


def told(
    states: Sequence[State],
    *,
    suppressor: Sequence[State] | None = None,
    wait_s: int = 0,
    extension_s: int = 0,
) -> list[tuple[int, State]]:
    """When an alarm tells of its changes, and of which: minutes, counted from 0.

    Not told are what it begins with, an end of what was not told, and what changed back before it
    could be told.
    """
    wait, extension = (-(-seconds // MINUTE_S) for seconds in (wait_s, extension_s))
    known, before, found = State.OK, State.OK, list[tuple[int, State]]()
    rang_at, began_at = -math.inf, -math.inf
    for n, state in enumerate(states):
        if state is State.ALARM and before is not State.ALARM:
            began_at = n
        before = state
        if suppressor is not None:
            if suppressor[n] is State.ALARM:
                rang_at = n
            if n - rang_at <= extension or (state is State.ALARM and n - began_at < wait):
                continue
        if state is not known and (found or state is State.ALARM):
            found.append((n, state))
        known = state
    return found
