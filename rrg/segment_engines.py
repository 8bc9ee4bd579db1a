"""The engines of `rrg segment`: slices of one series -> class ids on their grid, or None.

None: the engine has nothing to say about such a series, which then was not looked at.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrg import acquisitions, masks_files, store, threshold, totalsegmentator
from rrg import totalsegmentator_tasks as tasks
from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.masks import Labelled, remap
from rrg.masks_grid import Grid, grid_of
from rrg.quality_tables import quality_version
from rrg.records import Slice

EngineName = Literal["masks", "threshold", "totalsegmentator"]
GATES = {"totalsegmentator": acquisitions.Gates(min_slices=10, min_fov_mm=100.0)}
"""What a network needs to see where it is: less than 10 slices, or a narrower field of view, were never in its training
data. Other engines take what is there."""


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
    consensus: int | None = None
    """So many readers must agree, in engine masks."""
    weights: Path | None = None
    fast: bool = False
    roi_subset: tuple[str, ...] | None = None
    device: totalsegmentator.Device = "auto"
    timeout_s: float | None = None
    """Of one volume in engine totalsegmentator."""
    memory_gb: float | None = None
    """What TotalSegmentator's process may take; no label depends on it."""
    min_slices: int | None = None
    min_fov_mm: float | None = None
    share: bool = True
    weights_sha256: Mapping[str, str] = field(default_factory=dict)
    """Of each task whose weights `check` found."""

    @property
    def gates(self) -> acquisitions.Gates:
        """What a volume must have, by default of the engine."""
        default = GATES.get(self.engine, acquisitions.Gates())
        return acquisitions.Gates(
            default.min_slices if self.min_slices is None else self.min_slices,
            default.min_fov_mm if self.min_fov_mm is None else self.min_fov_mm,
        )

    @property
    def options(self) -> dict[str, Any]:
        """Options that change results, for the run record."""
        return self.label_options | {
            "min_slices": self.gates.min_slices if self.gates.min_slices > 1 else None,
            "min_fov_mm": self.gates.min_fov_mm or None,
            "share": None if self.share else False,
            "quality": quality_version(),
        }

    @property
    def label_options(self) -> dict[str, Any]:
        """Options that change the labels of a volume, for the ids."""
        return {
            "engine": self.engine,
            "name": self.name,
            "labels": self.labels
            and {task: {str(v): n for v, n in names.items()} for task, names in self.labels.items()},
            "task": self.task,
            "resample": self.resample or None,
            "consensus": self.consensus,
            "fast": self.fast or None,
            "roi_subset": self.roi_subset and sorted(self.roi_subset),
            "version": threshold.VERSION if self.engine == "threshold" else None,
        }


def engine_name(settings: Settings, first: Slice) -> str:
    """Name of an engine in records: ``masks``, ``masks:NAME``, ``threshold``, ``totalsegmentator:total-fast``."""
    parts: list[str] = [settings.engine]
    if settings.engine == "totalsegmentator":
        parts.append(f"{_task(settings, first)}-fast" if settings.fast else str(_task(settings, first)))
    return ":".join([*parts, *([settings.name] if settings.name else [])])


def _task(settings: Settings, first: Slice) -> str | None:
    return settings.task or tasks.TASK_OF.get(first.modality)


def whole_volume(slices: Sequence[Slice], settings: Settings) -> NDArray[Any]:
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


def ready(settings: Settings) -> None:
    """Load what the engine needs for its first volume. Files are listed when that comes: stages before make some."""
    if settings.engine == "masks":
        import nibabel  # noqa: F401 - a third of a second


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
    return masks_files.read_masks(
        *(slices, grid, settings.masks, settings.key, labels),
        resample=settings.resample,
        consensus=settings.consensus,
    )


def _from_threshold(slices: Sequence[Slice], settings: Settings) -> Labelled | None:
    """Engine ``threshold``: only CT in HU."""
    if slices[0].unit != "HU":
        return None
    grid = grid_of(slices)
    found = threshold.segment_ct(np.asarray(whole_volume(slices, settings), np.int16), grid.affine)
    return Labelled(volume=found, looked_for=threshold.FINDS, counts=Counter(), flags=(), fingerprint="")


def _from_totalsegmentator(slices: Sequence[Slice], settings: Settings) -> Labelled | None:
    """Engine ``totalsegmentator``: CT and MR; a task for one of them is not asked about the other."""
    task = _task(settings, slices[0])
    if task is None or tasks.modality_of(task) != slices[0].modality:
        return None
    work = totalsegmentator.work_of(task, fast=settings.fast, roi_subset=settings.roi_subset)
    if work is None:
        return None
    if settings.weights is None or task not in settings.weights_sha256:
        raise RecordError("E_MODEL", f"weights of task {task} are missing in --weights: {_missing(settings, work)}")
    values = totalsegmentator.predict(
        whole_volume(slices, settings),
        grid_of(slices).affine,
        work,
        settings.weights,
        device=settings.device,
        timeout_s=settings.timeout_s,
        memory_gb=settings.memory_gb,
    )
    labels = tasks.labels_of(task)
    wanted = [value for value, given in tasks.class_names(task).items() if given in (work.roi_subset or (given,))]
    return Labelled(
        volume=remap(values, {value: LABELS[name].class_id for value, name in labels.items()})[:, None],
        looked_for=tuple({labels[value] for value in wanted if value in labels}),
        counts=Counter(),
        flags=(),
        fingerprint=settings.weights_sha256[task],
    )


def _missing(settings: Settings, work: tasks.Work) -> str:
    folders = {network.folder.partition("/")[0] for network in tasks.networks_of(work)}
    absent = sorted(name for name in folders if settings.weights is None or not (settings.weights / name).is_dir())
    return ", ".join(absent or sorted(folders))


ENGINES: Mapping[EngineName, Callable[[Sequence[Slice], Settings], Labelled | None]] = {
    "masks": _from_files,
    "threshold": _from_threshold,
    "totalsegmentator": _from_totalsegmentator,
}
