"""What a reader of a foreign data set hands over: pictures, and what is said about them.

A reader knows rows and names of files only. What needs the size of a picture (boxes in bins or shares) is worked out
later, by `Item.say`, when the picture has been read.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.anatomy import BY_ID, LABELS
from rrg.errors import RecordError, RrgError
from rrg.formats.read import Source, read_source
from rrg.masks import label_name
from rrg.pack_split import Split
from rrg.records import Lang, Mention, Turn

Sizes = Callable[[str], tuple[int, int]]
"""Name of a picture -> (rows, columns), as it is shown (upright). Raises RecordError for one that can not be read."""
Masks = Callable[[int, int], Mapping[str, NDArray[np.bool_]]]
"""(rows, columns) of a picture -> label -> (rows, columns)."""
FREE_IDS = tuple(number for number in range(1, 256) if number not in BY_ID)
"""Class numbers of masks for labels that `rrg.anatomy` does not have."""

ALIASES = {"bladder": "urinary_bladder"}
"""Names that other data sets have for labels of ours (SLAKE)."""


@dataclass(frozen=True)
class Picture:
    """A picture file of a foreign data set."""

    name: str
    """Its path inside the folder, as `safe_name` gives it."""
    patient: str
    """The patient or case; the picture's own name where nothing else is told."""
    modality: str = "OT"
    """DICOM Modality; OT: not known."""
    body_part: str | None = None
    masks: Masks | None = None


@dataclass(frozen=True, kw_only=True)
class Said:
    """A sample, but for its images and ids. Image parts and regions name ``i0``, ``i1``, ... as `Item.images` go."""

    turns: tuple[Turn, ...]
    mentions: tuple[Mention, ...] = ()
    lang: Lang = "en"
    task: str = "vqa"
    question_type: Any = None
    choices: tuple[str, ...] = ()
    answer: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    facets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """A row of a foreign data set."""

    id: str
    """Within the data set and its split."""
    split: Split | None
    """None: the data set does not say."""
    images: tuple[str, ...]
    """Names of pictures."""
    say: Callable[[Sizes], Said]
    where: str = ""
    """File and row, for messages."""


@dataclass(frozen=True)
class Count:
    """A number that was published of the whole data set."""

    what: str
    seen: int
    expected: int


@dataclass
class Foreign:
    """A data set of someone else."""

    kind: str
    title: str
    licence: str
    root: Path
    pictures: dict[str, Picture] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    alone: dict[str, Split | None] = field(default_factory=dict)
    """Pictures that come in even when no item is about them, and their split."""
    labels: tuple[str, ...] = ()
    """Of the masks, `label_of` form."""
    counts: list[Count] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that are not wanted, by reason."""
    files: dict[str, str] = field(default_factory=dict)
    """Files that were read -> SHA-256."""

    def rows(self, path: Path) -> Source:
        """The rows of a JSON list, JSON lines or CSV file of the data set; the file is noted."""
        source = read_source(path)
        self.files[path.name] = source.sha256
        return source

    def document(self, path: Path) -> Any:
        """A JSON file that is one object."""
        raw = read_bytes(path)
        self.files[path.name] = hashlib.sha256(raw).hexdigest()
        try:
            return json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
        except (ValueError, RecursionError):
            raise RrgError(f"{path}: not JSON; copy the file again") from None


def read_bytes(path: Path) -> bytes:
    """A whole file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RrgError(f"{path}: {error.strerror}", "E_IO") from None


def safe_name(name: object) -> str:
    """A path of a row, as a name inside the data set. RecordError(E_PATH) for one that leads out of it."""
    if not isinstance(name, str) or not name.strip():
        raise RecordError("E_PATH", "no name of an image; expected a path inside the data set")
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or ":" in path.parts[0]:
        raise RecordError("E_PATH", "the name of an image leads out of the data set; it must lie inside")
    return path.as_posix()


def inside(root: Path, name: str) -> Path:
    """The file of a name. RecordError(E_PATH) when it is not inside of `root`, or of the folder that its first part is.

    A folder of pictures may be a link; a link further in must not lead out of that folder.
    """
    path = (root / name).resolve()
    first = (root / PurePosixPath(name).parts[0]).resolve()
    if not path.is_relative_to(first if first.is_dir() else root.resolve()):
        raise RecordError("E_PATH", "the name of an image leads out of the data set; it must lie inside")
    return path


def label_of(name: str) -> str:
    """A name of a structure in the form of our labels: ``Left Kidney`` -> ``kidney_left``, ``Mass`` -> ``mass``."""
    if (known := label_name(ALIASES.get(name.strip().lower(), name))) is not None:
        return known
    words = "".join(sign if sign.isalnum() else " " for sign in name.lower()).split()
    for side in ("left", "right"):
        if side in words and len(words) > 1:
            turned = "_".join([*(word for word in words if word != side), side])
            if turned in LABELS:
                return turned
    return "_".join(words) or "unnamed"


def class_ids(labels: Iterable[str]) -> dict[str, int]:
    """Class numbers of masks: ours where we have the label, else free ones, by name. RrgError when 255 do not do."""
    wanted = sorted(set(labels))
    others = [label for label in wanted if label not in LABELS]
    if len(others) <= len(FREE_IDS):
        free = dict(zip(others, FREE_IDS, strict=False))
        return {label: LABELS[label].class_id if label in LABELS else free[label] for label in wanted}
    if len(wanted) > 255:
        raise RrgError(f"{len(wanted)} labels with masks; a mask array holds at most 255: leave some out")
    return {label: number for number, label in enumerate(wanted, 1)}
