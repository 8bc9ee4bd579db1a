"""What the stacks of a series are for: from words of the header, Image Type and geometry.

Words are believed where geometry allows them; where headers were stripped, geometry decides alone.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rrg.dicom import Header
from rrg.geometry import Plane, plane_of
from rrg.labels import Hint, type_hints
from rrg.records import Role

FEW = 10
"""A localizer has fewer slices in each plane."""
BOLUS_SLICES = 3
"""Bolus tracking looks at one position; more slices than this are a volume, whatever its name."""
BOLUS_TIMES = 3
"""So often must one position return in a CT series that says nothing, to be bolus tracking."""
SAME_PLACES = 0.9
"""A phase of a 4-D series has a slice at this share of the positions of the series, at least."""


class Part(NamedTuple):
    """Slices of one grid, no two at one position, in order."""

    headers: tuple[Header, ...]
    family: int | None = None
    """Parts of one number are at the same positions at different times (or differ by nothing that a tag says)."""
    time: int | None = None
    """Zero-based place in the family."""
    places: int = 0
    """Positions that the family has, all parts together."""

    @property
    def is_whole(self) -> bool:
        """Has a slice at (nearly) all positions of its family; two ranges that overlap have not."""
        return self.family is not None and len(self.headers) >= SAME_PLACES * self.places


@lru_cache(maxsize=4096)
def plane_at(orientation: tuple[float, ...] | None) -> Plane | None:
    """Plane of an Image Orientation (Patient)."""
    return plane_of(orientation) if orientation else None


class _Series(NamedTuple):
    """What the parts of a series have in common."""

    longest: dict[Plane | None, int]
    """Slices of the longest part of each plane."""
    times: Counter[int | None]
    """Family -> number of its whole parts."""


def roles_of(parts: Sequence[Part]) -> list[tuple[Role, int | None]]:
    """(role, phase of a dynamic part) of each part of a series."""
    longest: dict[Plane | None, int] = {}
    for part in parts:
        plane = _plane(part)
        longest[plane] = max(len(part.headers), longest.get(plane, 0))
    series = _Series(longest, Counter(part.family for part in parts if part.is_whole))
    found: list[tuple[Role, int | None]] = []
    for part in parts:
        role = _role(part, series)
        found.append((role, part.time if role == "dynamic" else None))
    return found


def _role(part: Part, series: _Series) -> Role:
    first, plane = part.headers[0], _plane(part)
    typed = type_hints(first.image_type)
    hints: set[Hint] = {*typed, *first.labels.hints}
    if _is_localizer(part, typed, hints, series):
        return "localizer"
    if "vrt" in hints:
        return "vrt"
    if "mip" in hints:
        return "mip"
    axial_original = first.modality == "CT" and plane == "axial" and first.image_type[:1] == ("ORIGINAL",)
    if "reformat" in typed or ("reformat" in hints and not axial_original):
        return "reformat"  # "1.0 MPR" may name the thin slices that reformats are made of
    if _is_bolus(part, hints, series):
        return "bolus"
    if "derived" in hints:
        return "derived"
    if _is_phase(part, series):
        return "dynamic"
    if not _is_derived(first):
        return "primary"
    rendered = len(part.headers) == 1 and len(series.longest) > 1  # views from around: no volume was reformatted
    return "reformat" if first.modality == "CT" and plane not in (None, "axial") and not rendered else "derived"


def _plane(part: Part) -> Plane | None:
    return plane_at(part.headers[0].orientation)


def _is_derived(header: Header) -> bool:
    """Image Type DERIVED, unless it may be so for its lossy compression only (DICOM PS3.3 C.7.6.1.1.5)."""
    kind = header.image_type
    return kind[:1] == ("DERIVED",) and not (header.lossy and kind[1:2] == ("PRIMARY",))


def _is_localizer(part: Part, typed: Sequence[Hint], hints: set[Hint], series: _Series) -> bool:
    """By Image Type or words; by geometry: a few slices across a long stack, or in all three planes.

    A CT image that is neither axial nor derived is a projection: CT acquires axial slices only.
    """
    if "localizer" in typed:
        return True
    first, plane, length = part.headers[0], _plane(part), len(part.headers)
    if "localizer" in hints:
        return first.modality != "CT" or plane != "axial" or length <= FEW
    if plane is None or _is_derived(first) or {"mip", "vrt", "reformat"} & hints:
        return False
    if length <= 2:
        if first.modality == "CT" and plane in ("coronal", "sagittal"):
            return True
        return any(other not in (None, plane) and most >= 4 * length for other, most in series.longest.items())
    return length < FEW and {"axial", "coronal", "sagittal"} <= series.longest.keys()


def _is_bolus(part: Part, hints: set[Hint], series: _Series) -> bool:
    """One position, many times: by words, or in a CT series of nothing else."""
    if len(part.headers) > BOLUS_SLICES:
        return False
    if "bolus" in hints:
        return True
    alone = len(series.longest) == 1 and max(series.longest.values()) == 1
    return part.headers[0].modality == "CT" and alone and series.times[part.family] >= BOLUS_TIMES


def _is_phase(part: Part, series: _Series) -> bool:
    """One of several at the same positions. Directions and b-values without a tag are no phases."""
    diffusion = part.headers[0].labels.sequence in ("DWI", "ADC")
    return not diffusion and part.is_whole and series.times[part.family] > 1
