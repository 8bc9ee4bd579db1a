"""A study on disk -> a few slices to ask about, decoded and held in memory. Nothing stays behind."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from rrg import slices, store
from rrg.errors import UsageError
from rrg.extract import Work, extract
from rrg.records import Error, Slice
from rrg.slices import stacks_in
from rrg.slices_records import slice_id
from rrg.stacks import Stack, StudyFiles, first_plane

MAX_BYTES = 4 << 30
"""Largest stack that is decoded, in bytes of pixels."""
ROLES = ("primary", "dynamic", "derived", "reformat", "mip", "vrt", "localizer", "bolus")
"""Which stacks are preferred; among equals the one with most slices."""


class Chosen(NamedTuple):
    """A stack of a study, and which of its slices to ask about."""

    series: str
    stack: Stack
    stacks: int
    """How many stacks of the same role the study has."""
    indices: tuple[int, ...]

    def __str__(self) -> str:
        first, count = self.stack.headers[0], len(self.stack.headers)
        number = f"series {first.series_number}" if first.series_number is not None else "a series without number"
        what = ", ".join(word for word in (first.modality, first_plane(self.stack.headers)) if word)
        of = f"the largest of {self.stacks} {self.stack.role} series" if self.stacks > 1 else f"{self.stack.role}"
        which = "all" if len(self.indices) == count else ", ".join(str(index + 1) for index in self.indices)
        return f"{number} ({what}; {of}): slices {which} of {count}"


class Held(NamedTuple):
    """What came out of a study (or of files that give no image)."""

    chosen: Chosen | None
    slices: tuple[Slice, ...]
    pixels: dict[str, NDArray[Any]]
    """Reference of a slice -> (rows, columns)."""
    errors: tuple[Error, ...]


def check_spec(spec: str) -> str:
    """Refuse a ``--slices`` that `indices_of` does not know."""
    every, colon, number = spec.partition(":")
    if spec == "all" or (spec.isdigit() and int(spec) > 0):
        return spec
    if every == "every" and colon and number.isdigit() and int(number) > 0:
        return spec
    raise UsageError(f"--slices {spec}: expected all, a number, or every:K")


def indices_of(count: int, spec: str) -> tuple[int, ...]:
    """Zero-based slices of `count`: ``all``, every K-th, or N in the middles of N equal parts."""
    if spec == "all":
        return tuple(range(count))
    if spec.startswith("every:"):
        return tuple(range(0, count, int(spec.removeprefix("every:"))))
    n = min(int(spec), count)
    return tuple((2 * i + 1) * count // (2 * n) for i in range(n))


def choose(files: StudyFiles, spec: str, key: bytes, modality: str | None = None) -> Chosen | None:
    """The stack to ask about and its slices; None when no file can be used. Headers only."""
    found = stacks_in(files, key, modality) if files.problem is None else []
    if not found:
        return None
    id_, stack = min(found, key=lambda each: (ROLES.index(each.stack.role), -len(each.stack.headers), each.id))
    same = sum(each.stack.role == stack.role for each in found)
    return Chosen(id_, stack, same, indices_of(len(stack.headers), spec))


def open_study(work: Work, spec: str, key: bytes) -> Held:
    """Decode the chosen slices of a study; only their files are read. Files that give no image become errors.

    Index and count are those of the whole stack by its headers.
    """
    with tempfile.TemporaryDirectory(prefix="rrg-infer-") as folder:
        settings = slices.Settings(key=key, folder=Path(folder), max_bytes=MAX_BYTES)
        chosen = None if work.study is None else choose(work.study, spec, key)
        if work.study is None or chosen is None:
            made = list(extract(work, settings=settings))
        else:
            wanted = {slice_id(key, chosen.stack.headers[index]) for index in chosen.indices}
            made = list(slices.extract_study(work.study, settings, wanted))
        kept = sorted((each for each in made if isinstance(each, Slice)), key=lambda slice_: slice_.index)
        pixels = {slice_.pixels: store.read(Path(folder), slice_.pixels) for slice_ in kept}
    errors = tuple(replace(each, command="infer") for each in made if isinstance(each, Error))
    return Held(chosen, tuple(kept), pixels, errors)
