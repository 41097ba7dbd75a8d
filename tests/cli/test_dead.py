"""`inference-worker dead`: what it prints, and with which code it leaves."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from typer.testing import CliRunner, Result

from worker.aws.dead_letters import index_command
from worker.cli.app import app

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
WHY = ["--reason", "incident 42", "--author", "alice"]
runner = CliRunner()

Ask = Callable[..., Result]


@pytest.fixture(autouse=True)
def smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("WORKER_QUEUE__URL", URL)
    monkeypatch.setenv("WORKER_MODEL__ID", "some.model-v1:0")


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    """What leads to an embedded stack."""
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "local", "up"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as stack:
        assert stack.stdout is not None
        found = dict[str, str]()
        while "WORKER_PAYLOADS__BUCKET" not in found:
            line = stack.stdout.readline()
            assert line.startswith("export "), line
            name, _, value = line.removeprefix("export ").strip().partition("=")
            found[name] = shlex.split(value)[0]
        yield found
        stack.terminate()


def client(variables: dict[str, str], service: str) -> Any:
    session = botocore.session.Session()
    session.set_credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    endpoint = variables[f"AWS_ENDPOINT_URL_{service.upper()}"]
    return session.create_client(
        service, region_name=variables["AWS_REGION"], endpoint_url=endpoint
    )


@pytest.fixture
def dead(variables: dict[str, str]) -> Ask:
    def ask(*arguments: str, **more: str) -> Result:
        return runner.invoke(app, ["dead", *arguments], env={**variables, **more})

    return ask


def die(variables: dict[str, str], dead: Ask, tenant: str, count: int = 3, **fields: Any) -> None:
    """Jobs of a tenant lie in the dead-letter queue, and are adopted."""
    sqs = client(variables, "sqs")
    url = variables["WORKER_QUEUE__URL"].removesuffix("-jobs") + "-dead"
    for n in range(count):
        job = {"id": f"{tenant}-{n}", "prompt": "Why?", "tenant": tenant, **fields}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(job))
    told = dead("import", *WHY, "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["adopted"] == {"foreign": count}


def waiting(variables: dict[str, str], tenant: str) -> list[dict[str, Any]]:
    """What a worker would get of a tenant's jobs; it is deleted."""
    sqs, url = client(variables, "sqs"), variables["WORKER_QUEUE__URL"]
    found = []
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            assert json.loads(message["Body"])["tenant"] == tenant
            found.append(message)
    return found


def test_letters_are_grouped_listed_and_shown(variables: dict[str, str], dead: Ask) -> None:
    die(variables, dead, "acme")

    groups = dead("groups", "--tenant", "acme")
    seen = dead("groups", "--tenant", "acme", "--json")
    listed = dead("list", "--tenant", "acme", "--most", "2")
    shown = dead("show", "acme-1")
    nobody = dead("list", "--tenant", "nobody")

    assert [r.exit_code for r in (groups, seen, listed, shown, nobody)] == [0] * 5
    assert "foreign" in groups.stdout
    assert "    says     no worker wrote this letter" in groups.stdout
    assert "    to do    look into the worker's log; redrive with --canary" in groups.stdout
    (group,) = json.loads(seen.stdout)["groups"]
    assert (group["count"], group["tenants"]) == (3, {"acme": 3})
    assert group["fingerprint"] in groups.stdout
    assert listed.stdout.count("acme-") == 2
    assert "and 1 more: --most shows so many" in listed.stdout
    assert shown.stdout.startswith("acme-1  dead, life 1\n    died ")
    assert nobody.stdout == "no dead letters fit.\n"
    assert not any("Why?" in r.stdout for r in (groups, seen, listed, shown))


def test_a_body_is_shown_on_demand_and_the_log_tells_who_has_read_it(
    variables: dict[str, str], dead: Ask
) -> None:
    die(variables, dead, "read")

    shown = dead("show", "read-0", "--body", *WHY)
    exported = dead("export", "--tenant", "read", "--body", "--author", "bob")
    plain = dead("export", "--tenant", "read")
    log = dead("log", "--since", "1h")

    assert [r.exit_code for r in (shown, exported, plain, log)] == [0] * 4
    assert '"prompt": "Why?"' in shown.stdout
    rows = [json.loads(line) for line in exported.stdout.splitlines()]
    assert {json.loads(row["body"])["id"] for row in rows} == {f"read-{n}" for n in range(3)}
    assert "Why?" not in plain.stdout
    assert len(plain.stdout.splitlines()) == 3
    lines = [" ".join(line.split()) for line in log.stdout.splitlines()]
    assert any(line.endswith("alice show read-0 its body incident 42") for line in lines)
    assert any("bob show - tenant read: 3 bodies exported -" in line for line in lines)


def test_letters_are_redriven_once_with_a_dry_run_before(
    variables: dict[str, str], dead: Ask
) -> None:
    die(variables, dead, "back")

    dry = dead("redrive", "--tenant", "back", *WHY, "--dry-run")
    sent = dead("redrive", "--tenant", "back", *WHY)
    again = dead("redrive", "--tenant", "back", *WHY)

    assert [r.exit_code for r in (dry, sent, again)] == [0, 0, 0]
    assert dry.stdout == "would send 3 of 3 letters; nothing was done.\n"
    assert sent.stdout == "3 of 3 letters were sent back.\n"
    assert again.stdout == "no dead letters fit; nothing was sent.\n"
    messages = waiting(variables, "back")
    assert len(messages) == 3
    assert {m["MessageAttributes"]["iw-redrive"]["StringValue"] for m in messages} == {"1"}


def test_an_open_circuit_keeps_letters_and_says_how_to_send_them_all_the_same(
    variables: dict[str, str], dead: Ask
) -> None:
    die(variables, dead, "shut", 1)
    hold = ["breaker", "hold-open", "default", "--for", "10m", *WHY]
    assert runner.invoke(app, hold, env=variables).exit_code == 0

    kept = dead("redrive", "shut-0", *WHY)
    dry = dead("redrive", "shut-0", *WHY, "--dry-run", "--json")
    alone = dead("redrive", "shut-0", *WHY, "--dry-run", WORKER_BREAKER__SHARED="false")
    forced = dead("redrive", "shut-0", *WHY, "--force")

    assert [r.exit_code for r in (kept, dry, alone, forced)] == [1, 1, 0, 0]
    assert "0 of 1 letters were sent back.\n    kept 1: route default: default is" in kept.stdout
    assert "--force" in kept.stdout
    assert json.loads(dry.stdout)["shut"] == {"default": "default is held open"}
    assert "cannot be known here" in alone.stderr
    assert forced.stdout == "1 of 1 letters were sent back.\n"
    assert len(waiting(variables, "shut")) == 1
    give_back = ["breaker", "auto", "default", "--author", "alice"]
    assert runner.invoke(app, give_back, env=variables).exit_code == 0


def test_a_job_is_edited_and_what_no_worker_would_take_is_refused(
    variables: dict[str, str], dead: Ask, tmp_path: Path
) -> None:
    die(variables, dead, "edit", 1)
    whole = tmp_path / "job.json"
    whole.write_text('{"id": "edit-0", "tenant": "edit", "prompt": "Why not?"}')

    wrong = dead("edit", "edit-0", "--set", "promt=x", *WHY)
    dry = dead("edit", "edit-0", "--set", "inference.maxTokens=512", *WHY, "--dry-run")
    done = dead("edit", "edit-0", "--body", str(whole), "--set", 'metadata={"n": 1}', *WHY)
    gone = dead("edit", "edit-0", "--unset", "metadata", *WHY)
    row = done.stdout.rpartition("row ")[2].strip(" .\n")
    original = dead("log", "--original", row, *WHY)

    assert [r.exit_code for r in (wrong, dry, done, gone, original)] == [1, 0, 0, 1, 0]
    assert json.loads(original.stdout) == {"id": "edit-0", "prompt": "Why?", "tenant": "edit"}
    assert "was not sent: no worker would take it: promt: no such field" in wrong.stderr
    assert dry.stdout == "would change inference, and send edit-0 back; nothing was done.\n"
    assert done.stdout.startswith("edit-0 was changed (prompt, metadata) and sent back. The orig")
    assert "its message is not in reach" in gone.stderr
    (message,) = waiting(variables, "edit")
    assert json.loads(message["Body"])["metadata"] == {"n": 1}


def test_letters_are_discarded(variables: dict[str, str], dead: Ask) -> None:
    die(variables, dead, "spam")

    dry = dead("discard", "--tenant", "spam", *WHY, "--dry-run")
    gone = dead("discard", "--tenant", "spam", *WHY)
    again = dead("discard", "--tenant", "spam", *WHY, "--json")
    shown = dead("show", "spam-0")

    assert [r.exit_code for r in (dry, gone, again, shown)] == [0, 0, 0, 0]
    assert dry.stdout == "would discard 3 letters; nothing was done.\n"
    assert gone.stdout == "3 of 3 letters were discarded.\n"
    assert json.loads(again.stdout)["meant"] == 0
    assert shown.stdout.startswith("spam-0  dead, life 1")


def test_an_import_says_what_it_found(variables: dict[str, str], dead: Ask) -> None:
    die(variables, dead, "known", 1)

    told = dead("import", *WHY)
    dry = dead("import", *WHY, "--dry-run")

    assert (told.exit_code, dry.exit_code) == (0, 0)
    assert "on the list already" in told.stdout
    assert told.stdout == dry.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nobody"], "the ledger has no job 'nobody'"),
        (["show", "nobody", "--body"], "the ledger has no job 'nobody'"),
        (["redrive", *WHY], "say which letters"),
        (["redrive", "--all", "--tenant", "acme", *WHY], "--all and a choice do not go together"),
        (["redrive", "--all"], "Missing option '--reason'"),
        (["redrive", "--all", *WHY, "--rate", "0"], "the rate is from 0.1 to 500"),
        (["redrive", "--all", *WHY, "--canary", "one"], "--canary takes the sizes"),
        (["redrive", "--all", *WHY, "--canary", "0,1"], "whole numbers above 0"),
        (["redrive", "--all", *WHY, "--stop-if", "1"], "from 0 to below 1"),
        (["redrive", "--tenant", "acme", "--reason", ""], "give the reason in 1 to 200"),
        (["discard", *WHY], "say which letters"),
        (["edit", "nobody", *WHY], "say what is to change"),
        (["edit", "nobody", "--set", "prompt", *WHY], "--set takes a path and its value"),
        (["edit", "nobody", "--body", "none.json", *WHY], "none.json cannot be read"),
        (["edit", "nobody", "--set", "prompt=x", *WHY], "unknown to the ledger"),
        (["list", "--since", "3"], "--since is a number and a unit"),
        (["log", "--original", "none"], "the log has no row 'none' that keeps a message"),
        (["log", "--since", "3w"], "--since is a number and a unit"),
    ],
)
def test_used_wrongly_is_two(
    variables: dict[str, str], dead: Ask, arguments: list[str], says: str
) -> None:
    if "--tenant" in arguments and "--all" not in arguments:
        die(variables, dead, "acme-unsigned", 1)
        arguments = [a.replace("acme", "acme-unsigned") for a in arguments]

    told = dead(*arguments)

    assert told.exit_code == 2, told.output
    assert says in told.stderr
    assert told.stdout == ""
    assert "Traceback" not in told.stderr


def test_services_that_cannot_be_asked_are_told_in_one_message(dead: Ask) -> None:
    nowhere = dead("list", AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:1")
    no_table = dead("groups", WORKER_LEDGER__TABLE="none")

    assert (nowhere.exit_code, no_table.exit_code) == (2, 2)
    assert "AWS_ENDPOINT_URL_DYNAMODB" in nowhere.stderr
    assert "There is no such table" in no_table.stderr
    assert "Traceback" not in nowhere.stderr + no_table.stderr


def test_a_table_without_the_index_is_told_with_the_command_that_makes_it(
    variables: dict[str, str],
) -> None:
    dynamodb, table = client(variables, "dynamodb"), "older-jobs"
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "job", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "job", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    older = {**variables, "WORKER_LEDGER__TABLE": table}

    listed = runner.invoke(app, ["dead", "list"], env=older)
    checked = runner.invoke(app, ["check", "--live"], env=older)
    words = shlex.split(index_command(table))
    dynamodb.update_table(
        TableName=words[words.index("--table-name") + 1],
        AttributeDefinitions=[
            dict(zip(("AttributeName", "AttributeType"), part, strict=True))
            for word in words
            if word.startswith("AttributeName=")
            for part in [[pair.partition("=")[2] for pair in word.split(",")]]
        ],
        GlobalSecondaryIndexUpdates=json.loads(words[-1]),
    )
    mended = runner.invoke(app, ["dead", "list"], env=older)

    assert (listed.exit_code, mended.exit_code) == (2, 0)
    assert f"the table {table} has no index `dead`" in listed.stderr
    assert index_command(table) in listed.stderr
    assert index_command(table) in checked.stdout
    assert checked.exit_code == 0, "a worker does without"


def test_wrong_settings_are_told() -> None:
    told = runner.invoke(app, ["dead", "list"], env={"WORKER_SLOT": "3"})

    assert told.exit_code == 2
    assert "Did you mean `WORKER_SLOTS`?" in told.stderr
