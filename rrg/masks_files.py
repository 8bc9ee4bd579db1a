"""Masks that are there already: NIfTI label files, folders of one NIfTI per structure, DICOM SEG, contours in JSON.

A file belongs to a series by its name (Series Instance UID), by the UIDs inside of it (DICOM SEG: of its series, else
of its images; contours: of the images), or, when one file with another name is all there is, by its voxel grid.
"""

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import BY_ID, LABELS
from rrg.errors import RecordError, UsageError
from rrg.keys import pseudonym
from rrg.masks import Labelled, Labels, add_layer, label_name, remap, stacked
from rrg.masks_consensus import agreed
from rrg.masks_contours import draw, read_contours
from rrg.masks_dicom import draw_frames, is_segmentation, referenced_series
from rrg.masks_grid import Grid, onto
from rrg.masks_nifti import read_nifti
from rrg.provenance import sha256_file, sha256_files
from rrg.records import Slice

Kind = Literal["nifti", "folder", "seg", "contours"]
LabelMap = Mapping[int, str | None]
"""Value in a file -> name of `rrg.anatomy`, or None for a value that is not wanted."""
UID = re.compile(r"[0-9]+(\.[0-9]+){2,}(#[0-9]+)?")
"""A file of this name is for the series of this UID (``#1``: its second stack) and for no other."""


class WrongGridError(RecordError):
    """The only mask file is not on the grid of this series; it may be on that of another series of the study."""

    def __init__(self, message: str) -> None:
        super().__init__("E_GRID", message)


@dataclass(frozen=True)
class MaskFile:
    """A file (or folder) of masks and the series it is for."""

    path: Path
    kind: Kind
    series: str | None
    """Keyed hash of the series; None: by grid (nifti) or by its slices (contours, seg)."""


def load_labels(path: Path) -> dict[str, dict[int, str | None]]:
    """Label names of a JSON file, by task (``""``: for all).

    Understood: value -> name, name -> value, either of them under the name of a task (``{"total": {"1": "spleen"}}``)
    or under ``labels``. A null name means: this value is not wanted. Raises UsageError, also for names that we do not
    have.
    """
    try:
        given = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise UsageError(f"--labels {path}: {reason}; expected value -> name, as in {{'1': 'spleen'}}") from None
    if isinstance(given, dict) and isinstance(given.get("labels"), dict):
        given = given["labels"]
    if not isinstance(given, dict) or not given:
        raise UsageError(f"--labels {path}: expected an object value -> name, as in {{'1': 'spleen'}}")
    nested = given if all(isinstance(value, dict) for value in given.values()) else {"": given}
    return {task: _label_map(path, names) for task, names in nested.items()}


def _label_map(path: Path, names: Mapping[str, Any]) -> dict[int, str | None]:
    if all(isinstance(value, int) for value in names.values()):
        names = {str(value): name for name, value in names.items() if value != 0}
    found: dict[int, str | None] = {}
    for value, name in names.items():
        if not value.isdigit() or not (name is None or isinstance(name, str)):
            raise UsageError(f"--labels {path}: entry {value!r}: {name!r}; expected a whole number and a name or null")
        if int(value) == 0:
            continue
        found[int(value)] = ours = None if name is None else label_name(name)
        if name is not None and ours is None:
            raise UsageError(
                f"--labels {path}: {name!r} is no label of rrg; give null to leave value {value} out, "
                "or the name of a label that means it"
            )
    return found


def check_masks(paths: Sequence[Path]) -> None:
    """Raise UsageError for paths that are not there or hold no mask file."""
    if not paths:
        raise UsageError("engine masks: give --masks FILE or FOLDER (NIfTI, DICOM SEG or contours in JSON)")
    for path in paths:
        if not path.exists():
            raise UsageError(f"--masks {path}: no such file or folder")
        if next(_candidates(path), None) is None:
            raise UsageError(
                f"--masks {path}: no mask file; supported are NIfTI (.nii, .nii.gz), folders of one NIfTI per label, "
                "DICOM SEG and contours (.json)"
            )
        if path.is_file() and path.suffix == ".json":
            read_contours(path)


def fingerprint_masks(paths: Sequence[Path]) -> dict[str, str]:
    """Hashes for the run record: contents of single files; names and sizes in folders, which may be huge."""
    import hashlib

    found = {}
    for number, path in enumerate(paths):
        if path.is_file():
            found[f"masks{number}"] = sha256_file(path)
        else:
            listing = sorted((p.relative_to(path).as_posix(), p.stat().st_size) for p in path.rglob("*") if p.is_file())
            found[f"masks{number}"] = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    return found


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _is_nifti(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".nii", ".nii.gz"))


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _candidates(path: Path, *, inside: bool = False) -> Iterator[tuple[Path, Kind]]:
    """Mask files at `path`, sorted by name. A folder named by a UID holds one NIfTI per label.

    Inside of a folder contours are those files that end with ``.contours.json``.
    """
    if _is_nifti(path):
        yield path, "nifti"
    elif path.is_file() and path.name.endswith(".contours.json" if inside else ".json"):
        yield path, "contours"
    elif path.is_dir() and UID.fullmatch(path.name) and any(_is_nifti(file) for file in path.iterdir()):
        yield path, "folder"
    elif path.is_dir():
        for entry in sorted(path.iterdir()):
            yield from _candidates(entry, inside=True)
    elif _is_dicom(path):
        yield path, "seg"


@functools.lru_cache(4)
def index_masks(paths: tuple[Path, ...], key: bytes) -> tuple[Mapping[str, tuple[MaskFile, ...]], tuple[MaskFile, ...]]:
    """Mask files by keyed series id, and those that are found by what is in them; listed once per process."""
    named: dict[str, list[MaskFile]] = {}
    others: list[MaskFile] = []
    found = [candidate for path in paths for candidate in _candidates(path)]
    for path, kind in found:
        if kind == "seg" and not is_segmentation(path):
            continue
        uid = referenced_series(path) if kind == "seg" else _stem(path)
        if (
            kind == "contours"
            or (kind == "seg" and uid is None)
            or (kind == "nifti" and len(found) == 1 and not UID.fullmatch(uid or ""))
        ):
            others.append(MaskFile(path, kind, None))
        elif uid:
            series = pseudonym(key, "series", uid)
            named.setdefault(series, []).append(MaskFile(path, kind, series))
    return {series: tuple(files) for series, files in named.items()}, tuple(others)


def read_masks(
    slices: Sequence[Slice],
    grid: Grid | RecordError,
    paths: tuple[Path, ...],
    key: bytes,
    labels: LabelMap | None,
    *,
    resample: bool,
    consensus: int | None = None,
) -> Labelled | None:
    """All masks that the files hold for one series, on its grid; None when no file is for it.

    `consensus`: each file is one reader, so many of whom must agree; in contours with a list of readers, so many of
    these. `grid` may be the reason why there is none: contours do not need it. Raises RecordError E_GRID, E_GEOMETRY,
    E_MALFORMED.
    """
    named, others = index_masks(paths, key)
    parts: list[Labelled] = []
    readers: list[Labelled] = []
    for file in (*named.get(slices[0].series, ()), *others):
        if file.kind == "contours":
            contours = read_contours(file.path)
            part = draw(contours, slices, key, least=consensus, alone=None if consensus is None else False)
            parts += [part] if part is not None else []
            part = draw(contours, slices, key, alone=True) if consensus is not None else None
        elif file.kind == "seg":
            part = draw_frames(file.path, slices, grid, key, labels)
        elif isinstance(grid, RecordError):
            raise grid
        elif file.kind == "folder":
            part = _read_folder(file.path, grid, resample=resample)
        else:
            part = _read_nifti(file, grid, labels, resample=resample)
        if part is not None:
            (parts if consensus is None else readers).append(part)
    if consensus is not None and readers:
        parts.append(agreed(readers, consensus))
    return _together(parts) if parts else None


def _together(parts: Sequence[Labelled]) -> Labelled:
    """The labels of several files; what overlaps lies in further layers."""
    layers: list[Labels] = []
    looked_for: set[str] | None = set()
    for part in parts:
        for layer in range(part.volume.shape[1]):
            add_layer(layers, part.volume[:, layer])
        looked_for = None if looked_for is None or part.looked_for is None else looked_for | set(part.looked_for)
    return Labelled(
        volume=stacked(layers),
        looked_for=None if looked_for is None else tuple(looked_for),
        counts=sum((part.counts for part in parts), Counter[str]()),
        flags=tuple(sorted({flag for part in parts for flag in part.flags})),
        fingerprint=" ".join(part.fingerprint for part in parts),
    )


def _read_nifti(file: MaskFile, grid: Grid, labels: LabelMap | None, *, resample: bool) -> Labelled:
    values, affine, names, flags = read_nifti(file.path)
    try:
        on_grid = onto(values, affine, grid, resample=resample)
    except RecordError as error:
        if file.series is None and error.code == "E_GRID":
            raise WrongGridError(error.message) from None
        raise
    classes, looked_for = _classes(values, labels, names)
    unknown = sum(1 for value in np.unique(values) if value and value not in classes)
    return Labelled(
        volume=remap(on_grid, {value: number for value, number in classes.items() if number})[:, None],
        looked_for=looked_for,
        counts=Counter({"label.unknown": unknown} if unknown else {}),
        flags=flags,
        fingerprint=sha256_file(file.path),
    )


def _classes(
    values: NDArray[Any], labels: LabelMap | None, names: Mapping[int, str]
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Value -> class id (0: not wanted), and the labels that were looked for.

    Names come from the user, else from the file's header; else the values are class ids, and what the file holds
    somewhere was looked for everywhere.
    """
    if labels is not None:
        found = {value: LABELS[name].class_id if name else 0 for value, name in labels.items()}
    elif names:
        ours = {value: label_name(name) for value, name in names.items()}
        found = {value: LABELS[name].class_id for value, name in ours.items() if name}
    else:
        found = {int(value): int(value) for value in np.unique(values) if int(value) in BY_ID}
    return found, tuple({BY_ID[number].name for number in found.values() if number})


def _read_folder(path: Path, grid: Grid, *, resample: bool) -> Labelled:
    layers: list[Labels] = []
    looked_for: list[str] = []
    unknown = 0
    flags: set[str] = set()
    for file in sorted(path.iterdir()):
        if not _is_nifti(file):
            continue
        if (name := label_name(_stem(file))) is None:
            unknown += 1
            continue
        values, affine, _, found = read_nifti(file)
        flags.update(found)
        on_grid = onto(values, affine, grid, resample=resample)
        add_layer(layers, (on_grid != 0).astype(np.uint8) * np.uint8(LABELS[name].class_id))
        looked_for.append(name)
    if not looked_for:
        raise RecordError("E_MALFORMED", f"folder of {unknown} NIfTI files, none of them named by a label of rrg")
    return Labelled(
        volume=stacked(layers),
        looked_for=tuple(looked_for),
        counts=Counter({"label.unknown": unknown} if unknown else {}),
        flags=tuple(sorted(flags)),
        fingerprint=sha256_files(path, "*.nii*"),
    )
