"""Several reports in one text: cut where the text says so clearly, otherwise one report with a flag.

A text is cut where (1) a form feed or a line of at least five ``= _ * # -`` stands between parts that each have a
heading of findings; or (2) its first line, a letterhead with at least ten letters, comes again after a blank line
(numbers may differ), and each part has headings of findings and of an impression. A page header fails (2): the pages of
one report do not each have both. A text with two headings of findings and two of an impression that is not cut has the
flag.
"""

import re

from rrg.records import Lang, Section
from rrg.reports.language import detect
from rrg.reports.sections import sections_of

FLAG = "several_reports"
MOST = 100
"""Reports in one text; more are a table, not a report."""
_RULE = re.compile(r"(?m)^[ ]*([=_*#-])\1{4,}[ ]*$|\f")
_LETTERS = 10


def reports_in(text: str, lang: Lang | None = None) -> tuple[tuple[str, ...], bool]:
    """(the reports of a clean text in order, whether one of them may hold several)."""
    own = lang or detect(text)
    if sum(each.kind == "findings" for each in _headed(text, own)) < 2:
        return (text,), False
    for parts, kinds in ((_between_rules(text), {"findings"}), (_by_letterhead(text), {"findings", "impression"})):
        if 1 < len(parts) <= MOST and all(kinds <= {each.kind for each in _headed(part, own)} for part in parts):
            return tuple(parts), any(_looks_double(part, own) for part in parts)
    return (text,), _looks_double(text, own)


def _headed(text: str, lang: Lang) -> list[Section]:
    return [each for each in sections_of(text, lang) if each.heading is not None]


def _looks_double(text: str, lang: Lang) -> bool:
    kinds = [each.kind for each in _headed(text, lang)]
    return kinds.count("findings") > 1 and kinds.count("impression") > 1


def _between_rules(text: str) -> list[str]:
    ends = [match.span() for match in _RULE.finditer(text)]
    starts = [0, *(end for _, end in ends)]
    parts = (text[start:end].strip() for start, end in zip(starts, [*(start for start, _ in ends), None], strict=True))
    return [part for part in parts if any(map(str.isalnum, part))]


def _by_letterhead(text: str) -> list[str]:
    lines = text.split("\n")
    head = _bare(lines[0])
    if sum(map(str.isalpha, head)) < _LETTERS:
        return []
    starts = [0] + [n for n in range(2, len(lines)) if not lines[n - 1].strip() and _bare(lines[n]) == head]
    ends = [*starts[1:], len(lines)]
    return ["\n".join(lines[start:end]).strip() for start, end in zip(starts, ends, strict=True)]


def _bare(line: str) -> str:
    return " ".join(re.sub(r"\d+", "0", line).split()).lower()
