"""A study on disk -> a few slices to ask about, decoded and held in memory. Nothing stays behind."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from rrg import slices, store
from rrg.errors import RrgError
from rrg.extract import Work, extract, listed
from rrg.records import Error, Slice
from rrg.reports.link import Slices
from rrg.reports.parse import parse
from rrg.reports.text import clean, decode, no_text
from rrg.slices import stacks_in
from rrg.slices_records import slice_id
from rrg.stacks import StudyFiles
from rrg.study_choice import Chosen, Spec, choose

MAX_BYTES = 4 << 30
"""Largest stack that is decoded, in bytes of pixels."""


@dataclass(frozen=True)
class Wish:
    """What of a study is asked for."""

    spec: Spec
    key: bytes
    """Behind the pseudonyms."""
    series_number: int | None = None
    """None: chosen by rules."""
    modality: str | None = None
    """Of files that do not tell (NIfTI)."""
    report: Path | None = None
    """Text of the report whose references ``referenced`` follows."""


class Held(NamedTuple):
    """What came out of a study (or of files that give no image)."""

    chosen: tuple[Chosen, ...]
    slices: tuple[Slice, ...]
    """Series by series, along each."""
    pixels: dict[str, NDArray[Any]]
    """Reference of a slice -> (rows, columns)."""
    errors: tuple[Error, ...]


def chosen_in(files: StudyFiles, wish: Wish) -> list[Chosen]:
    """The stacks to ask about and their slices; none when no file can be used. Headers only."""
    found = stacks_in(files, wish.key, wish.modality) if files.problem is None else []
    if not found:
        return []
    cited = cited_slices(files, wish) if wish.spec.kind == "referenced" else frozenset()
    return choose(found, wish.spec, wish.key, series_number=wish.series_number, cited=cited)


def cited_slices(files: StudyFiles, wish: Wish) -> frozenset[str]:
    """Ids of the slices of the study that the report points at, those of earlier studies not. RrgError: no report."""
    assert wish.report is not None
    try:
        data = wish.report.read_bytes()
    except OSError as error:
        raise RrgError(f"--report {wish.report.name}: {error.strerror}; give the text of the study's report") from None
    if (what := no_text(data)) is not None:
        raise RrgError(f"--report {wish.report.name}: {what}; give the report as text, HTML or RTF")
    known = Slices(listed(files, wish.key))
    references = [known.resolve(each) for each in parse(clean(decode(data))).references]
    return frozenset(name for each in references for name in each.slices)


def open_study(work: Work, wish: Wish) -> Held:
    """Decode the chosen slices of a study; only their files are read. Files that give no image become errors.

    Index and count are those of the whole stack by its headers.
    """
    with tempfile.TemporaryDirectory(prefix="rrg-infer-") as folder:
        settings = slices.Settings(key=wish.key, folder=Path(folder), max_bytes=MAX_BYTES, modality=wish.modality)
        chosen = [] if work.study is None else chosen_in(work.study, wish)
        if work.study is None or not (chosen or wish.spec.kind == "referenced"):
            made = list(extract(work, settings=settings))
        else:
            wanted = {slice_id(wish.key, one.stack.headers[index]) for one in chosen for index in one.indices}
            made = list(slices.extract_study(work.study, settings, wanted)) if wanted else []
        order = {one.series: number for number, one in enumerate(chosen)}
        read = (each for each in made if isinstance(each, Slice))
        kept = sorted(read, key=lambda slice_: (order.get(slice_.series, len(order)), slice_.index))
        pixels = {slice_.pixels: store.read(Path(folder), slice_.pixels) for slice_ in kept}
    errors = tuple(replace(each, command="infer") for each in made if isinstance(each, Error))
    return Held(tuple(chosen), tuple(kept), pixels, errors)
