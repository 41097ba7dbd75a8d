"""What a guarded call costs beside other circuit breakers, in microseconds of CPU.

Every contender guards the same coroutine, which does nothing, in this one process and
without any network. Every round runs one batch of each in turn, and the medians over
the rounds count. What a breaker costs is its call less the bare one.

The peers are those of `bench/breaker_peers.py`; without them only ours is measured.
"""

import asyncio
import contextlib
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from bench.breaker_peers import PEERS, REST_S, Batch, Call, Peer, answer, awaits, refused
from bench.scene import MODEL
from worker.core.breaker import Permit, Refusal
from worker.core.gate import Gate
from worker.core.policy import BreakerPolicy
from worker.core.target import Target
from worker.core.verdict import State, Verdict
from worker.core.window import Outcome
from worker.runtime.gates import Gates

ROUNDS: Final = 500
BATCH: Final = 500
SLOTS: Final = 100
PER_SLICE: Final = 20  # calls in each second of the full window
IN_FLIGHT: Final = 10
CALLS_GROWN: Final = 1_000_000
REFUSALS_GROWN: Final = 10_000
CALLS_PER_S: Final = 1000
KEYS: Final = 10_000

# What the product promises (docs/bench.md).
CALL_OVER_BARE_US_MAX: Final = 0.9
REFUSAL_US_MAX: Final = 0.4
IDLE_KEY_KIB_MAX: Final = 1.0

POLICY: Final = BreakerPolicy()


def measure() -> Iterator[dict[str, Any]]:
    """One line per contender and kind of call, then memory, then the targets."""
    peers = []
    for known in PEERS:
        try:
            peers.append(known())
        except ImportError:
            yield {"result": "breaker_peer", "peer": known.__name__, "installed": False}
    calls, refusals = asyncio.run(_run(peers))
    bare = calls["bare"]
    for name, took in calls.items():
        over = median(us - base for us, base in zip(took, bare, strict=True))
        yield {"result": "guarded_call", "by": name, "us": median(took), "over_bare_us": over}
    for name, took in refusals.items():
        yield {"result": "refusal", "by": name, "us": median(took)}
    yield {"result": "first_call_of_a_second", "by": "gate", "us": _turn_us()}
    yield from _growth(peers)
    keys = {"gate, never used": _key_kib(_gate), "gate": _key_kib(_used_and_idle)}
    for peer in peers:
        keys[peer.name] = _key_kib(_used(peer.guard))
    for name, kib in keys.items():
        yield {"result": "idle_key", "by": name, "keys": KEYS, "kib": kib}
    over = median(us - base for us, base in zip(calls["gate"], bare, strict=True))
    for name, value, limit in (
        ("guarded_call_over_bare_us", over, CALL_OVER_BARE_US_MAX),
        ("refusal_us", median(refusals["gate"]), REFUSAL_US_MAX),
        ("idle_key_kib", keys["gate"], IDLE_KEY_KIB_MAX),
    ):
        yield {
            "result": "target",
            "name": name,
            "value": value,
            "limit": limit,
            "met": value <= limit,
        }


Took = Mapping[str, Sequence[float]]


async def _run(peers: Sequence[Peer]) -> tuple[Took, Took]:
    batches: dict[str, Batch] = {
        "bare": awaits(answer),
        "gate": _inline(_busy()),
        "gate, in a function of its own": awaits(_guard(_busy())),
        "both gates of a worker": _through_both(),
        **{peer.name: awaits(peer.guard("busy")) for peer in peers},
    }
    calls: dict[str, list[float]] = {name: [] for name in batches}
    refusals: dict[str, list[float]] = {"gate": [], **{peer.name: [] for peer in peers}}
    for number in range(ROUNDS):
        for name, batch in batches.items():
            calls[name].append(await _batch_us(batch))
        refusals["gate"].append(await _batch_us(_asks(_opened())))
        for peer in peers:
            # A new one each time: what purgatory raises grows with every refusal.
            batch = refused(await peer.opened(f"open-{number}"), peer.refusal)
            refusals[peer.name].append(await _batch_us(batch))
    return calls, refusals


async def _batch_us(batch: Batch) -> float:
    began = time.process_time_ns()
    await batch(BATCH)
    return (time.process_time_ns() - began) / BATCH / 1000


# --- ours --------------------------------------------------------------------


def _gate(name: str) -> Gate:
    return Gate(name, POLICY, slots=SLOTS, worker="bench", now=time.monotonic())


def _busy(began: float | None = None) -> Gate:
    """A gate with a full window: calls in each of its slices, some of the last in flight."""
    began = time.monotonic() - POLICY.window_s if began is None else began
    gate = Gate("busy", POLICY, slots=SLOTS, worker="bench", now=began)
    for second in range(int(POLICY.window_s)):
        now = began + second
        permits = [gate.admit(now) for _ in range(PER_SLICE)]
        leave = int(second >= POLICY.window_s - IN_FLIGHT)
        for permit in permits[leave:]:
            assert isinstance(permit, Permit)
            gate.settle(permit, Outcome.SUCCESS, now)
    assert gate.local.in_flight == IN_FLIGHT
    return gate


def _opened() -> Gate:
    gate, now = _busy(), time.monotonic()
    gate.adopt(
        Verdict(name="busy", state=State.OPEN, version=1, stage=1, epoch=1, cooldown_s=REST_S),
        now,
        at=0.0,
    )
    return gate


def _inline(gate: Gate) -> Batch:
    """The steps as they stand in the executor, with a look at the clock before and after."""

    async def batch(calls: int) -> None:
        for _ in range(calls):
            permit = gate.admit(time.monotonic())
            assert isinstance(permit, Permit)
            await answer()
            gate.settle(permit, Outcome.SUCCESS, time.monotonic())

    return batch


def _guard(gate: Gate) -> Call:
    """The same behind one more coroutine, as the peers' decorators make it."""

    async def call() -> None:
        permit = gate.admit(time.monotonic())
        assert isinstance(permit, Permit)
        await answer()
        gate.settle(permit, Outcome.SUCCESS, time.monotonic())

    return call


def _through_both() -> Batch:
    """A worker's whole way: through its endpoint's and its target's gate, and back."""
    target = Target(name="busy", model=MODEL)
    gates = Gates(
        worker="bench",
        slots=SLOTS,
        targets=[target],
        policies={},
        tell=lambda _: None,
        now=time.monotonic(),
    )

    async def batch(calls: int) -> None:
        for _ in range(calls):
            passage = await gates.enter(target)
            await answer()
            gates.settle(passage, Outcome.SUCCESS, Outcome.SUCCESS)

    return batch


def _asks(gate: Gate) -> Batch:
    async def batch(calls: int) -> None:
        for _ in range(calls):
            assert isinstance(gate.admit(time.monotonic()), Refusal)

    return batch


def _turn_us() -> float:
    """The first call of a second lets the window go on and the breaker judge."""
    now = 0.0
    gate = _busy(now)
    now += POLICY.window_s
    took = []
    for _ in range(2 * ROUNDS):
        now += 1.0
        began = time.process_time_ns()
        permit = gate.admit(now)
        took.append((time.process_time_ns() - began) / 1000)
        assert isinstance(permit, Permit)
        for _ in range(PER_SLICE):
            gate.settle(permit, Outcome.SUCCESS, now)
            permit = gate.admit(now)
            assert isinstance(permit, Permit)
        gate.settle(permit, Outcome.SUCCESS, now)
    return median(took)


def _used_and_idle(name: str) -> Gate:
    now = time.monotonic()
    gate = Gate(name, POLICY, slots=SLOTS, worker="bench", now=now)
    permit = gate.admit(now + 1.0)
    assert isinstance(permit, Permit)
    gate.settle(permit, Outcome.SUCCESS, now + 2.0)
    gate.local.look(now + 2 * POLICY.window_s)
    return gate


# --- memory ------------------------------------------------------------------


def _growth(peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    gate, now = _busy(0.0), float(POLICY.window_s)

    async def calls(number: int) -> None:
        nonlocal now
        for _ in range(number):
            now += 1 / CALLS_PER_S
            permit = gate.admit(now)
            assert isinstance(permit, Permit)
            await answer()
            gate.settle(permit, Outcome.SUCCESS, now)

    warm_up = 2 * int(POLICY.window_s) * CALLS_PER_S
    grown = asyncio.run(_bytes_grown(calls, warm_up, CALLS_GROWN))
    yield {"result": "memory_grown", "by": "gate", "calls": CALLS_GROWN, "bytes": grown}
    refusing = {"gate": _asks(_opened())}
    for peer in peers:
        refusing[peer.name] = refused(asyncio.run(peer.opened("grown")), peer.refusal)
    for name, batch in refusing.items():
        grown = asyncio.run(_bytes_grown(batch, 100, REFUSALS_GROWN))
        yield {"result": "memory_grown", "by": name, "refusals": REFUSALS_GROWN, "bytes": grown}


async def _bytes_grown(batch: Batch, warm_up: int, calls: int) -> int:
    await batch(warm_up)
    gc.collect()
    tracemalloc.start()
    await batch(warm_up)  # what the warm-up left is now as traced as what replaces it
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    await batch(calls)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


def _key_kib(make: Callable[[str], object]) -> float:
    """What each of many keys holds, its name and its place in a dictionary included."""
    make("warm-up")
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = {name: make(name) for name in (f"model-{number}" for number in range(KEYS))}
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(kept) / 1024


def _used(guard: Callable[[str], Call]) -> Callable[[str], object]:
    def make(name: str) -> object:
        call = guard(name)
        with contextlib.suppress(StopIteration):  # it never waits, so needs no loop
            call().__await__().send(None)
        return call

    return make
