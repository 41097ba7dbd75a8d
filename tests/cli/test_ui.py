"""`inference-worker ui`: a real process on a port of loopback, before the local stack."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from tests.cli.test_breaker import variables as variables  # noqa: PLC0414  (a fixture)
from tests.page.process import Ui
from worker.cli.app import app

SETTINGS = {
    "WORKER_QUEUE__URL": "https://sqs.eu-west-1.amazonaws.com/1/jobs",
    "WORKER_MODEL__ID": "m",
}


@contextmanager
def started(variables: dict[str, str], *options: str) -> Iterator[Ui]:
    environment = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **variables}
    process = subprocess.Popen(  # noqa: S603  (our own python)
        [sys.executable, "-m", "worker", "ui", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Ui(process)
    finally:
        process.kill()
        process.communicate()


def test_the_page_is_served_to_whoever_brings_the_token_until_ctrl_c(
    variables: dict[str, str],
) -> None:
    with started(variables | {"AWS_SECRET_ACCESS_KEY": "secret-words"}) as ui:
        strange = ui.ask("GET", "/")
        inside = ui.ask("POST", "/sign-in", token=ui.token, next="/")
        screens = {
            path: ui.ask("GET", path)
            for path in ("/", "/timeline", "/routes", "/queues", "/dead", "/workers")
        }
        configuration = ui.ask("GET", "/configuration")
        ui.process.send_signal(signal.SIGINT)
        rest, _ = ui.process.communicate(timeout=30)

        assert (strange[0], inside[0]) == (401, 303)
        assert {status for status, _ in screens.values()} == {200}, screens
        assert "All is well" in screens["/"][1]
        assert "WORKER_QUEUE__URL" in configuration[1]
        assert "secret-words" not in configuration[1]
        assert ui.process.returncode == 0
        assert rest.strip() == "", "nothing is logged of who asked for what"


def test_ctrl_c_does_not_wait_for_a_request_that_never_comes_whole(
    variables: dict[str, str],
) -> None:
    with (
        started(variables) as ui,
        socket.create_connection(("127.0.0.1", ui.port), timeout=20) as line,
    ):
        us = f"127.0.0.1:{ui.port}"
        head = f"POST /sign-in HTTP/1.1\r\nHost: {us}\r\nOrigin: http://{us}\r\n"
        line.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n".encode())
        line.sendall(b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 100"), "it waits for the rest"

        ui.process.send_signal(signal.SIGINT)
        ui.process.communicate(timeout=30)

        assert ui.process.returncode == 0


def test_an_order_goes_through_to_the_store(variables: dict[str, str]) -> None:
    with started(variables) as ui:
        ui.ask("POST", "/sign-in", token=ui.token, next="/")
        _, form = ui.ask("GET", "/breaker?name=default")
        csrf = re.search(r'name="csrf" value="([^"]+)"', form)
        assert csrf is not None, form
        order = {
            "csrf": csrf[1],
            "name": "default",
            "mode": "hold_open",
            "lasting": "30m",
            "author": "alice",
            "reason": "incident 42",
            "step": "order",
        }

        given = ui.ask("POST", "/breaker", **order)

    told = CliRunner().invoke(app, ["breaker", "show", "--why"], env=variables)
    assert given[0] == 303
    assert "hold_open for 30 min by alice: incident 42" in told.stdout


def test_a_page_that_only_shows_has_no_token(variables: dict[str, str]) -> None:
    with started(variables, "--look-only") as ui:
        assert ui.token == ""
        assert "to everybody with an account on this host" in ui.said
        assert "nothing can be changed" in ui.said
        assert ui.ask("GET", "/")[0] == 200
        assert ui.ask("POST", "/breaker", name="default")[0] == 403


def test_it_listens_on_loopback_alone(variables: dict[str, str]) -> None:
    with started(variables) as ui:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        others = {str(row[4][0]) for row in found if not str(row[4][0]).startswith("127.")}
        for address in others:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, ui.port), timeout=5).close()
        socket.create_connection(("127.0.0.1", ui.port), timeout=5).close()


def test_settings_that_are_wrong_are_explained() -> None:
    told = CliRunner().invoke(app, ["ui"], env={"WORKER_SLOTS": "none"})

    assert told.exit_code == 2
    assert "WORKER_SLOTS" in told.stderr


def test_a_port_that_is_taken_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        told = CliRunner().invoke(app, ["ui", "--port", port], env=SETTINGS)

    assert told.exit_code == 2
    assert f"port {port} cannot be used" in told.stderr
    assert "Leave --port out" in told.stderr


def test_without_a_region_it_says_so() -> None:
    env: dict[str, str | None] = {
        **SETTINGS,
        "AWS_DEFAULT_REGION": None,
        "AWS_REGION": None,
        "AWS_CONFIG_FILE": "/dev/null",
    }

    told = CliRunner().invoke(app, ["ui"], env=env)

    assert told.exit_code == 2
    assert "AWS cannot be asked: NoRegionError." in told.stderr


@pytest.mark.parametrize("name", ["uvicorn", "starlette", "jinja2"])
def test_what_is_not_installed_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in [one for one in sys.modules if one.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    for module in [one for one in sys.modules if one.startswith("worker.page")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)

    told = CliRunner().invoke(app, ["ui"], env=SETTINGS)

    assert told.exit_code == 2
    assert name in told.stderr
    assert "pip install 'inference-worker[ui]'" in told.stderr


def test_no_other_command_waits_for_the_page_to_be_imported() -> None:
    code = (
        "import sys, worker.cli.app, worker.cli.status, worker.cli.dead, worker.cli.check\n"
        "print([n for n in ('starlette', 'uvicorn', 'jinja2', 'worker.page') if n in sys.modules])"
    )

    told = subprocess.run(  # noqa: S603  (our own python)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "[]"
