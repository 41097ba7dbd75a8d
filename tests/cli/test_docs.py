from pathlib import Path

import pytest

from worker.cli.docs import main, pages, parts

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_reference_pages_are_what_the_code_says(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")

    assert written == pages()[name], "run: python -m worker.cli.docs docs"


def test_the_pages_can_be_written_anew(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, written in parts().items():
        marks = "".join(f"<!-- {part} -->old<!-- /{part} -->" for part in written)
        (docs / name).write_text(marks, encoding="utf-8")

    main(docs)

    made = {one for one in tmp_path.rglob("*") if one.is_file()}
    assert made == {(docs / name).resolve() for name in (*pages(), *parts())}
    for name, written in parts().items():
        text = (docs / name).read_text(encoding="utf-8")
        assert all(part in text for part in written.values())
        assert "-->old<!--" not in text
