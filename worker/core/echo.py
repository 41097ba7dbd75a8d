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
COMPARED_MAX: Final = 1_000_000  # likewise, to be compared at all: half a second at the worst
# From the first letter or digit to the last, in time that grows with the word and no faster.
_CORE: Final = re.compile(r"\w(?:.*\w)?", re.DOTALL)


def without_echo(message: str, request: Iterable[object]) -> str:
    """The message with `<>` for each part that stands in the request, whatever its case.

    In a request of more than `FOLD_MAX` characters only what stands there to the letter is an
    echo, and of one of more than `COMPARED_MAX` nothing is known, so the whole message goes: to
    search many megabytes would hold up every other job.

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
    size = sum(map(len, texts))
    if size > COMPARED_MAX:
        return "<>"
    bare = [found[0] if (found := _CORE.search(word)) else "" for word in words]
    if size <= FOLD_MAX:
        texts = [" ".join(text.casefold().split()) for text in texts]
        bare = [word.casefold() for word in bare]
    # One search, however many strings there are: no word and no run of words has a line end.
    text = "\n".join(texts)
    echoes: set[int] = set()
    for n, word in enumerate(bare):
        if len(word) >= LONG and word in text:
            echoes.add(n)
        run = bare[n : n + RUN]
        if len(run) == RUN and all(run) and " ".join(run) in text:
            echoes |= set(range(n, n + RUN))
    told: list[str] = []
    for n, word in enumerate(words):
        if n not in echoes:
            told.append(word)
        elif not told or told[-1] != "<>":
            told.append("<>")
    return " ".join(told)


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
