"""The totalsegmentator engine through TotalSegmentator itself, with tiny random weights and no network.

The reference is ``totalsegmentator.python_api.totalsegmentator`` in a process without rrg. It is started first and
looked at by the last tests of this file.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from rrg import store, totalsegmentator
from rrg.anatomy import LABELS, MR_TO_UNIFIED
from rrg.errors import RecordError, UsageError
from rrg.keys import load_key
from rrg.masks_grid import grid_of
from rrg.pipe import Group
from rrg.records import End, Error, Mask, Run, Slice
from rrg.segment import check, segment_study
from rrg.segment_engines import Settings
from rrg.totalsegmentator_tasks import (
    Work,
    class_names,
    labels_of,
    licensed_tasks,
    modality_of,
    networks_of,
    subset_of,
    tasks,
)
from rrg.totalsegmentator_weights import CHECKPOINT, defects, weights_hash
from tests.conftest import Rrg
from tests.mask_cases import make_slices, masks, ras_affine, records, save_nifti, stream
from tests.tiny_totalsegmentator import Job, make_weights

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "CUDA_VISIBLE_DEVICES": ""}
SUBSET = tuple(name for value, name in class_names("total").items() if value < 25)
"""Classes of one part of five; TotalSegmentator finds the region of random networks in so many."""
WORKS = {
    "ct": [Work("total", fast=True), Work("total"), Work("total", roi_subset=SUBSET)],
    "mr": [Work("total_mr", fast=True), Work("total_mr")],
}


@dataclass(frozen=True)
class Made:
    folder: Path
    weights: Path
    volumes: dict[str, list[Slice]]
    reference: "subprocess.Popen[bytes]"

    def settings(self, **options: Any) -> Settings:
        given = Settings(engine="totalsegmentator", store=self.folder / "store", weights=self.weights, device="cpu")
        return check(
            Settings(**{**{f: getattr(given, f) for f in ("engine", "store", "weights", "device")}, **options})
        )[0]


def target(folder: Path, name: str, work: Work) -> Path:
    """Where the reference writes."""
    parts = [name, work.task, "fast" if work.fast else "full", "some" if work.roi_subset else "all"]
    return folder / f"{'-'.join(parts)}.nii.gz"


def scanned(seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    hu = np.full((12, 40, 44), -1000, np.int16)
    hu[1:11, 6:34, 6:38] = 40
    hu[3:9, 12:26, 10 + seed : 18 + seed] = -850
    return hu + rng.integers(-20, 20, hu.shape).astype(np.int16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key_file: Path) -> Iterator[Made]:
    """A coronal CT, another CT, an axial MR; networks; and the reference at work."""
    folder, key = tmp_path_factory.mktemp("totalsegmentator"), load_key(key_file)
    weights = make_weights(folder / "weights", *(work for works in WORKS.values() for work in works))
    where = folder / "store"
    mr = (scanned(2) + 1000).astype(np.uint16)
    volumes = {
        "ct": make_slices(scanned(0), where, key, "1.2.3.4.1", orientation=CORONAL, spacing=(4.0, 3.0, 3.0)),
        "other": make_slices(scanned(5), where, key, "1.2.3.5.1", study="1.2.3.5", spacing=(4.0, 3.0, 3.2)),
        "mr": make_slices(mr, where, key, "1.2.3.6.1", study="1.2.3.6", modality="MR", spacing=(3.0, 3.0, 3.0)),
    }
    for name, slices in volumes.items():
        pixels = store.read_volume(where, slices[0].pixels.partition("#")[0])
        save_nifti(folder / f"{name}.nii.gz", pixels.transpose(2, 1, 0), ras_affine(slices))
    jobs = [
        Job(f"{folder / name}.nii.gz", str(target(folder, name, work)), work.task, work.fast, _list(work.roi_subset))
        for name, works in WORKS.items()
        for work in works
    ]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    with (folder / "loaded.json").open("wb") as out, (folder / "errors").open("wb") as errors:
        reference = subprocess.Popen(
            [sys.executable, "-m", "tests.tiny_totalsegmentator", weights, folder / "jobs.json", "--forkserver"],
            stdout=out,
            stderr=errors,
            cwd=Path(__file__).parents[1],
            env={**os.environ, **OFFLINE, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    yield Made(folder, weights, volumes, reference)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(reference.pid, signal.SIGKILL)  # with its processes
    reference.wait()
    totalsegmentator._stop()


def _list(subset: tuple[str, ...] | None) -> list[str] | None:
    return None if subset is None else list(subset)


# --- tasks and weights: nothing is started


def test_our_table_names_every_class_of_both_tasks() -> None:
    ours = {label.class_id: label.name for label in LABELS.values() if label.class_id <= 117}
    assert class_names("total") == ours
    assert {value: LABELS[name].class_id for value, name in labels_of("total_mr").items()} == dict(MR_TO_UNIFIED)


def test_tasks_are_those_that_can_be_run_and_mean_something_here() -> None:
    assert {"total", "total_mr", "body", "lung_vessels", "liver_lesions", "kidney_cysts"} <= set(tasks())
    assert not set(tasks()) & {*licensed_tasks(), "test", "total_highres_test"}
    assert {modality_of("vertebrae_mr"), modality_of("body")} == {"MR", "CT"}
    assert set(labels_of("lung_vessels").values()) == {"airways"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"task": "heartchambers_highres"}, ["licence", "brain_structures", "total_mr"]),
        ({"task": "nose"}, ["no such task", "lung_vessels"]),
        ({"task": "teeth"}, ["no label|has a label for none"]),
        ({"task": "lung_vessels"}, ["task lung_vessels: Dataset117_"]),
        ({"task": "lung_nodules", "fast": True}, ["leave --fast out"]),
        ({"task": "body", "roi_subset": ("body",)}, ["no subsets"]),
        ({"roi_subset": ("livr",)}, ["livr", "did you mean liver"]),
        ({"roi_subset": ()}, ["no name"]),
    ],
)
def test_what_can_not_work_is_told_before_anything_starts(made: Made, options: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        made.settings(**options)
    assert all(any(part in str(refused.value) for part in said.split("|")) for said in says), refused.value


def test_a_subset_is_named_by_their_names_or_ours() -> None:
    assert subset_of("total", ["spleen", "liver"]) == ("spleen", "liver")
    assert subset_of("total", ["lung_left"]) == ()  # total has lobes only
    assert subset_of("total_mr", ["lung_left", "Liver"]) == ("liver", "lung_left")
    parts = [network.folder[:10] for network in networks_of(Work("total", roi_subset=("liver", "rib_left_1")))]
    assert parts == ["Dataset298", "Dataset291", "Dataset295"]


def damaged(made: Made, folder: Path, damage: str) -> Path:
    shutil.copytree(made.weights, folder)
    (network,) = networks_of(Work("total", fast=True))
    trained = folder / network.folder
    checkpoint = trained / "fold_0" / CHECKPOINT
    match damage:
        case "no trainer":
            trained.rename(trained.with_name("nnUNetTrainer__nnUNetPlans__3d_fullres"))
        case "no plans":
            (trained / "plans.json").unlink()
        case "cut plans":
            (trained / "plans.json").write_bytes((trained / "plans.json").read_bytes()[:100])
        case "other plans":
            (trained / "plans.json").write_text('{"configurations": {"2d": {}}}')
        case "no labels":
            (trained / "dataset.json").write_text("[]")
        case "no fold":
            shutil.rmtree(trained / "fold_0")
        case "cut checkpoint":
            checkpoint.write_bytes(checkpoint.read_bytes()[:-200])
    return folder


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            "no trainer",
            "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres: missing; seen in its place: nnUNet",
        ),
        ("no plans", "plans.json: missing"),
        ("cut plans", "plans.json: no JSON"),
        ("other plans", "plans.json: no configuration 3d_fullres (seen: 2d)"),
        ("no labels", "dataset.json: no labels"),
        ("no fold", "fold_0/checkpoint_final.pth: missing"),
        ("cut checkpoint", "checkpoint_final.pth: no PyTorch checkpoint"),
    ],
)
def test_damaged_weights_are_found_before_anything_starts(made: Made, tmp_path: Path, damage: str, says: str) -> None:
    weights = damaged(made, tmp_path / "weights", damage)
    with pytest.raises(UsageError) as refused:
        made.settings(weights=weights, fast=True, task="total")
    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(UsageError):  # MR weights that are there do not hide it
        made.settings(weights=weights, fast=True)


def test_each_defect_has_a_line_and_other_folds_do_not_count(made: Made, tmp_path: Path) -> None:
    weights = shutil.copytree(made.weights, tmp_path / "weights")
    networks = networks_of(Work("total"))
    before = weights_hash(weights, networks)
    (weights / networks[0].folder / "fold_3").mkdir()
    (weights / networks[0].folder / "progress.png").write_bytes(b"x")
    assert weights_hash(weights, networks) == before
    (weights / networks[0].folder / "plans.json").unlink()
    shutil.rmtree(weights / networks[1].folder / "fold_0")
    shutil.rmtree((weights / networks[4].folder).parent)
    with pytest.raises(UsageError) as refused:
        made.settings(weights=weights, task="total")
    assert [line.split(":")[1].split("/")[0].split("_")[0].strip() for line in str(refused.value).splitlines()] == [
        "Dataset291",
        "Dataset292",
        "Dataset295",
    ]
    assert not [fault for network in networks[2:4] for fault in defects(weights, network)]


def test_weights_of_one_modality_are_enough_and_the_other_is_told(made: Made, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    for network in networks_of(Work("total", fast=True)):
        shutil.copytree(made.weights / network.folder, weights / network.folder)
    settings = made.settings(weights=weights, fast=True)
    (error,) = segment_study(Group("s", tuple(made.volumes["mr"])), settings)
    assert isinstance(error, Error)
    assert error.code == "E_MODEL"
    assert "Dataset852" in error.message
    assert not [
        m
        for m in segment_study(Group("s", tuple(made.volumes["mr"])), made.settings(task="total", fast=True))
        if isinstance(m, Mask)
    ]
    with pytest.raises(UsageError, match="task total_mr: Dataset852"):
        made.settings(weights=weights, fast=True, roi_subset=("lung_left",))  # a class of MR only


# --- processes of rrg


def test_same_bytes_with_two_workers_after_a_kill_and_nothing_is_left_behind(made: Made, rrg: Rrg) -> None:
    folder, slices = made.folder, [slice_ for volume in made.volumes.values() for slice_ in volume]
    source, temporary = stream(folder / "slices.jsonl", slices), folder / "tmp"
    temporary.mkdir()
    arguments = ["segment", source, "--engine", "totalsegmentator", "--weights", made.weights, "--fast"]
    env = {**OFFLINE, "HOME": str(folder / "empty-home"), "TMPDIR": str(temporary)}
    where = ["--store", folder / "store"]
    done = rrg(*arguments, *where, env=env)
    read = records(done.stdout)  # stdout holds records only
    end = read[-1]
    assert isinstance(end, End)
    assert {name: n for name, n in end.counts.items() if "series" in name or name in ("mask", "error")} == {
        "mask": 36,
        "series.segmented": 3,
    }
    assert {name for each in read if isinstance(each, Run) for name in each.inputs} == {
        "weights.total",
        "weights.total_mr",
    }
    assert {mask.engine for mask in masks(done.stdout)} == {
        "totalsegmentator:total-fast",
        "totalsegmentator:total_mr-fast",
    }
    assert str(folder).encode() not in done.stdout
    said = done.stderr.decode().splitlines()
    assert [line for line in said if "3 volumes in" in line], said
    assert all(line.startswith("rrg segment: ") for line in said), said

    again = [*arguments, *where, "--out", folder / "again.jsonl", "--workers", "2", "--resume"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "rrg", *map(str, again)],
        env={**os.environ, **env, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    journal = folder / "again.jsonl.journal"
    while killed.poll() is None and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (folder / "again.jsonl").exists()
    rrg(*again, env=env)
    assert (folder / "again.jsonl").read_bytes() == done.stdout
    assert not (folder / "empty-home/.totalsegmentator").exists()
    for name in temporary.iterdir():  # of the killed run: the next one removes it when it is old
        os.utime(name, (0, 0))
    made.settings(fast=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(totalsegmentator.tempfile, "gettempdir", lambda: str(temporary))
        totalsegmentator._sweep()
    assert [name.name for name in temporary.iterdir() if name.name.startswith("rrg-")] == []


# --- one volume that goes wrong


def asked(made: Made, name: str, work: Work, timeout_s: float | None = None) -> np.ndarray[Any, Any]:
    slices = made.volumes[name]
    pixels = store.read_volume(made.folder / "store", slices[0].pixels.partition("#")[0])
    affine = grid_of(slices).affine
    return totalsegmentator.predict(pixels, affine, work, made.weights, device="cpu", timeout_s=timeout_s)


def test_a_volume_that_takes_too_long_or_kills_the_process_costs_itself_only(made: Made) -> None:
    work = Work("total", fast=True)
    first = asked(made, "other", work)
    child = totalsegmentator._child
    assert child is not None
    asked(made, "ct", work)
    assert totalsegmentator._child is child  # loaded once

    os.kill(child.process.pid, signal.SIGSTOP)
    with pytest.raises(RecordError, match=r"longer than 0.3 s.*--timeout") as slow:
        asked(made, "ct", work, timeout_s=0.3)
    assert slow.value.code == "E_MODEL"
    assert child.process.poll() is not None
    assert np.array_equal(asked(made, "other", work, timeout_s=600), first)

    child = totalsegmentator._child
    assert child is not None
    os.kill(child.process.pid, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, [child.process.pid, signal.SIGKILL]).start()
    settings = made.settings(fast=True)
    two = Group("s", tuple(made.volumes["ct"] + made.volumes["other"]))
    found = list(segment_study(two, settings))
    errors = [each for each in found if isinstance(each, Error)]
    assert [(error.code, error.source) for error in errors] == [("E_MEMORY", made.volumes["ct"][0].series)]
    assert {mask.series for mask in found if isinstance(mask, Mask)} == {made.volumes["other"][0].series}


def test_an_exception_inside_is_told_without_its_text(made: Made) -> None:
    with pytest.raises(RecordError, match=r"failed on 12x40x44 voxels: \w+ in \w+\.py:\d+") as failed:
        asked(made, "ct", Work("total", roi_subset=("no such class",)))
    assert "no such class" not in failed.value.message


def test_homes_of_killed_processes_are_removed_and_those_in_use_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totalsegmentator.tempfile, "tempdir", str(tmp_path))
    old, new, other = (tmp_path / name for name in ("rrg-totalsegmentator-1", "rrg-totalsegmentator-2", "other"))
    for path in (old, new, other):
        path.mkdir()
    for path in (old, other):
        os.utime(path, (0, 0))
    with totalsegmentator._home() as held:
        os.utime(held, (0, 0))
        totalsegmentator._sweep()
        assert {path.name for path in tmp_path.iterdir()} == {new.name, other.name, held.name}
        assert json.loads((held / "config.json").read_text())["send_usage_stats"] is False
    assert not held.exists()


# --- against the plain API


@pytest.fixture(scope="module")
def loaded(made: Made) -> dict[str, list[str]]:
    """Networks that the plain API loaded, by target."""
    assert made.reference.wait(600) == 0, (made.folder / "errors").read_text()[-2000:]
    found: dict[str, list[str]] = json.loads((made.folder / "loaded.json").read_text().splitlines()[-1])
    return found


CASES = [(name, work) for name, works in WORKS.items() for work in works]


@pytest.mark.parametrize(("name", "work"), CASES, ids=[f"{n}-{w.task}-{w.fast}-{bool(w.roi_subset)}" for n, w in CASES])
def test_masks_are_those_of_the_plain_api(made: Made, loaded: dict[str, list[str]], name: str, work: Work) -> None:
    plain = np.asarray(nibabel.load(target(made.folder, name, work)).dataobj).transpose(2, 1, 0)
    assert len(np.unique(plain)) > 3  # the random networks say something
    slices, settings = made.volumes[name], made.settings(fast=work.fast, roi_subset=work.roi_subset)
    with contextlib.closing(segment_study(Group("s", tuple(slices)), settings)) as found:
        made_masks = [each for each in found if isinstance(each, Mask)]
    stored = store.read_volume(settings.store, made_masks[0].array.partition("#")[0])
    labels = labels_of(work.task)
    unified = np.vectorize(lambda value: LABELS[labels[value]].class_id if value else 0)(plain)
    assert np.array_equal(stored[:, 0], unified)
    assert [mask.slice for mask in made_masks] == [slice_.id for slice_ in slices]
    assert set(made_masks[0].looked_for or ()) == set(work.roi_subset or labels.values())
    assert [network.folder for network in networks_of(work)] == loaded[str(target(made.folder, name, work))]
