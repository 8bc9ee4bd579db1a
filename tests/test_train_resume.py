"""Training that is killed goes on where it was: the same loss curve and weights to the bit. Real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rrg.errors import RrgError, UsageError
from rrg.provenance import make_run
from rrg.train import train
from rrg.train_checkpoint import Checkpoints, Stop
from rrg.train_family import train_family
from rrg.train_family_options import Options as FamilyOptions
from rrg.train_options import Options, Running
from rrg.train_state import Draws, Weights, read_state, write_state
from tests import squares
from tests.tiny_families import make

EVERY = 3
"""Steps between two checkpoints."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return squares.make(tmp_path_factory.mktemp("squares"))


def tiny(dataset: Path, folder: Path) -> list[object]:
    """Train in this process to the end, as nobody kills it; the options of the same run from the shell."""
    options = Options(model="tiny:test", tower_steps=8, sft_steps=30, precision="f32")
    train(dataset, folder / "whole", options, running=Running(save_every=EVERY, sample_every=12))
    return ["--model", "tiny:test", "--tower-steps", 8, "--sft-steps", 30, "--sample-every", 12]


def llava(dataset: Path, folder: Path) -> list[object]:
    """The same with a model folder: LoRA with dropout, pictures that move."""
    base = make("llava", folder / "base")
    options = FamilyOptions(
        stages=("align", "sft"), steps=8, batch=2, context=600, peft="lora", lora_rank=4, lora_dropout=0.1,
        augment=("shift", "scale", "rotate", "intensity"),
    )  # fmt: skip
    train_family(dataset, folder / "whole", base, options, Running(save_every=EVERY))
    words = ["--model", base, "--stages", "align,sft", "--sft-steps", 8, "--batch", 2, "--context", 600]
    words += ["--peft", "lora", "--lora-rank", 4, "--lora-dropout", 0.1, "--augment", "shift,scale,rotate,intensity"]
    return words


def start(dataset: Path, out: Path, *options: object) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "rrg", "train", dataset, "--out", out, "--save-every", EVERY, "--threads", 1]
    words += ["--precision", "f32", *options]
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
    if number != signal.SIGKILL:
        process.send_signal(signal.SIGTERM)  # as a pipeline does when Ctrl-C has reached its stages too: one stop


def folder_bytes(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft, not us
@pytest.mark.parametrize(
    ("whole", "first", "number"), [(tiny, "tower", signal.SIGTERM), (llava, "align", signal.SIGUSR1)]
)
def test_killed_and_resumed_is_as_never_killed(
    whole: Callable[[Path, Path], list[object]], first: str, number: int, dataset: Path, tmp_path: Path
) -> None:
    """kill -9 in one stage, a signal in the next; then every file of the run folder has the same bytes."""
    options = whole(dataset, tmp_path)
    out = tmp_path / "cut"
    process = start(dataset, out, *options)
    stopped_at(process, out, first, signal.SIGKILL)
    process.communicate()
    assert not out.exists()
    process = start(dataset, out, *options, "--resume")
    stopped_at(process, out, "sft", number)
    said = ended(process, 75)
    assert f"{first}: going on at step" in said or f"{first}: finished before" in said
    assert re.search(r"stopped; sft is saved at step \d+, go on with --resume", said)
    assert not out.exists()
    ended(start(dataset, out, *options, "--resume"), 0)
    ours, theirs = folder_bytes(out), folder_bytes(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert not list(tmp_path.glob(".cut*"))


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    parts = {"weights": Weights(torch.nn.Linear(2, 2))}
    ours, other = (make_run("train", {"rate": rate, "batch": 4}) for rate in (0.1, 0.2))
    steps = Checkpoints(tmp_path / "run", ours, Stop(), every=1).steps("sft", 5, parts)
    assert [next(steps) for _ in range(3)] == [0, 1, 2]
    again = Checkpoints(tmp_path / "run", ours, Stop(), resume=True).steps("sft", 5, parts)
    assert next(again) == 2
    with pytest.raises(UsageError, match=r"other options or data \(rate\)"):
        Checkpoints(tmp_path / "run", other, Stop(), resume=True)
    assert next(Checkpoints(tmp_path / "run", other, Stop()).steps("sft", 5, parts)) == 0  # emptied without --resume


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    parts = {"weights": Weights(torch.nn.Linear(2, 2))}
    run = make_run("train", {})
    steps = Checkpoints(tmp_path / "run", run, Stop(), every=1).steps("sft", 9, parts)
    assert [next(steps) for _ in range(5)] == [0, 1, 2, 3, 4]
    files = sorted((tmp_path / ".run.stages").glob("sft-*"))
    assert [file.name for file in files] == ["sft-000000003.safetensors", "sft-000000004.safetensors"]
    files[-1].write_bytes(files[-1].read_bytes()[:-9])
    assert next(Checkpoints(tmp_path / "run", run, Stop(), resume=True).steps("sft", 9, parts)) == 3


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
