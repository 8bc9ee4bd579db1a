"""Sections of a report, by their headings in both languages."""

import re
from functools import cache
from typing import Any

from rrg.records import Lang, Section, Span
from rrg.reports.language import detect
from rrg.reports.lexicon import forms, rows

_BODY_PARTS = r"""(?:\s+(?:[A-ZÄÖÜ][\w/-]*|des|der|vom|of|the|und|and|mit|\d{1,2}\.\d{1,2}\.(?:\d{2,4})?|\[DATE\])){0,6}"""
LEAST_EVIDENCE = 3
"""A section has a language of its own when it has this many words of it and twice as many as of the other."""


@cache
def headings() -> tuple[re.Pattern[str], dict[str, tuple[str, str]]]:
    """The pattern of a heading, and form -> (kind, language)."""
    table: dict[str, tuple[str, str]] = {}
    for kind, lang, field in rows("sections.tsv"):
        for form in forms(field):
            table[" ".join(form.lower().split())] = (kind, lang)
    names = sorted(table, key=len, reverse=True)
    name = "|".join(re.escape(each).replace(r"\ ", r"[ ]+") for each in names)
    pattern = (
        r"(?P<line>^[ ]*(?:[-*•>#\d.)]{1,4}[ ]+)?\*{0,2}(?P<prefix>(?:CT|MRT?|MR|Rö|US|PET)[- ])?"
        rf"(?P<name>{name})(?P<extra>{_BODY_PARTS})\*{{0,2}}[ ]*(?P<colon>:(?!\d)|(?=\n|\Z)|[ ]+[-–][ ]+))"
        rf"|(?P<inline>(?:(?<=[.?!:;][ ])|(?<=[.?!:;][ ][ ]))(?P<name2>{name})[ ]*:(?!\d))"
    )
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE), table


def _is_heading(match: re.Match[str]) -> bool:
    """A word such as "Befund" that only begins a line of text is no heading."""
    word = match["name"] or match["name2"]
    if not word[:1].isupper():
        return False
    if match["inline"] is not None or (match["colon"] or "").strip():
        return len(match["extra"] or "") < 40
    return not match["extra"]  # alone on its line


def sections_of(text: str, lang: Lang) -> tuple[Section, ...]:
    """The sections in order. Text before the first heading, or without any heading, is a ``body``."""
    pattern, table = headings()
    marks: list[tuple[Span, str]] = []
    for match in pattern.finditer(text):
        if _is_heading(match):
            word = " ".join((match["name"] or match["name2"]).lower().split())
            start = match.start("prefix") if match["prefix"] else match.start("name" if match["name"] else "name2")
            marks.append(((start, match.end()), table[word][0]))
    found: list[Section] = []

    def add(kind: Any, start: int, end: int, heading: Span | None) -> None:
        content = text[start:end]
        first = start + len(content) - len(content.lstrip())
        last = start + len(content.rstrip())
        if first >= last:
            first = last = min(start, end)
        if heading is not None or first < last:
            own = detect(text[first:last], otherwise=lang, least=LEAST_EVIDENCE)
            found.append(Section(kind=kind, span=(first, last), heading=heading, lang=own))

    add("body", 0, marks[0][0][0] if marks else len(text), None)
    for at, (heading, kind) in enumerate(marks):
        add(kind, heading[1], marks[at + 1][0][0] if at + 1 < len(marks) else len(text), heading)
    return tuple(found)
