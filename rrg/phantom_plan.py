"""Which patients, studies and series a phantom set holds: drawn from the seed, before any voxel is made."""

import dataclasses
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rrg.phantom_body import Body, Grid, draw_body, place_lesions
from rrg.phantom_dicom import Person, SeriesHeader, StudyHeader, TransferSyntax, made_up_uid
from rrg.seeds import rng_for

Modality = Literal["CT", "MR"]
COMMAND = "phantom"
PRIOR_SHARE = 0.2
"""Share of the patients with an earlier study."""
MR_SHARE = 0.35
"""Share of MR patients when both modalities are asked for."""
LESION_COUNTS = (0.3, 0.3, 0.25, 0.15)
"""Shares of the patients with 0, 1, 2 and 3 lesions to place."""
SMALLEST_MM = 9.0
"""No lesion shrinks below this diameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What changes the result."""

    seed: int
    studies: int
    slices: int
    size: int
    modality: Literal["ct", "mr", "both"]
    noise: float
    """Factor on the noise; 0 makes images without noise."""
    syntax: TransferSyntax
    wrong_slices: float = 0.0
    """Share of the reports' slice references that point at other slices."""
    wrong_sides: float = 0.0
    """Share of the reports' facts on one side that are told of the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One patient and the numbers of the studies, earliest first."""

    number: int
    studies: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlan:
    """One series to make. A localizer is an `overview`: of projections for CT, of single slices for MR."""

    header: SeriesHeader
    role: Literal["primary", "reformat", "localizer"]
    plane: Literal["axial", "coronal", "sagittal"]
    body_grid: Grid
    """The header's grid in the coordinates of the body."""
    noise: float
    """Standard deviation in HU, or in units of the MR signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """One study to make."""

    header: StudyHeader
    body: Body
    series: tuple[SeriesPlan, ...]
    """In order of Series Number."""

    @property
    def primary(self) -> SeriesPlan:
        """The first axial series."""
        return next(series for series in self.series if series.role == "primary")


def patients(settings: Settings) -> Iterator[Patient]:
    """Patients in order, until all studies are given out. A patient's number decides all else."""
    study = number = 0
    while study < settings.studies:
        number += 1
        rng = rng_for(settings.seed, COMMAND, f"visits/{number}")
        count = 2 if rng.random() < PRIOR_SHARE and settings.studies - study > 1 else 1
        yield Patient(number=number, studies=tuple(range(study + 1, study + count + 1)))
        study += count


def patient_studies(patient: Patient, settings: Settings) -> tuple[StudyPlan, ...]:
    """The studies of one patient, earliest first."""
    rng = rng_for(settings.seed, COMMAND, f"patient/{patient.number}")
    modality: Modality = "MR" if rng.random() < MR_SHARE else "CT"
    if settings.modality != "both":
        modality = "CT" if settings.modality == "ct" else "MR"
    person = Person(
        id=f"PHANTOM-S{settings.seed}-P{patient.number:05d}",
        name=f"Phantom^P{patient.number:05d}",
        birth_date=f"{int(rng.integers(1935, 1995))}0101",
        sex="F" if rng.random() < 0.5 else "M",
    )
    body = draw_body(rng)
    body = place_lesions(body, modality, int(rng.choice(len(LESION_COUNTS), p=LESION_COUNTS)), rng)
    earlier, latest = _course(body, rng)
    latest_day = datetime.date(2019, 1, 1) + datetime.timedelta(days=int(rng.integers(700, 2100)))
    earlier_day = latest_day - datetime.timedelta(days=int(rng.integers(60, 600)))
    visits = [(earlier, earlier_day), (latest, latest_day)][-len(patient.studies) :]
    if len(visits) == 1:
        visits = [(body, latest_day)]
    return tuple(
        _study(settings, person, number, modality, shape, day)
        for number, (shape, day) in zip(patient.studies, visits, strict=True)
    )


def _course(body: Body, rng: np.random.Generator) -> tuple[Body, Body]:
    """(earlier, latest): each lesion grows, shrinks, stays, appears or goes."""
    before, after = [], []
    for lesion in body.lesions:
        small = dataclasses.replace(
            lesion, diameter_mm=max(round(lesion.diameter_mm * rng.uniform(0.5, 0.75)), SMALLEST_MM)
        )
        course = rng.choice(["grown", "shrunk", "stable", "new", "gone"], p=[0.3, 0.2, 0.2, 0.2, 0.1])
        if course != "new":
            before.append(small if course == "grown" else lesion)
        if course != "gone":
            after.append(small if course == "shrunk" else lesion)
    return dataclasses.replace(body, lesions=tuple(before)), dataclasses.replace(body, lesions=tuple(after))


def _study(
    settings: Settings, person: Person, number: int, modality: Modality, body: Body, day: datetime.date
) -> StudyPlan:
    rng = rng_for(settings.seed, COMMAND, f"study/{number}")
    contrast = modality == "CT" and bool(rng.random() < 0.6)
    header = StudyHeader(
        person=person,
        uid=made_up_uid(settings.seed, "study", number),
        id=str(number),
        accession=f"PH{settings.seed}N{number:05d}",
        date=day.strftime("%Y%m%d"),
        time=f"{int(rng.integers(7, 19)):02d}{int(rng.integers(60)):02d}00",
        modality=modality,
        description="CT Rumpf venös" if contrast else "CT Rumpf nativ" if modality == "CT" else "MRT Rumpf",
        frame_of_reference=made_up_uid(settings.seed, "frame", number),
        position="FFS" if rng.random() < 0.2 else "HFS",
        body_part="ABDOMEN",
        contrast=contrast,
    )
    return StudyPlan(header=header, body=body, series=tuple(_series(settings, header, body, number, rng)))


_NUMBERS = ((1, 2, 3, 4, 5), (1, 3, 5, 6, 8), (2, 3, 4, 6, 7), (101, 201, 301, 401, 501), (1, 4, 7, 10, 12))


def _series(
    settings: Settings, study: StudyHeader, body: Body, study_number: int, rng: np.random.Generator
) -> Iterator[SeriesPlan]:
    """The series of one study in the order in which a scanner would number them."""
    numbers = iter(_NUMBERS[int(rng.integers(len(_NUMBERS)))])
    ct = study.modality == "CT"
    world = np.round(np.array([rng.uniform(-15, 15), rng.uniform(-220, -120), rng.uniform(-900, -300)]), 1)
    wide = 2 * body.semi[0] + rng.uniform(14, 30)
    deep = wide if rng.random() > 0.3 else max(0.8 * wide, 2 * body.semi[1] + 14)
    high = float(rng.uniform(286, 312))
    centre = np.array([*np.clip(rng.normal(0, 4, 2), -7, 7), rng.normal(8, 8)])
    if deep < wide:
        centre[1] = np.clip(centre[1], -5, 5)
    spacing = (round(high / settings.slices, 2), round(deep / settings.size, 4), round(wide / settings.size, 4))
    angles = (0.0, 0.0)
    if rng.random() < 0.2:
        angles = (float(rng.uniform(6, 16) * rng.choice([-1, 1])), 0.0 if ct else float(rng.uniform(-8, 8)))
    axial = _grid(centre, spacing, (settings.slices, settings.size, settings.size), angles)
    from_head = bool(rng.random() < 0.65)
    extras = rng.random(4)
    signed = bool(rng.random() < 0.25)

    def plan(
        role: Literal["primary", "reformat", "localizer"],
        plane: Literal["axial", "coronal", "sagittal"],
        number: int,
        grid: Grid,
        image_type: tuple[str, ...],
        description: str,
        *,
        weighting: Literal["CT", "T2", "T1"],
        noise: float,
        first: int = 1,
        downward: bool = False,
    ) -> SeriesPlan:
        count = grid.shape[0]
        order = range(first, first + count)
        instances = tuple(reversed(order)) if downward else tuple(order)
        moved = grid.affine.copy()
        moved[:3, 3] += world
        header = SeriesHeader(
            uid=made_up_uid(settings.seed, "series", study_number, number),
            number=number,
            description=description,
            image_type=image_type,
            weighting=weighting,
            grid=Grid(moved, grid.shape),
            thickness_mm=round(float(np.linalg.norm(grid.affine[:3, 0])), 2),
            instance_numbers=instances,
            sop_uids=tuple(made_up_uid(settings.seed, "image", study_number, number, i) for i in instances),
            signed=signed,
        )
        return SeriesPlan(header=header, role=role, plane=plane, body_grid=grid, noise=noise * settings.noise)

    original: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL") if ct else ("ORIGINAL", "PRIMARY", "M", "SE")
    main: Literal["CT", "T2"] = "CT" if ct else "T2"
    strength = (float(rng.uniform(7, 12)), float(rng.uniform(14, 26)))[0 if ct else 1]
    if extras[0] < 0.45:
        number = next(numbers)
        if ct:
            grid = _coronal(axial, settings, 1)
            yield plan(
                *("localizer", "coronal", number, grid, ("ORIGINAL", "PRIMARY", "LOCALIZER"), "Topogramm"),
                weighting="CT",
                noise=0.0,
            )
        else:
            for first, (plane, grid) in enumerate(_three_planes(axial, settings), start=1):
                yield plan(
                    *("localizer", plane, number, grid, ("ORIGINAL", "PRIMARY", "LOCALIZER"), "Localizer 3 Ebenen"),
                    weighting="T1",
                    noise=strength,
                    first=first,
                )
    name = "Rumpf axial" if ct else "T2w FS axial"
    yield plan(
        *("primary", "axial", next(numbers), axial, original, name),
        weighting=main,
        noise=strength,
        downward=from_head,
    )
    if extras[1] < 0.25:
        second = "Rumpf axial Lungenkern" if ct else "T1w axial"
        yield plan(
            *("primary", "axial", next(numbers), axial, original if ct else ("ORIGINAL", "PRIMARY", "M", "GR"), second),
            weighting="CT" if ct else "T1",
            noise=strength * (1.6 if ct else 1.0),
            downward=from_head,
        )
    if extras[2] < 0.4:
        count = max(3, settings.slices * 3 // 5)
        kind = ("DERIVED", "SECONDARY", "REFORMATTED") if ct else original
        yield plan(
            *("reformat" if ct else "primary", "coronal", next(numbers), _coronal(axial, settings, count), kind),
            "Rumpf koronar" if ct else "T2w FS koronar",
            weighting=main,
            noise=strength,
            downward=bool(extras[3] < 0.2),
        )


def _grid(
    centre: np.ndarray, spacing: tuple[float, float, float], shape: tuple[int, int, int], angles: tuple[float, float]
) -> Grid:
    """Axial slices about `centre`, tipped by `angles` (about x, about y) in degrees."""
    tip, roll = np.deg2rad(angles)
    about_x = np.array([[1, 0, 0], [0, np.cos(tip), -np.sin(tip)], [0, np.sin(tip), np.cos(tip)]])
    about_y = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0], [-np.sin(roll), 0, np.cos(roll)]])
    x, y, z = (about_x @ about_y).T
    return _about(centre, (z, y, x), spacing, shape)


def _about(
    centre: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    spacing: tuple[float, float, float],
    shape: tuple[int, int, int],
) -> Grid:
    """Grid with its middle at `centre`; `axes` are unit vectors of growing slice, row and column."""
    affine = np.eye(4)
    for index in range(3):
        affine[:3, index] = axes[index] * spacing[index]
    affine[:3, 3] = np.round(centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2), 4)
    return Grid(affine, shape)


def _extent(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(middle, size in mm along slice, row, column) of a grid."""
    shape = np.array(grid.shape)
    middle = grid.affine[:3, 3] + grid.affine[:3, :3] @ ((shape - 1) / 2)
    return middle, np.linalg.norm(grid.affine[:3, :3], axis=0) * shape


X, Y, Z = np.eye(3)


def _coronal(axial: Grid, settings: Settings, count: int) -> Grid:
    """`count` coronal slices over the range of an axial grid; rows go to the feet, slices to the back."""
    middle, (high, deep, wide) = _extent(axial)
    pixel = round(wide / settings.size, 4)
    rows = max(int(high / pixel), 8)
    return _about(middle, (Y, -Z, X), (round(0.8 * deep / count, 2), pixel, pixel), (count, rows, settings.size))


def _three_planes(axial: Grid, settings: Settings) -> Iterator[tuple[Literal["axial", "coronal", "sagittal"], Grid]]:
    """One slice of each orientation through the middle."""
    middle, (high, _, wide) = _extent(axial)
    half = max(settings.size // 2, 16)
    pixel = round(max(wide, high) / half, 4)
    thick = 10.0
    for plane, axes in (("coronal", (Y, -Z, X)), ("sagittal", (X, -Z, Y)), ("axial", (Z, Y, X))):
        yield plane, _about(middle, axes, (thick, pixel, pixel), (1, half, half))  # type: ignore[misc]
