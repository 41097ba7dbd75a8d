"""A worker whose collector takes every request and answers none: its jobs do not notice."""

import signal
import threading

from tests.e2e.stage import Stage, until
from tests.traces.collector import Collector
from worker.core.ledger import State


def test_a_collector_that_hangs_keeps_neither_a_job_nor_the_drain(stage: Stage) -> None:
    collector = Collector(hangs=True)
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        worker = stage.worker("worker", traces__exporter="otlp", traces__endpoint=collector.url)
        stage.send({"id": f"job-{n}", "prompt": "Why?"} for n in range(20))
        until(lambda: stage.states() == {State.ANSWERED: 20}, says="every job is answered")
        assert collector.asked.wait(30), "spans were sent"
        stage.send([{"id": "last", "prompt": "Why?"}])
        until(lambda: stage.states() == {State.ANSWERED: 21}, says="the last job is answered")

        worker.send(signal.SIGTERM)

        assert worker.ended() == 0
        assert [line["clean"] for line in worker.lines("drain.ended")] == [True]
        # Each of the 21 runs has two spans. The exporter's own patience may end before ours does.
        assert sum(line["count"] for line in worker.lines("spans.lost")) == 42
        traced = {line["trace_id"] for line in worker.lines("job.settled")}
        assert len(traced) == 21
        sent = {
            span.trace_id.hex()
            for _, request in collector.requests
            for of in request.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        }
        assert sent <= traced
        assert worker.err.read_text() == ""
    finally:
        collector.freed.set()
        collector.shutdown()
        thread.join()
        collector.server_close()
