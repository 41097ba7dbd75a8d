"""Dead letters on the page: which are meant, what is read, edited, sent back and thrown away."""

import html
import json
import re

import pytest

from tests.ops.room import run
from tests.page.caller import Answer, Browser, begun, calm
from tests.page.world import CANARY
from worker.ports import Unavailable
from worker.sim.memory import Mishap

# --- lists ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 40),
        ("class=too_long", 24),
        ("class=too_long&tenant=t-1", 8),
        ("code=ServiceUnavailableException", 5),
        ("route=talk", 9),
        ("target=near", 29),
        ("since=10m", 5),
        ("before=100m", 9),
        ("job=report-1&job=chat-2", 2),
        ("class=nothing", 0),
    ],
)
def test_every_number_heeds_the_filter(query: str, count: int) -> None:
    async def main() -> None:
        _, asks = await begun()

        answer = await asks.get(f"/dead?{query}")
        redrive = await asks.get(f"/dead/redrive?{query}")
        discard = await asks.get(f"/dead/discard?{query}")

        shown = f"{count} letters"
        assert f"Redrive {shown}" in redrive.words
        assert f"Discard {shown}" in discard.words
        if count:
            assert f"{shown} in " in answer.words
            assert f"Redrive all {shown}…" in answer.words
            assert answer.text.count('type="checkbox"') == count
        else:
            assert "No dead letters fit." in answer.words

    run(main())


def test_however_many_there_are_the_letters_are_asked_for_once() -> None:
    async def main() -> None:
        world, asks = await begun()
        world.room.calls.clear()

        answer = await asks.get("/dead")

        assert "40 letters in 4 groups" in answer.words
        assert "Show all" not in answer.words, "all are shown"
        assert world.room.calls.count("ledger:letters") == 1

    run(main())


def test_groups_say_what_they_died_of_and_what_to_do() -> None:
    async def main() -> None:
        _, asks = await begun()

        words = (await asks.get("/dead")).words

        assert "Input is too long for requested model: N tokens ValidationException" in words
        assert "redrive once the circuit is closed" in words

    run(main())


# --- a message ----------------------------------------------------------------------------


async def body_of(asks: Browser, job: str = "typo-0", **more: str) -> Answer:
    fields = {"id": job, "author": "alice", "reason": "", **more}
    return await asks.send("/job/body", fields, seen=f"/job?id={job}")


def test_a_message_is_shown_on_a_click_and_the_log_says_so_before() -> None:
    async def main() -> None:
        world, asks = await begun()
        before = len(world.room.said())
        job = await asks.get("/job?id=typo-0")
        world.room.calls.clear()
        shown = await body_of(asks, reason="find the typo")

        assert CANARY not in job.text
        assert CANARY in shown.text
        assert world.room.said()[-1] == ("show", "typo-0", "its body")
        row = list(world.room.index.log.values())[-1]
        assert (row.author, row.why) == ("alice", "find the typo")
        assert len(world.room.said()) == before + 1
        row_at = world.room.calls.index("ledger:note")
        assert "queue:dead:receive" not in world.room.calls[:row_at]
        assert "queue:dead:receive" in world.room.calls[row_at:]
        assert world.room.dead.depth().visible == 40, "nothing was taken"

    run(main())


DEEP = '{"prompt": %s}' % ("[" * 900 + "]" * 900)
LONG = '{"promt": 123456789012345678901234567890}'


@pytest.mark.parametrize("text", [DEEP, LONG])
def test_a_message_that_cannot_be_laid_out_without_loss_is_shown_as_it_is(text: str) -> None:
    async def main() -> None:
        world, asks = await calm()
        await world.room.die("odd-1", text.encode(), reason="too_deep", route="")

        shown = await body_of(asks, "odd-1")
        fields = {name: shown.field(name) for name in ("csrf", "id", "fence")}
        signed = {"author": "alice", "reason": "a try", "step": "preview"}
        same = await asks.post("/job/edit", {**fields, **signed, "old": text, "new": text})

        assert shown.status == 200
        assert shown.text.count(text.replace('"', "&#34;")) == 3, "shown, kept, and to be changed"
        assert same.status == 422
        assert "no worker would take it" in same.words

    run(main())


def test_where_the_log_cannot_be_written_no_message_is_shown() -> None:
    async def main() -> None:
        world, asks = await begun()
        world.room.mishaps["ledger", "note"] = [
            Mishap(when="before", error=Unavailable("ledger", "ProvisionedThroughputExceeded"))
        ]

        answer = await body_of(asks)

        assert answer.status == 503
        assert CANARY not in answer.text
        assert not [one for one in world.room.calls if one == "queue:dead:receive"]

    run(main())


def test_nobody_reads_a_message_without_a_name() -> None:
    async def main() -> None:
        world, asks = await begun()
        before = world.room.said()

        answer = await body_of(asks, author=" ")

        assert answer.status == 422
        assert "Give an author" in answer.words
        assert CANARY not in answer.text
        assert world.room.said() == before

    run(main())


def test_a_message_that_is_not_in_reach_is_told_as_such() -> None:
    async def main() -> None:
        world, asks = await begun()
        await world.room.dead.seen_by().receive(10, wait_s=0.0, lease_s=9_000.0)

        answer = await body_of(asks, "report-0")

        assert "its message is not in reach" in answer.words

    run(main())


# --- an edit -----------------------------------------------------------------------------

MENDED = {"id": "typo-0", "prompt": "Why?", "route": "chat"}


async def edited(asks: Browser, new: str, *, step: str, **more: str) -> Answer:
    shown = await body_of(asks)
    old = html.unescape(
        shown.text.split('<textarea name="old"')[1].split("\n", 1)[1].split("</textarea>")[0]
    )
    fields = {
        "csrf": shown.field("csrf"),
        "id": "typo-0",
        "fence": shown.field("fence"),
        "author": "alice",
        "reason": "a typo",
        "old": old,
        "new": new,
        "step": step,
        **more,
    }
    return await asks.follow(await asks.post("/job/edit", fields))


def test_an_edit_is_shown_line_by_line_and_then_sent_and_its_original_is_kept() -> None:
    async def main() -> None:
        world, asks = await calm()
        new = json.dumps(MENDED)

        preview = await edited(asks, new, step="preview")
        untouched = (world.room.sent(), "typo-0" in world.room.left())
        told = await edited(asks, new.replace("\n", "\r\n"), step="send")

        assert preview.status == 200
        assert "A worker would take it. Changed:" in preview.words
        assert '<p class="cut"><span class="mark">-</span>' in preview.text
        assert 'taken out: "promt": "?"' in preview.words
        assert 'put in: "route": "chat"' in preview.words
        assert ([m.job for m in untouched[0] if m.job == "typo-0"], untouched[1]) == ([], True)
        assert "typo-0 was changed" in told.words
        assert "typo-0" not in world.room.left()
        sent = next(one for one in world.room.sent() if one.attributes.get("iw-job") == "typo-0")
        assert json.loads(sent.body) == MENDED
        log = await asks.get("/dead/log")
        row = next(one for one in world.room.index.log.values() if one.verb == "edit")
        assert (row.author, row.why) == ("alice", "a typo")
        assert "Show the message that it replaced" in log.words
        assert CANARY not in log.text
        original = await asks.send(
            "/dead/original", {"row": row.id, "reason": ""}, seen="/configuration"
        )
        assert CANARY in original.text
        assert world.room.said()[-1] == ("show", "typo-0", f"original of {row.id}")

    run(main())


def test_an_edit_of_which_not_all_is_shown_says_so() -> None:
    async def main() -> None:
        _, asks = await calm()
        new = json.dumps({**MENDED, "additional": {f"k{n}": 1 for n in range(5000)}})

        preview = await edited(asks, new, step="preview")
        short = await edited(asks, json.dumps(MENDED), step="preview")

        assert re.search(r"And 1,0\d\d lines more, which are not shown", preview.words)
        assert "not shown" not in short.words

    run(main())


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("{", "no worker would take it"),
        ('{"promt": "x"}', "promt: no such field"),
        ('{"id": "other", "prompt": "x"}', "id: must stay what it was"),
        ('{"prompt": "x", "route": "nowhere"}', "would die again: unknown_route"),
    ],
)
def test_an_edit_that_no_worker_would_take_is_not_sent_and_what_was_typed_is_kept(
    new: str, says: str
) -> None:
    async def main() -> None:
        world, asks = await calm()

        for step in ("preview", "send"):
            answer = await edited(asks, new, step=step)

            assert answer.status == 422
            assert says in answer.words
            kept = answer.text.split('id="new"')[1].split("\n", 1)[1].split("</textarea>")[0]
            assert kept == new.replace('"', "&#34;")
            assert answer.field("reason") == "a typo"
        assert "typo-0" in world.room.left()

    run(main())


def test_an_edit_of_a_message_that_has_moved_on_is_not_sent_over_the_newer_one() -> None:
    async def main() -> None:
        world, asks = await calm()
        before = world.room.ledger.records["typo-0"].fence
        told = [
            await edited(asks, json.dumps(MENDED), step=step, fence=str(before - 1))
            for step in ("preview", "send")
        ]

        assert {answer.status for answer in told} == {422}
        assert all("redriven by somebody else meanwhile" in answer.words for answer in told)
        assert "typo-0" in world.room.left()

    run(main())


def test_an_edit_without_a_reason_is_not_sent() -> None:
    async def main() -> None:
        world, asks = await calm()

        answer = await edited(asks, json.dumps(MENDED), step="send", reason="")

        assert answer.status == 422
        assert "give a reason" in answer.words
        assert "typo-0" in world.room.left()

    run(main())


def test_whoever_goes_back_from_a_preview_has_what_was_typed() -> None:
    async def main() -> None:
        _, asks = await calm()

        answer = await edited(asks, '{"prompt": "half of i', step="again")

        assert "{&#34;prompt&#34;: &#34;half of i" in answer.text
        assert answer.field("reason") == "a typo"

    run(main())
