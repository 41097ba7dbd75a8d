from pathlib import Path

import pytest

from worker.cli.docs import main, pages

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_reference_pages_are_what_the_code_says(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")

    assert written == pages()[name], "run: python -m worker.cli.docs docs"


def test_the_pages_can_be_written_anew(tmp_path: Path) -> None:
    main(tmp_path)

    assert {file.name for file in tmp_path.iterdir()} == set(pages())
