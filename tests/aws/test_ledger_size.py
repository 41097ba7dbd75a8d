"""A record that holds all it may hold is an item that DynamoDB takes."""

from worker.aws.ledger_item import Item, encode
from worker.core.fault import Billed, Kind, normalised
from worker.core.ledger import HISTORY_MAX, Attempt, Record, State
from worker.core.trail import BARS_MAX, TRAIL_MAX, Bar, Leg
from worker.runtime.settler import RECORD_BYTES_MAX

ITEM_BYTES_MAX = 400 * 1024
NAME = "n" * 64  # longer than any name of the settings
AT = 1795421586.891


def bytes_of(item: Item) -> int:
    """As DynamoDB counts, numbers a little high."""
    size = 0
    for name, value in item.items():
        [(_, content)] = value.items()
        parts = content if isinstance(content, list) else [content]
        size += len(name) + 3
        size += sum(len(p if isinstance(p, bytes) else str(p).encode()) + 1 for p in parts)
    return size


def test_the_fullest_record_is_no_larger_than_an_item_may_be() -> None:
    row = Attempt(
        number=99,
        target=NAME,
        kind=Kind.UNAVAILABLE,
        code="C" * 64,
        http=503,
        message=normalised("\N{GRINNING FACE}" * 5000),
        duration_ms=900_000,
        billed=Billed.MAYBE,
        request_id="r" * 36,
        timer="first_token",
        breaker="half_open",
        fence=10_000,
        at=AT,
    )
    bars = tuple(Bar(name=f"endpoint:{NAME}", why="stands_back", version=10**6) for _ in range(99))
    leg = Leg(
        fence=10_000,
        generation=99,
        owner="a" * 12,
        began_at=AT,
        ended_at=AT,
        ended="interrupted",
        why="dependency_unavailable",
        until=AT,
        handler=NAME,
        cut=NAME,
        sent_at=AT,
        bars=bars[:BARS_MAX],
    )
    record = Record(
        job="j" * 128,
        state=State.DEGRADED,
        fence=10_000,
        generation=99,
        owner="a" * 12,
        nonce="n" * 32,
        doorbells=frozenset(f"{n:036}" for n in range(100)),
        digest="d" * 16,
        route=NAME,
        tenant="t" * 128,
        history=(row,) * HISTORY_MAX,
        past=(row,) * HISTORY_MAX,
        trail=(leg,) * TRAIL_MAX,
        result=b"x" * RECORD_BYTES_MAX,
        sent_at=AT,
        parked_s=AT,
        wasted_usd=AT,
        wasted_most_usd=AT,
        finished_at=AT,
    )

    assert bytes_of(encode(record, keep_s=1.0)) <= ITEM_BYTES_MAX
