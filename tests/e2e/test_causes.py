"""`status --why` names what was broken, whatever it was; and its page says what we saw."""

from pathlib import Path

from tests.e2e.causes import SCRIPTS, play_all, rows_of
from tests.e2e.conftest import Note

PAGE = Path(__file__).parent.parent.parent / "docs" / "status.md"


def test_every_scripted_fault_is_named_first(note: Note) -> None:
    played = play_all()

    missed = [one for one in played if not one.named]
    assert not missed, "\n\n".join(f"{one.script.name}: {one.first}\n{one.said}" for one in missed)
    asked_s = sorted(one.took_s for one in played)
    after_s = sorted(one.after_s for one in played)
    note(
        f"{len(played)} faults named first, half of them within {after_s[len(after_s) // 2]} s and "
        f"all within {after_s[-1]} s; the stores answered within {asked_s[-1]} s"
    )


def test_the_page_tells_of_the_faults_that_are_scripted() -> None:
    told = rows_of(PAGE.read_text(encoding="utf-8"))

    assert [(row[0], row[1], row[2], row[3]) for row in told] == [
        (script.name, script.how, f"`{script.wants}`", "named") for script in SCRIPTS
    ], "run: python -m tests.e2e.causes docs/status.md"
