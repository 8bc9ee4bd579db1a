"""A study on disk -> a few slices to ask about, decoded and held in memory. Nothing stays behind."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from rrg import slices, store
from rrg.dicom import Header, frames_of
from rrg.errors import RecordError, UsageError
from rrg.keys import pseudonym
from rrg.records import Error, Slice
from rrg.stacks import Stack, StudyFiles, first_plane, layout_of, series_of, stacks_of, without_duplicates

MAX_BYTES = 4 << 30
"""Largest stack that is decoded, in bytes of pixels."""
ROLES = ("primary", "derived", "reformat", "localizer")
"""Which stacks are preferred; among equals the one with most slices."""


class Chosen(NamedTuple):
    """A stack of a study, and which of its slices to ask about."""

    value: str
    """Behind the id of the series."""
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


def choose(study: StudyFiles, spec: str) -> Chosen | None:
    """The stack to ask about and its slices; None when no file can be used. Headers only."""
    first, _ = without_duplicates(study.headers)
    found: list[tuple[str, Stack]] = []
    for value, headers in series_of(replace(study, headers=tuple(first))):
        frames: list[Header] = []
        for header in headers:
            try:
                frames += frames_of(header)
            except RecordError:
                continue  # it gets its error record when its turn to be read comes
        found += [(value, stack) for stack in stacks_of(frames)]
    if not found:
        return None
    value, stack = min(found, key=lambda each: (ROLES.index(each[1].role), -len(each[1].headers), each[0]))
    return Chosen(value, stack, sum(each.role == stack.role for _, each in found), indices_of(len(stack.headers), spec))


def open_study(work: slices.Work, spec: str, key: bytes) -> Held:
    """Decode the chosen slices of a study; only their files are read. Files that give no image become errors.

    Index and count are those of the whole stack by its headers.
    """
    study = work.study
    chosen = choose(study, spec) if study is not None and study.problem is None else None
    wanted: dict[str, tuple[int, Header]] = {}
    if study is not None and chosen is not None:
        wanted = {
            _slice_id(key, chosen.stack.headers[index]): (index, chosen.stack.headers[index])
            for index in chosen.indices
        }
        paths = {header.path for _, header in wanted.values()}
        work = replace(work, study=replace(study, headers=tuple(h for h in study.headers if h.path in paths)))
    with tempfile.TemporaryDirectory(prefix="rrg-infer-") as folder:
        made = list(slices.extract(work, key=key, folder=Path(folder), max_bytes=MAX_BYTES))
        kept: list[Slice] = []
        pixels: dict[str, NDArray[Any]] = {}
        for each in made:
            if isinstance(each, Slice) and chosen is not None and each.id in wanted:
                placed = _placed(each, chosen, wanted[each.id][0], key)
                pixels[placed.pixels] = store.read(Path(folder), each.pixels)
                kept.append(placed)
    kept.sort(key=lambda slice_: slice_.index)
    errors = tuple(replace(each, command="infer") for each in made if isinstance(each, Error))
    return Held(chosen, tuple(kept), pixels, errors)


def _slice_id(key: bytes, header: Header) -> str:
    value = header.sop or f"file {header.name}"
    return pseudonym(key, "sop", value if header.frame is None else f"{value}#{header.frame}")


def _placed(slice_: Slice, chosen: Chosen, index: int, key: bytes) -> Slice:
    """A slice that was read alone, with its place in its whole stack."""
    stack = chosen.stack
    series = pseudonym(key, "series", f"{chosen.value}#{stack.number}" if stack.number else chosen.value)
    layout = layout_of(stack.headers)
    own = set(slice_.flags) - {"gap_mm", "shear", "tilt"}
    return replace(
        slice_,
        series=series,
        index=index,
        count=len(stack.headers),
        pixels=store.reference(f"series/{series}", index),
        role=stack.role,
        slice_spacing_mm=layout.spacing_mm,
        flags=tuple(sorted({*layout.flags, *own})),
    )
