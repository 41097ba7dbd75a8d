"""Degraded handler `summary`: a cheaper target gives a short answer.

One call, with a cap on its tokens and an instruction to be brief, to a target that no
route names: the circuits of the routes neither see it nor stand before it, and the
handler's own breaker does. It keeps the pace of its quota bucket (`runtime/degrader.py`
asks), and a throttle slows that. A cut answer serves, for it says that it is short; one that
is blocked, or asks for a tool, does not.
"""

from dataclasses import replace
from typing import Final

from worker.core.answer import Answer
from worker.core.cache import WHOLE
from worker.core.degrade import Context, ModelFaultError
from worker.core.fault import Fault, Kind
from worker.core.job import Job, Request
from worker.core.settlement import DegradedAnswer, Spent
from worker.core.target import Target
from worker.ports import Model

BRIEF: Final = "Answer as briefly as you can, in a few plain sentences."
SERVES: Final = WHOLE | {"max_tokens"}
# Faults that say nothing against the target: it has no answer for this job, or not now.
OWN: Final = frozenset({Kind.REJECTED, Kind.TOO_LONG})


class Summary:
    """One `[degraded.<name>]` of kind `summary`.

    Args:
        model: Bedrock Runtime.
        target: Whom to ask; its `max_tokens` is the cap.
    """

    def __init__(self, model: Model, target: Target) -> None:
        self._model = model
        self._target = target

    async def answer(self, job: Job, context: Context) -> DegradedAnswer | None:
        """A short answer; see the port."""
        del job
        outcome = await self._model.call(
            self._target,
            shortened(context.request, self._target.max_tokens),
            job=context.job,
            attempt=1,
            bound_s=context.left_s,
        )
        if isinstance(outcome, Fault):
            if outcome.kind in OWN:
                return None
            raise ModelFaultError(outcome)
        return self._taken(outcome)

    def _taken(self, answer: Answer) -> DegradedAnswer:
        serves = answer.stop_reason in SERVES
        return DegradedAnswer(
            content=answer.content if serves else (),  # what it cost counts all the same
            quality=self._target.quality,
            spent=Spent(usage=answer.usage, target=self._target),
        )


def shortened(request: Request, max_tokens: int) -> Request:
    """The same question, with a wish for brevity and a cap on the tokens.

    >>> hello = Request(messages=({"role": "user", "content": [{"text": "Hello."}]},))
    >>> dict(shortened(hello, 200).inference)
    {'maxTokens': 200}
    """
    asked = request.inference.get("maxTokens")
    most = min(asked, max_tokens) if isinstance(asked, int) and asked > 0 else max_tokens
    return replace(
        request,
        system=(*request.system, {"text": BRIEF}),
        inference={**request.inference, "maxTokens": most},
    )
