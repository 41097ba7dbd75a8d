"""A fair share of the slots for every tenant, while others wait."""

from collections.abc import Mapping
from typing import Final

RETURNS_MAX: Final = 3  # a job goes back this often at most, then it runs


def over_share(
    held: Mapping[str, int], tenant: str, *, slots: int, free: int, waiting: int
) -> bool:
    """Whether a job of `tenant` should go back for a moment.

    A tenant may hold every slot as long as nobody else wants one. When slots
    run short and others wait, it keeps its share and no more.

    Args:
        held: Slots that each tenant holds now.
        tenant: Whose job has come.
        slots: All slots of this process.
        free: Slots that are free now.
        waiting: Other tenants whose jobs came lately.

    >>> over_share({"a": 8}, "a", slots=8, free=0, waiting=1)
    True
    >>> over_share({"a": 8}, "a", slots=8, free=0, waiting=0)
    False
    >>> over_share({"a": 1, "b": 7}, "a", slots=8, free=0, waiting=1)
    False
    """
    if not tenant or free > 0 or waiting == 0:
        return False
    return held.get(tenant, 0) >= max(1, slots // (waiting + 1))
