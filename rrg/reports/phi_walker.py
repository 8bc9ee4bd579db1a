"""Reads names in the tokens of a text: titles, initials, particles, hyphens, "Müller, Hans"."""

from rrg.reports.phi_spans import Spot, Tokens
from rrg.reports.phi_words import is_given, is_word, lists, seems_word
from rrg.reports.words import fold, word_set

TITLES = word_set(
    """Herr Herrn HERR HERRN Frau FRAU Fräulein Hr Hrn Mr Mrs Ms Miss Dr DR DDr Dra Drª Dres Prof PROF Professor
    Professorin Priv Privatdozent Privatdozentin Doz Dozent Prim Primar Dipl Oberarzt Oberärztin Chefarzt
    Chefärztin Assistenzarzt Assistenzärztin Stationsarzt Stationsärztin Hausarzt Hausärztin Facharzt Fachärztin
    Zahnarzt Kollege Kollegin Kollegen Pfarrer Doctor"""
)
DOUBTFUL = word_set(
    """Fr OA OÄ CA CÄ FA FÄ AA PD Ass Schwester Pfleger Bruder Sohn Tochter Ehefrau Ehemann Mutter Vater MTRA MTA
    MFA DGKS DGKP Physician Radiologist Nurse Kollege Kollegin Kollegen Hausarzt Hausärztin Facharzt Fachärztin
    Zahnarzt Oberarzt Oberärztin Chefarzt Chefärztin Primar Dozent Doctor HERR FRAU DR"""
)
"""Titles that mean other things too: what follows must not look like a word."""
_BETWEEN = word_set(
    """med dent rer nat phil h c habil univ mult ing jur pol vet theol dr prof priv doz dipl psych msc md phd ddr
    dra mag univers univer ao ass"""
)
"""Folded words that may stand between a title and the name."""
PARTICLES = word_set("von van vom zu zur zum de der den del della di da dos le la el al bin ibn ten ter am und")
_OPENERS = word_set(
    """der die das dem den des ein eine einer es er sie wir ihr kein keine im in am an auf bei beim mit nach ohne
    von vom vor zu zum zur und oder als auch es the this there he she it we in on at no a an and or is was has"""
)
"""Words that begin a sentence behind "Herr K."."""
MOST_WORDS = 4
_ABBREVIATION = 3
"""Letters of a word in capitals that is no name without a sure title: "Pankreaskopf-CA ED"."""


class Walker:
    """Reads names in the tokens of one text."""

    def __init__(self, text: str, tokens: Tokens) -> None:
        self.text = text
        self.tokens = tokens
        self._at = {start: i for i, start in enumerate(tokens.starts)}

    def index(self, offset: int) -> int:
        """Number of the first token at or behind `offset`."""
        text = self.text
        while offset < len(text) and offset not in self._at:
            offset += 1
        return self._at.get(offset, len(self.tokens.words))

    def gap(self, i: int) -> str:
        """What stands between token `i` and the one before it."""
        return self.text[self.tokens.ends[i - 1] : self.tokens.starts[i]]

    def joined(self, i: int) -> bool:
        """True when token `i` stands in the line of the one before it, not in another column."""
        gap = self.gap(i)
        return "\n" not in gap and len(gap) <= 2

    def titles(self, i: int) -> int:
        """First token behind titles that begin at `i`."""
        words = self.tokens.words
        n = len(words)
        while i < n and (
            words[i] in TITLES or words[i] in DOUBTFUL or fold(words[i]) in _BETWEEN or words[i] in (".", "-", ",")
        ):
            if (words[i] == "," and not (i + 1 < n and words[i + 1] in ("Dr", "Prof", "Frau", "Herr", "Herrn"))) or (
                i and not self.joined(i) and self.gap(i).count("\n") > 1
            ):
                break
            i += 1
        return i

    def name(self, i: int, *, strict: bool, comma: bool = True) -> tuple[int, int]:
        """(one past the last token, number of name words) of the name that begins at token `i`; (i, 0) for none.

        `strict`: also the first word must not look like an ordinary one.
        """
        words, starts, ends = self.tokens
        n = len(words)
        first, end, count, initials = i, i, 0, 0
        while i < n and count < MOST_WORDS:
            if i > first and not self.joined(i):
                break
            word = words[i]
            if word[:1].isupper() and len(word) == 1 and not self._apostrophe(i):
                dotted = i + 1 < n and words[i + 1] == "." and starts[i + 1] == ends[i]
                if not dotted and not (count == 0 and i == first):
                    break
                initials += 1
                i += 1 + dotted
                if count and dotted:
                    end = i - 1
                continue
            if fold(word) in PARTICLES and i + 1 < n and words[i + 1][:1].isupper() and self.joined(i + 1):
                if fold(word) == "und":
                    break
                i += 1
                continue
            if word == "," and comma and count and self._comma(i):
                comma = False
                i += 1
                continue
            if not word[:1].isupper() or not word[:1].isalpha():
                break
            if not self._may_name(i, words[i - 1] if count else "", strict=strict, initials=initials):
                break
            count += 1
            i += 1
            while i + 1 < n and words[i] in "-'’" and starts[i] == ends[i - 1] and starts[i + 1] == ends[i]:
                if not words[i + 1][:1].isalpha():
                    break
                i += 2
            end = i
        return (end, count) if count else (first, 0)

    def _may_name(self, i: int, before: str, *, strict: bool, initials: int) -> bool:
        """`before` is the word of the name in front, "" for the first word."""
        word = self.tokens.words[i]
        folded = fold(word)
        if folded in lists().roles or folded in _OPENERS:
            return False
        if strict and word.isupper() and len(word) <= _ABBREVIATION:
            return False
        if initials and not before:
            return not strict or not is_word(word) or fold(self.tokens.words[i - 1]) in PARTICLES
        if before and not strict and self._closes(i + 1) and (is_given(before) or not is_word(word)):
            return True
        if before and is_given(before) and folded in lists().eponyms:
            return True
        return not (strict or before) or not seems_word(word)

    def _apostrophe(self, i: int) -> bool:
        """ "O'Neill": the letter belongs to the name."""
        words, starts, ends = self.tokens
        return (
            i + 2 < len(words)
            and words[i + 1] in "'’"
            and starts[i + 2] == ends[i] + 1
            and len(words[i + 2]) > 1
            and words[i + 2][:1].isupper()
        )

    def _closes(self, i: int) -> bool:
        """True when token `i` is none of the same phrase."""
        return i >= len(self.tokens.words) or self.tokens.words[i] in ",;/()*" or not self.joined(i)

    def _comma(self, i: int) -> bool:
        """ "Müller, Hans": the word behind the comma is a given name, or unknown and ends the list."""
        words = self.tokens.words
        if i + 1 >= len(words) or not self.joined(i + 1) or not words[i + 1][:1].isupper():
            return False
        word = words[i + 1]
        if is_given(word):
            return True
        follows = words[i + 2] if i + 2 < len(words) else ""
        return len(word) > 1 and not seems_word(word) and (not follows[:1].islower() or follows.startswith("geb"))

    def spot(self, first: int, end: int, rule: str) -> Spot:
        """Tokens [first, end) as a place."""
        return Spot(self.tokens.starts[first], self.tokens.ends[end - 1], rule)
