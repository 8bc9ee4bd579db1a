"""The foreign formats by name, and splits from a file of the user."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from rrg.datasets import Foreign, Item
from rrg.errors import RrgError, UsageError
from rrg.formats import coco, rows, slake, vqa_rad
from rrg.formats.rows import split_of_name
from rrg.pack_split import Split

Kind = Literal["slake", "vqa-rad", "radgrounder", "llava", "ms-swift", "coco"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_READERS: Mapping[str, Callable[[Path], Foreign]] = {
    "slake": slake.read,
    "vqa-rad": vqa_rad.read,
    "coco": coco.read,
    **{kind: partial(rows.read, kind) for kind in rows.FORMATS},
}
_KEYS = ("image", "patient", "id")


def read_foreign(kind: str, path: Path, split_file: Path | None = None) -> Foreign:
    """A foreign data set, with the splits of `split_file` where one is given. Its pictures are not opened yet."""
    if not path.exists():
        raise UsageError(f"{path}: not there; give the folder of the data set")
    foreign = _READERS[kind](path)
    if split_file is not None:
        _split(foreign, split_file)
    return foreign


def _split(foreign: Foreign, path: Path) -> None:
    """Give every item the split that the file names for it; others are left out and counted."""
    told = _told(path, foreign)
    kept: list[Item] = []
    for item in foreign.items:
        found = {split for key in _names(foreign, item) if (split := told.get(key))}
        if len(found) > 1:
            raise RrgError(f"{path}: {item.where or item.id} is in {' and '.join(sorted(found))}; one split each")
        if found:
            kept.append(replace(item, split=found.pop()))
        else:
            foreign.left_out["not_in_split_file"] += 1
    if not kept:
        raise RrgError(f"{path} names nothing of the data set; give {', '.join(_KEYS)} as the data set spells them")
    foreign.items = kept
    alone: dict[str, Split | None] = {}
    for name in foreign.alone:
        named = next((told[key] for key in _spellings(name) if key in told), told.get(foreign.pictures[name].patient))
        if named is None:
            foreign.left_out["picture_not_in_split_file"] += 1
        else:
            alone[name] = named
    foreign.alone = alone


def _names(foreign: Foreign, item: Item) -> list[str]:
    """All that a file may call an item."""
    names = [item.id]
    for name in item.images:
        names += [*_spellings(name), foreign.pictures[name].patient]
    return names


def _spellings(name: str) -> tuple[str, ...]:
    """A picture by its path, its path without the first folder, its file name, and that without its suffix."""
    path = PurePosixPath(name)
    return name, PurePosixPath(*path.parts[1:]).as_posix(), path.name, path.stem


def _told(path: Path, foreign: Foreign) -> Mapping[str, Split]:
    """Name -> split: of a CSV file or JSON lines (image, patient or id; split), or an object of lists by split."""
    if path.suffix == ".json":
        document = foreign.document(path)
        if isinstance(document, dict) and all(isinstance(listed, list) for listed in document.values()):
            pairs = [(name, split) for split, names in document.items() for name in names]
            return _checked(pairs, path)
    try:
        source = foreign.rows(path)
    except csv.Error:
        raise RrgError(f"{path}: not CSV; expected columns image (or patient, or id) and split") from None
    pairs = []
    for row in source.rows:
        key = next((row.value[name] for name in _KEYS if row.value.get(name) not in (None, "")), None)
        if key is None or "split" not in row.value:
            raise RrgError(f"{source.where(row.line)}: needs image, patient or id, and split")
        pairs.append((key, row.value["split"]))
    return _checked(pairs, path)


def _checked(pairs: list[tuple[object, object]], path: Path) -> dict[str, Split]:
    told: dict[str, Split] = {}
    for name, word in pairs:
        split = split_of_name(str(word))
        if split is None:
            raise RrgError(f"{path}: split {str(word)[:20]!r}; expected train, val or test")
        if told.setdefault(str(name), split) != split:
            raise RrgError(f"{path} names something in two splits; one split each")
    return told
