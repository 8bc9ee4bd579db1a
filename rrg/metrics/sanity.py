"""Answers that need no image: what a score is worth is what it has above them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rrg.formats.items import Item
from rrg.metrics.table import Scored

KINDS = ("content_type", "question_type", "phrase_type")
"""Facets that tell kinds of questions; the first that a reference has."""
NORMAL = {
    "en": "The findings are normal. No acute abnormality is seen.",
    "de": "Unauffälliger Befund. Kein Nachweis pathologischer Veränderungen.",
}
"""The constant report, by language; English where a reference declares none or another one."""


class Row(NamedTuple):
    """One row of the sanity table that is made here."""

    name: str
    rule: str
    predictions: Callable[[Sequence[Item], Sequence[Scored]], list[Any]]
    """Items and their scores -> a prediction for each."""


def majority_answers(items: Sequence[Item], scored: Sequence[Scored]) -> list[str]:
    """The most frequent reference of each item's kind of question; of several the one that comes first."""
    keys = [_kind(item, each) for item, each in zip(items, scored, strict=True)]
    counts: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    spelled: dict[str, str] = {}
    for key, item in zip(keys, items, strict=True):
        text = " ".join(str(item.reference.value).lower().split())
        spelled.setdefault(text, str(item.reference.value))
        counts[key][text] += 1
    best = {key: spelled[each.most_common(1)[0][0]] for key, each in counts.items()}
    return [best[key] for key in keys]


def _kind(item: Item, scored: Scored) -> tuple[Any, ...]:
    facets = item.reference.facets
    name = next((each for each in KINDS if each in facets), None)
    return scored.answer_type, item.reference.lang, facets[name] if name else None


def normal_reports(items: Sequence[Item], _scored: Sequence[Scored]) -> list[str]:
    """The same normal report for everyone."""
    return [NORMAL.get(item.reference.lang or "en", NORMAL["en"]) for item in items]


def majority_labels(items: Sequence[Item], _scored: Sequence[Scored]) -> list[Mapping[str, str]]:
    """The most frequent code of each label."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        for label, code in item.reference.value.items():
            counts[label][code] += 1
    same = {label: each.most_common(1)[0][0] for label, each in counts.items()}
    return [same for _ in items]


ROWS: Mapping[str, Row] = {
    "vqa": Row(
        "majority",
        "the most frequent reference of these questions, by open/closed, language and kind of question",
        majority_answers,
    ),
    "report": Row("constant", "one normal report for everyone", normal_reports),
    "labels": Row("majority", "the most frequent code of each label in these references", majority_labels),
}
"""Task -> the row of its sanity table that needs no file."""
