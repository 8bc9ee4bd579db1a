"""Series -> masks: the step of `rrg segment` and its engines. The only file that imports totalsegmentator.

An engine takes the slices of one series and gives class ids on their grid (`rrg.masks.Labelled`), or None when it has
nothing to say about such a series, which then was not looked at.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrg import masks_files, store, threshold
from rrg.anatomy import BY_ID, LABELS
from rrg.errors import RecordError, RrgError, UsageError
from rrg.masks import Labelled, label_name, mask_records, remap, sides_are_suspect
from rrg.masks_grid import LPS_FROM_RAS, Grid, grid_of
from rrg.pipe import Count, Group, Made, error_record
from rrg.provenance import sha256_files
from rrg.records import Mask, Slice

EngineName = Literal["masks", "threshold", "totalsegmentator"]
Device = Literal["auto", "cpu", "gpu"]
TASK_OF = {"CT": "total", "MR": "total_mr"}
"""Task of TotalSegmentator, and name of a label map, by modality."""
NOT_SEGMENTED = ("localizer", "bolus", "mip", "vrt")
"""Roles of series that no volume lies behind."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Settings:
    """What the step needs to know; sent to each worker."""

    engine: EngineName
    store: Path
    name: str | None = None
    """Tells several runs of one engine apart."""
    key: bytes = b""
    masks: tuple[Path, ...] = ()
    labels: Mapping[str, Mapping[int, str | None]] | None = None
    """Label maps by task; ``""``: for all."""
    task: str | None = None
    resample: bool = False
    weights: Path | None = None
    fast: bool = False
    device: Device = "auto"

    @property
    def options(self) -> dict[str, Any]:
        """Options that change results, for the run record and the ids."""
        return {
            "engine": self.engine,
            "name": self.name,
            "labels": self.labels
            and {task: {str(v): n for v, n in names.items()} for task, names in self.labels.items()},
            "task": self.task,
            "resample": self.resample or None,
            "fast": self.fast or None,
            "version": threshold.VERSION if self.engine == "threshold" else None,
        }


def check(settings: Settings) -> dict[str, str]:
    """Raise UsageError for what can not work, before anything is read; else hashes of the side inputs."""
    if settings.name is not None and not NAME.fullmatch(settings.name):
        raise UsageError(f"--name {settings.name!r}: expected letters, digits, _ and - only")
    if settings.engine != "masks" and (settings.masks or settings.labels or settings.resample):
        raise UsageError(f"engine {settings.engine} does not use --masks, --labels or --resample; give --engine masks")
    if settings.engine != "totalsegmentator" and settings.fast:
        raise UsageError(f"engine {settings.engine} does not use --fast; give --engine totalsegmentator")
    if settings.engine == "masks":
        masks_files.check_masks(settings.masks)
        return masks_files.fingerprint_masks(settings.masks)
    if settings.engine == "totalsegmentator":
        return check_totalsegmentator(settings)
    return {}


def segment_study(group: Group, settings: Settings) -> Iterator[Made]:
    """Masks of each series of a study. A series that can not be segmented gives one error record, the others go on."""
    done = {(mask.series, mask.engine) for mask in group.of(Mask)}
    series: dict[str, list[Slice]] = defaultdict(list)
    for slice_ in group.of(Slice):
        if slice_.role not in NOT_SEGMENTED:
            series[slice_.series].append(slice_)
    elsewhere: list[tuple[Slice, masks_files.WrongGridError]] = []
    found_one = False
    for slices in series.values():
        slices.sort(key=lambda slice_: slice_.index)
        try:
            labelled = _ENGINES[settings.engine](slices, settings)
            if labelled is None:
                yield Count("series.not_looked_at")
                continue
            found_one = True
            yield from _records(slices, labelled, settings, done)
        except masks_files.WrongGridError as error:
            elsewhere.append((slices[0], error))
        except RecordError as error:
            yield _error(error, slices[0])
    for first, refusal in elsewhere:
        yield Count("series.not_looked_at") if found_one else _error(refusal, first)


def _error(error: RecordError, first: Slice) -> Made:
    return error_record(error, "segment", first.series, study=first.study, patient=first.patient)


def _records(
    slices: Sequence[Slice], labelled: Labelled, settings: Settings, done: set[tuple[str, str]]
) -> Iterator[Made]:
    """Write the array, then name it."""
    engine = engine_name(settings, slices[0])
    if (slices[0].series, engine) in done:
        raise UsageError(f"the stream has masks of engine {engine!r} already; give this run another --name")
    array = f"masks/{slices[0].series}-{engine.replace(':', '-')}"
    store.write_array(settings.store, array, labelled.volume)
    flags = set(labelled.flags)
    with contextlib.suppress(RecordError):
        if sides_are_suspect(labelled.volume, grid_of(slices).affine):
            flags.add("SUSPECT_LR")
    fingerprint = json.dumps([settings.options, labelled.fingerprint], sort_keys=True)
    yield from mask_records(
        slices,
        labelled.volume,
        engine=engine,
        array=array,
        fingerprint=hashlib.sha256(fingerprint.encode()).hexdigest(),
        looked_for=labelled.looked_for,
        flags=tuple(sorted(flags)),
    )
    for name, n in sorted(labelled.counts.items()):
        yield Count(name, n)
    yield Count("series.segmented")


def engine_name(settings: Settings, first: Slice) -> str:
    """Name of an engine in records: ``masks``, ``masks:NAME``, ``threshold``, ``totalsegmentator:total-fast``."""
    parts: list[str] = [settings.engine]
    if settings.engine == "totalsegmentator":
        parts.append(f"{_task(settings, first)}-fast" if settings.fast else str(_task(settings, first)))
    return ":".join([*parts, *([settings.name] if settings.name else [])])


def _task(settings: Settings, first: Slice) -> str | None:
    return settings.task or TASK_OF.get(first.modality)


def _volume(slices: Sequence[Slice], settings: Settings) -> NDArray[Any]:
    """All pixels of a series, (slices, rows, columns). RecordError when slices are missing in the store."""
    first = slices[0]
    pixels = store.read_volume(settings.store, store.split_reference(first.pixels)[0])
    if pixels.shape != (first.count, first.rows, first.columns):
        raise RecordError(
            "E_IO", f"store holds {pixels.shape} pixels, the records say {(first.count, first.rows, first.columns)}"
        )
    absent = set(range(first.count)) - {slice_.index for slice_ in slices}
    if empty := [index for index in sorted(absent) if not pixels[index].any()]:
        raise RecordError(
            "E_GEOMETRY",
            f"{len(empty)} of {first.count} slices of this series are not in the store; "
            f"engine {settings.engine} needs the whole volume: extract it whole",
        )
    return pixels


def _from_files(slices: Sequence[Slice], settings: Settings) -> Labelled | None:
    """Engine ``masks``."""
    grid: Grid | RecordError
    try:
        grid = grid_of(slices)
    except RecordError as error:
        grid = error
    labels = None
    if settings.labels is not None:
        labels = settings.labels.get(_task(settings, slices[0]) or "") or settings.labels.get("")
    return masks_files.read_masks(slices, grid, settings.masks, settings.key, labels, resample=settings.resample)


def _from_threshold(slices: Sequence[Slice], settings: Settings) -> Labelled | None:
    """Engine ``threshold``: only CT in HU."""
    if slices[0].unit != "HU":
        return None
    grid = grid_of(slices)
    found = threshold.segment_ct(np.asarray(_volume(slices, settings), np.int16), grid.affine)
    return Labelled(volume=found, looked_for=threshold.FINDS, counts=Counter(), flags=(), fingerprint="")


# TotalSegmentator


def _from_totalsegmentator(slices: Sequence[Slice], settings: Settings) -> Labelled | None:
    """Engine ``totalsegmentator``: CT and MR; a task for one of them is not asked about the other."""
    task = _task(settings, slices[0])
    if task is None or not _takes(task, slices[0].modality):
        return None
    grid = grid_of(slices)
    pixels = _volume(slices, settings)
    affine = LPS_FROM_RAS @ grid.affine[:, [2, 1, 0, 3]]
    values = predict(pixels.transpose(2, 1, 0), affine, task, settings)
    names = class_names(task)
    classes = {value: LABELS[name].class_id for value, given in names.items() if (name := label_name(given))}
    return Labelled(
        volume=remap(values.transpose(2, 1, 0), classes)[:, None],
        looked_for=tuple({BY_ID[class_id].name for class_id in classes.values()}),
        counts=Counter(),
        flags=(),
        fingerprint=_weights_hash(settings.weights, tuple(_folders(task, fast=settings.fast))),
    )


def _takes(task: str, modality: str) -> bool:
    from totalsegmentator.registry import task_modality

    return bool(task_modality(task) == modality)


def class_names(task: str) -> dict[int, str]:
    """Value -> name as TotalSegmentator itself tells it."""
    from totalsegmentator.map_to_binary import class_map

    return dict(class_map[task])


def check_totalsegmentator(settings: Settings) -> dict[str, str]:
    """Weights, task and device are there; hashes of the weights. Nothing is downloaded and nothing is sent."""
    from totalsegmentator.map_to_binary import class_map, commercial_models

    if settings.weights is None or not settings.weights.is_dir():
        raise UsageError(
            "engine totalsegmentator: give --weights DIR (or TOTALSEG_WEIGHTS_PATH), the folder with the unpacked "
            f"Dataset... folders of TotalSegmentator{'' if settings.weights is None else f'; seen: {settings.weights}'}"
        )
    tasks = [settings.task] if settings.task else list(TASK_OF.values())
    present = []
    for task in tasks:
        if task not in class_map or task in commercial_models:
            raise UsageError(f"--task {task}: TotalSegmentator has no such task, or it needs a licence of its makers")
        if not any(label_name(name) for name in class_names(task).values()):
            raise UsageError(
                f"--task {task}: rrg has a label for none of its classes {sorted(class_names(task).values())}"
            )
        if all((settings.weights / folder).is_dir() for folder in _folders(task, fast=settings.fast)):
            present.append(task)
    if not present:
        missing = [f for f in _folders(tasks[0], fast=settings.fast) if not (settings.weights / f).is_dir()]
        raise UsageError(
            f"engine totalsegmentator: {settings.weights} has no {', '.join(missing)} (task {tasks[0]}"
            f"{', --fast' if settings.fast else ''}); unpack the weights there with totalseg_import_weights, "
            "or give another --weights"
        )
    wrong = [n for value, n in class_names("total").items() if n not in LABELS or LABELS[n].class_id != value]
    if wrong:
        raise RrgError(f"label table and TotalSegmentator's task total disagree on {', '.join(wrong[:5])}", "E_MODEL")
    _device(settings.device)
    return {
        f"weights.{task}": _weights_hash(settings.weights, tuple(_folders(task, fast=settings.fast)))
        for task in present
    }


def _folders(task: str, *, fast: bool) -> list[str]:
    """Weight folders that a task reads, those of its rough first pass too."""
    from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS

    if task not in TASK_CONFIGS:
        raise UsageError(f"--task {task}: TotalSegmentator can not run it")
    config = dict(TASK_CONFIGS[task])
    if modes := config.get("sub_modes"):
        config |= modes["fast" if fast and "fast" in modes else "default"]
    elif fast and config.get("disallow_fast"):
        raise UsageError(f"--task {task}: there is no fast form of it; leave --fast out")
    ids = config["task_id"] if isinstance(config["task_id"], list) else [config["task_id"]]
    if task == "vertebrae_pp_refined":
        ids = [*ids, 305]
    crop = config.get("crop") or ()
    folders = []
    if crop and config.get("crop_model"):
        folders = _folders(str(config["crop_model"]), fast=False)
    elif crop and {"body_trunc", "body_extremities"} & set(crop):
        ids = [*ids, 300]
    elif crop:
        ids = [*ids, 852 if task.endswith("_mr") else 297 if config.get("robust_crop") else 298]
    for number in ids:
        place = TASK_ID_WEIGHTS_CONFIGS[number]
        folders.append(str(Path(place.get("rel_path") or "") / place["foldername"]))
    return folders


@functools.lru_cache(8)
def _weights_hash(weights: Path, folders: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        digest.update(f"{folder}\0{sha256_files(weights / folder)}\n".encode())
    return digest.hexdigest()


def _device(wanted: Device) -> str:
    import torch

    there = torch.cuda.is_available()
    if wanted == "gpu" and not there:
        raise UsageError("--device gpu: this machine has no usable GPU; give --device cpu")
    return "gpu" if wanted == "gpu" or (wanted == "auto" and there) else "cpu"


@contextlib.contextmanager
def _private_home(weights: Path) -> Iterator[None]:
    """A home of TotalSegmentator that sends no statistics and is gone afterwards; set before its import."""
    with tempfile.TemporaryDirectory(prefix="rrg-totalsegmentator-") as home:
        config = {
            "totalseg_id": "rrg",
            "send_usage_stats": False,
            "prediction_counter": 0,
            "statistics_disclaimer_shown": True,
        }
        (Path(home) / "config.json").write_text(json.dumps(config))
        new = {
            "TOTALSEG_HOME_DIR": home,
            "TOTALSEG_WEIGHTS_PATH": str(weights.resolve()),
            "nnUNet_raw": str(weights.resolve()),
            "nnUNet_preprocessed": str(weights.resolve()),
            "nnUNet_results": str(weights.resolve()),
        }
        before = {name: os.environ.get(name) for name in new}
        os.environ.update(new)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _refuse_download(weights: Path, task_id: int) -> None:
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

    place = TASK_ID_WEIGHTS_CONFIGS[task_id]
    folder = Path(place.get("rel_path") or "") / place["foldername"]
    if not (weights / folder).is_dir():
        raise RecordError("E_MODEL", f"weights folder {folder} is missing; unpack it into the --weights folder")


def predict(pixels: NDArray[Any], affine: NDArray[np.float64], task: str, settings: Settings) -> NDArray[np.uint8]:
    """TotalSegmentator's values for (columns, rows, slices) `pixels` with a RAS `affine`, on the same grid."""
    assert settings.weights is not None
    missing = [folder for folder in _folders(task, fast=settings.fast) if not (settings.weights / folder).is_dir()]
    if missing:
        raise RecordError("E_MODEL", f"weights {', '.join(missing)} (task {task}) are missing; add them to --weights")
    import nibabel

    with _private_home(settings.weights):
        from totalsegmentator import python_api

        image = nibabel.Nifti1Image(np.ascontiguousarray(pixels), affine)  # type: ignore[no-untyped-call]
        python_api.download_pretrained_weights = functools.partial(_refuse_download, settings.weights.resolve())
        try:
            found = python_api.totalsegmentator(
                image,
                None,
                ml=True,
                task=task,
                fast=settings.fast,
                device=_device(settings.device),
                quiet=True,
                nr_thr_resamp=1,
                nr_thr_saving=1,
            )
        except RecordError:
            raise
        except Exception as error:
            raise RecordError(
                "E_MODEL", f"TotalSegmentator failed on {pixels.shape} voxels: {type(error).__name__}"
            ) from error
    values: NDArray[np.uint8] = np.asarray(found.dataobj, np.uint8)
    if values.shape != pixels.shape or not np.allclose(found.affine, affine, atol=1e-3):
        raise RecordError("E_GRID", f"TotalSegmentator answered on {values.shape} voxels for {pixels.shape}")
    return values


_ENGINES: Mapping[EngineName, Callable[[Sequence[Slice], Settings], Labelled | None]] = {
    "masks": _from_files,
    "threshold": _from_threshold,
    "totalsegmentator": _from_totalsegmentator,
}
