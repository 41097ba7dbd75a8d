"""Rules between settings, each with what is wrong, what it causes, and what to do.

A problem that is not `fatal` is a warning: the worker starts, and says so.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from worker.settings.fields import variable
from worker.settings.model import Shape
from worker.settings.names import BUILT, NAMED
from worker.settings.plan_knobs import TargetSettings
from worker.settings.plans import Plans, findings
from worker.settings.problem import Problem, listed
from worker.settings.values import DAY_S, MIB

LEASE_USUAL_S: Final = 10.0
RECEIVE_BYTES: Final = 10 * MIB  # ten messages of the largest size
POLL_MARGIN_S: Final = 8.0  # left after the last poll lands, to give back and to flush
FARGATE_GRACE_S: Final = 110.0  # below the longest `stopTimeout` of Fargate, 120 s
EXTEND_MAX_S: Final = 43_200.0  # SQS: a message is extended to 12 h after its receive at most
RETENTION_S: Final = 4 * DAY_S  # how long an SQS queue keeps a message unless told otherwise


def problems(settings: Shape) -> tuple[Problem, ...]:
    """Every rule that does not hold, warnings included."""
    found = [problem for rule in (*NAMED, *_ALWAYS) for problem in rule(settings)]
    if not any(problem.fatal for rule in NAMED for problem in rule(settings)):
        found += [problem for rule in (*BUILT, *_BUILT) for problem in rule(settings)]
    return tuple(found)


def _is(value: float, unit: str = "s") -> str:
    return f"{value:g} {unit}"


def _a_lease_leaves_time_to_renew_it(s: Shape) -> Iterator[Problem]:
    if s.queue.lease_s < LEASE_USUAL_S:
        yield Problem(
            wrong="the lease is very short.",
            facts=((variable("queue", "lease_s"), _is(s.queue.lease_s)),),
            advice=f"It is renewed at 60 % of its time: {_is(0.4 * s.queue.lease_s)} are left for "
            "a slow call or a busy loop before a second worker may take the job and pay for it "
            f"again. Fine in a test; otherwise set at least {_is(LEASE_USUAL_S)}.",
            fatal=False,
        )


def _a_poll_lands_within_the_grace(s: Shape) -> Iterator[Problem]:
    longest_s = s.grace_s - POLL_MARGIN_S
    if s.queue.wait_s >= longest_s:
        shorter = f"WORKER_QUEUE__WAIT_S below {_is(longest_s)}, or " if longest_s > 0 else ""
        yield Problem(
            wrong="a long poll can outlast the grace.",
            facts=(
                (variable("queue", "wait_s"), _is(s.queue.wait_s)),
                (variable("grace_s"), _is(s.grace_s)),
            ),
            advice="A receive is never cancelled, and what it brings must be given back: those "
            f"jobs would wait until their lease lapses. Set {shorter}WORKER_GRACE_S above "
            f"{_is(s.queue.wait_s + POLL_MARGIN_S)}.",
        )
    if s.grace_s > FARGATE_GRACE_S:
        yield Problem(
            wrong="the grace is longer than Fargate grants.",
            facts=((variable("grace_s"), _is(s.grace_s)),),
            advice="A task is killed 120 s after it was asked to stop, and its jobs would wait "
            f"until their lease lapses. On Fargate set at most {_is(FARGATE_GRACE_S)}.",
            fatal=False,
        )


def _bodies_fit_into_memory(s: Shape) -> Iterator[Problem]:
    if s.bytes_max < RECEIVE_BYTES:
        yield Problem(
            wrong="there is no room for one receive.",
            facts=(
                (variable("bytes_max"), f"{s.bytes_max} bytes"),
                ("ten messages of 1 MiB", f"{RECEIVE_BYTES} bytes"),
            ),
            advice="A poller reserves memory before it receives, and would wait for ever. Set "
            f"WORKER_BYTES_MAX to at least {RECEIVE_BYTES}.",
        )


def _payloads_fit_beside_a_receive(s: Shape) -> Iterator[Problem]:
    needed = RECEIVE_BYTES + s.payloads.payload_bytes_max
    if s.payloads.bucket is not None and s.bytes_max < needed:
        yield Problem(
            wrong="there is no room for the largest payload.",
            facts=(
                (
                    variable("payloads", "payload_bytes_max"),
                    f"{s.payloads.payload_bytes_max} bytes",
                ),
                ("ten messages of 1 MiB", f"{RECEIVE_BYTES} bytes"),
                (variable("bytes_max"), f"{s.bytes_max} bytes"),
            ),
            advice="Such a job would wait in its slot for memory that cannot come, be parked, and "
            f"wait again. Set WORKER_BYTES_MAX to at least {needed}, and the task's memory with "
            "it, or lower the largest payload.",
        )


def _timers_lie_within_the_call(s: Shape) -> Iterator[Problem]:
    for at, target in _targets_at(s):
        for name in ("first_token_s", "stall_s", "slow_s", "min_useful_s"):
            value_s: float = getattr(target, name)
            if name in target.model_fields_set and value_s > target.attempt_s:
                yield Problem(
                    wrong=f"`{name}` is longer than the call it watches.",
                    facts=(
                        (variable(*at, name), _is(value_s)),
                        (variable(*at, "attempt_s"), _is(target.attempt_s)),
                    ),
                    advice="It would never come to pass: the call ends first. Lower it, or raise "
                    f"{variable(*at, 'attempt_s')}.",
                )


def _targets_at(s: Shape) -> list[tuple[tuple[str, ...], TargetSettings]]:
    model = [(("model",), s.model)] if s.model else []
    return [*model, *((("targets", name), t) for name, t in s.targets.items())]


def _a_job_ends_within_its_longest_lease(s: Shape) -> Iterator[Problem]:
    if s.longest_job_s > EXTEND_MAX_S - s.queue.lease_s:
        yield Problem(
            wrong="a job can take longer than SQS lets us hold it.",
            facts=(
                ("longest possible job", _is(s.longest_job_s)),
                (variable("retry", "attempts"), str(s.retry.attempts)),
            ),
            advice="A message can be held for 12 h; then a second worker takes the job while the "
            "first still works on it, and it is paid for twice. Lower `attempt_s` of the targets "
            "or WORKER_RETRY__ATTEMPTS.",
        )


def _a_circuit_can_close_again(s: Shape) -> Iterator[Problem]:
    b = s.breaker
    if b.probes_good > b.probes:
        yield Problem(
            wrong="a round of probes cannot succeed.",
            facts=(
                (variable("breaker", "probes"), str(b.probes)),
                (variable("breaker", "probes_good"), str(b.probes_good)),
            ),
            advice="An open circuit would never close. Set WORKER_BREAKER__PROBES_GOOD to at "
            f"most {b.probes}; 1 recovers fastest.",
        )
    if b.cooldown_s > b.cooldown_max_s:
        yield Problem(
            wrong="the first rest of an open circuit is longer than the longest.",
            facts=(
                (variable("breaker", "cooldown_s"), _is(b.cooldown_s)),
                (variable("breaker", "cooldown_max_s"), _is(b.cooldown_max_s)),
            ),
            advice="Raise the second, or lower the first; probes are cheap, waiting is not.",
        )


def _a_quarantine_can_grow(s: Shape) -> Iterator[Problem]:
    p = s.pacing
    if p.quarantine_s > p.quarantine_max_s:
        yield Problem(
            wrong="the first quarantine of a quota is longer than the longest.",
            facts=(
                (variable("pacing", "quarantine_s"), _is(p.quarantine_s)),
                (variable("pacing", "quarantine_max_s"), _is(p.quarantine_max_s)),
            ),
            advice="Raise the second, or lower the first: a quota that is back is found at the end "
            "of one.",
        )


def _attempts_grow(s: Shape) -> Iterator[Problem]:
    if s.retry.attempts_max < s.retry.attempts:
        yield Problem(
            wrong="a job may call more often in one delivery than in its whole life.",
            facts=(
                (variable("retry", "attempts"), str(s.retry.attempts)),
                (variable("retry", "attempts_max"), str(s.retry.attempts_max)),
            ),
            advice="Jobs would be discarded before their retries are used. Set "
            f"WORKER_RETRY__ATTEMPTS_MAX to at least {s.retry.attempts}.",
        )


def _parks_grow(s: Shape) -> Iterator[Problem]:
    for name, route in s.routes.items():
        knobs = ("park_base_s", "park_cap_s", "park_max_s")
        for low, high in pairwise(knobs):
            low_s, high_s = getattr(route, low), getattr(route, high)
            if low_s > high_s:
                yield Problem(
                    wrong=f"route `{name}`: `{low}` is longer than `{high}`.",
                    facts=(
                        (variable("routes", name, low), _is(low_s)),
                        (variable("routes", name, high), _is(high_s)),
                    ),
                    advice="A parked job would wait longer than it may. Raise the second, or "
                    "lower the first.",
                )


def _a_record_outlives_its_duplicates(s: Shape) -> Iterator[Problem]:
    if s.ledger.keep_s < RETENTION_S:
        yield Problem(
            wrong="a finished job is forgotten sooner than a queue forgets a message.",
            facts=((variable("ledger", "keep_s"), _is(s.ledger.keep_s)),),
            advice="A late duplicate would be answered and paid for again. Set at least the "
            f"retention of the jobs queue ({_is(RETENTION_S)} unless you changed it).",
            fatal=False,
        )


def _buckets_need_claim_checks(s: Shape) -> Iterator[Problem]:
    if s.payloads.allowed_buckets and s.payloads.bucket is None:
        yield Problem(
            wrong="buckets are allowed, but claim checks are off.",
            facts=((variable("payloads", "allowed_buckets"), listed(s.payloads.allowed_buckets)),),
            advice="Jobs that name these buckets would be dead-lettered. Set "
            "WORKER_PAYLOADS__BUCKET to a bucket of ours, or drop the list.",
        )


def _plans_hold(s: Shape) -> Iterator[Problem]:
    targets = s.all_targets()
    yield from findings(
        Plans(
            routes=s.all_routes(),
            targets={name: targets[name] for name in s.targets},
            handlers={name: h.spec(name, targets) for name, h in s.degraded.items()},
        )
    )


_Rule = Callable[[Shape], Iterator[Problem]]
_ALWAYS: Final[tuple[_Rule, ...]] = (
    _a_lease_leaves_time_to_renew_it,
    _a_poll_lands_within_the_grace,
    _bodies_fit_into_memory,
    _payloads_fit_beside_a_receive,
    _timers_lie_within_the_call,
    _a_job_ends_within_its_longest_lease,
    _a_circuit_can_close_again,
    _a_quarantine_can_grow,
    _attempts_grow,
    _parks_grow,
    _a_record_outlives_its_duplicates,
    _buckets_need_claim_checks,
)
_BUILT: Final[tuple[_Rule, ...]] = (_plans_hold,)
