"""Series -> masks: the step of `rrg segment`.

Engines that work on pixels look at one volume of each acquisition (`rrg.acquisitions`); other volumes of it take that
mask through the patient. Engine ``masks`` looks for a file for each series.
"""

import contextlib
import dataclasses
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rrg import acquisitions, acquisitions_sample, masks_files, quality, store, totalsegmentator
from rrg.errors import RecordError, UsageError
from rrg.masks import Labelled, mask_records
from rrg.masks_grid import grid_of
from rrg.pipe import Count, Group, Made, error_record
from rrg.records import Mask, Slice
from rrg.segment_engines import ENGINES, Settings, engine_name, whole_volume

WHOLE = 0.95
"""A slice that takes the mask of another volume lies in it when at least this part of its pixels does: the rim of half
a voxel may not."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def check(settings: Settings) -> tuple[Settings, dict[str, str]]:
    """Raise UsageError for what can not work, before anything is read; else settings to go on with, and the hashes of
    the side inputs.
    """
    if settings.name is not None and not NAME.fullmatch(settings.name):
        raise UsageError(f"--name {settings.name!r}: expected letters, digits, _ and - only")
    if settings.engine != "masks" and (settings.masks or settings.labels or settings.resample or settings.consensus):
        raise UsageError(
            f"engine {settings.engine} does not use --masks, --labels, --resample or --consensus; give --engine masks"
        )
    if settings.engine != "totalsegmentator" and (settings.fast or settings.roi_subset is not None):
        raise UsageError(
            f"engine {settings.engine} does not use --fast or --roi-subset; give --engine totalsegmentator"
        )
    if settings.engine == "masks":
        if settings.min_slices is not None or settings.min_fov_mm is not None:
            raise UsageError("engine masks takes every mask it is given; leave --min-slices and --min-fov-mm out")
        masks_files.check_masks(settings.masks)
        return settings, masks_files.fingerprint_masks(settings.masks)
    if settings.engine == "totalsegmentator":
        hashes = totalsegmentator.check(
            settings.weights,
            settings.task,
            fast=settings.fast,
            roi_subset=settings.roi_subset,
            device=settings.device,
        )
        sides = {f"weights.{task}": sha256 for task, sha256 in hashes.items()}
        return dataclasses.replace(settings, weights_sha256=hashes), sides
    return settings, {}


def segment_study(group: Group, settings: Settings) -> Iterator[Made]:
    """Masks of each series of a study. A series that can not be segmented gives one error record, the others go on."""
    done = {(mask.series, mask.engine) for mask in group.of(Mask)}
    series: dict[str, list[Slice]] = defaultdict(list)
    for slice_ in group.of(Slice):
        series[slice_.series].append(slice_)
    for slices in series.values():
        slices.sort(key=lambda slice_: slice_.index)
    plan = acquisitions.plan(series, settings.gates, share=settings.share and settings.engine != "masks")
    for reason in plan.left_out.values():
        yield Count(f"series.left_out.{reason}")
    if plan.ambiguous:
        yield Count("series.reformat_of_unknown", len(plan.ambiguous))
    targets: dict[str, list[str]] = defaultdict(list)
    for target, source in plan.shared.items():
        targets[source].append(target)
    elsewhere: list[tuple[Slice, masks_files.WrongGridError]] = []
    found_one = False
    waiting = list(plan.own)
    while waiting:
        slices = series[waiting.pop(0)]
        takers = sorted(targets[slices[0].series], key=list(series).index)
        try:
            labelled = ENGINES[settings.engine](slices, settings)
        except masks_files.WrongGridError as error:
            elsewhere.append((slices[0], error))
            continue
        except RecordError as error:
            yield _error(error, slices[0])
            for name in reversed(takers):  # no mask to take: each is looked at itself
                if why := acquisitions.too_small(series[name][0], settings.gates):
                    yield Count(f"series.left_out.{why}")
                else:
                    waiting.insert(0, name)
            continue
        if labelled is None:
            yield Count("series.not_looked_at", 1 + len(takers))
            continue
        found_one = True
        labelled = _judged(slices, labelled, settings)
        for volume in [slices, *(series[name] for name in takers)]:
            try:
                if volume is slices:
                    yield from _own(slices, labelled, settings, done)
                else:
                    yield from _shared(volume, slices, labelled, settings, done)
            except RecordError as error:
                yield _error(error, volume[0])
    for first, refusal in elsewhere:
        yield Count("series.not_looked_at") if found_one else _error(refusal, first)


def _error(error: RecordError, first: Slice) -> Made:
    return error_record(error, "segment", first.series, study=first.study, patient=first.patient)


def _judged(slices: Sequence[Slice], labelled: Labelled, settings: Settings) -> Labelled:
    """With what the quality gates say of the whole volume: every volume that takes the mask has it too.

    A series without an even grid is not judged; one without all its pixels is judged without HU.
    """
    try:
        affine = grid_of(slices).affine
    except RecordError:
        return labelled
    hu = None
    if slices[0].unit == "HU":
        with contextlib.suppress(RecordError):
            hu = whole_volume(slices, settings)
    found = quality.judge(labelled.volume, affine, hu)
    flagged = Counter(f"quality.{flag}" for verdict in found.verdicts.values() for flag in verdict.flags)
    judged = Counter({"quality.judged": len(found.verdicts)} if found.verdicts else {})
    return dataclasses.replace(
        labelled,
        flags=tuple(sorted({*labelled.flags, *found.flags})),
        verdicts=found.verdicts,
        counts=labelled.counts + judged + flagged,
    )


def _own(slices: Sequence[Slice], labelled: Labelled, settings: Settings, done: set[tuple[str, str]]) -> Iterator[Made]:
    """Write the array, then name it."""
    yield from _written(slices, labelled, settings, done)
    for name, n in sorted(labelled.counts.items()):
        yield Count(name, n)
    yield Count("series.segmented")


def _shared(
    slices: Sequence[Slice],
    source: Sequence[Slice],
    labelled: Labelled,
    settings: Settings,
    done: set[tuple[str, str]],
) -> Iterator[Made]:
    """The mask of `source` on the grid of another series, read at the nearest voxel in the patient.

    Where the source does not reach, nobody looked: such slices have no `looked_for`, and flag ``cut_by_fov`` where it
    reaches part of them.
    """
    grid, target = grid_of(source), grid_of(slices)
    seen = acquisitions_sample.covered(grid, target)
    taken = dataclasses.replace(
        labelled,
        volume=acquisitions_sample.sampled(labelled.volume, grid, target),
        flags=tuple(sorted({*labelled.flags, "shared"})),
        fingerprint=f"{labelled.fingerprint}\0{source[0].series}",
    )
    for slice_, mask in zip(slices, _written(slices, taken, settings, done), strict=True):
        part = seen[slice_.index]
        flags = (*mask.flags, "cut_by_fov") if 0 < part < WHOLE else mask.flags
        yield dataclasses.replace(
            mask,
            shared_from=source[0].series,
            looked_for=mask.looked_for if part >= WHOLE else None,
            flags=tuple(sorted(flags)),
        )
        if part < WHOLE:
            yield Count("mask.cut_by_fov" if part else "mask.outside_fov")
    yield Count("series.shared")


def _written(
    slices: Sequence[Slice], labelled: Labelled, settings: Settings, done: set[tuple[str, str]]
) -> Iterator[Mask]:
    engine = engine_name(settings, slices[0])
    if (slices[0].series, engine) in done:
        raise UsageError(f"the stream has masks of engine {engine!r} already; give this run another --name")
    array = f"masks/{slices[0].series}-{engine.replace(':', '-')}"
    store.write_array(settings.store, array, labelled.volume)
    fingerprint = json.dumps([settings.label_options, labelled.fingerprint], sort_keys=True)
    return mask_records(
        slices,
        labelled.volume,
        engine=engine,
        array=array,
        fingerprint=hashlib.sha256(fingerprint.encode()).hexdigest(),
        looked_for=labelled.looked_for,
        flags=labelled.flags,
        verdicts=labelled.verdicts,
    )
