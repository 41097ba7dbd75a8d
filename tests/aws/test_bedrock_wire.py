"""The fault table on the wire: each row is provoked, and costs exactly one HTTP request."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.aws.bedrock_stage import HOSTILE, stage
from tests.aws.fault_row import Row
from tests.aws.fault_rows import ROWS
from worker.aws.faults import BY_CODE, BY_OTHER_CODE
from worker.core.fault import Fault
from worker.core.target import Api

PLAIN: Mapping[str, str] = {}
CASES = [(row, api, PLAIN) for row in ROWS for api in row.on]
CASES += [(row, row.on[0], HOSTILE) for row in ROWS]
NAMES = [f"{row.name}-{api}{'-hostile' if env else ''}" for row, api, env in CASES]


async def _provoked(row: Row, api: Api) -> tuple[Fault, int]:
    async with stage(read_s=row.read_s) as on:
        on.script(row.outcome)
        fault = await on.call(
            api, bound_s=row.bound_s, first_token_s=row.first_token_s, stall_s=row.stall_s
        )
        assert isinstance(fault, Fault), fault
        return fault, on.stand_in.stats.total


@pytest.mark.parametrize(("row", "api", "environment"), CASES, ids=NAMES)
def test_a_fault_is_known_for_what_it_is_after_one_request(
    row: Row, api: Api, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    fault, requests = asyncio.run(_provoked(row, api))

    assert requests == 1
    assert (fault.kind, fault.billed, fault.timer) == (row.kind, row.billed, row.timer)
    assert fault.retry_after_s == row.retry_after_s
    assert row.code in (None, fault.code)
    assert row.http in (None, fault.http)


def test_every_code_that_we_know_is_provoked() -> None:
    provoked = {row.code for row in ROWS}
    aliases = {"AccessDenied", "IncompleteSignatureException", "InternalServerError"}
    aliases |= {"RequestInTheFuture", "RequestLimitExceeded", "SlowDown", "Throttling"}
    aliases |= {"TooManyRequestsException"}

    missing = (set(BY_CODE) | set(BY_OTHER_CODE)) - provoked

    assert missing - {"ModelErrorException"} == aliases
