"""Which words are ordinary: with a capital letter they are still no name. Lists of ``rrg/lexicon``, read once."""

import hashlib
import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from rrg.reports.words import fold

LISTS = ("phi.given.tsv", "phi.towns.tsv", "phi.words.tsv")
_ENDINGS = ("s", "e", "n", "en", "er", "es", "em", "ern")
_LETTERS = re.compile(r"[^\W\d_]+")
_TAIL = 5
"""The end of a compound is looked up from this many letters on: "Nieren|zyste"."""
_SUFFIX = re.compile(
    r"(?:ungs?|ungen|heit|heiten|keit|keiten|schaft|tion|tionen|sion|sionen|itis|itiden|ose|osen|ome?|oms|omen|ismus|"
    r"taet|taeten|graphien?|grafien?|skopien?|tomien?|ektomien?|plastik|plastiken|pathien?|algien?|aemien?|urien?|"
    r"logien?|therapien?|metrien?|trophien?|plasien?|kinesien?|megalien?|stasen?|lysen?|zysten?|herde?|befunde?|"
    r"syndrome?s?|erguesse?|druesen?|wirbel\w?|knochen\w?|gelenke?s?|muskeln?|lappens?|gefaesse?n?|waende?|"
    r"arterien?|venen?|schmerz\w*|werte?n?|zeichens?|bereichs?|region|isch\w{0,2}|lich\w{0,2}|iges|igen|iert\w{0,2}|"
    r"bar\w{1,2}|los\w{1,2}|ale|alen|ales|aere|aerer|aeres|oese|oeser|oeses|ness|ments?|ity|ities|ology|oma|omas|osis|"
    r"ic|ics|ous|ies|ectomy|scopy|graphy|pathy|emia)\Z"
)
_TOO_SHORT = 5


class Lists(NamedTuple):
    """Folded words by kind."""

    ordinary: frozenset[str]
    """Of the word lists of the parser, and ``common``, ``role``, ``department`` and ``eponym``."""
    roles: frozenset[str]
    eponyms: frozenset[str]
    shared: frozenset[str]
    """Eponyms that are common surnames as well."""
    given: frozenset[str]
    towns: frozenset[str]


@cache
def lists() -> Lists:
    """All lists."""
    kinds: dict[str, set[str]] = {}
    for name in LISTS:
        for line in _read(name).splitlines()[1:]:
            kind, tab, words = line.partition("\t")
            if tab and not kind.startswith("#"):
                kinds.setdefault(kind, set()).update(fold(word) for word in words.split())
    ordinary = kinds["common"] | kinds["role"] | kinds["department"] | kinds["eponym"]
    folder = files("rrg") / "lexicon"
    for entry in folder.iterdir():
        if entry.name.endswith(".tsv") and not entry.name.startswith("phi."):
            for line in entry.read_text("utf-8").splitlines():
                if not line.startswith("#"):
                    ordinary |= {fold(word) for word in _LETTERS.findall(line) if len(word) > 2}
    ordinary -= kinds["shared"]
    return Lists(
        frozenset(ordinary),
        frozenset(kinds["role"]),
        frozenset(kinds["eponym"]),
        frozenset(kinds["shared"]),
        frozenset(kinds["given"]),
        frozenset(kinds["town"]),
    )


def _read(name: str) -> str:
    return (files("rrg") / "lexicon" / name).read_text("utf-8")


@cache
def lists_digest() -> str:
    """12 hex digits of the SHA-256 over the lists of this module."""
    total = hashlib.sha256()
    for name in LISTS:
        total.update(f"{name}\0{_read(name)}\0".encode())
    return total.hexdigest()[:12]


@lru_cache(1 << 16)
def is_word(word: str) -> bool:
    """True for a word of the lists, with a German ending or without."""
    folded = fold(word)
    known = lists().ordinary
    if folded in known:
        return True
    return any(
        folded.endswith(ending) and len(folded) - len(ending) > 2 and folded[: -len(ending)] in known
        for ending in _ENDINGS
    )


@lru_cache(1 << 16)
def seems_word(word: str) -> bool:
    """True also for what is built like a word: a compound that ends in one, an ending that names do not have."""
    if is_given(word):
        return False
    if is_word(word):
        return True
    folded = fold(word)
    if len(folded) >= _TOO_SHORT and _SUFFIX.search(folded):
        return True
    known = lists().ordinary
    return any(folded[at:] in known for at in range(3, min(len(folded) - _TAIL + 1, 40)))


@lru_cache(1 << 16)
def is_given(word: str) -> bool:
    """True for a given name of the list, also in the genitive."""
    folded = fold(word)
    known = lists().given
    return folded in known or (folded.endswith("s") and folded[:-1] in known)
