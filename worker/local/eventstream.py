"""The framing of `application/vnd.amazon.eventstream`, encoder only.

    | total bytes u32 | header bytes u32 | CRC32 of these two |
    | headers | payload | CRC32 of all before |

A header is its name (one length byte, then the name), the type byte 7 for a
string, and its value (two length bytes, then the value). All numbers are big-endian.

Source: "Event stream encoding" in the Amazon Transcribe developer guide; what comes
out is read by botocore's own parser in tests/local.
"""

import struct
from functools import lru_cache
from zlib import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def event(name: str, payload: bytes) -> bytes:
    """One frame of an ordinary event, such as `contentBlockDelta`."""
    return _frame(_headers("event", name), payload)


def exception(name: str, payload: bytes) -> bytes:
    """One frame of an exception, such as `throttlingException`; it ends a stream."""
    return _frame(_headers("exception", name), payload)


@lru_cache(maxsize=256)
def _headers(message_type: str, name: str) -> bytes:
    pairs = (
        (f":{message_type}-type", name),
        (":content-type", "application/json"),
        (":message-type", message_type),
    )
    return b"".join(
        struct.pack("!B", len(key))
        + key.encode()
        + struct.pack("!BH", 7, len(value))
        + value.encode()
        for key, value in pairs
    )


def _frame(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return message + struct.pack("!I", crc32(message))
