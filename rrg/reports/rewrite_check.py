"""Whether another wording of a sentence still says the same: numbers, units, sides, negations, levels, findings.

Flag, never correct: a wording with another fact is refused with the name of what differs.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rrg.records import Lang
from rrg.reports.parse import Facts, parse
from rrg.reports.rewrite_glossary import glossary_problem
from rrg.reports.rewrite_static import Static
from rrg.reports.rewrite_words import WORDS

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LESIONS = frozenset(("lesion", "lung_nodule", "kidney_cyst_left", "kidney_cyst_right"))


def facts_of(text: str, lang: Lang) -> Facts:
    """What a sentence says when it stands alone."""
    return parse(text, lang)


def static_problem(before: Facts, made: Static, lang: Lang) -> str:
    """Why a static wording can not be used; empty when it can. `before`: the facts of the sentence as it was."""
    if made.broken:
        return "grammar"
    exempt = [facts_of(piece, lang) for piece in made.denied]
    if not made.text:
        return _lost(before, exempt)
    after = facts_of(made.text, lang)
    if len(after.sentences) != 1:
        return "sentences"
    if WORDS[lang].left.search(_without_references(made.text, after)):
        return "wording"
    if _any_prior(after):
        return "prior"
    if any(each.time == "prior" or each.change not in (None, "resolved") for each in after.findings):
        return "prior"
    earlier = [facts_of(piece, lang) for piece in made.earlier]
    for name, count in _SAME.items():
        wanted = count(before)
        for piece in exempt:
            wanted = wanted - count(piece)
        found = count(after)
        if found != wanted and not (name in _DATED and found == wanted - sum(map(_DATED[name], earlier), Counter())):
            return _finding_or(name, wanted, found)
    return ""


def _finding_or(name: str, wanted: Counter[Any], found: Counter[Any]) -> str:
    """A finding that is there in one wording only is a lost finding; one that is denied in either, a lost negation."""
    if name != "negation":
        return name
    differ = (wanted - found) + (found - wanted)
    return "negation" if any(state == "absent" for _, state in differ) else "finding"


def _any_prior(facts: Facts) -> bool:
    return (
        any(each.prior for each in facts.anatomy)
        or any(each.prior for each in facts.measurements)
        or any(each.prior for each in facts.references)
    )


def _without_references(text: str, facts: Facts) -> str:
    for reference in sorted(facts.references, key=lambda each: each.span, reverse=True):
        text = text[: reference.span[0]] + text[reference.span[1] :]
    return text


def _lost(before: Facts, exempt: Iterable[Facts]) -> str:
    """A sentence may go when it states nothing of the present beside a change."""
    stated = Counter(each.name for each in before.findings if each.time == "current" and each.change != "resolved")
    for piece in exempt:
        stated -= Counter(each.name for each in piece.findings)
    if stated:
        return "finding"
    return "number" if any(not each.prior for each in before.measurements) else ""


# What must be the same. Facts of an earlier examination are left out: a static wording has none.


def _measurements(facts: Facts) -> Counter[Any]:
    return Counter(each.value_mm for each in facts.measurements if not each.prior)


def _sides(facts: Facts) -> Counter[Any]:
    found = Counter(each.side for each in facts.findings if each.side and each.time != "prior")
    return found + Counter(
        each.side for each in facts.anatomy if each.side and not each.prior and each.rule != "finding"
    )


def _negations(facts: Facts) -> Counter[Any]:
    return Counter((each.name, each.state) for each in facts.findings if each.time != "prior")


def _doubts(facts: Facts) -> Counter[Any]:
    return Counter((each.name, each.certainty) for each in facts.findings if each.time != "prior")


def _levels(facts: Facts) -> Counter[Any]:
    return Counter(level for each in facts.anatomy if not each.prior for level in each.levels)


def _structures(facts: Facts) -> Counter[Any]:
    return Counter(
        (frozenset(each.classes), each.negated)
        for each in facts.anatomy
        if not each.prior and each.rule != "finding" and not set(each.classes) <= _LESIONS
    )


def _references(facts: Facts) -> Counter[Any]:
    return Counter((each.image_numbers, each.open_end) for each in facts.references if not each.prior)


def _every_measurement(facts: Facts) -> Counter[Any]:
    return Counter(each.value_mm for each in facts.measurements)


def _every_reference(facts: Facts) -> Counter[Any]:
    return Counter((each.image_numbers, each.open_end) for each in facts.references)


_SAME = {
    "number": _measurements,
    "side": _sides,
    "negation": _negations,
    "certainty": _doubts,
    "level": _levels,
    "structure": _structures,
    "reference": _references,
}
_DATED = {"number": _every_measurement, "reference": _every_reference}
"""Counts that may be smaller by what stood in a piece of the past, whether or not the rules saw that it did."""


def translation_problem(before: Facts, text: str, lang: Lang, translated: str, other: Lang) -> str:
    """Why a translation can not be used; empty when it can. Compared by the rules of both languages."""
    if not any(map(str.isalpha, translated)):
        return "empty"
    after = facts_of(translated, other)
    if _values(text, lang) != _values(translated, other):
        return "number"
    if _all_measurements(before) != _all_measurements(after):
        return "unit"
    if _kinds_of_side(before) != _kinds_of_side(after):
        return "side"
    states = _states(before), _states(after)
    differ = _finding_or("negation", *states) if states[0] != states[1] else ""
    if differ == "negation":
        return differ
    if _levels(before) != _levels(after):
        return "level"
    if _pointed(before) != _pointed(after):
        return "reference"
    return glossary_problem(text, lang, translated) or differ


def _values(text: str, lang: Lang) -> Counter[str]:
    """Numbers as values: a German comma is a decimal point. Dates and lists are compared piece by piece."""
    found: Counter[str] = Counter()
    for number in _NUMBER.findall(text):
        parts = re.split(r"[.,]", number)
        decimal = "," if lang == "de" else "."
        if len(parts) == 2 and decimal in number:
            whole, fraction = parts
            found[f"{int(whole)}.{fraction.rstrip('0')}".rstrip(".")] += 1
        else:
            found.update(str(int(part)) for part in parts)
    return found


def _all_measurements(facts: Facts) -> Counter[Any]:
    return Counter((each.value_mm, each.prior) for each in facts.measurements)


def _kinds_of_side(facts: Facts) -> Counter[Any]:
    """Sides of structures; a finding repeats the side of its place, in one language perhaps in another word order."""
    return Counter(each.side for each in facts.anatomy if each.side and each.rule != "finding") or Counter(
        each.side for each in facts.findings if each.side
    )


def _states(facts: Facts) -> Counter[Any]:
    return Counter((each.name, each.state) for each in facts.findings)


def _pointed(facts: Facts) -> Counter[Any]:
    return Counter((each.series_number, each.image_numbers, each.prior, each.open_end) for each in facts.references)
