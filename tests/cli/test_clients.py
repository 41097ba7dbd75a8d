"""A command for whom the SDK can make no client says why, in the words of `doctor`."""

import pytest
from typer.testing import CliRunner

from worker.cli.app import app

SETTINGS = {
    "WORKER_QUEUE__URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs",
    "WORKER_MODEL__ID": "some.model-v1",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
COMMANDS = ("status", "breaker show", "breaker history", "dead list", "workers", "why a-job", "ui")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_endpoint_that_is_no_url_is_explained(command: str) -> None:
    nonsense = {"AWS_ENDPOINT_URL_DYNAMODB": "nonsense"}

    told = CliRunner().invoke(app, command.split(), env=SETTINGS | nonsense)

    assert told.exit_code == 2, told.exception
    assert told.stderr.startswith("AWS cannot be asked: ValueError.\n")
    assert "An endpoint that is named is no URL:" in told.stderr


def test_a_worker_does_not_start_with_an_endpoint_that_is_no_url() -> None:
    nonsense = {"AWS_ENDPOINT_URL_SQS": "https//me:secret-words@nowhere"}

    told = CliRunner().invoke(app, ["run"], env=SETTINGS | nonsense)

    assert told.exit_code == 1, told.exception
    assert told.stderr.startswith("worker cannot start: the endpoint of sqs is no URL")
    assert "secret-words" not in told.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_region_that_is_not_named_is_asked_for(command: str) -> None:
    nowhere = {"AWS_DEFAULT_REGION": None, "AWS_REGION": None, "AWS_CONFIG_FILE": "/dev/null"}

    told = CliRunner().invoke(app, command.split(), env=SETTINGS | nowhere)

    assert told.exit_code == 2, told.exception
    assert told.stderr.startswith("AWS cannot be asked: NoRegionError.\n")
    assert "Set AWS_DEFAULT_REGION." in told.stderr
