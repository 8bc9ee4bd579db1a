"""The good study that every fault is made beside, or of: a few small slices whose every voxel is known.

An elliptic body with one dense block at the patient's left, front and middle: its place in the patient tells whether a
reader mixes up sides. Coordinates are LPS in mm. Nothing here is a person; the name in the headers is the canary of
tests: it must not reach any output.
"""

import copy
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from rrg.phantom_body import Grid
from rrg.phantom_dicom import Person, SeriesHeader, StudyHeader, made_up_uid, series_files
from rrg.seeds import rng_for

CANARY = Person(id="P-4711", name="Mustermann^Erika", birth_date="19500101", sex="F")
BLOCK_MM = ((8.0, 16.0), (-12.0, -4.0), (4.0, 16.0))
"""Half-open ranges of x, y, z of the block: left (x grows to the left), front, middle."""
BODY_MM = (22.0, 20.0)
"""Semi-axes of the body along x and y."""
BLOCK_HU, BODY_HU, AIR_HU = 300, 40, -1000


class Fault(NamedTuple):
    """One fault that can be made, and what a reader must do about it."""

    row: int
    """Row of the table of faults; 0: no fault."""
    what: str
    """One line."""
    make: Any
    """``make(root, seed)`` writes below the folder `root`; what it returns is added to ``fault.json``."""
    codes: Mapping[str, int] = MappingProxyType({})
    """Codes of error records, and how many."""
    flags: tuple[str, ...] = ()
    """Flags that some slice (row 33: some mask) must have; no other flag may stand on any."""
    exit: int = 0
    notes: str = ""
    command: str = "rrg extract-slices input --store STORE"


def grid(
    along_row: Sequence[float] = (1, 0, 0),
    along_column: Sequence[float] = (0, 1, 0),
    *,
    spacing: tuple[float, float, float] = (5.0, 1.5, 1.25),
    shape: tuple[int, int, int] = (5, 32, 40),
    step: Sequence[float] | None = None,
) -> Grid:
    """Slices around the block. `spacing` is between slices, rows, columns in mm.

    `step`: way from slice to slice in mm where it is not along the normal.
    """
    row, column = np.asarray(along_row, float), np.asarray(along_column, float)
    affine = np.eye(4)
    affine[:3, 0] = np.cross(row, column) * spacing[0] if step is None else step
    affine[:3, 1], affine[:3, 2] = column * spacing[1], row * spacing[2]
    affine[:3, 3] = np.array([0.0, 0.0, 10.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(affine, shape)


AXIAL = grid()


def in_block(where: Grid) -> NDArray[np.bool_]:
    """Voxels (slices, rows, columns) whose centre lies in the block."""
    inside = np.ones(where.shape, bool)
    for values, (low, high) in zip(where.axes(where.whole()), BLOCK_MM, strict=True):
        inside &= (values >= low) & (values < high)
    return inside


def hounsfield(where: Grid, seed: int) -> NDArray[np.int16]:
    """HU of the study on a grid, with some noise: no two slices are alike."""
    x, y, z = where.axes(where.whole())
    body = (x / BODY_MM[0]) ** 2 + (y / BODY_MM[1]) ** 2 < 1
    made = np.where(body, np.rint(BODY_HU + z + x / 4), AIR_HU)
    made[in_block(where)] = BLOCK_HU
    noise = rng_for(seed, "phantom", f"fault/{where.affine.tolist()}/{where.shape}").integers(-3, 4, where.shape)
    return np.asarray(made + np.where(body, noise, 0), np.int16)


def study(
    seed: int,
    where: Grid = AXIAL,
    *,
    modality: Literal["CT", "MR"] = "CT",
    signed: bool = False,
    name: str = "good",
    number: int = 3,
    person: Person = CANARY,
    position: Literal["HFS", "FFS"] = "HFS",
    values: NDArray[np.int16] | None = None,
) -> list[Dataset]:
    """Data sets of one series, complete and right; `name` makes its UIDs. MR values are HU + 1000."""
    if values is None:
        values = hounsfield(where, seed) + np.int16(0 if modality == "CT" else 1000)
    head = StudyHeader(
        person=person,
        uid=made_up_uid(seed, "fault", "study", person.id),
        id="S-1",
        accession="A-0815",
        date="20240229",
        time="101112",
        modality=modality,
        description="geheim",
        frame_of_reference=made_up_uid(seed, "fault", "frame", person.id),
        position=position,
        body_part="ABDOMEN",
        contrast=False,
    )
    series = SeriesHeader(
        uid=made_up_uid(seed, "fault", "series", person.id, name),
        number=number,
        description="geheim",
        image_type=("ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "M"),
        weighting="CT" if modality == "CT" else "T2",
        grid=where,
        thickness_mm=5.0,
        instance_numbers=tuple(range(1, len(values) + 1)),
        sop_uids=tuple(made_up_uid(seed, "fault", "image", person.id, name, n) for n in range(len(values))),
        signed=signed,
    )
    return [pydicom.dcmread(io.BytesIO(data)) for _, data in series_files(head, series, values, "raw")]


def changed(dataset: Dataset, **tags: Any) -> Dataset:
    """A copy with elements set (or, with None, removed) by keyword."""
    made = copy.deepcopy(dataset)
    for keyword, value in tags.items():
        if value is not None:
            setattr(made, keyword, value)
        elif keyword in made:
            delattr(made, keyword)
    made.file_meta.MediaStorageSOPInstanceUID = made.get("SOPInstanceUID", "")
    made.file_meta.MediaStorageSOPClassUID = made.get("SOPClassUID", "")
    return made


def another(dataset: Dataset, name: object, **tags: Any) -> Dataset:
    """A copy that is an object of its own."""
    digest = hashlib.sha256(f"{dataset.SOPInstanceUID} {name}".encode()).digest()
    return changed(dataset, SOPInstanceUID=f"2.25.{int.from_bytes(digest[:16], 'big')}", **tags)


def with_pixels(dataset: Dataset, pixels: NDArray[Any], **tags: Any) -> Dataset:
    """A copy with other stored values, 16 bit, of any sign and size."""
    made = changed(dataset, **tags)
    made.Rows, made.Columns = pixels.shape[-2:]
    made.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    made["PixelData"].VR = "OW"
    return made


def as_bytes(dataset: Dataset) -> bytes:
    """A DICOM file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def put(root: Path, datasets: Iterable[Dataset], folder: str = "input", start: int = 1) -> list[Path]:
    """Write ``IM0001.dcm`` and so on below `root`."""
    return [put_bytes(root, f"{folder}/IM{n:04d}.dcm", as_bytes(each)) for n, each in enumerate(datasets, start)]


def put_bytes(root: Path, name: str, data: bytes) -> Path:
    """Write one file below `root`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
