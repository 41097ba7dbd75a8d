"""`inference-worker health`: asks the worker of this container how it is.

A container's health check runs it every few seconds beside the worker, on the worker's
own share of a CPU. So it imports next to nothing: no Typer, no settings, no SDK. It reads
two settings itself, from where the worker reads them.
"""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PATIENCE_S: Final = 2.0
ANSWER_BYTES: Final = 4096
_USAGE: Final = """\
usage: inference-worker health [--ready]

Asks the worker on this host how it is, at its health.port: exit 0 if it is live (with
--ready: if it takes jobs), 1 if it is not or does not answer within 2 s, 2 if it has no port.
"""
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (asked, not bound)


def main(arguments: list[str]) -> int:
    """The whole command, from its arguments to its exit code."""
    if "--help" in arguments:
        print(_USAGE, end="")
        return 0
    if unknown := [argument for argument in arguments if argument != "--ready"]:
        print(f"health knows no {unknown[0]!r}.\n\n{_USAGE}", end="", file=sys.stderr)
        return 2
    where = place(os.environ)
    if isinstance(where, str):
        print(where, file=sys.stderr)
        return 2
    return asked(*where, "/readyz" if arguments else "/livez")


def place(environ: Mapping[str, str]) -> tuple[str, int] | str:
    """Host and port to ask; or what is wrong."""
    ours = {name.upper(): value for name, value in environ.items() if value}
    host, port = ours.get("WORKER_HEALTH__HOST"), ours.get("WORKER_HEALTH__PORT")
    if host is None or port is None:
        there = _in_file(Path(ours.get("WORKER_CONFIG", "worker.toml")))
        host, port = host or there.get("host", "127.0.0.1"), port or there.get("port")
    if port is None:
        return "the worker has no health port: set WORKER_HEALTH__PORT, for the worker too."
    try:
        return _ANYWHERE.get(host, host), int(port)
    except ValueError:
        return "WORKER_HEALTH__PORT must be a number."


def _in_file(file: Path) -> dict[str, Any]:
    """What the settings file says of it; a file that cannot be read says nothing here."""
    if not file.is_file():
        return {}
    import tomllib  # noqa: PLC0415  (5 ms that a container without a file need not pay)

    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get("health", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def asked(host: str, port: int, path: str) -> int:
    """Ask, print what was said, and return 0 for yes and 1 for anything else."""
    try:
        with socket.create_connection((host, port), PATIENCE_S) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            told = b""
            while len(told) < ANSWER_BYTES and (more := line.recv(ANSWER_BYTES)):
                told += more
    except OSError as error:
        why = "no answer within 2 s" if isinstance(error, TimeoutError) else error.strerror
        print(f"{host}:{port} cannot be asked: {why or type(error).__name__}", file=sys.stderr)
        return 1
    head, _, body = told.partition(b"\r\n\r\n")
    print(body.decode(errors="replace").strip())
    return 0 if head.startswith(b"HTTP/1.1 200 ") else 1
