"""The story: two workers, hundreds of jobs, an outage, one murder and one farewell."""

import asyncio
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import aiohttp
from botocore.exceptions import BotoCoreError
from rich.console import Console
from rich.markup import escape

from worker.cli.demo import report
from worker.cli.demo.children import Children, Trouble, clean, living_in
from worker.cli.demo.facts import Facts
from worker.cli.demo.mix import JOBS_MIN, orders
from worker.cli.demo.plans import queues
from worker.cli.demo.promises import judge
from worker.cli.demo.screen import WIDTH_MAX, Screen
from worker.cli.demo.story import Story
from worker.cli.demo.watch import Place, Watch
from worker.cli.local import NAME
from worker.settings.knobs import sibling

JOBS: Final = 300
END_S: Final = 150.0  # three times what it takes: nobody waits longer
INTERRUPTED: Final = 130  # as a shell tells Ctrl-C
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(jobs: int = JOBS) -> int:
    """Play the whole story, and prove the promises.

    Args:
        jobs: How many, at least 60.

    Returns:
        0 if every promise was kept, 1 if one was broken or the demo could not
        be played, 2 for too few jobs, 130 after Ctrl-C.
    """
    console = _console()
    if jobs < JOBS_MIN:
        console.print(f"the demo needs at least {JOBS_MIN} jobs, or they end before the kill")
        return 2
    folder = Path(mkdtemp(prefix="inference-worker-demo-"))
    keep = True  # until we know that nobody needs them
    try:
        facts = asyncio.run(_play(jobs, folder, console))
        promises = judge(facts)
        report.tell(console, facts, promises)
        keep = not all(promise.kept for promise in promises)
    except asyncio.CancelledError:
        keep = False
        console.print("\nStopped. Every process that the demo had started is gone.")
        return INTERRUPTED
    except (Trouble, TimeoutError) as trouble:
        why = str(trouble) or f"It was not over after {END_S:g} s: is this machine very busy?"
        console.print(f"\nThe demo could not be played. {escape(why)}", style="red")
    finally:
        if keep:
            console.print(f"\nThe logs of all processes are in {folder}", soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if keep else 0


def _console() -> Console:
    # A terminal that cannot show a tick gets a question mark, and no traceback.
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="replace")
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH_MAX)
    return console


async def _play(jobs: int, folder: Path, console: Console) -> Facts:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine that runs has a task"
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    report.open_curtain(console, jobs)
    async with asyncio.timeout(END_S), Children(folder, clean(os.environ)) as children:
        with Screen(console) as screen:
            await children.start_stack()
            with living_in(children.environment):
                async with Watch.open(_place(children.environment)) as watch:
                    canary = f"canary-{secrets.token_hex(8)}"
                    story = Story(children, watch, screen, orders(jobs, canary), canary)
                    try:
                        return await story.tell()
                    except (BotoCoreError, aiohttp.ClientError) as error:
                        children.check()  # its last words say more
                        msg = f"The local stack does not answer: {type(error).__name__}."
                        raise Trouble(msg) from None


def _place(environment: dict[str, str]) -> Place:
    jobs_url = environment["WORKER_QUEUE__URL"]
    return Place(
        url=environment["AWS_ENDPOINT_URL_SQS"],
        table=f"{NAME}-jobs",
        breakers=f"{NAME}-breakers",
        queues=queues(jobs_url),
        dead_url=sibling(jobs_url, "dead"),
    )
