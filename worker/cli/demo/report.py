"""How it is told at the end: what became of the jobs, and which promises were kept."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.cli.demo.circuit import CLOSED, Circuit
from worker.cli.demo.facts import ANSWERED, Facts, Letter, Row
from worker.cli.demo.mix import Sort
from worker.cli.demo.promise import Promise
from worker.cli.demo.screen import QUIET

TEXT_SHOWN: Final = 24  # characters of an answer
DETAIL_SHOWN: Final = 46
NEXT: Final = (
    ("inference-worker local up", "the stack alone; paste what it prints into other terminals"),
    ("inference-worker run", "a worker; Ctrl-C lets it finish what it has"),
    ("inference-worker submit 'Why is the sky blue?' --wait 30", "a job of your own"),
)


def open_curtain(console: Console, jobs: int) -> None:
    """Say what is to be seen."""
    console.print(
        "\n[bold]inference-worker[/] takes jobs from a queue, asks a model, and stores each\n"
        "answer once. Here two workers have to prove it, in two acts. First the model\n"
        "fails, a little and then wholly, and they share one circuit breaker. Then the\n"
        f"workers do: of {jobs} jobs in the queue some are in hand when one worker is killed\n"
        "and the other is asked to leave. No job may be lost, and none paid for twice\n"
        "without need.\n"
    )


def tell(console: Console, facts: Facts, promises: Sequence[Promise]) -> None:
    """Tell the end of the story."""
    _headline(console, "What became of the jobs")
    console.print(_sorts(facts))
    _headline(console, "What was given up, and why")
    console.print(_letters(facts.letters))
    _headline(console, "What the model was asked")
    console.print(_calls(facts))
    _headline(console, "What the circuit did in the outage")
    console.print(_turns(facts.circuit))
    _headline(console, "What a producer gets back")
    _results(console, facts)
    _headline(console, "The promises")
    for promise in promises:
        _promise(console, promise)
    kept = sum(promise.kept for promise in promises)
    verdict = Text(f"\n{kept} of {len(promises)} promises kept, in {facts.took_s:.0f} s.")
    verdict.stylize("bold green" if kept == len(promises) else "bold red")
    console.print(verdict)
    if kept == len(promises):
        _headline(console, "What to try next")
        for command, what in NEXT:
            console.print(f"  [bold]{command}[/]", soft_wrap=True)
            console.print(f"      [dim]{what}[/]")
        console.print()


def shortened(envelope: Mapping[str, Any]) -> str:
    """A result envelope as JSON without its small print."""
    output, error = envelope.get("output"), envelope.get("error")
    fields = [f'"{name}": {_json(envelope[name])}' for name in ("job_id", "status")]
    if output is not None:
        (block, *_) = output["message"]["content"]
        message = {"message": {"content": [{"text": _cut(block["text"], TEXT_SHOWN)}]}}
        usage = {name: envelope["usage"][name] for name in ("input", "output", "cost_usd")}
        fields += [f'"output": {_json(message)}', f'"usage": {_json(usage)}']
    if error is not None:
        parts = [f'"{name}": {_json(_cut(error[name], DETAIL_SHOWN))}' for name in error]
        fields.append(_spread('"error": {', parts, "}"))
    rows = [
        _json({name: row[name] for name in ("n", "kind", "http", "duration_ms")})
        for row in envelope["attempts"]
    ]
    fields.append(_spread('"attempts": [', rows, "]"))
    return "{" + ",\n ".join(fields) + "}"


def _spread(head: str, parts: Sequence[str], tail: str) -> str:
    return head + "\n    " + ",\n    ".join(parts) + tail


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()}…"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _headline(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]\n")


def _grid(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in columns:
        right = name.endswith("#")
        table.add_column(name.rstrip("#"), justify="right" if right else "left")
    return table


def _sorts(facts: Facts) -> Padding:
    table = _grid("sort", "sent#", "answered#", "given up#")
    total: Counter[str] = Counter()
    for sort in Sort:
        jobs = [job for job, order in facts.orders.items() if order.sort is sort]
        rows = [facts.rows[job] for job in jobs if job in facts.rows]
        answered = sum(row.state == ANSWERED for row in rows)
        dead = sum(row.final for row in rows) - answered
        total.update(sent=len(jobs), answered=answered, dead=dead)
        table.add_row(sort, str(len(jobs)), _or_dash(answered), _or_dash(dead))
    table.add_row("together", *(str(total[name]) for name in ("sent", "answered", "dead")))
    return Padding(table, (0, 0, 0, 2))


def _or_dash(number: int) -> str:
    return str(number) if number else "-"


def _letters(letters: Sequence[Letter]) -> Padding:
    table = _grid("reason", "jobs#", "fingerprint", "in words")
    groups = Counter((letter.reason, letter.fingerprint, letter.detail) for letter in letters)
    for (reason, fingerprint, detail), count in sorted(groups.items()):
        table.add_row(reason, str(count), fingerprint, _cut(detail, DETAIL_SHOWN) or "-")
    return Padding(table, (0, 0, 0, 2))


def _calls(facts: Facts) -> Padding:
    calls, endings = facts.calls, facts.calls.by_ending
    table = _grid("calls#", "")
    table.add_row(str(len(facts.answered)), "answered a job")
    for code, what in (
        ("ServiceUnavailableException", "ended with 503, and were tried again"),
        ("InternalServerException", "ended with 500, and were tried again"),
        ("ThrottlingException", "were throttled, and tried again; that costs no attempt"),
        ("ValidationException", "were refused for good"),
    ):
        table.add_row(str(endings.get(code, 0)), what)
    table.add_row(
        str(facts.repeated), f"were lost with {facts.kill.worker}, and had to be made again"
    )
    table.add_row(str(calls.total), f"together, {calls.streamed} of them streamed")
    return Padding(table, (0, 0, 0, 2))


def _turns(circuit: Circuit) -> Padding:
    table = _grid("at#", "circuit", "calls#", "written by", "why")
    began = f"{circuit.outage.began_s:.1f} s"
    table.add_row(began, CLOSED, str(circuit.exposed), "-", "the model is down")
    for spell in circuit.spells():
        turn = spell.turn
        at, calls = f"{turn.at_s:.1f} s", str(spell.calls)
        table.add_row(at, turn.words, calls, turn.by, turn.why)
    note = Text("calls: how many reached the model until the next line, by its count", style=QUIET)
    return Padding(Group(table, note), (0, 0, 0, 2))


def _results(console: Console, facts: Facts) -> None:
    failed = [row for row in facts.rows.values() if row.reason]
    for row in filter(None, (_best(facts.answered), _best(failed))):
        console.print(Padding(Text(shortened(row.envelope)), (0, 0, 0, 2)))


def _best(rows: Sequence[Row]) -> Row | None:
    """The one with the most to tell: an answer that took several calls, say."""
    return max(
        (row for row in rows if row.envelope),
        key=lambda row: (row.calls_told, row.job),
        default=None,
    )


def _promise(console: Console, promise: Promise) -> None:
    style, mark = ("green", "✓") if promise.kept else ("red", "✗")
    line = Table.grid(padding=(0, 1))
    line.add_column(width=3, justify="right", style=style)
    line.add_column(ratio=1)
    line.add_row(mark, promise.says)
    line.add_row("", Text(promise.figures, style="dim"))
    for wrong in promise.wrong:
        line.add_row("", Text(wrong, style="red"))
    console.print(line)
