"""One error put into a text of findings: a finding added or removed, its side, size or negation changed.

The text with the error is read again by the rules: it is used only where it differs from the original in that one
fact, so that the words around it still say what they said.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from numpy.random import Generator

from rrg.records import Finding, Lang, Span
from rrg.reports.parse import Facts, parse
from rrg.synth import templates
from rrg.synth.absences import pick
from rrg.synth.dialogue_templates import saying
from rrg.synth.report_facts import NAMES

Kind = Literal["add", "remove", "side", "size", "negation"]
KINDS: tuple[Kind, ...] = ("add", "remove", "side", "size", "negation")
SMALLEST_MM = 4.0
"""Sizes below are not changed: nobody sees the difference."""
_FACTORS = (0.5, 2.0)
_LUNG = ("nodule", "consolidation", "mass")
_BONE = ("osteolysis", "metastasis")
_ADDED: Mapping[str, tuple[str, ...]] = {
    "liver": ("cyst", "metastasis", "mass"),
    "spleen": ("cyst", "mass"),
    "pancreas": ("cyst", "mass"),
    "kidney": ("cyst", "mass"),
    "lung": _LUNG,
    "vertebrae": _BONE,
    "sacrum": _BONE,
    "hip": _BONE,
    "rib": _BONE,
    "brain": ("hemorrhage", "mass"),
    "stomach": ("mass",),
    "gallbladder": ("polyp",),
    "urinary": ("mass",),
    "adrenal": ("nodule", "mass"),
    "prostate": ("mass",),
    "thyroid": ("nodule", "cyst"),
}
"""First word of a label -> findings that are put there."""
_SIDES: Mapping[Lang, re.Pattern[str]] = {
    "de": re.compile(
        r"\b(link|recht)(s|e|er|es|en|em|sseitig(?:e|er|es|en|em)?|slateral(?:e|er|es|en|em)?)?(?![a-zäöüß])", re.I
    ),
    "en": re.compile(r"\b(left|right)\b", re.I),
}
_OTHER_SIDE = {"link": "recht", "recht": "link", "left": "right", "right": "left"}
_NO: Mapping[Lang, re.Pattern[str]] = {
    "de": re.compile(r"\AKeine? (?=[A-ZÄÖÜ])"),
    "en": re.compile(r"\ANo (?=[a-z])"),
}
"""A denial at the beginning whose noun can stand alone. German with an adjective would need another ending."""


_BUT = re.compile(r"\b(?:aber|jedoch|sondern|but|however)\b", re.I)
"""Words that answer the denial before them."""


class Wrong(NamedTuple):
    """A text with one error."""

    text: str
    kind: Kind
    span: Span
    """Of what differs in `text`; where a sentence was removed, the empty span of its place."""
    finding: Finding
    """The fact as it is right; of an added finding, the one that is wrong."""
    labels: tuple[str, ...]
    """Structures of that finding."""


def inject(
    sentences: Sequence[str], lang: Lang, kind: Kind, rng: Generator, places: Sequence[str] = ()
) -> Wrong | None:
    """`sentences` joined by blanks, with one error of `kind`; None where there is no room for one.

    `places`: labels that the picture shows and that a finding may be added to; those with a finding are left out.
    """
    whole = " ".join(sentences)
    before = parse(whole, lang)
    for start, end, new in _edits(sentences, before, lang, kind, rng, places):
        text = (whole[:start] + new + whole[end:]).strip()
        if (told := judged(before, parse(text, lang), kind)) is not None:
            facts, finding = told
            labels = tuple(sorted({name for i in finding.anatomy for name in facts.anatomy[i].classes}))
            if kind == "add" and (not finding.anatomy or finding.name not in NAMES):
                continue
            start = min(start, len(text))
            return Wrong(text, kind, (start, min(start + len(new), len(text))), finding, labels)
    return None


def _edits(
    sentences: Sequence[str], facts: Facts, lang: Lang, kind: Kind, rng: Generator, places: Sequence[str]
) -> Iterator[tuple[int, int, str]]:
    """Replacements (start, end, new text) in the joined text, in random order."""
    starts = [sum(len(each) + 1 for each in sentences[:n]) for n in range(len(sentences))]
    order = pick(rng, range(len(sentences)), len(sentences))
    if kind == "add":
        for label in pick(rng, [each for each in places if not _has_finding(facts, each)], len(places)):
            for name in pick(rng, _ADDED.get(label.partition("_")[0], ()), 1):
                new, number = _added(name, label, lang, rng), int(rng.integers(len(starts) + 1))
                at = starts[number] if number < len(starts) else starts[-1] + len(sentences[-1])
                yield at, at, f"{new} " if number < len(starts) else f" {new}"
        return
    for number in order:
        text, start = sentences[number], starts[number]
        if kind == "remove" and len(sentences) > 1:
            last = number == len(sentences) - 1
            yield (start - 1, start + len(text), "") if last else (start, start + len(text) + 1, "")
        elif kind == "side":
            found = list(_SIDES[lang].finditer(text))
            if len(found) == 1:
                yield start + found[0].start(1), start + found[0].end(1), _as(found[0][1])
        elif kind == "size":
            yield from _sizes(text, start, lang, rng)
        elif kind == "negation" and (match := _NO[lang].match(text)) and not _BUT.search(text):
            following = match.end()
            yield start, start + following + 1, text[following].upper()


def _as(word: str) -> str:
    other = _OTHER_SIDE[word.lower()]
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other


def _sizes(text: str, start: int, lang: Lang, rng: Generator) -> Iterator[tuple[int, int, str]]:
    measured = parse(text, lang).measurements
    if len(measured) != 1 or len(measured[0].value_mm) != 1 or measured[0].value_mm[0] < SMALLEST_MM:
        return
    first, last = measured[0].span
    numbers = list(re.finditer(r"\d+(?:[.,]\d+)?", text[first:last]))
    if len(numbers) != 1:
        return
    number = numbers[0]
    comma = "," if "," in number[0] else "."
    decimals = len(number[0].partition(comma)[2])
    for factor in pick(rng, _FACTORS, len(_FACTORS)):
        value = f"{float(number[0].replace(',', '.')) * factor:.{decimals}f}".replace(".", comma)
        yield start + first + number.start(), start + first + number.end(), value


def _added(name: str, label: str, lang: Lang, rng: Generator) -> str:
    said = NAMES[name]
    place = templates.fields(label, lang)["in"]
    article = {"m": "ein ", "f": "eine ", "n": "ein ", "-": ""}[said.gender]
    what = f"{said.en_article} {said.en}".strip()
    return saying(
        "added",
        lang,
        rng,
        what=what,
        What=what[0].upper() + what[1:],
        place=place,
        Place=place[0].upper() + place[1:],
        nominative=article + said.de,
    )


def _has_finding(facts: Facts, label: str) -> bool:
    """A finding is stated there, or one without any place that may be there."""
    stated = [each for each in facts.findings if each.state == "present"]
    return any(not each.anatomy or label in _classes(facts, each) for each in stated)


def _classes(facts: Facts, finding: Finding) -> frozenset[str]:
    return frozenset(name for index in finding.anatomy for name in facts.anatomy[index].classes)


class _Fact(NamedTuple):
    """A finding as it is compared."""

    name: str
    state: str
    certainty: str
    time: str
    change: str | None
    side: str | None
    classes: frozenset[str]
    sizes: tuple[tuple[float, ...], ...]
    number: int | None
    multiple: bool


def _fact(facts: Facts, finding: Finding) -> _Fact:
    return _Fact(
        *(finding.name, finding.state, finding.certainty, finding.time, finding.change, finding.side),
        _classes(facts, finding),
        tuple(sorted(each.value_mm for each in finding.measurements)),
        finding.count,
        finding.multiple,
    )


def _structures(facts: Facts) -> Counter[Any]:
    """Mentions of structures that are no place of a finding."""
    placed = {index for finding in facts.findings for index in finding.anatomy}
    return Counter(
        (frozenset(each.classes), each.side, each.absent, each.prior)
        for index, each in enumerate(facts.anatomy)
        if index not in placed and each.rule != "finding"
    )


def judged(before: Facts, after: Facts, kind: Kind) -> tuple[Facts, Finding] | None:
    """The one finding in which two texts differ, as `kind` says, and the text that it is of; else None."""
    old = [(_fact(before, each), each) for each in before.findings]
    new = [(_fact(after, each), each) for each in after.findings]
    lost = list((Counter(f for f, _ in old) - Counter(f for f, _ in new)).elements())
    added = list((Counter(f for f, _ in new) - Counter(f for f, _ in old)).elements())
    if _structures(before) != _structures(after):
        return None
    if kind == "add":
        fits = not lost and len(added) == 1 and added[0].state == "present" and added[0].certainty == "certain"
        return (after, next(f for key, f in new if key == added[0])) if fits else None
    if not lost or len(lost) != 1 or not _is_plain(lost[0], kind):
        return None
    right = before, next(f for key, f in old if key == lost[0])
    if kind == "remove":
        return right if not added and lost[0].state == "present" else None
    if len(added) != 1:
        return None
    was, now = lost[0], added[0]
    if kind == "side":
        mirrored = frozenset(_mirror(name) for name in was.classes)
        same = was._replace(side=now.side, classes=mirrored) == now and {was.side, now.side} == {"left", "right"}
        sided = mirrored != was.classes or not was.classes
        return right if same and sided and was.state == "present" else None
    if kind == "size":
        same = was._replace(sizes=now.sizes) == now and was.sizes != now.sizes
        return right if same and was.state == "present" else None
    return right if was._replace(state=now.state) == now and was.state != now.state else None


def _is_plain(fact: _Fact, kind: Kind) -> bool:
    return fact.certainty == "certain" and fact.time == "current" and (fact.change is None or kind == "remove")


def _mirror(name: str) -> str:
    if name.endswith("_left"):
        return name.removesuffix("left") + "right"
    if name.endswith("_right"):
        return name.removesuffix("right") + "left"
    return name.replace("_left_", "_#_").replace("_right_", "_left_").replace("_#_", "_right_")
