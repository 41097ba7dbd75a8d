"""What one breaker guards: a model or inference profile in one Region."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from worker.core.geo import places_of

STREAM_FROM_TOKENS: Final = 1024  # below, a hang costs less than a stream does


class Api(StrEnum):
    """Which operation of Bedrock Runtime serves a target."""

    AUTO = "auto"  # Converse, streamed from `STREAM_FROM_TOKENS` up
    CONVERSE = "converse"
    CONVERSE_STREAM = "converse_stream"
    INVOKE = "invoke"  # for models without Converse; the request's `additional` is the body


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one breaker guards: a model or inference profile in one Region.

    Attributes:
        name: Its name in settings, metrics and history.
        model: Model id, inference profile id or ARN.
        region: Region of the endpoint, "" for the SDK's own.
        attempt_s: The longest that one call may take, in seconds.
        first_token_s: The longest wait for a stream's first event, in seconds.
        stall_s: The longest silence inside a stream, in seconds.
        slow_s: A success that took longer counts as slow, in seconds. So much time is
            kept for it while the target before it is tried, if there is a deadline.
        min_useful_s: With less time left a call is not worth starting, in seconds.
        quality: 0 to 1, compared with a job's `min_quality`.
        geo: Where its calls are processed, "" for what its model id and Region tell.
        context_tokens: Its context window; a job `too_long` tries larger ones only.
        price_input, price_output: USD per million tokens, 0 if unknown.
    """

    name: str
    model: str
    region: str = ""
    api: Api = Api.AUTO
    max_tokens: int = 1024
    attempt_s: float = 120.0
    first_token_s: float = 30.0
    stall_s: float = 30.0
    slow_s: float = 30.0
    min_useful_s: float = 1.0
    quality: float = 1.0
    geo: str = ""
    context_tokens: int = 0
    bucket: str = ""
    tier: str = ""
    price_input: float = 0.0
    price_output: float = 0.0

    @property
    def places(self) -> frozenset[str]:
        """Where its calls may be processed; nothing if that is not known."""
        return frozenset({self.geo}) if self.geo else places_of(self.model, self.region)

    @property
    def least_s(self) -> float:
        """With less time than that, a call is not worth starting."""
        return min(self.min_useful_s, self.attempt_s)
