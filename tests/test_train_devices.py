"""Several processes train as one: torchrun on two CPU processes, and how they find each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rrg.errors import UsageError
from rrg.train import train
from rrg.train_devices import ALONE, Devices, first_host, settings_of
from rrg.train_family import train_family
from rrg.train_family_options import Options as FamilyOptions
from rrg.train_options import Options
from tests import squares
from tests.tiny_families import make

TOLERANCE = 2e-4
"""Largest difference of a logged loss between one process and two: sums of float32 in another order."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares.make(tmp_path_factory.mktemp("squares"))


def alone(kind: str, dataset: Path, folder: Path) -> list[object]:
    """Train in this process; the options of the same run from the shell."""
    torch.set_num_threads(1)
    if kind == "tiny":
        train(dataset, folder / "run1", Options(model="tiny:test", tower_steps=10, sft_steps=10, precision="f32"))
        return ["--model", "tiny:test", "--tower-steps", 10, "--sft-steps", 10]
    base = make("llava", folder / "base")
    train_family(dataset, folder / "run1", base, FamilyOptions(steps=8, batch=4, context=600, rate=1e-3))
    words = ["--model", base, "--sft-steps", 8, "--batch", 4, "--context", 600, "--rate", "1e-3"]
    return [*words, "--fsdp"] if kind == "llava in parts" else words


@pytest.mark.parametrize("kind", ["tiny", "llava", "llava in parts"])
def test_two_processes_give_the_loss_curve_of_one(kind: str, dataset: Path, tmp_path: Path) -> None:
    options = alone(kind, dataset, tmp_path)
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
             "--rdzv-endpoint", "localhost:0", "-m", "rrg", "train"]  # fmt: skip
    words = [dataset, "--out", tmp_path / "run2", "--threads", 1, "--precision", "f32", *options]
    done = subprocess.run(
        [*start, *map(str, words)], capture_output=True, check=False, timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    lines = ((tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("run1", "run2"))
    curves = [[json.loads(line) for line in each] for each in lines]
    assert [line.keys() for line in curves[0]] == [line.keys() for line in curves[1]]
    for one, two in zip(*curves, strict=True):
        assert one["step"] == two["step"]
        for name in one.keys() - {"stage", "step"}:
            assert two[name] == pytest.approx(one[name], rel=TOLERANCE), (one, two)
    ours, theirs = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("run1", "run2"))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=2e-3) for name in ours)


def test_torchrun_and_slurm_say_who_is_who() -> None:
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "7"}
    assert settings_of(torchrun) == (Devices(3, 4, 1), "a", 7)
    slurm = {
        "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "120003",
        "SLURM_STEP_NODELIST": "gpu[03-04]",
    }  # fmt: skip
    assert settings_of(slurm) == (Devices(5, 8, 1), "gpu03", 20003)
    assert settings_of({**slurm, "MASTER_ADDR": "b", "MASTER_PORT": "9"})[1:] == ("b", 9)
    assert settings_of({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"})[0] == ALONE  # a batch script
    assert settings_of({})[0] == ALONE
    with pytest.raises(UsageError, match="'RANK' is missing"):
        settings_of({"WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    ("hosts", "first"),
    [("n1", "n1"), ("n1,n2", "n1"), ("n[1-3]", "n1"), ("gpu[007,9-11],x", "gpu007"), ("a[1-2]-ib,b", "a1-ib"),
     ("r1-c[4]", "r1-c4")],
)  # fmt: skip
def test_the_first_host_of_a_list(hosts: str, first: str) -> None:
    assert first_host(hosts) == first


def test_parts_of_a_batch_are_all_of_it() -> None:
    items = list(range(7))
    assert sorted(each for rank in range(3) for each in Devices(rank, 3).own(items)) == items
    rows = torch.arange(6)
    assert torch.equal(torch.cat([Devices(rank, 2).slice_of(rows) for rank in range(2)]), rows)
    with pytest.raises(UsageError, match="no equal parts for 4"):
        Devices(0, 4).slice_of(rows)
