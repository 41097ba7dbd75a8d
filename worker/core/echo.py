"""Takes out of a service's message what the job itself says.

`fault.normalised` drops what stands in quotation marks; but a service may name parts of a
request without any. What a message has in common with the request, and is no accident, is an
echo: a word of `LONG` characters, or `RUN` words in a row. A shorter word cannot be told from
the sentence around it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

LONG: Final = 12
RUN: Final = 4
WORDS_MAX: Final = 80  # of a message; what comes behind them is dropped
FOLD_MAX: Final = 100_000  # characters of a request in which case and spaces make no difference
_EDGE: Final = re.compile(r"^\W+|\W+$")


def without_echo(message: str, request: Iterable[object]) -> str:
    """The message with `<>` for each part that stands in the request, whatever its case.

    In a request of more than `FOLD_MAX` characters only what stands there to the letter is an
    echo: to fold many megabytes would hold up every other job.

    Args:
        message: As the service gave it.
        request: Strings, and JSON trees that hold strings.

    >>> without_echo("Input is too long: Dear-Mr-Smith-and-sons was 9", ["dear-mr-smith-and-sons"])
    'Input is too long: <> was 9'
    >>> without_echo("Refused: we met at noon today", ["She said we met at noon"])
    'Refused: <> today'
    """
    words = message.split()[:WORDS_MAX]
    if not words:
        return ""
    texts = list(_texts(request))
    bare = [_EDGE.sub("", word) for word in words]
    if sum(map(len, texts)) <= FOLD_MAX:
        texts = [" ".join(text.casefold().split()) for text in texts]
        bare = [word.casefold() for word in bare]
    echoes: set[int] = set()
    for n, word in enumerate(bare):
        if len(word) >= LONG and _is_in(word, texts):
            echoes.add(n)
        run = bare[n : n + RUN]
        if len(run) == RUN and all(run) and _is_in(" ".join(run), texts):
            echoes |= set(range(n, n + RUN))
    told: list[str] = []
    for n, word in enumerate(words):
        if n not in echoes:
            told.append(word)
        elif not told or told[-1] != "<>":
            told.append("<>")
    return " ".join(told)


def _is_in(part: str, texts: list[str]) -> bool:
    return any(part in text for text in texts)


def _texts(trees: Iterable[object]) -> Iterator[str]:
    """Every string in some JSON trees, names included; as deep as they go."""
    left: list[Any] = list(trees)
    while left:
        tree = left.pop()
        if isinstance(tree, str):
            yield tree
        elif isinstance(tree, Mapping):
            left += [*tree.keys(), *tree.values()]
        elif isinstance(tree, list | tuple):
            left += tree
