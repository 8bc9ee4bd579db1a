"""What a word of a sentence stands under: negation, doubt, history, an earlier study, a structure that is gone.

Triggers reach forward or back to the end of their scope (after the idea of NegEx and ConText, Chapman et al., J Biomed
Inform 2001 and 2009; rules and word lists are our own, for German and English alike).
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from rrg.records import Lang
from rrg.reports.exclusions import denied_exclusion, doubting, failed_exclusion, inverted_exclusion
from rrg.reports.lexicon import Trigger, lexicon
from rrg.reports.scopes import (
    NEAR,
    Hit,
    Walls,
    forward_end,
    goes_on,
    left_end,
    near_end,
    noun_end,
    other_end,
    prior_end,
    right_end,
    walls_of,
)
from rrg.reports.tries import phrases
from rrg.reports.words import MASK, Words, word_set

UNSEEN = "negation-behind"
"""Rule of a negation that stands behind what it denies: "nicht abgrenzbar", "not seen"."""
_COMPARING = word_set(
    """to with from since than zur zum zu gegenueber mit als vs the der dem den am im vergleich against"""
)
_COMPARED = word_set("to with from since than zur zum zu gegenueber als vs vergleich against")


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
    told = lang == "en" and not _SHOWED.isdisjoint(words.keys)
    scoping = lexicon(lang).scoping
    if not told and scoping.isdisjoint(words.keys) and scoping.isdisjoint(words.shouted.values()):
        return made
    hits = _hits(words, lang)
    if told and (study := _dated_study(words)) is not None:
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


_STUDIES = word_set(
    "ct cta mr mri mra pet scan study exam examination ultrasound radiograph xray angiogram mammogram imaging"
)
_EARLIER = frozenset(("prior", "previous", "earlier", "old"))
_SHOWED = word_set("showed demonstrated revealed described identified depicted noted reported measured had documented")
_DATING = word_set(
    """of from dated on in performed done the january february march april may june july august september october
    november december jan feb mar apr jun jul aug sept sep oct nov dec , . /"""
)


def _dated_study(words: Words) -> Hit | None:
    """ "CT of 3 January 2020 showed", "MRI from 2019 demonstrated": what follows was so on an earlier day."""
    for i, key in enumerate(words.keys):
        earlier = key in _EARLIER and words.raw[i + 1 : i + 2] == [MASK]  # "prior series 2, image 40 showed"
        if key not in _STUDIES and not earlier:
            continue
        j = i + 1
        dated = False
        while j < len(words.raw) and (words.keys[j] in _DATING or words.raw[j] == MASK or words.raw[j].isdecimal()):
            year = len(words.raw[j]) == len("2020") and words.raw[j].isdecimal()
            dated = dated or year or words.raw[j] == MASK
            j += 1
        if dated and j < len(words.raw) and words.keys[j] in _SHOWED:
            return Hit(i, j + 1, Trigger("prior", "after", "dated study"))
    return None


_NEITHER_SIDE = 4
"""Words of "weder rechts noch links", which denies what stands in front when "abgrenzbar" follows."""


def _hits(words: Words, lang: Lang) -> list[Hit]:
    """Longest triggers, from left to right. One form may have a forward and a backward meaning: the place decides."""
    found: list[Hit] = []
    end = 0
    for first, last, triggers in phrases(lexicon(lang).context, words):
        if first < end:
            continue
        if (excluded := denied_exclusion(words, first, last)) is not None:
            end = excluded
            found.append(Hit(first, end, doubting(words, first, end)))
            continue
        if triggers[0].kind == "negation" and (doubt := inverted_exclusion(words, first, last)) is not None:
            found.append(Hit(first, last, doubt))
            continue
        if triggers[0].kind == "negation":
            triggers = _denying(words, first, last, triggers, lang)
        if len(triggers) == 1 and triggers[0].kind != "prior":
            found.append(Hit(first, last, triggers[0]))
        else:
            found.extend(_chosen(words, first, last, triggers))
    return found


_PLACES = (["in"], ["im"], ["am"], ["an"], ["innerhalb"], ["within"], ["on"])


def _denying(words: Words, first: int, last: int, triggers: list[Trigger], lang: Lang) -> list[Trigger]:
    """What a negation does at its place."""
    key = words.keys[first]
    if _predicate_first(words, first, last, triggers):
        return [triggers[0]._replace(scope="after")]  # "Nicht abgrenzbar sind Raumforderungen"
    bare = key in ("nicht", "not", "nirgends", "nirgendwo", "nowhere") and last == first + 1
    neither = key == "weder" and last == first + _NEITHER_SIDE
    if (bare or neither) and _perceived(words, last, lang):
        return [trigger._replace(scope="before") for trigger in triggers if trigger.kind == "negation"][:1]
    placed = key == "neither" and words.keys[first - 1 : first] in _PLACES
    if placed or (key in ("weder", "neither") and words.keys[last : last + 1] in _PLACES):
        return [triggers[0]._replace(scope="both")]  # "Metastasen weder in der Leber noch in der Milz"
    if words.raw[last - 1][:4] == "kein" and _in_none(words, first, last, lang):
        return [triggers[0]._replace(scope="both")]  # "ließen sich in keiner Schicht abgrenzen"
    return failed_exclusion(words, first, last, triggers)


_COPULAS = frozenset(("sind", "ist", "war", "waren", "are", "is", "was", "were"))


def _predicate_first(words: Words, first: int, last: int, triggers: list[Trigger]) -> bool:
    """The denial opens its clause, and the verb stands behind it: its subject follows."""
    opens = first == 0 or words.raw[first - 1] in ";:,"
    denies = last - first > 1 and words.keys[first] in ("nicht", "not") and triggers[0].scope == "before"
    return opens and denies and not _COPULAS.isdisjoint(words.keys[last : last + 1])


def _in_none(words: Words, first: int, last: int, lang: Lang) -> bool:
    """ "in keiner der vorliegenden Schichten abgrenzbar": nowhere is it found."""
    if words.keys[first : first + 1] not in _PLACES and words.keys[max(0, first - 1) : first] not in _PLACES:
        return False
    for i in range(last, min(last + _TO_VERB, len(words.raw))):
        if words.raw[i] in ",;:.":
            return False
        if _PERCEIVED[lang].match(words.keys[i]) is not None:
            return words.raw[i].islower()
    return False


_TO_VERB = 6
_PERCEIVED: dict[Lang, re.Pattern[str]] = {
    "de": re.compile(
        r"(?:nachw|nachgew|nachzuw|abgrenz|abzugr|abgegr|erkenn|erkannt|sichtb|darstell|dargestell|find|gefund|vorhand|"
        r"vorlieg|festst|festgest|festzust|detekt|diagnost|demonstr|erheb|beleg|verifiz|auszumach|ausgemacht|objektiv|eruier|"
        r"ersichtl|evident|gesehen|sehen|nachvollz)"
    ),
    "en": re.compile(
        r"(?:seen|visuali|identif|demonstrat|evident|appreciat|found|visible|apparent|noted|shown|observed|discern|delineat|"
        r"detect|depict|recogni|present|encounter|confirm)"
    ),
}
_LATER = word_set(
    """mehr sicher eindeutig zweifelsfrei zu be been being clearly definitely confidently reliably well any longer
    currently aktuell bildmorphologisch ct mrt morphologisch sonographisch currently readily"""
)


def _perceived(words: Words, last: int, lang: Lang) -> bool:
    """ "nicht ... abgrenzbar", "not ... seen": the word behind the negation, after adverbs, is one of finding."""
    i = last
    while i < len(words.raw) and i - last <= NEAR and words.keys[i] in _LATER:
        i += 1
    return i < len(words.raw) and _PERCEIVED[lang].match(words.keys[i]) is not None


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
