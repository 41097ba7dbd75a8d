"""Port `Payloads` on S3: objects named by their own hash."""

import base64
import hashlib
from typing import Any, Final

from botocore.exceptions import ClientError

from worker.aws.trouble import asking, code_of
from worker.core.job import PayloadRef
from worker.ports import PayloadMissing

PREFIX: Final = "payloads/"
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


class S3Payloads:
    """What is put goes to `bucket`; what is got may lie in any that we may read."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def get(self, bucket: str, key: str, *, bytes_max: int) -> bytes:
        with asking("payloads"):
            try:
                answer = await self._client.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if code_of(error) in _MISSING:
                    raise PayloadMissing from None
                raise
            return await _read(answer["Body"], bytes_max + 1)

    async def put(self, content: bytes) -> PayloadRef:
        digest = hashlib.sha256(content)
        sha256 = digest.hexdigest()
        key = PREFIX + sha256
        with asking("payloads"):
            await self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=content,
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),  # S3 checks it
            )
        return PayloadRef(bucket=self._bucket, key=key, sha256=sha256, size_bytes=len(content))


async def _read(body: Any, most: int) -> bytes:
    """Up to `most` bytes; one read may bring fewer than it was asked for."""
    content = bytearray()
    try:
        while len(content) < most and (chunk := await body.read(most - len(content))):
            content += chunk
    finally:
        body.close()  # unread bytes go with the connection
    return bytes(content)
