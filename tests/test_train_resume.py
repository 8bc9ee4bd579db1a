"""Training that is killed goes on where it was: the same loss curve and weights to the bit. Real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rrg.errors import RrgError
from rrg.train_state import Draws, Weights, read_state, write_state
from tests import squares
from tests.tiny_families import make

TINY = ("--model", "tiny:test", "--tower-steps", 14, "--sft-steps", 30, "--sample-every", 12)
ALL = ("--save-every", 4, "--threads", 1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares.make(tmp_path_factory.mktemp("squares"))


def family(folder: Path) -> tuple[object, ...]:
    base = make("llava", folder / "base")
    return ("--model", base, "--stages", "align,sft", "--sft-steps", 9, "--batch", 2, "--context", 600,
            "--peft", "lora", "--lora-rank", 4, "--lora-dropout", 0.1,
            "--augment", "shift,scale,rotate,intensity")  # fmt: skip


def start(dataset: Path, out: Path, *options: object) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "rrg", "train", dataset, "--out", out, *ALL, *options]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, env=env)


def ended(process: "subprocess.Popen[bytes]", code: int) -> str:
    said = process.communicate(timeout=900)[1].decode()
    assert process.returncode == code, said[-2000:]
    return said


def stopped_at(process: "subprocess.Popen[bytes]", out: Path, stage: str, number: int) -> None:
    """Send a signal as soon as a checkpoint of the stage is there."""
    stages = out.with_name(f".{out.name}.stages")
    while not list(stages.glob(f"{stage}-*.safetensors")):
        assert process.poll() is None, process.communicate()[1].decode()[-2000:]
        time.sleep(0.005)
    process.send_signal(number)


def folder_bytes(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", ["tiny", "llava"])
def test_killed_and_resumed_is_as_never_killed(kind: str, dataset: Path, tmp_path: Path) -> None:
    """kill -9 in one stage, SIGTERM in the next; then every file of the run folder has the same bytes."""
    options = TINY if kind == "tiny" else family(tmp_path)
    first, second = ("tower", "sft") if kind == "tiny" else ("align", "sft")
    whole = start(dataset, tmp_path / "whole", *options)
    out = tmp_path / "cut"
    process = start(dataset, out, *options)
    stopped_at(process, out, first, signal.SIGKILL)
    process.communicate()
    assert not out.exists()
    process = start(dataset, out, *options, "--resume")
    stopped_at(process, out, second, signal.SIGTERM)
    said = ended(process, 75)
    assert f"{first}: going on at step" in said or f"{first}: finished before" in said
    assert f"{second} is saved at step" in said
    assert not out.exists()
    ended(start(dataset, out, *options, "--resume"), 0)
    ended(whole, 0)
    ours, theirs = folder_bytes(out), folder_bytes(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert not list(tmp_path.glob(".cut*"))


def test_another_run_is_not_gone_on_with(dataset: Path, tmp_path: Path) -> None:
    process = start(dataset, tmp_path / "run", *TINY)
    stopped_at(process, tmp_path / "run", "tower", signal.SIGUSR1)
    ended(process, 75)
    said = ended(start(dataset, tmp_path / "run", *TINY, "--rate", "1e-4", "--resume"), 2)
    assert "other options or data (sft_rate)" in said


def test_states_come_back_with_types_and_bits(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    state = {
        "a": [torch.randn(3, 2), (1, 2.5, None, True, "x")],
        3: {"b": torch.tensor(1.5, dtype=torch.bfloat16), "rng": Draws(generator).state_dict()},
        "view": torch.arange(10)[2:4], "inf": float("inf"), "tiny": 0.1 + 0.2,
    }  # fmt: skip
    write_state(tmp_path / "s.safetensors", state)
    back = read_state(tmp_path / "s.safetensors")
    assert back["a"][1] == state["a"][1]
    assert torch.equal(back["a"][0], state["a"][0])
    assert torch.equal(back[3]["b"], state[3]["b"])
    assert back[3]["b"].dtype == torch.bfloat16
    assert back["view"].tolist() == [2, 3]
    assert (back["inf"], back["tiny"]) == (float("inf"), 0.1 + 0.2)
    drawn = torch.rand(4, generator=generator)
    Draws(generator).load_state_dict(back[3]["rng"])
    assert torch.equal(torch.rand(4, generator=generator), drawn)
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    write_state(path, {"weights": torch.randn(100)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RrgError, match=r"s\.safetensors is damaged"):
        read_state(path)


def test_weights_of_another_model_are_refused() -> None:
    held = Weights(torch.nn.Linear(3, 4)).state_dict()
    with pytest.raises(RrgError, match="E_CHECKPOINT"):
        Weights(torch.nn.Linear(3, 5)).load_state_dict(held)
