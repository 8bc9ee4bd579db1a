"""What ends the scope of a trigger in a sentence: ";", ":", "aber", "but" always; a comma or an "und" only when a new
statement begins behind it.
"""

from typing import NamedTuple

from rrg.reports.lexicon import Trigger
from rrg.reports.words import Words, opens_relative, word_set

CAUSES = word_set("bei nach wegen aufgrund da weil because due secondary since despite")
TURNS = word_set("aber jedoch allerdings hingegen but however whereas while now jetzt nun")
_OR = frozenset(("oder", "or", "nor", "noch", "bzw", "beziehungsweise", "respektive", "od"))


class Hit(NamedTuple):
    """A trigger in a sentence: words [first, last)."""

    first: int
    last: int
    trigger: Trigger


class Walls(NamedTuple):
    """What may end a scope, per word."""

    hard: bytearray
    """1 always ends: ";", ":", "aber", "but", "außer". 2 ends what comes from its left: "bei", "nach"."""
    soft: bytearray
    """1 a comma, 2 "und", 3 "oder": ends when a new statement begins behind it."""
    affirm: bytearray
    """1 a word of a new statement, 2 a predicate."""
    current: bytearray
    """A word that leads back to the present study."""
    self_: bytearray
    """A word that leads back to the patient."""
    starts: dict[int, str]
    """Word -> kind of the forward trigger that begins there."""
    reached: dict[tuple[str, bool], int]
    """Kind of a forward trigger, and whether it is a "kein" -> one past the last word that those so far reach."""


def walls_of(words: Words, hits: list[Hit]) -> Walls | None:
    """What ends scopes in a sentence; None when no trigger has a scope."""
    n = len(words.raw)
    walls = Walls(bytearray(n), bytearray(n), bytearray(n), bytearray(n), bytearray(n), {}, {})
    any_scope = False
    for first, last, trigger in hits:
        kind = trigger.kind
        if trigger.scope != "none" or kind == "comparison":
            any_scope = True
            if trigger.scope in ("after", "near", "both"):
                walls.starts.setdefault(first, kind)
        if kind in ("end", "exception"):
            walls.hard[first] = 2 if words.keys[first] in CAUSES else 1
        elif kind == "self":
            walls.self_[first] = 1
        elif kind == "affirm":
            walls.affirm[first:last] = b"\1" * (last - first)
        elif kind == "predicate":
            walls.affirm[first:last] = b"\2" * (last - first)
        elif kind == "current":
            walls.current[first] = 1
            walls.affirm[first] = walls.affirm[first] or 1
        elif kind == "join":
            walls.soft[first] = 3 if words.keys[first] in _OR else 2
    if not any_scope:
        return None
    for i, raw in enumerate(words.raw):
        if raw not in _SIGNS:
            continue
        if raw == ",":
            walls.soft[i] = 1
        elif raw in ";:" or _spaced(words, i):
            walls.hard[i] = 1
    return walls


_SIGNS = frozenset(",;:-–—")


def _spaced(words: Words, i: int) -> bool:
    """A dash between spaces, not a hyphen."""
    return 0 < i < len(words.raw) - 1 and words.ends[i - 1] < words.starts[i] and words.ends[i] < words.starts[i + 1]


def segment_end(at: int, words: Words, walls: Walls) -> int:
    """First wall behind `at`."""
    i = at
    while i < len(words.raw) and not walls.hard[i] and not walls.soft[i]:
        i += 1
    return i


def new_statement(at: int, words: Words, walls: Walls) -> bool:
    """True when the segment behind the soft wall `at` says something of its own."""
    end = segment_end(at + 1, words, walls)
    listed_on = end < len(words.raw) and walls.soft[end] == 3
    if walls.soft[at] == 3 or (walls.soft[at] == 1 and opens_relative(words, at)):
        return False
    if walls.soft[at] == 1 and at + 1 < end < len(words.raw) and words.keys[end] in TURNS:
        return True  # "kein Infiltrat, Pneumonie jedoch möglich"
    for i in range(at + 1, end):
        if walls.affirm[i] == 1 and not listed_on:
            return True
        if walls.affirm[i] == 2 and walls.soft[at] == 1 and not listed_on:
            return True
        if walls.soft[at] == 1 and words.keys[i] in ("mm", "cm") and _measured(words, i):
            return True
    return False


def _measured(words: Words, unit: int) -> bool:
    """ "kein Erguss, Konkrement 4 mm": what has a size is there, unless it is a limit ("Rundherd > 4 mm")."""
    return words.raw[unit - 1][0].isdigit() and _LIMITS.isdisjoint(words.keys[max(0, unit - 4) : unit])


_LIMITS = frozenset(
    (">", "<", "ueber", "groesser", "als", "ab", "larger", "than", "over", "above", "exceeding", "greater", "≥")
)
