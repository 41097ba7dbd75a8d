"""A file that a page or a comment names is there: names outlive what is moved."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("bench", "deploy", "docs", "requirements", "tests", "worker")
READ = (".guard", ".md", ".py", ".sh", ".toml", ".txt", "")
NAMED = re.compile(
    rf"(?<![\w./-])((?:{'|'.join(ROOMS)})/[\w/.-]+\.(?:guard|json|md|py|svg|toml|txt))\b"
)


def read() -> Iterator[Path]:
    """What people write: of the root, and of each room; nothing that is installed or made."""
    for path in [*ROOT.iterdir(), *(one for room in ROOMS for one in (ROOT / room).rglob("*"))]:
        made = {"node_modules", "__pycache__", "static"} & set(path.parts)
        ours = path.suffix in READ and not path.name.startswith(".")
        if path.is_file() and ours and not made:
            yield path


def test_each_file_that_is_named_is_there() -> None:
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in read()
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }

    assert ("README.md", "docs/deploy.md") in named
    assert {(by, name) for by, name in named if not (ROOT / name).exists()} == set()
