"""`submit` and `wait`: the producers' client at the shell."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from worker.cli.check import loaded
from worker.client import Client, InvalidJob, PayloadMissing, Result, SubmitFailed, Unavailable
from worker.settings import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where jobs go, and where their results lie."""

    queue_url: str
    table: str
    bucket: str | None = None


def place(
    config: Path | None,
    route: str | None,
    *,
    queue_url: str | None,
    table: str | None,
    bucket: str | None,
) -> Place | str:
    """Where to go by the options, or else by the settings; or what is wrong.

    With a queue and a table named, a producer needs no settings.
    """
    if queue_url and table:
        return Place(queue_url=queue_url, table=table, bucket=bucket)
    try:
        settings = loaded(config).settings
    except SettingsError as error:
        return f"{error}\n\n\nOr name the place yourself: --queue-url and --table."
    name = route or "default"
    lanes = settings.all_lanes()
    lane = next((lane for lane in lanes if name in lane.routes), lanes[0] if not route else None)
    if lane is None:
        known = ", ".join(settings.route_names())
        return f"no such route: {name}. Jobs would be dead-lettered. Known routes: {known}"
    return Place(
        queue_url=queue_url or lane.url,
        table=table or settings.ledger_table,
        bucket=bucket or settings.payloads.bucket,
    )


def job_of(
    prompt: str | None, file: Path | None, fields: Mapping[str, Any]
) -> dict[str, Any] | str:
    """The envelope to send, or what is wrong with the arguments."""
    if (prompt is None) == (file is None):
        return "give a prompt, - for stdin, or --file: one of them"
    if file is None and prompt != "-":
        return {"prompt": prompt, **fields}
    name = "stdin" if file is None else str(file)
    try:
        text = sys.stdin.buffer.read() if file is None else file.read_bytes()
        if not name.endswith(".json"):
            return {"prompt": text.decode(), **fields}
        job = orjson.loads(text)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    except ValueError:
        return f"{name} is not valid {'JSON' if name.endswith('.json') else 'UTF-8'}"
    if not isinstance(job, dict):
        return f"{name} must hold one JSON object"
    return {**job, **fields}


def submit(to: Place, job: Mapping[str, Any], *, wait_s: float | None, as_json: bool) -> int:
    """Send one job; print its id, or its result if it is to be waited for."""

    async def act(client: Client) -> int:
        job_id = await client.submit(job)
        if wait_s is None:
            print(orjson.dumps({"job_id": job_id}).decode() if as_json else job_id)
            return 0
        print(f"submitted {job_id}", file=sys.stderr)
        return tell(await client.wait(job_id, timeout_s=wait_s), as_json=as_json)

    return asyncio.run(_with_client(to, act))


def wait(to: Place, job_ids: Sequence[str], *, timeout_s: float, as_json: bool) -> int:
    """Print results as they come in."""

    async def act(client: Client) -> int:
        worst = 0
        async for result in client.as_completed(job_ids, timeout_s=timeout_s):
            worst = max(worst, tell(result, as_json=as_json))
        return worst

    return asyncio.run(_with_client(to, act))


def tell(result: Result, *, as_json: bool) -> int:
    """Print one result: 0 if it is an answer, 1 if not."""
    if as_json:
        told = result.envelope or {
            "job_id": result.job_id,
            "status": result.status,
            "error": {"reason": result.reason},
        }
        print(orjson.dumps(told).decode(), flush=True)
    else:
        why = f" ({result.reason})" if result.reason else ""
        print(f"{result.job_id} {result.status}{why}", file=sys.stderr)
        if result.text is not None:
            print(result.text, flush=True)
    return 0 if result.answered else 1


async def _with_client(to: Place, act: Callable[[Client], Awaitable[int]]) -> int:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415  (the SDK takes its time)

    try:
        async with Client.open(queue_url=to.queue_url, table=to.table, bucket=to.bucket) as client:
            return await act(client)
    except InvalidJob as error:
        print(f"no worker would take this job: {error}", file=sys.stderr)
        return 2
    except ValueError as error:  # of the arguments: an empty id, a negative time
        print(error, file=sys.stderr)
        return 2
    except BotoCoreError as error:
        print(f"AWS cannot be asked: {type(error).__name__}", file=sys.stderr)
    except (SubmitFailed, TimeoutError, Unavailable, PayloadMissing) as error:
        print(error, file=sys.stderr)
    return 1
