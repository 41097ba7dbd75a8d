"""The page in a real browser: every screen and every action, by keyboard, and without scripts."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.page.conftest import Visitor, Visits
from tests.page.served import TOKEN, Served
from tests.page.test_screens import SCREENS
from tests.page.world import CANARY
from worker.core.verdict import Mode
from worker.sim.memory import Mishap

expect.set_options(timeout=20_000)  # far above what is needed: a screen looks again every 5 s
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


def violations(page: Page) -> list[str]:
    page.wait_for_load_state()  # with its styles: colours are judged
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{page.url}: {one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_screen_fits_and_breaks_no_rule_of_accessibility(
    visit: Visits, width: int, scheme: str
) -> None:
    visitor = visit(width, scheme=scheme)
    page = visitor.go("/")
    found = violations(page)
    visitor.sign_in()

    for path in dict.fromkeys(one.partition("?")[0] for one in SCREENS):
        visitor.go(next(one for one in reversed(SCREENS) if one.partition("?")[0] == path))
        found += violations(page)

        assert visitor.overflow() <= 0, path
        assert CANARY not in page.content()

    assert found == []


def test_what_forms_answer_breaks_no_rule_either(visit: Visits, site: Served) -> None:
    site.world.room.breakers.verdicts.clear()
    for width, scheme in ((360, "dark"), (1280, "light")):
        visitor = visit(width, scheme=scheme)
        page = visitor.sign_in("/breaker?name=near")
        found = []
        page.get_by_label("Hold open").check()
        page.fill("#reason", "incident 42")
        page.fill("#lasting", "soon")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("alert")).to_contain_text("for how long is a number and a unit")
        found += violations(page)
        page.fill("#lasting", "30m")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_text("What it would change now")).to_be_visible()
        found += violations(page)
        visitor.go("/job?id=typo-1")
        page.get_by_role("button", name="Show the message").click()
        expect(page.locator("#new")).to_be_visible()
        found += violations(page)
        assert visitor.overflow() <= 0
        page.fill("#new", json.dumps({"id": "typo-1", "prompt": "Why?", "route": "chat"}))
        page.fill("#reason", "a typo")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_text("A worker would take it")).to_be_visible()
        found += violations(page)
        assert visitor.overflow() <= 0

        assert found == []


def focus(page: Page, name: str) -> None:
    """Press Tab until something of that name has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if re.search(name, page.evaluate(NAMED)):
            return
    raise AssertionError(f"Tab never came to {name}")


NAMED = """() => {
  const one = document.activeElement;
  return [one.textContent || '', one.id, one.getAttribute('aria-label') || ''].join(' ');
}"""


def test_an_order_is_given_by_keyboard_alone(visit: Visits, site: Served) -> None:
    page = visit().go("/breaker?name=near")
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.insert_text(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link that skips the head
    focus(page, "m-hold_open")
    page.keyboard.press("ArrowDown")
    focus(page, "lasting")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("45m")
    focus(page, "reason")
    page.keyboard.insert_text("incident 42")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=What it would change now")
    focus(page, "Hold closed for 45m")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")

    expect(page.get_by_role("status").first).to_contain_text("hold_closed is in force for near")
    override = site.world.room.breakers.verdicts["near"].override
    assert override is not None
    assert (override.mode, override.for_s, override.reason) == (
        Mode.HOLD_CLOSED,
        2700.0,
        "incident 42",
    )


def test_every_screen_is_reached_by_keyboard_from_every_other(visit: Visits) -> None:
    page = visit().sign_in()

    for name in ("Timeline", "Routes", "Queues", "Dead letters", "Workers", "Configuration"):
        focus(page, f"^{name} ")
        page.keyboard.press("Enter")

        expect(page.locator("h1")).to_have_text(name)


def acted(visitor: Visitor, path: str, button: str, **fields: str) -> Page:
    page = visitor.go(path)
    for name, text in {"reason": "incident 42", **fields}.items():
        page.fill(f"#{name}", text)
    page.get_by_role("button", name=button).click()
    return page


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_every_action_works_with_and_without_scripts(
    visit: Visits, site: Served, *, scripts: bool
) -> None:
    world = site.world
    visitor = visit(scripts=scripts)
    page = visitor.sign_in()

    page = visitor.go("/breaker?name=near")
    page.get_by_label("Observe").check()
    page.fill("#reason", "incident 42")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Observe for 30m").click()
    expect(page.get_by_text("observe is in force for near")).to_be_visible()

    acted(visitor, "/job?id=typo-0", "Show the message")
    expect(page.locator("pre")).to_contain_text(CANARY)
    page.fill("#new", json.dumps({"id": "typo-0", "prompt": "Why?", "route": "chat"}))
    page.fill("#reason", "a typo")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".diff .cut").first).to_be_visible()
    page.get_by_role("button", name="Send 1 letter back, changed").click()
    expect(page.get_by_text("typo-0 was changed")).to_be_visible()

    acted(visitor, "/dead/redrive?class=attempts_exhausted", "Redrive 5 letters", canary="")
    expect(page.get_by_text("5 of 5 letters were sent back.")).to_be_visible()

    acted(visitor, "/dead/discard?class=unknown_route", "Discard 9 letters")
    expect(page.get_by_text("9 of 9 letters were discarded.")).to_be_visible()

    page = visitor.go("/dead/log")
    expect(page.locator("tbody tr")).to_have_count(5)
    page.get_by_role("button", name="Show the message that it replaced").click()
    expect(page.locator("pre")).to_contain_text(CANARY)

    page = visitor.go("/dead")
    page.locator("input[type=checkbox]").nth(2).check()
    page.locator("input[type=checkbox]").nth(3).check()
    page.get_by_role("button", name="Discard the chosen").click()
    expect(page.locator("h1")).to_have_text("Discard 2 letters")

    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("h1")).to_have_text("Sign in")
    assert len(world.room.left()) == 25


def test_a_redrive_shows_how_far_it_is_and_stops_on_a_click(visit: Visits, site: Served) -> None:
    site.world.room.breakers.verdicts.clear()
    visitor = visit()
    visitor.sign_in()

    page = acted(visitor, "/dead/redrive?class=too_long", "Redrive 24", rate="2", canary="")
    expect(page.get_by_text(re.compile(r"^[2-9] of 24 sent"))).to_be_visible()
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_text("stopped: ")).to_contain_text("alice stopped it")
    left = [job for job in site.world.room.left() if job.startswith("report-")]
    assert 10 <= len(left) <= 22


@pytest.mark.usefixtures("hasty")
def test_a_screen_keeps_itself_up_to_date_and_leaves_focus_and_forms_alone(
    visit: Visits, site: Served
) -> None:
    visitor = visit()
    page = visitor.sign_in()
    expect(page.locator(".card.open")).to_have_count(1)
    page.fill("#find", "half a job's id")
    link = page.get_by_role("link", name="near", exact=True)
    link.focus()

    site.run(changed(site))

    expect(page.locator(".card.open")).to_have_count(0)
    expect(page.locator("#find")).to_have_value("half a job's id")
    expect(link).to_be_focused()
    expect(page.locator("#stale")).to_be_hidden()


async def changed(site: Served) -> None:
    site.world.room.breakers.verdicts.clear()


def test_a_tab_that_nobody_sees_asks_for_nothing_until_it_is_seen(visit: Visits) -> None:
    visitor = visit()
    page = visitor.sign_in("/queues")
    page.clock.install()
    page.goto(visitor.site.url + "/queues")
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true})"
    page.evaluate(hide % "true")
    before = len(visitor.asked)

    page.clock.run_for(20_000)
    # A browser may fetch the tab's icon late; no file is asked for again and again.
    unseen = [url for url in visitor.asked[before:] if "/static/" not in url]
    page.evaluate(hide % "false")
    with page.expect_request("**/queues"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    assert unseen == []


@pytest.mark.usefixtures("hasty")
def test_what_is_shown_stays_and_says_that_it_is_old_when_no_answer_comes(visit: Visits) -> None:
    visitor = visit()
    page = visitor.sign_in()
    visitor.context.clear_cookies()

    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator(".card")).to_have_count(4)

    page.get_by_role("link", name="Look again").click()
    expect(page.locator("h1")).to_have_text("Sign in")


@pytest.mark.usefixtures("hasty")
def test_a_store_that_goes_down_is_told_where_its_figures_were_until_it_is_back(
    visit: Visits, site: Served
) -> None:
    page = visit().sign_in("/workers")
    site.world.room.silence = Mishap(when="before")

    expect(page.get_by_role("alert")).to_contain_text("cannot be used")
    site.world.room.silence = None
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("tbody tr").first).to_be_visible()


def test_without_scripts_a_screen_looks_again_by_itself(visit: Visits, site: Served) -> None:
    site.world.room.breakers.verdicts.clear()
    visitor = visit(scripts=False)
    visitor.sign_in()

    page = acted(visitor, "/dead/redrive?class=too_long", "Redrive 24", rate="6", canary="")

    expect(page.get_by_text("24 of 24 letters were sent back.")).to_be_visible()
    assert len([url for url in visitor.asked if "/dead/run" in url]) >= 2


def test_the_timeline_has_its_chart_with_scripts_and_its_bands_without(visit: Visits) -> None:
    page = visit().sign_in("/timeline")
    expect(page.locator("#chart canvas")).to_be_visible()
    plain = visit(scripts=False).sign_in("/timeline")

    expect(plain.locator("svg.band[role=img]")).to_have_count(4)
    expect(plain.locator("#chart-part")).to_be_hidden()
    expect(plain.locator("tbody tr").first).to_be_visible()
