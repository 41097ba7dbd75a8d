"""What must hold of every history, however the workers fared."""

from collections import Counter
from dataclasses import dataclass, field

from worker.core.ledger import LEGAL, Record, State
from worker.core.upgrade import upgraded
from worker.sim.world import World


@dataclass
class Witness:
    """Watches every write of the ledger."""

    finals: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __call__(self, old: Record | None, new: Record) -> None:
        if old is not None:
            if new.fence < old.fence:
                self.wrong.append(f"{new.job}: the fence fell from {old.fence} to {new.fence}")
            if old.state is not new.state and (old.state, new.state) not in LEGAL:
                self.wrong.append(f"{new.job}: {old.state} became {new.state}")
            if old.state.final and old.state is new.state and old.result != new.result:
                self.wrong.append(f"{new.job}: its result was changed")
        if new.state.final and (old is None or not old.state.final):
            self.finals[new.job, new.generation] += 1


def watched(world: World) -> Witness:
    """Let a witness watch the world's ledger from now on."""
    witness = Witness()
    world.ledger.watch = witness
    return witness


def check(world: World, witness: Witness, jobs: set[str], repeats: Counter[str]) -> None:
    """Nothing lost, nothing twice, and no more model calls repeated than were in flight.

    Args:
        world: The world after everything has come to rest.
        witness: Its ledger's witness.
        jobs: Ids of all jobs that were accepted.
        repeats: How many model calls of each job were in flight when their worker
            crashed, was cut short, lost its lease, or lost the call's answer.
    """
    assert not witness.wrong
    assert set(world.ledger.records) == jobs, "a record for every job, and for nothing else"
    assert all(record.state.final for record in world.ledger.records.values()), world.statuses()
    assert set(witness.finals.values()) == {1}, "one final record per job"
    assert all(record.told for record in world.ledger.records.values()), "everything was told"
    for job, started in world.model.started.items():
        assert started <= 1 + repeats[job], f"{job}: {started} calls, {repeats[job]} in flight"
    letters = {letter.job for letter in world.dead.peek()}
    dead = {
        job
        for job, record in world.ledger.records.items()
        if record.state is State.DEAD and upgraded(job) is None
    }
    redriven = {job for job, record in world.ledger.records.items() if record.generation}
    assert dead <= letters <= dead | redriven, "a dead letter for every death, and for no other"
