"""What was said of single slices -> one draft report of the study, each sentence with the images that it rests on.

The same statement on several slices is one sentence. A finding is worth more than a slice that does not show it: what
one slice denies and another shows stands as the finding. Where that can not both be right (one slice says both, or
a slice between two that show it denies it), the contradiction is told, and both statements with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Lang, Mention, Prediction, Slice, Span
from rrg.reports.parse import Facts, parse
from rrg.study_choice import image_number, ranges

Kind = Literal["finding", "normal", "denied", "other"]
RANK: dict[Kind, int] = {"finding": 0, "other": 1, "normal": 2, "denied": 3}
"""Order in the draft."""
MOST_IMAGES = 6
"""Stretches of images that a sentence names; more are counted."""


class Fact(NamedTuple):
    """A finding, or (without a name) a structure that is spoken of as unremarkable."""

    name: str
    labels: tuple[str, ...]
    side: str | None


@dataclass(frozen=True)
class Statement:
    """One sentence about one slice."""

    text: str
    slice: Slice
    source: str
    """Id of the prediction."""
    kind: Kind
    facts: tuple[Fact, ...]
    """What it states; of ``normal`` and ``denied`` what is not there."""
    size_mm: float
    """Largest size told; 0 without."""
    mentions: tuple[Mention, ...]
    """Phrases of the sentence with their boxes."""
    confidence: float | None


@dataclass(frozen=True)
class Merged:
    """A sentence of the draft: statements that say the same of different slices."""

    statements: tuple[Statement, ...]
    """In order along the study; the one that is written is `best`."""

    @property
    def best(self) -> Statement:
        """The one with the largest size, then the surest, then the first."""
        return max(self.statements, key=lambda each: (each.size_mm, each.confidence or 0.0))

    @property
    def kind(self) -> Kind:
        """The same for all."""
        return self.statements[0].kind

    @property
    def slices(self) -> tuple[Slice, ...]:
        """Each slice once, in order."""
        return tuple({each.slice.id: each.slice for each in self.statements}.values())


class Contradiction(NamedTuple):
    """A finding, and a slice that denies it though it should show it."""

    kind: Literal["same-slice", "between"]
    stated: Statement
    denied: Statement


class Draft(NamedTuple):
    """The statements of a study, merged."""

    sentences: tuple[Merged, ...]
    contradictions: tuple[Contradiction, ...]
    given: int
    """Statements that came in."""


def statements_of(prediction: Prediction, slice_: Slice) -> Iterator[Statement]:
    """The sentences of an answer about a slice, with what they state."""
    facts = parse(prediction.text, prediction.lang)
    at = 0
    places: list[tuple[int, Mention]] = []
    for mention in prediction.mentions:
        start = prediction.text.find(mention.phrase, at) if mention.phrase else -1
        if start >= 0:
            places.append((start, mention))
            at = start + len(mention.phrase)
    for number, sentence in enumerate(facts.sentences):
        start, end = sentence.span
        text = prediction.text[start:end].strip()
        if not any(letter.isalpha() for letter in text):
            continue
        kind, stated = _stated(facts, number)
        sizes = [v for each in facts.measurements if each.sentence == number and not each.prior for v in each.value_mm]
        yield Statement(
            text=text,
            slice=slice_,
            source=prediction.id,
            kind=kind,
            facts=stated,
            size_mm=max(sizes, default=0.0),
            mentions=tuple(mention for place, mention in places if start <= place < end),
            confidence=prediction.confidence,
        )


def _stated(facts: Facts, number: int) -> tuple[Kind, tuple[Fact, ...]]:
    own = [f for f in facts.findings if f.sentence == number and f.time == "current" and f.experiencer == "patient"]
    present = [f for f in own if f.state == "present"]
    if own:
        found = {
            Fact(f.name, _labels(name for i in f.anatomy for name in facts.anatomy[i].classes), f.side)
            for f in present or own
        }
        return ("finding" if present else "denied"), tuple(sorted(found, key=str))
    spoken = [each for each in facts.anatomy if each.sentence == number and not each.prior]
    if not spoken:
        return "other", ()
    if any(each.absent for each in spoken):
        gone = {Fact("absent", _labels(each.classes), each.side) for each in spoken if each.absent}
        return "finding", tuple(sorted(gone, key=str))
    return "normal", tuple(sorted({Fact("", _labels(each.classes), each.side) for each in spoken}, key=str))


def _labels(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name in LABELS and name != "lesion"}))


def merge(statements: Sequence[Statement]) -> Draft:
    """One draft of statements, which come in order along the study."""
    groups: dict[tuple[object, ...], list[Statement]] = {}
    for each in statements:
        key = (each.kind, each.facts) if each.facts else (each.kind, each.text.casefold())
        groups.setdefault(key, []).append(each)
    merged = [Merged(tuple(group)) for group in groups.values()]
    stated = [each for each in merged if each.kind == "finding"]
    kept = [each for each in merged if not (each.kind in ("normal", "denied") and _shown_elsewhere(each, stated))]
    first = {each.slice.id: number for number, each in reversed(list(enumerate(statements)))}
    kept.sort(key=lambda each: (RANK[each.kind], first[each.statements[0].slice.id]))
    return Draft(tuple(kept), tuple(_contradictions(merged, stated)), len(statements))


def _opposed(denied: Fact, stated: Fact) -> bool:
    """Whether the one denies what the other states: the same finding, or any finding of a structure."""
    if denied.name not in ("", stated.name):
        return False
    if denied.labels and stated.labels:
        return not set(denied.labels).isdisjoint(stated.labels)
    sides = {denied.side, stated.side}
    return bool(denied.name) and (len(sides) == 1 or None in sides or "both" in sides)


def _shown_elsewhere(denial: Merged, stated: Sequence[Merged]) -> bool:
    """A slice shows what this denies; of a denial of several things, one is enough."""
    return any(_opposed(one, other) for each in stated for one in denial.best.facts for other in each.best.facts)


def _contradictions(merged: Sequence[Merged], stated: Sequence[Merged]) -> Iterator[Contradiction]:
    for finding in stated:
        for denial in merged:
            if denial.kind not in ("normal", "denied"):
                continue
            if not any(_opposed(d, s) for d in denial.best.facts for s in finding.best.facts):
                continue
            for denied in denial.statements:
                if (found := _against(denied, finding)) is not None:
                    yield found


def _against(denied: Statement, finding: Merged) -> Contradiction | None:
    own = [each for each in finding.statements if each.slice.series == denied.slice.series]
    for each in own:
        if each.slice.id == denied.slice.id:
            return Contradiction("same-slice", each, denied)
    before = [each for each in own if each.slice.index < denied.slice.index]
    behind = [each for each in own if each.slice.index > denied.slice.index]
    return Contradiction("between", before[-1], denied) if before and behind else None


# --- in words

WORDS: dict[Lang, dict[str, str]] = {
    "de": {
        "series": "Serie",
        "image": "Bild",
        "more": "und weitere",
        "contradictions": "Widersprüche:",
        "same-slice": "auf demselben Bild verneint",
        "between": "auf einem Bild dazwischen verneint",
        "but": "aber",
        "nothing": "Keine Aussage.",
    },
    "en": {
        "series": "series",
        "image": "image",
        "more": "and more",
        "contradictions": "Contradictions:",
        "same-slice": "denied on the same image",
        "between": "denied on an image in between",
        "but": "but",
        "nothing": "No statement.",
    },
}


def reference(slices: Sequence[Slice], lang: Lang) -> str:
    """ "(Serie 3, Bild 45-47)": where a statement comes from, as a report writes it."""
    words = WORDS[lang]
    by_series: dict[int | None, list[int]] = {}
    for each in slices:
        by_series.setdefault(each.series_number, []).append(image_number(each))
    parts = []
    for series, numbers in by_series.items():
        shown = ranges(numbers).split(", ")
        listed = ", ".join(shown[:MOST_IMAGES]) + (f" {words['more']}" if len(shown) > MOST_IMAGES else "")
        parts.append((f"{words['series']} {series}, " if series is not None else "") + f"{words['image']} {listed}")
    return f"({'; '.join(parts)})"


def sentence(merged: Merged, lang: Lang) -> str:
    """A sentence of the draft with its references."""
    return _cited(merged.best.text, merged.slices, lang)


def _cited(text: str, slices: Sequence[Slice], lang: Lang) -> str:
    bare = text.rstrip()
    end = bare[-1] if bare[-1:] in ".!?" else "."
    return f"{bare.removesuffix(end).rstrip()} {reference(slices, lang)}{end}"


def contradiction_line(each: Contradiction, lang: Lang) -> str:
    """ "Leberzyste von 12 mm (Serie 3, Bild 45), aber: Leber unauffällig (Serie 3, Bild 46) - auf ..."."""
    stated = _cited(each.stated.text, [each.stated.slice], lang).rstrip(".!?")
    denied = _cited(each.denied.text, [each.denied.slice], lang).rstrip(".!?")
    return f"{stated}, {WORDS[lang]['but']}: {denied} - {WORDS[lang][each.kind]}."


class Written(NamedTuple):
    """A draft as text."""

    text: str
    spans: tuple[Span, ...]
    """Of each sentence of the draft."""


def written(draft: Draft, lang: Lang) -> Written:
    """The sentences, one a line, then the contradictions under a heading."""
    text, spans = "", []
    for each in draft.sentences:
        line = sentence(each, lang)
        spans.append((len(text), len(text) + len(line)))
        text += line + "\n"
    if draft.contradictions:
        text += "\n" + WORDS[lang]["contradictions"] + "\n"
        text += "".join(f"- {contradiction_line(each, lang)}\n" for each in draft.contradictions)
    return Written(text.strip() or WORDS[lang]["nothing"], tuple(spans))
