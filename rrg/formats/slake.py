"""SLAKE 1.0: ``train|validate|test.json``, ``imgs/xmlabN/{source.jpg, detection.json, mask.png}`` and ``mask.txt``.

English questions are kept; others are counted. Boxes (``[x, y, width, height]`` in pixels, of each ``detection.json``
or of one ``detection_boxes.json`` for all) become "where is" samples. ``mask.txt`` names the grey values of the masks,
``1:Liver`` a line; without it masks are left out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.datasets import Count, Foreign, Item, Masks, Picture, Said, Sizes, inside, label_of, read_bytes, safe_name
from rrg.errors import RecordError, RrgError
from rrg.formats.questions import box_of, question, where_is
from rrg.formats.rows import files_of
from rrg.pack_split import Split

TITLE = "SLAKE (Liu et al., ISBI 2021)"
LICENCE = (
    "CC BY 4.0 by a third party's data set card, CC BY-SA 4.0 by its use in RadGrounder, not checked at the authors'; "
    "images from MSD (CC BY-SA), CHAOS (CC BY-NC-SA) and ChestX-ray8"
)
IMAGES = 642
QUESTIONS: Mapping[Split, int] = {"train": 9835, "val": 2099, "test": 2094}
"""Both languages, 14,028 together."""
MODALITIES = {"CT": "CT", "MRI": "MR", "X-RAY": "CR"}
LANGUAGE = "en"


def read(path: Path) -> Foreign:
    """The data set in the folder `path`."""
    foreign = Foreign("slake", TITLE, LICENCE, path)
    names = _mask_names(path)
    boxes = _all_boxes(foreign, path)
    splits: dict[str, set[Split]] = {}
    rows: dict[Split, int] = {}
    everything: set[str] = set()
    for file, split in files_of(path):
        if split is None:
            continue
        source = foreign.rows(file)
        rows[split] = rows.get(split, 0) + len(source.rows)
        for row in source.rows:
            everything.add(str(row.value.get("img_name")))
            if (lang := str(row.value.get("q_lang") or LANGUAGE).strip()) != LANGUAGE:
                foreign.left_out[f"language_{lang[:8]}"] += 1
                continue
            name = _add(foreign, row.value, split, f"{file.name}, row {row.line}", f"{file.name}#{row.line}", names)
            if name is not None:
                splits.setdefault(name, set()).add(split)
    if not rows:
        raise RrgError(f"{path}: no train.json, validate.json or test.json inside; give the folder of SLAKE")
    for name, found in sorted(splits.items()):
        for split in sorted(found):
            _add_boxes(foreign, name, split, boxes)
    labels = {label_of(name) for name in names.values()}
    foreign.labels = tuple(sorted(labels))
    foreign.counts = [Count(f"questions in {split}", rows.get(split, 0), n) for split, n in QUESTIONS.items()]
    foreign.counts.append(Count("images", len(everything), IMAGES))
    return foreign


def _add(
    foreign: Foreign, row: Mapping[str, Any], split: Split, where: str, number: str, names: Mapping[int, str]
) -> str | None:
    """The item of a question; the name of its picture."""
    failed: RecordError | None = None
    images: tuple[str, ...] = ()
    try:
        images = (safe_name(f"imgs/{safe_name(row.get('img_name'))}"),)
        modality = MODALITIES.get(str(row.get("modality")).strip().upper(), "OT")
        foreign.pictures.setdefault(
            images[0], Picture(images[0], images[0], modality, masks=_masks(foreign.root, images[0], names))
        )
    except RecordError as error:
        failed = error
    id_ = str(row["qid"]) if row.get("qid") is not None else number
    foreign.items.append(Item(id_, split, images, partial(_say, row, failed), where))
    return images[0] if images else None


def _say(row: Mapping[str, Any], failed: RecordError | None, _sizes: Sizes) -> Said:
    if failed:
        raise failed
    told = {"content": row.get("content_type"), "location": row.get("location")}
    kept = {name: value.strip() for name, value in told.items() if isinstance(value, str) and value.strip()}
    return question(row, facets=kept)


# --- boxes


def _all_boxes(foreign: Foreign, path: Path) -> Mapping[str, Any] | None:
    """Folder of an image -> its boxes, where one file has them all."""
    file = path / "detection_boxes.json"
    if not file.is_file():
        return None
    found = foreign.document(file).get("images")
    return found if isinstance(found, dict) else None


def _add_boxes(foreign: Foreign, name: str, split: Split, boxes: Mapping[str, Any] | None) -> None:
    """A "where is" item for each structure that has boxes on the picture."""
    folder = Path(name).parent
    if boxes is not None:
        listed = boxes.get(folder.name, [])
    else:
        file = foreign.root / folder / "detection.json"
        before = foreign.files.pop(file.name, "")
        listed = foreign.document(file) if file.is_file() else []
        if own := foreign.files.get(file.name, ""):  # hundreds of one name: one hash over all, in order
            foreign.files[file.name] = hashlib.sha256(f"{before}{own}".encode()).hexdigest()
        elif before:
            foreign.files[file.name] = before
    by_name: dict[str, list[Any]] = {}
    for entry in listed if isinstance(listed, list) else []:
        for structure, box in entry.items() if isinstance(entry, dict) else ():
            by_name.setdefault(str(structure), []).append(box)
    for structure, found in by_name.items():
        say = partial(_where_is, name, structure, found)
        foreign.items.append(Item(f"{folder.name}/{structure}", split, (name,), say, f"boxes of {folder.name}"))


def _where_is(name: str, structure: str, listed: Sequence[Any], sizes: Sizes) -> Said:
    rows, columns = sizes(name)
    return where_is(structure, [box_of(values, rows, columns) for values in listed])


# --- masks


def _mask_names(path: Path) -> dict[int, str]:
    """Grey value -> structure, of ``mask.txt``; empty without one."""
    file = path / "mask.txt"
    names: dict[int, str] = {}
    for number, line in enumerate(read_bytes(file).decode("utf-8-sig").splitlines() if file.is_file() else (), 1):
        value, _, name = line.partition(":")
        if not line.strip():
            continue
        if not value.strip().isdigit() or not 0 < int(value) < 256 or not name.strip():
            raise RrgError(f"{file}, line {number}: expected a grey value and a name, such as 1:Liver")
        names[int(value)] = name.strip()
    return names


def _masks(root: Path, name: str, names: Mapping[int, str]) -> Masks | None:
    """How the mask beside a picture is read; None where there is none."""
    beside = (Path(name).parent / "mask.png").as_posix()
    return partial(_read_mask, root, beside, names) if names and (root / beside).is_file() else None


def _read_mask(
    root: Path, name: str, names: Mapping[int, str], rows: int, columns: int
) -> dict[str, NDArray[np.bool_]]:
    from rrg.formats.label_image import read_labels

    values = read_labels(inside(root, name))
    if values.shape != (rows, columns):
        raise RecordError(
            "E_GRID", f"mask of {values.shape[1]} x {values.shape[0]}, image of {columns} x {rows} pixels"
        )
    found: dict[str, NDArray[np.bool_]] = {}
    for value in np.unique(values).tolist():
        if value in names:
            label = label_of(names[value])
            there = values == value
            found[label] = found[label] | there if label in found else there
        elif value:
            raise RecordError("E_LABEL", f"a mask holds the grey value {value}, which mask.txt does not name")
    return found
