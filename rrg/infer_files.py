"""The answers to a study as files for viewers: DICOM SEG and SR, NIfTI masks. Each study has a folder of its own."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrg.errors import RecordError
from rrg.infer_inputs import Work
from rrg.outputs.marks import Mark, marks_of
from rrg.pipe import Count, Made, error_record, talk
from rrg.records import Prediction, Slice
from rrg.slices_records import slice_id
from rrg.study_choice import Chosen


@dataclass(frozen=True)
class Files:
    """What is to be written, and where."""

    dicom: Path | None = None
    nifti: Path | None = None
    compact: bool = False
    """SEG without its empty frames."""
    key: bytes = b""
    """Behind the ids of slices."""
    store: Path | None = None
    """Of the masks that answers name."""
    moment: datetime.datetime | None = None
    """When the run began: the date of what is made."""


def write_files(
    files: Files, work: Work, answers: Sequence[Prediction], summary: Prediction | None, weights: str
) -> Iterator[Made]:
    """Write what was asked for. A study that allows it not gives an error record, and its answers all the same."""
    if not answers or not work.chosen:
        return
    known = {slice_.id: slice_ for slice_ in work.slices}
    marks = marks_of(answers, known)
    for write in (_dicom, _nifti):
        try:
            made = write(files, work, marks, answers, summary, weights)
        except RecordError as error:
            talk("infer", f"{error.message} [{error.code}]")
            yield error_record(error, "infer", work.study, study=work.study, patient=answers[0].patient)
            continue
        for name, n in made.items():
            yield Count(name, n)


def _dicom(
    files: Files, work: Work, marks: list[Mark], answers: Sequence[Prediction], summary: Prediction | None, weights: str
) -> dict[str, int]:
    """One SEG for each series with marks, one SR."""
    if files.dicom is None:
        return {}
    from rrg.outputs.dicom_common import Maker, origin_of, save, unworried
    from rrg.outputs.dicom_seg import segmentation
    from rrg.outputs.dicom_sr import report

    assert files.moment is not None
    first = answers[0]
    maker = Maker(weights, first.notice or "", first.lang, files.moment)
    origins = {chosen.series: origin_of(chosen) for chosen in work.chosen}
    places = {name: (one.series, place) for one in work.chosen for name, place in _places(one, files.key)}
    folder = files.dicom / work.study
    made = {"dicom.sr": 1, "dicom.seg": 0}
    series_of = {mark.slice: places[mark.slice][0] for mark in marks}
    for number, (series, origin) in enumerate(origins.items(), 1):
        own = [mark for mark in marks if series_of[mark.slice] == series]
        if own:
            where = {name: place for name, (of, place) in places.items() if of == series}
            with unworried():
                seg = segmentation(origin, own, where, maker, store=files.store, compact=files.compact)
            save(seg, folder / ("seg.dcm" if len(origins) == 1 else f"seg-{number}.dcm"))
            made["dicom.seg"] += 1
    texts = [summary.text] if summary is not None else [each.text for each in answers if each.text]
    with unworried():
        told = report(origins, marks, places, texts, maker)
    save(told, folder / "sr.dcm")
    talk("infer", f"DICOM: {folder}: {made['dicom.seg']} SEG, 1 SR with {len(marks)} boxes")
    return made


def _nifti(
    files: Files, work: Work, marks: list[Mark], answers: Sequence[Prediction], summary: Prediction | None, weights: str
) -> dict[str, int]:
    """One folder for each series."""
    if files.nifti is None:
        return {}
    from rrg.outputs.nifti_masks import write_masks

    written = 0
    for chosen in work.chosen:
        slices: list[Slice] = [slice_ for slice_ in work.slices if slice_.series == chosen.series]
        own = [mark for mark in marks if any(slice_.id == mark.slice for slice_ in slices)]
        if own:
            folder = files.nifti / work.study / _series_name(slices[0])
            written += len(write_masks(folder, own, slices, answers[0].notice or "", store=files.store))
    if written:
        talk("infer", f"NIfTI: {files.nifti / work.study}: {written} masks")
    return {"nifti.masks": written}


def _places(chosen: Chosen, key: bytes) -> Iterator[tuple[str, int]]:
    return ((slice_id(key, header), place) for place, header in enumerate(chosen.stack.headers))


def _series_name(slice_: Slice) -> str:
    number = f"{slice_.series_number}-" if slice_.series_number is not None else ""
    return f"series-{number}{slice_.series[:8]}"
