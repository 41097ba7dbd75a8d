"""What spans are called and what they carry: the one table.

Names are those of OpenTelemetry's semantic conventions of `SEMCONV`, where they have one;
ours begin with `inference_worker.`. The conventions for generative AI and messaging are not
stable yet: they change here and nowhere else, and `tests/traces` compares the table with the
names of the library. Nothing here is text of a job or of an answer.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

SEMCONV: Final = "1.44.0"
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{SEMCONV}"

# A run of a job, from `job.settled`: the processing of one message.
RUN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "queue": "messaging.destination.name",
        "message_id": "messaging.message.id",
        "job": "inference_worker.job",
        "fence": "inference_worker.fence",
        "generation": "inference_worker.generation",
        "settlement": "inference_worker.settlement",
        "reason": "inference_worker.reason",
        "route": "inference_worker.route",
        "tenant": "inference_worker.tenant",
        "target": "inference_worker.target",
        "handler": "inference_worker.handler",
        "attempts": "inference_worker.attempts",
        "parks": "inference_worker.parks",
        "interruptions": "inference_worker.interruptions",
        "crashes": "inference_worker.crashes",
        "waited_ms": "inference_worker.waited_ms",
        "parked_ms": "inference_worker.parked_ms",
        "quality_requested": "inference_worker.quality.requested",
        "quality_served": "inference_worker.quality.served",
        "cost_usd": "inference_worker.cost_usd",
        "wasted_usd": "inference_worker.wasted_usd",
        "wasted_most_usd": "inference_worker.wasted_most_usd",
        "fingerprint": "inference_worker.fingerprint",
        "breaker": "inference_worker.breaker.name",
        "breaker_state": "inference_worker.breaker.state",
        "breaker_version": "inference_worker.breaker.version",
    }
)
RUN_ALWAYS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "messaging.system": "aws_sqs",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
    }
)

# One call to one target, from `attempt.made`.
ATTEMPT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "http": "http.response.status_code",
        "request_id": "aws.request_id",
        "target": "inference_worker.target",
        "number": "inference_worker.attempt",
        "code": "inference_worker.code",
        "timer": "inference_worker.timer",
        "billed": "inference_worker.billed",
        "slow": "inference_worker.slow",
        "wasted_usd": "inference_worker.wasted_usd",
        "wasted_most_usd": "inference_worker.wasted_most_usd",
    }
)
# Of a call to a model, whoever makes it.
MODEL_ALWAYS: Final[Mapping[str, Any]] = MappingProxyType(
    {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "aws.bedrock"}
)
MODEL: Final = "gen_ai.request.model"
REGION: Final = "cloud.region"
FIRST_CHUNK_S: Final = "gen_ai.response.time_to_first_chunk"
# What only the end of the run knows of its answer.
USAGE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "input_tokens": "gen_ai.usage.input_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
    }
)

# A degraded handler that was asked, from `handler.asked`.
HANDLER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "handler": "inference_worker.handler",
        "outcome": "inference_worker.outcome",
        "target": "inference_worker.target",
        "cost_usd": "inference_worker.cost_usd",
    }
)

# A refusal within a run, from `call.refused`: an event of its span.
REFUSAL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "breaker": "inference_worker.breaker.name",
        "why": "inference_worker.breaker.state",
        "version": "inference_worker.breaker.version",
        "retry_after_s": "inference_worker.retry_after_s",
    }
)

ERROR_TYPE: Final = "error.type"


def attributes(
    event: object, table: Mapping[str, str], always: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """An event's fields as attributes; what is empty says nothing, and is left out."""
    found = dict(always)
    for field, name in table.items():
        value = getattr(event, field)
        if value not in ("", None):
            found[name] = value
    return found
