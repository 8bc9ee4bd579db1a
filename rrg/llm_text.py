"""Text from data inside a prompt: never a token of the model, never the end of its own quotation marks."""

import json
import re
from typing import NamedTuple

from rrg.records import Span

_TOKEN = re.compile(r"<(?=[A-Za-z_/|!<|｜▁])|(?<=[|｜])>|\[(?=/?[A-Z][A-Z_]+\])|◁(?=\S)|\s+")
"""What opens or closes a token in the families of chat templates (``<|im_start|>``, ``</s>``, ``<start_of_turn>``,
``[INST]``, ``<<SYS>>``, ``◁think▷``), and white space."""


class Shown(NamedTuple):
    """A stretch of text as a model sees it."""

    text: str
    """White space is one blank; a blank stands behind everything that could open a token."""
    places: list[int]
    """For each code point of `text`, its place in the original; one more for the end."""

    def find(self, quote: str, start: int = 0) -> Span | None:
        """Place in the original of the first `quote` from code point `start` of `text` on."""
        quote = " ".join(quote.split())
        at = self.text.find(quote, start) if quote else -1
        if at < 0:
            return None
        return self.places[at], self.places[at + len(quote) - 1] + 1

    def find_all(self, quote: str) -> list[Span]:
        """Every place of `quote`, without overlap."""
        quote = " ".join(quote.split())
        found, at = [], self.text.find(quote) if quote else -1
        while at >= 0:
            found.append((self.places[at], self.places[at + len(quote) - 1] + 1))
            at = self.text.find(quote, at + len(quote))
        return found


def shown(text: str, start: int, end: int) -> Shown:
    """``text[start:end]`` for a prompt."""
    parts: list[str] = []
    places: list[int] = []
    at = start
    for match in _TOKEN.finditer(text, start, end):
        first, last = match.span()
        parts.append(text[at:first])
        places.extend(range(at, first))
        broken = " " if match.group().isspace() else " >" if match.group() == ">" else match.group() + " "
        parts.append(broken)
        places.extend([first] * len(broken))
        at = last
    parts.append(text[at:end])
    places.extend(range(at, end + 1))
    return Shown("".join(parts), places)


def quoted(text: str) -> str:
    """A JSON string of `text`: one line, with no mark inside that ends it."""
    return json.dumps(text, ensure_ascii=False)
