"""Exclusions that are denied: what "can not be excluded" is in doubt, and not absent."""

import re
from collections.abc import Sequence

from rrg.reports.lexicon import Trigger
from rrg.reports.words import Words, word_set

_NOT = frozenset(("nicht", "not", "cannot", "kaum", "hardly", "nie"))
_DEGREES = word_set(
    """sicher sicherer sicheren sichere eindeutiger definitiver verlaesslicher zuverlaessiger reliable safe certain
    sicherheit letzter letztendlich letztlich ausreichender hinreichender absoluter voelliger mit eindeutig
    ganz voellig gaenzlich komplett vollstaendig vollends restlos hundertprozentig zuverlaessig verlaesslich
    zweifelsfrei definitiv suffizient ausreichend hinreichend abschliessend grundsaetzlich prinzipiell jedoch allein
    alleine bildgebend bildmorphologisch morphologisch ct mrt nativ nativdiagnostisch radiologisch diagnostisch - zu so
    be been absolutely completely entirely fully definitely definitively reliably confidently safely totally with
    certainty complete absolute however radiographically on ct mri imaging this study here hier"""
)
"""How surely and by what: words between the denial and the exclusion."""
_EXCLUDED = ("ausschlie", "auszuschlie", "ausgeschlossen", "exclud", "ruled", "rule")
_EXCLUSION = ("ausschluss", "exclusion")
_NONE = re.compile(r"kein|no\Z")
_VERBS = word_set("ist sind bleibt bleiben waere waeren einer eines von is are remains of auch also")
_ACTIVE = frozenset(("exclude", "rule"))
_FARTHEST = 6
_CLAUSE_ENDS = frozenset((";", "aber", "jedoch", "but"))
_GRANTED = ("moeglich", "gelungen", "gelingt", "gewaehrleistet", "gegeben", "possible", "achieved", "feasible", "made")


def denied_exclusion(words: Words, first: int, last: int) -> int | None:
    """ "nicht mit letzter Sicherheit auszuschließen", "can not be entirely excluded", "kein sicherer Ausschluss": one
    past the word of excluding, when the words [first, last) end with a denial and only degrees stand between.
    """
    keys = words.keys
    if keys[last - 1] not in _NOT and not (last - first == 1 and (keys[first] == "no" or keys[first][:4] == "kein")):
        return None
    i = last
    while i < len(keys) and i - last < _FARTHEST and keys[i] in _DEGREES:
        i += 1
    if i == len(keys) or not keys[i].startswith(_EXCLUDED if keys[last - 1] in _NOT else _EXCLUSION):
        return None
    i += 2 if keys[i] in ("ruled", "rule") and keys[i + 1 : i + 2] == ["out"] else 1
    while first == 0 and i < len(keys) and keys[i] in _VERBS:
        i += 1
    return i


def inverted_exclusion(words: Words, first: int, last: int) -> Trigger | None:
    """ "Auszuschließen ist eine Fraktur nicht", "Sicher ausschließen lässt sich ein Infarkt nicht": the clause begins
    with the word of excluding, and the denial of words [first, last) closes it. What stands between is in doubt.
    """
    keys = words.keys
    end = last
    while end < len(keys) and keys[end] in _DEGREES:
        end += 1
    if keys[last - 1] not in _NOT or (end < len(keys) and words.raw[end] not in ".,;:!?)"):
        return None
    start = first
    while start > 0 and words.raw[start - 1] not in ";:(,.":
        start -= 1
    at = start
    while at < first and keys[at] in _DEGREES:
        at += 1
    if at + 1 >= first or not keys[at].startswith(_EXCLUDED) or keys[at + 1] not in _CARRYING:
        return None
    return Trigger("uncertain", "before", " ".join((words.raw[at], *words.raw[first:end])))


_CARRYING = word_set("ist sind war waren laesst lassen liess liessen kann koennen konnte konnten bleibt wird werden")


def doubting(words: Words, first: int, last: int) -> Trigger:
    """What a denied exclusion of words [first, last) does. It reaches forward from the start of a clause, as a noun
    ("kein Ausschluss einer Fraktur") and as an active verb ("can not exclude"), else back.
    """
    opens = first == 0 or words.raw[first - 1] in ",;:("
    closes = last == len(words.raw) or words.raw[last] in ".,;:!?)"
    active = not _ACTIVE.isdisjoint(words.keys[last - 2 : last]) or _NONE.match(words.keys[first])
    scope = "after" if active or (opens and not closes) else "before"
    return Trigger("uncertain", scope, " ".join(words.raw[first:last]))


def failed_exclusion(words: Words, first: int, last: int, triggers: Sequence[Trigger]) -> list[Trigger]:
    """ "Ausschluss einer Fraktur nicht sicher möglich", "exclusion of a fracture is not possible": the exclusion of
    words [first, last) did not succeed, so that it leaves a doubt; else `triggers` as they are.
    """
    if not words.keys[first].startswith(_EXCLUSION):
        return list(triggers)
    doubt = [Trigger("uncertain", "after", " ".join(words.raw[first:last]))]
    denied = False
    for key in words.keys[last:]:
        if key in _CLAUSE_ENDS:
            break
        denied = denied or key in _NOT
        if denied and key.startswith(_GRANTED):
            return doubt
    return list(triggers)
