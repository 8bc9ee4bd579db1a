"""The totalsegmentator engine through TotalSegmentator itself, with tiny random weights and no network."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from rrg import segment, store
from rrg.anatomy import LABELS, MR_TO_UNIFIED
from rrg.errors import UsageError
from rrg.keys import load_key
from rrg.pipe import Group
from rrg.records import End, Error, Mask, Run, Slice
from rrg.segment import Settings, check, class_names
from tests.conftest import Done, Rrg
from tests.mask_cases import make_slices, masks, ras_affine, records, save_nifti, stream

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Made:
    folder: Path
    ct: list[Slice]
    plain: np.ndarray[Any, Any]
    """Values of TotalSegmentator's own run, (slices, rows, columns)."""
    done: Done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, rrg: Rrg, key_file: Path) -> Made:
    """A coronal CT, segmented by TotalSegmentator alone and by rrg, with the same weights."""
    folder, key = tmp_path_factory.mktemp("totalsegmentator"), load_key(key_file)
    hu = np.full((12, 40, 44), -1000, np.int16)
    hu[1:11, 6:34, 6:38] = 40
    hu[3:9, 12:26, 10:18] = -850
    hu += np.random.default_rng(0).integers(-20, 20, hu.shape).astype(np.int16)
    ct = make_slices(hu, folder / "store", key, "1.2.3.4.1", orientation=CORONAL, spacing=(4.0, 3.0, 3.0))
    source = save_nifti(folder / "ct.nii.gz", hu.transpose(2, 1, 0), ras_affine(ct))
    subprocess.run(
        [sys.executable, "-m", "tests.tiny_totalsegmentator", folder / "home", source, "total", folder / "out.nii.gz"],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **NO_NETWORK, "OMP_NUM_THREADS": "1"},
    )
    done = rrg(
        *("segment", stream(folder / "slices.jsonl", ct), "--store", folder / "store"),
        *("--engine", "totalsegmentator", "--weights", folder / "home/weights", "--fast", "--device", "cpu"),
        env={**NO_NETWORK, "HOME": str(folder / "empty-home"), "TMPDIR": str(folder)},
    )
    return Made(folder, ct, np.asarray(nibabel.load(folder / "out.nii.gz").dataobj).transpose(2, 1, 0), done)


def test_masks_are_those_of_totalsegmentator(made: Made) -> None:
    found = masks(made.done.stdout)
    stored = store.read_volume(made.folder / "store", found[0].array.partition("#")[0])
    assert len(np.unique(made.plain)) > 3  # the random weights say something
    assert np.array_equal(stored[:, 0], made.plain)
    assert [mask.slice for mask in found] == [slice_.id for slice_ in made.ct]
    assert {mask.engine for mask in found} == {"totalsegmentator:total-fast"}
    assert len(found[0].looked_for or ()) == 117


def test_the_stream_is_clean_and_nothing_is_left_behind(made: Made) -> None:
    read = records(made.done.stdout)  # stdout holds records only
    end, run = read[-1], [record for record in read if isinstance(record, Run)]
    assert isinstance(end, End)
    assert end.counts["mask"] == 12
    assert {name for each in run for name in each.inputs} == {"weights.total"}
    assert str(made.folder).encode() not in made.done.stdout
    assert not (made.folder / "empty-home/.totalsegmentator").exists()
    assert not list(made.folder.glob("rrg-totalsegmentator-*"))
    assert b"statistics" not in made.done.stderr


@pytest.fixture
def mr(tmp_path: Path, key_file: Path) -> list[Slice]:
    pixels = np.random.default_rng(0).integers(0, 700, (6, 20, 24)).astype(np.uint16)
    return make_slices(pixels, tmp_path / "store", load_key(key_file), "1.2.3.4.2", modality="MR")


def test_mr_values_become_our_class_ids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mr: list[Slice], made: Made
) -> None:
    names = class_names("total_mr")
    assert {value: LABELS[name].class_id for value, name in names.items()} == dict(MR_TO_UNIFIED)
    values = np.arange(24 * 20 * 6).reshape(24, 20, 6) % 51
    asked = []

    def predict(pixels: Any, affine: Any, task: str, settings: Settings) -> Any:
        asked.append((pixels.shape, np.round(affine, 6).tolist(), task))
        return values.astype(np.uint8)

    monkeypatch.setattr(segment, "predict", predict)
    monkeypatch.setattr(segment, "_weights_hash", lambda *_: "w")
    settings = Settings(engine="totalsegmentator", store=tmp_path / "store", weights=tmp_path)
    found = [each for each in segment.segment_study(Group("s", tuple(mr)), settings) if isinstance(each, Mask)]
    assert asked == [((24, 20, 6), np.round(ras_affine(mr), 6).tolist(), "total_mr")]
    assert {mask.engine for mask in found} == {"totalsegmentator:total_mr"}
    stored = store.read_volume(tmp_path / "store", found[0].array.partition("#")[0])
    expected = np.vectorize(lambda value: LABELS[names[value]].class_id if value else 0)(values)
    assert np.array_equal(stored[:, 0], expected.transpose(2, 1, 0))
    assert set(found[0].looked_for or ()) == set(names.values())
    ct_only = Settings(engine="totalsegmentator", store=tmp_path / "store", weights=tmp_path, task="total")
    assert not [each for each in segment.segment_study(Group("s", tuple(mr)), ct_only) if isinstance(each, Mask)]


def test_a_task_whose_weights_are_missing_is_told(made: Made, rrg: Rrg, mr: list[Slice], tmp_path: Path) -> None:
    weights = made.folder / "home/weights"
    done = rrg(
        *("segment", stream(tmp_path / "mr.jsonl", mr), "--store", tmp_path / "store", "--fast"),
        *("--engine", "totalsegmentator", "--weights", weights),
        code=1,
    )
    (error,) = [record for record in records(done.stdout) if isinstance(record, Error)]
    assert error.code == "E_MODEL"
    assert "Dataset852" in error.message
    with pytest.raises(UsageError, match="Dataset852"):
        check(Settings(engine="totalsegmentator", store=tmp_path, weights=weights, fast=True, task="total_mr"))


def test_our_table_names_every_class_of_both_tasks() -> None:
    ours = {label.class_id: label.name for label in LABELS.values() if label.class_id <= 117}
    assert class_names("total") == ours
    assert set(class_names("total_mr").values()) <= set(LABELS)
