"""What the masks of a slice show: which structures are there, which are not, and which nobody may ask for."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rrg.anatomy import LABELS, covers
from rrg.geometry import union_box
from rrg.records import Box, ImageRef, Mask, Region, Slice

NEVER_ASKED = frozenset({"body"})
"""On every slice: a question about it teaches nothing."""
Origin = Literal["report+seg", "seg"]
Gate = Literal["too_small", "low_score", "border"]
"""Why a structure that the mask shows is not used."""


class Found(NamedTuple):
    """A structure on a slice."""

    label: str
    class_id: int
    area_px: int
    box: Box
    components: tuple[Box, ...]
    mask: str
    """Reference into the store."""
    score: float | None = None
    """Trust in its segmentation, 0..1; None: not judged."""


@dataclass(frozen=True)
class Seen:
    """A slice and what its masks say."""

    slice: Slice
    masks: tuple[str, ...]
    """Ids of the mask records."""
    found: Mapping[str, Found]
    """Structures of at least the smallest area, by label."""
    small: frozenset[str]
    """On the slice, but held back by a gate (mostly: smaller than that): neither present nor absent."""
    absent: frozenset[str]
    """Looked for, and not a pixel of it (or of a part of it) found."""
    gates: Mapping[str, Gate] = field(default_factory=dict)
    """Which gate held back each of `small`."""

    @functools.cached_property
    def image(self) -> ImageRef:
        """The slice as image ``i0`` of a sample."""
        return image_of(self.slice)

    @functools.cached_property
    def shown(self) -> tuple[str, ...]:
        """Structures that may be asked for, by name."""
        return tuple(sorted(set(self.found) - NEVER_ASKED))

    @functools.cached_property
    def missing(self) -> tuple[str, ...]:
        """Absent structures that may be asked for, by name."""
        return tuple(sorted(self.absent - NEVER_ASKED))

    @functools.cached_property
    def strata(self) -> dict[str, str]:
        """What every sample of the slice has as facets."""
        slice_ = self.slice
        known = {"modality": slice_.modality, "plane": slice_.plane, "body_part": slice_.body_part}
        return {key: value for key, value in known.items() if value is not None}

    def parts(self, label: str) -> tuple[Found, ...]:
        """What shows `label` on this slice: itself, else the structures that imply it (the lobes of a lung)."""
        if label in self.found:
            return (self.found[label],)
        return tuple(self.found[part] for part in covers(label) if part in self.found)

    def region(self, label: str, origin: Origin, *, components: bool = False) -> Region | None:
        """The region of `label`: one union box, or the box of each component; None when it is not there."""
        if not (parts := self.parts(label)):
            return None
        boxes = tuple(box for part in parts for box in (part.components or (part.box,)))
        if not components:
            boxes = (union_box([part.box for part in parts]),)
        return Region(
            label=label,
            class_id=LABELS[label].class_id,
            boxes=boxes,
            mask=parts[0].mask,
            origin=origin,
            score=min((part.score for part in parts if part.score is not None), default=None),
        )

    def why_not(self, label: str) -> Gate | None:
        """The gate that held `label` back, or a structure that implies it; None when it is not on the slice at all."""
        return next((self.gates[each] for each in (label, *covers(label)) if each in self.gates), None)


def seen_on(
    slice_: Slice,
    masks: Sequence[Mask],
    min_area_px: int,
    *,
    min_score: float | None = None,
    drop_border: bool = False,
) -> Seen:
    """Join the masks of all engines on a slice. Of one label in several masks the first that passes the gates counts.

    Gates: at least `min_area_px`; a score of at least `min_score` (structures that nobody judged pass); with
    `drop_border`, no pixel in the outermost rows and columns.
    """
    found: dict[str, Found] = {}
    gates: dict[str, Gate] = {}
    for mask in masks:
        for each in mask.labels:
            if each.label not in LABELS:
                continue
            if each.area_px < min_area_px:
                gates.setdefault(each.label, "too_small")
            elif min_score is not None and each.score is not None and each.score < min_score:
                gates.setdefault(each.label, "low_score")
            elif drop_border and at_border(each.box, slice_):
                gates.setdefault(each.label, "border")
            else:
                found.setdefault(
                    each.label,
                    Found(
                        *(each.label, each.class_id, each.area_px, each.box, each.components),
                        mask=mask.array,
                        score=each.score,
                    ),
                )
    anywhere = found.keys() | gates.keys()
    looked_for = {label for mask in masks for label in mask.looked_for or () if label in LABELS}
    absent = {label for label in looked_for - anywhere if anywhere.isdisjoint(covers(label))}
    for whole in anywhere - NEVER_ASKED:  # a lung without any lobe: which lobe it is, nobody knows
        if anywhere.isdisjoint(covers(whole)):
            absent -= set(covers(whole))
    return Seen(
        slice=slice_,
        masks=tuple(mask.id for mask in masks),
        found=dict(sorted(found.items())),
        small=frozenset(anywhere - set(found)),
        absent=frozenset(absent),
        gates={label: gate for label, gate in gates.items() if label not in found},
    )


def at_border(box: Box, slice_: Slice) -> bool:
    """True when a box reaches the outermost row or column: what it holds may go on outside of the picture."""
    return box.x0 <= 0 or box.y0 <= 0 or box.x1 >= slice_.columns or box.y1 >= slice_.rows


def image_of(slice_: Slice) -> ImageRef:
    """The slice as image ``i0`` of a sample."""
    return ImageRef(
        id="i0",
        ref=slice_.pixels,
        slice=slice_.id,
        rows=slice_.rows,
        columns=slice_.columns,
        modality=slice_.modality,
        unit=slice_.unit,
        spacing_mm=slice_.spacing_mm,
        padding=slice_.padding,
        inverted=True if "monochrome1" in slice_.flags else None,
    )
