"""`inference-worker health`: what it asks, what it says, and what it does without."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.app import app
from worker.cli.health import main, place
from worker.settings import load

NEEDED = {"WORKER_QUEUE__URL": "https://sqs.eu-west-1.amazonaws.com/1/a-jobs"} | {
    "WORKER_MODEL__ID": "some.model-v1:0"
}
# A container's health check has 100 ms for all of it: what these take is not there.
HEAVY = ("typer", "rich", "pydantic", "orjson", "botocore", "aiohttp", "asyncio", "structlog")
HEAVY_OF_PYTHON = ("http.client", "email", "ssl", "json", "argparse", "urllib.request")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WORKER_")]:
        monkeypatch.delenv(name)


@contextmanager
def answering(told: bytes) -> Iterator[int]:
    """A port that says `told` to the first who asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(told)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(b"200 OK", 0), (b"503 No", 1), (b"404 No", 1)])
def test_the_exit_code_is_the_answer(
    status: bytes, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(b"HTTP/1.1 %s\r\nConnection: close\r\n\r\nit drains\n" % status) as port:
        monkeypatch.setenv("WORKER_HEALTH__PORT", str(port))

        ended = main([])

    assert ended == code
    assert capsys.readouterr().out == "it drains\n"


def test_a_port_that_nobody_serves_is_no_life(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as bound:  # and not listening: nobody else gets it
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WORKER_HEALTH__PORT", str(bound.getsockname()[1]))

        ended = main(["--ready"])

    assert ended == 1
    assert "cannot be asked: Connection refused" in capsys.readouterr().err


def test_without_a_port_it_says_how_to_set_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "set WORKER_HEALTH__PORT" in capsys.readouterr().err


def test_an_unknown_argument_is_used_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--read"]) == 2
    assert "health knows no '--read'" in capsys.readouterr().err


def test_its_help_says_what_the_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "1 if it is not or does not answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variables", "toml"),
    [
        ({"WORKER_HEALTH__PORT": "9001"}, ""),
        ({"worker_health__port": "9001"}, ""),
        ({}, "health.port = 9002"),
        ({}, '[health]\nport = 9002\nhost = "::1"'),
        ({"WORKER_HEALTH__PORT": "9001"}, 'health.port = 9002\nhealth.host = "127.0.0.2"'),
        ({"WORKER_HEALTH__PORT": "", "WORKER_CONFIG": "other.toml"}, "health.port = 9003"),
    ],
)
def test_it_asks_where_the_worker_with_these_settings_listens(
    variables: dict[str, str], toml: str
) -> None:
    Path(variables.get("WORKER_CONFIG", "worker.toml")).write_text(toml)

    settings = load(NEEDED | variables).health

    assert place(variables) == (settings.host, settings.port)


def test_a_worker_that_listens_everywhere_is_asked_on_loopback() -> None:
    everywhere = "0.0.0.0"  # noqa: S104  (asked, not bound)
    variables = {"WORKER_HEALTH__HOST": everywhere, "WORKER_HEALTH__PORT": "9001"}

    assert place(variables) == ("127.0.0.1", 9001)


def test_a_file_that_cannot_be_read_is_the_workers_business() -> None:
    Path("worker.toml").write_text("no [toml")

    assert "no health port" in str(place({}))


def test_the_list_of_commands_names_it() -> None:
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})

    assert "Ask the worker on this host how it is" in told.stdout
    assert CliRunner().invoke(app, ["health"]).exit_code == 2


def test_it_imports_nothing_heavy() -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "worker", "health"],
        capture_output=True,
        text=True,
        check=False,
    )

    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert "worker.cli.health" in imported
    assert not imported & {*HEAVY, *HEAVY_OF_PYTHON}
