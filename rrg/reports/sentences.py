"""Sentences of a section: abbreviations, ordinals, decimals and wrapped lines do not end one."""

import itertools
import re
from collections.abc import Iterable, Iterator

from rrg.records import Lang, Span
from rrg.reports.lexicon import lexicon
from rrg.reports.words import word_set

_STOP = re.compile(
    r"[.!?;](?:(?<!;)[.!?]*[\"”“'»)\]]*(?=\s|\Z)|(?<=[a-zäöüß]{3}\.)(?=[A-ZÄÖÜ][a-zäöüß]{2})|(?<=;)[ ]*(?=\n))"
)
"""It begins with its sign, so that the search looks at signs only."""
_LAST_WORD = re.compile(r"[^\s.(\[/,;:-]+\Z")
_BULLET = re.compile(r"[ \t]*(?:[-–*•·>+▪●○◦]|\(?\d{1,2}[.)]|\(?[a-z]\))[ \t]+|[ \t]*[•·▪●]")
_OPEN_END = word_set(
    """der die das des dem den ein eine einer eines einem einen kein keine keiner keines keinem keinen und oder sowie
    bzw mit ohne von vom zum zur bei beim in im an am auf aus nach vor über unter gegenüber bis als wie ist sind wird
    sich the a an of and or no not with without in on at to from by for is are was were has have which that"""
)
"""Words that no sentence ends with: the next line goes on."""
_INITIALS = re.compile(r"(?:\b[A-Za-zÄÖÜäöü]\.\s?){1,2}\b[a-zäöü]\.\Z")
_ADJECTIVE = re.compile(r"[a-zäöüß]{3,}(?:e|es|em)|[a-zäöüß]{5,}ter")
"""A small word with the ending of an attribute: its noun stands on the next line."""
LONGEST = 3000
"""Characters. Longer ones are tables or noise: they are cut at a space, so that time grows with the text only."""
_FILLED_LINE = 50
"""Lines are wrapped by a program only from about this many characters on."""
_MASKED = re.compile(r"\[[A-Z]{2,11}\]")
_MASKED_WIDTH = 8
"""A placeholder of `rrg.reports.phi` may be shorter by this many characters than what was wrapped by a program."""
_ORDINAL_NOUNS = re.compile(
    r"(?:Rippen?|Grad(?:es)?|Quartal|Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|"
    r"Ventrikels?|Lebens\w*|Hirnnerv\w*|(?:Hals|Brust|Lenden)wirbel\w*|[HBLS]WK|ICR|Zyklus|Zehe|Finger\w*|Strahl\w*|"
    r"Metatarsal\w*|Metakarpal\w*|MHK|MFK|OP|Tag|Woche|SSW|Ordnung|Generation|und|bis|oder|Segment\w*|Zwischenwirbel\w*|"
    r"Monat\w*|Jahr\w*|Dekade|Kontrolle|Postoperativ\w*|postop\w*)\b"
)
_COUNTED = re.compile(
    r"(?:Rippen?\b|[HBLS]WK|(?:Hals|Brust|Lenden)wirbel|Ventrikel|ICR|Strahl|Metatars|Metakarp|Zehe|Finger|Zyklus|SSW)"
)
"""What a number at the start of a line counts: it is no mark of a list."""
_OPENERS = word_set(
    """Kein Keine Keinerlei Der Die Das Den Dem Es Im In Ein Eine Einzelne Mehrere Unauffällige Unauffälliger
    Unauffälliges Regelrechte Regelrechter Regelrechtes Normale Normaler Normales Nachweis Zudem Ferner Sonst
    Sonstige Übrige Übrigen Auch Am An Bei Nach Mit Ohne Kleine Kleiner Bekannte Unverändert Unveränderte Soweit
    Ansonsten Weiter Weiterhin Zustand Verdacht Multiple Deutliche Geringe Aktuell Hier Dort Diese Dieser Links
    Rechts Beidseits Zeichen Z V Kontrastmittel Insgesamt Außerdem Daneben Übriges Degenerative Freie Neu Zwei
    Drei"""
)
_LISTED = re.compile(r"(?:Hepatitis|Typ|Type|type|Stanford|Segment|Child|Grad|Stadium|Stage|Bosniak|Grade|Gruppe)\s+\Z")


def sentences_of(text: str, span: Span, lang: Lang) -> list[Span]:
    """Spans of the sentences of ``text[span]``, without surrounding white space."""
    found: list[Span] = []
    for start, end in _paragraphs(text, *span, lang):
        first = start
        for match in _STOP.finditer(text, start, end):
            if text[match.start()] == "?" and not text[first : match.start()].strip():
                continue  # "? PE": the mark stands before what it asks for
            if match.end() >= end or _ends(text, first, match, lang):
                _add_pieces(found, text, first, match.end())
                first = match.end()
        if first < end:
            _add_pieces(found, text, first, end)
    return found


def _add_pieces(found: list[Span], text: str, start: int, end: int) -> None:
    while end - start > LONGEST:
        cut = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = start + LONGEST if cut < 0 else cut
        if (piece := _trimmed(text, start, cut)) is not None:
            found.append(piece)
        start = cut
    if (piece := _trimmed(text, start, end)) is not None:
        found.append(piece)


def behind_mark(text: str, start: int, end: int) -> int:
    """Where the text behind the mark of a list item begins: "- ", "2. ", "a) ". "12. Rippe" has none."""
    bullet = None if text[start : start + 1].isupper() else _BULLET.match(text, start, end)
    if bullet is None or bullet.end() >= end:
        return start
    if bullet.group().strip()[:1].isdigit() and _COUNTED.match(text, bullet.end()):
        return start
    return bullet.end()


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """Without white space and the mark of a list item; None when no letter or digit is left."""
    start = behind_mark(text, start, end)
    while start < end and (text[start].isspace() or text[start] in "•·▪●"):
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    said = start < end and (text[start].isalnum() or any(map(str.isalnum, text[start:end])))
    return (start, end) if said else None


def _paragraphs(text: str, start: int, end: int, lang: Lang) -> Iterable[Span]:
    """Cut at line ends that a person made: before bullets, after blank or short lines."""
    return ((start, end),) if text.find("\n", start, end) < 0 else _cut(text, start, end, lang)


def _cut(text: str, start: int, end: int, lang: Lang) -> Iterator[Span]:
    lines: list[Span] = []
    at = start
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        lines.append((at, stop))
        at = stop + 1
    widest = max((stop - first for first, stop in lines), default=0)
    first = start
    for (_, stop), (after, after_stop) in itertools.pairwise(lines):
        if _hard_break(text[_line_start(text, stop, start) : stop], text[after:after_stop], widest, lang):
            yield first, stop
            first = after
    yield first, end


def _line_start(text: str, stop: int, least: int) -> int:
    """First character of the line that ends at `stop`, not before `least`."""
    return max(least, text.rfind("\n", least, stop) + 1)


def _hard_break(line: str, following: str, widest: int, lang: Lang) -> bool:
    tail = line.rstrip()
    if not tail or not following.strip() or _BULLET.match(following) or "|" in line or "|" in following:
        return True  # rows of a table stand alone
    if tail[-1] in ":.!?;":
        found = _LAST_WORD.search(tail[:-1]) if tail[-1] == "." else None
        if _INITIALS.search(tail[-12:]):
            return False  # "Z. n.", "V. a."
        return found is None or lexicon(lang).abbreviations.get(found.group()) != "inner"
    if tail[-1] in ",-(/" or following.lstrip()[0].islower():
        return False
    last_word = tail.rsplit(maxsplit=1)[-1]
    if last_word.lower() in _OPEN_END or (lang == "de" and _ADJECTIVE.fullmatch(last_word) and following[:1].isupper()):
        return False
    next_word = following.split(maxsplit=1)[0]
    shortened = _MASKED_WIDTH * len(_MASKED.findall(line))
    return widest < _FILLED_LINE or len(line) + shortened + 1 + len(next_word) <= widest


def _ends(text: str, first: int, match: re.Match[str], lang: Lang) -> bool:
    """True when this stop ends the sentence that began at `first`."""
    sign = text[match.start()]
    rest = text[match.end() : match.end() + 40].lstrip()
    near = max(first, match.start() - 200)
    if text.count("(", near, match.start()) > text.count(")", near, match.end()):
        closing = text.find(")", match.end(), match.end() + 120)
        if closing >= 0 and "(" not in text[match.end() : closing]:
            return False
    if sign != ".":
        return not rest[:1].islower() or "\n" in text[match.end() : match.end() + 2]
    if not rest:
        return True
    before = text[max(first, match.start() - 40) : match.start()]
    found = _LAST_WORD.search(before)
    word = found.group() if found else ""
    opens = rest[0].isupper() or rest[0] in "-–•*>("
    if word.isdigit():
        return _ends_after_number(before, word, rest, lang)
    if len(word) == 1 and word.isalpha():
        return bool(opens and found and _LISTED.search(before[: found.start()]))
    kinds = lexicon(lang).abbreviations
    kind = kinds.get(word) or kinds.get(word[:1].lower() + word[1:])
    if before.endswith("/" + word):
        return opens  # 86/min.
    if kind == "inner" or word in ("bds", "Bds"):
        return word in ("bds", "Bds") and opens and bool(re.search(r"[A-ZÄÖÜ][\wäöüß-]+[ ]+\Z", before[: -len(word)]))
    if kind == "side":
        return opens and rest.split()[0].rstrip(",.:;") in _OPENERS
    if kind == "last":
        return (opens and rest[0] != "(") or (lang == "en" and word in ("mm", "cm") and rest[0].isdigit())
    if rest[0].islower():
        return len(word) >= 7 and not word.endswith(("iff", "diagn"))
    return True


def _ends_after_number(before: str, word: str, rest: str, lang: Lang) -> bool:
    if rest[0].islower():
        return False
    if re.search(r"\d\.\d{1,2}\Z", before) and rest[0].isdigit():
        return False  # 12.03. 2021
    if re.search(r"\d\.\d{1,2}\Z", before) and rest[0] == "(":
        return False  # "zur VU vom 08.11. (Serie 3, Bild 12)"
    if lang == "de" and len(word) <= 2 and _ORDINAL_NOUNS.match(rest):
        return False
    if not before[: -len(word)].strip(" (*-•\n"):
        return False  # the number of a list item
    return not (rest[0].isdigit() and lang == "de" and len(word) <= 2 and re.search(r"\d\.\s*\d{1,2}\Z", before))
