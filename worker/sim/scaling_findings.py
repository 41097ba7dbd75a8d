"""What is wanted of autoscaling, story by story, and what the committed template shows.

`python -m worker.sim scaling` prints it for docs/scaling.md; tests change a part of the
template, and see the story that misses it.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.runtime.upstream import SHRINK_S, Upstream
from worker.sim.autoscaling import Plan
from worker.sim.clock import in_virtual_time
from worker.sim.experiments import Finding
from worker.sim.fleet import Fleet, Setting
from worker.sim.scaling import (
    HOLD,
    HOUR_S,
    JOB_S,
    LETS_OUT_S,
    MINUTE_S,
    OPENS_S,
    RUNNING,
    SLOTS,
    START_S,
    TASKS,
    Run,
    Story,
    ours,
    usual,
)
from worker.sim.service import Phase

OUTAGE_S: Final = 20 * MINUTE_S
SAVED_MIN: Final = 0.6
DRAIN_MAX: Final = 2.0
STARTS: Final = range(30, 46, 2)
"""In which minutes outages begin: the usual policies never rest, so one would tell nothing."""
RATE: Final = 7.2  # three workers are three quarters full
STEADY: Final = ((0, RATE),)
STEP: Final = ((0, 2.0), (HOUR_S, 16.0))
GROWTH: Final = ((0, 2.0), (HOUR_S, 6.0))


def outage(begins: int, *, lasts_s: int = OUTAGE_S, **more: Any) -> Story:
    """An outage under a steady load, and an hour after it."""
    heals = begins + lasts_s
    story: dict[str, Any] = {"per_s": STEADY, "lasts_s": heals + HOUR_S}
    return Story(outages=((begins, heals),), **story | more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What outages cost, on the average over their begins."""

    task_minutes: float
    tasks: float
    drained_s: float


def outages(plan: Plan, **more: Any) -> Outcome:
    """The same outage at each of `STARTS`."""
    found = []
    for minute in STARTS:
        begins, heals = minute * MINUTE_S, minute * MINUTE_S + OUTAGE_S
        run = Run(plan, outage(begins, **more))
        found.append((run.task_minutes(begins, heals), run.size_at(heals), run.drained_s(heals)))
    minutes, sizes, drains = zip(*found, strict=True)
    n = len(found)
    return Outcome(task_minutes=sum(minutes) / n, tasks=sum(sizes) / n, drained_s=sum(drains) / n)


def an_outage(plan: Plan) -> Finding:
    """Workers that can do nothing are not paid for."""
    held, without = outages(plan), outages(usual(plan, in_hand=False))
    with_them = outages(usual(plan, in_hand=True))
    saved, drain = 1 - held.task_minutes / without.task_minutes, held.drained_s / without.drained_s
    return Finding(
        name="an outage of 20 min",
        wanted=f"{SAVED_MIN:.0%} fewer task-minutes than by waiting jobs per task, drained in at "
        f"most {DRAIN_MAX:g} times as long, no task more or less in between",
        measured=f"{held.task_minutes:.0f} against {without.task_minutes:.0f} "
        f"({with_them.task_minutes:.0f} with jobs in hand): {saved:.0%} fewer; "
        f"{held.tasks:.0f} tasks at its end against {without.tasks:.0f}; drained in "
        f"{held.drained_s:.0f} s against {without.drained_s:.0f} s: {drain:.2f} times",
        kept=saved >= SAVED_MIN and drain <= DRAIN_MAX and held.tasks == TASKS,
    )


def a_steady_day(plan: Plan) -> Finding:
    """What needs three workers gets three workers."""
    story = Story(per_s=STEADY, lasts_s=4 * HOUR_S)
    run, without = Run(plan, story), Run(usual(plan, in_hand=False), story)
    return Finding(
        name="four steady hours",
        wanted="the size stays, and nobody waits",
        measured=f"{len(run.scaler.moves)} moves, {run.task_minutes():.0f} task-minutes, waits of "
        f"{run.longest_wait_s():.0f} s; by waiting jobs per task {len(without.scaler.moves)} "
        f"moves, {without.task_minutes():.0f} task-minutes, waits up to "
        f"{without.longest_wait_s():.0f} s",
        kept=not run.scaler.moves and run.longest_wait_s() <= 1,
    )


def _more_load(plan: Plan, name: str, **more: Any) -> Finding:
    """Eight times the load: as fast as without a hold."""
    story = Story(per_s=STEP, lasts_s=2 * HOUR_S, **{"tasks": 1, **more})
    run = Run(plan, story)
    without = Run(usual(plan, in_hand=False), replace(story, lost=()))
    first, their_first = run.moved_at(HOUR_S) - HOUR_S, without.moved_at(HOUR_S) - HOUR_S
    waits, their_waits = run.longest_wait_s(HOUR_S), without.longest_wait_s(HOUR_S)
    return Finding(
        name=name,
        wanted="more workers as soon as by waiting jobs per task, and no longer waits",
        measured=f"after {first:.0f} s against {their_first:.0f} s, waits up to {waits:.0f} s "
        f"against {their_waits:.0f} s",
        kept=first <= their_first and waits <= their_waits + 1,
    )


def more_load(plan: Plan) -> Finding:
    """Without trouble."""
    return _more_load(plan, "eight times the load")


def more_load_on_a_fallback(plan: Plan) -> Finding:
    """While another target serves there is no hold."""
    return _more_load(
        plan,
        "the same while a fallback serves, half as fast",
        outages=((HOUR_S - 600, 2 * HOUR_S),),
        fallback=True,
    )


def more_load_and_a_bad_host(plan: Plan) -> Finding:
    """One worker that keeps back is not the fleet."""
    two = replace(plan, tasks_min=2)
    return _more_load(two, "the same while one of two workers is cut off", bad_host=True, tasks=2)


def more_load_uncounted(plan: Plan) -> Finding:
    """Without the count of workers it goes by one."""
    return _more_load(
        plan, "the same while nobody counts the workers", lost=((HOUR_S - 1800, RUNNING),)
    )


def in_the_middle_of_growth(plan: Plan) -> Finding:
    """What has begun to start, starts; nothing more does."""
    begins = HOUR_S + 4 * MINUTE_S
    heals = begins + OUTAGE_S
    run = Run(plan, outage(begins, per_s=GROWTH, tasks=1))
    seen = begins + 3 * MINUTE_S
    later = [at for at, _ in run.scaler.moves if seen < at <= heals]
    return Finding(
        name="an outage in the middle of growth",
        wanted="no move once it has been seen for 3 min, then more workers within 5 min",
        measured=f"{run.size_at(begins)} tasks at its begin, {run.size_at(seen)} after 3 min and "
        f"{run.size_at(heals)} at its end; the next move {run.moved_at(heals) - heals:.0f} s "
        f"after the healing; drained in {run.drained_s(heals):.0f} s",
        kept=not later and run.moved_at(heals) - heals <= 5 * MINUTE_S,
    )


def a_long_outage(plan: Plan) -> Finding:
    """After a quarter of an hour the fleet may shrink, and does after another."""
    begins, lasts_s = HOUR_S // 2, 2 * HOUR_S
    run = Run(plan, outage(begins, lasts_s=lasts_s))
    shrunk = next((at for at, n in run.scaler.moves if n == plan.tasks_min), math.inf) - begins
    size = run.size_at(begins + lasts_s)
    drained = run.drained_s(begins + lasts_s)
    return Finding(
        name="an outage of two hours",
        wanted="the least number of tasks within 40 min, and everything drained",
        measured=f"{shrunk / MINUTE_S:.0f} min; {size} at its end; drained in {drained:.0f} s",
        kept=shrunk <= 40 * MINUTE_S and size == plan.tasks_min and drained < HOUR_S,
    )


def a_shut_route(plan: Plan) -> Finding:
    """Jobs that are parked again and again are nothing that more workers could do."""
    story = Story(per_s=STEADY, lasts_s=3 * HOUR_S)
    run, calm = Run(plan, replace(story, shut=0.5)), Run(plan, replace(story, per_s=((0, 3.6),)))
    return Finding(
        name="one of two routes is shut for three hours",
        wanted="as many tasks as the other one needs",
        measured=f"{run.task_minutes():.0f} task-minutes, {calm.task_minutes():.0f} without the "
        f"shut one's jobs; up to {run.parked_most:,.0f} of them parked",
        kept=run.task_minutes() <= calm.task_minutes(),
    )


def parked_jobs_come_back(plan: Plan) -> Finding:
    """Jobs that waited parked are work like any other."""
    story = Story(per_s=((0, 0.0),), tasks=1, lasts_s=2 * HOUR_S, doorbells=((HOUR_S, 5_000.0),))
    run = Run(plan, story)
    drained = next((n for n in range(HOUR_S, 2 * HOUR_S) if run.waiting[n] < 1), math.inf) - HOUR_S
    return Finding(
        name="5,000 parked jobs come back at once",
        wanted="as many tasks as they need within 5 min, and nobody waits after 10",
        measured=f"{run.size_at(HOUR_S + 300)} tasks; {drained / MINUTE_S:.0f} min",
        kept=run.size_at(HOUR_S + 300) == plan.tasks_max and drained <= 10 * MINUTE_S,
    )


def nothing_is_heard(plan: Plan) -> Finding:
    """A hold that nobody tells any more ends."""
    begins, heals = HOUR_S // 2, HOUR_S // 2 + OUTAGE_S
    run = Run(plan, outage(begins, lost=((begins + 300, HOLD),)))
    without = Run(usual(plan, in_hand=False), outage(begins))
    drained, theirs = run.drained_s(heals), without.drained_s(heals)
    return Finding(
        name="the workers' metrics are lost in an outage",
        wanted="scales as without a hold",
        measured=f"{run.size_at(heals)} tasks at its end, drained in {drained:.0f} s against "
        f"{theirs:.0f} s",
        kept=drained <= theirs * 1.1,
    )


def idle(plan: Plan) -> Finding:
    """Nothing to do, and least to pay for."""
    run = Run(plan, Story(per_s=((0, RATE), (HOUR_S, 0.0)), lasts_s=2 * HOUR_S))
    after = next((at for at, n in run.scaler.moves if n == plan.tasks_min), math.inf) - HOUR_S
    return Finding(
        name="nothing to do any more",
        wanted="the least number of tasks within 20 min",
        measured=f"{plan.tasks_min} after {after / MINUTE_S:.0f} min",
        kept=after <= 20 * MINUTE_S,
    )


def to_zero(template: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    """With none as the least number: what wakes the fleet, and how soon."""
    plan, found = ours(template, TasksMin=0), []
    quiet = Story(per_s=((0, RATE), (HOUR_S, 0.0)), lasts_s=3 * HOUR_S)
    once = ((2 * HOUR_S, 1.0), (2 * HOUR_S + 1, 0.0))
    for what, story in (
        ("a job", replace(quiet, per_s=(*quiet.per_s, *once))),
        ("a parked job", replace(quiet, doorbells=once[:1])),
    ):
        run = Run(plan, story)
        woke = run.moved_at(2 * HOUR_S)
        took = woke + START_S - 2 * HOUR_S
        found.append(
            Finding(
                name=f"{what} for a fleet of none",
                wanted="received within 6 min by one worker, which leaves again",
                measured=f"after {took / MINUTE_S:.1f} min by {run.size_at(int(min(woke, 9e9)))}; "
                f"{run.size_at(3 * HOUR_S)} at the end",
                kept=run.size_at(2 * HOUR_S) == run.size_at(3 * HOUR_S) == 0
                and took <= 6 * MINUTE_S,
            )
        )
    return tuple(found)


def held_by_gates(seed: int = 1) -> Finding:
    """Whether real gates say what the model takes for granted, by the least of three workers."""
    lead_s, heals = 60.0, 60.0 + OUTAGE_S
    fleet = Fleet(
        Setting(
            workers=3,
            phases=(Phase(lasts_s=lead_s), Phase(lasts_s=OUTAGE_S, errors=1.0)),
            lasts_s=heals + 60.0,
            per_s=RATE / 3,
            latency_s=JOB_S,
            seed=seed,
        )
    )
    told: list[tuple[float, int]] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1.0)
        hears = [Upstream(m.gates, [fleet.route], alone=False) for m in fleet.members]
        while True:
            told.append((loop.time(), min(one.hold(loop.time()) for one in hears)))
            await asyncio.sleep(1.0)

    async def both() -> None:
        watching = asyncio.get_running_loop().create_task(watch())
        await fleet.run()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    in_virtual_time(both())
    held = [at for at, hold in told if hold]
    opens_s, lets_out_s = held[0] - lead_s, held[-1] - heals
    gaps = round(held[-1] - held[0]) + 1 - len(held)
    longest = next((at - held[0] for at, hold in told if hold > 1), math.inf)
    return Finding(
        name="the hold, told by real gates",
        wanted=f"begins within {OPENS_S} s, is let go within {LETS_OUT_S} s, and never between",
        measured=f"after {opens_s:.0f} s, until {lets_out_s:.0f} s after the healing, {gaps} gaps; "
        f"is 2 after {longest:.0f} s",
        kept=0 <= opens_s <= OPENS_S
        and 0 <= lets_out_s <= LETS_OUT_S
        and gaps == 0
        and abs(longest - SHRINK_S) <= 1,
    )


BY_PLAN: Final[tuple[Callable[[Plan], Finding], ...]] = (
    an_outage,
    in_the_middle_of_growth,
    a_long_outage,
    nothing_is_heard,
    a_shut_route,
    parked_jobs_come_back,
    a_steady_day,
    more_load,
    more_load_on_a_fallback,
    more_load_and_a_bad_host,
    more_load_uncounted,
    idle,
)


def findings() -> tuple[Finding, ...]:
    """Everything, of the committed template."""
    plan = ours()
    return (*(one(plan) for one in BY_PLAN), *to_zero(), held_by_gates())


def prices() -> list[tuple[str, ...]]:
    """The outage for fleets of several sizes: the larger the most, the more is saved and waited."""
    rows: list[tuple[str, ...]] = []
    for need in (1.5, 2.25, 4.5):
        for most in (10, 20):
            plan = ours(TasksMax=most)
            tasks = math.ceil(need / 0.8)
            story: dict[str, Any] = {"per_s": ((0, need * SLOTS / JOB_S),), "tasks": tasks}
            held, without = outages(plan, **story), outages(usual(plan, in_hand=False), **story)
            rows.append(
                (
                    f"{need * SLOTS / JOB_S:.1f}",
                    f"{tasks}",
                    f"{most}",
                    f"{held.task_minutes:.0f}",
                    f"{without.task_minutes:.0f}",
                    f"{1 - held.task_minutes / without.task_minutes:.0%}",
                    f"{held.drained_s:.0f}",
                    f"{without.drained_s:.0f}",
                    f"{held.drained_s / without.drained_s:.1f}",
                )
            )
    return rows
