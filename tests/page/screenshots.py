"""The pictures of docs/page.md: `python -m tests.page.screenshots docs/page`.

Each screen of the scripted world, as a wide light window and a narrow dark one show it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.page.conftest import MISSING, chromium
from tests.page.palette import reduced
from tests.page.served import TOKEN, Served, served
from tests.page.world import World

LOOKS = {
    "now": "/",
    "timeline": "/timeline",
    "routes": "/routes",
    "queues": "/queues",
    "dead": "/dead",
    "workers": "/workers",
    "configuration": "/configuration",
    "breaker": "/breaker?name=near",
    "job": "/job?id=sum-0",
    "log": "/dead/log",
}
WINDOWS = ((1280, "light", 1000), (360, "dark", 1100))
TEXT = "Sum up the report of the third quarter."


def main(folder: Path) -> None:
    """Make all of them."""
    found = chromium()
    if found is None:
        sys.exit(MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for width, scheme, height_max in WINDOWS:
            with served(World(TEXT)) as site:
                site.run(site.world.begin())
                context = browser.new_context(
                    viewport={"width": width, "height": 400},
                    color_scheme="dark" if scheme == "dark" else "light",
                )
                page = context.new_page()
                for name in visited(page, site):
                    page.wait_for_load_state()
                    tall = page.evaluate("document.documentElement.scrollHeight")
                    page.set_viewport_size({"width": width, "height": min(tall, height_max)})
                    page.wait_for_timeout(200)  # the chart is drawn anew
                    picture = reduced(page.screenshot())
                    (folder / f"{name}-{width}-{scheme}.png").write_bytes(picture)
                    page.set_viewport_size({"width": width, "height": 400})
                context.close()
        browser.close()


def visited(page: Page, site: Served) -> Iterator[str]:
    """Go from screen to screen; a name for each that is to be kept."""
    page.goto(site.url)
    yield "sign-in"
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")
    for name, path in LOOKS.items():
        page.goto(site.url + path)
        yield name
    page.goto(f"{site.url}/breaker?name=near")
    page.get_by_label("Hold open").check()
    page.fill("#reason", "incident 42")
    page.get_by_role("button", name="Preview").click()
    page.wait_for_selector("text=What it would change now")
    yield "order"
    page.goto(f"{site.url}/dead/redrive?class=attempts_exhausted")
    yield "redrive-refused"
    site.run(healed(site))
    page.goto(f"{site.url}/job?id=typo-1")
    page.get_by_role("button", name="Show the message").click()
    page.wait_for_selector("#new")
    yield "message"
    page.fill("#new", json.dumps({"id": "typo-1", "prompt": TEXT, "route": "chat"}))
    page.fill("#reason", "a typo")
    page.get_by_role("button", name="Preview").click()
    page.wait_for_selector(".diff")
    yield "edit"
    page.goto(f"{site.url}/dead/redrive?class=too_long")
    page.fill("#reason", "the limit was raised")
    yield "redrive"
    page.fill("#rate", "3")
    page.fill("#canary", "")
    page.get_by_role("button", name="Redrive 24 letters").click()
    page.wait_for_selector("text=/^[7-9] of 24/")
    yield "progress"
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("text=It took")
    yield "stopped"


async def healed(site: Served) -> None:
    """Every circuit is closed."""
    site.world.room.breakers.verdicts.clear()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
