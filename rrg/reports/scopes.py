"""How far the words of the context reach: where a scope ends in a sentence."""

from rrg.reports.walls import CAUSES, TURNS, Hit, Walls, new_statement, segment_end
from rrg.reports.words import MASK, Words, word_set

NEAR = 3
"""A bare "nicht" or "not" reaches this many words at most, and only the first that is no adverb."""
_ADVERBS = word_set(
    """wesentlich signifikant relevant pathologisch eindeutig sicher mehr deutlich ganz weiter path nennenswert
    wirklich so sehr wieder noch further a an the"""
)
_GONE = ("absent", "resected", "not_imaged")


def _known(words: Words, i: int) -> bool:
    return words.keys[i].startswith(_GIVEN) and words.keys[i - 1] in _DEFINITE


_GIVEN = ("bekannt", "vorbekannt", "vorbeschrieben", "vorbestehend", "known", "preexisting")
_DEFINITE = frozenset(("den", "dem", "der", "die", "das", "des", "im", "am", "the"))


def goes_on(hit: Hit, words: Words, walls: Walls) -> bool:
    """A scope of the same kind that was begun before goes on past this trigger: both have one end, so that a long list
    of denials takes no longer than its words. Brackets may part them.
    """
    end = walls.reached.get(_sort(hit, words), 0)
    return end > hit.last + 1 and "(" not in words.raw and ")" not in words.raw


def _sort(hit: Hit, words: Words) -> tuple[str, bool]:
    return hit.trigger.kind, words.keys[hit.first].startswith("kein")


_AROUND = ("umgebend", "begleitend", "angrenzend", "konsekutiv", "reaktiv", "perifokal", "assoziiert")


def forward_end(hit: Hit, words: Words, walls: Walls, *, listed: bool) -> int:
    """`right_end`, noted for `goes_on`."""
    end = walls.reached[_sort(hit, words)] = right_end(hit, words, walls, listed=listed)
    return end


def right_end(hit: Hit, words: Words, walls: Walls, *, listed: bool) -> int:
    """One past the last word that a forward trigger reaches."""
    depth = 0
    kind = hit.trigger.kind
    for i in range(hit.last, len(words.raw)):
        raw = words.raw[i]
        if raw == "(":
            depth += 1
        elif raw == ")":
            depth -= 1
            if depth < 0:
                return i
        if walls.hard[i] == 1 or (walls.hard[i] and kind != "history"):
            return i
        begins = walls.starts.get(i)
        if begins is not None and begins != kind and kind in ("history", "uncertain", *_GONE) and begins not in _GONE:
            return i
        if (begins == "history" and kind == "negation") or (walls.current[i] and kind == "history"):
            return i
        if kind == "negation" and i > hit.last + 1 and _known(words, i):
            return i - 1  # "keine Einblutung in den bekannten Infarkt": what is known is there
        if walls.soft[i] and (walls.soft[i] != 1 or listed):
            if new_statement(i, words, walls) or (kind == "negation" and _closed(hit, i, words, walls)):
                return i
        elif walls.soft[i] == 1:
            return i
        if kind in ("history", *_GONE) and words.keys[i] in ("mit", "with"):
            return i
        following = words.keys[i + 1] if i + 1 < len(words.keys) else ""
        if kind == "uncertain" and words.keys[i] == "mit" and following.startswith(_AROUND):
            return i  # "V. a. Appendizitis mit umgebender Imbibierung"
    return len(words.raw)


def _closed(hit: Hit, comma: int, words: Words, walls: Walls) -> bool:
    """What is denied ends at this comma: "keine Resistenzen tastbar, blande Narbe"; or what follows is in the strong
    plural, which "keine" does not govern: "keine Fraktur, degenerative Veränderungen" ("keine degenerativen").
    """
    if walls.soft[comma] != 1:
        return False
    if walls.affirm[comma - 1] == 2:
        return True
    end = segment_end(comma + 1, words, walls)
    if end - comma < 3 or not words.keys[hit.first].startswith("kein") or (end < len(words.raw) and walls.soft[end]):
        return False
    attribute, noun = words.raw[comma + 1], words.raw[comma + 2]
    return attribute.islower() and attribute.endswith("e") and noun[:1].isupper() and noun.endswith("en")


_UNINFLECTED = ("isch", "lich", "haft", "ell", "ig", "al", "iv")


def near_end(hit: Hit, words: Words, walls: Walls) -> int:
    """One past the last word that a bare "nicht" or "not" reaches."""
    end = hit.last
    counted = 0
    while end < len(words.raw) and counted < NEAR:
        if walls.hard[end] or walls.soft[end] == 1 or words.raw[end] in "()":
            break
        word = words.keys[end]
        counted += word[0].isalnum()
        end += 1
        if word[0].isalpha() and word not in _ADVERBS and not word.endswith("ly"):
            following = words.raw[end] if end < len(words.raw) else ""
            if not (word.endswith(_UNINFLECTED) and following.islower() and following.endswith(("t", "en", "nd"))):
                break  # "nicht aneurysmatisch erweitert" denies both
    return end


def noun_end(hit: Hit, words: Words) -> int:
    """One past the noun that an adjective describes: "fehlende linke Niere"; in English four words at most."""
    end = hit.last
    while end < len(words.raw) and end - hit.last < NEAR + 1:
        end += 1
        if words.raw[end - 1][0].isupper():
            break
    return end


def left_end(hit: Hit, words: Words, walls: Walls) -> int:
    """The first word that a backward trigger reaches."""
    joined = False
    depth = 0
    i = hit.first - 1
    while i >= 1 and hit.first - i <= 2 and words.raw[i].isalpha():
        i -= 1
    i = i - 1 if i >= 1 and words.raw[i] == ":" else hit.first - 1  # "Pleuraerguss: nein", "Erguss: beidseits nicht"
    while i >= 0:
        raw = words.raw[i]
        if raw == ")":
            depth += 1
        elif raw == "(":
            depth -= 1
            if depth < 0:
                return i + 1
        if i > 0 and words.keys[i] in _INSIDE and hit.first - i <= 2 and words.raw[i - 1] not in ",;:)":
            i -= 1  # "Pneumonie jedoch möglich" is one clause
            continue
        if raw == "," and (opened := _insertion(words, i)) is not None:
            i = opened - 1  # "Eine Blutung, wie klinisch vermutet, findet sich nicht"
            continue
        if walls.hard[i] == 1 and not (words.raw[i].isalpha() and i > 0 and words.keys[i - 1] in CAUSES):
            return i + 1
        soft = walls.soft[i] if i < hit.first - 1 else 0  # "ist leer und nicht abgrenzbar" has one subject
        if soft == 1 and not joined:
            return i + 1
        if soft == 1 and _says_own(i, words, walls):
            return i + 1
        if soft >= 2:
            joined = True
            if soft == 2 and _says_own(i, words, walls):
                return i + 1
        i -= 1
    return 0


def _insertion(words: Words, comma: int) -> int | None:
    """The comma that opens the insertion which this one closes: ", wie vermutet,", ", as suspected,"."""
    for i in range(comma - 1, max(-1, comma - _LONGEST_INSERTION), -1):
        if words.raw[i] in ";:.()":
            return None
        if words.raw[i] == ",":
            return i if words.keys[i + 1] in _INSERTED else None
    return None


_LONGEST_INSERTION = 10
_INSERTED = frozenset(("wie", "as", "soweit", "sofern", "falls", "so", "if", "insofar"))


def _says_own(wall: int, words: Words, walls: Walls) -> bool:
    """True when the segment left of a wall has a verb of its own."""
    i = wall - 1
    while i >= 0 and not walls.hard[i] and not walls.soft[i]:
        if walls.affirm[i] == 1:
            return True
        i -= 1
    return False


def prior_end(hit: Hit, words: Words, walls: Walls) -> int:
    """One past the last word that stands under an earlier study."""
    after = words.raw[hit.last : hit.last + 1]
    if hit.last - hit.first == 1 and after and after[0][0].isdigit() and hit.last + 1 < len(words.raw):
        return hit.last + 1  # "ehemals 11 mm große", "previously 9 mm": the size, not the finding
    depth = 0
    opening = hit.last if hit.first == 0 and words.raw[hit.last : hit.last + 1] == [","] else -1
    for i in range(hit.last, len(words.raw)):
        raw = words.raw[i]
        if raw == "(":
            depth += 1
        elif raw == ")":
            depth -= 1
            if depth < 0:
                return i
        if opening >= 0 and raw == ",":
            continue  # "Previously, on series 4, the nodule measured 4 mm"
        if walls.current[i] or raw == ";" or (walls.hard[i] and raw.isalpha() and words.keys[i] in TURNS):
            return i
        following = words.raw[i + 1] if i + 1 < len(words.raw) else ""
        if walls.soft[i] == 1 and following and following != MASK and not following[0].isdigit():
            return i
    return len(words.raw)


_INSIDE = TURNS | word_set("weiterhin zudem somit daher ferner ansonsten also therefore otherwise")
"""What ends a scope at the start of a clause stands in the middle of another: "werden weiterhin nicht gesehen"."""


def other_end(hit: Hit, words: Words, walls: Walls) -> tuple[int, int]:
    """Words [first, last) that speak of someone else: from the last wall to the next that leads back."""
    last = hit.last
    while (
        last < len(words.raw)
        and not walls.self_[last]
        and not walls.current[last]
        and words.raw[last] != ";"
        and words.keys[last] not in TURNS
    ):
        last += 1
    if last < len(words.raw) and walls.self_[last]:
        while last > hit.last and words.raw[last - 1] != ",":
            last -= 1
    first = hit.first
    while first > 0 and words.raw[first - 1] not in ",;" and not walls.self_[first - 1]:
        first -= 1
    return first, last
