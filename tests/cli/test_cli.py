import json
import signal
import subprocess
import sys
import types
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from worker.cli import jobs
from worker.cli.app import app
from worker.cli.jobs import Place, job_of, tell
from worker.client import InvalidJob, Result
from worker.core.strict_json import Malformed

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
DEAD = URL.replace("-jobs", "-dead")
runner = CliRunner()


@pytest.fixture(autouse=True)
def smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("WORKER_QUEUE__URL", URL)
    monkeypatch.setenv("WORKER_MODEL__ID", "some.model-v1:0")


# --- check -----------------------------------------------------------------------


def test_check_says_yes() -> None:
    answer = runner.invoke(app, ["check"])

    assert answer.exit_code == 0
    assert answer.stdout == "the settings are complete.\n"


def test_check_says_no_with_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_SLOT", "3")
    monkeypatch.setenv("WORKER_GRACE_S", "10")

    answer = runner.invoke(app, ["check"])

    assert answer.exit_code == 1
    assert "Did you mean `WORKER_SLOTS`?" in answer.stdout
    assert "a long poll can outlast the grace." in answer.stdout
    assert "Traceback" not in answer.output


@pytest.mark.parametrize(("command", "exit_code"), [("check", 1), ("run", 2)])
def test_a_plan_that_is_no_safety_net_keeps_the_worker_from_starting(
    tmp_path: Path, command: str, exit_code: int
) -> None:
    (tmp_path / "my.toml").write_text(
        "targets.b.id = 'us.model'\n"
        "routes.default.targets = ['default', 'b']\n"
        "routes.default.allow_geo = ['eu']\n"
    )

    answer = runner.invoke(app, [command, "--config", "my.toml"])

    assert answer.exit_code == exit_code
    assert "target `b` may process jobs outside" in answer.output
    assert "Traceback" not in answer.output


def test_check_warns_and_says_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_QUEUE__LEASE_S", "5")

    answer = runner.invoke(app, ["check"])

    assert answer.exit_code == 0
    assert "warning: the lease is very short." in answer.stdout


def test_check_shows_what_is_in_force_and_why(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("slots = 4\n[targets.b]\nid = 'b'\n")

    answer = runner.invoke(app, ["check", "--show", "--config", "my.toml"])

    lines = {line.split()[0]: line.split()[1:] for line in answer.stdout.splitlines() if line}
    assert lines["WORKER_SLOTS"] == ["4", "my.toml"]
    assert lines["WORKER_GRACE_S"] == ["100.0", "default"]
    assert lines["WORKER_QUEUE__URL"] == [f'"{URL}"', "WORKER_QUEUE__URL"]
    assert lines["WORKER_QUEUE__DEAD_URL"] == [f'"{DEAD}"', "derived"]
    assert lines["WORKER_LEDGER__TABLE"] == ['"inference-worker-jobs"', "derived"]
    assert lines["WORKER_TARGETS__B__ID"] == ['"b"', "my.toml"]


def test_check_tells_of_degraded_handlers_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(
        "[degraded.faq]\nkind = 'rules'\nfile = 'no.toml'\n"
        "[routes.default]\ntargets = ['default']\ndegraded = ['faq']\n"
    )

    answer = runner.invoke(app, ["check", "--config", "my.toml"])

    assert answer.exit_code == 1
    assert "the degraded handler `faq` cannot be made: no.toml: No such file" in answer.stdout


def test_check_speaks_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_SLOT", "3")
    no = json.loads(runner.invoke(app, ["check", "--json"]).stdout)
    monkeypatch.delenv("WORKER_SLOT")
    yes = json.loads(runner.invoke(app, ["check", "--json"]).stdout)

    assert (no["ok"], no["problems"][0]["wrong"]) == (False, "`WORKER_SLOT` is not a setting.")
    assert yes["ok"]
    assert {"name": "WORKER_SLOTS", "value": 32, "from": "default"} in yes["settings"]


def test_check_live_without_a_cloud_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")

    answer = runner.invoke(app, ["check", "--live"])

    assert answer.exit_code == 1
    assert "Set AWS_DEFAULT_REGION." in answer.stdout


# --- run -------------------------------------------------------------------------


def test_run_does_not_start_with_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_SLOT", "3")

    answer = runner.invoke(app, ["run"])

    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("worker cannot start:")
    assert "Traceback" not in answer.stderr


def test_run_hands_the_settings_over_and_leaves_with_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def run(settings: Any) -> int:
        given.append(settings)
        return 7

    wiring = types.ModuleType("worker.wiring")
    monkeypatch.setattr(wiring, "run", run, raising=False)
    monkeypatch.setitem(sys.modules, "worker.wiring", wiring)
    monkeypatch.setenv("WORKER_QUEUE__LEASE_S", "5")

    answer = runner.invoke(app, ["run"])

    assert answer.exit_code == 7
    assert given[0].queue.url == URL
    assert "warning: the lease is very short" in answer.stderr


# --- submit and wait -------------------------------------------------------------


class Producer:
    """Stands in for the client; its own tests are in tests/client."""

    def __init__(self, results: Mapping[str, Result]) -> None:
        self.results = results
        self.sent: list[Mapping[str, Any]] = []
        self.place: dict[str, Any] = {}

    async def submit(self, job: Mapping[str, Any]) -> str:
        if job.get("route") == "refused":
            raise InvalidJob(Malformed("invalid_field", "route", "is refused"))
        self.sent.append(job)
        return str(job.get("id", "made-up"))

    async def wait(self, job_id: str, *, timeout_s: float) -> Result:
        if job_id not in self.results:
            msg = f"no result after {timeout_s:g} s"
            raise TimeoutError(msg)
        return self.results[job_id]

    async def as_completed(
        self, job_ids: Iterable[str], *, timeout_s: float
    ) -> AsyncGenerator[Result, None]:
        for job_id in job_ids:
            yield await self.wait(job_id, timeout_s=timeout_s)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    made = Producer(
        {
            "good": Result(job_id="good", status="ok", text="Because.", envelope={"v": 1}),
            "bad": Result(job_id="bad", status="failed", reason="rejected"),
        }
    )

    class Opens:
        @staticmethod
        @asynccontextmanager
        async def open(**place: Any) -> AsyncIterator[Producer]:
            made.place = place
            yield made

    monkeypatch.setattr(jobs, "Client", Opens)
    return made


def test_submit_prints_the_id_alone(producer: Producer) -> None:
    args = ["submit", "Why?", "--id", "j-1", "--deadline", "60", "--tenant", "acme"]
    answer = runner.invoke(app, args)

    assert (answer.exit_code, answer.stdout) == (0, "j-1\n")
    assert producer.sent == [{"prompt": "Why?", "id": "j-1", "deadline_s": 60.0, "tenant": "acme"}]
    assert producer.place == {"queue_url": URL, "table": "inference-worker-jobs", "bucket": None}


def test_submit_reads_stdin(producer: Producer) -> None:
    answer = runner.invoke(app, ["submit", "-"], input="Why is\nthe sky blue?")

    assert answer.exit_code == 0
    assert producer.sent == [{"prompt": "Why is\nthe sky blue?"}]


def test_submit_waits_and_prints_the_answer(producer: Producer) -> None:
    answer = runner.invoke(app, ["submit", "Why?", "--id", "good", "--wait", "5"])

    assert (answer.exit_code, answer.stdout) == (0, "Because.\n")
    assert len(producer.sent) == 1


def test_submit_says_no_when_there_is_no_answer(producer: Producer) -> None:
    bad = runner.invoke(app, ["submit", "Why?", "--id", "bad", "--wait", "5"])
    late = runner.invoke(app, ["submit", "Why?", "--id", "late", "--wait", "5"])

    assert (bad.exit_code, bad.stdout) == (1, "")
    assert "bad failed (rejected)" in bad.stderr
    assert (late.exit_code, late.stdout) == (1, "")
    assert "no result after 5 s" in late.stderr
    assert len(producer.sent) == 2


def test_submit_speaks_json(producer: Producer) -> None:
    sent = runner.invoke(app, ["submit", "Why?", "--id", "j-1", "--json"])
    waited = runner.invoke(app, ["submit", "Why?", "--id", "good", "--wait", "5", "--json"])

    assert json.loads(sent.stdout) == {"job_id": "j-1"}
    assert json.loads(waited.stdout) == {"v": 1}
    assert len(producer.sent) == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["submit"], "give a prompt"),
        (["submit", "Why?", "--file", "x.json"], "give a prompt"),
        (["submit", "--file", "gone.json"], "gone.json cannot be read"),
        (["submit", "Why?", "--route", "gone"], "no such route: gone"),
        (["submit", "Why?", "--no-such-option"], "No such option"),
        (["wait"], "Missing argument"),
    ],
)
def test_used_wrongly_is_two(producer: Producer, args: list[str], says: str) -> None:
    answer = runner.invoke(app, args)

    assert answer.exit_code == 2
    assert says in answer.stderr
    assert producer.sent == []


def test_a_job_that_no_worker_would_take_is_used_wrongly(producer: Producer) -> None:
    args = ["submit", "Why?", "--queue-url", URL, "--table", "t", "--route", "refused"]

    answer = runner.invoke(app, args)

    assert answer.exit_code == 2
    assert "no worker would take this job" in answer.stderr
    assert producer.sent == []


def test_a_producer_needs_no_settings(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKER_MODEL__ID")

    without = runner.invoke(app, ["submit", "Why?"])
    answer = runner.invoke(app, ["submit", "Why?", "--queue-url", URL, "--table", "t"])

    assert without.exit_code == 2
    assert "--queue-url and --table" in without.stderr
    assert answer.exit_code == 0
    assert producer.place == {"queue_url": URL, "table": "t", "bucket": None}


def test_a_file_holds_an_envelope_or_a_prompt(tmp_path: Path) -> None:
    envelope, prompt, broken = (tmp_path / name for name in ("a.json", "a.txt", "b.json"))
    envelope.write_text('{"prompt": "Why?", "tenant": "acme"}')
    prompt.write_text("Why?")
    broken.write_text("[")

    assert job_of(None, envelope, {"id": "j"}) == {"prompt": "Why?", "tenant": "acme", "id": "j"}
    assert job_of(None, prompt, {}) == {"prompt": "Why?"}
    assert job_of(None, broken, {}) == f"{broken} is not valid JSON"
    prompt.write_bytes(b"\xff")
    assert job_of(None, prompt, {}) == f"{prompt} is not valid UTF-8"
    broken.write_text("[]")
    assert job_of(None, broken, {}) == f"{broken} must hold one JSON object"


def test_a_job_goes_to_the_lane_of_its_route(
    producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKER_QUEUE__URL")
    other = URL.replace("chat", "batch")
    (tmp_path / "worker.toml").write_text(f"""
[routes.default]
targets = ["default"]
[routes.batch]
targets = ["default"]
[lanes.chat]
url = "{URL}"
routes = ["default"]
[lanes.batch]
url = "{other}"
routes = ["batch"]
""")

    answer = runner.invoke(app, ["submit", "Why?", "--route", "batch"])

    assert answer.exit_code == 0, answer.output
    assert producer.place["queue_url"] == other


def test_wait_prints_results_and_says_no_if_one_is_no_answer(producer: Producer) -> None:
    good = runner.invoke(app, ["wait", "good"])
    both = runner.invoke(app, ["wait", "good", "bad", "--json"])

    assert (good.exit_code, good.stdout) == (0, "Because.\n")
    assert both.exit_code == 1
    assert [json.loads(line) for line in both.stdout.splitlines()] == [
        {"v": 1},
        {"job_id": "bad", "status": "failed", "error": {"reason": "rejected"}},
    ]
    assert producer.sent == []


def test_a_blocked_answer_is_no(capsys: pytest.CaptureFixture[str]) -> None:
    blocked = Result(job_id="j", status="blocked", text="I cannot say.")

    assert tell(blocked, as_json=False) == 1
    assert capsys.readouterr().out == "I cannot say.\n"


def test_a_place_is_frozen() -> None:
    assert Place(queue_url=URL, table="t") == Place(queue_url=URL, table="t", bucket=None)


# --- the rest --------------------------------------------------------------------


def test_version_is_told() -> None:
    plain = runner.invoke(app, ["version"])
    told = json.loads(runner.invoke(app, ["version", "--json"]).stdout)

    assert plain.stdout.startswith("inference-worker ")
    assert {"inference-worker", "python", "aiobotocore", "botocore"} == set(told)


def test_help_loads_no_sdk() -> None:
    program = """
import sys
from typer.testing import CliRunner
from worker.cli.app import app
assert CliRunner().invoke(app, ["run", "--help"]).exit_code == 0
heavy = {"aiobotocore", "botocore", "pydantic_settings", "aiohttp", "structlog"} & set(sys.modules)
print(sorted(heavy))
"""

    ran = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr


def test_the_package_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "worker", "version"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0
    assert ran.stdout.startswith("inference-worker ")


def test_local_up_gives_what_a_shell_needs() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "local", "up"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as stack:
        assert stack.stdout is not None
        variables = dict[str, str]()
        while "WORKER_PAYLOADS__BUCKET" not in variables:
            line = stack.stdout.readline()
            assert line.startswith("export "), line
            name, _, value = line.removeprefix("export ").strip().partition("=")
            variables[name] = value
        answer = runner.invoke(app, ["check", "--live"], env=variables)
        nowhere = runner.invoke(
            app, ["check", "--live"], env={**variables, "WORKER_LEDGER__TABLE": "none"}
        )
        stack.send_signal(signal.SIGINT)
        code = stack.wait(timeout=20)

    assert answer.exit_code == 0, answer.output
    assert nowhere.exit_code == 1
    assert "    aws dynamodb create-table --table-name none" in nowhere.stdout
    assert code == 0
