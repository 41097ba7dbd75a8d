"""`inference-worker local up`: the embedded stack, and the variables that lead to it."""

import asyncio
import shlex
import signal
import sys

from aiobotocore.session import get_session

from worker.local.emulator import LocalStackUnavailableError
from worker.local.resources import Resources, create_resources
from worker.local.stack import LocalStack

NAME = "inference-worker"
MODEL = "local.model-v1"
ACCOUNT = "123456789012"


def up(port: int) -> int:
    """Serve until Ctrl-C; the variables go to stdout, fit for a shell."""
    try:
        asyncio.run(_up(port))
    except LocalStackUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"port {port} cannot be used: {error.strerror or error}. Is another stack running? "
            "Leave --port out to take any.",
            file=sys.stderr,
        )
        return 1
    return 0


def exports(stack: LocalStack, made: Resources) -> str:
    """The lines that point a shell, a worker and the AWS CLI at the stack."""
    variables = {
        **stack.environment(),
        "WORKER_QUEUE__URL": made.jobs_url,
        "WORKER_MODEL__ID": MODEL,
        "WORKER_PAYLOADS__BUCKET": made.bucket,
    }
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


async def _up(port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with LocalStack(port=port, account=ACCOUNT) as stack:
        print(exports(stack, await _made(stack)), flush=True)
        print(
            f"\nThe stack is up at {stack.url}; Ctrl-C stops it, and forgets everything.\n"
            "Paste the lines above into another terminal. Then:\n\n"
            "    inference-worker run\n"
            "    inference-worker submit 'Why is the sky blue?' --wait 30\n"
            "    aws --endpoint-url $AWS_ENDPOINT_URL_SQS sqs send-message "
            "--queue-url $WORKER_QUEUE__URL "
            """--message-body '{"prompt": "Why is the sky blue?"}'""",
            file=sys.stderr,
        )
        await stop.wait()


async def _made(stack: LocalStack) -> Resources:
    variables = stack.environment()
    session = get_session()
    session.set_credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    session.set_config_variable("region", variables["AWS_REGION"])
    return await create_resources(session, NAME, endpoint_url=stack.url)
