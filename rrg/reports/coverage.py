"""``--coverage``: what the rules do not know, counted over many reports, for whoever adds rules.

Only masked texts are counted, digits become ``#``, and what stands in fewer than `LEAST` places or reports is never
written, so that nothing of a single patient comes out.
"""

import bisect
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rrg.errors import RrgError, UsageError
from rrg.pipe import Made
from rrg.records import Report, Span
from rrg.reports.compounds import compound
from rrg.reports.findings import findings_of
from rrg.reports.lexicon import Lexicon, lexicon
from rrg.reports.tries import longest
from rrg.reports.words import words_of

LEAST = 3
"""A string is written when it stands in this many places, and in this many reports."""
MOST = 300
"""Strings of a kind, the most frequent ones."""
KINDS = ("heading", "abbreviation", "abbreviation-split", "reference", "word")

_HEADING = re.compile(
    r"^[ ]*(?P<name>[A-ZÄÖÜ][A-Za-zÄÖÜäöüß/() -]{2,38})(?::(?=\s|\Z)|[ ]*$)(?P<rest>.*)$", re.MULTILINE
)
_ABBREVIATION = re.compile(r"(?<![\w.-])(?P<word>[A-Za-zÄÖÜäöüß]{2,7})\.(?P<next>\s*\S)?")
_VOWEL = re.compile(r"[aeiouyäöü]", re.IGNORECASE)
_NEAR_WORD = re.compile(
    r"(?<!\w)(?:Serien?|Series|Ser|Se|S|Bild(?:er|ern|nr|nummer)?|Im|Ima|Images?|Img|Slices?|Schicht(?:en)?|Frame|Stapel)"
    r"\b[.:#]?\s{0,2}(?:Nr\.?\s?)?\d[\d.,:;/-]{0,12}(?:\s?\w{1,8}\s?\d{1,4})?",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"[(\[]\s*(?:\w{1,10}[. ]\s?)?\d{1,4}\s*[,:;/.-]\s*\d{1,4}[^()\[\]]{0,16}[)\]]")
_WORD = re.compile(r"(?<![\w-])[A-Za-zÄÖÜäöüß]{5,40}(?![\w-])")
_MEDICAL = re.compile(
    r"(?:itis|itid\w*|ose[n]?|osis|oses|om[e]?[ns]?|oma[s]?|om[aá]ta|pathie[n]?|pathy|ektasi[ae]\w*|ectasis|ektomie|ectomy|"
    r"plasie[n]?|plasia|stenose\w*|stenosis|rrhagie|zele[n]?|cele|ämie|emia|malazie|malacia|ismus|lith\w*|zyste[n]?|cyst[s]?|"
    r"ruptur\w*|fraktur\w*|fracture[s]?|ödem\w*|edema|thromb\w*|fistel\w*|hernie[n]?|hernia[s]?|ulkus|ulcer)\Z",
    re.IGNORECASE,
)

Tail = Callable[[], Iterable[Made]]


class Seen(NamedTuple):
    """A string that the rules did not know, of a kind of `KINDS`."""

    kind: str
    text: str


def unknown(report: Report) -> Counter[Seen]:
    """What the rules did not know in a report, with the number of places."""
    found: Counter[Seen] = Counter()
    found.update(Seen("heading", text) for text in _headings(report))
    found.update(_abbreviations(report))
    found.update(Seen("reference", text) for text in _references(report))
    found.update(Seen("word", text) for text in _words(report))
    return found


def _headings(report: Report) -> Iterator[str]:
    known = {section.heading[0] for section in report.sections if section.heading}
    for match in _HEADING.finditer(report.text):
        start = match.start("name")
        own = match["name"].strip()
        alone = not match["rest"].strip() and ":" not in match.group()
        if start not in known and not (alone and len(own.split()) > 4):
            yield own


def _abbreviations(report: Report) -> Iterator[Seen]:
    known = {lang: _lower(lexicon(lang).abbreviations) for lang in {each.lang for each in report.sentences}}
    for sentence in report.sentences:
        start, end = sentence.span
        for match in _ABBREVIATION.finditer(report.text, start, end):
            word = match["word"]
            if word.lower() in known[sentence.lang]:
                continue
            if match.end("word") + 1 < end:
                yield Seen("abbreviation", f"{word}.")
            elif len(word) <= 3 or not _VOWEL.search(word):
                yield Seen("abbreviation-split", f"{word}.")


def _lower(words: dict[str, str]) -> frozenset[str]:
    return frozenset(word.lower() for word in words)


def _references(report: Report) -> Iterator[str]:
    spans = sorted(reference.span for reference in report.references)
    for pattern in (_NEAR_WORD, _NUMBERS):
        for sentence in report.sentences:
            for match in pattern.finditer(report.text, *sentence.span):
                if not _inside(match.span(), spans):
                    yield re.sub(r"\d+", "#", " ".join(match.group().split())).rstrip(".,:;/-")


def _inside(span: Span, spans: list[Span]) -> bool:
    """True when a span overlaps one of sorted spans that do not overlap each other."""
    at = bisect.bisect_left(spans, (span[1], -1))
    return at > 0 and spans[at - 1][1] > span[0]


def _words(report: Report) -> Iterator[str]:
    """German nouns inside of sentences, and words with a medical ending, that no list holds."""
    pointing = sorted(reference.span for reference in report.references)
    for sentence in report.sentences:
        if report.sections[sentence.section].kind in ("technique", "comparison"):
            continue
        lex = lexicon(sentence.lang)
        words = words_of(report.text, *sentence.span)
        findings = findings_of(words, sentence.lang)
        taken = {i for one in findings for i in range(one.first, one.last)}
        for i, word in enumerate(words.raw):
            if i in taken or not _WORD.fullmatch(word) or _inside((words.starts[i], words.ends[i]), pointing):
                continue
            noun = sentence.lang == "de" and i > 0 and word[0].isupper() and word[1:].islower()
            if (noun or _MEDICAL.search(word)) and not _known(lex, words.keys[i]):
                if any(longest(trie, words, i) for trie in (lex.structures, lex.findings, lex.context, lex.changes)):
                    continue
                if sentence.lang != "de" or not compound(words.keys[i]):
                    yield word


def _known(lex: Lexicon, key: str) -> bool:
    tries = (lex.structures, lex.findings, lex.context, lex.changes)
    return any(key in trie for trie in tries) or key in lex.heads or key in lex.single


# Gathering across processes


def note(report: Report, spool: str) -> None:
    """Put what is unknown in a report into the spool of this run. Texts that were not masked count as skipped."""
    line: dict[str, object] = {"report": report.id}
    if report.phi is not None:
        line["seen"] = [[kind, text, n] for (kind, text), n in sorted(unknown(report).items())]
    data = json.dumps(line).encode() + b"\n"
    descriptor = os.open(spool, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


class Gathering:
    """A spool for `note`; at the end of the run its counts are written to a file (``-`` is stderr)."""

    def __init__(self, target: str | None, *, resume: bool) -> None:
        if target is not None and resume:
            raise UsageError(
                "--coverage and --resume: reports of an earlier run would not be counted; give one of them"
            )
        self._target = target
        self._file = None if target is None else tempfile.TemporaryFile(prefix="rrg-coverage-")  # noqa: SIM115

    @property
    def spool(self) -> str | None:
        """Path of the spool for all processes of this run; it has no name, so a killed run leaves nothing behind."""
        return None if self._file is None else f"/proc/{os.getpid()}/fd/{self._file.fileno()}"

    def closing(self, tail: Tail | None) -> Tail | None:
        """`tail`, and then the table."""
        if self._file is None or self._target is None:
            return tail
        file, target = self._file, self._target

        def last() -> Iterable[Made]:
            if tail is not None:
                yield from tail()
            file.seek(0)
            _deliver(target, merged(file))

        return last


def merged(lines: Iterable[bytes]) -> str:
    """The table: kind, string, places, reports. The same whatever process saw which report."""
    places: Counter[Seen] = Counter()
    reports: Counter[Seen] = Counter()
    masked: dict[str, bool] = {}
    for line in lines:
        body = json.loads(line)
        if body["report"] in masked:
            continue
        masked[body["report"]] = "seen" in body
        for kind, text, n in body.get("seen", ()):
            places[Seen(kind, text)] += n
            reports[Seen(kind, text)] += 1
    skipped = sum(not each for each in masked.values())
    rows = [f"# {len(masked) - skipped} reports; {skipped} were not masked and are not counted"]
    rows.append("kind\ttext\tplaces\treports")
    for kind in KINDS:
        mine = [each for each in places if each.kind == kind and min(places[each], reports[each]) >= LEAST]
        mine.sort(key=lambda each: (-reports[each], -places[each], each.text))
        rows += [f"{kind}\t{each.text}\t{places[each]}\t{reports[each]}" for each in mine[:MOST]]
    return "\n".join(rows) + "\n"


def _deliver(target: str, table: str) -> None:
    if target == "-":
        sys.stderr.write(table)
        return
    path = Path(target)
    try:
        if path.exists() and not path.is_file():
            path.write_text(table, encoding="utf-8")
            return
        partial = path.with_name(path.name + ".partial")
        partial.write_text(table, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise RrgError(f"--coverage {target}: {error.strerror}; nothing was written", "E_IO") from None
