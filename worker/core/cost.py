"""What calls cost, by the prices in the settings; 0 where none is set.

What a call cost that brought nothing is told twice, for it is seldom known:

    sure_usd   the service told the tokens: of an answer that was judged away, say
    most_usd   and what calls may have cost of which nobody told the tokens: those that
               hung, or broke off. By guess, and rather too much than too little

So the truth lies between the two. Calls under way at a crash, a lost lease or a drain
are in neither.
"""

from dataclasses import dataclass
from typing import Final

import orjson

from worker.core.answer import Answer, Usage
from worker.core.fault import Billed, Fault
from worker.core.job import Request
from worker.core.target import Target

# Of the request as JSON. English has about 4, most else less; a picture has far more.
BYTES_PER_TOKEN: Final = 3


def cost_usd(usage: Usage, target: Target) -> float:
    """What the tokens cost at the target's prices, in USD.

    >>> cost_usd(Usage(input=1000, output=500),
    ...          Target(name="a", model="m", price_input=3.0, price_output=15.0))
    0.0105
    """
    return (usage.input * target.price_input + usage.output * target.price_output) / 1e6


@dataclass(frozen=True, slots=True)
class Waste:
    """What was paid for nothing, in USD: at least `sure_usd`, at most about `most_usd`."""

    sure_usd: float = 0.0
    most_usd: float = 0.0

    def __add__(self, other: "Waste") -> "Waste":
        return Waste(self.sure_usd + other.sure_usd, self.most_usd + other.most_usd)

    @classmethod
    def of_tokens(cls, usage: Usage, target: Target) -> "Waste":
        """Tokens that the service told, and that nobody has anything of."""
        usd = cost_usd(usage, target)
        return cls(usd, usd)

    @classmethod
    def of_call(cls, outcome: Answer | Fault, target: Target, request: Request | None) -> "Waste":
        """What a call wasted; nothing if it brought an answer, or was surely not billed."""
        if isinstance(outcome, Answer) or outcome.billed is Billed.NO:
            return NOTHING
        if outcome.spent is not None:
            return cls.of_tokens(outcome.spent, target)
        priced = target.price_input or target.price_output
        return cls(0.0, cost_usd(_most(request, target), target)) if priced and request else NOTHING


NOTHING: Final = Waste()


def _most(request: Request, target: Target) -> Usage:
    """The most tokens that a call has likely cost: the whole request, and a whole answer."""
    parts = [request.messages, request.system, request.tools, request.additional]
    tokens = len(orjson.dumps(parts)) // BYTES_PER_TOKEN
    asked_for = request.inference.get("maxTokens")
    most = asked_for if isinstance(asked_for, int) else target.max_tokens
    return Usage(
        input=min(tokens, target.context_tokens or tokens),
        output=max(0, min(most, target.max_tokens)),
    )
