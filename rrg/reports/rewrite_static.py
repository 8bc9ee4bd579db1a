"""A sentence without what only an earlier examination can show.

"Größenprogrediente Leberzyste, aktuell 12 mm, zuvor 9 mm" becomes "Leberzyste, 12 mm". Words are only taken away or
moved; `rrg.reports.rewrite_check` judges the result.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rrg.records import Lang, Span
from rrg.reports.references import references_of
from rrg.reports.references_words import Found
from rrg.reports.rewrite_phrases import TORN, article, joints, named, tidy
from rrg.reports.rewrite_words import WORDS, Language


class Static(NamedTuple):
    """What became of a sentence."""

    text: str
    """Empty: nothing is left."""
    rules: tuple[str, ...]
    """What was done; empty: nothing speaks of an earlier examination."""
    denied: tuple[str, ...]
    """Pieces that denied a change only ("keine neuen Herde"): their facts go with them."""
    earlier: tuple[str, ...] = ()
    """Pieces that spoke of an earlier examination only."""
    broken: bool = False
    """The rest can not be a sentence."""


_SPLIT = re.compile(r"(?<!\d),(?=\s)|(?<=\d),\s+|;\s*|\s[–-]\s")
_BRACKET = re.compile(r"\s*\(([^()]*)\)")
_RELATIVE = re.compile(r"\s*(?:der|die|das|welche\w*|which|that|who|where)\b")


def static(sentence: str, lang: Lang) -> Static:
    """The sentence in words of the present only."""
    words = WORDS[lang]
    text = " ".join(sentence.split())
    end = text[-1] if text and text[-1] in ".!?:" else ""
    body = text[: len(text) - len(end)] if end else text
    work = _Work(body, lang, words)
    work.run()
    if not work.rules:
        return Static(sentence, (), ())
    made = tidy(work.text, end or ".", lang)
    said = _without(made, references_of(made, 0, len(made)))
    if not any(not words.filler.fullmatch(word) for word in re.findall(r"\w+", said)):
        made = ""
    return Static(made, tuple(dict.fromkeys(work.rules)), tuple(work.denied), tuple(work.earlier), work.broken)


class _Work:
    """A sentence under work: its text, the rules that fired, the denied pieces."""

    def __init__(self, text: str, lang: Lang, words: Language) -> None:
        self.text = text
        self.lang = lang
        self.words = words
        self.rules: list[str] = []
        self.denied: list[str] = []
        self.earlier: list[str] = []
        self.broken = False

    def run(self) -> None:
        """All steps, from what is surest to what is left over."""
        words = self.words
        label, self.text = _label(self.text)
        capital = self.text[:1].isupper()
        self._brackets()
        if words.left.search(self.text):
            self._replace("between", words.between, self._between)
        self._replace("amount", words.amount, " ")
        self._replace("told-before", words.told_before, self._told)
        self._replace("compared", words.compared, "")
        self.text = joints(self.text) if "compared" in self.rules else self.text
        self._clauses("predicate", words.predicate)
        self._denied()
        self._segments()
        self._replace("resolved", words.gone, lambda match: f"no {match['np']}")
        self._replace("resolved", words.resolved, self._resolved)
        self._clauses("nominal", words.nominal)
        self._clauses("predicate", words.predicate)
        self._attributes()
        if "compared" in self.rules or "prior" in self.rules:
            self._replace("change", words.sized, "")
        self._replace("adverb", words.adverb, "")
        if self.rules:
            self._mend()
        if label and capital:
            self.text = self.text[:1].upper() + self.text[1:]
        self.text = label + self.text

    def _replace(self, rule: str, pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str]) -> None:
        kept = self._references()

        def change(match: re.Match[str]) -> str:
            if any(a < match.end() and match.start() < b for a, b in kept):
                return match.group()
            made = by if isinstance(by, str) else by(match)
            if made != match.group():
                self.rules.append(rule)
            return made

        self.text = pattern.sub(change, self.text)

    def _references(self) -> list[Span]:
        return [found.span for found in references_of(self.text, 0, len(self.text))]

    def _brackets(self) -> None:
        """ "(zuvor 9 mm)" goes; of "(aktuell 12 mm, zuvor 9 mm)" the present part stays."""

        def change(match: re.Match[str]) -> str:
            kept = self._present(match[1])
            if kept is None:
                return match.group()
            self.rules.append("prior")
            return f" ({kept})" if any(map(str.isalnum, kept)) else ""

        self.text = _BRACKET.sub(change, self.text)

    def _segments(self) -> None:
        kept = self._present(self.text)
        if kept is not None:
            self.rules.append("prior")
            self.text = kept

    def _present(self, text: str) -> str | None:
        """The parts of a text that speak of the present; None when all do."""
        prior, current = self.words.prior, self.words.current
        if not prior.search(text):
            return None
        fixed = [found.span for found in references_of(text, 0, len(text))]
        parts, signs = _parts(text, fixed)
        made, gone = "", False
        for part, sign in zip(parts, signs, strict=True):
            more = self.words.past.search(part) and not current.search(part)
            if gone and (more or not any(map(str.isalnum, _without(part, references_of(part, 0, len(part)))))):
                self.earlier.append(part)
                continue
            if gone and not made and _RELATIVE.match(part):
                self.broken = True
            gone = False
            if earlier := prior.search(part):
                now = current.search(part)
                if now is None:
                    gone = True
                    self.earlier.append(part)
                    continue
                until = now.start() if now.start() > earlier.start() else len(part)
                self.earlier.append(part[earlier.start() : until])
                part = (part[: earlier.start()] + part[until:]).rstrip(" ,;(")
            made += (sign if made else "") + part
        return made.strip(" ,;–-")

    def _between(self, match: re.Match[str]) -> str:
        now = match["now"] or match["now2"]
        self.earlier.append(match.group().removesuffix(now))
        return ("auf " if self.lang == "de" else "to ") + now if match["now"] else now

    def _told(self, match: re.Match[str]) -> str:
        first = match.group().split()[0]
        return first + " " if first.lower() in ("der", "die", "das", "den", "dem") else ""

    def _denied(self) -> None:
        def change(match: re.Match[str]) -> str:
            self.denied.append(match.group())
            return ""

        self._replace("denied-change", self.words.denied, change)

    def _resolved(self, match: re.Match[str]) -> str:
        if match.groupdict().get("any"):
            return "no"
        if match["word"]:
            return "nicht" if self.lang == "de" else "not"
        if self.lang == "de":
            return f"{'ist' if match['one'] else 'sind'} nicht nachweisbar"
        return f"{'is' if match['one'] else 'are'} not visible"

    def _clauses(self, rule: str, pattern: re.Pattern[str]) -> None:
        """ "Die Zyste ist größenprogredient auf 12 mm" -> "Zyste, 12 mm"."""
        made, at = "", 0
        for start, end in _spans(self.text, self._references()):
            part = self.text[start:end]
            lead = len(part) - len(part.lstrip())
            match = pattern.match(part, lead)
            if match is not None:
                groups = match.groupdict()
                size = groups.get("size") or groups.get("size2")
                name = named(match["np"], groups.get("article"), self.lang)
                if name is not None:
                    self.rules.append(rule)
                    part = part[:lead] + name + (f", {size}" if size else "") + part[match.end() :]
            made += self.text[at:start] + part
            at = end
        self.text = made + self.text[at:]

    def _attributes(self) -> None:
        text = self.text

        def change(match: re.Match[str]) -> str:
            before = text[: match.start()]
            joined = self.lang == "de" and re.search(
                r"(?:\b[a-zäöüß]+e[rnsm]?|^(?:Multipl|Mehrer|Zahlreich|Klein|Groß|Einzeln)e[rnsm]?)(\s+(?:und|and|sowie),?\s+)$",
                before,
            )
            return "\x00" if joined else ""

        self._replace("change", self.words.attribute, change)
        self.text = re.sub(r"\s+(?:und|and|sowie),?\s+\x00", " ", self.text)

    def _mend(self) -> None:
        """Verb-second after a lost beginning; "a" and "an"; nothing that only joins."""
        text = joints(self.text)
        if {"nominal", "predicate", "denied-change"} & set(self.rules):
            text = re.sub(r",\s+(?:aber|jedoch|but)\s+", ", ", text)
        if self.lang == "de" and self.words.verb_first.match(text):
            text = "Es " + text[0].lower() + text[1:]
        if self.lang == "en":
            text = re.sub(
                r"^(?:seen|noted|demonstrated|visualized)\s+(is|are)\b", r"there \1", text, flags=re.IGNORECASE
            )
            text = re.sub(r"\b([Aa])n?\s+(?=([\w-]+))", article, text)
        self.broken = self.broken or bool(TORN.search(text))
        self.text = text


def _without(text: str, found: Sequence[Found]) -> str:
    for each in reversed(found):
        text = text[: each.span[0]] + text[each.span[1] :]
    return text


def _label(text: str) -> tuple[str, str]:
    """ "Leber: ..." keeps its label."""
    match = re.match(r"(?:[-•*]\s*)?[A-ZÄÖÜ][\w/ -]{1,30}:\s+(?=\S)", text)
    if match is None or re.match(r"(?:neu|new|aktuell|unverändert|partial|complete)", match.group(), re.IGNORECASE):
        return "", text
    return match.group(), text[match.end() :]


def _parts(text: str, fixed: Sequence[Span]) -> tuple[list[str], list[str]]:
    """Pieces between commas and semicolons outside of references, and the sign before each."""
    parts, signs, at, sign = [], [], 0, ""
    for match in _SPLIT.finditer(text):
        if any(a < match.end() and match.start() < b for a, b in fixed):
            continue
        parts.append(text[at : match.start()])
        signs.append(sign)
        at, sign = match.end(), match.group().rstrip() + " "
    return [*parts, text[at:]], [*signs, sign]


def _spans(text: str, fixed: Sequence[Span]) -> list[Span]:
    """Spans of the pieces of `_parts`."""
    spans, at = [], 0
    for match in _SPLIT.finditer(text):
        if not any(a < match.end() and match.start() < b for a, b in fixed):
            spans.append((at, match.start()))
            at = match.end()
    return [*spans, (at, len(text))]
