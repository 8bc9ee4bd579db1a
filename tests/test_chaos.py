"""One process of the data pipe is killed at a random instant; the same command with --resume ends as if nothing was."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS, STAGES, Chaos
from tests.conftest import Rrg

RECIPE = Path(__file__).parents[1] / "examples" / "recipes" / "phantom.toml"


def data_recipe(folder: Path, phantom: Path) -> Path:
    """The data side of the demo's recipe: everything before training."""
    text = RECIPE.read_text()
    assert '[[stage]]\nrun = "train"' in text
    recipe = folder / "data.toml"
    recipe.write_text(text.partition('[[stage]]\nrun = "train"')[0].replace('"demo-out/phantom"', f'"{phantom}"'))
    return recipe


def digest(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory, rrg: Rrg) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "ph"
    rrg("phantom", "--out", folder, "--studies", 8, "--slices", 10, "--size", 96)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, rrg: Rrg, phantom: Path) -> Path:
    """A folder in which the data side was run."""
    folder = tmp_path_factory.mktemp("whole")
    rrg("pipeline", data_recipe(folder, phantom), "--work", "work", "--set", "out=o", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def whole(finished: Path) -> dict[str, str]:
    return digest(finished / "o" / "dataset")


def stages_of(process: "subprocess.Popen[bytes]") -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def kill_once(folder: Path, phantom: Path, key_file: Path, rng: random.Random, number: int) -> bool:
    """Run the pipe, send `number` to one of its processes after a random delay; True when that broke it."""
    env = {**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1", "RRG_QUIET": "1"}
    command = [sys.executable, "-m", "rrg", "pipeline", str(data_recipe(folder, phantom)), "--work", "work"]
    command += ["--set", "out=o", "--resume"]
    process = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE)
    time.sleep(rng.uniform(0.2, 3.0))
    if victims := stages_of(process):
        os.kill(rng.choice(victims), number)
    _, said = process.communicate(timeout=300)
    if process.returncode:
        assert b"Traceback" not in said, said.decode()
        assert not (folder / "o" / "dataset" / "manifest.json").exists(), "a broken pipe ended as a data set"
    return process.returncode != 0


def chaos(folder: Path, phantom: Path, key_file: Path, whole: dict[str, str], kills: int) -> int:
    """Kill until `kills` kills broke the pipe, or it got through; then let it end. Returns how many broke it."""
    folder.mkdir(exist_ok=True)
    rng = random.Random(kills)
    broken = 0
    while broken < kills and kill_once(folder, phantom, key_file, rng, rng.choice([signal.SIGKILL, signal.SIGTERM])):
        broken += 1
    env = {**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rrg", "pipeline", str(data_recipe(folder, phantom)), "--work", "work"]
    subprocess.run([*command, "--set", "out=o", "--resume"], cwd=folder, env=env, check=True, timeout=300)
    assert digest(folder / "o" / "dataset") == whole
    return broken


def test_a_pipe_broken_in_the_middle_resumes_to_the_same_data_set(
    tmp_path: Path, phantom: Path, key_file: Path, whole: dict[str, str]
) -> None:
    """A kill may come when its process is done already; then another pipe is tried."""
    tries = (chaos(tmp_path / str(seed), phantom, key_file, whole, kills=seed) for seed in range(2, 8))
    assert any(tries)


def test_a_changed_recipe_makes_its_data_set_anew(rrg: Rrg, finished: Path, whole: dict[str, str]) -> None:
    """Also of a part of it. A folder that the pipeline did not make, or that is no longer as it was made, stays."""
    recipe, dataset = finished / "data.toml", finished / "o" / "dataset"
    given = ["pipeline", recipe, "--work", "work", "--set", "out=o"]
    first = recipe.read_text()
    recipe.write_text(first.replace("phantom = true", 'phantom = true\nsplit = "50,30,20"'))
    rrg(*given, cwd=finished)
    assert digest(dataset) != whole
    recipe.write_text(first)
    rrg(*given, "--from", "pack", cwd=finished)
    assert digest(dataset) == whole
    assert sorted(path.name for path in dataset.parent.iterdir()) == ["dataset", "store"]
    (dataset / "manifest.json").write_text((dataset / "manifest.json").read_text() + " ")
    assert b"is there already" in rrg(*given, "--from", "pack", "--again", cwd=finished, code=1).stderr


def test_twenty_faults_and_the_same_bytes(tmp_path: Path, key_file: Path) -> None:
    """kill -9, SIGTERM, SIGUSR1, full disk, read-only folder, two writers: each stage in turn (make chaos: 200)."""
    chaos_ = Chaos(tmp_path, key_file)
    chaos_.prepare()
    rng = random.Random(0)
    stages = sorted(STAGES)
    hit = [chaos_.hit(stages[n % len(stages)], FAULTS[n % len(FAULTS)], rng) for n in range(20)]
    assert sum(hit) >= 10, "faults that come too late prove nothing"


@pytest.mark.chaos
def test_many_kills_one_data_set(
    tmp_path_factory: pytest.TempPathFactory, phantom: Path, key_file: Path, whole: dict[str, str]
) -> None:
    broken = sum(chaos(tmp_path_factory.mktemp("c"), phantom, key_file, whole, kills=k % 4 + 1) for k in range(10))
    print(f"{broken} kills, all data sets identical")
    assert broken >= 10
