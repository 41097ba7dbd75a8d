"""Seconds since 1970, out of the only clock that a state has: the text of when it was entered.

The language has no arithmetic of dates and no multiplication. So the text is taken apart, and
each part is looked up in a table of seconds. A leading zero is no number in JSON: a 1 is put
before it. It ends with the last year of the table, and then says so by failing: `States.MathAdd`
of AWS takes no number of 2 ** 31 or more, so there is no second after January 2038.
"""

import calendar
from typing import Final

from inference_worker_asl.asl import State, at, call, number, plus, put, table, text

FIRST: Final = 2025
LAST: Final = 2036  # and a row of the history is kept for some months more
_ENTERED: Final = "$$.State.EnteredTime"
_MONTHS: Final = [
    [calendar.timegm((year, month, 1, 0, 0, 0)) for month in range(1, 13)]
    for year in range(FIRST, LAST + 1)
]


def _part(index: int) -> str:
    return at(call("StringSplit", _ENTERED, text("-T:.Z+")), index)


def _two(index: int) -> str:
    return plus(number(put("1{}", _part(index))), -100)


def parts() -> State:
    """The parts, to be laid somewhere; `total` adds them up in a later state."""
    return {
        "months.$": at(table(_MONTHS), plus(number(_part(0)), -FIRST)),
        "month.$": plus(_two(1), -1),
        "days.$": at(table([86_400 * (day - 1) for day in range(32)]), _two(2)),
        "hours.$": at(table([3600 * hour for hour in range(24)]), _two(3)),
        "minutes.$": at(table([60 * minute for minute in range(60)]), _two(4)),
        "seconds.$": _two(5),
    }


def total(path: str) -> str:
    """Seconds since 1970, of the parts at `path`."""
    month = at(f"{path}.months", f"{path}.month")
    return plus(month, *(f"{path}.{part}" for part in ("days", "hours", "minutes", "seconds")))
