"""How much a queue on Amazon SQS holds. For people: the figures are SQS's approximations."""

from typing import Any, Final

from worker.aws.trouble import asking
from worker.ports import Depth

_NAMES: Final = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


async def depth(client: Any, url: str) -> Depth:
    """The depth of one queue. Needs `sqs:GetQueueAttributes`.

    Raises:
        Unavailable: The queue could not be asked.
    """
    with asking("queue"):
        answer = await client.get_queue_attributes(
            QueueUrl=url, AttributeNames=list(_NAMES.values())
        )
    found = answer.get("Attributes", {})
    return Depth(**{field: int(found.get(name, 0)) for field, name in _NAMES.items()})
