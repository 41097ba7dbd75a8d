"""Twin of the cache of answers."""

from dataclasses import dataclass, field

from worker.core.cache import CachedAnswer
from worker.sim.wire import Wire


@dataclass(slots=True, eq=False)
class MemoryCache:
    """Entries by key. As DynamoDB may, it keeps what is past its time."""

    entries: dict[str, CachedAnswer] = field(default_factory=dict)

    def seen_by(self, wire: Wire | None = None) -> "CacheHandle":
        """The cache as one worker sees it."""
        return CacheHandle(self, wire or Wire())


class CacheHandle:
    """Port `AnswerCache`: `MemoryCache` as one worker sees it."""

    def __init__(self, cache: MemoryCache, wire: Wire) -> None:
        self._cache = cache
        self._wire = wire

    async def get(self, key: str, tenant: str) -> CachedAnswer | None:
        async def do() -> CachedAnswer | None:
            entry = self._cache.entries.get(key)
            return entry if entry is not None and entry.tenant == tenant else None

        return await self._wire.call("cache", "get", do)

    async def put(self, key: str, entry: CachedAnswer, *, fresh_s: float, keep_s: float) -> bool:
        del keep_s

        async def do() -> bool:
            there = self._cache.entries.get(key)
            fresh = there is not None and there.at >= entry.at - fresh_s
            if there is not None and fresh and there.quality > entry.quality:
                return False
            self._cache.entries[key] = entry
            return True

        return await self._wire.call("cache", "put", do)
