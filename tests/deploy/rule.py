"""A composite's rule, read as CloudWatch reads it: who is meant, or what is wrong with it.

rule  = both { "OR" both }
both  = one { "AND" one }
one   = "NOT" one | "(" rule ")" | ("ALARM" | "OK" | "INSUFFICIENT_DATA") "(" name ")"
      | "TRUE" | "FALSE"
"""

import re
from dataclasses import dataclass, field

_WORDS = re.compile(r"\s*(?:(?P<word>[A-Z_]+)|(?P<sign>[()])|\"(?P<name>[^\"]+)\")")
_STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")


class RuleError(ValueError):
    """CloudWatch would refuse it."""


@dataclass
class _Reader:
    words: list[str]
    names: list[str] = field(default_factory=list)

    def take(self, *wanted: str) -> str:
        if not self.words or (wanted and self.words[0] not in wanted):
            found = self.words[0] if self.words else "the end"
            msg = f"{found} where {' or '.join(wanted) or 'a word'} should be"
            raise RuleError(msg)
        return self.words.pop(0)

    def rule(self) -> None:
        self.both()
        while self.words[:1] == ["OR"]:
            self.take("OR")
            self.both()

    def both(self) -> None:
        self.one()
        while self.words[:1] == ["AND"]:
            self.take("AND")
            self.one()

    def one(self) -> None:
        word = self.take("NOT", "(", *_STATES, "TRUE", "FALSE")
        if word == "NOT":
            self.one()
        elif word == "(":
            self.rule()
            self.take(")")
        elif word in _STATES:
            self.take("(")
            name = self.take()
            if not name.startswith('"'):
                msg = f"{name} where a name in quotes should be"
                raise RuleError(msg)
            self.names.append(name.strip('"'))
            self.take(")")


def names_of(rule: str) -> list[str]:
    """The alarms that a rule names.

    Raises:
        RuleError: It is none.
    """
    words, at = [], 0
    for found in _WORDS.finditer(rule):
        if found.start() != at:
            break
        at = found.end()
        words.append(found["word"] or found["sign"] or f'"{found["name"]}"')
    if rule[at:].strip():
        msg = f"{rule[at:].strip()!r} is no word of a rule"
        raise RuleError(msg)
    reader = _Reader(words)
    reader.rule()
    if reader.words:
        msg = f"{reader.words[0]} is too much"
        raise RuleError(msg)
    return reader.names
