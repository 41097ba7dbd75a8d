"""The whole machine, and its text."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from inference_worker_asl import calls, elsewhere, evidence, job, orders, tables
from worker.core.policy import BreakerPolicy

FILE: Final = Path(__file__).parent.parent / "statemachine" / "breaker.asl.json"
LONGEST_S: Final = 900
# A job has somewhere else to go, and a slow call is one of 30 s: as a worker's settings make it.
POLICY: Final = BreakerPolicy(failure_rate=0.5, stuck_s=30.0, probe_s=30.0)
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
    """The definition, with `${places}` in it, for a policy.

    Raises:
        ValueError: The policy has a knob that the machine cannot follow; the message names it.
    """
    policy = policy or POLICY
    refused = {
        "slow_rate": policy.slow_rate is not None,
        "window_calls": policy.window_calls is not None,
        "window_s (a multiple of 3)": bool(policy.window_s % tables.SLICES),
        "forgive_s (whole seconds)": bool(policy.forgive_s % 1),
        "probe_s (whole seconds)": bool(policy.probe_s % 1),
    }
    for knob, unfit in refused.items():
        if unfit:
            msg = f"the state machine cannot follow this policy: {knob}"
            raise ValueError(msg)
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
            **calls.calling(policy),
            **elsewhere.through_the_queue(),
            **elsewhere.falling_back(),
        },
    }


def deployed(definition: dict[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """The definition with its places filled, as CloudFormation does it.

    Raises:
        KeyError: A place has no value.
    """
    text = json.dumps(definition)
    for place in PLACES:
        text = text.replace(f"${{{place}}}", json.dumps(places[place])[1:-1])
    filled: dict[str, Any] = json.loads(text)
    return filled


def written(definition: dict[str, Any]) -> str:
    """Its text, as it is committed."""
    return json.dumps(definition, indent=1) + "\n"
