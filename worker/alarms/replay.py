"""Plays what was measured through the alarms of a template: who rang when, and who was told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.alarms.alarm import FURTHER, Alarm, State
from worker.alarms.composite import Composite, told
from worker.alarms.samples import Key, Samples
from worker.alarms.template import Alarms, bare


@dataclass(frozen=True, slots=True)
class Span:
    """When an alarm rang, in minutes from the start; `cleared` is None while it still does."""

    fired: int
    cleared: int | None


def spans(states: Sequence[State]) -> tuple[Span, ...]:
    """When an alarm rang that was in these states, minute by minute."""
    found: list[Span] = []
    for n, state in enumerate(states):
        rang = n > 0 and states[n - 1] is State.ALARM
        if state is State.ALARM and not rang:
            found.append(Span(n, None))
        elif state is not State.ALARM and rang:
            found[-1] = Span(found[-1].fired, n)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Notice:
    """An action that was taken, at a minute from the start."""

    minute: int
    alarm: str
    state: State
    to: str


@dataclass(frozen=True, slots=True)
class Played:
    """What one alarm did.

    Attributes:
        states: At the end of each minute.
        absent: The metrics of which there is no value at all.
    """

    alarm: Alarm | Composite
    states: tuple[State, ...]
    absent: tuple[Key, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """When it rang."""
        return spans(self.states)

    @property
    def rings(self) -> bool:
        """Whether it ever rang."""
        return State.ALARM in self.states


@dataclass(frozen=True, slots=True)
class Story:
    """What all alarms did.

    Attributes:
        start: The first minute, since 1970.
        minutes: How many there are.
        alarms: By logical id, metric alarms first.
        notices: Everything that somebody was told, in order.
    """

    start: int
    minutes: int
    alarms: Mapping[str, Played]
    notices: tuple[Notice, ...]


def play(
    alarms: Alarms,
    samples: Samples,
    *,
    after_min: int = 0,
    further: int = FURTHER,
) -> Story:
    """Play samples through alarms, from their first minute to their last.

    An alarm is looked at as a minute ends: what is told at minute n was decided with all that was
    measured up to the end of minute n.

    Args:
        alarms: What `template.alarms` read.
        samples: What was measured.
        after_min: Minutes to go on after the last value, in which nothing is measured.
        further: See `alarm.FURTHER`.
    """
    start = samples.first or 0
    end = start - 1 if samples.last is None else samples.last + after_min
    states: dict[str, Sequence[State]] = {}
    played: dict[str, Played] = {}
    for one in alarms.metric:
        found = one.states(one.points(samples, start, end), further=further)
        states[one.name] = found
        absent = tuple(metric for metric in dict.fromkeys(one.metrics) if metric not in samples)
        played[one.id] = Played(one, tuple(found), absent)
    notices = [
        Notice(n, one.id, state, to)
        for one in alarms.metric
        for n, state in told(states[one.name])
        for to in (one.actions if state is State.ALARM else one.ok_actions)
        if state is not State.INSUFFICIENT_DATA
    ]
    for composite in alarms.composite:
        asked = {name: states[bare(name)] for name in composite.asks}
        found = composite.states(asked, end - start + 1)
        states[composite.name] = found
        played[composite.id] = Played(composite, tuple(found))
        notices += [
            Notice(n, composite.id, state, to)
            for n, state in told(
                found,
                suppressor=None if composite.suppressor is None else asked[composite.suppressor],
                wait_s=composite.wait_s,
                extension_s=composite.extension_s,
            )
            for to in (composite.actions if state is State.ALARM else composite.ok_actions)
        ]
    return Story(start, end - start + 1, played, tuple(sorted(notices, key=lambda n: n.minute)))
