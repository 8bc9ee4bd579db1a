"""Sections of a report, by their headings in both languages."""

import itertools
import re
from functools import cache
from typing import Any, NamedTuple

from rrg.records import Lang, Section, Span
from rrg.reports.language import detect
from rrg.reports.lexicon import forms, rows
from rrg.reports.sentences import behind_mark

_DAY = r"\d{1,2}\.\d{1,2}\.(?:\d{2,4})?|\[DATE\]"
_COMPARED = r"(?!(?:zum|zur|gegenüber|seit|since|to)\b)"
_BODY_PARTS = rf"(?:[ \t]+{_COMPARED}(?:[A-ZÄÖÜ][\w/-]*|des|der|vom|of|the|und|and|mit|{_DAY}|\d{{1,2}}(?=:))){{0,6}}"
_LONGEST_HEADING = 80
"""Characters; a longer line without a sign is none."""
LEAST_EVIDENCE = 3
"""A section has a language of its own when it has this many words of it and twice as many as of the other."""


class Headings(NamedTuple):
    """What headings look like."""

    strict: re.Pattern[str]
    """With a colon or a dash behind, or alone on a line."""
    loose: re.Pattern[str]
    """At the start of a line, with a capital behind: "Befund Leber unauffällig."."""
    table: dict[str, tuple[str, str]]
    """Form -> (kind, language)."""
    openers: frozenset[str]
    """First words of the forms."""


@cache
def headings() -> Headings:
    """Patterns of headings, and what they mean."""
    table: dict[str, tuple[str, str]] = {}
    for kind, lang, field in rows("sections.tsv"):
        for form in forms(field):
            table[" ".join(form.lower().split())] = (kind, lang)
    openers = frozenset(word[0] for form in table if (word := _WORD.match(form)))
    names = sorted(table, key=len, reverse=True)
    name = "|".join(re.escape(each).replace(r"\ ", r"[ ]+") for each in names)
    strict = (
        r"(?P<line>^[ \t]*(?:[-*•>#\d.)=_]{1,4}[ ]+)?[*_]{0,2}(?P<prefix>(?:CT|MRT?|MR|Rö|US|PET)[- ])?"
        rf"(?P<name>{name})(?P<extra>{_BODY_PARTS})[*_]{{0,2}}[ \t]*(?P<colon>:(?!\d)|(?=\n|\Z)|[ ]+[-–][ ]+))"
        rf"|(?P<inline>(?:(?<=[.?!:;][ ])|(?<=[.?!:;][ ][ ]))(?P<name2>{name})[ ]*:(?!\d))"
    )
    loose = rf"^[ \t]*(?P<name>(?i:{name}))[ \t]+(?=[A-ZÄÖÜ])"
    return Headings(re.compile(strict, re.IGNORECASE | re.MULTILINE), re.compile(loose, re.MULTILINE), table, openers)


def _is_heading(match: re.Match[str]) -> bool:
    """A word such as "Befund" that only begins a line of text is no heading."""
    word = match["name"] or match["name2"]
    if not word[:1].isupper() and not (match["line"] is not None and (match["colon"] or "").strip() == ":"):
        return False
    if match["inline"] is not None or (match["colon"] or "").strip():
        return len(match["extra"] or "") < 40
    return not match["extra"]  # alone on its line


_WORD = re.compile(r"[^\W\d_]+")
_OPENING = re.compile(
    r"[ \t]*(?:[-*•>#\d.)=_]{1,4}[ ]+)?[*_]{0,2}(?P<prefix>(?:CT|MRT?|MR|Rö|US|PET)[- ])?(?P<word>[^\W\d_]+)",
    re.IGNORECASE,
)


def _may_open(text: str, at: int, known: Headings) -> bool:
    """True when a heading may begin here: most lines begin with a word that no heading has."""
    match = _OPENING.match(text, at)
    return match is not None and (match["prefix"] is not None or match["word"].lower() in known.openers)


_AFTER_STOP = re.compile(r"[.?!:;] {1,2}")


def _heading_places(text: str) -> list[int]:
    """Where a heading can begin: at a line, and behind a stop where it has a colon."""
    if "\n" not in text and ":" not in text:
        return [0]
    places = {0, *(match.end() for match in _LINE.finditer(text))}
    if ":" in text:
        places.update(match.end() for match in _AFTER_STOP.finditer(text))
    return sorted(places)


_LINE = re.compile(r"\n")


def _marks(text: str) -> list[tuple[Span, str]]:
    """Headings in order: their span with the colon, and the kind of section."""
    lines = "\n" in text
    if not (lines or ":" in text or " - " in text or " – " in text) and (
        len(text) > _LONGEST_HEADING or (text.endswith(".") and text.count(" ") > 1)
    ):
        return []
    known = headings()
    marks: dict[int, tuple[Span, str]] = {}
    colons = False
    end = 0
    for at in _heading_places(text):
        match = known.strict.match(text, at) if at >= end and _may_open(text, at, known) else None
        end = end if match is None else match.end()
        if match is not None and _is_heading(match):
            word = " ".join((match["name"] or match["name2"]).lower().split())
            start = match.start("prefix") if match["prefix"] else match.start("name" if match["name"] else "name2")
            marks[start] = (start, match.end()), known.table[word][0]
            colons = colons or match["inline"] is not None or bool(match["colon"].strip())
    if lines and not colons:
        # who writes colons writes them everywhere; one line alone that begins like a heading is a sentence
        loose = {
            match.start("name"): (match.span("name"), known.table[" ".join(match["name"].lower().split())][0])
            for match in known.loose.finditer(text)
            if match["name"][:1].isupper() and match.start("name") not in marks
        }
        kinds = {kind for _, kind in (*marks.values(), *loose.values())}
        if len(kinds) > 1:
            marks |= loose
    return [marks[start] for start in sorted(marks)]


def sections_of(text: str, lang: Lang) -> tuple[Section, ...]:
    """The sections in order. Text before the first heading, or without any heading, is a ``body``."""
    marks = _marks(text)
    if not marks:
        own = len(text) - len(text.lstrip()), len(text.rstrip())
        return (Section(kind="body", span=own, lang=lang),) if own[0] < own[1] else ()
    found: list[Section] = []

    def add(kind: Any, start: int, end: int, heading: Span | None) -> None:
        content = text[start:end]
        first = start + len(content) - len(content.lstrip())
        if heading is not None:
            first = behind_mark(text, first, end)
        last = start + len(content.rstrip())
        if first >= last:
            first = last = min(start, end)
        if heading is not None or first < last:
            own = detect(text[first:last], otherwise=lang, least=LEAST_EVIDENCE)
            found.append(Section(kind=kind, span=(first, last), heading=heading, lang=own))

    add("body", 0, marks[0][0][0], None)
    for at, (heading, kind) in enumerate(marks):
        end = marks[at + 1][0][0] if at + 1 < len(marks) else len(text)
        until = _end_of_comparison(text, heading[1], end) if kind == "comparison" else end
        add(kind, heading[1], until, heading)
        if until < end:
            around = marks[at - 1][1] if at else "body"
            add(around if around in _AROUND else "body", until, end, None)
    return tuple(found)


_AROUND = ("findings", "impression")
_OF_EARLIER = re.compile(
    r"\b(?:CTA?|MRT?|MRI|PET|Röntgen\w*|Rö\.?|Sono\w*|Szinti\w*|Angio\w*|US|x-?ray|radiograph\w*|ultrasound|scans?|"
    r"mammogra\w*|\w*untersuchung\w*|\w*aufnahmen?|Vor(?:befund|studi|bild)\w*|Vor-?(?:CT|MRT?)|vorlieg\w*|vorhanden|keine?|liegt|liegen|none|not|no|"
    r"available|stud(?:y|ies)|exam\w*|prior|previous|compar\w*|extern\w*|outside|vom|from|dated)\b|\[DATE\]|\d{1,2}[./]\d{1,2}[./]|"
    r"\b(?:19|20)\d\d\b|\A\W*\Z",
    re.IGNORECASE,
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")


def _end_of_comparison(text: str, start: int, end: int) -> int:
    """Where a section on earlier studies ends: at the first paragraph behind its own that names none. What follows
    belongs to the section around it, as in a form with a field "Voruntersuchung" among its findings.
    """
    first = start + len(text[start:end]) - len(text[start:end].lstrip())
    ends = [*(match.span() for match in _PARAGRAPH.finditer(text, first, end)), (end, end)]
    for (_, begins), (until, _) in itertools.pairwise(ends):
        if begins < until and _OF_EARLIER.search(text[begins:until]) is None:
            return begins
    return end
