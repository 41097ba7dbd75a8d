"""`inference-worker ui`: the page, on an address of this host, until Ctrl-C.

It runs where its user sits, with their rights: workers do without it. Exit codes: 0 it was
ended, 2 it could not be started.
"""

import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Final

from worker.cli.breaker import desk_of, user
from worker.cli.check import loaded, shown_settings
from worker.cli.clients import Unopened, clients
from worker.cli.dead_place import PATIENT, dead_desk_of
from worker.cli.doctor.asking import unasked
from worker.cli.in_time import left, run
from worker.cli.status import HURRIED, sources_of
from worker.settings import Loaded, SettingsError

HOST: Final = "127.0.0.1"
STOP_S: Final = 3  # at the end, for answers under way: not for a request that never comes whole
MISSING: Final = (
    "the page needs {name}, which is not installed here:\n\n    pip install 'inference-worker[ui]'"
)


def ui(config: Path | None, *, port: int, look_only: bool) -> int:
    """Serve the page until Ctrl-C; `port` 0 for any."""
    try:
        ours = loaded(config)
    except SettingsError as error:
        return _wrong(str(error))
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        return _wrong(
            f"port {port} cannot be used: {error.strerror or error}. Leave --port out to take any."
        )
    try:
        with listening:
            run(_serve(ours, listening, look_only=look_only))
    except KeyboardInterrupt:
        return left(0)  # how it is ended
    except ModuleNotFoundError as error:
        return left(_wrong(MISSING.format(name=error.name)))
    except Unopened as error:
        return left(_wrong(str(error)))
    except TimeoutError as error:  # credentials that do not come
        return left(_wrong(str(unasked(error))))
    return left(0)


async def _serve(ours: Loaded, listening: socket.socket, *, look_only: bool) -> None:
    import uvicorn  # noqa: PLC0415  (an extra: only who serves the page has it)

    from worker.page import Backing, Door, page  # noqa: PLC0415

    port = listening.getsockname()[1]
    settings, services = ours.settings, ("sqs", "dynamodb", "s3")
    async with clients(HURRIED, *services) as quick, clients(PATIENT, *services) as patient:
        backing = Backing(
            service=settings.service,
            sources=sources_of(ours, quick["dynamodb"], quick["sqs"]),
            letters=dead_desk_of(ours, **quick),
            circuit=desk_of(ours, patient["dynamodb"]) if settings.breaker.shared else None,
            dead=dead_desk_of(ours, **patient),
            ledger_table=settings.ledger_table,
            breakers_table=settings.breakers_table,
            settings=shown_settings(ours),
            warnings=[str(problem) for problem in settings.warnings],
            author=user(),
        )
        token = None if look_only else secrets.token_urlsafe(32)
        app = page(backing, Door(token, time.monotonic), port=port)
        # Addresses name jobs: nothing is logged of them.
        how = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=STOP_S,
            ws="none",
        )
        _tell(port, token)
        await uvicorn.Server(how).serve(sockets=[listening])


def _tell(port: int, token: str | None) -> None:
    print(f"The page is at http://{HOST}:{port}/, for this host alone. Ctrl-C ends it.")
    if token is None:
        shows = "It only shows, to everybody with an account on this host"
        print(f"{shows}: there is no token, and nothing can be changed.", flush=True)
    else:
        print(f"It asks for this token, which is told only here:\n\n    {token}", flush=True)


def _wrong(message: str) -> int:
    print(message, file=sys.stderr)
    return 2
