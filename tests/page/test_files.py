"""Files of others are what was published; a screen weighs little, and asks nobody else."""

import gzip
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.ops.room import run
from tests.page.caller import begun
from tests.page.test_screens import SCREENS
from worker.page.files import OURS, VENDORED, Files

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "worker" / "page" / "static"
WEIGHT_MAX = 60 * 1024


def test_what_is_not_ours_is_what_was_published() -> None:
    for one in VENDORED:
        content = (STATIC / one.name).read_bytes()

        assert hashlib.sha256(content).hexdigest() == one.sha256, one.name


def test_every_file_is_ours_or_has_its_source_and_its_licence() -> None:
    known = {*OURS, *(one.name for one in VENDORED), "LICENSES.txt"}
    licences = (STATIC / "LICENSES.txt").read_text(encoding="utf-8")

    assert {path.name for path in STATIC.iterdir()} == known
    for one in VENDORED:
        assert one.name in licences
        assert one.source in licences
        assert f" {one.version} (" in licences


@pytest.mark.parametrize("path", SCREENS)
def test_a_screen_and_all_it_brings_weigh_60_kb_at_most(path: str) -> None:
    async def main() -> None:
        _, asks = await begun()
        text = (await asks.get(path)).text
        parts = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)

        contents = [text, *[(await asks.get(part)).text for part in parts]]

        assert len(parts) >= 4
        weight = sum(len(gzip.compress(one.encode(), 9)) for one in contents)
        assert weight <= WEIGHT_MAX, f"{path}: {weight} bytes"

    run(main())


@pytest.mark.parametrize("path", [*SCREENS, "/sign-in"])
def test_a_screen_names_no_other_host_and_has_no_script_or_style_of_its_own(path: str) -> None:
    async def main() -> None:
        _, asks = await begun()
        text = (await asks.get(path)).text

        assert not re.search(r'(?:src|href|action)="(?!/|#)', text)
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text)
        for tag in re.findall(r'<(?:script|link rel="stylesheet")[^>]*>', text):
            assert 'integrity="sha256-' in tag

    run(main())


def test_a_file_is_kept_for_ever_under_an_address_that_is_its_own() -> None:
    async def main() -> None:
        _, asks = await begun()
        files = Files()
        stranger = asks.cookies
        asks.cookies = {}

        answer = await asks.get(files["page.css"].address)
        old = await asks.get("/static/0123456789abcdef/page.css")
        outside = await asks.get("/static/x/..%2F..%2Fapp.py")

        assert answer.status == 200
        assert answer.header("content-type").startswith("text/css")
        assert "immutable" in answer.header("cache-control")
        assert (old.status, outside.status) == (404, 404)
        assert stranger, "nobody needs a session for it"

    run(main())


def test_the_wheel_has_every_template_and_every_file(tmp_path: Path) -> None:
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir")
    made = subprocess.run(  # noqa: S603  (our own python)
        [sys.executable, *build, str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    page = ROOT / "worker" / "page"
    files = [*page.glob("templates/*"), *page.glob("static/*")]
    assert len(files) > 20
    assert {path.relative_to(ROOT).as_posix() for path in files} <= names
