"""What is wrong with tables that are there. Pure: descriptions in, findings out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from worker.aws.dead_letters import DEAD_INDEX_KEYS, dead_index, index_command
from worker.cli.doctor.finding import Finding, red, yellow


@dataclass(frozen=True, slots=True, kw_only=True)
class TableKind:
    """What a table of ours must be, and what to say where it is not.

    Attributes:
        rights: What workers do with it.
        index: The one that people's commands ask.
        precious: Whether what it holds cannot be had again.
        alone: Whether it must have no replica.
    """

    keys: tuple[tuple[str, str], ...]
    setting: str
    causes: str
    keeps: str
    rights: tuple[str, ...]
    index: Mapping[str, Any] | None = None
    precious: bool = True
    alone: bool = False

    @property
    def named(self) -> str:
        """Its key, for a sentence."""
        return " and ".join(f"`{name}`" for name, _ in self.keys)

    @property
    def definitions(self) -> str:
        """For `--attribute-definitions`."""
        kinds = dict.fromkeys((name for name, _ in self.keys), "S")
        kinds |= DEAD_INDEX_KEYS if self.index else {}
        return " ".join(f"AttributeName={name},AttributeType={k}" for name, k in kinds.items())

    @property
    def schema(self) -> str:
        """For `--key-schema`."""
        return " ".join(f"AttributeName={name},KeyType={kind}" for name, kind in self.keys)

    def made(self, name: str) -> str:
        """The command that makes it."""
        index = orjson.dumps([self.index]).decode()
        indexes = f" --global-secondary-indexes '{index}'" if self.index else ""
        return (
            f"aws dynamodb create-table --table-name {name} "
            f"--attribute-definitions {self.definitions} --key-schema {self.schema} "
            f"--billing-mode PAY_PER_REQUEST{indexes}"
        )


LEDGER: Final = TableKind(
    keys=(("job", "HASH"),),
    setting="WORKER_LEDGER__TABLE",
    causes="No job could be claimed.",
    keeps="finished jobs",
    rights=("BatchGetItem", "UpdateItem", "PutItem"),
    index=dead_index(),
)
BREAKERS: Final = TableKind(
    keys=(("pk", "HASH"), ("sk", "RANGE")),
    setting="WORKER_BREAKER__TABLE",
    causes="Each process would decide alone when to stop calling a model.",
    keeps="the history of circuits",
    rights=("Query", "PutItem"),
    alone=True,
)
CACHE: Final = TableKind(
    keys=(("key", "HASH"),),
    setting="WORKER_CACHE__TABLE",
    causes="Nothing could be answered from the cache.",
    keeps="cached answers",
    rights=("GetItem", "PutItem"),
    precious=False,
)


def table_findings(
    name: str,
    table: Mapping[str, Any],
    kind: TableKind,
    *,
    ttl: Mapping[str, Any] | None,
    backups: Mapping[str, Any] | None,
) -> Iterator[Finding]:
    """What is wrong with a table that is there.

    Args:
        name: Its name or ARN, as the settings have it.
        table: Its description.
        kind: What it must be.
        ttl: Its `TimeToLiveDescription`, None if that could not be read.
        backups: Its `PointInTimeRecoveryDescription`, likewise.
    """
    of = f"table {name}"
    types = {row["AttributeName"]: row["AttributeType"] for row in table["AttributeDefinitions"]}
    keys = {(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]}
    if keys != set(kind.keys) or any(types.get(key) != "S" for key, _ in kind.keys):
        yield red(
            of,
            f"the table {name} has another key than {kind.named} (string).",
            kind.causes,
            f"The key of a table cannot be changed. Make another, and name it in {kind.setting}:",
            kind.made(f"{name.rpartition('/')[2]}-2"),
        )
        return
    if (state := table.get("TableStatus", "ACTIVE")) not in ("ACTIVE", "UPDATING"):
        yield red(of, f"the table {name} is {state}.", kind.causes, "Wait until it is ACTIVE.")
    if kind.alone and table.get("Replicas"):
        yield red(
            of,
            f"the table {name} is a global table.",
            "Last writer wins there, which breaks the fences of what the fleet agrees on.",
            f"Use a table of one Region, and name it in {kind.setting}:",
            kind.made(f"{name.rpartition('/')[2]}-2"),
        )
    on = ttl is not None and ttl.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    if ttl is not None and not (on and ttl.get("AttributeName") == "ttl"):
        other = ttl.get("AttributeName", "ttl") if on else "ttl"
        yield yellow(
            of,
            f"the table {name} keeps {kind.keeps} for ever: TTL on `ttl` is off.",
            "It would grow without end.",
            ""
            if other == "ttl"
            else f"It is on for `{other}`. Off with that first; an hour later "
            "DynamoDB takes another, so ask again then:",
            f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification "
            f"Enabled={'true' if other == 'ttl' else 'false'},AttributeName={other}",
        )
    if kind.index is not None:
        yield from _index(of, name, table, str(kind.index["IndexName"]))
    yield from _kept(of, name, table, kind, backups)


def _index(of: str, name: str, table: Mapping[str, Any], wanted: str) -> Iterator[Finding]:
    states = {
        index["IndexName"]: index.get("IndexStatus", "ACTIVE")
        for index in table.get("GlobalSecondaryIndexes", ())
    }
    if wanted not in states:
        yield yellow(
            of,
            f"the table {name} has no index `{wanted}`.",
            "Workers do without; `inference-worker dead` could not list dead letters.",
            run=index_command(name),
        )
    elif states[wanted] != "ACTIVE":
        yield yellow(
            of,
            f"the index `{wanted}` of the table {name} is {states[wanted]}.",
            "Until it is ACTIVE, `inference-worker dead` cannot list dead letters.",
            "Wait.",
        )


def _kept(
    of: str,
    name: str,
    table: Mapping[str, Any],
    kind: TableKind,
    backups: Mapping[str, Any] | None,
) -> Iterator[Finding]:
    """That it stays, and takes what comes."""
    update = f"aws dynamodb update-table --table-name {name}"
    recovers = backups is None or backups.get("PointInTimeRecoveryStatus") == "ENABLED"
    if kind.precious and not recovers:
        yield yellow(
            of,
            f"the table {name} has no point-in-time recovery.",
            "What is deleted or overwritten by mistake is gone.",
            run=f"aws dynamodb update-continuous-backups --table-name {name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
        )
    if kind.precious and not table.get("DeletionProtectionEnabled"):
        yield yellow(
            of,
            f"the table {name} can be deleted by one command.",
            f"Gone with it: {kind.keeps}.",
            run=f"{update} --deletion-protection-enabled",
        )
    mode = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    if mode != "PAY_PER_REQUEST":
        yield yellow(
            of,
            f"the table {name} has provisioned capacity.",
            "Beyond it DynamoDB throttles, and jobs wait for the table instead of the model.",
            run=f"{update} --billing-mode PAY_PER_REQUEST",
        )
