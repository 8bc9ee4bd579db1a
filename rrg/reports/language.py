"""German or English, by the small words that every sentence has, else by the words of the lists."""

import re

from rrg.records import Lang
from rrg.reports.compounds import compound
from rrg.reports.lexicon import lexicon
from rrg.reports.words import fold, word_set

_WORD = re.compile(r"[^\W\d_]+")
_DE = word_set(
    """der die das des dem den ein eine einer eines einem einen und oder nicht kein keine keiner keinen keinem
    ohne im am zum zur bei mit nach von vom vor für auf aus ist sind wird werden wurde sich auch bis über durch
    sowie bzw links rechts beidseits linken rechten linke rechte unauffällig regelrecht befund beurteilung
    nachweis zustand es zeigt zeigen noch unverändert bild serie schicht fragestellung klinische angaben
    voruntersuchung vergleich als nur sonst diese dieser leber niere lunge milz herz knochen erguss aktuell
    bekannt li re v größe ca beide beiden beider mehrere"""
)
_EN = word_set(
    """the of and or no not without with on at to from for by is are was were be been has have there this that
    which as an a left right both bilateral evidence seen unremarkable normal findings impression history
    comparison technique study image images series liver kidney lung lungs spleen heart bone effusion measuring
    unchanged within into also than likely small large patient prior previous scan clinical indication"""
)
_ONLY_DE = re.compile(r"[äöüßÄÖÜ]")


def scores(text: str) -> tuple[int, int]:
    """(German, English) evidence in the first 4,000 characters."""
    german = english = 0
    part = text[:4000]
    for word in _WORD.findall(part):
        small = word.lower()
        german += small in _DE
        english += small in _EN
    return german + len(_ONLY_DE.findall(part)), english


def detect(text: str, otherwise: Lang = "de", least: int = 1) -> Lang:
    """The language with twice the evidence, at least `least`; else `otherwise`. A phrase without small words ("Mild
    cardiomegaly.") is of the language whose lists have more of its words.
    """
    german, english = scores(text)
    if german >= least and german > 2 * english:
        return "de"
    if english >= least and english > 2 * german:
        return "en"
    if least > 1:
        return otherwise
    more = german - english or _listed(text)
    return otherwise if more == 0 else "de" if more > 0 else "en"


def _listed(text: str) -> int:
    """How many more of the words are in the lists of German, or made of their parts, than in those of English."""
    german, english = lexicon("de").vocabulary, lexicon("en").vocabulary
    keys = [fold(word) for word in _WORD.findall(text[:_LISTED])]
    return sum((key in german or compound(key) != ()) - (key in english) for key in keys)


_LISTED = 400
"""Characters that are looked up."""
