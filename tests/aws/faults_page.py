"""Writes docs/faults.md from the tables in the code: `python -m tests.aws.faults_page`."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError

from worker.aws.bedrock_answers import BY_STOP_REASON, MALFORMED, TRUNCATED
from worker.aws.bedrock_content import NO_JSON, UNKNOWN
from worker.aws.bedrock_sdk_faults import BY_CLASS
from worker.aws.faults import (
    BY_CODE,
    BY_HUNDRED,
    BY_OTHER_CODE,
    BY_STATUS,
    BY_TEXT,
    WARM_UP_S,
    fault_of,
    kind_of_status,
)
from worker.core.fault import REACTIONS, Billed, Kind

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"

V = TypeVar("V")

HEAD: Final = """\
# Faults

What can go wrong with a call to Bedrock, what we call it, and what we do about it.
The code's own tables wrote this page; a test fails when it is out of date:

```sh
.venv/bin/python -m tests.aws.faults_page
```

Three guards stand around the tables (`worker/core/guards.py`, `worker/core/plan.py`):
many `rejected` jobs in a row from one target are read as `misconfigured`; connections
that fail at two unrelated endpoints are read as `local`; a job that timed out on two
targets is `poison`.

## What a kind means

*Vote* is what the breakers hear. *Again*: `same` is another target if there is one,
else the same one after a backoff (a `poor` answer is asked for once more before that);
`other` and `larger` are other targets only. *Ends* is what becomes of the job when no
attempt is left in this delivery; *charged* says whether the call counts as one of the
job's attempts, and *wears out* whether a job that used them all up on such faults is discarded.

"""

SEEN: Final = f"""
## What is seen

Codes are compared with their first letter in upper case. A message only refines
within one code. `ModelErrorException` and `ModelStreamErrorException` with an
`originalStatusCode` are read by that status. `ModelNotReadyException` asks for at
least {WARM_UP_S:g} seconds, so the job waits elsewhere. *Billed* is whether the call may
have been paid for; inside a stream it is never less than `maybe`.

"""


def page() -> str:
    """The whole page."""
    kinds = _table(
        "kind | vote | again | ends | charged | wears out",
        (
            f"`{kind}` | {_vote(kind)} | {REACTIONS[kind].again} | {_ending(kind)} "
            f"| {_yes(REACTIONS[kind].charges)} | {_yes(REACTIONS[kind].wears_out)}"
            for kind in Kind
        ),
    )
    seen = _table(
        "seen | kind | vote | again | ends | billed",
        (
            f"{what} | `{kind}` | {_vote(kind)} | {REACTIONS[kind].again} | {_ending(kind)} "
            f"| {billed}"
            for what, kind, billed in _seen()
        ),
    )
    return HEAD + kinds + SEEN + seen


def _seen() -> Iterator[tuple[str, Kind, str]]:
    for code, kind in BY_CODE.items():
        yield f"`{code}`", kind, _paid(code)
        for says, refined in BY_TEXT.get(code, ()):
            yield f"`{code}`, {_says(says)}", refined, Billed.NO
    for kind, codes in _by_value(BY_OTHER_CODE):
        yield _names(codes), kind, _paid(codes[0])
    for kind, statuses in _by_value(BY_STATUS):
        yield f"an unknown code with status {_names(statuses)}", kind, _paid("", statuses[0])
    for hundred, kind in BY_HUNDRED.items():
        yield f"an unknown code with any other status {hundred}xx", kind, _paid("", hundred * 100)
    yield "an unknown code with status `504`", kind_of_status(504), _paid("", 504)
    for says, refined in BY_TEXT[""]:
        yield f"an error event of a stream without a code, {_says(says)}", refined, Billed.MAYBE
    yield "any other error event of a stream", Kind.UNAVAILABLE, Billed.MAYBE
    yield (
        f"a stream without `messageStop` or `metadata`: {_names([TRUNCATED])}",
        (Kind.UNAVAILABLE),
        Billed.MAYBE,
    )
    yield (
        f"a 200 without an answer, a stop reason or the usage: {_names([MALFORMED])}",
        (Kind.UNAVAILABLE),
        Billed.MAYBE,
    )
    for reason, kind in BY_STOP_REASON.items():
        yield f"stop reason `{reason}`", kind, Billed.YES
    yield f"content that the SDK cannot read: {_names([UNKNOWN, NO_JSON])}", Kind.POOR, Billed.YES
    yield "one of our timers: `attempt`, `first_token`, `stall`", Kind.TIMED_OUT, Billed.MAYBE
    for (kind, billed), classes in _by_value(BY_CLASS):
        yield _names(classes), kind, billed
    yield "a closed session or client; no room for a socket", Kind.LOCAL, Billed.NO
    yield "an error of a call for credentials", Kind.LOCAL, Billed.NO
    yield "a parameter that the target's settings gave", Kind.MISCONFIGURED, Billed.NO
    yield (
        "a native call without a body (`no_body`), a blob that is not base64 (`not_base64`)",
        (Kind.REJECTED),
        Billed.NO,
    )
    yield "a Region without a client (`no_client`)", Kind.MISCONFIGURED, Billed.NO
    yield "anything else", Kind.UNKNOWN, Billed.MAYBE


def _by_value(table: Mapping[Any, V]) -> Iterator[tuple[V, list[Any]]]:
    for value, rows in groupby(table.items(), key=lambda row: row[1]):
        yield value, [name for name, _ in rows]


def _table(head: str, rows: Iterable[str]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + " --- |" * columns, *(f"| {row} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _names(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _says(pattern: str) -> str:
    return "which says `" + pattern.replace("|", r"\|") + "`"


def _vote(kind: Kind) -> str:
    return REACTIONS[kind].vote + (" + slow" if REACTIONS[kind].slow else "")


def _ending(kind: Kind) -> str:
    reaction = REACTIONS[kind]
    return ("degrade, else " if reaction.degrades else "") + reaction.ending


def _paid(code: str, status: int = 400) -> str:
    said = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return fault_of(ClientError(said, "Converse"), at=0.0).billed


def _yes(fact: object) -> str:
    return "yes" if fact else "no"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE.name}\n")
