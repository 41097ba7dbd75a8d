"""What goes wrong on this side of the wire, and what a call leaves behind: nothing."""

import asyncio
import socket
from typing import Any

import aiobotocore
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import PartialCredentialsError

from tests.aws.bedrock_stage import HOSTILE, SECRET, Stage, client_for, request, stage, target
from worker.aws.bedrock import Bedrock, bedrock_config
from worker.aws.bedrock_config import keepalive_socket
from worker.core.answer import Answer
from worker.core.fault import Billed, Fault, Kind
from worker.core.job import Request
from worker.core.target import Api
from worker.local.outcomes import Answer as Well
from worker.local.outcomes import Drip, EndEarly, Fail, Hang, Outcome, StreamFault

STREAM = Api.CONVERSE_STREAM


async def _called(url: str, **options: Any) -> Answer | Fault:
    async with client_for(url, **options) as client:
        bedrock = Bedrock({"": client})
        return await bedrock.call(target(), request(), job="j", attempt=1, bound_s=5)


def _seen(found: Answer | Fault) -> tuple[Kind, str, Billed]:
    assert isinstance(found, Fault), found
    return found.kind, found.code, found.billed


def _closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.fixture
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def test_a_refused_connection_is_unreachable_and_costs_nothing() -> None:
    fault = asyncio.run(_called(f"http://127.0.0.1:{_closed_port()}"))

    assert _seen(fault) == (Kind.UNREACHABLE, "EndpointConnectionError", Billed.NO)


def test_a_host_without_an_address_is_unreachable() -> None:
    fault = asyncio.run(_called("http://no-such-host.invalid"))

    assert _seen(fault) == (Kind.UNREACHABLE, "EndpointConnectionError", Billed.NO)


def test_a_server_that_speaks_no_tls_is_unreachable() -> None:
    async def main() -> tuple[Answer | Fault, int]:
        async with stage() as on:
            url = on.client.meta.endpoint_url.replace("http:", "https:")
            return await _called(url), on.stand_in.stats.total

    fault, requests = asyncio.run(main())

    assert _seen(fault) == (Kind.UNREACHABLE, "SSLError", Billed.NO)
    assert requests == 0


def test_a_dead_proxy_is_our_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{_closed_port()}")
    monkeypatch.setenv("no_proxy", "")

    fault = asyncio.run(_called("http://bedrock.invalid"))

    assert _seen(fault) == (Kind.LOCAL, "ProxyConnectionError", Billed.NO)


@pytest.mark.usefixtures("_no_credentials")
def test_without_credentials_nothing_is_sent_and_nobody_else_is_to_blame() -> None:
    async def main() -> tuple[Answer | Fault, int]:
        async with stage(aws_access_key_id=None, aws_secret_access_key=None) as on:
            return await on.call(), on.stand_in.stats.total

    fault, requests = asyncio.run(main())

    assert _seen(fault) == (Kind.LOCAL, "NoCredentialsError", Billed.NO)
    assert requests == 0


@pytest.mark.skipif(
    aiobotocore.__version__ < "3", reason="an older client opens a new session after its close"
)
@pytest.mark.parametrize("api", [Api.CONVERSE, Api.CONVERSE_STREAM, Api.INVOKE])
def test_a_closed_client_is_our_own_trouble(api: Api) -> None:
    async def main() -> Answer | Fault:
        async with stage() as on:
            await on.client.close()
            return await on.call(api)

    fault = asyncio.run(main())

    assert _seen(fault) == (Kind.LOCAL, "HTTPClientError", Billed.NO)


def test_a_closed_session_is_our_own_trouble() -> None:
    async def main() -> Answer | Fault:
        async with stage() as on:
            await on.call()
            (session,) = on.client._endpoint.http_session._sessions.values()
            await session.close()
            return await on.call()

    assert _seen(asyncio.run(main())) == (Kind.LOCAL, "HTTPClientError", Billed.NO)


@pytest.mark.parametrize(
    "wrong",
    [
        request(inference={"temperature": SECRET}),
        request(inference={"maxTokens": "16"}),
        request(inference={"maxTokens": 0}),
        request(inference={SECRET: 1}),
        request(messages=({"role": "user", "content": [{SECRET: SECRET}]},)),
        request(system=({"text": {"x": SECRET}},)),
        request(tools={"tools": []}),
        request(
            messages=(
                {"role": "user", "content": [{"image": {"source": {"bytes": f"!{SECRET}"}}}]},
            )
        ),
    ],
)
def test_a_request_of_the_wrong_shape_is_rejected_before_it_is_sent(wrong: Request) -> None:
    async def main() -> tuple[Answer | Fault, int]:
        async with stage() as on:
            found = await on.bedrock.call(target(), wrong, job="j", attempt=1, bound_s=5)
            return found, on.stand_in.stats.total

    fault, requests = asyncio.run(main())

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.billed, requests) == (Kind.REJECTED, Billed.NO, 0)
    assert SECRET not in repr(fault)


def test_a_region_without_a_client_and_a_native_call_without_a_body_send_nothing() -> None:
    async def main() -> tuple[Answer | Fault, Answer | Fault, int]:
        async with stage() as on:
            native = target(Api.INVOKE)
            return (
                await on.call(region="eu-west-1"),
                await on.bedrock.call(native, request(), job="j", attempt=1, bound_s=5),
                on.stand_in.stats.total,
            )

    elsewhere, bodiless, requests = asyncio.run(main())

    assert _seen(elsewhere) == (Kind.MISCONFIGURED, "no_client", Billed.NO)
    assert _seen(bodiless) == (Kind.REJECTED, "no_body", Billed.NO)
    assert requests == 0


@pytest.mark.parametrize("api", [Api.CONVERSE, Api.CONVERSE_STREAM, Api.INVOKE])
@pytest.mark.parametrize("hang", [Hang(), Hang(0)], ids=["before", "inside"])
def test_a_cancelled_call_is_cancelled_and_leaves_no_connection(api: Api, hang: Hang) -> None:
    """Six on a pool of two: a slot that was not given back would block the seventh."""

    async def main() -> tuple[Answer | Fault, int]:
        async with stage(pool=2) as on:
            on.script(*[hang] * 6)
            for n in range(6):
                call = asyncio.create_task(on.call(api))
                await _arrived(on, n + 1)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            return await on.call(api, bound_s=2), on.stand_in.stats.total

    answer, requests = asyncio.run(main())

    assert isinstance(answer, Answer), answer
    assert requests == 7


async def _arrived(on: Stage, calls: int) -> None:
    while on.stand_in.stats.total < calls:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.01)  # until the headers are through, where there are any


@pytest.mark.parametrize(
    ("api", "outcome"),
    [
        (STREAM, Hang(2)),
        (STREAM, StreamFault("throttlingException")),
        (STREAM, StreamFault("unheardOfException")),
        (STREAM, EndEarly(1)),
        (STREAM, Drip(chunk_bytes=1, gap_s=0.3)),
        (Api.CONVERSE, Drip(chunk_bytes=1, gap_s=0.3)),
        (Api.INVOKE, Drip(chunk_bytes=1, gap_s=0.3)),
        (Api.INVOKE, Hang(0)),
    ],
    ids=str,
)
def test_a_call_that_failed_leaves_no_connection(api: Api, outcome: Outcome) -> None:
    async def main() -> list[Answer | Fault]:
        async with stage(pool=2) as on:
            on.script(*[outcome] * 5)
            found = [await on.call(api, bound_s=0.15, stall_s=0.1) for _ in range(5)]
            return [*found, await on.call(api, bound_s=2)]

    *faults, last = asyncio.run(main())

    assert all(isinstance(fault, Fault) for fault in faults)
    assert isinstance(last, Answer), last


def test_a_body_that_drips_is_bounded_by_the_attempt_and_not_by_the_socket() -> None:
    async def main() -> Answer | Fault:
        async with stage(read_s=0.2) as on:
            on.script(Drip(chunk_bytes=1, gap_s=0.05))
            return await on.call(bound_s=0.3)

    fault = asyncio.run(main())

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.timer) == (Kind.TIMED_OUT, "attempt")


def test_a_timer_around_the_call_is_not_mistaken_for_ours() -> None:
    async def main() -> Answer | Fault:
        async with stage(pool=1) as on:
            on.script(Hang(), Hang(2), Well())
            for api in (Api.CONVERSE, STREAM):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await on.call(api)
            return await on.call()

    assert isinstance(asyncio.run(main()), Answer)


def test_a_cancellation_at_the_very_end_of_the_attempt_still_cancels() -> None:
    async def main() -> None:
        async with stage() as on:

            async def converse(**_: Any) -> None:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(5)  # our timer fires at the same turn of the loop

            on.client.converse = converse
            await on.call(bound_s=0)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


@pytest.mark.parametrize("raised", [MemoryError, KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_not_a_fault(raised: type[BaseException]) -> None:
    async def main() -> None:
        async with stage() as on:

            async def converse(**_: Any) -> None:
                raise raised

            on.client.converse = converse
            await on.call()

    with pytest.raises(raised):
        asyncio.run(main())


def test_what_nobody_foresaw_is_unknown_and_told_by_its_class() -> None:
    async def main() -> Answer | Fault:
        async with stage() as on:

            async def converse(**_: Any) -> None:
                raise ZeroDivisionError(SECRET)

            on.client.converse = converse
            return await on.call()

    fault = asyncio.run(main())

    assert _seen(fault) == (Kind.UNKNOWN, "ZeroDivisionError", Billed.MAYBE)
    assert SECRET not in repr(fault)


def test_the_environment_does_bring_back_retries_where_nobody_forbids_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control of `test_bedrock_wire`: without our configuration it would fail."""
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")

    async def main() -> int:
        async with stage() as on:
            on.script(*[Fail("InternalServerException")] * 2)
            url = on.client.meta.endpoint_url
            async with AioSession().create_client(
                "bedrock-runtime",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="a",
                aws_secret_access_key="b",
                config=AioConfig(),
            ) as client:
                with pytest.raises(client.exceptions.InternalServerException):
                    await client.converse(modelId="m", messages=list(request().messages))
            return on.stand_in.stats.total

    assert asyncio.run(main()) == 2


def test_a_client_is_set_up_for_one_request_and_for_all_slots() -> None:
    config = bedrock_config(48, 130.0)

    assert config.retries == {"mode": "standard", "total_max_attempts": 1}
    assert (config.max_pool_connections, config.connect_timeout) == (48, 3.0)
    assert config.read_timeout == 130.0
    assert config.parameter_validation
    assert "inference-worker" in config.user_agent


def test_a_socket_finds_out_that_the_other_end_is_gone() -> None:
    (found, *_) = socket.getaddrinfo("127.0.0.1", 443, type=socket.SOCK_STREAM)

    with keepalive_socket(found) as made:
        alive = made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        probes = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)

    assert (alive, probes) == (1, 3)


def test_half_a_pair_of_credentials_is_our_own_trouble() -> None:
    async def main() -> Answer | Fault:
        async with stage() as on:

            async def converse(**_: Any) -> None:
                raise PartialCredentialsError(provider="env", cred_var="secret")

            on.client.converse = converse
            return await on.call()

    assert _seen(asyncio.run(main())) == (Kind.LOCAL, "PartialCredentialsError", Billed.NO)
