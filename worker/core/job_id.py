"""What a job may be called. An id is the ledger's key, so whoever brings one is checked."""

import re
from typing import Final

from worker.core.upgrade import SUFFIX

ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # a MessageId is one, too


def job_id_of(text: str) -> str:
    """An id of a job or of its upgrade that stands in an attribute; "" for what is none.

    Anybody who may send messages may write such an attribute.

    >>> job_id_of("order-17"), job_id_of("order-17+upgrade")
    ('order-17', 'order-17+upgrade')
    >>> job_id_of("x" * 129), job_id_of("order 17"), job_id_of("+upgrade")
    ('', '', '')
    """
    return text if ID.fullmatch(text.removesuffix(SUFFIX)) else ""
