"""The sentences of a report about one slice as a text of their own: references taken out, phrases marked by span."""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from rrg.records import Report, Span
from rrg.synth.templates import escape

_GLUE = re.compile(
    r"(?:\b(?:siehe|vgl|vergl|cf|see|exemplarisch|beispielhaft|z\. ?b|e\. ?g|s|und|and|sowie|sowohl|auf|on|in|at|im|of"
    r"|bspw|u|u\. ?a|i\. ?e|best seen|gut)\b\.?|[\s,;:/&+–-])*",
    re.IGNORECASE,
)
"""What may stand beside a reference in its brackets without saying anything by itself."""
_LEAD = re.compile(
    r"[\s,;–-]*\b(?:siehe|vgl\.?|cf\.?|see|s\.|exemplarisch|z\. ?B\.|e\. ?g\.|auf|on|in|at)"
    r"(?:\s+(?:auch|also))?[\s:]*$",
    re.IGNORECASE,
)
"""Words that only lead to a reference that stands without brackets."""
KEPT = 256
"""Sentences that are kept tidied: one is said of several slices."""
_BRACKETS = {"(": ")", "[": "]"}
_NO_BLANK_BEFORE = ".,;:!?)]"
_NO_BLANK_AFTER = "(["


class Phrase(NamedTuple):
    """A phrase of the report that gets a placeholder."""

    id: str
    span: Span


class Snippet(NamedTuple):
    """A text made of sentences of a report."""

    template: str
    """Text of a part: ``{m0}`` for phrases, braces escaped."""
    plain: str
    """The same with the phrases in place."""
    lost: tuple[str, ...]
    """Ids of phrases that were inside of what was taken out."""


def snippet(report: Report, sentences: Sequence[int], phrases: Sequence[Phrase] = ()) -> Snippet:
    """Join `sentences` (indices, in text order) without their slice references. `phrases` must not overlap."""
    texts = [_kept(report, number) for number in sentences]
    chars = [(" ", -1), *(char for kept in texts if kept for char in (*kept, (" ", -1)))]
    chars = chars[1:-1]
    owner = {at: phrase for phrase in phrases for at in range(*phrase.span)}
    if chars and chars[0][1] not in owner and chars[0][1] != report.sentences[sentences[0]].span[0]:
        chars[0] = (chars[0][0].upper(), chars[0][1])  # a reference stood before it
    template, plain = "", ""
    open_phrase: Phrase | None = None
    shown: set[str] = set()
    for char, at in chars:
        plain += char
        phrase = owner.get(at)
        if phrase is None:
            template += escape(char) if char in "{}" else char
        elif phrase is not open_phrase:
            template += f"{{{phrase.id}}}"
            shown.add(phrase.id)
        open_phrase = phrase
    return Snippet(template, plain, tuple(phrase.id for phrase in phrases if phrase.id not in shown))


_SIDE_BEFORE = re.compile(
    r"(?:\b(?:link|recht|beid)[a-zß]*|\b(?:left|right|both)|\b(?:li|re|bds)\.)(?:\s*-\s*|\s+)$", re.IGNORECASE
)
_SIDE_AFTER = re.compile(r"\s+(?:links|rechts|beidseits|beiderseits|(?:li|re|bds)\.)(?=\W|$)", re.IGNORECASE)


def with_side(text: str, span: Span) -> Span:
    """A span and the word for the side that stands next to it: "rechte |Niere|", "|Oberlappen| links"."""
    start, end = span
    if match := _SIDE_BEFORE.search(text, max(0, start - 20), start):
        return match.start(), end
    if match := _SIDE_AFTER.match(text, end):
        return start, match.end()
    return span


def whole_word(text: str, span: Span) -> Span:
    """A span that begins inside of a word begins with the word: "Leber|zyste|" becomes "|Leberzyste|"."""
    start, end = span
    while start > 0 and text[start - 1].isalpha() and text[start].isalpha():
        start -= 1
    return start, end


def said_as(report: Report, span: Span) -> str:
    """The words of a span, line breaks and runs of blanks made one blank."""
    return " ".join(report.text[slice(*span)].split())


def removed(report: Report, number: int) -> tuple[Span, ...]:
    """Spans of a sentence that only point at slices, with their brackets and leading words."""
    start = report.sentences[number].span[0]
    return tuple((first + start, last + start) for first, last in _removed(*_referring(report, number)))


def _referring(report: Report, number: int) -> tuple[str, bytes]:
    """A sentence, and for each of its characters 1 where it is part of a reference, else 0."""
    start, end = report.sentences[number].span
    taken = bytearray(end - start)
    for ref in report.references:
        if ref.sentence == number:
            first, last = max(ref.span[0], start) - start, min(ref.span[1], end) - start
            if first < last:
                taken[first:last] = b"\1" * (last - first)
    return report.text[start:end], bytes(taken)


@functools.lru_cache(KEPT)
def _removed(text: str, referring: bytes) -> tuple[Span, ...]:
    if not any(referring):
        return ()
    taken = bytearray(referring)
    _take_brackets(text, taken)
    _take_leads(text, taken)
    return _spans(taken)


def _take_brackets(text: str, taken: bytearray) -> None:
    """A bracket that holds nothing but references goes as a whole; of one that says more the references go."""
    for opening, closing in _BRACKETS.items():
        if opening not in text:
            continue
        stack: list[int] = []
        for at, char in enumerate(text):
            if char == opening:
                stack.append(at)
            elif char == closing and stack:
                first = stack.pop()
                inside = range(first + 1, at)
                if any(taken[first + 1 : at]):
                    rest = "".join(" " if taken[i] else text[i] for i in inside)
                    if _GLUE.fullmatch(rest):
                        taken[first : at + 1] = b"\1" * (at + 1 - first)


def _take_leads(text: str, taken: bytearray) -> None:
    for first, last in _spans(taken):
        if text[first] in _BRACKETS:
            continue
        if match := _LEAD.search(text[:first]):
            taken[match.start() : first] = b"\1" * (first - match.start())
        elif match := re.search(r"[\s,;–-]+$", text[:first]):  # ", Serie 3, Bild 4." leaves no comma behind
            after = text[last:].lstrip()
            if not after or after[0] in _NO_BLANK_BEFORE:
                taken[match.start() : first] = b"\1" * (first - match.start())


def _spans(taken: bytearray) -> tuple[Span, ...]:
    spans: list[Span] = []
    closed, end = taken + b"\0", 0
    while (start := closed.find(1, end)) >= 0:
        end = closed.find(0, start)
        spans.append((start, end))
    return tuple(spans)


def _kept(report: Report, number: int) -> list[tuple[str, int]]:
    """Characters of a sentence that stay, each with its place in the report; blanks and punctuation tidied."""
    start = report.sentences[number].span[0]
    return [(char, at + start if at >= 0 else at) for char, at in _tidied(*_referring(report, number))]


@functools.lru_cache(KEPT)
def _tidied(text: str, referring: bytes) -> tuple[tuple[str, int], ...]:
    gone = {at for span in _removed(text, referring) for at in range(*span)}
    kept: list[tuple[str, int]] = []
    for at, char in enumerate(text):
        if at in gone:
            if kept and kept[-1][0] != " ":
                kept.append((" ", -1))
            continue
        if char.isspace():
            if kept and kept[-1][0] != " " and kept[-1][0] not in _NO_BLANK_AFTER:
                kept.append((" ", at))
            continue
        if char in _NO_BLANK_BEFORE and gone:
            while kept and kept[-1][0] == " ":
                kept.pop()
            if char in ",;:" and (not kept or kept[-1][0] in _NO_BLANK_AFTER):
                continue
            if kept and kept[-1][0] in ",;:" and char in _NO_BLANK_BEFORE:
                kept.pop()
            if kept and kept[-1][0] == char == ".":
                continue
        kept.append((char, at))
    while kept and (kept[-1][0] == " "):
        kept.pop()
    if gone:
        while kept and kept[0][0] in " ,;:–-":
            kept.pop(0)
    return tuple(kept)
