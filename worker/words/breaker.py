"""The circuit in words and columns. Pure: what is told comes from `worker/ops`.

Texts that people or other workers wrote are shown without control characters.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from worker.core.policy import EVERY, PolicyChange
from worker.core.verdict import Mode, State
from worker.ops.breakers import Past, Scene, Standing
from worker.ops.desk import LATE_S, InDoubt
from worker.ops.overrides import Told
from worker.ops.policies import Amended, InForce, Policies
from worker.ops.votes import Jury
from worker.ports import Unavailable

COMMAND: Final = "inference-worker breaker"
FOLLOW: Final = f"Workers follow within {LATE_S:.0f} s, and within a second where calls fail."
FOLLOW_HELD: Final = f"Workers follow within {LATE_S:.0f} s."  # no call goes out, so none fails
NOT_SHARED: Final = (
    "with these settings every process decides alone (WORKER_BREAKER__SHARED is false), so "
    "there is no\nshared record to show or to change. Set it to true to let the fleet decide "
    "together."
)
_ADVICE: Final = {
    "AccessDeniedException": "Whoever runs this lacks dynamodb:Query or dynamodb:PutItem on it.",
    "NoCredentialsError": "Run it where the worker runs, or sign in: aws sso login.",
    "RacedTooOften": "Others write this record all the time; give the order again.",
    "RecordUnreadable": "A later version wrote it: use a command of that version.",
    "ResourceNotFoundException": "There is no such table in this account and Region; "
    "`inference-worker doctor` says how to make it.",
}
_UNITS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


# --- small words -----------------------------------------------------------------


def span(seconds: float) -> str:
    """A length of time, for a sentence.

    >>> span(0.5), span(45), span(90), span(3599.5), span(7 * 86_400)
    ('0.5 s', '45 s', '1.5 min', '1 h', '7 d')
    """
    for unit_s, unit in _UNITS:
        if round(seconds / unit_s, 2) >= 1:
            count = seconds / unit_s
            return f"{count:.1f}".removesuffix(".0") + f" {unit}"
    return (f"{seconds:.1f}".removesuffix(".0") if seconds < 10 else f"{seconds:.0f}") + " s"  # noqa: PLR2004


def ago(then: float, at: float) -> str:
    """How long something is past, for people: clocks differ a little.

    >>> ago(100.0, 280.0), ago(100.0, 99.0)
    ('3 min ago', 'now')
    """
    return f"{span(round(at - then))} ago" if at - then >= 1 else "now"


def plain(text: str) -> str:
    """Without anything that would move a terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def utc(at: float) -> str:
    """A point in time, for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# --- show ------------------------------------------------------------------------


def scene(found: Scene) -> str:
    """One line for each breaker, and with the jury its evidence below."""
    head = ("BREAKER", "STATE", "SHARE", "SINCE", "REST", "TICKETS", "MODE", "")
    lines = columns([head, *(_row(one, found.at) for one in found.breakers)])
    told = [lines[0]]
    for line, one in zip(lines[1:], found.breakers, strict=True):
        told += [line, *(f"    {detail}" for detail in _details(one, found.at))]
    return "\n".join(told)


def _row(one: Standing, at: float) -> tuple[str, ...]:
    since = "-" if one.since_at is None else ago(one.since_at, at)
    rest = span(one.rest_s) if one.state is State.OPEN else ""
    level = f"level {one.level}" if one.level else ""
    return (
        plain(one.name),
        one.state,
        f"{one.share:g}",
        since if one.recorded else "no record yet",
        ", ".join(filter(None, (rest, level))) or "-",
        _tickets(one),
        one.mode + (f", {span(one.left_s)} left" if one.left_s else ""),
        "" if one.in_settings else "not in these settings",
    )


def _tickets(one: Standing) -> str:
    if one.state is not State.HALF_OPEN:
        return "-"
    return f"{one.tickets_out} of {one.tickets} out, {one.good} good, {one.bad} bad"


def _details(one: Standing, at: float) -> Iterable[str]:
    if one.jury is None:
        return
    if one.recorded:
        yield f"why      {plain(one.why) or '-'}"
        yield (
            f"written  by {plain(one.writer) or '-'}: version {one.version}, stage {one.stage}, "
            f"epoch {one.epoch}, round {one.round}"
        )
    if one.override is not None:
        over = "" if one.left_s else f"; its time is over, {ago(one.override.until_at, at)}"
        yield f"order    {_order(one)}{over}"
    yield from (
        f"{head:<9}{line}" for head, line in zip(("jury", ""), jury(one.jury), strict=False)
    )


def _order(one: Standing) -> str:
    given = one.override
    assert given is not None, "the caller looked"
    return f"{given.mode} for {span(given.for_s)} by {plain(given.author)}: {plain(given.reason)}"


def jury(found: Jury) -> list[str]:
    """Who votes, and what the votes say together."""
    if not found.seats:
        return ["nobody has a seat: no worker runs with this table"]
    gone = "" if found.sure else " (some perhaps of workers that are gone)"
    who = f"{counted(found.seats, 'seat')}{gone}, {found.voters} with a vote on this stage: "
    judged = f"{found.bad} bad, {found.good} good, {found.abstain} without calls"
    failed = f"{found.failures} of {counted(found.calls, 'call')} failed in {found.window_s:g} s"
    return [who + judged, failed + (f"; {plain(found.says)}" if found.says else "")]


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "worker"), counted(2, "worker")
    ('1 worker', '2 workers')
    """
    return f"{number} {what}" + ("" if number == 1 else "s")


# --- history ---------------------------------------------------------------------


def past(found: Past) -> str:
    """One line for each change, the newest first."""
    if not found.rows:
        return "nothing has changed yet (or longer ago than the table keeps)."
    rows = [("AT (UTC)", "BREAKER", "FROM", "TO", "SHARE", "REST", "MODE", "BY", "WHY")]
    for row in found.rows:
        ordered = f", for {span(row.for_s)}" if row.for_s else ""
        rows.append(
            (
                utc(row.at),
                plain(row.name),
                row.old,
                row.new,
                f"{row.share:g}",
                span(row.cooldown_s) if row.new is State.OPEN else "-",
                row.mode + ordered,
                plain(row.by),
                plain(row.why),
            )
        )
    return "\n".join(columns(rows))


# --- orders ----------------------------------------------------------------------


def held(told: Told) -> str:
    """What became of an order to hold or observe."""
    now, given = told.now, told.now.override
    if not told.stands:
        there = f"there is now: {_order(now)}" if given else "there is none now"
        return (
            f"not ordered: somebody else was faster, and {there}.\n"
            "Look at it, and order again if yours is still wanted:\n\n"
            f"    {COMMAND} show {now.name} --why"
        )
    assert given is not None, "it stands"
    lines = [
        f"{given.mode} is in force for {now.name}, for {span(given.for_s)}.",
        f"It ends by itself at {utc(given.until_at)} UTC.",
    ]
    if told.before.left_s:
        lines.append(
            f"It took the place of {_order(told.before)}, with {span(told.before.left_s)} left."
        )
    lines += [*_unnoted(told), FOLLOW, "To end it before:", ""]
    return "\n".join([*lines, f"    {COMMAND} auto {now.name}"])


def released(told: Told) -> str:
    """What became of the end of an override."""
    now, name = told.now, told.now.name
    if not told.stands:
        return (
            f"not ended: somebody else was faster, and gave {name} another order: {_order(now)}.\n"
            "Look at it, and end that one if it is still wanted:\n\n"
            f"    {COMMAND} show {name} --why"
        )
    if told.needless and told.before.override is None:
        return f"no override is there for {name}: the fleet decides by itself already."
    ended = _order(told.before)
    if told.needless:
        return f"somebody else has ended it just now: {ended}. The fleet decides by itself."
    circuit = f"The circuit is {now.state}."
    follow = FOLLOW_HELD if told.before.mode is Mode.HOLD_OPEN else FOLLOW
    lines = [f"ended for {name}: {ended}.", *_unnoted(told), circuit, follow]
    return "\n".join(lines)


def _unnoted(told: Told) -> list[str]:
    return [] if told.noted else ["The history has no row of it: the store fell silent after it."]


def would_hold(now: Standing, mode: Mode, for_s: float) -> str:
    """What an order would change now."""
    lines = [f"dry run: {mode} for {now.name}, for {span(for_s)}."]
    if now.left_s:
        lines.append(f"It would take the place of {_order(now)}, with {span(now.left_s)} left.")
    if mode is Mode.HOLD_OPEN:
        lines += _would_refuse(now)
    elif now.mode is Mode.HOLD_OPEN:
        lines.append("The circuit is held open: calls would pass again.")
    elif now.state is State.CLOSED:
        lines.append("The circuit is closed: nothing would change now. Should it open meanwhile,")
        lines.append("calls would pass all the same.")
    else:
        lines.append(f"The circuit is {now.state}: calls would pass again, though it may be down.")
    return "\n".join([*lines, "Nothing was changed."])


def _would_refuse(now: Standing) -> Iterable[str]:
    if now.mode is Mode.HOLD_OPEN:
        yield "No call passes now either."
        return
    if now.mode is Mode.ENFORCE and now.state in (State.OPEN, State.HALF_OPEN):
        yield f"The circuit is {now.state}: only probes pass now. It would refuse these too, so"
        yield "the circuit could not recover before its end."
        return
    found = now.jury
    if found is None or not found.voters:
        yield f"The circuit is {now.state}. Nobody votes on it now, so how many calls it would"
        yield "refuse cannot be said."
        return
    about = "about " if found.workers != int(found.workers) else ""
    yield (
        f"The circuit is {now.state}: it would refuse about {found.calls_per_min:.0f} calls a "
        f"minute on {about}{found.workers:.0f} workers"
    )
    yield f"(from the votes of {counted(found.voters, 'seat')} over {found.window_s:g} s)."
    if not found.sure:
        yield "Seats of workers that are gone may be among them; --look 20s leaves these out."
    yield "Jobs would wait, go elsewhere or be degraded, as their routes say."


def would_release(now: Standing) -> str:
    """What the end of an override would change now."""
    if now.override is None:
        return f"dry run: no override is there for {now.name}: nothing would change."
    lines = [f"dry run: this would end for {now.name}: {_order(now)}."]
    if not now.left_s:
        lines.append("Its time is over already: nothing would change.")
    elif now.mode is Mode.HOLD_OPEN and now.state is State.CLOSED:
        lines.append("The circuit is closed: calls would pass again.")
    elif now.mode is Mode.HOLD_OPEN:
        lines.append(f"The circuit is {now.state}: calls would pass as it recovers.")
    elif now.state is State.CLOSED:
        lines.append("The circuit is closed: nothing would change now.")
    else:
        lines.append(f"The circuit is {now.state}: calls would stop until it has recovered.")
    return "\n".join([*lines, "Nothing was changed."])


# --- policies --------------------------------------------------------------------


def policies(found: Policies) -> str:
    """Every value in force, then the changes that made it so."""
    parts = ["\n".join(_in_force(one)) for one in found.breakers]
    parts += [_change(change, found.at) for change in found.changes]
    return "\n\n".join(parts)


def _in_force(one: InForce) -> list[str]:
    rows = [(f"  {value.name}", _value(value.value), value.source) for value in one.values]
    return [one.name, *columns(rows), *(f"  warning: {plain(wrong)}" for wrong in one.wrong)]


def _change(change: PolicyChange, at: float) -> str:
    whose = "every breaker" if change.name == EVERY else change.name
    values = ", ".join(f"{name}={_value(v)}" for name, v in change.values.items()) or "nothing"
    return (
        f"in the store for {whose}: {values}\n"
        f"  version {change.version}, by {plain(change.author) or '-'}, "
        f"{ago(change.at, at)}: {plain(change.reason) or '-'}"
    )


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return ",".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else plain(str(value))


def amended(told: Amended) -> str:
    """What became of a change of policy."""
    change = _change(told.now, told.now.at)
    whom = ", ".join(told.breakers)
    if told.needless:
        return f"the store has these values already, nothing was changed.\n{change}"
    if told.dry:
        return f"dry run, good for {whom}. There would be\n{change}\nNothing was changed."
    if not told.stands:
        return (
            "not changed: somebody else was faster, and changed the same values.\n"
            f"{change}\nLook at them, and change them again if yours are still wanted."
        )
    raced = ""
    if told.races:
        raced = "Somebody else changed other values meanwhile; these were kept.\n"
    return f"{change}\n{raced}It concerns {whom}. {FOLLOW}"


# --- what went wrong ---------------------------------------------------------------


def unavailable(error: Unavailable, table: str) -> str:
    """The store could not be asked."""
    advice = _ADVICE.get(
        error.why,
        "Is the network there, and is AWS_ENDPOINT_URL_DYNAMODB (if it is set) what it should be?"
        if error.network
        else "Try again; what workers do does not depend on this command.",
    )
    return (
        f"the breakers' table {table} cannot be used: {error.why}. Nothing was changed.\n{advice}"
    )


def in_doubt(error: InDoubt) -> str:
    """The store fell silent in mid-write."""
    return (
        f"the breakers' table fell silent in mid-write ({error.why}): the order may or may not "
        "have been\nwritten. See what is there before it is given again:\n\n"
        f"    {COMMAND} show --why"
    )
