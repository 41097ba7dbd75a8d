"""Second-best answers: rules, a cache, a summary, and handlers of your own.

A plug-in needs no more than what is named here:

    async def answer(job: Job, context: Context) -> DegradedAnswer | None: ...
"""

from worker.core.degrade import Context
from worker.core.job import Job, Request
from worker.core.settlement import DegradedAnswer, Origin

__all__ = ["Context", "DegradedAnswer", "Job", "Origin", "Request"]
