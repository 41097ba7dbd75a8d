"""The path of a job in words and columns. Pure: what is told comes from `worker/ops`."""

from collections.abc import Iterable, Iterator

from worker.core.dead import Note
from worker.ops.path import Call, Path, Step, What
from worker.ops.path_bars import Hindrance
from worker.ops.path_next import Circuit, Next
from worker.words.breaker import columns, plain, utc


def path(found: Path) -> str:
    """One line for each step, then what comes next, and what is not known."""
    return "\n".join(_lines(found))


def _lines(found: Path) -> Iterator[str]:
    life = f", life {found.generation + 1}" if found.generation else ""
    yield f"{plain(found.job)}  {found.state.value}{life}"
    yield f"    route {found.route or '-'}, tenant {plain(found.tenant) or '-'}; " + ", ".join(
        f"{name} {count}"
        for name, count in (
            ("attempts", found.attempts),
            ("parks", found.parks),
            ("interruptions", found.interruptions),
            ("crashes", found.crashes),
        )
    )
    if found.upgrades:
        yield f"    it is to better the degraded answer of {plain(found.upgrades)}"
    yield ""
    yield from (f"    {line}" for line in columns(list(_rows(found.steps))))
    yield ""
    yield from coming(found.next)
    if found.unknown:
        yield "not known:"
        yield from (f"    {plain(one)}" for one in found.unknown)
    if found.upgrade is not None:
        yield ""
        yield from _lines(found.upgrade)


def _rows(steps: Iterable[Step]) -> Iterator[tuple[str, str, str]]:
    for step in steps:
        when = "-" if step.at is None else _to_the_ms(step.at)
        first, *more = says(step)
        yield when, step.what.value, first
        yield from (("", "", one) for one in more)


def _to_the_ms(at: float) -> str:
    seconds, ms = divmod(round(at * 1000), 1000)  # rounded once, lest a second lag behind
    return f"{utc(seconds)}.{ms:03}"


def says(step: Step) -> list[str]:
    """What one step says, one line or several."""
    match step.what:
        case What.SENT:
            return [f"life {step.generation + 1}: sent again" if step.generation else "first"]
        case What.CLAIMED:
            return [f"claim {step.fence} by worker {step.worker}"]
        case What.CALLED if step.call is not None:
            return [_call(step.call)]
        case What.REFUSED:
            return [_bar(bar) for bar in step.bars]
        case What.PARKED | What.DEGRADED | What.DEAD | What.INTERRUPTED:
            by = f"by {step.handler}, " if step.handler else ""
            until = f", until {utc(step.until)} UTC" if step.until else ""
            return [f"{by}because: {step.why}{until}"]
        case What.LAPSED:
            return ["its lease ended without any outcome: the worker died, or was cut off"]
        case What.NOTED if step.note is not None:
            return [_note(step.note, maybe=step.maybe)]
        case What.UNKNOWN:
            return [step.text]
        case _:
            return [f"by claim {step.fence}"]


def _note(row: Note, *, maybe: bool) -> str:
    whose = "perhaps this one: " if maybe else ""
    why = f" ({plain(row.why)})" if row.why else ""
    return f"{whose}{row.verb} by {plain(row.author)}{why}: {plain(row.what) or '-'}"


def _call(call: Call) -> str:
    if call.outcome == "cut":
        return f"{call.target}: cut short; what came of it is not known"
    told = [
        f"{call.duration_ms} ms" if call.duration_ms is not None else "",
        f"http {call.http}" if call.http is not None else "",
        f"timer {call.timer}" if call.timer else "",
        f"circuit {call.breaker}" if call.breaker else "",
        f"billed {call.billed}" if call.outcome != "ok" and call.billed != "no" else "",
        f"request {plain(call.request_id)}" if call.request_id else "",
    ]
    code = f" {plain(call.code)}" if call.code else ""
    return f"{call.target}: {call.outcome}{code}, " + ", ".join(filter(None, told))


def _bar(bar: Hindrance) -> str:
    if bar.alone:
        return f"{bar.name}: {bar.why}, decided by this worker alone"
    said = f"{bar.name}: {bar.why} at version {bar.version}"
    if not bar.known:
        return f"{said}; its history does not go back so far"
    since = f", {utc(bar.since_at)} UTC" if bar.since_at else ""
    return f"{said}; by {plain(bar.by)}{since}: {plain(bar.because)}"


def coming(found: Next | None) -> Iterator[str]:
    """What comes next, line by line."""
    if found is None:
        yield "it is over."
        return
    yield f"next: {plain(found.what)}"
    if found.queue:
        yield f"    in queue {found.queue}"
    if found.until:
        yield f"    until {utc(found.until)} UTC"
    for circuit in found.circuits:
        yield f"    waits for {circuit.name}: {_circuit(circuit)}"


def _circuit(one: Circuit) -> str:
    if one.held:
        return "held open"
    return one.state or "how it stands is not known"
