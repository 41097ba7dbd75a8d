"""A week of the breakers of `World`: six outages that are over, two that go on, two orders."""

from dataclasses import replace
from typing import Any

from worker.core.verdict import Mode, State, Transition

WORKERS = [f"ip-10-0-{n}-{17 + n}-{'abcdef'[n]}{n}f3" for n in range(5)]
NEAR, FAR, ENDPOINT = "near", "far", "endpoint:eu-west-1"
OPENED = "4 of 5 voters find it bad (recent): 31 x unavailable ServiceUnavailableException 503"
RESTED, WELL = "its rest is over", "enough calls went well"
OUTAGES = (  # hours ago, minutes, target
    (150.0, 44.0, NEAR),
    (97.0, 9.0, NEAR),
    (52.0, 130.0, FAR),
    (18.2, 38.0, NEAR),
    (9.5, 6.0, NEAR),
    (4.1, 21.0, FAR),
)


def rows_until(at: float) -> dict[str, dict[int, Transition]]:
    """The history's rows, by breaker and version."""
    rows = [row for outage in OUTAGES for row in _outage(at, *outage)]
    rows += [
        _row(NEAR, State.CLOSED, State.OPEN, 0.0, at - 1260.0, why=OPENED),
        _row(NEAR, State.OPEN, State.HALF_OPEN, 0.0, at - 12.0, why=RESTED),
        _row(NEAR, State.HALF_OPEN, State.OPEN, 0.0, at - 3.0, why="3 of 3 probes failed"),
        _row(FAR, State.CLOSED, State.OPEN, 0.0, at - 240.0, why=OPENED),
        _row(FAR, State.OPEN, State.HALF_OPEN, 0.0, at - 60.0, why=RESTED),
        _row(FAR, State.HALF_OPEN, State.RAMP, 0.2, at - 50.0, why="2 of 3 probes good"),
        _row(FAR, State.RAMP, State.RAMP, 0.4, at - 24.0, why=WELL),
        _order(FAR, Mode.HOLD_OPEN, 5400.0, at - 46_000.0, by="alice", why="incident 41"),
        _order(ENDPOINT, Mode.OBSERVE, 3600.0, at - 1200.0, by="bob", why="work on the VPC"),
    ]
    rows.sort(key=lambda row: row.at)
    return {
        name: {
            n: replace(row, version=n, stage=n)
            for n, row in enumerate((row for row in rows if row.name == name), 1)
        }
        for name in (NEAR, FAR, ENDPOINT)
    }


def _outage(at: float, hours: float, minutes: float, name: str) -> list[Transition]:
    began = at - hours * 3600
    rows = [_row(name, State.CLOSED, State.OPEN, 0.0, began, why=OPENED)]
    for n in range(1, 4):
        then = began + n * minutes * 15
        rows.append(_row(name, State.OPEN, State.HALF_OPEN, 0.0, then, why=RESTED))
        new, share = (State.RAMP, 0.2) if n == 3 else (State.OPEN, 0.0)
        why = "3 of 3 probes good" if n == 3 else "3 of 3 probes failed"
        rows.append(_row(name, State.HALF_OPEN, new, share, then + 4, why=why))
    ended = began + minutes * 60
    return [
        *rows,
        _row(name, State.RAMP, State.RAMP, 0.6, ended - 60, why=WELL),
        _row(name, State.RAMP, State.CLOSED, 1.0, ended, why=WELL),
    ]


def _order(name: str, mode: Mode, for_s: float, at: float, **how: str) -> Transition:
    given: dict[str, Any] = {"mode": mode, "for_s": for_s, **how}
    return _row(name, State.CLOSED, State.CLOSED, 1.0, at, **given)


def _row(name: str, old: State, new: State, share: float, at: float, **how: Any) -> Transition:
    given = {"mode": Mode.ENFORCE, "by": WORKERS[1], **how}
    return Transition(
        name=name,
        version=0,
        stage=0,
        epoch=1,
        round=1,
        old=old,
        new=new,
        share=share,
        level=0,
        cooldown_s=5.0 if new is State.OPEN else 0.0,
        at=at,
        **given,
    )
