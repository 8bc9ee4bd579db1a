"""A study as samples are made from it: its slices, what their masks show, which sentences speak of them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.pipe import Count, Group
from rrg.records import Mask, Report, Slice
from rrg.synth.seen import Seen, seen_on
from rrg.synth.slice_choice import choose

UNUSED_ROLES = ("localizer", "derived", "mip", "vrt", "bolus")
UNUSED_FLAGS = ("burned_in",)
"""Slices with text in the pixels are left out: they may show names."""


class Said(NamedTuple):
    """A sentence of a report that points at a slice."""

    report: Report
    sentence: int


@dataclass(frozen=True)
class Study:
    """All of a study that samples are made from."""

    seen: tuple[Seen, ...]
    """The chosen slices, by series and index."""
    said: Mapping[str, tuple[Said, ...]]
    """Slice id -> sentences that point at it, in text order."""
    counts: tuple[Count, ...]
    paired: Mapping[str, tuple[Said, ...]] = field(default_factory=dict)
    """Slice id -> sentences that cite no slice and were given this one; empty without a `Pairing`."""
    usable: tuple[Slice, ...] = ()
    """All slices that may be chosen, by series and index."""
    masks: Mapping[str, Sequence[Mask]] = field(default_factory=dict)
    """Slice id -> its masks, by engine."""


Pairing = Callable[
    [Sequence[Report], Sequence[Slice], Mapping[str, Sequence[Mask]], Counter[str]], Mapping[str, tuple[Said, ...]]
]
"""(reports, usable slices, masks by slice, counts to add to) -> slice id -> sentences that it is given."""


def read_study(
    group: Group,
    slices: str,
    min_area_px: int,
    *,
    min_score: float | None = None,
    drop_border: bool = False,
    pair: Pairing | None = None,
) -> Study:
    """Choose slices and join what is known of them. `slices`: see `choose`; the gates: see `seen_on`.

    `pair` gives slices to sentences that cite none; those slices are chosen too. Raises RecordError E_GRID for a mask
    that is not of its slice.
    """
    counts: Counter[str] = Counter()
    usable: list[Slice] = []
    slice_by_id = {slice_.id: slice_ for slice_ in group.of(Slice)}
    counts["slices.left_out.repeated"] += len(group.of(Slice)) - len(slice_by_id)
    for slice_ in sorted(slice_by_id.values(), key=lambda s: (s.series, s.index, s.id)):
        if slice_.role in UNUSED_ROLES:
            counts[f"slices.left_out.{slice_.role}"] += 1
        elif flags := [flag for flag in slice_.flags if flag in UNUSED_FLAGS]:
            counts[f"slices.left_out.{flags[0]}"] += 1
        else:
            usable.append(slice_)
    said = _said(group.of(Report), {slice_.id for slice_ in usable}, counts)
    masks = _masks(group.of(Mask), slice_by_id, counts)
    paired = pair(group.of(Report), usable, masks, counts) if pair is not None else {}
    chosen = choose(usable, slices, {**said, **paired})
    seen = tuple(
        seen_on(slice_, masks.get(slice_.id, ()), min_area_px, min_score=min_score, drop_border=drop_border)
        for slice_ in chosen
    )
    counts["slices.seen"] += len(group.of(Slice))
    counts["slices.not_chosen"] += len(usable) - len(seen)
    counts["slices.chosen"] += len(seen)
    counts["slices.without_mask"] += sum(1 for each in seen if not each.masks)
    told = tuple(Count(name, n) for name, n in sorted(counts.items()) if n)
    return Study(seen, said, told, paired, tuple(usable), masks)


def _masks(given: Sequence[Mask], slices: Mapping[str, Slice], counts: Counter[str]) -> dict[str, list[Mask]]:
    """Slice id -> its masks, by engine, each once. Those of slices that are not in the stream are counted."""
    found: dict[str, list[Mask]] = {}
    for mask in sorted({mask.id: mask for mask in given}.values(), key=lambda m: (m.engine, m.id)):
        if (slice_ := slices.get(mask.slice)) is None:
            counts["masks.without_slice"] += 1
            continue
        for each in mask.labels:
            if each.box.x1 > slice_.columns or each.box.y1 > slice_.rows:
                raise RecordError(
                    "E_GRID",
                    f"mask {mask.id}: {each.label} reaches to column {each.box.x1:g}, row {each.box.y1:g} of a slice "
                    f"of {slice_.columns} x {slice_.rows}; it is the mask of another slice: segment again",
                )
            if (known := LABELS.get(each.label)) is None:
                counts["masks.unknown_label"] += 1
            elif known.class_id != each.class_id:
                raise RecordError(
                    "E_GRID",
                    f"mask {mask.id}: {each.label} is class {each.class_id}, expected {known.class_id}; it was made "
                    "with another label table: segment again",
                )
        found.setdefault(mask.slice, []).append(mask)
    return found


def _said(reports: Sequence[Report], known: set[str], counts: Counter[str]) -> dict[str, tuple[Said, ...]]:
    """Which sentences point at which slice. Those that compare with an earlier study are left out."""
    found: dict[str, dict[tuple[str, int], Said]] = {}
    for report in sorted(reports, key=lambda r: r.id):
        prior = {ref.sentence for ref in report.references if ref.prior or ref.status == "prior"}
        counts["references.seen"] += len(report.references)
        for ref in sorted(report.references, key=lambda r: r.span):
            sentence = report.sentences[ref.sentence]
            if ref.status != "resolved" or ref.prior:
                counts[f"references.{'prior' if ref.prior else ref.status}"] += 1
            elif compares(report, ref.sentence, earlier=sentence.prior or ref.sentence in prior):
                counts["references.in_comparison"] += 1
            else:
                counts["references.resolved"] += 1
                for slice_id in ref.slices:
                    counts["cited.seen"] += 1
                    said = found.setdefault(slice_id, {}) if slice_id in known else None
                    if said is None:
                        counts["cited.not_usable"] += 1
                    elif (report.id, ref.sentence) in said:
                        counts["cited.repeated"] += 1
                    else:
                        counts["cited.used"] += 1
                        said[report.id, ref.sentence] = Said(report, ref.sentence)
    return {slice_id: tuple(said[key] for key in sorted(said)) for slice_id, said in found.items()}


def compares(report: Report, sentence: int, *, earlier: bool) -> bool:
    """True when a sentence compares with an earlier study (`earlier`), and no static wording frees it of that."""
    static = [each for each in report.rewrites if each.sentence == sentence and each.kind == "static"]
    return not any(each.text for each in static) if static else earlier
