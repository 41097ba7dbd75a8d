"""Degraded handler `cache`: the answer that the same request of the same tenant got before.

It learns from what models give on its routes: good and whole answers only, for a
degraded one is never shown to it. A store that fails costs a job nothing but the look.
"""

from collections.abc import Callable

import orjson

from worker.core.answer import Answer
from worker.core.cache import (
    CachedAnswer,
    cache_key,
    can_be_cached,
    freshness,
    is_worth_keeping,
)
from worker.core.degrade import Context
from worker.core.events import CacheFilled, CacheRead, StoreFailed
from worker.core.job import Job, Request
from worker.core.settlement import DegradedAnswer, Origin
from worker.core.target import Target
from worker.ports import AnswerCache, Tell, Unavailable


class Cache:
    """One `[degraded.<name>]` of kind `cache`.

    Args:
        name: Its name.
        store: Where the answers lie.
        ttl_s: How long an answer is fresh, in seconds.
        stale_s: How much longer it serves while the circuit is open, in seconds.
        entry_bytes_max: Larger answers are not kept.
        at: The wall clock, seconds since 1970.
        tell: Hears of hits, fills and failures.
    """

    def __init__(
        self,
        name: str,
        store: AnswerCache,
        *,
        ttl_s: float,
        stale_s: float,
        entry_bytes_max: int,
        at: Callable[[], float],
        tell: Tell,
    ) -> None:
        self._name = name
        self._store = store
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._bytes_max = entry_bytes_max
        self._at = at
        self._tell = tell

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        """The entry of this very request, if it is young enough; see the port."""
        if not can_be_cached(job):
            return None
        try:
            entry = await self._store.get(cache_key(job.tenant, context.request), job.tenant)
        except Unavailable as error:
            self._failed(error, "get")
            raise  # the breaker is to hear of it
        found, age_s = "none", 0.0
        if entry is not None:
            age_s = max(0.0, self._at() - entry.at)
            found = freshness(
                age_s,
                ttl_s=self._ttl_s,
                stale_s=self._stale_s,
                circuit_open=context.circuit_open,
            )
        self._tell(
            CacheRead(handler=self._name, found=found, age_s=round(age_s, 3), canary=context.canary)
        )
        if entry is None or found == "too_old":
            return None
        return DegradedAnswer(
            content=entry.content,
            quality=entry.quality,
            origin=Origin(places=entry.places, stop_reason=entry.stop_reason),
        )

    async def learn(self, job: Job, request: Request, answer: Answer, target: Target) -> None:
        """Keep a good and whole answer; see the port."""
        if not is_worth_keeping(answer) or not can_be_cached(job):
            return
        if len(orjson.dumps(answer.content)) > self._bytes_max:
            self._tell(CacheFilled(handler=self._name, outcome="too_large"))
            return
        entry = CachedAnswer(
            tenant=job.tenant,
            content=answer.content,
            quality=target.quality,
            at=self._at(),
            places=target.places,
            stop_reason=answer.stop_reason,
        )
        try:
            written = await self._store.put(
                cache_key(job.tenant, request),
                entry,
                fresh_s=self._ttl_s,
                keep_s=self._ttl_s + self._stale_s,
            )
        except Unavailable as error:
            self._failed(error, "put")
            return
        outcome = "written" if written else "better_kept"
        self._tell(CacheFilled(handler=self._name, outcome=outcome))

    def _failed(self, error: Unavailable, operation: str) -> None:
        self._tell(StoreFailed(store=error.store, operation=operation, why=error.why))
