"""Train tiny TotalSegmentator networks on phantoms, for a few minutes, so that their masks mean something.

``python -m tests.train_tiny_totalsegmentator WEIGHTS`` writes the networks of the tasks ``total`` and ``total_mr``,
fast and in parts: one network for each modality, whose classes are dealt out to the parts. Data go the way of
inference: TotalSegmentator's resampling to 3 mm, nnU-Net's own preprocessing and architecture.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg import store
from rrg.anatomy import LABELS
from rrg.codec import decode
from rrg.masks_grid import LPS_FROM_RAS, grid_of
from rrg.phantom_body import LESION, class_table
from rrg.records import Mask, Slice
from rrg.totalsegmentator_tasks import TASK_OF, Network, Work, networks_of
from tests.tiny_totalsegmentator import IMPORTED, UNET, Form, architecture, classes_of, number_of, plans, write_network

FORM = Form(features=(8, 16, 32, 64), patch=40, spacing_mm=6.0)
"""Sees 24 cm at once: a kidney is known by its side of the body."""
STEPS = 600
LEARNING_RATE = 1e-2
OF_A_CLASS = 0.7
"""Part of the patches that have a voxel of a random class in their middle, as in nnU-Net."""
LARGE = ("lung", "liver", "spleen", "stomach", "kidney", "heart", "urinary_bladder")
"""Classes that show at 6 mm; the others would need more than minutes."""
IGNORED = 255
"""Lesions: TotalSegmentator would call them by their organ, the truth of a phantom does not."""
HEAD = "seg_layers"
PART_STEPS = 300
"""Of the last layer of each part: what other parts know is background to it."""
UNKNOWN = -30.0
"""Logit of classes that no phantom has."""


class Volume(NamedTuple):
    """An axial series of a phantom."""

    series: str
    pixels: NDArray[Any]
    """(slices, rows, columns)."""
    truth: NDArray[np.uint8]
    """(slices, rows, columns) class ids."""
    affine: NDArray[np.float64]
    """(slice, row, column) -> mm, LPS."""


def rrg(*arguments: object) -> None:
    """One process of rrg."""
    subprocess.run([sys.executable, "-m", "rrg", *map(str, arguments)], check=True)


def phantoms(folder: Path, modality: str, studies: int, seed: int) -> tuple[Path, Path]:
    """(records, store) of made-up studies with their exact masks."""
    made, records, where = folder / "made", folder / "masks.jsonl", folder / "store"
    body = ["--modality", modality.lower(), "--slices", 48, "--size", 112, "--studies", studies, "--seed", seed]
    rrg("phantom", "--out", made, *body, "--quiet")
    rrg("extract-slices", made / "dicom", "--store", where, "--out", folder / "slices.jsonl", "--quiet")
    given = ["--engine", "masks", "--masks", made / "masks", "--labels", made / "labels.json"]
    rrg("segment", folder / "slices.jsonl", "--store", where, *given, "--out", records, "--quiet")
    return records, where


def axial_volumes(records: Path, where: Path) -> list[Volume]:
    """The axial volumes of `phantoms`, one of each study."""
    slices: dict[str, list[Slice]] = {}
    arrays: dict[str, str] = {}
    for line in records.read_bytes().splitlines():
        if line.startswith(b'{"schema":"rrg.slice/1"'):
            slice_ = decode(line, Slice)
            if (slice_.plane, slice_.role) == ("axial", "primary") and slice_.sequence in (None, "T2"):
                slices.setdefault(slice_.series, []).append(slice_)
        elif line.startswith(b'{"schema":"rrg.mask/1"'):
            mask = decode(line, Mask)
            arrays[mask.series] = mask.array.partition("#")[0]
    found = {}
    for series, own in slices.items():
        own.sort(key=lambda slice_: slice_.index)
        pixels = store.read_volume(where, own[0].pixels.partition("#")[0])
        truth = store.read_volume(where, arrays[series])[:, 0]
        found.setdefault(own[0].study, Volume(series, pixels, truth, grid_of(own).affine))
    return list(found.values())


def prepared(volume: Volume, classes: Sequence[str], plan: Mapping[str, Any], described: Any) -> tuple[Any, Any]:
    """(1, z, y, x) values and labels (0: none, then `classes`), as a network sees them."""
    import nibabel
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from totalsegmentator.alignment import as_closest_canonical
    from totalsegmentator.resampling import change_spacing

    table = np.zeros(256, np.uint8)
    for number, name in enumerate(classes, 1):
        table[LABELS[name].class_id] = number
    table[LESION] = IGNORED
    affine = LPS_FROM_RAS @ volume.affine[:, [2, 1, 0, 3]]

    def at_3_mm(values: NDArray[Any], order: int) -> NDArray[Any]:
        image = as_closest_canonical(nibabel.Nifti1Image(values.transpose(2, 1, 0).astype(np.int32), affine))
        resampled = change_spacing(image, [3.0, 3.0, 3.0], order=order, dtype=np.int32, nr_cpus=1)
        return np.asarray(resampled.dataobj).transpose(2, 1, 0)[None]

    manager = PlansManager(dict(plan))
    configuration = manager.get_configuration("3d_fullres")
    data, labels, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        at_3_mm(volume.pixels, 1).astype(np.float32),
        at_3_mm(table[volume.truth], 0).astype(np.int16),
        {"spacing": [3.0, 3.0, 3.0]},
        manager,
        configuration,
        described,
    )
    return data, np.where(labels < 0, 0, labels)


def trained(
    name: str,
    cases: Sequence[tuple[Any, Any]],
    classes: int,
    steps: int,
    seed: int,
    start: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """State of a network with `classes` outputs: cross entropy and soft Dice on random patches.

    With `start` only the last layer is trained, slowly.
    """
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from torch.nn import functional

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = get_network_from_plans(UNET, architecture(FORM.features), IMPORTED, 1, classes, deep_supervision=False)
    if start is not None:
        network.load_state_dict(dict(start))
        for key, values in network.named_parameters():
            values.requires_grad_(HEAD in key)
    rate = LEARNING_RATE if start is None else LEARNING_RATE / 3
    optimiser = torch.optim.AdamW(
        [values for values in network.parameters() if values.requires_grad], rate, weight_decay=1e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    started, losses = time.monotonic(), []
    for step in range(steps):
        data, labels = cases[int(rng.integers(len(cases)))]
        short = [max(0, FORM.patch - size) for size in data.shape[1:]]
        if any(short):
            edges = [(0, 0), *((0, each) for each in short)]
            data, labels = np.pad(data, edges), np.pad(labels, edges)
        start = _corner(labels[0], rng)
        place = (slice(None), *(slice(s, s + FORM.patch) for s in start))
        values = torch.from_numpy(np.ascontiguousarray(data[place], np.float32))[None]
        target = torch.from_numpy(np.ascontiguousarray(labels[place], np.int64))
        logits = network(values * float(rng.uniform(0.9, 1.1)) + float(rng.normal(0, 0.05)))
        known = (target != IGNORED)[:, None]
        share = torch.softmax(logits, 1) * known
        truth = functional.one_hot(target.where(known[:, 0], 0), classes).movedim(-1, 1) * known
        overlap, sizes = (share * truth).sum((0, 2, 3, 4)), (share + truth).sum((0, 2, 3, 4))
        there = truth.sum((0, 2, 3, 4)) > 0
        dice = (2 * overlap / sizes.clamp(min=1))[there].mean()
        loss = functional.cross_entropy(logits, target, ignore_index=IGNORED) + 1 - dice
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            seconds = time.monotonic() - started
            print(
                f"{name}: step {step + 1} of {steps}, loss {np.mean(losses[-50:]):.3f}, {seconds:.0f} s",
                file=sys.stderr,
            )
    return dict(network.state_dict())


def _corner(labels: NDArray[Any], rng: np.random.Generator) -> list[int]:
    """Lowest corner of a patch."""
    room = [size - FORM.patch for size in labels.shape]
    there = [value for value in np.unique(labels) if 0 < value < IGNORED]
    if not there or rng.random() > OF_A_CLASS:
        return [int(rng.integers(0, each + 1)) for each in room]
    places = np.argwhere(labels == rng.choice(there))
    middle = places[int(rng.integers(len(places)))]
    return [int(np.clip(at - FORM.patch // 2, 0, each)) for at, each in zip(middle, room, strict=True)]


def dealt(state: Mapping[str, Any], classes: Sequence[str], network: Network) -> dict[str, Any]:
    """The state for a network with other outputs: those of `classes` that it has; all others never win."""
    import torch

    rows = {0: 0} | {
        value: classes.index(name) + 1 for value, name in classes_of(number_of(network)).items() if name in classes
    }
    dealt_out: dict[str, Any] = {}
    for name, values in state.items():
        if HEAD not in name:
            dealt_out[name] = values
            continue
        heads = 1 + max(classes_of(number_of(network)))
        fresh = torch.full((heads, *values.shape[1:]), UNKNOWN if name.endswith("bias") else 0.0)
        for value, row in rows.items():
            fresh[value] = values[row]
        dealt_out[name] = fresh
    return dealt_out


def train(weights: Path, modality: str, steps: int = STEPS, studies: int = 16, seed: int = 0) -> None:
    """Networks of ``total`` (CT) or ``total_mr`` (MR), fast, in parts and rough, in `weights`."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    classes = sorted(name for name in class_table(modality) if name.startswith(LARGE))
    task = TASK_OF[modality]
    plan = plans("phantoms", modality == "CT", FORM)
    described = {"channel_names": {"0": modality}, "labels": {"background": 0, "rest": 1}, "file_ending": ".nii.gz"}
    with tempfile.TemporaryDirectory() as folder:
        records, where = phantoms(Path(folder), modality, studies, seed)
        cases = [prepared(volume, classes, plan, described) for volume in axial_volumes(records, where)]
    state = trained(modality, cases, len(classes) + 1, steps, seed)
    for work in (Work(task, fast=True), Work(task), Work(task, roi_subset=("liver",))):
        networks = networks_of(work)
        for network in networks:
            own = [name for name in classes if name in classes_of(number_of(network)).values()]
            known = state if len(own) in (0, len(classes)) else _part(network, state, cases, classes, own, steps, seed)
            write_network(weights, network, FORM, dealt(known, own or classes, network))


def _part(
    network: Network,
    state: Mapping[str, Any],
    cases: Sequence[tuple[Any, Any]],
    classes: Sequence[str],
    own: Sequence[str],
    steps: int,
    seed: int,
) -> dict[str, Any]:
    """The state of a network that knows some of the classes."""
    table = np.zeros(256, np.uint8)
    table[IGNORED] = IGNORED
    for number, name in enumerate(own, 1):
        table[classes.index(name) + 1] = number
    seen = [(data, table[labels.astype(np.uint8)]) for data, labels in cases]
    rows = [0, *(classes.index(name) + 1 for name in own)]
    start = {name: values[rows] if HEAD in name else values for name, values in state.items()}
    return trained(f"part {number_of(network)}", seen, len(own) + 1, max(1, PART_STEPS * steps // STEPS), seed, start)


def dice(records: Path, where: Path, engine: str, truth: Path) -> dict[str, float]:
    """Dice of each class that the truth has, over all axial slices of all volumes, of the masks of `engine`."""
    own = {}
    for line in records.read_bytes().splitlines():
        if line.startswith(b'{"schema":"rrg.mask/1"') and f'"engine":"{engine}'.encode() in line:
            mask = decode(line, Mask)
            own[mask.series] = mask.array.partition("#")[0]
    both: dict[int, int] = {}
    either: dict[int, int] = {}
    for volume in axial_volumes(truth, where):
        found = store.read_volume(where, own[volume.series])[:, 0]
        lesion = volume.truth == LESION
        for value in np.unique(volume.truth[(volume.truth > 0) & ~lesion]):
            a, b = (found == value) & ~lesion, volume.truth == value
            both[int(value)] = both.get(int(value), 0) + int((a & b).sum())
            either[int(value)] = either.get(int(value), 0) + int(a.sum() + b.sum())
    names = {label.class_id: label.name for label in LABELS.values()}
    return {names[value]: 2 * both[value] / either[value] for value in sorted(both)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tiny TotalSegmentator networks, trained on phantoms.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--modality", choices=("CT", "MR"), action="append")
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    for each in given.modality or ("CT", "MR"):
        train(given.weights, each, given.steps)
    print(json.dumps(sorted(path.name for path in given.weights.iterdir())))
