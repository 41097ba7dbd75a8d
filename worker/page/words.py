"""Values as people read them: what templates use beside the words of `worker/words`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from markupsafe import Markup, escape

from worker.core.verdict import Mode
from worker.words.breaker import ago, plain, span, utc
from worker.words.workers import sees

STATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "closed": "closed",
        "open": "open",
        "half_open": "half-open",
        "ramp": "ramp",
        "unknown": "not known",
    }
)
MODES: Final[Mapping[Mode, str]] = MappingProxyType(
    {
        Mode.ENFORCE: "the fleet decides",
        Mode.OBSERVE: "only observed",
        Mode.HOLD_OPEN: "held open",
        Mode.HOLD_CLOSED: "held closed",
    }
)


def iso(at: float) -> str:
    """A point in time, for a machine."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def when(at: float, now: float) -> Markup:
    """How long ago, with the time itself on demand."""
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        iso(at), utc(at), ago(at, now)
    )


def code(text: str) -> Markup:
    """A sentence whose commands stand between backticks."""
    parts = str(escape(plain(text))).split("`")
    told = (f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
    return Markup("".join(told))  # noqa: S704  (it was escaped above)


def lines(text: str) -> list[str]:
    r"""What a command would print, as paragraphs: those that are indented begin so.

    >>> lines("It is open, and\nholds.\n    kept 2: why\nBye.")
    ['It is open, and holds.', '    kept 2: why', 'Bye.']
    """
    found: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        wrapped = found and not found[-1].startswith("    ") and not found[-1].endswith((".", ":"))
        if wrapped and not line.startswith("    "):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


def as_json(value: Any) -> str:
    """A value as JSON, on one line."""
    return orjson.dumps(value).decode()


def query(path: str, **values: Any) -> str:
    """An address with those values that are not empty."""
    given = {name: value for name, value in values.items() if value not in ("", None, (), [])}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "letter"), counted(1200, "letter")
    ('1 letter', '1,200 letters')
    """
    return f"{number:,} {what}" + ("" if number == 1 else "s")


FILTERS: Final = {
    "ago": ago,
    "code": code,
    "counted": counted,
    "iso": iso,
    "json": as_json,
    "lines": lines,
    "plain": plain,
    "sees": sees,
    "span": span,
    "utc": utc,
    "when": when,
}
