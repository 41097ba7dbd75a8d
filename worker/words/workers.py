"""Workers and what each sees, in words and columns. Pure."""

from collections.abc import Iterable

from worker.ops.workers import Juror, View, Workers
from worker.words.breaker import ago, columns, counted, plain


def workers(found: Workers) -> str:
    """One line for each breaker that a worker votes on; those first that see it otherwise."""
    if not found.jurors:
        return "nobody has a seat: no worker runs with this table."
    rows: list[tuple[str, ...]] = [
        ("WORKER", "SEAT", "TOLD", "BREAKER", "SEES IT", "ITS OWN CALLS")
    ]
    rows += [row for one in found.jurors for row in _rows(one, found.at)]
    seated = f"{counted(len(found.jurors), 'worker')} with a seat"
    if found.about is not None:
        about = counted(round(found.about), "worker")
        seated = f"about {about}, {len(found.jurors)} of them with a seat"
    return "\n".join([*columns(rows), "", f"{seated}."])


def _rows(one: Juror, at: float) -> Iterable[tuple[str, ...]]:
    told = "-" if one.told_at is None else ago(one.told_at, at)
    who = (plain(one.worker), str(one.seat), told)
    if not one.views:
        yield (*who, "-", "-", "no votes")
    for n, view in enumerate(one.views):
        failed = f"{view.failures} of {view.calls} failed"
        yield (*(who if n == 0 else ("", "", "")), plain(view.breaker), sees(view), failed)


def sees(view: View) -> str:
    """How a worker sees a breaker, against the fleet."""
    match view.sees:
        case "sick":
            return f"its own breaker is open, the fleet's is {view.fleet}"
        case "behind":
            return f"it has not followed the last step ({view.fleet})"
        case _:
            return "as the fleet"
