"""The report in words. Pure: the worst first, each line with its fix."""

import textwrap
from collections.abc import Iterable
from typing import Final

from worker.cli.doctor.exam import Report
from worker.cli.doctor.finding import Finding, Level
from worker.words.breaker import plain

_HEADS: Final = {
    Level.RED: "RED: jobs are lost, paid for twice, or not taken",
    Level.YELLOW: "YELLOW: works, and is not as it should be",
    Level.GREEN: "GREEN",
}
_WIDTH: Final = 100


def report(told: Report) -> str:
    """The whole report."""
    parts = [_head(told)]
    for level in Level:
        found = [one for one in told.findings if one.level is level]
        if found:
            shown = _greens(found) if level is Level.GREEN else _wrongs(found)
            parts.append(f"{_HEADS[level]}\n{shown}")
    return "\n\n".join(parts)


def _head(told: Report) -> str:
    counts = {level: sum(one.level is level for one in told.findings) for level in Level}
    says = (
        f"{counts[Level.RED]} red, {counts[Level.YELLOW]} yellow, {counts[Level.GREEN]} green, "
        f"in {told.took_s:.1f} s."
    )
    if told.calls:
        many = f"{told.calls} dry calls were" if told.calls > 1 else "1 dry call was"
        return f"{says} {many} made, of one token each; nothing was changed."
    return f"{says} No model was called; nothing was changed."


def _wrongs(found: Iterable[Finding]) -> str:
    return "\n\n".join("\n".join(_lines(one)) for one in found)


def _lines(one: Finding) -> Iterable[str]:
    yield f"  {plain(one.of)}"
    for text in (one.says, one.causes, one.fix):
        if text:
            yield textwrap.fill(
                plain(text),
                _WIDTH,
                initial_indent="    ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    if one.run:
        yield f"      {one.run}"


def _greens(found: Iterable[Finding]) -> str:
    return "\n".join(f"  {plain(one.of)}: {plain(one.says)}" for one in found)
