"""The status in words and columns. Pure: what is told comes from `worker/ops/status.py`.

The first line says what is wrong; everything below is why we say so.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from worker.core.verdict import State
from worker.ops.breakers import Scene, Standing
from worker.ops.causes import Cause, CauseName
from worker.ops.dissents import Dissent
from worker.ops.status import Status, Trouble
from worker.ops.waiting import Waiting
from worker.ops.ways import Way
from worker.ports import Depth
from worker.words.breaker import ago, columns, counted, plain, scene, span

ROLES: Final = ("jobs", "parked", "dead")

# For each cause: what is wrong, and what to do about it.
TELLS: Final[Mapping[CauseName, tuple[str, str]]] = MappingProxyType(
    {
        CauseName.STORE_DOWN: (
            "a queue or table of ours cannot be used",
            "`inference-worker doctor` says what it lacks, from where you run it.",
        ),
        CauseName.NO_WORKER: (
            "jobs wait, and no worker tells of itself",
            "None runs, or none reaches the breakers' table: see their logs, clocks and rights.",
        ),
        CauseName.LOCAL_CLOCK: (
            "requests are refused for their signature or their time: a clock is wrong",
            "See the clocks of these hosts, then who signs for them.",
        ),
        CauseName.CREDENTIALS: (
            "workers have no valid credentials",
            "See the task's role and whoever hands out its keys.",
        ),
        CauseName.ONE_WORKER: (
            "one worker is in trouble alone; the fleet is not",
            "Its host or its network: replace it. The others take its jobs.",
        ),
        CauseName.HELD_OPEN: (
            "an operator holds a circuit open",
            "`inference-worker breaker auto NAME` gives it back.",
        ),
        CauseName.REGION_DOWN: (
            "every target of a Region fails, and not those elsewhere",
            "Jobs go elsewhere where their routes say so; circuits probe by themselves.",
        ),
        CauseName.NAME_UNRESOLVED: (
            "the endpoint's name cannot be resolved (DNS)",
            "See the VPC's resolver, and the private DNS of its endpoint.",
        ),
        CauseName.UNREACHABLE: (
            "the endpoint cannot be reached",
            "See routes, security groups and the VPC endpoint.",
        ),
        CauseName.ACCESS_DENIED: (
            "workers have no right to call the model",
            "See bedrock:InvokeModel of the task's role, and the account's access to the model.",
        ),
        CauseName.MODEL_UNUSABLE: (
            "the model cannot be used as it is configured",
            "See the target's model id, Region and max_tokens.",
        ),
        CauseName.QUOTA_USED_UP: (
            "a quota of the day is used up",
            "Ask for more, or let the route go on elsewhere; workers look again by themselves.",
        ),
        CauseName.STALLED: (
            "answers stop in their middle",
            "Circuits probe by themselves.",
        ),
        CauseName.NO_FIRST_TOKEN: (
            "the model takes calls and does not begin to answer",
            "Circuits probe by themselves.",
        ),
        CauseName.TIMED_OUT: (
            "calls take longer than they may",
            "Circuits probe by themselves; see whether attempt_s suits max_tokens.",
        ),
        CauseName.SERVICE_ERRORS: (
            "the service answers with errors",
            "Circuits probe by themselves.",
        ),
        CauseName.THROTTLED: (
            "the service throttles: more is asked than the quota allows",
            "Workers find the pace by themselves (docs/pacing.md); for more, raise the quota.",
        ),
        CauseName.POOR_ANSWERS: (
            "answers break the rules of their routes",
            "See `accept` of the routes, and what the model has become.",
        ),
        CauseName.BAD_REQUESTS: (
            "jobs ask what the model will never take (poison payload)",
            "See their dead letters, and who sends them.",
        ),
        CauseName.TOO_LONG: (
            "jobs are too long for the model",
            "Name a target with a larger context window.",
        ),
        CauseName.MALFORMED_JOBS: (
            "messages are no jobs that this worker knows (poison payload)",
            "See their dead letters, and who sends them.",
        ),
        CauseName.CRASHES: (
            "jobs bring workers down (poison payload)",
            "See their dead letters; the next worker is safe from them.",
        ),
        CauseName.GIVEN_UP: (
            "jobs were given up",
            "See their dead letters.",
        ),
        CauseName.LOCAL: (
            "workers are in trouble of their own: network, files or memory",
            "See the hosts they run on.",
        ),
        CauseName.UNKNOWN: (
            "calls fail in a way that no table knows",
            "See `fault.unknown` in the log, and tell us.",
        ),
    }
)
_OUT: Final = {
    State.OPEN: "open",
    State.HALF_OPEN: "only probes",
    "held_open": "held open",
    "left_alone": "left alone",
}


def status(found: Status, *, why: bool) -> str:
    """The whole status; without `why` what is wrong and what waits alone."""
    parts = [headline(found)]
    if why and found.causes:
        parts.append(_block("WHY", (line for one in found.causes for line in cause(one))))
    if found.breakers:
        parts.append(_circuits(found, why=why))
    elif not found.shared:
        parts.append("CIRCUITS\n  every process decides alone (WORKER_BREAKER__SHARED is false).")
    if why:
        parts.append(_block("USERS GET", map(way, found.ways)))
    parts.append(_block("WAITING", _waiting(found.waiting)))
    if why and found.dissents:
        parts.append(_block("WORKERS THAT SEE IT OTHERWISE", map(dissent, found.dissents)))
    if found.unread:
        rows = (f"{one.what}: {plain(one.why)}" for one in found.unread)
        parts.append(_block("COULD NOT BE READ", rows))
    return "\n\n".join(parts)


def headline(found: Status) -> str:
    """What is wrong, in a sentence or two."""
    workers = "" if found.workers is None else f" About {counted(round(found.workers), 'worker')}."
    if found.calm:
        return f"all is well.{workers}"
    told = [f"{TELLS[one.name][0]} ({_of(one)})" for one in found.causes if not one.minor]
    if not told:
        ill = ", ".join(plain(one.name) for one in found.breakers if not one.calm)
        told = [f"circuits recover ({ill}); no fault was told of in the last minute"]
    return "not well: " + "; ".join(told) + f".{workers}"


def cause(one: Cause) -> Iterable[str]:
    """Name and subject, what was seen, and what to do."""
    says, todo = TELLS[one.name]
    minor = "; few calls, and no circuit minds" if one.minor else ""
    yield f"{one.name}: {says} ({_of(one)}){minor}"
    if one.count and not one.workers:
        yield f"    when its circuit opened: mostly {plain(one.code)}; nobody tells of it now"
    elif one.count:
        quote = f': "{plain(one.says)}"' if one.says else ""
        yield (
            f"    seen {counted(one.count, 'time')} in a minute by "
            f"{counted(one.workers, 'worker')}, mostly {plain(one.code)}{quote}"
        )
    elif one.code:
        yield f"    {plain(one.code)}"
    yield f"    {todo} See docs/runbook.md#{one.name}"


def _of(one: Cause) -> str:
    return ", ".join(map(plain, one.of)) or "-"


def _circuits(found: Status, *, why: bool) -> str:
    shown = found.breakers if why else tuple(one for one in found.breakers if not one.calm)
    if not shown:
        return f"CIRCUITS\n  all {len(found.breakers)} are closed."
    told = [f"CIRCUITS\n{_indented(scene(Scene(at=found.at, calm=False, breakers=shown)))}"]
    told += [f"  {line}" for one in found.troubles for line in trouble(one, found)]
    return "\n".join(told)


def trouble(one: Trouble, found: Status) -> Iterable[str]:
    """Since when it is not closed, what opened it, and what comes next."""
    now: Standing = next(b for b in found.breakers if b.name == one.name)
    if not one.known:
        yield f"{plain(one.name)}: its history could not be read"
    elif one.since_at is None:
        yield f"{plain(one.name)}: opened longer ago than its newest rows of history go"
    else:
        yield f"{plain(one.name)}: opened {ago(one.since_at, found.at)}: {plain(one.opened_by)}"
    match now.state:
        case State.OPEN if one.probe_in_s:
            yield f"    next: a probe in about {span(one.probe_in_s)}, if a job waits"
        case State.OPEN if one.probe_in_s is not None:
            yield "    next: a probe as soon as a job waits"
        case State.OPEN:
            yield "    next: nothing, until the operator's order ends"
        case State.HALF_OPEN:
            yield f"    next: what {now.tickets_out} of {now.tickets} probes bring"
        case _:
            yield f"    next: more than {now.share:.0%} of the slots, when enough calls went well"


def way(one: Way) -> str:
    """What users of a route get."""
    out = ", ".join(f"{plain(name)} ({_OUT.get(why, why)})" for name, why in one.out)
    if not one.known:
        order = ", ".join(map(plain, one.calls))
        return (
            f"{one.route}: {order}, in this order, as far as circuits let: they are not known here"
        )
    if one.calls:
        left = ", ".join(map(plain, one.calls))
        return f"{one.route}: a model's answer, from {left}" + (f"; not from {out}" if out else "")
    return f"{one.route}: no model is left: {out}. {_second_best(one)}"


def _second_best(one: Way) -> str:
    handlers = ", ".join(map(plain, one.handlers))
    parks = f"jobs wait, {span(one.park_max_s)} at most"
    then = f"{parks}, then {handlers} answers" if handlers else f"{parks}, then expire"
    match one.on_open:
        case "degrade" if handlers:
            return f"A second-best answer at once, from {handlers}; who gets none waits."
        case "degrade_after" if handlers and one.degrade_after_s is not None:
            return f"After {span(one.degrade_after_s)} a second-best answer, from {handlers}."
        case "fail":
            return "Jobs are given up at once."
        case _:
            return f"{then.capitalize()}."


def _waiting(lanes: Sequence[Waiting]) -> Iterable[str]:
    rows = [("LANE", "QUEUE", "VISIBLE", "IN HAND", "DELAYED")]
    for lane in lanes:
        rows += [(lane.lane, role, *_figures(lane.depths.get(role))) for role in ROLES]
    yield from columns(rows)
    yield from map(drains, lanes)


def _figures(depth: Depth | None) -> tuple[str, str, str]:
    if depth is None:
        return "?", "?", "?"
    return str(depth.visible), str(depth.in_flight), str(depth.delayed)


def drains(one: Waiting) -> str:
    """How long until nothing waits."""
    if one.drains_s is None:
        return f"{one.lane}: how long that takes cannot be known: {one.unknown}"
    if not one.drains_s:
        return f"{one.lane}: nothing waits"
    return (
        f"{one.lane}: about {span(one.drains_s)} at {one.answers_per_min:.0f} answers a minute, "
        "if no more comes"
    )


def dissent(one: Dissent) -> str:
    """A worker's view against the fleet's."""
    seen = f"{one.failures} of {one.calls} of its calls failed"
    sees = "its own breaker is open" if one.sees == "sick" else "it has not followed the last step"
    return f"{plain(one.worker)}, {plain(one.breaker)}: {sees} ({seen})"


def _block(head: str, lines: Iterable[str]) -> str:
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
