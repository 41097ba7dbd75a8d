"""What every payload store promises."""

import hashlib

import pytest

from tests.contract.stage import STAGES, on_payloads
from worker.ports import PayloadMissing, Payloads

pytestmark = pytest.mark.parametrize("stage", STAGES)


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_what_is_put_can_be_got_under_its_hash(stage: str, size: int) -> None:
    async def main(payloads: Payloads, bucket: str) -> None:
        content = b"x" * size

        ref = await payloads.put(content)

        sha256 = hashlib.sha256(content).hexdigest()
        assert (ref.bucket, ref.key) == (bucket, f"payloads/{sha256}")
        assert (ref.sha256, ref.size_bytes) == (sha256, size)
        assert await payloads.get(ref.bucket, ref.key, bytes_max=size) == content

    on_payloads(stage, main)


def test_putting_twice_is_once(stage: str) -> None:
    async def main(payloads: Payloads, _: str) -> None:
        assert await payloads.put(b"the same") == await payloads.put(b"the same")

    on_payloads(stage, main)


def test_no_more_is_read_than_one_byte_too_many(stage: str) -> None:
    async def main(payloads: Payloads, _: str) -> None:
        ref = await payloads.put(b"y" * 3_000_000)

        content = await payloads.get(ref.bucket, ref.key, bytes_max=1_000_000)

        assert content == b"y" * 1_000_001
        for _n in range(12):  # nothing is left open: the pool holds 10
            await payloads.get(ref.bucket, ref.key, bytes_max=10)

    on_payloads(stage, main)


def test_what_is_not_there_is_missing(stage: str) -> None:
    async def main(payloads: Payloads, bucket: str) -> None:
        with pytest.raises(PayloadMissing):
            await payloads.get(bucket, "payloads/none", bytes_max=10)
        with pytest.raises(PayloadMissing):
            await payloads.get("no-such-bucket", "payloads/none", bytes_max=10)

    on_payloads(stage, main)
