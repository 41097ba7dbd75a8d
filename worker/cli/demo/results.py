"""Result envelopes: whose are shown, and how they are shortened for a terminal."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.cli.demo.facts import Row
from worker.cli.demo.mix import Order, Sort
from worker.cli.demo.plans import FAR

TEXT_SHOWN: Final = 24  # characters of an answer
DETAIL_SHOWN: Final = 46
_Fits = Callable[[Order, Row], bool]
# What a result is to show, and which jobs can; of these the one with the most calls, or the fewest.
_KINDS: Final[Mapping[str, tuple[_Fits, int]]] = {
    "moved to the other Region": (
        lambda order, row: order.sort is Sort.MOVED and row.target == FAR,
        1,
    ),
    "degraded: nothing was called for it": (
        lambda order, row: order.sort is Sort.CHAT and row.state == "degraded",
        -1,
    ),
    "parked, then released": (
        lambda order, row: order.sort is Sort.BATCH and row.parks > 0 and bool(row.target),
        1,
    ),
    "given up": (lambda order, row: bool(order.dies and row.envelope), 1),
}


def chosen(orders: Mapping[str, Order], rows: Mapping[str, Row]) -> dict[str, str]:
    """One finished job of each kind, as far as there is one: what it shows, and its id."""
    found: dict[str, str] = {}
    for what, (fits, most) in _KINDS.items():
        fit = [row for job, row in rows.items() if row.final and fits(orders[job], row)]
        if fit:
            found[what] = max(fit, key=lambda row: (most * row.calls_told, row.job)).job
    return found


def shortened(envelope: Mapping[str, Any]) -> str:
    """A result envelope as JSON without its small print."""
    output, degraded, error = (envelope.get(name) for name in ("output", "degraded", "error"))
    fields = [f'"{name}": {_json(envelope[name])}' for name in ("job_id", "status")]
    if output is not None:
        (block, *_) = output["message"]["content"]
        message = {"message": {"content": [{"text": cut(block["text"], TEXT_SHOWN)}]}}
        fields.append(f'"output": {_json(message)}')
    if degraded is not None:
        names = ("reason", "handler", "loses", "notice")
        parts = [f'"{name}": {_json(degraded[name])}' for name in names]
        fields.append(_spread('"degraded": {', parts, "}"))
    if error is not None:
        parts = [f'"{name}": {_json(cut(error[name], DETAIL_SHOWN))}' for name in error]
        fields.append(_spread('"error": {', parts, "}"))
    if envelope["route"]["target"]:
        fields.append(_some("route", envelope, "name", "target", "region"))
        fields.append(_some("usage", envelope, "input", "output", "cost_usd"))
    fields.append(_some("latency_ms", envelope, "queue", "total"))
    rows = [
        _json({name: row[name] for name in ("n", "target", "kind", "http")})
        for row in envelope["attempts"]
    ]
    fields.append(_spread('"attempts": [', rows, "]") if rows else '"attempts": []')
    return "{" + ",\n ".join(fields) + "}"


def cut(text: str, most: int) -> str:
    """The text, or its beginning."""
    return text if len(text) <= most else f"{text[:most].rstrip()}…"


def _some(name: str, envelope: Mapping[str, Any], *inner: str) -> str:
    return f'"{name}": {_json({one: envelope[name][one] for one in inner})}'


def _spread(head: str, parts: Sequence[str], tail: str) -> str:
    return head + "\n    " + ",\n    ".join(parts) + tail


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
