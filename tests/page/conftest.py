"""A real Chromium before the page. Without one these tests are skipped, and say so; in CI never."""

import os
import re
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from tests.page.served import TOKEN, Served, served
from worker.ops import dead_sweep
from worker.page import fleet, status_screens, view

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "There is no Chromium on the PATH (apt-get install chromium), so the page was not tried in one."
)
REFUSALS = re.compile(r"the server responded with a status of (4\d\d|503)")
SKIPPED = pytest.StashKey[bool]()


def chromium() -> str | None:
    """Where Chromium is; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Playwright's loop runs in this thread until it is stopped: other modules have their own."""
    found = chromium()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        request.config.stash[SKIPPED] = True
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        # Whoever is root, as in CI, has no sandbox to give.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash.get(SKIPPED, False):
        terminalreporter.section("NOT TESTED")
        terminalreporter.write_line(MISSING, red=True, bold=True)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The page over a fleet in an outage."""
    monkeypatch.setattr(dead_sweep, "WAIT_S", 0.05)  # the twin of a queue says all it has at once
    with served() as site:
        site.run(site.world.begin())
        yield site


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screens look again every second, so that nobody has to wait for it."""
    monkeypatch.setattr(status_screens, "REFRESH_S", 1)
    monkeypatch.setattr(fleet, "REFRESH_S", 1)
    monkeypatch.setattr(view, "AGAIN_S", 1)


class Visitor:
    """One who looks at the page; nothing that it asks for leaves this host."""

    def __init__(self, context: BrowserContext, site: Served) -> None:
        self.context = context
        self.site = site
        self.asked: list[str] = []
        self.elsewhere: list[str] = []
        self.said: list[str] = []
        context.route("**/*", self._watch)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def _watch(self, route: Route) -> None:
        where = urlsplit(route.request.url)
        self.asked.append(route.request.url)
        if f"{where.scheme}://{where.netloc}" == self.site.url:
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def _hear(self, kind: str, text: str) -> None:
        # The answers that are meant to be refusals are told by the browser, too.
        if kind in ("error", "warning") and REFUSALS.search(text) is None:
            self.said.append(text)

    def go(self, path: str) -> Page:
        self.page.goto(self.site.url + path)
        return self.page

    def sign_in(self, path: str = "/") -> Page:
        self.go(path)
        self.page.fill("#token", TOKEN)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("nav")
        return self.page

    def overflow(self) -> int:
        """How many pixels wider the page is than its window."""
        wide: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide


class Visits:
    """Makes visitors, and looks afterwards what they asked for."""

    def __init__(self, engine: Browser, site: Served) -> None:
        self._engine = engine
        self._site = site
        self._all: list[Visitor] = []

    def __call__(
        self, width: int = 1280, *, scheme: str = "light", scripts: bool = True
    ) -> Visitor:
        context = self._engine.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=scripts,
        )
        context.set_default_timeout(15_000)
        visitor = Visitor(context, self._site)
        self._all.append(visitor)
        return visitor

    def over(self) -> None:
        for one in self._all:
            one.context.close()
        assert [url for one in self._all for url in one.elsewhere] == []
        assert [text for one in self._all for text in one.said] == []
        assert all(one.asked for one in self._all), "somebody watched"


@pytest.fixture
def visit(engine: Browser, site: Served) -> Iterator[Visits]:
    visits = Visits(engine, site)
    yield visits
    visits.over()
