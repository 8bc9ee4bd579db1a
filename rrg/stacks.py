"""Headers -> studies -> stacks: slices of one grid, in order along their normal. No pixels."""

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rrg.dicom import Header, Rejected
from rrg.geometry import plane_of, slice_normal
from rrg.records import Role

SAME_POSITION_MM = 0.01
"""Slices nearer than this along the normal lie at one position."""
SAME_DIRECTION = 1e-3
"""Direction cosines that differ by less are one orientation."""
EVEN_MM, EVEN_SHARE = 0.02, 0.02
"""Gaps between slices may differ by this much, in mm and as a share of the median gap (rounded positions)."""
SHEAR_SINE = 0.01
"""A stack whose origin drifts off the normal by more than this share of the way is sheared (about 0.6 degrees)."""
TILT_DEGREES = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class StudyFiles:
    """The files of one study. `uid` and `patient_id` are originals, or stand-ins where the files name none."""

    uid: str
    patient_id: str
    headers: tuple[Header, ...]
    shared_series: frozenset[str]
    """Series Instance UIDs that another study of the input uses too."""
    problem: Rejected | None = None
    """Why no file of it may be used."""

    def digest(self) -> str:
        """Changes when a header or a file's size or place changes: the work to do is another."""
        digest = hashlib.sha256(repr(sorted(self.shared_series)).encode())
        for header in self.headers:
            digest.update(repr(dataclasses.replace(header, path="")).encode())
        return digest.hexdigest()


class Stack(NamedTuple):
    """Slices of one grid and orientation, in order."""

    number: int
    """0 for the first stack of a series."""
    headers: tuple[Header, ...]
    role: Role


class Layout(NamedTuple):
    """What the places of the slices of a stack say."""

    spacing_mm: float | None
    """Distance of neighbours along the normal; None when uneven, unknown, or of one slice."""
    flags: tuple[str, ...]


# --- studies and series


def study_value(header: Header) -> str:
    """Study Instance UID. Where the file names none: its Frame of Reference, else its folder; see flag ``no_uid``."""
    if header.study:
        return header.study
    if header.frame_of_reference:
        return f"frame-of-reference {header.frame_of_reference}"
    return f"folder {header.name.rpartition('/')[0]}"


def series_value(header: Header) -> str:
    """Series Instance UID. Where the file names none: study, series number and modality."""
    return header.series or f"{study_value(header)} series {header.series_number} {header.modality}"


def studies_of(headers: Iterable[Header]) -> Iterator[StudyFiles]:
    """Group headers by study. Several Patient IDs under one Study Instance UID: the study is refused."""
    groups: dict[str, list[Header]] = defaultdict(list)
    homes: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        study = study_value(header)
        groups[study].append(header)
        homes[series_value(header)].add(study)
    for study, members in groups.items():
        members.sort(key=lambda header: header.name)
        patients = {header.patient_id for header in members}
        problem = None
        if len(patients) > 1:
            problem = Rejected(
                study,
                "E_MIXED_PATIENT",
                f"the study has {len(patients)} different Patient IDs in {len(members)} files; separate them",
            )
        shared = frozenset(series_value(h) for h in members if len(homes[series_value(h)]) > 1)
        # Without a Patient ID each study counts as a patient of its own: nobody is merged by an empty name.
        patient = next(iter(patients)) if not problem else None
        yield StudyFiles(study, patient or f"study {study}", tuple(members), shared, problem)


def series_of(study: StudyFiles) -> Iterator[tuple[str, tuple[Header, ...]]]:
    """(value behind the series id, headers) in order of the value."""
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in study.headers:
        value = series_value(header)
        groups[f"{value}@{study.uid}" if value in study.shared_series else value].append(header)
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
    """Split a series into stacks: by grid, orientation and image type, then by phase where slices share a position."""
    grids: list[list[Header]] = []
    for header in sorted(headers, key=_reading_order):
        home = next((grid for grid in grids if _same_grid(grid[0], header)), None)
        grids.append([header]) if home is None else home.append(header)
    stacks = [tuple(stack) for grid in grids for stack in _phases(grid)]
    stacks.sort(key=lambda stack: min(_reading_order(header) for header in stack))
    return [Stack(number, stack, _role(stack, stacks)) for number, stack in enumerate(stacks)]


def _reading_order(header: Header) -> tuple[int, int, str]:
    number = header.instance_number
    return 2**31 if number is None else number, header.frame or 0, header.sop


def _same_grid(a: Header, b: Header) -> bool:
    """Slices of one array: same size, spacing, orientation, kind of values, and localizers apart."""
    if (a.rows, a.columns, a.modality, _is_localizer(a)) != (b.rows, b.columns, b.modality, _is_localizer(b)):
        return False
    if (a.position is None) != (b.position is None) or (a.slope is None) != (b.slope is None):
        return False
    return _near(a.spacing, b.spacing, 1e-3) and _near(a.orientation, b.orientation, SAME_DIRECTION)


def _near(a: Sequence[float] | None, b: Sequence[float] | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) <= tolerance


def along_normal(header: Header) -> float | None:
    """Place of a slice on its normal, in mm; None without position or orientation."""
    if header.position is None or header.orientation is None:
        return None
    return float(np.dot(slice_normal(header.orientation), header.position))


def _phases(grid: Sequence[Header]) -> Iterator[list[Header]]:
    """Split slices that share positions (echoes, b-values, phases) into stacks that do not; each sorted."""
    places = [along_normal(header) for header in grid]
    if any(place is None for place in places):
        yield sorted(grid, key=_reading_order)
        return
    normal = slice_normal(grid[0].orientation or ())  # one for all: neighbours must not swap by rounding
    order = sorted(
        ((float(np.dot(normal, header.position or ())), header) for header in grid),
        key=lambda pair: (pair[0], _reading_order(pair[1])),
    )
    positions: list[list[Header]] = []
    last = 0.0
    for place, header in order:
        if positions and place - last < SAME_POSITION_MM:
            positions[-1].append(header)
        else:
            positions.append([header])
            last = place
    if len(positions) == len(grid):
        yield [position[0] for position in positions]
        return
    if (keyed := _by_phase(positions)) is not None:
        yield from keyed
        return
    for turn in range(max(map(len, positions))):
        yield [sorted(position, key=_reading_order)[turn] for position in positions if turn < len(position)]


def _by_phase(positions: Sequence[Sequence[Header]]) -> list[list[Header]] | None:
    """Stacks by what tells the slices of each position apart: image type, else one attribute of the phase.

    An attribute counts when it makes as many stacks as slices share a position, so one that differs on every slice
    (an acquisition number per rotation) does not.
    """
    most = max(map(len, positions))
    attributes: list[Callable[[Header], tuple[Any, ...]]] = [lambda header: header.image_type]
    for i in range(len(positions[0][0].phase)):
        attributes.append(lambda header, i=i: (header.phase[i] is not None, header.phase[i] or 0.0))  # type: ignore[misc]
    for attribute in attributes:
        stacks: dict[tuple[Any, ...], list[Header]] = defaultdict(list)
        for header in (header for position in positions for header in position):
            stacks[attribute(header)].append(header)
        apart = all(len({attribute(header) for header in position}) == len(position) for position in positions)
        if apart and len(stacks) == most:
            return [stacks[key] for key in sorted(stacks)]
    return None


# --- what a stack is


def _is_localizer(header: Header) -> bool:
    return any(word in ("LOCALIZER", "SCOUT", "TOPOGRAM") for word in header.image_type)


def _role(stack: Sequence[Header], stacks: Sequence[Sequence[Header]]) -> Role:
    """Localizer by Image Type or by geometry; then what Image Type says of reformats and derived images."""
    first = stack[0]
    if _is_localizer(first) or _looks_like_localizer(stack, stacks):
        return "localizer"
    types = first.image_type
    derived = bool(types) and types[0] == "DERIVED"
    plane = plane_of(first.orientation) if first.orientation else None
    if {"REFORMATTED", "MPR"} & set(types) or (derived and first.modality == "CT" and plane not in (None, "axial")):
        return "reformat"
    return "derived" if derived else "primary"


def _looks_like_localizer(stack: Sequence[Header], stacks: Sequence[Sequence[Header]]) -> bool:
    """At most 2 slices across a stack 4 times as large, or a few in all three planes (MR has no tag for it)."""
    if first_plane(stack) is None:
        return False
    if len(stack) <= 2:
        return any(
            first_plane(other) not in (None, first_plane(stack)) and len(other) >= 4 * len(stack) for other in stacks
        )
    planes = {first_plane(other) for other in stacks}
    return len(stack) < 10 and {"axial", "coronal", "sagittal"} <= planes


def first_plane(stack: Sequence[Header]) -> str | None:
    """Plane of a stack by its first slice."""
    return plane_of(stack[0].orientation) if stack[0].orientation else None


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
    places = np.array([header.position for header in headers], float)
    gaps = np.diff(places @ normal)
    middle = float(np.median(gaps))
    step = places[-1] - places[0]
    drift = step - normal * float(step @ normal)
    if float(np.linalg.norm(drift)) > SHEAR_SINE * float(np.linalg.norm(step)):
        flags |= {"shear", "tilt"}
    if float(np.abs(gaps - middle).max()) > max(EVEN_MM, EVEN_SHARE * middle):
        return Layout(None, tuple(sorted(flags | {"gap_mm"})))
    return Layout(float((places[-1] - places[0]) @ normal) / (len(headers) - 1), tuple(sorted(flags)))
