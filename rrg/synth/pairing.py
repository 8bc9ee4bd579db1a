"""A slice for sentences that cite none: where the structure that they name is largest. Inferred, and marked so."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rrg.anatomy import LABELS
from rrg.records import Mask, Report, Slice
from rrg.synth.facts import Said, compares
from rrg.synth.mentions import not_current
from rrg.synth.seen import NEVER_ASKED, Seen, seen_on

SECTIONS = ("findings", "impression", "addendum", "body")
"""Sections whose sentences describe these images."""


def by_largest_area(
    min_area_px: int,
    min_score: float | None,
    drop_border: bool,
    reports: Sequence[Report],
    usable: Sequence[Slice],
    masks: Mapping[str, Sequence[Mask]],
    counts: Counter[str],
) -> dict[str, tuple[Said, ...]]:
    """Slice id -> sentences without a reference that name a structure of the primary series.

    Of several structures in a sentence the one on the fewest slices decides, then the one named first; of its slices
    the one with the largest area, then the first. ``pairing.seen`` is ``pairing.inferred`` and the other
    ``pairing.*`` together.
    """
    series = primary_series(usable, masks)
    seen = [
        seen_on(slice_, masks[slice_.id], min_area_px, min_score=min_score, drop_border=drop_border)
        for slice_ in usable
        if slice_.series == series and slice_.id in masks
    ]
    found: dict[str, list[Said]] = {}
    for report in sorted(reports, key=lambda r: r.id):
        citing = {reference.sentence for reference in report.references}
        for number, sentence in enumerate(report.sentences):
            if report.sections and report.sections[sentence.section].kind not in SECTIONS:
                continue
            counts["pairing.seen"] += 1
            if number in citing:
                counts["pairing.cites_a_slice"] += 1
            elif compares(report, number, earlier=sentence.prior):
                counts["pairing.in_comparison"] += 1
            elif not (named := _named(report, number)):
                counts["pairing.names_nothing"] += 1
            elif (slice_id := _best(named, seen)) is None:
                counts["pairing.not_segmented"] += 1
            else:
                counts["pairing.inferred"] += 1
                found.setdefault(slice_id, []).append(Said(report, number))
    return {slice_id: tuple(said) for slice_id, said in found.items()}


def primary_series(usable: Iterable[Slice], masks: Mapping[str, Sequence[Mask]]) -> str | None:
    """The series to look in: of role ``primary`` and with masks; axial before others, then most slices, then number."""
    candidates = [slice_ for slice_ in usable if slice_.role == "primary" and slice_.id in masks]
    if not candidates:
        return None
    return min(candidates, key=lambda s: (s.plane != "axial", -s.count, s.series_number or 0, s.series)).series


def _named(report: Report, number: int) -> list[tuple[str, ...]]:
    """The structures of each current mention of a sentence, in text order."""
    mentions = sorted((fact for fact in report.anatomy if fact.sentence == number), key=lambda fact: fact.span)
    named = (
        tuple(label for label in dict.fromkeys(fact.classes) if label in LABELS and label not in NEVER_ASKED)
        for fact in mentions
        if not not_current(fact)
    )
    return [labels for labels in named if labels]


def _best(named: Sequence[tuple[str, ...]], seen: Sequence[Seen]) -> str | None:
    """The slice for a sentence; None when no slice shows anything that it names."""
    shown = [
        [(sum(part.area_px for label in labels for part in each.parts(label)), each) for each in seen]
        for labels in named
    ]
    areas = [[(area, each) for area, each in one if area] for one in shown]
    areas = [one for one in areas if one]
    if not areas:
        return None
    rarest = min(areas, key=len)
    return max(rarest, key=lambda item: (item[0], -item[1].slice.index))[1].slice.id
