"""The whole machine, and its text."""

import json
from pathlib import Path
from typing import Any, Final

from worker.core.policy import BreakerPolicy

from inference_worker_asl import evidence, job, orders

FILE: Final = Path(__file__).parent.parent / "statemachine" / "breaker.asl.json"
LONGEST_S: Final = 900
PLACES: Final = (
    "Service",
    "Machine",
    "BreakersTable",
    "CacheTable",
    "JobsQueueUrl",
    "Through",
    "Target",
    "ModelId",
    "AlternateTarget",
    "AlternateModelId",
    "ElsewhereTarget",
    "ElsewhereModelId",
    "Sorry",
)
"""What is put in when it is deployed."""


def machine(policy: BreakerPolicy | None = None) -> dict[str, Any]:
    """The definition, with `${places}` in it, for a policy."""
    policy = policy or BreakerPolicy()
    assert policy.slow_rate is None, "the machine does not count slow calls"
    return {
        "Comment": "The circuit breaker of inference-worker: docs/stepfunctions.md. Generated.",
        "StartAt": "Begin",
        "TimeoutSeconds": LONGEST_S,
        "States": {
            **job.beginning(),
            **orders.looking(),
            **job.standing(),
            **job.resting(policy),
            **job.errands(),
            **orders.moves(policy),
            **orders.writing(),
            **evidence.window(policy),
            **evidence.judging(policy),
            **job.calling(policy),
            **job.through_the_queue(),
            **job.falling_back(),
        },
    }


def written(definition: dict[str, Any]) -> str:
    """Its text, as it is committed."""
    return json.dumps(definition, indent=1) + "\n"
