"""Who is let in, which requests are heard, and what every answer forbids."""

import pytest
from starlette.routing import Route

from tests.ops.room import run
from tests.page.caller import HOST, PORT, TOKEN, Browser, begun, browser, inside
from tests.page.world import World
from worker.page.app import page
from worker.page.door import IDLE_S, SESSIONS_MAX, Door
from worker.page.guard import BODY_MAX
from worker.sim.memory import Mishap

ORDER = {"name": "near", "mode": "hold_open", "lasting": "30m", "step": "order"}


def routes(world: World) -> list[Route]:
    app = page(world.backing, Door(TOKEN, lambda: 0.0), port=PORT)._app
    return [one for one in app.routes if isinstance(one, Route)]  # type: ignore[attr-defined]


def test_no_screen_is_shown_to_whoever_has_no_token() -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        asks = browser(world)
        looks = [one.path for one in routes(world) if "GET" in (one.methods or ())]

        answers = {path: await asks.get(path) for path in looks if "{" not in path}

        assert len(answers) >= 12
        assert {answer.status for answer in answers.values()} == {401}
        for answer in answers.values():
            assert "near" not in answer.words
            assert "Token" in answer.words

    run(main())


def test_nothing_is_done_without_a_session_or_without_the_secret_of_its_form() -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        acts = [one.path for one in routes(world) if "POST" in (one.methods or ())]
        acts.remove("/sign-in")
        stranger, own = browser(world), await inside(world)
        before = (dict(world.room.breakers.verdicts), world.room.left(), world.room.said())
        fields = {"id": "report-0", "job": "report-0", "at": "9e9", "row": "x", **ORDER}
        signed = {"author": "mallory", "reason": "why not"}

        strange = [await stranger.post(path, {**fields, **signed}) for path in acts]
        foreign = [await own.post(path, {**fields, **signed, "csrf": "x" * 43}) for path in acts]
        bare = [await own.post(path, {**fields, **signed}) for path in acts]

        assert len(acts) >= 7
        assert {answer.status for answer in strange} == {401}
        assert {answer.status for answer in (*foreign, *bare)} == {403}
        assert (world.room.breakers.verdicts, world.room.left(), world.room.said()) == before

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": f"http://127.0.0.1:{PORT + 1}"}, 403),
        ({"origin": f"https://{HOST}"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "", "sec_fetch_site": ""}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": f"evil.example:{PORT}"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": ""}, 421),
        ({"content_length": ""}, 411),
        ({"transfer_encoding": "chunked"}, 411),
        ({"content_length": str(BODY_MAX + 1)}, 413),
    ],
)
def test_what_does_not_come_from_a_page_of_ours_is_refused(
    headers: dict[str, str], status: int
) -> None:
    async def main() -> None:
        world, asks = await begun()
        csrf = (await asks.get("/breaker?name=near")).field("csrf")
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        fields = {**ORDER, "csrf": csrf, "author": "alice", "reason": "incident 42"}

        answer = await asks.post("/breaker", fields, **given)

        assert answer.status == status
        assert world.room.breakers.verdicts["near"].override is None
        given.pop("host", None)
        assert (await asks.post("/breaker", fields)).status == 303, "the same from ours is heard"

    run(main())


def test_a_name_that_was_pointed_at_this_host_is_no_way_in() -> None:
    async def main() -> None:
        _, asks = await begun()

        answers = [await asks.get("/", host=host) for host in ("evil.example", f"x.y:{PORT}")]
        local = await asks.get("/", host=f"localhost:{PORT}")

        assert [answer.status for answer in answers] == [421, 421]
        assert local.status == 200

    run(main())


def test_a_method_that_the_page_does_not_know_is_refused() -> None:
    async def main() -> None:
        _, asks = await begun()

        answers = [await asks.ask(method, "/", b"", {}) for method in ("PUT", "DELETE", "OPTIONS")]

        assert {answer.status for answer in answers} == {405}

    run(main())


def test_every_answer_is_closed_down() -> None:
    async def main() -> None:
        _, asks = await begun()

        answers = [
            await asks.get("/"),
            await asks.get("/nowhere"),
            await asks.get("/", host="evil.example"),
            await asks.post("/breaker", {}),
            await browser(World()).get("/"),
        ]

        for answer in answers:
            policy = answer.header("content-security-policy")
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.header("x-content-type-options") == "nosniff"
            assert answer.header("referrer-policy") == "same-origin"
            assert answer.header("cache-control") == "no-store"

    run(main())


def test_a_fault_of_ours_is_told_without_what_it_is_about_and_closed_down_too() -> None:
    async def main() -> None:
        world, asks = await begun()
        error = RuntimeError("secret words")
        world.room.mishaps["ledger", "letters"] = [Mishap(when="before", error=error)] * 2

        answer = await asks.get("/dead")

        assert answer.status == 500
        assert "This is a fault of the page itself" in answer.words
        assert "secret words" not in answer.text
        assert answer.header("content-security-policy").startswith("default-src 'none'")

    run(main())


def test_the_token_is_asked_for_once_and_in_no_address() -> None:
    async def main() -> None:
        asks = browser(World())

        wrong = await asks.sign_in("another")
        empty = await asks.sign_in("")
        right = await asks.sign_in(f" {TOKEN}\n")

        assert (wrong.status, empty.status, right.status) == (401, 401, 303)
        assert "This is not the token" in wrong.words
        assert right.header("location") == "/dead"
        cookie = right.header("set-cookie").lower()
        assert f"inference-worker-{PORT}=" in cookie
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie + right.header("location")
        assert (await asks.get("/")).status == 200

    run(main())


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example", "/\\evil", "x", ""])
def test_a_sign_in_leads_nowhere_else(address: str) -> None:
    async def main() -> None:
        answer = await browser(World()).post("/sign-in", {"token": TOKEN, "next": address})

        assert answer.header("location") == "/"

    run(main())


@pytest.mark.parametrize("address", ["//evil.example", "//evil.example/x?y=1"])
def test_no_screen_links_to_a_place_that_its_address_names(address: str) -> None:
    async def main() -> None:
        _, asks = await begun()

        answers = [await one.get(address) for one in (asks, browser(World()))]

        for answer in answers:
            assert answer.status == 404
            assert "evil" not in answer.text

    run(main())


def test_after_a_form_of_a_session_that_is_over_a_sign_in_leads_to_the_first_screen() -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        asks = browser(world)

        for path in ("/job/edit", "/dead/redrive"):
            lost = await asks.post(path, {"job": "report-0"})

            assert (lost.status, lost.field("next")) == (401, "/"), "not to all letters"

    run(main())


def test_a_token_that_is_wrong_does_not_lose_the_way() -> None:
    async def main() -> None:
        asks = browser(World())

        wrong = await asks.sign_in("another")

        assert wrong.field("next") == "/dead"

    run(main())


def test_a_session_ends_by_signing_out_and_by_itself() -> None:
    async def main() -> None:
        clock = [0.0]
        world = World()
        left, idle = browser(world, now=lambda: clock[0]), browser(world, now=lambda: clock[0])
        await left.sign_in()
        await idle.sign_in()
        kept = dict(left.cookies)

        await left.send("/sign-out", {}, seen="/configuration")
        left.cookies = kept
        clock[0] = IDLE_S + 1.0

        assert (await left.get("/")).status == 401
        assert (await idle.get("/")).status == 401

    run(main())


def test_only_so_many_sessions_are_kept_and_the_one_used_last_is() -> None:
    clock = [0.0]
    door = Door(TOKEN, lambda: clock[0])
    first = door.let_in(TOKEN)
    assert first is not None
    for n in range(SESSIONS_MAX):
        clock[0] = float(n)
        door.session(first)

        assert door.let_in(TOKEN) is not None

    assert door.session(first) is not None


def test_a_page_that_only_shows_asks_for_no_token_and_does_nothing() -> None:
    async def main() -> None:
        world = World()
        await world.begin()
        asks = browser(world, token=None)

        looks = [await asks.get(path) for path in ("/", "/dead", "/job?id=report-0")]
        act = await asks.post("/job/body", {"id": "report-0", "author": "a", "csrf": ""})
        tried = await asks.post("/sign-in", {"token": ""})

        assert {answer.status for answer in looks} == {200}
        assert "This page only shows" in looks[2].words
        assert (act.status, "of another session" in act.words) == (403, False)
        assert tried.status == 401
        assert all(row[1] != "report-0" for row in world.room.said())

    run(main())


def test_two_pages_on_one_host_do_not_take_each_others_cookies() -> None:
    one = page(World().backing, Door(TOKEN, lambda: 0.0), port=1)
    two = page(World().backing, Door(TOKEN, lambda: 0.0), port=2)

    async def main() -> None:
        for app, port in ((one, 1), (two, 2)):
            asks = Browser(app)
            host = f"127.0.0.1:{port}"
            given = {"host": host, "origin": f"http://{host}"}
            await asks.post("/sign-in", {"token": TOKEN}, **given)
            assert list(asks.cookies) == [f"inference-worker-{port}"]

    run(main())
