"""What a large fleet must show: each experiment, what it wants, and what was measured.

`python -m worker.sim fleet` runs them at full size; tests run a short form of each.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from worker.core.policy import BreakerPolicy
from worker.core.verdict import State
from worker.sim.clock import in_virtual_time
from worker.sim.fleet import Fleet, Setting, at_most
from worker.sim.service import Phase
from worker.sim.wire import Call, Mishap

CALM_S: Final = 60.0
_CALM: Final = Phase(lasts_s=CALM_S)
HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one experiment showed.

    Attributes:
        wanted, measured: In words, with figures.
        kept: Whether what was measured is what was wanted.
    """

    name: str
    wanted: str
    measured: str
    kept: bool


def played(setting: Setting) -> Fleet:
    """Let the story of a setting happen."""
    fleet = Fleet(setting)
    in_virtual_time(fleet.run())
    return fleet


def _opened_s(fleet: Fleet) -> float | None:
    """When the fleet opened for the first time after the calm lead-in."""
    opens = [m.now for m in fleet.moves if m.old is State.CLOSED and m.now >= CALM_S]
    return None if not opens else opens[0] - CALM_S


def hard_outage(workers: int, *, seed: int = 1) -> Finding:
    """All calls fail at once for a minute."""
    story = (_CALM, Phase(lasts_s=60.0, errors=1.0))
    fleet = played(Setting(workers=workers, phases=story, lasts_s=180.0, seed=seed))
    end = CALM_S + 60.0
    stopped = [m.stopped_at(CALM_S, end) - CALM_S for m in fleet.members]
    failed = [m.failures(CALM_S, end) for m in fleet.members]
    p95_s, mean = at_most(stopped, 0.95), sum(failed) / len(failed)
    probes = max(fleet.probes.values(), default=0)
    closed = bool(fleet.moves) and fleet.moves[-1].new is State.CLOSED
    return Finding(
        name=f"full outage, {workers:,} workers",
        wanted="95 % have stopped within 6 s, 5 failed calls per worker, 3 probes a round, closes",
        measured=f"{p95_s:.1f} s, {mean:.1f} calls (95 %: {at_most(failed, 0.95):.0f}), "
        f"{probes} probes, {'closed' if closed else 'still open'}",
        kept=p95_s <= 6 and mean <= 5 and 0 < probes <= 3 and closed,  # noqa: PLR2004
    )


def hang(workers: int, *, seed: int = 1) -> Finding:
    """No call comes back for 90 s, and none completes as a failure before the trip."""
    story = (_CALM, Phase(lasts_s=90.0, errors=0.0, hangs=1.0))
    setting = Setting(workers=workers, phases=story, lasts_s=210.0, seed=seed)
    fleet = played(setting)
    opened = _opened_s(fleet)
    limit_s = setting.policy.stuck_s + 3
    completed = (
        0
        if opened is None
        else sum(member.failures(CALM_S, CALM_S + opened) for member in fleet.members)
    )
    return Finding(
        name=f"calls hang, {workers:,} workers",
        wanted=f"opens within {limit_s:.0f} s, without one completed failure",
        measured=f"{_seconds(opened)}, {completed} completed",
        kept=opened is not None and opened <= limit_s and completed == 0,
    )


def partial_outage(workers: int, *, seeds: int = 20) -> Finding:
    """30 % of the calls fail where another target can take the jobs."""
    story = (_CALM, Phase(lasts_s=60.0, errors=0.3))
    found = []
    for seed in range(1, seeds + 1):
        setting = Setting(
            workers=workers,
            phases=story,
            lasts_s=CALM_S + 40.0,
            policy=BreakerPolicy(failure_rate=0.2),
            fallback=True,
            seed=seed,
        )
        opened = _opened_s(played(setting))
        found.append(float("inf") if opened is None else opened)
    p95_s = at_most(found, 0.95)
    return Finding(
        name=f"30 % fail, with an alternative, {workers:,} workers",
        wanted="opens within 20 s in 95 % of the runs",
        measured=f"median {at_most(found, 0.5):.1f} s, 95 % within {p95_s:.1f} s of {seeds} runs",
        kept=p95_s <= 20,  # noqa: PLR2004
    )


def no_alternative(workers: int, *, lasts_s: float = 600.0, seed: int = 1) -> Finding:
    """70 % of the calls fail, and there is nowhere else to go."""
    story = (_CALM, Phase(lasts_s=lasts_s, errors=0.7))
    fleet = played(Setting(workers=workers, phases=story, lasts_s=CALM_S + lasts_s, seed=seed))
    return Finding(
        name=f"70 % fail, without an alternative, {workers:,} workers",
        wanted=f"stays closed for {lasts_s:.0f} s",
        measured=f"{len(fleet.moves)} moves",
        kept=not fleet.moves,
    )


def background_errors(workers: int, *, hours: float = 24.0, seed: int = 1) -> Finding:
    """2 % of the calls fail, day in, day out."""
    lasts_s = hours * HOUR_S
    story = (Phase(lasts_s=lasts_s, errors=0.02),)
    fleet = played(Setting(workers=workers, phases=story, lasts_s=lasts_s, per_s=0.2, seed=seed))
    calls = sum(len(member.calls) for member in fleet.members)
    alone = sum(len(member.opened) for member in fleet.members)
    return Finding(
        name=f"2 % fail, {hours:g} h, {workers:,} workers",
        wanted="no circuit opens",
        measured=f"{len(fleet.moves)} moves of the fleet, {alone} of processes, {calls:,} calls",
        kept=not fleet.moves and not alone,
    )


def bad_hosts(workers: int, *, seed: int = 1) -> Finding:
    """A quarter of the hosts is broken; the service is well."""
    story = (_CALM, Phase(lasts_s=120.0, errors=1.0, hit=0.25))
    fleet = played(Setting(workers=workers, phases=story, lasts_s=CALM_S + 120.0, seed=seed))
    first_s = [
        min((at for at, _ in m.opened if at >= CALM_S), default=float("inf")) - CALM_S
        for m in fleet.members
        if m.place < 0.25  # noqa: PLR2004
    ]
    p95_s = at_most(first_s, 0.95)
    healthy = sum(len(m.opened) for m in fleet.members if m.place >= 0.25)  # noqa: PLR2004
    return Finding(
        name=f"a quarter of the hosts is broken, {workers:,} workers",
        wanted="the fleet stays closed, 95 % of the broken ones stop within 15 s, no other one",
        measured=f"{len(fleet.moves)} moves, {p95_s:.1f} s, {healthy} others",
        kept=not fleet.moves and p95_s <= 15 and not healthy,  # noqa: PLR2004
    )


def store_lost(workers: int, *, seed: int = 1) -> Finding:
    """The store is out of reach for 10 minutes of an outage, and a while beyond it."""
    lost, story = (80.0, 680.0), (_CALM, Phase(lasts_s=500.0, errors=1.0))

    def plan(_: Call) -> Mishap | None:
        out = lost[0] <= asyncio.get_running_loop().time() < lost[1]
        return Mishap(when="before") if out else None

    setting = Setting(workers=workers, phases=story, lasts_s=760.0, plan=plan, seed=seed)
    fleet = played(setting)
    blind = (lost[0] + 10.0, CALM_S + 500.0)
    calls = sum(blind[0] <= at < blind[1] for m in fleet.members for at, _ in m.calls)
    policy = setting.policy
    budget = policy.probes / policy.rest_s(99, 0.5) * (blind[1] - blind[0])
    closed = all(gate.verdict.state is State.CLOSED for m in fleet.members for gate in m.gates)
    return Finding(
        name=f"the store is lost for 10 min in an outage, {workers:,} workers",
        wanted="at most twice the probes of the budget, and closed in the end",
        measured=f"{calls} calls, budget {budget:.0f}, {'closed' if closed else 'wedged'}",
        kept=calls <= 2 * budget and closed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Operations on the store per second, for one breaker and its endpoint's."""

    workers: int
    reads_calm: float
    writes_calm: float
    reads_open: float
    writes_open: float

    @property
    def usd_a_month(self) -> float:
        """In calm, on demand: 0.125 USD a million half-priced reads, 0.625 a million writes."""
        return 30 * 24 * HOUR_S * (self.reads_calm * 0.5 * 0.125 + self.writes_calm * 0.625) / 1e6

    @property
    def usd_an_hour_open(self) -> float:
        """In an outage."""
        return HOUR_S * (self.reads_open * 0.5 * 0.125 + self.writes_open * 0.625) / 1e6


READS: Final = frozenset({"read", "seats"})


def cost(workers: int, *, lasts_s: float = 300.0) -> Cost:
    """Count what a fleet asks of the store, in calm and while its circuit is open."""
    story = (Phase(lasts_s=2 * lasts_s), Phase(lasts_s=2 * lasts_s, errors=1.0))
    fleet = Fleet(Setting(workers=workers, phases=story, lasts_s=4 * lasts_s, per_s=0.2))
    counts: list[Counter[str]] = []

    async def main() -> None:
        running = asyncio.get_running_loop().create_task(fleet.run())
        for _ in range(3):
            await asyncio.sleep(lasts_s)
            counts.append(fleet.operations())
        await asyncio.sleep(lasts_s - 1.0)
        counts.append(fleet.operations())
        running.cancel()

    in_virtual_time(main())
    calm, outage = counts[1] - counts[0], counts[3] - counts[2]

    def per_s(operations: Counter[str], *, reads: bool) -> float:
        return sum(n for name, n in operations.items() if (name in READS) is reads) / lasts_s

    return Cost(
        workers=workers,
        reads_calm=per_s(calm, reads=True),
        writes_calm=per_s(calm, reads=False),
        reads_open=per_s(outage, reads=True),
        writes_open=per_s(outage, reads=False),
    )


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


FULL: Final[tuple[Callable[[], Finding], ...]] = (
    lambda: hard_outage(1_000),
    lambda: hard_outage(10_000),
    lambda: hang(1_000),
    lambda: partial_outage(1_000),
    lambda: no_alternative(1_000),
    lambda: bad_hosts(1_000),
    lambda: store_lost(1_000),
    lambda: background_errors(100),
)
