"""A place to mask, and the tokens that the rules for names walk on."""

import re
from typing import NamedTuple

PLACEHOLDER = re.compile(r"\[(?:NAME|DATE|ID|PHONE|EMAIL|URL|ADDRESS|INSTITUTION|AGE)\]")
"""What stands in a masked text. The names are stable."""
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")


class Spot(NamedTuple):
    """A place that a rule masks."""

    start: int
    end: int
    rule: str
    """``kind.detail``; the kind in capitals is the placeholder."""


class Tokens(NamedTuple):
    """Runs of letters, runs of digits and single signs of a text."""

    words: list[str]
    starts: list[int]
    ends: list[int]


def tokens_of(text: str) -> Tokens:
    """Tokens of the whole text, in order."""
    made = Tokens([], [], [])
    for match in _TOKEN.finditer(text):
        made.words.append(match.group())
        first, last = match.span()
        made.starts.append(first)
        made.ends.append(last)
    return made
