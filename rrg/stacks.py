"""Headers -> studies -> stacks: slices of one grid, in order along their normal. No pixels."""

import dataclasses
import hashlib
import math
import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from rrg.dicom import Header, Rejected
from rrg.geometry import slice_normal
from rrg.labels import type_hints
from rrg.records import Role
from rrg.roles import Part, plane_at, roles_of

FOLDER = "folder "
"""Begins what stands for a Study Instance UID where files name none."""
SAME_POSITION_MM = 0.01
"""Slices nearer than this along the normal lie at one position."""
SAME_DIRECTION = 1e-3
"""Direction cosines that differ by less are one orientation."""
EVEN_MM, EVEN_SHARE = 0.02, 0.02
"""Gaps between slices may differ by this much, in mm and as a share of the median gap (rounded positions)."""
SHEAR_SINE = 0.01
"""A stack whose origin drifts off the normal by more than this share of the way is sheared (about 0.6 degrees)."""
TILT_DEGREES = 0.1
STRAIGHT_MM, STRAIGHT_SHARE = 0.1, 0.1
"""Slices of an even stack lie on a line, to this much across the normal, in mm and as a share of the median gap."""
MANY_GRIDS = 32
"""A series of more grids is no volume; further slices join only a grid that is exactly theirs (bounds the search)."""


@dataclasses.dataclass(frozen=True, slots=True)
class StudyFiles:
    """The files of one study. `uid` and `patient_id` are originals, or stand-ins where the files name none."""

    uid: str
    patient_id: str
    headers: tuple[Header, ...]
    problem: Rejected | None = None
    """Why no file of it may be used."""

    def digest(self) -> str:
        """Changes when a header or a file's size or place changes: the work to do is another."""
        digest = hashlib.sha256()
        for header in self.headers:
            digest.update(repr(dataclasses.replace(header, path="", disk=None)).encode())
        return digest.hexdigest()


class Stack(NamedTuple):
    """Slices of one grid and orientation, in order."""

    number: int
    """0 for the first stack of a series."""
    headers: tuple[Header, ...]
    role: Role
    time_index: int | None = None
    """Zero-based phase, of a ``dynamic`` stack."""


class Layout(NamedTuple):
    """What the places of the slices of a stack say."""

    spacing_mm: float | None
    """Distance of neighbours along the normal; None when uneven, unknown, or of one slice."""
    flags: tuple[str, ...]
    """Of ``no_mm``, ``gap_mm``, ``tilt``, ``shear``; see `rrg.records.Slice`."""
    gaps_mm: tuple[float, float] | None = None
    """(smallest, largest) distance of neighbours along the normal; with flag ``gap_mm``."""
    tilt_degrees: float | None = None
    """Angle between the way from the first slice to the last and the normal; with flag ``shear``."""


# --- studies and series


def study_value(header: Header) -> str:
    """Study Instance UID. Where the file names none: its Frame of Reference, else its folder; see flag ``no_uid``."""
    if header.study:
        return header.study
    if header.frame_of_reference:
        return f"frame-of-reference {header.frame_of_reference}"
    return f"{FOLDER}{header.name.rpartition('/')[0]}"


def series_value(header: Header) -> str:
    """Series Instance UID. Where the file names none: study, series number and modality."""
    return header.series or f"{study_value(header)} series {header.series_number} {header.modality}"


def study_files(value: str, headers: Iterable[Header]) -> StudyFiles:
    """A study of its headers. Several Patient IDs under one Study Instance UID: the study is refused."""
    members = sorted(headers, key=lambda header: (header.name, header.path))
    patients = {header.patient_id for header in members}
    problem = None
    if len(patients) > 1:
        problem = Rejected(
            value,
            "E_MIXED_PATIENT",
            f"the study has {len(patients)} different Patient IDs in {len(members)} files; separate them",
        )
    folders = {os.path.dirname(header.path.partition("\0")[0]) for header in members}  # noqa: PTH120
    if problem is None and value.startswith(FOLDER) and len(folders) > 1:
        problem = Rejected(
            value,
            "E_MIXED_PATIENT",
            f"{len(members)} files without UIDs lie in {len(folders)} folders of one name; give one PATH above both",
        )
    # Without a Patient ID each study counts as a patient of its own: nobody is merged by an empty name.
    patient = next(iter(patients)) if len(patients) == 1 else None
    return StudyFiles(value, patient or f"study {value}", tuple(members), problem)


def series_of(study: StudyFiles) -> Iterator[tuple[str, tuple[Header, ...]]]:
    """(value behind the series id, headers) in order of the value."""
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in study.headers:
        value = series_value(header)
        groups[f"{value}@{study.uid}" if header.shared else value].append(header)
    for value in sorted(groups):
        yield value, tuple(groups[value])


def without_duplicates(headers: Sequence[Header]) -> tuple[list[Header], list[Header]]:
    """(first of each SOP Instance UID, the others), by name of the file."""
    seen: set[str] = set()
    first: list[Header] = []
    again: list[Header] = []
    for header in headers:
        (again if header.sop and header.sop in seen else first).append(header)
        seen.add(header.sop)
    return first, again


# --- stacks


def stacks_of(headers: Sequence[Header]) -> list[Stack]:
    """Split a series into stacks: by grid, orientation and kind, then by what differs where slices share a position.

    Every header is in exactly one stack. Near linear in their number.
    """
    families = count()
    parts = [part for grid in _grids(headers) for part in _parts(grid, families)]
    parts.sort(key=lambda part: min(map(_reading_order, part.headers)))
    roles = roles_of(parts)
    return [Stack(n, part.headers, role, time) for n, (part, (role, time)) in enumerate(zip(parts, roles, strict=True))]


def _reading_order(header: Header) -> tuple[int, int, str]:
    number = header.instance_number
    return 2**31 if number is None else number, header.frame or 0, header.sop


def _grids(headers: Sequence[Header]) -> list[list[Header]]:
    """Slices of one array: same size, spacing, orientation and kind of values; in reading order."""
    exact: dict[Hashable, list[Header]] = {}
    similar: dict[Hashable, list[list[Header]]] = defaultdict(list)
    grids: list[list[Header]] = []
    for header in sorted(headers, key=_reading_order):
        kind = (
            header.rows,
            header.columns,
            header.modality,
            tuple(hint for hint in type_hints(header.image_type) if hint != "dynamic"),
            header.position is None,
            header.slope is None,
        )
        own = (kind, header.spacing, header.orientation)
        grid = exact.get(own)
        if grid is None:
            known = similar[kind]
            grid = next((g for g in known[:MANY_GRIDS] if _same_grid(g[0], header)), None)
            if grid is None:
                grid = []
                known.append(grid)
                grids.append(grid)
            exact[own] = grid
        grid.append(header)
    return grids


def _same_grid(a: Header, b: Header) -> bool:
    return _near(a.spacing, b.spacing, 1e-3) and _near(a.orientation, b.orientation, SAME_DIRECTION)


def _near(a: Sequence[float] | None, b: Sequence[float] | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    for x, y in zip(a, b, strict=True):  # noqa: SIM110 - half the time of all()
        if abs(x - y) > tolerance:
            return False
    return True


class _Attribute(NamedTuple):
    """What may tell slices at one position apart."""

    is_time: bool
    values: list[Hashable]
    """One for each slice of the grid; those of one attribute can be sorted."""


def _parts(grid: Sequence[Header], families: Iterator[int]) -> Iterator[Part]:
    """Slices of a grid, sorted along the normal, with no two at one position.

    Those that share positions are split by image type, echo time, b-value, kernel and thickness, place in the plane;
    then by temporal position, trigger time or acquisition; then, when no tag tells them apart, by instance number.
    """
    if any(header.position is None or header.orientation is None for header in grid):
        yield Part(tuple(grid))
        return
    normal = slice_normal(grid[0].orientation or ())  # one for all: neighbours must not swap by rounding
    points = np.array([header.position for header in grid], float)
    places = points @ normal
    positions: list[list[int]] = []
    last = -math.inf
    for i in np.argsort(places, kind="stable").tolist():
        if places[i] - last < SAME_POSITION_MM:
            positions[-1].append(i)
        else:
            positions.append([i])
            last = float(places[i])
    if len(positions) == len(grid):
        yield Part(tuple(grid[position[0]] for position in positions))
        return
    for position in positions:
        position.sort()  # the grid is in reading order
    across = np.round(points - np.outer(places, normal)).tolist()
    attributes = [
        _Attribute(False, [header.image_type for header in grid]),
        _Attribute(False, [_sortable(header.phase[1], 2) for header in grid]),
        _Attribute(False, [_sortable(_b_value(header), 1) for header in grid]),
        _Attribute(False, [(h.labels.kernel or "", *_sortable(h.labels.thickness_mm, 3)) for h in grid]),
        _Attribute(False, [tuple(place) for place in across]),
        _Attribute(True, [_sortable(header.phase[2], 3) for header in grid]),
        _Attribute(True, [_sortable(header.phase[4], 3) for header in grid]),
        _Attribute(True, [_sortable(header.phase[0], 3) for header in grid]),
    ]
    yield from _split(grid, positions, attributes, families)


def _sortable(value: float | None, digits: int) -> tuple[bool, float]:
    return value is not None, round(value or 0.0, digits)


def _b_value(header: Header) -> float | None:
    return header.labels.b_value if header.phase[3] is None else header.phase[3]


def _split(
    grid: Sequence[Header], positions: list[list[int]], attributes: Sequence[_Attribute], families: Iterator[int]
) -> Iterator[Part]:
    """Parts of the slices at `positions` (indices into `grid`).

    An attribute counts when its values account for all slices that share a position: one that differs on every slice
    (an acquisition number per rotation) makes too many groups, one that differs elsewhere leaves too many together.
    """
    most = max(map(len, positions))
    if most == 1:
        yield Part(tuple(grid[position[0]] for position in positions))
        return
    for number, attribute in enumerate(attributes):
        if not 1 < len({attribute.values[i] for position in positions for i in position}) <= most:
            continue
        groups: dict[Hashable, list[list[int]]] = defaultdict(list)
        for position in positions:
            here: dict[Hashable, list[int]] = defaultdict(list)
            for i in position:
                here[attribute.values[i]].append(i)
            for value, members in here.items():
                groups[value].append(members)
        together = sum(max(map(len, group)) for group in groups.values())
        if together != most or (attribute.is_time and len(groups) != most):
            continue
        family = next(families)
        for time, value in enumerate(sorted(groups)):  # type: ignore[type-var]
            if attribute.is_time:
                yield Part(tuple(grid[members[0]] for members in groups[value]), family, time, len(positions))
            else:
                yield from _split(grid, groups[value], attributes[number + 1 :], families)
        return
    family, places = next(families), len(positions)
    for turn in range(most):
        positions = [position for position in positions if turn < len(position)]
        yield Part(tuple(grid[position[turn]] for position in positions), family, turn, places)


# --- where the slices of a stack are


def first_plane(stack: Sequence[Header]) -> str | None:
    """Plane of a stack by its first slice."""
    return plane_at(stack[0].orientation)


def layout_of(headers: Sequence[Header]) -> Layout:
    """Spacing and flags of the slices of a stack that were accepted, in order."""
    flags: set[str] = set()
    first = headers[0]
    if any(header.spacing is None or header.position is None or header.orientation is None for header in headers):
        flags.add("no_mm")
    if any(abs(header.tilt) > TILT_DEGREES for header in headers):
        flags.add("tilt")
    if len(headers) < 2 or first.orientation is None or any(header.position is None for header in headers):
        return Layout(None, tuple(sorted(flags)))
    normal = slice_normal(first.orientation)
    points = np.array([header.position for header in headers], float)
    places = points @ normal
    gaps = np.diff(places)
    middle = float(np.median(gaps))
    way = points[-1] - points[0]
    along = float(way @ normal)
    drift = float(np.linalg.norm(way - normal * along))
    tilt_degrees = None
    if drift > SHEAR_SINE * math.hypot(along, drift):
        flags |= {"shear", "tilt"}
        tilt_degrees = round(math.degrees(math.atan2(drift, abs(along))), 2)
    line = points[0] + np.outer((places - places[0]) / along, way) if along else points
    bent = float(np.linalg.norm(points - line, axis=1).max())
    uneven = float(np.abs(gaps - middle).max()) > max(EVEN_MM, EVEN_SHARE * abs(middle))
    if uneven or bent > max(STRAIGHT_MM, STRAIGHT_SHARE * abs(middle)):
        reach = (round(float(gaps.min()), 4), round(float(gaps.max()), 4))
        return Layout(None, tuple(sorted(flags | {"gap_mm"})), reach, tilt_degrees)
    return Layout(along / (len(headers) - 1), tuple(sorted(flags)), None, tilt_degrees)
