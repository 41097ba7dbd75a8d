"""What all peers are given: the same jobs, the same answers, the same queue."""

from typing import Final

JOBS_QUEUE: Final = "bench-jobs"
TABLE: Final = "bench-jobs"
MODEL: Final = "amazon.nova-lite-v1:0"
MAX_TOKENS: Final = 256
PROMPT: Final = "Summarise what follows in three sentences. " + "The quick brown fox. " * 90
ANSWER: Final = "The fox is quick. The dog is lazy. Nothing else is known of either. " * 8
