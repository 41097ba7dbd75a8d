"""Sixteen processes race for one breaker, and what they won adds up.

Each is a process of its own with a client of its own; they share nothing but the
table and a start signal. See `breaker_racers.py` for what they do.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path

from pydantic import TypeAdapter

from tests.contract.breaker_racers import EPOCHS, NAME, POLICY, RACERS, ROUNDS, Won
from tests.contract.stage import Open, dynamo_breakers, on_aws
from worker.core.verdict import State, Transition, Verdict

ROOT = Path(__file__).parents[2]
PLACES = [  # rounds are never counted anew
    (epoch, (epoch - 1) * ROUNDS + n)
    for epoch in range(1, EPOCHS + 1)
    for n in range(1, ROUNDS + 1)
]


async def raced(table: str) -> list[Won]:
    pipe = asyncio.subprocess.PIPE
    racers = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.breaker_racers", table),
        cwd=ROOT,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        out, err = await racers.communicate()
    finally:
        if racers.returncode is None:  # the test took too long; its racers miss each other
            racers.kill()
    assert (racers.returncode, err.decode()) == (0, "")
    return TypeAdapter(list[Won]).validate_json(out)


async def race_of(given: Open) -> tuple[list[Won], Verdict, list[Transition]]:
    told = await raced(given.resources.breakers_table)
    store = dynamo_breakers(given)
    board = await store.read(consistent=True)
    return told, board.verdicts[NAME], await store.history(NAME, 100)


def test_what_sixteen_racing_processes_won_adds_up() -> None:
    told, verdict, rows = on_aws(race_of)

    assert len(told) == RACERS
    assert sum(won.lost for won in told) > len(told), "they did race"

    # Every version was written by one of them, and none was lost.
    writes = sorted(write for won in told for write in won.writes)
    assert [version for version, _ in writes] == list(range(1, verdict.version + 1))
    assert Counter(order for _, order in writes) == {
        "Trip": EPOCHS,
        "BeginRound": EPOCHS * ROUNDS,
        "ClaimTicket": EPOCHS * ROUNDS * POLICY.probes,
        "Report": EPOCHS * ROUNDS * POLICY.probes,
        "Conclude": EPOCHS * ROUNDS,
        "StepUp": EPOCHS * len(POLICY.ramp),
    }
    assert (verdict.state, verdict.epoch) == (State.CLOSED, EPOCHS)
    assert verdict.round == EPOCHS * ROUNDS

    # One trips it in each epoch, and all others learn the winner's verdict.
    for trips in zip(*(won.trips for won in told), strict=True):
        assert len({(version, nonce) for version, nonce, _ in trips}) == 1
        assert [mine for *_, mine in trips].count(True) == 1

    # One begins each round, and no round has more probes than tickets.
    assert sorted(place for won in told for place in won.begun) == PLACES
    tickets = [ticket for won in told for ticket in won.tickets]
    assert len(set(tickets)) == len(tickets)
    per_round = Counter((epoch, round_) for epoch, round_, _ in tickets)
    assert per_round == dict.fromkeys(PLACES, POLICY.probes)

    # Every ticket is reported once, though all report the last one.
    assert sorted(report for won in told for report in won.reports) == sorted(tickets)

    # Every change is noted once, though all note the trips.
    noted = sorted(version for won in told for version in won.noted)
    assert noted == sorted(row.version for row in rows)
    assert len(set(noted)) == len(noted)
    assert len(noted) == EPOCHS * (1 + 2 * ROUNDS + len(POLICY.ramp))
    stages = [row.stage for row in reversed(rows)]
    assert stages == list(range(1, verdict.stage + 1))
