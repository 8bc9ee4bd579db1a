"""The triggers of a sentence, and what each does at its place: forward, back or both ways."""

import re

from rrg.records import Lang
from rrg.reports.exclusions import denied_exclusion, doubting, failed_exclusion, inverted_exclusion
from rrg.reports.lexicon import Trigger, lexicon
from rrg.reports.scopes import NEAR
from rrg.reports.tries import phrases
from rrg.reports.walls import Hit
from rrg.reports.words import MASK, Words, word_set

_COMPARING = word_set(
    """to with from since than zur zum zu gegenueber mit als vs the der dem den am im vergleich against"""
)
_COMPARED = word_set("to with from since than zur zum zu gegenueber als vs vergleich against")
_STUDIES = word_set(
    "ct cta mr mri mra pet scan study exam examination ultrasound radiograph xray angiogram mammogram imaging"
)
_EARLIER = frozenset(("prior", "previous", "earlier", "old"))
SHOWED = word_set("showed demonstrated revealed described identified depicted noted reported measured had documented")
_DATING = word_set(
    """of from dated on in performed done the january february march april may june july august september october
    november december jan feb mar apr jun jul aug sept sep oct nov dec , . /"""
)


def dated_study(words: Words) -> Hit | None:
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
        if dated and j < len(words.raw) and words.keys[j] in SHOWED:
            return Hit(i, j + 1, Trigger("prior", "after", "dated study"))
    return None


_NEITHER_SIDE = 4
"""Words of "weder rechts noch links", which denies what stands in front when "abgrenzbar" follows."""


def hits_of(words: Words, lang: Lang) -> list[Hit]:
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
