"""Made-up CT and MR studies as real DICOM series, with reports in two languages and exact truth.

The folder: ``dicom/<study>/<series>/IM0001.dcm``; ``masks/<Series Instance UID>.nii.gz``; ``reports/<Accession
Number>.{de,en}.txt``; ``truth.jsonl`` (a line per image); ``report_truth.jsonl`` (a line per report); ``labels.json``
(what the masks tell, for ``rrg segment --labels``); ``files.sha256`` (for ``sha256sum -c``); ``manifest.json`` last.
It is built beside and gets its name when all is there. No person is behind any of it.
"""

import contextlib
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rrg.anatomy import BY_ID, LABELS, label_map_version
from rrg.errors import UsageError
from rrg.folders import building
from rrg.parallel import ordered_map
from rrg.phantom_body import (
    FIRST_LESION,
    LESION,
    Grid,
    class_of_tissue,
    class_table,
    image,
    paint,
    tissue_values,
)
from rrg.phantom_dicom import nifti_bytes, series_files
from rrg.phantom_noise import Noise, plant, planted
from rrg.phantom_plan import COMMAND, Patient, SeriesPlan, Settings, StudyPlan, patient_studies, patients
from rrg.phantom_report import LANGUAGES, SeriesView, StudyView, plan, write
from rrg.provenance import make_run, sha256_file
from rrg.records import Run
from rrg.seeds import rng_for

SCHEMA = "rrg.phantom/1"
HISTORIES = 5
"""Texts of clinical information to choose from."""


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One structure on one slice."""

    area_px: int
    box: tuple[int, int, int, int]
    """x0, y0, x1, y1: half-open columns and rows."""


def on_slice(tissue: NDArray[np.uint8]) -> dict[int, Shown]:
    """Tissue number -> its pixels on one (rows, columns) slice."""
    areas = np.bincount(tissue.ravel(), minlength=256)
    found = ndimage.find_objects(tissue.astype(np.int32))
    out = {}
    for number, place in enumerate(found, start=1):
        if place is not None:
            rows, columns = place
            box = (columns.start, rows.start, columns.stop, rows.stop)
            out[number] = Shown(area_px=int(areas[number]), box=box)
    return out


def _join(parts: list[Shown]) -> Shown:
    boxes = np.array([part.box for part in parts])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return Shown(
        area_px=sum(part.area_px for part in parts), box=(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    )


def classes_on(shown: Mapping[int, Shown], table: NDArray[np.uint8]) -> dict[str, Shown]:
    """Class name -> its pixels on one slice, by class id; `table` maps tissues to class ids."""
    by_class: dict[int, list[Shown]] = {}
    for number, each in shown.items():
        if table[number]:
            by_class.setdefault(int(table[number]), []).append(each)
    return {BY_ID[class_id].name: _join(by_class[class_id]) for class_id in sorted(by_class)}


@dataclass(frozen=True, slots=True)
class Made:
    """What one patient added to the folder."""

    truth: bytes
    """Lines of ``truth.jsonl``."""
    reports: bytes
    """Lines of ``report_truth.jsonl``."""
    files: bytes
    """Lines of ``files.sha256``."""
    counts: Mapping[str, int]


class _Folder:
    """Writes files below one folder and lists them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.listing: list[bytes] = []

    def put(self, name: str, data: bytes) -> None:
        """Write a file and list it."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.listing.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())


def study_folder(study: StudyPlan) -> str:
    """Path of a study's DICOM files below the output folder."""
    return f"dicom/{study.header.accession}"


def _values(settings: Settings, study: StudyPlan, series: SeriesPlan, tissue: NDArray[np.uint8]) -> NDArray[np.int16]:
    """HU or MR signal of one series. One table of tissue values per study and weighting."""
    header = study.header
    key = f"values/{header.accession}/{series.header.weighting}"
    values = tissue_values(
        study.body, header.modality, series.header.weighting, header.contrast, rng_for(settings.seed, COMMAND, key)
    )
    rng = rng_for(settings.seed, COMMAND, f"noise/{series.header.uid}/{series.header.instance_numbers[0]}")
    return image(tissue, values, series.noise, header.modality, rng)


def _projection(study: StudyPlan, series: SeriesPlan, settings: Settings) -> NDArray[np.int16]:
    """A CT localizer: mean HU along the back-to-front direction, (1, rows, columns)."""
    grid = series.body_grid
    depth = max(settings.slices, 16)
    step = 2.2 * study.body.semi[1] / depth
    affine = grid.affine.copy()
    affine[:3, 0] = (0.0, step, 0.0)
    affine[1, 3] = -step * (depth - 1) / 2
    tissue = paint(study.body, Grid(affine, (depth, *grid.shape[1:])), "CT")
    values = tissue_values(
        study.body,
        "CT",
        "CT",
        study.header.contrast,
        rng_for(settings.seed, COMMAND, f"values/{study.header.accession}/CT"),
    )
    mean = values[tissue].astype(np.float64).mean(axis=0)
    return np.asarray(np.rint(mean)[None], np.int16)


def _image_truth(
    study: StudyPlan, series: SeriesPlan, index: int, file: str, shown: Mapping[int, Shown] | None
) -> dict[str, Any]:
    """A line of ``truth.jsonl``; `shown` None: a projection, on which no classes are told."""
    header = series.header
    table = class_of_tissue(study.header.modality, len(study.body.lesions))
    line: dict[str, Any] = {
        "patient_id": study.header.person.id,
        "study_uid": study.header.uid,
        "accession": study.header.accession,
        "series_uid": header.uid,
        "sop_uid": header.sop_uids[index],
        "file": file,
        "modality": study.header.modality,
        "weighting": header.weighting,
        "contrast": study.header.contrast,
        "role": series.role,
        "plane": series.plane,
        "series_number": header.number,
        "instance_number": header.instance_numbers[index],
        "index": index,
        "count": header.grid.shape[0],
        "rows": header.grid.shape[1],
        "columns": header.grid.shape[2],
        "classes": None,
        "lesions": None,
    }
    if shown is not None:
        line["classes"] = [
            {"label": name, "class_id": LABELS[name].class_id, "area_px": each.area_px, "box": list(each.box)}
            for name, each in classes_on(shown, table).items()
        ]
        line["lesions"] = [
            {
                "lesion": lesion.name,
                "kind": lesion.tissue,
                "organ": lesion.organ,
                "side": lesion.side,
                "diameter_mm": lesion.diameter_mm,
                "area_px": shown[FIRST_LESION + k].area_px,
                "box": list(shown[FIRST_LESION + k].box),
            }
            for k, lesion in enumerate(study.body.lesions)
            if FIRST_LESION + k in shown
        ]
    return line


def _view(study: StudyPlan, series: SeriesPlan, slices: list[dict[int, Shown]]) -> SeriesView:
    table = class_of_tissue(study.header.modality, len(study.body.lesions))
    named = [classes_on(shown, table) for shown in slices]
    names = sorted({name for each in named for name in each} - {BY_ID[LESION].name})
    header = series.header
    return SeriesView(
        number=header.number,
        uid=header.uid,
        role=series.role,
        plane=series.plane,
        instance_numbers=header.instance_numbers,
        sop_uids=header.sop_uids,
        areas={
            name: np.array([each[name].area_px if name in each else 0 for each in named], np.int64) for name in names
        },
        lesion_areas={
            lesion.name: np.array(
                [s[FIRST_LESION + k].area_px if FIRST_LESION + k in s else 0 for s in slices], np.int64
            )
            for k, lesion in enumerate(study.body.lesions)
        },
    )


def _make_study(
    settings: Settings, study: StudyPlan, folder: _Folder, truth: list[bytes], counts: Counter[str]
) -> StudyView:
    """Write the series and masks of one study."""
    views = []
    header = study.header
    for series in study.series:
        projection = series.role == "localizer" and header.modality == "CT"
        name = f"{study_folder(study)}/{series.header.number:03d}-{series.role}"
        slices: list[dict[int, Shown]] = []
        if projection:
            values = _projection(study, series, settings)
        else:
            tissue = paint(study.body, series.body_grid, header.modality)
            values = _values(settings, study, series, tissue)
            slices = [on_slice(each) for each in tissue]
            if series.role != "localizer":
                table = class_of_tissue(header.modality, len(study.body.lesions))
                folder.put(f"masks/{series.header.uid}.nii.gz", nifti_bytes(table[tissue], series.header.grid))
                views.append(_view(study, series, slices))
                counts["masks"] += 1
        for index, (file, data) in enumerate(series_files(header, series.header, values, settings.syntax)):
            folder.put(f"{name}/{file}", data)
            shown = None if projection else slices[index]
            truth.append(_compact(_image_truth(study, series, index, f"{name}/{file}", shown)))
            counts["images"] += 1
    counts["series"] += len({series.header.uid for series in study.series})
    counts["studies"] += 1
    counts["lesions"] += len(study.body.lesions)
    return StudyView(
        modality=header.modality,
        contrast=header.contrast,
        date=header.date,
        thickness_mm=study.primary.header.thickness_mm,
        body=study.body,
        series=tuple(views),
    )


def _make_reports(
    settings: Settings,
    study: StudyPlan,
    view: StudyView,
    prior: tuple[StudyPlan, StudyView] | None,
    folder: _Folder,
    counts: Counter[str],
) -> Iterator[bytes]:
    """Write the twin reports of one study, with the same planted errors; lines of ``report_truth.jsonl``."""
    accession = study.header.accession
    rng = rng_for(settings.seed, COMMAND, f"report/{accession}")
    history = int(rng.integers(HISTORIES))
    prior_view = prior[1] if prior else None
    noise = Noise(slice=settings.wrong_slices, side=settings.wrong_sides)
    facts = plan(view, prior_view, rng)
    facts = plant(facts, view, noise, rng_for(settings.seed, COMMAND, f"planted/{accession}"))
    if noise.slice or noise.side:
        counts.update(planted(facts))
    for lang in LANGUAGES:
        words = rng_for(settings.seed, COMMAND, f"report/{accession}/{lang}")
        text, sentences = write(view, prior_view, facts, lang, history, words)
        name = f"reports/{accession}.{lang}.txt"
        folder.put(name, text.encode())
        yield _compact(
            {
                "accession": accession,
                "patient_id": study.header.person.id,
                "study_uid": study.header.uid,
                "prior_study_uid": prior[0].header.uid if prior else None,
                "lang": lang,
                "file": name,
                "sentences": [asdict(sentence) for sentence in sentences],
            }
        )


def make_patient(root: str, settings: Settings, patient: Patient) -> Made:
    """Write everything of one patient below `root`. The same patient gives the same bytes anywhere."""
    folder = _Folder(Path(root))
    truth: list[bytes] = []
    reports: list[bytes] = []
    counts: Counter[str] = Counter(patients=1)
    prior: tuple[StudyPlan, StudyView] | None = None
    for study in patient_studies(patient, settings):
        view = _make_study(settings, study, folder, truth, counts)
        lines = list(_make_reports(settings, study, view, prior, folder, counts))
        counts["reports"] += len(lines)
        reports += lines
        prior = (study, view)
    return Made(b"".join(truth), b"".join(reports), b"".join(folder.listing), dict(counts))


def _is_there(out: Path, run: Run) -> bool:
    """True when `out` holds this very set. UsageError when it holds something else."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; give a folder that is new or empty")
    if not out.is_dir() or not any(out.iterdir()):
        return False
    try:
        manifest = json.loads((out / "manifest.json").read_bytes())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise UsageError(f"--out {out}: holds something else; give a folder that is new or empty")
    if manifest.get("run") != run.id:
        raise UsageError(f"--out {out}: holds a phantom set of other options; give a new folder, or those options")
    return True


def make_phantom(out: Path, settings: Settings, workers: int) -> dict[str, int] | None:
    """Write a whole set as folder `out`; counts of what it holds, or None when it was there already.

    The folder appears when it is complete. Raises UsageError when `out` holds something else and RrgError when the
    disk fails.
    """
    options = {name: value for name, value in asdict(settings).items() if name != "seed"}
    run = make_run(COMMAND, options, seed=settings.seed, inputs={"labels": label_map_version()})
    out = out.absolute()
    if _is_there(out, run):
        return None
    with building(out) as root:
        counts = _make_all(root, settings, workers, run)
        root.rename(out)  # not synced file by file: ``files.sha256`` tells whether a power cut took some
    return counts


def _make_all(root: Path, settings: Settings, workers: int, run: Run) -> dict[str, int]:
    """Write the whole set below `root`, patient by patient: memory does not grow with their number."""
    from tqdm import tqdm

    counts: Counter[str] = Counter()
    names = ("truth.jsonl", "report_truth.jsonl", "files.sha256")
    made = ordered_map(functools.partial(make_patient, str(root), settings), patients(settings), workers)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context((root / name).open("wb")) for name in names]
        bar = stack.enter_context(tqdm(total=settings.studies, desc="rrg phantom", unit=" studies", disable=None))
        for each in made:
            for stream, lines in zip(streams, (each.truth, each.reports, each.files), strict=True):
                stream.write(lines)
            counts.update(each.counts)
            bar.update(each.counts["studies"])
    (root / "labels.json").write_bytes(json.dumps(_mask_labels(), indent=1).encode() + b"\n")
    manifest = {
        "schema": SCHEMA,
        "run": run.id,
        "options": dict(run.options),
        "seed": run.seed,
        "label_map": label_map_version(),
        "classes": {m: [*class_table(m), BY_ID[LESION].name] for m in ("CT", "MR")},
        "counts": dict(counts),
        "sha256": {name: sha256_file(root / name) for name in (*names, "labels.json")},
    }
    (root / "manifest.json").write_bytes(json.dumps(manifest, indent=1).encode() + b"\n")
    return dict(counts)


def _mask_labels() -> dict[str, dict[str, str]]:
    """TotalSegmentator's task of a modality -> {mask value: label}: what the masks tell where it is there."""
    names = {modality: [*class_table(modality), BY_ID[LESION].name] for modality in ("CT", "MR")}
    return {
        task: {str(LABELS[name].class_id): name for name in names[modality]}
        for task, modality in (("total", "CT"), ("total_mr", "MR"))
    }
