"""What a word of a sentence stands under: negation, doubt, history, an earlier study, a structure that is gone.

Triggers reach forward or back to the end of their scope (after the idea of NegEx and ConText, Chapman et al., J Biomed
Inform 2001 and 2009; rules and word lists are our own, for German and English alike).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from rrg.records import Lang
from rrg.reports.lexicon import Trigger, lexicon, longest
from rrg.reports.words import MASK, Words, word_set

UNSEEN = "negation-behind"
"""Rule of a negation that stands behind what it denies: "nicht abgrenzbar", "not seen"."""
NEAR = 3
"""A bare "nicht" or "not" reaches this many words at most, and only the first that is no adverb."""
_ADVERBS = word_set(
    """wesentlich signifikant relevant pathologisch eindeutig sicher mehr deutlich ganz weiter path nennenswert
    wirklich so sehr wieder noch further"""
)
_CAUSES = word_set("bei nach wegen aufgrund da weil because due secondary since despite")
_OR = frozenset(("oder", "or", "nor", "noch", "bzw", "beziehungsweise", "respektive", "od"))
_COMPARING = word_set(
    """to with from since than zur zum zu gegenueber mit als vs the der dem den am im vergleich against"""
)
_COMPARED = word_set("to with from since than zur zum zu gegenueber als vs vergleich against")


class Hit(NamedTuple):
    """A trigger in a sentence: words [first, last)."""

    first: int
    last: int
    trigger: Trigger


@dataclass(slots=True)
class Context:
    """For each word of a sentence, the trigger form it stands under, or None."""

    negated: list[str | None]
    uncertain: list[str | None]
    history: list[str | None]
    prior: list[str | None]
    absent: list[str | None]
    compared: list[int] = field(default_factory=list)
    """One past the last word of each comparison with an earlier study."""
    trigger: bytearray = field(default_factory=bytearray)
    """1 where the word belongs to a trigger."""


def context_of(words: Words, lang: Lang, atoms: bytearray) -> Context:
    """Scopes over the words of a sentence. `atoms` marks words inside of references and dates: no scope ends there."""
    n = len(words.raw)
    made = Context([None] * n, [None] * n, [None] * n, [None] * n, [None] * n, trigger=bytearray(n))
    hits = _hits(words, lang, atoms)
    if not hits:
        return made
    walls = _walls(words, hits, atoms)
    if walls is None:
        return made
    for hit in sorted(hits, key=lambda each: each.trigger.kind != "prior"):
        kind = hit.trigger.kind
        if kind in ("negation", "unlikely", "uncertain", "history", "prior", "absent", "comparison", "pseudo"):
            made.trigger[hit.first : hit.last] = b"\1" * (hit.last - hit.first)
        if kind == "comparison":
            made.compared.append(hit.last)
        elif kind in ("negation", "unlikely", "uncertain", "history", "prior", "absent"):
            _spread(made, hit, words, walls)
    return made


def _hits(words: Words, lang: Lang, atoms: bytearray) -> list[Hit]:
    """Longest triggers, from left to right. One form may have a forward and a backward meaning: the place decides."""
    trie = lexicon(lang).context
    found: list[Hit] = []
    i, n = 0, len(words.raw)
    while i < n:
        match = None if atoms[i] else longest(trie, words, i)
        if match is None:
            i += 1
            continue
        last, triggers = match
        found.extend(_chosen(words, i, last, triggers))
        i = last
    return found


def _chosen(words: Words, first: int, last: int, triggers: list[Trigger]) -> list[Hit]:
    own = {trigger.kind: trigger for trigger in triggers if trigger.scope in ("none",)}
    scoped = [trigger for trigger in triggers if trigger.scope != "none"]
    after = last
    while after < len(words.raw) and words.raw[after] == "." and after == last:
        after += 1
    closing = after >= len(words.raw) or words.raw[after] in ".,;:!?)"
    kinds: dict[str, list[Trigger]] = {}
    for trigger in scoped:
        kinds.setdefault(trigger.kind, []).append(trigger)
    chosen: list[Trigger] = []
    for same in kinds.values():
        scopes = {trigger.scope: trigger for trigger in same}
        if len(scopes) > 1:
            chosen.append(scopes["before"] if closing and "before" in scopes else _forward(scopes))
        else:
            chosen.append(same[0])
    if chosen and chosen[0].kind == "prior" and _follows_comparison(words, first):
        chosen = [chosen[0]._replace(kind="comparison", scope="none")]
    return [Hit(first, last, trigger) for trigger in (*chosen, *own.values())]


def _follows_comparison(words: Words, first: int) -> bool:
    """ "to prior", "with the prior": the earlier study is what the present one is compared to."""
    before = words.keys[max(0, first - 2) : first]
    return bool(before) and (
        before[-1] in _COMPARED or (len(before) > 1 and before[-1] in _COMPARING and before[0] in _COMPARED)
    )


def _forward(scopes: dict[str, Trigger]) -> Trigger:
    return scopes.get("after") or scopes.get("near") or next(iter(scopes.values()))


class _Walls(NamedTuple):
    """What may end a scope, per word."""

    hard: bytearray
    """1 always ends: ";", ":", "aber", "but", "außer". 2 ends what comes from its left: "bei", "nach"."""
    soft: bytearray
    """1 a comma, 2 "und", 3 "oder": ends when a new statement begins behind it."""
    affirm: bytearray
    """1 a word of a new statement, 2 a predicate."""
    current: bytearray
    """A word that leads back to the present study."""
    starts: dict[int, str]
    """Word -> kind of the forward trigger that begins there."""


def _walls(words: Words, hits: list[Hit], atoms: bytearray) -> _Walls | None:
    n = len(words.raw)
    walls = _Walls(bytearray(n), bytearray(n), bytearray(n), bytearray(n), {})
    any_scope = False
    for first, last, trigger in hits:
        kind = trigger.kind
        if trigger.scope != "none" or kind == "comparison":
            any_scope = True
            if trigger.scope in ("after", "near"):
                walls.starts.setdefault(first, kind)
        if kind in ("end", "exception"):
            walls.hard[first] = 2 if words.keys[first] in _CAUSES else 1
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
        if atoms[i]:
            continue
        if raw == ",":
            walls.soft[i] = 1
        elif raw in ";:" or (raw in "-–—" and _spaced(words, i)):
            walls.hard[i] = 1
    return walls


def _spaced(words: Words, i: int) -> bool:
    """A dash between spaces, not a hyphen."""
    return 0 < i < len(words.raw) - 1 and words.ends[i - 1] < words.starts[i] and words.ends[i] < words.starts[i + 1]


def _spread(made: Context, hit: Hit, words: Words, walls: _Walls) -> None:
    kind, scope, form = hit.trigger
    rule = f"{UNSEEN}:{form}" if kind == "negation" and scope == "before" else f"{kind}:{form}"
    if scope == "before":
        reach = range(_left_end(hit, words, walls), hit.first)
    elif scope == "near":
        reach = range(hit.last, _near_end(hit, words, walls))
    elif kind == "prior":
        reach = range(hit.first, _prior_end(hit, words, walls))
    else:
        reach = range(hit.last, _right_end(hit, words, walls, listed=kind in ("negation", "unlikely", "uncertain")))
    fields = {
        "negation": (made.negated,),
        "unlikely": (made.negated, made.uncertain),
        "uncertain": (made.uncertain,),
        "history": (made.history,),
        "prior": (made.prior,),
        "absent": (made.absent,),
    }[kind]
    earlier = kind in ("negation", "unlikely") and scope == "before" and made.prior[hit.first] is not None
    for column in fields:
        for i in reach:
            if earlier and made.prior[i] is None:
                continue  # "war in der VU nicht abgrenzbar" says nothing against today
            column[i] = column[i] or rule


def _segment_end(at: int, words: Words, walls: _Walls) -> int:
    """First wall behind `at`."""
    i = at
    while i < len(words.raw) and not walls.hard[i] and not walls.soft[i]:
        i += 1
    return i


def _new_statement(at: int, words: Words, walls: _Walls) -> bool:
    """True when the segment behind the soft wall `at` says something of its own."""
    end = _segment_end(at + 1, words, walls)
    listed_on = end < len(words.raw) and walls.soft[end] == 3
    if walls.soft[at] == 3:
        return False
    for i in range(at + 1, end):
        if walls.affirm[i] == 1 and not listed_on:
            return True
        if walls.affirm[i] == 2 and walls.soft[at] == 1 and not listed_on:
            return True
    return False


def _right_end(hit: Hit, words: Words, walls: _Walls, *, listed: bool) -> int:
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
        if walls.hard[i]:
            return i
        begins = walls.starts.get(i)
        if begins is not None and begins != kind and kind in ("history", "uncertain", "absent") and begins != "absent":
            return i
        if begins == "history" and kind == "negation":
            return i
        if walls.soft[i] and (walls.soft[i] != 1 or listed):
            if _new_statement(i, words, walls):
                return i
        elif walls.soft[i] == 1:
            return i
        if kind in ("history", "absent") and words.keys[i] in ("mit", "with"):
            return i
    return len(words.raw)


def _near_end(hit: Hit, words: Words, walls: _Walls) -> int:
    end = hit.last
    counted = 0
    while end < len(words.raw) and counted < NEAR:
        if walls.hard[end] or walls.soft[end] == 1 or words.raw[end] in "()":
            break
        word = words.keys[end]
        counted += word[0].isalnum()
        end += 1
        if word[0].isalpha() and word not in _ADVERBS and not word.endswith("ly"):
            break
    return end


def _left_end(hit: Hit, words: Words, walls: _Walls) -> int:
    joined = False
    depth = 0
    i = hit.first - 1
    if i >= 1 and words.raw[i] == ":" and hit.first - i == 1:
        i -= 1  # "Pleuraerguss: nein"
    while i >= 0:
        raw = words.raw[i]
        if raw == ")":
            depth += 1
        elif raw == "(":
            depth -= 1
            if depth < 0:
                return i + 1
        if walls.hard[i] == 1:
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


def _says_own(wall: int, words: Words, walls: _Walls) -> bool:
    """True when the segment left of a wall has a verb of its own."""
    i = wall - 1
    while i >= 0 and not walls.hard[i] and not walls.soft[i]:
        if walls.affirm[i] == 1:
            return True
        i -= 1
    return False


def _prior_end(hit: Hit, words: Words, walls: _Walls) -> int:
    depth = 0
    for i in range(hit.last, len(words.raw)):
        raw = words.raw[i]
        if raw == "(":
            depth += 1
        elif raw == ")":
            depth -= 1
            if depth < 0:
                return i
        if walls.current[i] or raw == ";" or (walls.hard[i] and raw.isalpha() and words.keys[i] in _TURNS):
            return i
        following = words.raw[i + 1] if i + 1 < len(words.raw) else ""
        if walls.soft[i] == 1 and following and following != MASK and not following[0].isdigit():
            return i
    return len(words.raw)


_TURNS = word_set("aber jedoch allerdings hingegen but however whereas while now jetzt nun")
