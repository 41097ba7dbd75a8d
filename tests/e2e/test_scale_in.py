"""ECS scale-in protection: for jobs that can outlast the grace, and for no others."""

import signal
from typing import Any

from tests.e2e.stage import Stage, until
from worker.local.moods import Mood
from worker.local.outcomes import Constant


def test_only_a_job_that_can_outlast_the_grace_protects_its_task(stage: Stage) -> None:
    stage.mood(Mood(latency=Constant(600.0)))
    common = {"grace_s": 12, "queue__wait_s": 1, "slots": 1, "log_level": "debug"}
    # Their hanging calls last as long as the longest that each of them allows.
    short = stage.worker(
        "short",
        ECS_AGENT_URI=f"{stage.url}/ecs/short",
        model__attempt_s=11.5,
        model__api="converse",
        retry__attempts=1,
        **common,
    )
    stage.send([{"prompt": "Why?"}] * 4)
    until(lambda: stage.in_flight() == 1, says="the short job is in flight")
    long = stage.worker(
        "long",
        ECS_AGENT_URI=f"{stage.url}/ecs/long",
        model__attempt_s=500,
        model__api="converse",
        **common,
    )

    # A worker looks when it starts, and every 15 s. The short one started first, and it is
    # never idle; so when the long one has asked, the short one has had its reason to.
    until(lambda: _asked(stage, "long"), says="the task of the long job is protected")

    (asked,) = _asked(stage, "long")
    assert asked["enabled"]
    assert 1 <= asked["expires_min"] <= 60
    assert not _asked(stage, "short")
    assert short.lines("attempt.made"), "a job of its own was in flight all the time"
    long.send(signal.SIGTERM)
    short.send(signal.SIGTERM)
    until(lambda: len(_asked(stage, "long")) == 2, says="the long one asks again")
    assert [call["enabled"] for call in _asked(stage, "long")] == [True, False]
    assert not stage.stats()["ecs"]["protected"]
    short.wait_for("drain.started")
    assert not _asked(stage, "short")


def _asked(stage: Stage, task: str) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = stage.stats()["ecs"]["calls"]
    return [call for call in calls if call["task"] == task]
