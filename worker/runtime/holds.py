"""Why nothing may be received at the moment, and until when.

While the ledger or our own credentials are out of reach, SQS keeps the jobs:
what is received then could only be given back.
"""

import asyncio
from typing import Final

from worker.core.events import IntakeHeld, StoreFailed
from worker.core.guards import LocalCauseGuard
from worker.core.intake import Hold, Take, intake
from worker.core.retry import backoff_s
from worker.ports import Tell, Unavailable

FIRST_S: Final = 1.0
LONGEST_S: Final = 30.0


class Holds:
    """Holds on the intake, each with a growing length while its cause lasts."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._until: dict[str, float] = {}
        self._in_a_row: dict[str, int] = {}
        self.local_cause = LocalCauseGuard()

    def hold(self, why: str) -> float:
        """Receive nothing for a while; returns for how long, in seconds."""
        now = asyncio.get_running_loop().time()
        if (until := self._until.get(why, 0.0)) > now:
            return until - now  # the same outage, seen by another job
        self._in_a_row[why] = self._in_a_row.get(why, 0) + 1
        # No dice here: every caller of one process waits alike.
        for_s = max(FIRST_S, backoff_s(self._in_a_row[why], 0.99, base_s=2.0, cap_s=LONGEST_S))
        self._until[why] = now + for_s
        self._tell(IntakeHeld(why=why, for_s=round(for_s, 3)))
        return for_s

    def out_of_reach(self, error: Unavailable, operation: str) -> None:
        """Tell that a service failed us, and ask whether the cause is our own network."""
        if error.network:
            self.local_cause.unreachable(error.store, asyncio.get_running_loop().time())
        self._tell(StoreFailed(store=error.store, operation=operation, why=error.why))

    def lift(self, why: str) -> None:
        """The cause is gone."""
        if self._in_a_row.pop(why, None) is not None:
            self._until.pop(why, None)

    def ask(self) -> Take | Hold:
        """Whether a free slot may receive now."""
        return intake(self._until, asyncio.get_running_loop().time())

    @property
    def anxious(self) -> bool:
        """Whether a cause may still be there: receive one message, not ten."""
        return bool(self._in_a_row)
