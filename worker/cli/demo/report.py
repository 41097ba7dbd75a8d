"""How it is told at the end: what became of the jobs, and which promises were kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.cli.demo.act import Act
from worker.cli.demo.circuit import CLOSED
from worker.cli.demo.facts import ANSWERED, DEGRADED, Facts, Letter
from worker.cli.demo.mix import Sort
from worker.cli.demo.promise import Promise
from worker.cli.demo.results import DETAIL_SHOWN, cut, shortened
from worker.cli.demo.screen import QUIET

NEXT: Final = (
    ("inference-worker local up", "the stack alone; paste what it prints into other terminals"),
    ("inference-worker run", "a worker; Ctrl-C lets it finish what it has"),
    ("inference-worker submit 'Why is the sky blue?' --wait 30 --id sky", "a job of your own"),
    ("inference-worker why sky", "its whole path: who claimed it, what was called, how it ended"),
    ("inference-worker status --why", "how the fleet stands, and what is wrong"),
    ("inference-worker ui", "the same in a browser, and what an operator may do"),
)


def open_curtain(console: Console, jobs: int) -> None:
    """Say what is to be seen."""
    console.print(
        "\n[bold]inference-worker[/] takes jobs from a queue, asks a model, and stores each\n"
        "answer once. Here two workers have to prove it, in two acts. First the model\n"
        "fails: a little, then in one of two Regions, then in both. Jobs move to the\n"
        "other Region, then get a second-best answer, or wait. Then the workers fail: of\n"
        f"{jobs} jobs in the queue some are in hand when one worker is killed and the other\n"
        "is asked to leave. No job may be lost, and none paid for twice without need.\n"
    )


def tell(console: Console, facts: Facts, promises: Sequence[Promise]) -> None:
    """Tell the end of the story."""
    _headline(console, "What became of the jobs")
    console.print(_sorts(facts))
    _headline(console, "What was given up, and why")
    console.print(_letters(facts.letters))
    _headline(console, "What the model was asked")
    console.print(_calls(facts))
    _headline(console, "What the circuits did in the outages")
    console.print(_turns(facts.act))
    _headline(console, "What a producer gets back")
    _results(console, facts.results)
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


def _headline(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]\n")


def _grid(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for name in columns:
        right = name.endswith("#")
        table.add_column(name.rstrip("#"), justify="right" if right else "left")
    return table


def _sorts(facts: Facts) -> Padding:
    table = _grid("sort", "sent#", "answered#", "degraded#", "given up#")
    total: Counter[str] = Counter()
    for sort in Sort:
        states = Counter(row.state for row in facts.rows_of(sort) if row.final)
        counts = {
            "sent": len(facts.jobs_of(sort)),
            "answered": states.pop(ANSWERED, 0),
            "degraded": states.pop(DEGRADED, 0),
            "given up": states.total(),
        }
        total.update(counts)
        table.add_row(sort, *map(_or_dash, counts.values()))
    table.add_row("together", *map(_or_dash, total.values()))
    return Padding(table, (0, 0, 0, 2))


def _or_dash(number: int) -> str:
    return str(number) if number else "-"


def _letters(letters: Sequence[Letter]) -> Padding:
    table = _grid("reason", "jobs#", "fingerprint", "in words")
    groups = Counter((letter.reason, letter.fingerprint, letter.detail) for letter in letters)
    for (reason, fingerprint, detail), count in sorted(groups.items()):
        table.add_row(reason, str(count), fingerprint, cut(detail, DETAIL_SHOWN) or "-")
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


def _turns(act: Act) -> Padding:
    table = _grid("at#", "target", "circuit", "calls#", "why")
    lines = []
    for circuit in act.circuits:
        began_s = circuit.outage.began_s
        lines.append((began_s, circuit.target, CLOSED, circuit.exposed, "its Region fails"))
        lines += [
            (turn.at_s, circuit.target, turn.words, spell.calls, turn.why)
            for spell in circuit.spells()
            for turn in (spell.turn,)
        ]
    for at_s, target, words, calls, why in sorted(lines):
        table.add_row(f"{at_s:.1f} s", target, words, str(calls), why)
    note = Text(
        "calls: how many reached its Region until its next line, by the model's count", style=QUIET
    )
    return Padding(Group(table, note), (0, 0, 0, 2))


def _results(console: Console, results: Mapping[str, Mapping[str, Any]]) -> None:
    for what, envelope in results.items():
        console.print(f"  [dim]{what}[/]")
        console.print(Padding(Text(shortened(envelope)), (0, 0, 0, 2)))


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
