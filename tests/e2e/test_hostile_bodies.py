"""Hundreds of hostile bodies in one queue with good jobs: each is a dead letter that says why."""

import hashlib
import json
import random
import statistics
from collections.abc import Iterable

from tests.e2e.conftest import Note
from tests.e2e.hostile import CANARY, MESSAGE_BYTES, Hostile, bodies
from tests.e2e.stage import Message, Stage, Worker, until
from worker.core.ledger import State
from worker.local.moods import Mood
from worker.local.outcomes import Constant

GOOD = 200
MEMORY_GROWTH_MAX_KIB = 128 * 1024  # beside ten bodies of 1 MiB, and all else that comes at once


def test_every_hostile_body_is_a_dead_letter_that_says_why_and_its_neighbours_are_answered(
    stage: Stage, note: Note
) -> None:
    hostile, planted = bodies(stage.bucket)
    assert len(hostile) >= 200
    for each in planted:
        stage.put_object(each.key, each.content)
    stage.mood(Mood(latency=Constant(0.05)))
    worker = stage.worker("worker", model__quality=0.9, log_level="debug")
    calm = _served(stage, "calm", ())
    before_kib = worker.memory_kib("VmHWM")

    troubled = _served(stage, "troubled", hostile)

    letters = _by_body(stage, stage.received(stage.dead_url))
    records = stage.records()
    assert len(letters) == len(hostile)
    for one in hostile:
        letter = letters[one.body]
        record = records[letter.attributes["iw-job"]]
        assert (letter.attributes["iw-reason"], letter.story["reason"]) == (one.reason, one.reason)
        assert letter.story["detail"].startswith(f"{one.field}: " if one.field else ""), one.field
        assert CANARY not in json.dumps(dict(letter.attributes))
        assert (record.state, record.reason, record.told) == (State.DEAD, one.reason, True)
        assert (record.attempts, record.history) == (0, ())
    answered = {job for job, record in records.items() if record.state is State.ANSWERED}
    assert answered == calm | troubled
    assert len(records) == len(hostile) + len(answered)
    assert stage.calls_by_job() == dict.fromkeys(answered, 1)
    assert CANARY not in worker.log()
    assert not worker.lines("flight.failed")
    grown_kib = worker.memory_kib("VmHWM") - before_kib
    assert grown_kib < MEMORY_GROWTH_MAX_KIB
    alone_ms, beside_ms = _median_ms(worker, calm), _median_ms(worker, troubled)
    assert beside_ms < 20 * alone_ms + 1_000
    note(
        f"{len(hostile)} hostile bodies: peak memory {before_kib / 1024:.0f} MiB before, "
        f"{(before_kib + grown_kib) / 1024:.0f} MiB after; median time of a good job "
        f"{alone_ms:.0f} ms alone, {beside_ms:.0f} ms among them"
    )
    assert worker.stop() == 0


def _served(stage: Stage, name: str, hostile: Iterable[Hostile]) -> set[str]:
    """Send good jobs with `hostile` ones strewn among them, and wait until all are settled."""
    good = {f"{name}-{n}" for n in range(GOOD)}
    whole = [json.dumps({"id": job, "prompt": f"{CANARY} asks why."}) for job in sorted(good)]
    whole += [one.body for one in hostile]
    random.Random(7).shuffle(whole)  # noqa: S311  (an order, and no secret)
    stage.send(whole)
    until(stage.settled, says=f"all of {name} are settled", within_s=120)
    return good


def _by_body(stage: Stage, letters: list[Message]) -> dict[str, Message]:
    """Dead letters by the body that came, wherever it is kept now."""
    found = {}
    for letter in letters:
        body = letter.body
        if len(body) < 500 and "raw_body" in body:
            aside = json.loads(body)["raw_body"]
            content = stage.get_object(aside["uri"])
            assert len(content) == aside["bytes"] == MESSAGE_BYTES
            assert hashlib.sha256(content).hexdigest() == aside["sha256"]
            body = content.decode()
        assert body not in found, "one dead letter for each"
        found[body] = letter
    return found


def _median_ms(worker: Worker, jobs: set[str]) -> float:
    lines = [line for line in worker.lines("job.settled") if line["job"] in jobs]
    assert len(lines) == len(jobs)
    return statistics.median(float(line["worked_ms"]) for line in lines)
