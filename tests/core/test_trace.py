"""Trace contexts: ids that need not be carried, and headers that are taken by their form only."""

import pytest

from worker.core.trace import Context, child_of, context_of, is_chosen, sent_by, told_by

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HERE = Context(TRACE, SPAN)
AWS = f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1;Lineage=a:0"


def test_a_run_has_its_own_context_and_each_of_its_spans_too() -> None:
    run = context_of("nonce-1")

    assert run == context_of("nonce-1") != context_of("nonce-2")
    assert told_by(run.traceparent()) == run
    spans = {child_of(run, number) for number in range(1, 9)} | {run}
    assert len(spans) == 9
    assert {span.trace_id for span in spans} == {run.trace_id}
    assert "nonce-1" not in run.traceparent()


def test_a_share_of_the_runs_is_chosen() -> None:
    runs = [context_of(f"nonce-{n}") for n in range(2000)]

    assert 400 < sum(is_chosen(run, 0.25) for run in runs) < 600
    assert HERE.traceparent(sampled=False).endswith("-00")


@pytest.mark.parametrize(
    ("aws", "traceparent", "found"),
    [
        (AWS, f"00-{'1' * 32}-{'2' * 16}-01", HERE),
        ("", HERE.traceparent(), HERE),
        ("", f"01-{TRACE}-{SPAN}-01-more", HERE),
        (f"Root=1-{TRACE[:8]}-{TRACE[8:]}", HERE.traceparent(), HERE),
        ("Root=1-0-0;Parent=x", "", None),
        (f"Root=1-{'0' * 8}-{'0' * 24};Parent={SPAN}", HERE.traceparent(), HERE),
        ("", f"ff-{TRACE}-{SPAN}-01", None),
        ("", f"00-{'0' * 32}-{SPAN}-01", None),
        ("", f"00-{TRACE}-{'0' * 16}-01", None),
        ("", f"00-{TRACE.upper()}-{SPAN}-01", None),
        ("a secret", "another secret", None),
        ("", "", None),
    ],
)
def test_what_comes_from_outside_is_taken_by_its_form_only(
    aws: str, traceparent: str, found: Context | None
) -> None:
    assert sent_by(aws, traceparent) == found
