"""`inference-worker init`, and the example, which is the same text."""

import doctest
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from worker.cli import init
from worker.cli.app import app
from worker.settings import SettingsError, load
from worker.settings.fields import ANY, CONFIG, given, rows

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/chat-jobs"
MODEL = "some.model-v1:0"
BOTH = ["--queue-url", URL, "--model", MODEL]
runner = CliRunner()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (CONFIG, "WORKER_QUEUE__URL", "WORKER_MODEL__ID"):
        monkeypatch.delenv(name, raising=False)


def test_the_file_is_valid_as_it_is_made() -> None:
    made = runner.invoke(app, ["init", *BOTH, "--region", "eu-west-1"])
    checked = runner.invoke(app, ["check"])

    assert made.exit_code == 0, made.output
    assert made.stdout == "worker.toml is written. Next: inference-worker doctor\n"
    assert (checked.exit_code, checked.stdout) == (0, "the settings are complete.\n")
    ours = load({}, Path("worker.toml"))
    assert ours.queue.url == URL
    assert ours.all_targets()["default"].region == "eu-west-1"
    assert tomllib.loads(Path("worker.toml").read_text()) == {
        "queue": {"url": URL},
        "model": {"id": MODEL, "region": "eu-west-1"},
    }


def test_without_queue_and_model_it_says_what_is_left_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = runner.invoke(app, ["init", "etc/chat.toml"])
    before = runner.invoke(app, ["check", "--config", "etc/chat.toml"])
    monkeypatch.setenv("WORKER_QUEUE__URL", URL)
    monkeypatch.setenv("WORKER_MODEL__ID", MODEL)
    after = runner.invoke(app, ["check", "--config", "etc/chat.toml"])

    assert made.exit_code == 0, made.output
    assert "Set queue.url and model.id in it, then: inference-worker doctor" in made.stdout
    assert before.exit_code == 1
    assert "no queue is named." in before.stdout
    assert "no model is named." in before.stdout
    assert after.exit_code == 0


def test_the_next_command_finds_the_file() -> None:
    made = runner.invoke(app, ["init", "our etc/chat.toml", *BOTH])

    command = made.stdout.partition("Next: inference-worker ")[2]
    assert command == "doctor --config 'our etc/chat.toml'\n"
    _, *options = shlex.split(command)
    checked = runner.invoke(app, ["check", *options])
    assert (checked.exit_code, checked.stdout) == (0, "the settings are complete.\n")


def test_a_file_that_is_there_stays_as_it_is() -> None:
    Path("worker.toml").write_text("slots = 3\n")

    again = runner.invoke(app, ["init", *BOTH])

    assert again.exit_code == 2
    assert "worker.toml is there already, and stays as it is." in again.stderr
    assert Path("worker.toml").read_text() == "slots = 3\n"


def test_a_link_to_nowhere_is_not_written_through() -> None:
    Path("worker.toml").symlink_to("elsewhere.toml")

    told = runner.invoke(app, ["init", *BOTH])

    assert told.exit_code == 2
    assert "worker.toml cannot be written: File exists" in told.stderr
    assert not Path("elsewhere.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--queue-url", "chat-jobs", "--model", MODEL], "must be the URL of a queue"),
        (["--queue-url", URL, "--model", 'a b "c'], "must be a model id"),
    ],
)
def test_what_could_not_be_used_is_told_and_leaves_no_file(arguments: list[str], says: str) -> None:
    told = runner.invoke(app, ["init", *arguments])

    assert told.exit_code == 2
    assert says in told.stderr
    assert not Path("worker.toml").exists()


def test_a_place_that_takes_no_file_is_told() -> None:
    Path("file").write_text("")

    told = runner.invoke(app, ["init", "file/worker.toml", *BOTH])

    assert told.exit_code == 2
    assert "file/worker.toml cannot be written" in told.stderr
    assert "Traceback" not in told.output


# --- the text --------------------------------------------------------------------

SETTING = re.compile(r"^# (?=\[|[a-z_.]+ = )", re.MULTILINE)


def uncommented() -> dict[str, Any]:
    return tomllib.loads(SETTING.sub("", init.written(queue_url=URL, model=MODEL)))


def row_of(path: tuple[str, ...]) -> Any:
    """The setting at a path, whose names the user may choose."""
    for row in rows():
        if len(row.path) == len(path) and all(
            own in (ANY, part) for own, part in zip(row.path, path, strict=True)
        ):
            return row
    pytest.fail(f"{'.'.join(path)} is no setting")


def test_every_line_can_be_uncommented_and_names_a_setting() -> None:
    found = dict(given(uncommented()))

    assert len(found) >= 45
    assert all(row_of(path).doc for path in found)


def test_every_default_that_is_shown_is_the_real_one() -> None:
    text = init.written(queue_url=URL, model=MODEL)
    defaults = re.sub(rf"^.*{init.EXAMPLE}.*\n", "", text, flags=re.MULTILINE)
    tree = tomllib.loads(SETTING.sub("", defaults))
    tree["queue"].pop("url")
    tree["model"].pop("id")

    shown = dict(given(tree))

    assert len(shown) >= 18
    assert shown == {path: row_of(path).default for path in shown}


def test_an_example_says_what_is_so_without_it() -> None:
    text = init.written(queue_url=URL, model=MODEL)
    tree = dict(given(uncommented()))
    marked = re.findall(rf"^# (\S+) = (.*)  # {init.EXAMPLE}(.*)$", text, re.MULTILINE)

    assert len(marked) >= 20
    for name, value, says in marked:
        (path,) = [
            path for path in tree if ".".join(path).endswith(name) and _is(tree[path], value)
        ]
        row = row_of(path)
        assert row.default != tree[path], f"{name}: its example is its default"
        match says:
            case "required":
                assert row.required
            case "unset by default":
                assert row.default in (None, "", ())
            case _:
                told = tomllib.loads(f"x = {says.removeprefix('the default is ')}")["x"]
                assert told == row.default


def _is(value: Any, shown: str) -> bool:
    return bool(tomllib.loads(f"x = {shown}")["x"] == value)


def test_everything_that_is_shown_can_be_used_together(tmp_path: Path) -> None:
    head, lanes = SETTING.sub("", init.written(queue_url=URL, model=MODEL)).split("# Lanes:")
    (tmp_path / "head.toml").write_text(head)
    (tmp_path / "all.toml").write_text(head.replace("queue.url =", "#") + "# Lanes:" + lanes)

    load({}, tmp_path / "head.toml")
    ours = load({}, tmp_path / "all.toml")

    assert [lane.name for lane in ours.all_lanes()] == ["chat"]


def test_lanes_and_a_queue_are_told_to_be_two_ways(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SETTING.sub("", init.written(queue_url=URL, model=MODEL)))

    with pytest.raises(SettingsError, match="both a queue and lanes are named"):
        load({}, tmp_path / "x.toml")


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(init).failed == 0
