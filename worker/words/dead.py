"""Dead letters in words and columns. Pure: what is told comes from `worker/ops`."""

from collections.abc import Iterable, Mapping
from typing import Final

from worker.aws.dead_letters import index_command
from worker.core.dead import Letter, Note
from worker.ops.dead_desk import Groups, Listing, Shown
from worker.ops.dead_discard import Discarded
from worker.ops.dead_edit import Edited
from worker.ops.dead_import import Imported
from worker.ops.dead_pace import Redriven
from worker.ops.dead_sweep import LEASE_S
from worker.ports import Unavailable
from worker.words.breaker import ago, columns, counted, plain, span, utc

COMMAND: Final = "inference-worker dead"
NOTHING: Final = "no dead letters fit"
NOT_SHARED: Final = (
    "note: with these settings every process decides alone (WORKER_BREAKER__SHARED is false), "
    "so whether\na circuit is open cannot be known here, and does not stop a redrive."
)
REACH: Final = (
    f"Another operator may hold them for up to {span(LEASE_S)}, or they were moved by AWS's own "
    "redrive,\nor are older than their queue keeps messages. Give the command again then"
)
_ADVICE: Final = {
    "AccessDenied": "Whoever runs this lacks a right: docs/dead-letters.md lists them.",
    "AccessDeniedException": "Whoever runs this lacks a right: docs/dead-letters.md lists them.",
    "IndexBackfilling": "The index `dead` is being built; wait until it is active.",
    "NoCredentialsError": "Run it where the worker runs, or sign in: aws sso login.",
    "ResourceNotFoundException": "There is no such table in this account and Region; "
    "`inference-worker doctor` says how to make it.",
}


def groups(found: Groups) -> str:
    """One line for each group, and below it what it says and what to do."""
    if not found.groups:
        return f"{NOTHING}."
    head = ("FINGERPRINT", "LETTERS", "REASON", "CODE", "ROUTES", "TENANTS", "FIRST", "LAST")
    rows = [
        (
            group.fingerprint,
            str(group.count),
            group.reason,
            plain(group.code) or "-",
            _most(group.routes),
            str(len(group.tenants)),
            ago(group.first_at, found.at),
            ago(group.last_at, found.at),
        )
        for group in found.groups
    ]
    lines = columns([head, *rows])
    told = [lines[0]]
    for line, group in zip(lines[1:], found.groups, strict=True):
        told += [
            line,
            f"    says     {plain(group.detail) or '-'}",
            f"    sample   {plain(group.sample)}",
            f"    to do    {group.remedy.value}",
        ]
    kinds = len(found.groups)
    return "\n".join(
        [*told, "", f"{counted(found.letters, 'letter')} in {counted(kinds, 'group')}"]
    )


def listing(found: Listing, most: int) -> str:
    """One line for each letter, the newest first."""
    if not found.letters:
        return f"{NOTHING}."
    head = ("JOB", "DIED", "REASON", "CODE", "TARGET", "ROUTE", "TENANT", "LIFE", "FINGERPRINT")
    shown = list(reversed(found.letters))[:most]
    rows = [_row(letter, found.at) for letter in shown]
    left = len(found.letters) - len(shown)
    more = [f"and {left} more: --most shows so many"] if left else []
    return "\n".join([*columns([head, *rows]), *more])


def _row(letter: Letter, at: float) -> tuple[str, ...]:
    return (
        plain(letter.job),
        ago(letter.died_at, at),
        letter.reason,
        plain(letter.code) or "-",
        letter.target or "-",
        letter.route or "-",
        plain(letter.tenant) or "-",
        str(letter.generation + 1),
        letter.fingerprint,
    )


def shown(found: Shown) -> str:
    """One job: how it ended, its calls, and what people did to it."""
    lines = [f"{plain(found.job)}  {found.state}, life {found.generation + 1}"]
    if (letter := found.letter) is not None:
        age = span(max(0.0, letter.died_at - letter.sent_at))
        uncharged = f"interruptions {found.interruptions}, crashes {found.crashes}"
        lines += [
            f"    died         {utc(letter.died_at)} UTC, {age} after it was sent",
            f"    reason       {letter.reason}",
            f"    says         {plain(found.detail) or '-'}",
            f"    fingerprint  {letter.fingerprint}",
            f"    route        {letter.route or '-'}, tenant {plain(letter.tenant) or '-'}",
            f"    counters     attempts {letter.attempts}, parks {found.parks}, {uncharged}",
        ]
    for row in found.history:
        says = f" {plain(str(row['code']))}" if row["code"] else ""
        lines.append(
            f"    call {row['number']}       {row['target']}: {row['kind']}{says}, "
            f"{row['duration_ms']} ms, circuit {row['breaker']}"
        )
    lines += [f"    {line}" for line in _notes(found.notes)]
    if found.found is False:
        lines += ["", f"its message is not in reach. {REACH}."]
    if found.body is not None:
        lines += ["", found.body]
    return "\n".join(lines)


def notes(rows: Iterable[Note]) -> str:
    """The log, the oldest first."""
    return "\n".join(_notes(rows)) or "the log is empty."


def _notes(rows: Iterable[Note]) -> list[str]:
    return columns(
        [
            (
                f"{utc(row.at)} UTC",
                plain(row.author),
                row.verb,
                plain(row.job) or "-",
                plain(row.what) + (f" (row {row.id})" if row.verb == "edit" else ""),
                plain(row.why) or "-",
            )
            for row in rows
        ]
    )


def redriven(told: Redriven) -> str:
    """What became of a redrive, or would."""
    if not told.meant:
        return f"{NOTHING}; nothing was sent."
    kept = sum(told.kept.values())
    if told.dry:
        lines = [f"would send {told.meant - kept} of {told.meant} letters; nothing was done."]
    else:
        lines = [f"{told.sent} of {told.meant} letters were sent back."]
    lines += [f"    kept {count}: {plain(why)}" for why, count in told.kept.items()]
    if not told.dry:
        lines += _more(told)
    if told.shut and kept:
        lines.append(
            "A letter that is sent into an open circuit waits, or dies again. See "
            "`inference-worker breaker show\n--why`, and redrive when it is closed; --force "
            "sends all the same."
        )
    elif kept:
        lines.append("Edit them, correct the settings, or send them all the same with --force.")
    return "\n".join(lines)


def _more(told: Redriven) -> list[str]:
    lines = []
    if told.answered or told.died:
        lines.append(f"    stages: {told.answered} answered, {told.died} died again")
    if told.outdated:
        lines.append(f"    {told.outdated} copies of earlier redrives were deleted")
    if told.left:
        lines.append(f"    {told.left} copies could not be deleted; the next redrive does it")
    if told.stopped:
        lines.append(f"    stopped: {plain(told.stopped)}. What was not sent is where it was.")
    return lines + _missing(told.missing, told.missing_count)


def _missing(missing: tuple[str, ...], count: int) -> list[str]:
    if not count:
        return []
    first = ", ".join(map(plain, missing[:5])) + (", …" if count > len(missing[:5]) else "")
    return [
        f"{counted(count, 'letter')} had no message in reach: {first}",
        f"{REACH}, or take them off the list: {COMMAND} discard --unfound.",
    ]


def edited(told: Edited) -> str:
    """What became of an edit, or would."""
    if told.wrong:
        return f"{plain(told.job)} was not sent: {plain(told.wrong)}."
    fields = ", ".join(map(plain, told.changed)) or "nothing"
    if told.dry:
        return f"would change {fields}, and send {plain(told.job)} back; nothing was done."
    where = told.original_ref or f"the log, row {told.row}"
    return f"{plain(told.job)} was changed ({fields}) and sent back. The original: {where}."


def discarded(told: Discarded) -> str:
    """What became of a discard, or would."""
    if not told.meant:
        return f"{NOTHING}; nothing was discarded."
    if told.dry:
        return f"would discard {counted(told.meant, 'letter')}; nothing was done."
    lines = [f"{told.gone} of {told.meant} letters were discarded."]
    if told.unsent:
        lines.append(f"    {told.unsent} of them had no message any more")
    if told.stopped:
        lines.append(f"    stopped: {told.stopped}. What was not discarded is where it was.")
    return "\n".join(lines + _missing(told.missing, told.missing_count))


def imported(told: Imported) -> str:
    """What was found in the dead-letter queues."""
    would = "would be " if told.dry else ""
    rows: Mapping[str, int] = {
        "on the list already": told.listed,
        f"{would}listed again": told.relisted,
        **{f"{would}adopted: {reason}": count for reason, count in told.adopted.items()},
        f"{would}deleted, for their jobs have an answer": told.finished,
        f"{would}deleted, for their jobs were redriven": told.outdated,
        f"{would}sent to a worker, for nobody was told their job's answer": told.untold,
        "left, for a life of their job may need them": told.alive,
        "left, for only a later version can read their job's record": told.unreadable,
    }
    lines = [f"{counted(told.seen, 'message')} in the dead-letter queues."]
    lines += [f"    {count} {what}" for what, count in rows.items() if count]
    if told.stopped:
        lines.append(f"    stopped: {told.stopped}. The rest is where it was.")
    return "\n".join(lines)


def unavailable(error: Unavailable, table: str) -> str:
    """A service could not be asked before anything was done."""
    if error.why == "IndexMissing":
        return (
            f"the table {table} has no index `dead`, so dead letters cannot be listed. Nothing "
            "was done.\nMake it (workers need not stop), then let `dead import` list what died "
            f"before:\n\n    {index_command(table)}"
        )
    advice = _ADVICE.get(
        error.why,
        "Is the network there, and are AWS_ENDPOINT_URL_DYNAMODB and _SQS (if they are set) what "
        "they should be?"
        if error.network
        else "Try again; what workers do does not depend on this command.",
    )
    what = f"the table {table}" if error.store == "ledger" else f"the {error.store}"
    return f"{what} cannot be used: {error.why}.\n{advice}"


def _most(counts: Mapping[str, int]) -> str:
    first = next(iter(counts), "-")
    return f"{first} +{len(counts) - 1}" if len(counts) > 1 else first
