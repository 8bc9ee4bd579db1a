"""Data sets that are rows: LLaVA, ms-swift and RadGrounder files, one for each split, beside their pictures."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rrg.datasets import Foreign, Item, Picture, Said, Sizes, safe_name
from rrg.errors import RecordError, UsageError
from rrg.formats import llava, ms_swift, radgrounder
from rrg.pack_split import Split

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_SPLIT: Mapping[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
NOT_ROWS = ("manifest.json", "split.json")


class Rows(NamedTuple):
    """How a format's rows are read."""

    title: str
    images_of: Callable[[Mapping[str, Any]], Sequence[Any]]
    say: Callable[[Mapping[str, Any], Sequence[str], Sizes], Said]


FORMATS: Mapping[str, Rows] = {
    "llava": Rows("conversations in LLaVA's format", llava.images_of, llava.say),
    "ms-swift": Rows("rows in ms-swift's format", ms_swift.images_of, ms_swift.say),
    "radgrounder": Rows("rows with RadGrounder's tags", radgrounder.images_of, radgrounder.say),
}


def split_of_name(name: str) -> Split | None:
    """The split that a file is named after: ``train.jsonl``, ``slake_validate.json``; None for any other."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {_SPLIT[word] for word in words if word in _SPLIT}
    return found.pop() if len(found) == 1 else None


def files_of(path: Path) -> list[tuple[Path, Split | None]]:
    """The files of rows at `path`: itself, or those of a folder; with a split's file, files without one are not meant.

    UsageError when there are none.
    """
    if path.is_file():
        return [(path, split_of_name(path.name))]
    found = [
        (each, split_of_name(each.name))
        for each in sorted(path.iterdir() if path.is_dir() else ())
        if each.name.endswith(SUFFIXES) and each.name not in NOT_ROWS
    ]
    if not found:
        raise UsageError(f"{path}: no file of rows inside; expected train.json, val.jsonl, ... or one file")
    return [each for each in found if each[1]] or found


def read(kind: str, path: Path) -> Foreign:
    """All rows of a data set in one of `FORMATS`. Names of pictures are relative to the folder of the file."""
    form = FORMATS[kind]
    root = path.parent if path.is_file() else path
    foreign = Foreign(kind, form.title, "as told by who gave it; not stated in this format", root)
    for file, split in files_of(path):
        source = foreign.rows(file)
        for row in source.rows:
            where = f"{file.name}, {'row' if source.kind == 'json' else 'line'} {row.line}"
            add(foreign, row.value, split, f"{file.name}#{row.line}", where, form)
    return foreign


def add(foreign: Foreign, row: Mapping[str, Any], split: Split | None, number: str, where: str, form: Rows) -> None:
    """One row to the items and its pictures to the pictures. A name that leads outside comes back when it is said."""
    try:
        names = tuple(safe_name(name) for name in form.images_of(row))
    except RecordError as error:
        foreign.items.append(Item(number, split, (), partial(_refuse, error), where))
        return
    own = next((str(row[key]) for key in ("patient", "case", "study") if row.get(key) is not None), None)
    for name in names:
        foreign.pictures.setdefault(name, Picture(name, own or name, str(row.get("modality") or "OT")))
    id_ = row.get("id", row.get("question_id"))
    say = partial(form.say, row, names)
    foreign.items.append(Item(str(id_) if id_ is not None else number, split, names, say, where))


def _refuse(error: RecordError, _sizes: Sizes) -> Said:
    raise error
