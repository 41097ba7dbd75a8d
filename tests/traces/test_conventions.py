"""The table of names against the library's: what is not stable changes in one place."""

from dataclasses import fields

from opentelemetry.semconv._incubating.attributes import (
    aws_attributes,
    cloud_attributes,
    gen_ai_attributes,
    messaging_attributes,
)
from opentelemetry.semconv.attributes import error_attributes, http_attributes
from opentelemetry.semconv.schemas import Schemas

from worker.core.events import AttemptMade, CallRefused, HandlerAsked, JobSettled
from worker.traces import conventions as names

MODULES = (
    aws_attributes,
    cloud_attributes,
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    messaging_attributes,
)
KNOWN = {
    value
    for module in MODULES
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}
TABLES = {
    JobSettled: {**names.RUN, **names.USAGE},
    AttemptMade: names.ATTEMPT,
    HandlerAsked: names.HANDLER,
    CallRefused: names.REFUSAL,
}
ALWAYS = {**names.RUN_ALWAYS, **names.MODEL_ALWAYS}


def test_every_name_is_the_conventions_or_ours() -> None:
    used = {name for table in TABLES.values() for name in table.values()} | set(ALWAYS)
    used |= {names.MODEL, names.REGION, names.FIRST_CHUNK_S, names.ERROR_TYPE}

    foreign = {name for name in used if not name.startswith("inference_worker.")}
    assert foreign <= KNOWN, f"not in semantic conventions {names.SEMCONV}: {foreign - KNOWN}"


def test_the_pinned_version_is_the_one_that_is_installed() -> None:
    assert list(Schemas)[-1].value == names.SCHEMA_URL


def test_every_attribute_is_made_of_a_field_that_there_is() -> None:
    for event, table in TABLES.items():
        assert set(table) <= {field.name for field in fields(event)}, event


def test_the_values_are_the_conventions_too() -> None:
    assert (
        ALWAYS["gen_ai.provider.name"]
        == gen_ai_attributes.GenAiProviderNameValues.AWS_BEDROCK.value
    )
    assert ALWAYS["gen_ai.operation.name"] == gen_ai_attributes.GenAiOperationNameValues.CHAT.value
    assert ALWAYS["messaging.system"] == messaging_attributes.MessagingSystemValues.AWS_SQS.value
    operation = messaging_attributes.MessagingOperationTypeValues.PROCESS.value
    assert ALWAYS["messaging.operation.type"] == operation
