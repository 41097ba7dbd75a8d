"""For producers: send jobs, and read their results."""

from worker.client.client import Client
from worker.client.prepare import InvalidJob
from worker.client.result import Result, Status
from worker.client.send import NotSubmitted, SubmitFailed, Submitted
from worker.ports import PayloadMissing, RecordUnreadable, Unavailable

__all__ = [
    "Client",
    "InvalidJob",
    "NotSubmitted",
    "PayloadMissing",
    "RecordUnreadable",
    "Result",
    "Status",
    "SubmitFailed",
    "Submitted",
    "Unavailable",
]
