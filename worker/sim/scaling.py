"""What autoscaling does in an outage, and on the days without one.

A fleet is played by the second, as quantities and not as single jobs; what sets its size are
the policies of the committed template, through `autoscaling`. Beside them stand two that are
usual: waiting jobs per task, and the same with jobs in hand. `scaling_findings` has what is
wanted of them, and holds what the model takes for `UpstreamHold` against real gates.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from worker.runtime.upstream import SHRINK_S
from worker.sim.autoscaling import Figure, Plan, Scaler, Telemetry

TEMPLATE: Final = Path(__file__).parents[2] / "deploy" / "template.json"
MINUTE_S: Final = 60
HOUR_S: Final = 3600

SLOTS: Final = 32
JOB_S: Final = 10.0
WAIT_S: Final = 60.0
WAITING_PER_TASK: Final = SLOTS * WAIT_S / JOB_S
START_S: Final = 45  # from the wish for a task to its first receive
OPENS_S: Final = 15  # from the outage until the circuit is open
LETS_OUT_S: Final = 10  # from the healing until the ramp begins
RAMP: Final = ((10, 0.2), (5, 0.5))  # a step's length and its share, before all slots
TASKS: Final = 3
PARK_S: Final = 600
FLUSH_S: Final = 10

JOBS: Final = "JobsQueue"
PARKED: Final = "ParkedQueue"
VISIBLE: Final = "ApproximateNumberOfMessagesVisible"
IN_HAND: Final = "ApproximateNumberOfMessagesNotVisible"
DELAYED: Final = "ApproximateNumberOfMessagesDelayed"
RUNNING: Final = "RunningTaskCount"
HOLD: Final = "UpstreamHold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happens to a fleet. Times are seconds from its begin.

    Attributes:
        per_s: Jobs that are sent per second, by when that begins.
        tasks: Workers at the begin.
        outages: From when to when no model answers.
        fallback: Whether another target serves meanwhile, half as fast.
        shut: The share of jobs whose route alone is shut, for the whole story.
        doorbells: Parked jobs whose delay ends, by when.
        bad_host: Whether one worker is cut off, and keeps back for itself alone.
        lost: Metrics that do not arrive, by when that begins.
    """

    per_s: tuple[tuple[float, float], ...]
    lasts_s: int
    tasks: int = TASKS
    outages: tuple[tuple[int, int], ...] = ()
    fallback: bool = False
    shut: float = 0.0
    doorbells: tuple[tuple[int, float], ...] = ()
    bad_host: bool = False
    lost: tuple[tuple[int, str], ...] = ()
    late_minutes: int = 1

    def rate(self, now: int) -> float:
        """Jobs that are sent per second."""
        return [per_s for at, per_s in self.per_s if at <= now][-1]


@dataclass(slots=True, eq=False)
class Run:
    """One story under one plan.

    Attributes:
        tasks: When each task that there is was asked for.
        task_s: Seconds of tasks, by second: their sum is what is paid for.
        waiting: Jobs that wait, by second.
        sent, done: Jobs so far, by second.
        parked_most: The most jobs of the shut route that waited for their delay.
    """

    plan: Plan
    story: Story
    tasks: list[float] = field(init=False)
    task_s: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    told: Telemetry = field(init=False)
    scaler: Scaler = field(init=False)
    _visible: float = 0.0
    _due: float = 0.0
    _hand: float = 0.0
    parked_most: float = 0.0
    _parked: deque[tuple[int, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        story = self.story
        self.tasks = [-math.inf] * story.tasks
        self.told = Telemetry(late_minutes=story.late_minutes)
        self.scaler = Scaler(self.plan, self.told, story.tasks)
        for now in range(story.lasts_s):
            self._second(now)

    # --- what came of it ---------------------------------------------------------

    def task_minutes(self, since: int = 0, until: int | None = None) -> float:
        """What was paid for."""
        return sum(self.task_s[since:until]) / MINUTE_S

    def drained_s(self, healed: int) -> float:
        """From the healing until every job sent before it is answered."""
        wanted = self.sent[healed] - 0.5
        return next((n - healed for n, done in enumerate(self.done) if done >= wanted), math.inf)

    def longest_wait_s(self, since: int = 0) -> float:
        """How long the last job of the queue would have waited, at most."""
        return max(
            waits / max(self.story.rate(now), 1e-9)
            for now, waits in enumerate(self.waiting)
            if now >= since
        )

    def size_at(self, now: int) -> int:
        """How many tasks were wanted."""
        return next((n for at, n in reversed(self.scaler.moves) if at <= now), self.story.tasks)

    def moved_at(self, since: int) -> float:
        """When the size changed for the first time after."""
        return next((at for at, _ in self.scaler.moves if at >= since), math.inf)

    # --- a second ----------------------------------------------------------------

    def _second(self, now: int) -> None:
        story = self.story
        sent = story.rate(now)
        self.sent.append((self.sent[-1] if self.sent else 0.0) + sent)
        running = [at + START_S for at in self.tasks if at + START_S <= now]
        share, open_since = self._circuit(now)
        self._visible += sent * (1 - story.shut)
        self._due += sum(jobs for at, jobs in story.doorbells if at == now)
        self._park(now, sent * story.shut)
        done = self._work((len(running) - story.bad_host) * SLOTS, share)
        self.done.append((self.done[-1] if self.done else 0.0) + done)
        self.task_s.append(float(len(self.tasks)))
        self.waiting.append(self._visible + self._due)
        self._tell(now, running, open_since)
        if (now + 1) % MINUTE_S == 0:
            self.told.next_minute()
            self._resize(now + 1)

    def _circuit(self, now: int) -> tuple[float | None, int | None]:
        """The share of the slots that may call, None if calls fail; and since when it is open."""
        for begins, heals in self.story.outages:
            if self.story.fallback:
                if begins <= now < heals:
                    return 1.0, None
                continue
            if begins <= now < begins + OPENS_S:
                return None, None
            if begins + OPENS_S <= now < heals + LETS_OUT_S:
                return 0.0, begins + OPENS_S
            at = heals + LETS_OUT_S
            for lasts_s, share in RAMP:
                if at <= now < at + lasts_s:
                    return share, None
                at += lasts_s
        return 1.0, None

    def _work(self, slots: int, share: float | None) -> float:
        """Calls that end and jobs that are taken; how many were answered."""
        if share is None:  # every call fails at once, and its job is parked
            self._due, self._hand = self._due + self._hand, 0.0
            return 0.0
        if share == 0.0:
            self._due, self._hand = self._due + self._hand, 0.0
        mean_s = JOB_S * (2.0 if self.story.fallback else 1.0)
        done = self._hand / mean_s
        self._hand -= done
        takes = min(self._visible + self._due, max(0.0, slots * share - self._hand))
        parked = min(self._due, takes)
        self._due -= parked
        self._visible -= takes - parked
        self._hand += takes
        return done

    def _park(self, now: int, jobs: float) -> None:
        """Jobs of the shut route are looked at and parked again, as long as it is shut."""
        if not self.story.shut:
            return
        while self._parked and self._parked[0][0] <= now:
            jobs += self._parked.popleft()[1]
        self._parked.append((now + PARK_S, jobs))
        self.parked_most = max(self.parked_most, sum(of for _, of in self._parked))

    def _tell(self, now: int, running: list[float], open_since: int | None) -> None:
        self.told.lost = {name for at, name in self.story.lost if at <= now}
        if now % FLUSH_S == 0:
            for n, started in enumerate(running):
                since = open_since
                if self.story.bad_host and n == 0:
                    since = 0
                hold = 0
                if since is not None:
                    hold = 1 if now - max(since, started) < SHRINK_S else 2
                self.told.tell(HOLD, hold)
        if (now + 1) % MINUTE_S == 0:
            self.told.tell(VISIBLE, self._visible, JOBS)
            self.told.tell(VISIBLE, self._due, PARKED)
            self.told.tell(IN_HAND, self._hand, JOBS)
            self.told.tell(IN_HAND, 0.0, PARKED)
            self.told.tell(DELAYED, sum(jobs for _, jobs in self._parked), PARKED)
            if running:  # of a service with no task running nothing is told
                self.told.tell(RUNNING, len(running))

    def _resize(self, now: int) -> None:
        wanted = self.scaler.look(now)
        self.tasks += [now] * (wanted - len(self.tasks))
        del self.tasks[wanted:]


# --- plans -------------------------------------------------------------------


def ours(template: Mapping[str, Any] | None = None, **given: float) -> Plan:
    """The plan of the committed template, with these parameters."""
    if template is None:
        template = orjson.loads(TEMPLATE.read_bytes())
    return Plan.of_template(template, **{"WaitingPerTask": WAITING_PER_TASK, **given})


def usual(like: Plan, *, in_hand: bool) -> Plan:
    """Jobs per task, as AWS's guide has it; with those in hand or without."""
    jobs = "jobs + taken" if in_hand else "jobs"
    figure = Figure(
        metrics={
            "jobs": ((VISIBLE, JOBS), "Maximum"),
            "taken": ((IN_HAND, JOBS), "Maximum"),
            "running": ((RUNNING, ""), "Average"),
        },
        expressions={"per_task": f"({jobs}) / running"},
    )
    target = WAITING_PER_TASK + (SLOTS if in_hand else 0)
    return replace(like, figure=figure, target=target, wakes=None)
