"""Which phrases of sentences get boxes on a slice: mentioned, current, not denied, and there."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rrg.anatomy import LABELS, other_side
from rrg.records import Anatomy, Mention, Region, Report, Span, TextSource
from rrg.synth.seen import NEVER_ASKED, Seen
from rrg.synth.snippets import removed, said_as, with_side

SIDE_WORD = re.compile(r"\b(?:link|recht|beid|left|right|both|li\.|re\.|bds)", re.IGNORECASE)


class Grounded(NamedTuple):
    """A phrase with its regions on a slice."""

    mention: Mention
    classes: tuple[str, ...]
    """All structures that the phrase means, also those that are not on the slice."""


def grounded_mentions(
    report: Report, sentences: Sequence[int], seen: Seen, *, components: bool, counts: Counter[str]
) -> tuple[Grounded, ...]:
    """Phrases of `sentences` that mean something present on the slice, in text order, ids m0, m1, ...

    Left out: negated, of an earlier study, removed or not imaged, inside of a slice reference or of another phrase,
    without a structure that is present here. In `counts`, ``mentions.seen`` is ``mentions.grounded`` and all
    ``dropped.*`` together; of each structure of a phrase that got this far, ``regions.seen`` is ``regions.grounded``
    and all ``regions.dropped.*``.
    """
    gone = {at for number in sentences for span in removed(report, number) for at in range(*span)}
    kept: list[tuple[Anatomy, tuple[Region, ...]]] = []
    inside = [fact for fact in report.anatomy if fact.sentence in sentences]
    for fact in sorted(inside, key=lambda f: (f.span[0], -f.span[1])):
        counts["mentions.seen"] += 1
        if reason := not_current(fact):
            counts[f"dropped.{reason}"] += 1
        elif not gone.isdisjoint(range(*fact.span)):
            counts["dropped.in_reference"] += 1
        elif kept and fact.span[0] < kept[-1][0].span[1]:
            counts["dropped.overlap"] += 1
        elif not seen.masks:
            counts["dropped.no_mask"] += 1
        else:
            regions, reasons = _regions(fact, seen, components)
            counts["regions.seen"] += len(regions) + len(reasons)
            counts["regions.grounded"] += len(regions)
            counts.update(f"regions.dropped.{each}" for each in reasons)
            if regions:
                counts["mentions.grounded"] += 1
                kept.append((fact, regions))
            else:
                counts[f"dropped.{min(reasons, key=_REASONS.index, default='no_class')}"] += 1
    spans = _with_sides(report, [(fact.span, regions) for fact, regions in kept], gone)
    return tuple(
        Grounded(
            Mention(
                id=f"m{number}",
                phrase=said_as(report, span),
                source=TextSource(report=report.id, span=span),
                regions=regions,
            ),
            tuple(dict.fromkeys(fact.classes)),
        )
        for number, (span, (fact, regions)) in enumerate(zip(spans, kept, strict=True))
    )


_REASONS = ("border", "low_score", "too_small", "not_on_slice", "not_looked_for", "never_asked", "unknown_class")
"""Why a structure has no region; of several the first tells why the phrase has none."""


def not_current(fact: Anatomy) -> str | None:
    """Why a mention says nothing about what these images show: ``negated``, ``prior``, ``resected`` ...; else None."""
    if fact.negated:
        return "negated"
    if fact.prior:
        return "prior"
    return (fact.absent_why or "absent") if fact.absent else None


def _regions(fact: Anatomy, seen: Seen, components: bool) -> tuple[tuple[Region, ...], list[str]]:
    """(regions on the slice, why the other structures of the mention have none)."""
    regions: list[Region] = []
    reasons: list[str] = []
    for label in dict.fromkeys(fact.classes):
        if label not in LABELS:
            reasons.append("unknown_class")
        elif label in NEVER_ASKED:
            reasons.append("never_asked")
        elif region := seen.region(label, "report+seg", components=components):
            regions.append(region)
        elif gate := seen.why_not(label):
            reasons.append(gate)
        else:
            reasons.append("not_on_slice" if label in seen.absent else "not_looked_for")
    return tuple(regions), reasons


def _with_sides(report: Report, found: Sequence[tuple[Span, tuple[Region, ...]]], gone: set[int]) -> list[Span]:
    """Spans of phrases, with the word for the side beside them where the structure has a side."""
    spans: list[Span] = []
    for number, (span, regions) in enumerate(found):
        wider = with_side(report.text, span) if any(LABELS[r.label].side for r in regions) else span
        follows = found[number + 1][0][0] if number + 1 < len(found) else len(report.text)
        free = (spans[-1][1] if spans else 0) <= wider[0] and wider[1] <= follows
        sentence = any(s.span[0] <= wider[0] and wider[1] <= s.span[1] for s in report.sentences)
        spans.append(wider if free and sentence and gone.isdisjoint(range(*wider)) else span)
    return spans


def other_side_too(labels: Sequence[str], phrase: str, seen: Seen) -> bool:
    """A phrase without its side ("Niere") while the structure of the other side is on the slice as well."""
    if SIDE_WORD.search(phrase):
        return False
    twins = {other for label in labels if (other := other_side(label))} - set(labels)
    return any(seen.parts(other) for other in twins)
