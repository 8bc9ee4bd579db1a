"""Reference patterns that a clinic adds, and what they find."""

import re
from collections.abc import Iterator, Sequence

from rrg.reports.references_words import DATED, Found, numbers

WINDOW = 160
"""Characters that an added pattern sees at once: what a reference needs, and what bounds its time."""
ADDED: list[tuple[str, re.Pattern[str]]] = []


def add_patterns(patterns: Sequence[str]) -> None:
    """A clinic's own patterns, checked by `rrg.reports.patterns`; they take the place of earlier ones and go first."""
    ADDED[:] = [(f"added-{number}", re.compile(pattern, re.IGNORECASE)) for number, pattern in enumerate(patterns, 1)]


def windowed(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[Found]:
    """What an added pattern finds in a sentence, seen window by window."""
    at = start
    while at < end:
        stop = min(at + WINDOW, end)
        match = pattern.search(text, at, stop)
        if match is None or match.end() == match.start():
            at = stop if stop == end else at + WINDOW // 2
        elif match.end() == stop < end and match.start() > at:
            at = match.start()  # it may go on behind the window
        else:
            images, open_end = numbers(match["images"] or "")
            series = match.groupdict().get("series") or ""
            if images and (series.isdecimal() or not series):
                dated = bool(DATED.match(text, match.end(), end))
                first = skip_space(text, match.start())
                yield Found((first, match.end()), int(series) if series else None, images, open_end, dated, "")
            at = match.end()


def skip_space(text: str, at: int) -> int:
    """Place of the first character at or behind `at` that is no space."""
    while text[at].isspace():
        at += 1
    return at
