"""All settings as one value, and the plain values that others receive of it.

This is the shape alone. `settings.Settings` adds the rules between fields.
"""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.core.degrade import HandlerSpec
from worker.core.job import Limits
from worker.core.policy import BreakerPolicy
from worker.core.route import Route
from worker.core.target import Target
from worker.settings.knobs import (
    BreakerSettings,
    CacheSettings,
    HealthSettings,
    Lane,
    LaneSettings,
    LedgerSettings,
    MetricsSettings,
    PacingSettings,
    PayloadSettings,
    QueueSettings,
    RetrySettings,
    TracesSettings,
    sibling,
)
from worker.settings.plan_knobs import HandlerSettings, RouteSettings, TargetSettings
from worker.settings.values import MIB, Name, QueueUrl, Seconds, Service

PREFIX = "WORKER_"
_RECENT_S = BreakerPolicy().recent_s
ALONE_RATE = 0.8
ELSEWHERE_RATE = 0.5
DEFAULT = "default"  # the name of the lane, the target and the route that nobody had to name


class Shape(BaseSettings):
    """All settings. Building one reads nothing but its arguments."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    queue: QueueSettings = QueueSettings()
    lanes: dict[Name, LaneSettings] = Field(default_factory=dict)
    """Instead of `queue.url`: several queues, each for some of the routes."""
    model: TargetSettings | None = None
    """The one model; the target called `default`."""
    targets: dict[Name, TargetSettings] = Field(default_factory=dict)
    """Further models, by name."""
    routes: dict[Name, RouteSettings] = Field(default_factory=dict)
    """Plans, by name; without any, `default` tries every target in order."""
    degraded: dict[Name, HandlerSettings] = Field(default_factory=dict)
    """Handlers of second-best answers, by name; see docs/degraded.md."""
    cache: CacheSettings = CacheSettings()
    breaker: BreakerSettings = BreakerSettings()
    pacing: PacingSettings = PacingSettings()
    ledger: LedgerSettings = LedgerSettings()
    payloads: PayloadSettings = PayloadSettings()
    replies: dict[Name, QueueUrl] = Field(default_factory=dict)
    """Reply queues that a job's `reply_to` may name: name and URL."""
    retry: RetrySettings = RetrySettings()
    metrics: MetricsSettings = MetricsSettings()
    traces: TracesSettings = TracesSettings()
    health: HealthSettings = HealthSettings()
    slots: Annotated[int, Field(ge=1, le=10_000)] = 32
    """Jobs that this process works on at once."""
    bytes_max: Annotated[int, Field(ge=1)] = 64 * MIB
    """Memory for the bodies and payloads of jobs in hand; with claim checks, room for 10 MiB of \
messages beside the largest payload."""
    grace_s: Seconds = 100.0
    """How long jobs in hand may take to finish after the stop."""
    crashes_max: Annotated[int, Field(ge=1, le=100)] = 3
    """Runs in a row without any outcome after which a job is discarded."""
    service: Service = "inference-worker"
    """Name of the fleet: in logs, as dimension of metrics, and before `-jobs` for the table."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Log lines below this level are not written."""
    protection: Literal["auto", "off"] = "auto"
    """Scale-in protection of the ECS task: `auto` uses it where there is an ECS agent."""
    task_tokens: bool = False
    """Whether jobs may come from Step Functions with a task token, which the worker answers; see \
docs/task-tokens.md."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  (the library's signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: `settings.load` reads the environment and the file itself."""
        return (init_settings,)

    def all_targets(self) -> dict[str, Target]:
        """Every target by name, `model` first."""
        named = {DEFAULT: self.model} if self.model else {}
        return {name: t.target(name) for name, t in {**named, **self.targets}.items()}

    def all_routes(self) -> dict[str, Route]:
        """Every route by name."""
        targets = self.all_targets()
        retry = self.retry.policy()
        if not self.routes:
            return {DEFAULT: Route(name=DEFAULT, targets=tuple(targets.values()), retry=retry)}
        return {
            name: Route(
                name=name,
                targets=tuple(targets[t] for t in r.target_names()),
                groups=tuple(tuple(weight for _, weight in group) for group in r.groups()),
                degraded=r.degraded,
                handlers_s=sum(self.degraded[name].limit_s for name in r.degraded),
                accept=r.accept.rules(),
                on_fault=r.on_fault,
                min_quality=r.min_quality,
                allow_geo=frozenset(r.allow_geo) or None,
                on_open=r.on_open.partition(":")[0],
                degrade_after_s=float(r.on_open.partition(":")[2] or 0) or None,
                upgrade_later=r.upgrade_later,
                notice=r.notice,
                deadline_s=r.deadline_s,
                park_base_s=r.park_base_s,
                park_cap_s=r.park_cap_s,
                park_max_s=r.park_max_s,
                retry=retry,
            )
            for name, r in self.routes.items()
        }

    def all_handlers(self) -> tuple[HandlerSpec, ...]:
        """Every degraded handler that a route names."""
        used = {name for route in self.routes.values() for name in route.degraded}
        targets = self.all_targets()
        return tuple(h.spec(name, targets) for name, h in self.degraded.items() if name in used)

    def all_lanes(self) -> tuple[Lane, ...]:
        """Every lane; without `lanes`, the one that `queue` describes."""
        lanes: dict[str, LaneSettings] = self.lanes
        if not lanes:
            assert self.queue.url is not None, "the rules hold"
            lanes = {
                DEFAULT: LaneSettings(
                    url=self.queue.url,
                    parked_url=self.queue.parked_url,
                    dead_url=self.queue.dead_url,
                    routes=self.route_names(),
                )
            }
        return tuple(
            Lane(
                name=name,
                url=lane.url,
                parked_url=lane.parked_url or sibling(lane.url, "parked"),
                dead_url=lane.dead_url or sibling(lane.url, "dead"),
                routes=lane.routes,
            )
            for name, lane in lanes.items()
        )

    def route_names(self) -> tuple[str, ...]:
        """The names of all routes."""
        return tuple(self.routes) or (DEFAULT,)

    def limits(self) -> Limits:
        """What a body may be."""
        own = (self.payloads.bucket,) if self.payloads.bucket else ()
        return Limits(
            payload_bytes=self.payloads.payload_bytes_max,
            payload_buckets=frozenset((*own, *self.payloads.allowed_buckets)),
        )

    def policies(self) -> dict[str, BreakerPolicy]:
        """The breaker's policy of every target.

        The threshold depends on the alternatives: to go on at 70 % errors costs a job that
        can only wait next to nothing, and one that could go elsewhere a retry. A target is
        as patient as the route that needs it most.

        >>> Shape(model={"id": "a"}).policies()["default"].failure_rate
        0.8
        """
        knobs = self.breaker.model_dump(exclude={"table", "shared", "failure_rate"})
        routes = self.all_routes().values()
        found = {}
        for name, target in self.all_targets().items():
            alone = any(len(r.targets) == 1 for r in routes if target in r.targets)
            rate = self.breaker.failure_rate or (ALONE_RATE if alone else ELSEWHERE_RATE)
            stuck_s = max(1.0, target.slow_s)
            found[name] = BreakerPolicy(
                **knobs,
                failure_rate=rate,
                recent_s=min(_RECENT_S, stuck_s, knobs["window_s"]),
                stuck_s=stuck_s,
                probe_s=stuck_s,
            )
        return found

    @property
    def breakers_table(self) -> str:
        """The table that the fleet shares its circuits in."""
        return self.breaker.table or f"{self.service}-breakers"

    @property
    def cache_table(self) -> str | None:
        """The table of the caches; None if no route has one."""
        used = any(spec.kind == "cache" for spec in self.all_handlers())
        return (self.cache.table or f"{self.service}-cache") if used else None

    @property
    def ledger_table(self) -> str:
        """The ledger's table."""
        return self.ledger.table or f"{self.service}-jobs"

    @property
    def longest_job_s(self) -> float:
        """The longest that one delivery can take: every call times out, every wait is the longest.

        >>> Shape(model={"id": "a", "attempt_s": 20}, retry={"attempts": 3}).longest_job_s
        70.0
        """
        attempt_s = max((t.attempt_s for t in self.all_targets().values()), default=0.0)
        attempts = self.retry.attempts
        return attempts * attempt_s + (attempts - 1) * self.retry.longest_wait_s
