"""One weighted draw decides a whole order, from one roll."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, TypeVar

_BELOW_ONE: Final = 1.0 - 1e-12

T = TypeVar("T")


def drawn(weighted: Sequence[tuple[T, float]], roll: float) -> list[T]:
    """Everything in `weighted`, in an order that the weights make likely.

    Each place is drawn from what is left, with a chance proportional to its
    weight. What a roll has left after a draw is an even draw again, so one is
    enough for all places.

    Args:
        weighted: Things with their weights, each above 0.
        roll: An even draw from [0, 1).

    >>> drawn([("a", 3.0), ("b", 1.0)], 0.74), drawn([("a", 3.0), ("b", 1.0)], 0.75)
    (['a', 'b'], ['b', 'a'])
    """
    left, order = list(weighted), []
    while left:
        edges = list(accumulate(weight for _, weight in left))
        point = roll * edges[-1]
        n = min(bisect_right(edges, point), len(left) - 1)
        thing, weight = left.pop(n)
        order.append(thing)
        roll = min(max(0.0, (point - (edges[n] - weight)) / weight), _BELOW_ONE)
    return order
