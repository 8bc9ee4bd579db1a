"""What a word of a sentence stands under: negation, doubt, history, an earlier study, a structure that is gone.

Triggers reach forward or back to the end of their scope (after the idea of NegEx and ConText, Chapman et al., J Biomed
Inform 2001 and 2009; rules and word lists are our own, for German and English alike).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from rrg.records import Lang
from rrg.reports.lexicon import lexicon
from rrg.reports.scopes import forward_end, goes_on, left_end, near_end, noun_end, other_end, prior_end, right_end
from rrg.reports.triggers import SHOWED, dated_study, hits_of
from rrg.reports.walls import Hit, Walls, walls_of
from rrg.reports.words import Words, word_set

UNSEEN = "negation-behind"
"""Rule of a negation that stands behind what it denies: "nicht abgrenzbar", "not seen"."""
_SCOPED = frozenset(
    ("negation", "unlikely", "uncertain", "history", "prior", "absent", "resected", "not_imaged", "other")
)


@dataclass(slots=True)
class Context:
    """For each word of a sentence, the trigger form it stands under, or None."""

    negated: list[str | None]
    uncertain: list[str | None]
    history: list[str | None]
    prior: list[str | None]
    absent: list[str | None]
    other: list[str | None]
    """Someone else than the patient."""
    compared: list[int] = field(default_factory=list)
    """One past the last word of each comparison with an earlier study."""
    bygone: bool = False
    """It speaks of relatives as they were: "verstorben", "Familienanamnese"."""
    reaches: bool = False
    """Some word of the sentence reaches over others; else all of them stand under nothing."""

    def column(self, name: str) -> list[str | None]:
        """The list of a kind, to write to: until then those of all kinds may be one."""
        own = list(getattr(self, name))
        setattr(self, name, own)
        return own

    def over(self, first: int, last: int) -> "Over":
        """What the words [first, last) stand under."""
        if not self.reaches:
            return _NOTHING
        if last - first == 1:
            return Over(
                self.negated[first], self.uncertain[first], self.history[first],
                self.prior[first], self.absent[first], self.other[first],
            )  # fmt: skip
        columns = (self.negated, self.uncertain, self.history, self.prior, self.absent, self.other)
        return Over(*(next(filter(None, column[first:last]), None) for column in columns))


class Over(NamedTuple):
    """The first trigger form of each kind that some words stand under, or None."""

    negated: str | None
    uncertain: str | None
    history: str | None
    prior: str | None
    absent: str | None
    other: str | None


_NOTHING = Over(None, None, None, None, None, None)


def context_of(words: Words, lang: Lang) -> Context:
    """Scopes over the words of a sentence. None ends inside of a reference or a date, whose words are masked."""
    nothing: list[str | None] = [None] * len(words.raw)
    made = Context(nothing, nothing, nothing, nothing, nothing, nothing)
    told = lang == "en" and not SHOWED.isdisjoint(words.keys)
    scoping = lexicon(lang).scoping
    if not told and scoping.isdisjoint(words.keys) and scoping.isdisjoint(words.shouted.values()):
        return made
    hits = hits_of(words, lang)
    if told and (study := dated_study(words)) is not None:
        hits = sorted((*(hit for hit in hits if hit.last <= study.first or study.last <= hit.first), study))
    if not hits:
        return made
    walls = walls_of(words, hits)
    if walls is None:
        return made
    made.reaches = True
    priors = [hit for hit in hits if hit.trigger.kind == "prior"]
    for hit in [*priors, *(hit for hit in hits if hit.trigger.kind != "prior")] if priors else hits:
        kind = hit.trigger.kind
        if kind == "comparison":
            made.compared.append(hit.last)
        elif kind in _SCOPED:
            _spread(made, hit, words, walls)
            if kind == "other" and not made.bygone:
                made.bygone = lang == "de" and not _BYGONE.isdisjoint(words.keys)
    return made


_BYGONE = word_set(
    """verstorben verstarb verstarben gestorben starb starben hatte hatten litt litten erkrankte erkrankten gehabt
    familienanamnese familienanamnestisch familienvorgeschichte erlag erkrankt"""
)


_COLUMNS = {
    "negation": ("negated",),
    "unlikely": ("negated", "uncertain"),
    "uncertain": ("uncertain",),
    "history": ("history",),
    "prior": ("prior",),
    "absent": ("absent",),
    "resected": ("absent",),
    "not_imaged": ("absent",),
    "other": ("other",),
}
"""Kind of a trigger -> the fields of `Context` that it fills."""


def _spread(made: Context, hit: Hit, words: Words, walls: Walls) -> None:
    kind, scope, form = hit.trigger
    rule = f"{UNSEEN}:{form}" if kind == "negation" and scope == "before" else f"{kind}:{form}"
    if kind == "other":
        reach = range(*other_end(hit, words, walls))
    elif scope == "both":
        reach = range(left_end(hit, words, walls), right_end(hit, words, walls, listed=True))
    elif scope == "before":
        reach = range(left_end(hit, words, walls), hit.first)
    elif kind == "absent" and scope == "after":
        reach = range(hit.last, min(noun_end(hit, words), right_end(hit, words, walls, listed=False)))
    elif scope == "near":
        reach = range(hit.last, near_end(hit, words, walls))
    elif kind == "prior":
        reach = range(hit.first, prior_end(hit, words, walls))
    elif goes_on(hit, words, walls):
        return
    else:
        reach = range(hit.last, forward_end(hit, words, walls, listed=kind in ("negation", "unlikely", "uncertain")))
    earlier = kind in ("negation", "unlikely") and scope == "before" and made.prior[hit.first] is not None
    for name in _COLUMNS[kind]:
        column = made.column(name)
        for i in reach:
            if earlier and made.prior[i] is None:
                continue  # "war in der VU nicht abgrenzbar" says nothing against today
            column[i] = column[i] or rule
