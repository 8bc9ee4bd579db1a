"""What stands in examples/ and docs/first-hour.md runs as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import Rrg

ROOT = Path(__file__).parents[1]
NEEDS_JQ = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


@pytest.fixture
def environment(tmp_path: Path, key_file: Path) -> Mapping[str, str]:
    """With `rrg` on the PATH."""
    program = tmp_path / "bin"
    program.mkdir()
    (program / "rrg").write_text(f'#!/bin/sh\nexec {sys.executable} -m rrg "$@"\n')
    (program / "rrg").chmod(0o755)
    path = f"{program}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1"}


def run(words: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(words, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-800:]}\n{done.stderr[-1500:]}"
    return done.stdout


@NEEDS_JQ
def test_the_pipe_with_jq(tmp_path: Path, environment: Mapping[str, str]) -> None:
    said = run([str(ROOT / "examples" / "pipe.sh"), "o"], tmp_path, environment)
    assert "a question:" in said
    lines = [json.loads(line) for line in (tmp_path / "o/dataset/train.jsonl").read_text().splitlines()]
    slices = [line for line in lines if line["schema"] == "rrg.slice/1"]
    assert {line["modality"] for line in slices} == {"CT"}
    assert all(line["extra"] == {"reader": "A"} for line in slices)
    assert any(line["schema"] == "rrg.sample/1" for line in lines)


def test_the_steps_with_make(tmp_path: Path, environment: Mapping[str, str]) -> None:
    make = ["make", "-f", str(ROOT / "examples" / "Makefile"), "STUDIES=6", "RRG=rrg"]
    run([*make, "data"], tmp_path, environment)
    assert (tmp_path / "make-out/dataset/manifest.json").is_file()
    assert "Nothing to be done" in run([*make, "data"], tmp_path, environment)
    plan = run([*make, "-n", "all"], tmp_path, environment)
    assert [line.split()[1] for line in plan.splitlines() if line.startswith("rrg ")] == ["train", "infer", "score"]


def test_the_jobs_are_those_that_the_recipe_gives(tmp_path: Path, rrg: Rrg) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    kept = {path.name: path.read_text() for path in (ROOT / "examples" / "slurm").iterdir() if path.suffix != ".md"}
    shutil.rmtree(tmp_path / "examples" / "slurm")
    recipe = "examples/recipes/radgrounder.toml"
    rrg("pipeline", recipe, "--slurm", "examples/slurm", "--work", "radgrounder-work", cwd=tmp_path)
    assert {path.name: path.read_text() for path in (tmp_path / "examples" / "slurm").iterdir()} == kept


def test_the_first_hour(tmp_path: Path, environment: Mapping[str, str]) -> None:
    """Every block in order, with a model that is hardly trained."""
    text = (ROOT / "docs" / "first-hour.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 7
    script = "set -euo pipefail\n" + "\n".join(blocks)
    script = script.replace("head -2 slices.jsonl |", "sed -n 1,2p slices.jsonl |")  # a full pipe would end it
    for option in ("tower-steps", "sft-steps"):
        script = re.sub(rf"--{option} \d+", f"--{option} 2", script)
    script = script.replace("--limit 60", "--limit 4")
    said = run(["bash", "-c", script], tmp_path, environment)
    assert "finished" in said
    told = [line for line in said.splitlines() if " was trained on " in line]
    assert [Path(line.partition(":")[0]).name for line in told] == ["run"], "the model that learned from the patient"
    assert said.splitlines()[-1] == "gone"
