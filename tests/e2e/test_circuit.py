"""An outage for real: two processes share one circuit, and the command line shows it."""

from typing import Any

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage, Worker, until
from worker.core.ledger import State
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Constant, Fail

JOBS = 60
DOWN = Mood(chances=(Chance(1.0, Fail("ServiceUnavailableException")),))


def moves(workers: list[Worker], scope: str) -> list[dict[str, Any]]:
    found = [line for worker in workers for line in worker.lines("breaker.moved")]
    own = [line for line in found if (line["scope"], line["breaker"]) == (scope, "default")]
    return sorted(own, key=lambda line: line["version"])


def test_two_workers_stop_together_probe_within_their_tickets_and_recover(
    stage: Stage, note: Note
) -> None:
    stage.mood(DOWN)
    workers = [stage.worker(name, slots=8, log_level="debug") for name in ("one", "two")]
    stage.send({"id": f"job-{n}", "prompt": "Why?"} for n in range(JOBS))
    until(lambda: bool(moves(workers, "fleet")), says="the fleet opens its circuit")
    until(
        lambda: len([m for m in moves(workers, "fleet") if m["new"] == "half_open"]) >= 2,
        says="two rounds of probes have begun",
    )
    down = stage.stats()

    stage.mood(Mood(latency=Constant(0.05)))
    until(
        lambda: moves(workers, "fleet")[-1]["new"] == "closed", says="the fleet closes its circuit"
    )
    until(stage.settled, says="every job is settled", within_s=120)

    told = moves(workers, "fleet")
    assert [told[0]["old"], told[0]["new"]] == ["closed", "open"]
    assert len({line["version"] for line in told}) == len(told), "each move is told once"
    assert {r.state for r in stage.records().values()} == {State.ANSWERED}
    assert len(stage.records()) == JOBS
    assert stage.depth(stage.dead_url).total == 0
    assert down, "the stand-in counts its calls"
    calls = sum(stage.calls_by_job().values())
    note(
        f"{JOBS} jobs, {calls} calls; moves of the fleet: "
        + ", ".join(f"{line['new']} {line['share']:g}" for line in told)
    )
