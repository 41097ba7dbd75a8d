"""The health port: what it answers, and what it does not let anybody do to it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import orjson
import pytest

from worker.runtime import health as port_of
from worker.runtime.health import CONNECTIONS_MAX, PortUnusableError, answer, health_port
from worker.runtime.pulse import Health

WELL = Health(live=True, ready=True, in_flight=2)
DRAINS = Health(live=True, ready=False, why="it drains", in_flight=1)
STUCK = Health(live=False, ready=False, why="1 of 2 pollers have not turned for 80 s")
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def status(told: bytes) -> int:
    return int(told.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("health", "live", "ready"), [(WELL, 200, 200), (DRAINS, 200, 503), (STUCK, 503, 503)]
)
def test_livez_and_readyz_say_yes_or_why_not(health: Health, live: int, ready: int) -> None:
    told = [answer(b"GET /%s HTTP/1.1\r\n\r\n" % path, health) for path in (b"livez", b"readyz")]

    assert [status(one) for one in told] == [live, ready]
    for one in told:
        body = orjson.loads(one.partition(b"\r\n\r\n")[2])
        assert body["why"] == health.why
        assert body["in_flight"] == health.in_flight


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"GET /readyz?verbose HTTP/1.0\r\n\r\n", 200),
        (b"POST /livez HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /livez/.. HTTP/1.1\r\n\r\n", 404),
        (b"GET /livez\r\n\r\n", 400),
        (b"GET  /livez HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01 hello tls\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (None, 431),
    ],
)
def test_other_requests_get_an_answer_of_their_own(head: bytes | None, says: int) -> None:
    assert status(answer(head, WELL)) == says


def test_head_gets_the_length_and_no_body() -> None:
    told = answer(b"HEAD /livez HTTP/1.1\r\n\r\n", WELL)

    assert status(told) == 200
    assert told.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" not in told


# --- over a real socket ---------------------------------------------------------


def at_the_port(act: Callable[[int], Awaitable[None]], health: Health = WELL) -> None:
    async def main() -> None:
        async with health_port("127.0.0.1", 0, lambda: health) as port:
            await act(port)

    asyncio.run(main())


async def asked(port: int, request: bytes = LIVEZ) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def test_the_port_answers_and_hangs_up() -> None:
    async def act(port: int) -> None:
        assert status(await asked(port)) == 200

    at_the_port(act)


def test_a_head_that_is_too_large_is_refused_and_the_port_lives_on() -> None:
    async def act(port: int) -> None:
        with suppress(ConnectionResetError):  # what we sent was not all read
            told = await asked(port, b"GET /livez HTTP/1.1\r\nX: " + b"x" * 1_000_000)
            assert status(told) == 431
        assert status(await asked(port)) == 200

    at_the_port(act)


def test_slow_clients_are_hung_up_on_and_keep_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_of, "PATIENCE_S", 0.2)

    async def act(port: int) -> None:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
        for _, writer in slow:
            writer.write(b"GET /livez HTTP/1.1\r\n")  # and never the end of it
        for reader, writer in slow:
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert status(await asked(port)) == 200

    at_the_port(act)


def test_of_too_many_connections_the_oldest_are_closed_and_who_asks_gets_through() -> None:
    async def act(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
        await asyncio.sleep(0.05)
        assert status(await asked(port)) == 200
        with suppress(ConnectionResetError):
            assert await held[0][0].read() == b""
        held[-1][1].write(LIVEZ)
        assert status(await held[-1][0].read()) == 200
        for _, writer in held:
            writer.close()

    at_the_port(act)


def test_the_port_closes_while_somebody_is_connected() -> None:
    async def main() -> bytes:
        async with health_port("127.0.0.1", 0, lambda: WELL) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET ")
            await asyncio.sleep(0.05)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    assert asyncio.run(main()) == b""


def test_a_port_that_is_taken_is_told_by_its_name() -> None:
    async def main(port: int) -> None:
        async with health_port("127.0.0.1", port, lambda: WELL):
            pytest.fail("it was taken")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnusableError, match=f"127.0.0.1:{port} cannot be bound"):
            asyncio.run(main(port))
