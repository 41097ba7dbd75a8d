"""The published schema of the result envelope: `docs/result.schema.json` is written from it.

Every envelope has every field; what does not apply is null, 0 or "". Fields may be
added within version 1, so a reader ignores what it does not know; the schema does not,
so that our tests see a field that it has no word for.
"""

from collections.abc import Mapping
from typing import Any, Final

from worker.core.fault import Billed, Kind

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_USD: Final = {"type": "number", "minimum": 0}
_QUALITY: Final = {"type": "number", "minimum": 0, "maximum": 1}


def _object(says: str, *, null: bool = False, **fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "description": says,
        "type": ["object", "null"] if null else "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _said(kind: Mapping[str, Any], says: str) -> dict[str, Any]:
    return {"description": says, **kind}


_CONTENT: Final = {
    "description": "Content blocks in the shape of Converse: objects of one key each.",
    "type": "array",
    "items": {"type": "object", "minProperties": 1, "maxProperties": 1},
}
_OUTPUT: Final = _object(
    "The answer; null where there is none, or where it lies at `output_ref`.",
    null=True,
    message=_object("As Converse has it.", role={"const": "assistant"}, content=_CONTENT),
)
_STOP: Final = _object(
    "How the model ended; null where no model answered.",
    null=True,
    reason=_said(_TEXT, "The model's stop reason."),
    truncated={"description": "Whether the token limit cut the answer.", "type": "boolean"},
)
_QUALITIES: Final = _object(
    "How good the answer is, from 0 to 1.",
    requested=_said(_QUALITY, "What the route's best target gives."),
    minimum=_said(_QUALITY, "What the job accepts; never served below."),
    served=_said(_QUALITY, "What was served; 0 without an answer."),
)
_DEGRADED: Final = _object(
    "What stands in for a model's answer, and why; null unless `status` is `degraded`.",
    null=True,
    reason=_said(
        _TEXT,
        "`circuit_open`, the kind of the last fault or of the one that a call would come to, "
        "`below_quality`, `outside_geo` or `expired` (no time was left for a call).",
    ),
    cause=_said(_TEXT, 'The code of the last fault; "" if nothing was called.'),
    handler=_said(_TEXT, "The handler that gave it, by its name in the settings."),
    loses={
        "description": "What it lacks beside a model's answer, in words of the settings.",
        "type": "array",
        "items": _TEXT,
        "uniqueItems": True,
    },
    notice=_said(_TEXT, "A sentence for the end user."),
    will_upgrade={
        "description": "Whether a model's answer is to replace it later, as the result of the "
        "job `<job_id>+upgrade`.",
        "type": "boolean",
    },
)
_ERROR: Final = _object(
    "Why there is no answer; null unless `status` is `failed` or `expired`.",
    null=True,
    reason=_said(_TEXT, "A stable code; docs/jobs.md lists them."),
    code=_said(_TEXT, 'The code of the last fault, or "".'),
    detail=_said(_TEXT, "What is wrong, for a person."),
)
_ROUTE: Final = _object(
    'Where the answer comes from; all but `name` are "" where no model answered.',
    name=_said(_TEXT, 'The route; "" if the job could not be read.'),
    target=_TEXT,
    model_id=_TEXT,
    region=_said(_TEXT, '"" for the SDK\'s own.'),
    tier=_object("The service tier.", requested=_TEXT, served=_TEXT),
)
_USAGE: Final = _object(
    "What it cost. Tokens are those of the answer; calls that brought none are not among them.",
    input=_said(_COUNT, "Tokens."),
    output=_said(_COUNT, "Tokens."),
    cache_read=_said(_COUNT, "Tokens."),
    cache_write=_said(_COUNT, "Tokens."),
    cost_usd=_said(_USD, "Of the answer, by the prices in the settings; 0 without."),
    wasted_calls=_said(_COUNT, "Calls that may have been billed, and brought nothing."),
    wasted_usd=_said(_USD, "What was surely paid for nothing: the service told the tokens."),
    wasted_most_usd=_said(
        _USD, "The same, and what calls may have cost of which nobody told the tokens: a guess."
    ),
)
_LATENCY: Final = _object(
    "Where the time went, in milliseconds.",
    queue=_said(_COUNT, "From the first send to the start of the last run, parks included."),
    parked=_said(_COUNT, "Of that, waited parked, over the job's life."),
    total=_said(_COUNT, "From the first send to the end."),
    backoff=_said(_COUNT, "Waited between attempts of the last run."),
    handler=_said(_COUNT, "Waited for degraded handlers in the last run."),
    model=_said(_COUNT, "The service's own latency; 0 where no model answered."),
    first_token={
        "description": "To the first event of a stream; null without one.",
        "type": ["integer", "null"],
        "minimum": 0,
    },
)
_ATTEMPT: Final = _object(
    "One call.",
    n=_said(_COUNT, "Its number among the charged calls."),
    target=_TEXT,
    kind={"description": "`ok`, or the kind of fault.", "enum": ["ok", *(str(k) for k in Kind)]},
    code=_TEXT,
    http={"type": ["integer", "null"]},
    duration_ms=_COUNT,
    billed={"enum": [str(billed) for billed in Billed]},
    timer=_said(_TEXT, "Which of our timers ended it, if one did."),
    request_id=_TEXT,
)

_BODY: Final = _object(
    "What became of a job. Decide by `status` and `quality.served`.",
    v={"const": 1},
    job_id=_TEXT,
    upgrades={
        "description": "The job whose degraded answer this one replaces; null for any other.",
        "type": ["string", "null"],
    },
    status={
        "description": "`blocked`: a guardrail took the answer's place.",
        "enum": ["ok", "degraded", "blocked", "failed", "expired"],
    },
    output=_OUTPUT,
    stop=_STOP,
    quality=_QUALITIES,
    degraded=_DEGRADED,
    error=_ERROR,
    route=_ROUTE,
    usage=_USAGE,
    latency_ms=_LATENCY,
    attempts={
        "description": "The latest calls, at most 8.",
        "type": "array",
        "items": _ATTEMPT,
        "maxItems": 8,
    },
    attempts_total=_said(_COUNT, "Charged calls over the job's life."),
    deadline_at={"description": "Seconds since 1970.", "type": ["number", "null"]},
    metadata={"description": "The job's own, returned.", "type": "object"},
    worker=_said(_TEXT, "Who wrote this."),
)


def _when(status: tuple[str, ...], **fields: str) -> dict[str, Any]:
    return {
        "if": {"properties": {"status": {"enum": list(status)}}},
        "then": {"properties": {name: {"type": kind} for name, kind in fields.items()}},
    }


SCHEMA: Final[Mapping[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$comment": "Written by `python -m worker.cli.docs docs` from worker/core/result_schema.py.",
    "title": "Result of a job, version 1",
    **_BODY,
    "properties": {
        **_BODY["properties"],
        "output_ref": _said(
            _TEXT, "In replies only: where the whole result lies that is too large for a message."
        ),
    },
    "allOf": [
        _when(("ok", "blocked"), stop="object", degraded="null", error="null"),
        _when(("degraded",), stop="null", degraded="object", error="null"),
        _when(("failed", "expired"), output="null", stop="null", degraded="null", error="object"),
    ],
}
