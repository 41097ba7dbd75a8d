"""The names that a configuration gives to metrics."""

from worker.core.measures import QUEUE, Names
from worker.runtime.names import names_of as names_in
from worker.settings import Settings


def names_of(settings: Settings) -> Names:
    """Every name that metrics may be told by."""
    stores = {
        "ledger": True,
        QUEUE: True,
        "breakers": settings.breaker.shared,
        "cache": settings.cache_table is not None,
        "payloads": settings.payloads.bucket is not None,
        "tasks": settings.task_tokens,
        "protection": settings.protection == "auto",
    }
    return names_in(
        settings.all_routes(),
        {spec.name: spec.target for spec in settings.all_handlers()},
        (name for name, there in stores.items() if there),
    )
