"""Whether a free slot may receive: one pure decision, asked before every receive."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """A free slot may receive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing may be received for `for_s` seconds, because of `why`."""

    for_s: float
    why: str


def intake(holds: Mapping[str, float], now: float) -> Take | Hold:
    """Whether a free slot may receive.

    Args:
        holds: Why nothing may be received, and until when (seconds, as `now`).
        now: Seconds on the process's monotonic clock.

    >>> intake({"ledger": 12.0, "local": 15.0}, now=10.0)
    Hold(for_s=5.0, why='local')
    >>> intake({"ledger": 12.0}, now=12.0)
    Take()
    """
    why = max(holds, key=lambda name: holds[name], default=None)
    if why is None or holds[why] <= now:
        return Take()
    return Hold(for_s=holds[why] - now, why=why)
