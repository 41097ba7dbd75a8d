"""How breakers lie in the table: what an item costs, and what becomes of odd ones."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contract.stage import KEEP_S, SERVICE, Open, dynamo_breakers, on_aws
from tests.contract.test_breaker_store import AT, FULL, NAME, row
from worker.aws.breakers_item import read_seat, row_item, seat_item, verdict_item
from worker.aws.ledger_item import Unreadable
from worker.core.jury import Seat, Vote
from worker.core.moves import WHY_MAX
from worker.core.policy import EVERY, PolicyChange
from worker.core.sightings import MOST, Sighting, Sightings
from worker.core.verdict import State, Verdict
from worker.ports import Board, Unavailable

LONG = "endpoint-eu-central-1.anthropic.claude-sonnet-4-5-20250929-v1:0"
WORKER = "ip-10-0-123-231.eu-central-1.compute.internal/4711"
NONCE = "0123456789abcdef0123456789abcdef"

ODD_VERDICTS: list[dict[str, Any]] = [
    {"schema": {"N": "2"}},
    {"state": {"S": "dreaming"}},
    {"version": {"S": "7"}},
    {"share": {"S": "much"}},
    {"claims": {"S": "no json"}},
    {"claims": {"S": '["n-1"]'}},
    {"claims": {"S": '{"n-1": "late"}'}},
    {"override": {"S": '{"mode": "hold_open"}'}},
    {"override": {"S": "[]"}},
]


def item_bytes(item: dict[str, dict[str, Any]]) -> int:
    """What DynamoDB counts: the names and the values, a number by its pairs of digits."""
    total = 0
    for name, typed in item.items():
        ((letter, value),) = typed.items()
        digits = len(value.replace(".", "").replace("-", "").lstrip("0"))
        total += len(name.encode())
        total += (digits + 1) // 2 + 1 if letter == "N" else len(value.encode())
    return total


async def put(given: Open, item: dict[str, Any]) -> None:
    await given.dynamodb.put_item(TableName=given.resources.breakers_table, Item=item)


def test_an_ordinary_verdict_fits_into_700_bytes() -> None:
    tickets = {
        "tickets": 3,
        "claims": tuple(f"{NONCE[:-1]}{n}" for n in range(3)),
        "outcomes": (True, None, False),
    }
    tripped = Verdict(
        name=LONG,
        state=State.HALF_OPEN,
        share=0.0,
        version=123_456,
        stage=54_321,
        epoch=1_234,
        round=12_345,
        level=12,
        cooldown_s=5.678,
        why="the rest is over and a job waits",
        writer=WORKER,
        nonce=NONCE,
        at=1767225600.123456,
    )
    explained = replace(tripped, state=State.OPEN, why="y" * WHY_MAX)

    sizes = [
        item_bytes(verdict_item("orders", verdict))
        for verdict in (replace(tripped, **tickets), explained)  # type: ignore[arg-type]
    ]

    assert max(sizes) <= 700
    assert item_bytes(verdict_item("orders", Verdict(name=LONG, version=1))) <= 100


def test_a_seat_with_three_breakers_fits_into_a_write_unit() -> None:
    vote = Vote(
        stage=54_321,
        calls=99_999,
        failures=99_999,
        recent_calls=9_999,
        recent_failures=9_999,
        successes=99_999,
        slow=99_999,
        sick=True,
        ripe_calls=9_999,
        ripe_stuck=9_999,
    )
    votes = {f"{LONG}-{n}": vote for n in range(3)}
    seat = Seat(
        number=31, holder=WORKER, lot=0.12345678901234567, beat=10**9, votes=votes, seen_at=AT
    )

    item = seat_item("orders", seat)

    assert item_bytes(item) <= 1024


def test_a_calm_seat_has_its_time_and_nothing_that_was_seen() -> None:
    seat = Seat(number=1, holder="worker-1", lot=0.5, beat=1, seen_at=AT)

    item = seat_item("orders", seat)

    assert item.keys() == {"pk", "sk", "holder", "lot", "beat", "votes", "seen_at"}
    assert read_seat(item) == seat


def test_a_seat_of_an_earlier_version_says_no_time() -> None:
    item = seat_item("orders", Seat(number=1, holder="worker-1", lot=0.5, beat=1))

    assert "seen_at" not in item
    assert read_seat(item).seen_at == 0.0


def test_what_went_wrong_is_read_as_it_was_written_and_fits_with_two_votes() -> None:
    seen = Sighting(
        of="sonnet",
        region="ap-southeast-2",
        kind="unavailable",
        code="ServiceUnavailableException",
        http=503,
        says="Bedrock is unable to process your request",
        count=12_345,
    )
    vote = Vote(stage=321, calls=1234, failures=1234, recent_calls=123, recent_failures=123)
    votes = {"sonnet": vote, "endpoint:ap-southeast-2": vote}
    seats = Seat(
        number=31,
        holder=WORKER,
        lot=0.12345678901234567,
        beat=10**9,
        votes=votes,
        seen=(seen,) * MOST,
        seen_at=1_795_600_000.5,
    )

    item = seat_item("orders", seats)

    assert item_bytes(item) <= 1024
    assert read_seat(item) == seats


@pytest.mark.parametrize("says", ["y", "日"])
def test_whatever_went_wrong_fits_with_the_votes_on_a_target_and_its_endpoint(says: str) -> None:
    sightings = Sightings()
    for n in range(MOST):
        seen = Sighting(
            of=LONG,
            region="ap-southeast-2",
            kind="misconfigured",
            code=f"{n}{'x' * 63}",
            http=503,
            timer="first_token",
            says=says * 160,
        )
        sightings.note(seen, now=0.0)
    vote = Vote(stage=54_321, calls=99_999, failures=99_999, recent_calls=9_999, successes=99_999)
    seat = Seat(
        number=31,
        holder=WORKER,
        lot=0.12345678901234567,
        beat=10**9,
        votes={LONG: vote, "endpoint:ap-southeast-2": vote},
        seen=sightings.most(0.0),
        seen_at=1_795_600_000.5,
    )

    item = seat_item("orders", seat)

    assert item_bytes(item) <= 1024
    assert read_seat(item) == seat


def test_a_sighting_of_a_later_version_is_read_by_what_we_know_of_it() -> None:
    item = seat_item("orders", Seat(number=1, holder="worker-1", lot=0.5, beat=1))
    item["seen"] = {"S": '[["sonnet", "", "unavailable", "Oops", 503, "", "", 3, "new", 7]]'}

    assert read_seat(item).seen == (
        Sighting(of="sonnet", kind="unavailable", code="Oops", http=503, count=3),
    )


@pytest.mark.parametrize("text", ['[["sonnet"]]', '{"a": 1}', "[7]", '[["a","","b","c","x"]]'])
def test_what_is_no_sighting_is_unreadable(text: str) -> None:
    item = seat_item("orders", Seat(number=1, holder="worker-1", lot=0.5, beat=1))
    item["seen"] = {"S": text}

    with pytest.raises(Unreadable):
        read_seat(item)


def test_a_row_of_history_fits_into_a_write_unit_and_says_when_it_may_go() -> None:
    item = row_item("orders", row(7, name=LONG, why="y" * WHY_MAX, by=WORKER), keep_s=KEEP_S)

    assert item_bytes(item) <= 1024
    assert item["ttl"] == {"N": str(int(AT + 0.75 + KEEP_S))}, "rounded up"


def test_a_vote_of_a_later_version_counts_by_what_we_know_of_it() -> None:
    item = seat_item("orders", Seat(number=1, holder="worker-1", lot=0.5, beat=1))
    item["votes"] = {"S": '{"sonnet": [3, 20, 19, 5, 4, 1, 2, 1, 6, 7, 77, 78], "haiku": [3, 4]}'}

    votes = read_seat(item).votes

    assert votes["haiku"] == Vote(stage=3, calls=4)
    assert votes["sonnet"] == Vote(
        stage=3,
        calls=20,
        failures=19,
        recent_calls=5,
        recent_failures=4,
        successes=1,
        slow=2,
        sick=True,
        ripe_calls=6,
        ripe_stuck=7,
    )


def test_what_a_later_version_adds_is_passed_over() -> None:
    async def main(given: Open) -> None:
        store = dynamo_breakers(given)
        await put(given, {**verdict_item(SERVICE, FULL), "colour": {"S": "blue"}})
        await put(given, {**verdict_item(SERVICE, FULL), "sk": {"S": "x#unheard-of"}})

        board = await store.read()

        assert board == Board(verdicts={NAME: FULL})

    on_aws(main)


@pytest.mark.parametrize("odd", ODD_VERDICTS)
def test_an_unreadable_verdict_hides_no_other_and_is_never_overwritten(odd: dict[str, Any]) -> None:
    async def main(given: Open) -> None:
        store = dynamo_breakers(given)
        nothing, new = Verdict(name=NAME), Verdict(name=NAME, version=1)
        other = replace(FULL, name="haiku")
        await store.swap(Verdict(name="haiku"), other)
        await put(given, {**verdict_item(SERVICE, FULL), **odd})

        assert await store.read() == Board(verdicts={"haiku": other})
        with pytest.raises(Unavailable, match=r"^breakers: RecordUnreadable$"):
            await store.swap(nothing, new)
        with pytest.raises(Unavailable, match=r"^breakers: RecordUnreadable$"):
            await store.swap(replace(FULL, version=6), replace(FULL, version=7))

    on_aws(main)


@pytest.mark.parametrize("odd", [{"values": {"S": "[1]"}}, {"values": {"N": "1"}}])
def test_an_unreadable_policy_hides_no_other(odd: dict[str, Any]) -> None:
    async def main(given: Open) -> None:
        store = dynamo_breakers(given)
        change = PolicyChange(name="haiku", version=1, values={"probes": 5})
        await store.swap_policy(change)
        key = {"pk": {"S": f"{SERVICE}#verdicts"}, "sk": {"S": f"p#{EVERY}"}}
        await put(given, {**key, "version": {"N": "4"}, **odd})

        assert await store.read() == Board(policies={"haiku": change})
        with pytest.raises(Unavailable, match="RecordUnreadable"):
            await store.swap_policy(PolicyChange(name=EVERY, version=1))

    on_aws(main)


@pytest.mark.parametrize(
    "odd",
    [
        {"holder": {"S": "w"}, "lot": {"N": "0.5"}},
        {"holder": {"S": "w"}, "lot": {"N": "0.5"}, "beat": {"N": "1.5"}},
        {"holder": {"S": "w"}, "lot": {"N": "0.5"}, "beat": {"N": "1"}, "votes": {"S": "[1]"}},
        {"holder": {"S": "w"}, "lot": {"N": "0.5"}, "beat": {"N": "1"}, "schema": {"N": "2"}},
    ],
)
def test_an_unreadable_seat_is_told_as_trouble(odd: dict[str, Any]) -> None:
    async def main(given: Open) -> None:
        store = dynamo_breakers(given)
        await put(given, {"pk": {"S": f"{SERVICE}#jury"}, "sk": {"S": "03"}, **odd})

        with pytest.raises(Unavailable, match=r"^breakers: RecordUnreadable$"):
            await store.seats()
        with pytest.raises(Unavailable, match=r"^breakers: RecordUnreadable$"):
            await store.sit(Seat(number=3, holder="worker-1", lot=0.1, beat=1), None)

    on_aws(main)


@pytest.mark.parametrize("odd", [{}, {"old": {"S": "dreaming"}}])
def test_an_unreadable_row_is_told_as_trouble(odd: dict[str, Any]) -> None:
    async def main(given: Open) -> None:
        store = dynamo_breakers(given)
        await put(given, {"pk": {"S": f"{SERVICE}#history#{NAME}"}, "sk": {"S": "7"}, **odd})

        with pytest.raises(Unavailable, match=r"^breakers: RecordUnreadable$"):
            await store.history(NAME, 10)

    on_aws(main)


def test_services_share_a_table_and_see_nothing_of_one_another() -> None:
    async def main(given: Open) -> None:
        ours, theirs = dynamo_breakers(given), dynamo_breakers(given, service="billing")
        await ours.swap(replace(FULL, version=0), FULL)
        await ours.sit(Seat(number=3, holder="worker-1", lot=0.1, beat=1), None)
        await ours.note(row(7))

        assert await theirs.read() == Board()
        assert await theirs.seats() == []
        assert await theirs.history(NAME, 10) == []
        assert await theirs.note(row(7))

    on_aws(main)


def test_what_does_not_fit_into_one_page_is_read_to_its_end() -> None:
    class SmallPages:
        """A client whose pages hold two items."""

        def __init__(self, client: Any) -> None:
            self._client = client

        async def query(self, **how: Any) -> Any:
            return await self._client.query(**{"Limit": 2, **how})

    async def main(given: Open) -> None:
        store = dynamo_breakers(given)
        verdicts = {f"target-{n}": Verdict(name=f"target-{n}", version=1) for n in range(5)}
        for name, verdict in verdicts.items():
            await store.swap(Verdict(name=name), verdict)

        board = await dynamo_breakers(given, SmallPages(given.dynamodb)).read(consistent=True)

        assert board.verdicts == verdicts

    on_aws(main)
