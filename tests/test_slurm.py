"""The printed jobs on a real Slurm: an array of four tasks, a merge, training by two processes, scores; requeued."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import Rrg
from tests.one_machine_slurm import cluster, why_not
from tests.test_chaos import data_recipe, digest

TASKS = 4
SECONDS = 110
NEEDS_SLURM = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
BEHIND = """
[[stage]]
run = "train"
input = "{out}/dataset"
model = "tiny:test"
tower-steps = 4
sft-steps = 300
save-every = 10
sample-every = 0
threads = 1
out = "{out}/run"

[[stage]]
run = "infer"
input = "{out}/dataset"
model = "{out}/run"
split = "train"
limit = 4
max-new-tokens = 8
output = "{out}/predictions.jsonl"

[[stage]]
run = "score"
input = ["refer", "{out}/predictions.jsonl", "{out}/dataset/train.jsonl"]
allow-missing = true
out = "{out}/scores.json"

[slurm.train]
processes = 2
"""
"""Training by two processes, predictions and scores."""


def ask(environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(words, env=dict(environment), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recipe_of(folder: Path, rrg: Rrg, studies: int, behind: str = "") -> Path:
    """The data side of the demo on new phantoms, as jobs of an array."""
    rrg("phantom", "--out", folder / "ph", "--studies", studies, "--slices", 4, "--size", 48)
    recipe = data_recipe(folder, folder / "ph")
    recipe.write_text(f"{recipe.read_text()}{behind}\n[slurm]\ntasks = {TASKS}\n")
    return recipe


@pytest.fixture
def submit(tmp_path: Path, rrg: Rrg, key_file: Path) -> Callable[..., None]:
    """Run a recipe's jobs on a cluster in the folder, to their end; `disturb` is given the environment and job ids."""
    program = tmp_path / "bin"
    program.mkdir()
    for name, words in (("rrg", "-m rrg"), ("torchrun", "-m torch.distributed.run")):
        (program / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (program / name).chmod(0o755)

    def run(recipe: Path, disturb: Callable[[Mapping[str, str], Mapping[str, str]], None], seconds: int) -> None:
        given = ["--work", "w", "--set", "unmatched=ignore", "--set", "out=p", "--slurm", "jobs"]
        jobs = rrg("pipeline", recipe, *given, cwd=tmp_path)
        with cluster(cpus=2) as own:
            more = {"RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1"}
            environment = {**own, **more, "PATH": f"{program}:{own['PATH']}"}
            line = jobs.stdout.decode().strip()
            done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, check=True)
            disturb(environment, dict(each.split() for each in done.stdout.decode().splitlines()))
            deadline = time.monotonic() + seconds
            while queue := ask(environment, "squeue", "--noheader", "--format=%i %T %r %S"):
                assert time.monotonic() < deadline, f"{queue}\n{logs(tmp_path)}"
                assert "DependencyNeverSatisfied" not in queue, logs(tmp_path)
                time.sleep(0.5)

    return run


@NEEDS_SLURM
def test_an_array_with_a_task_that_is_requeued_makes_the_same_data_set(
    tmp_path: Path, rrg: Rrg, submit: Callable[..., None]
) -> None:
    recipe = recipe_of(tmp_path, rrg, studies=12)
    rrg("pipeline", recipe, "--work", "whole", "--set", "unmatched=ignore", "--set", "out=o", cwd=tmp_path)
    submit(recipe, lambda environment, ids: requeue_data(environment, f"{ids['data']}_2", tmp_path), SECONDS)
    assert (tmp_path / "p" / "dataset").is_dir(), logs(tmp_path)
    assert digest(tmp_path / "p" / "dataset") == digest(tmp_path / "o" / "dataset")
    assert digest(tmp_path / "p" / "store") == digest(tmp_path / "o" / "store")
    status = rrg("status", "w", cwd=tmp_path).stdout.decode()
    assert status.count(f"{TASKS} finished") == 5, status


@NEEDS_SLURM
@pytest.mark.chaos
def test_forty_studies_to_scores_with_two_tasks_and_the_training_requeued(
    tmp_path: Path, rrg: Rrg, submit: Callable[..., None]
) -> None:
    """Data, weights, predictions and scores have the bytes of a run without Slurm that nobody disturbs.

    Two processes sum gradients in another order than one: training is compared with one by two processes.
    """
    recipe = recipe_of(tmp_path, rrg, studies=40, behind=BEHIND)
    alone = tmp_path / "alone"
    alone.mkdir()
    given = ["pipeline", recipe, "--work", "w", "--set", "unmatched=ignore", "--set", "out=p"]
    rrg(*given, "--to", "pack", cwd=alone)
    two = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node=2"
    rrg(*given, "--from", "train", "--to", "train", "--launch", two, cwd=alone)
    rrg(*given, "--from", "infer", cwd=alone)

    def disturb(environment: Mapping[str, str], ids: Mapping[str, str]) -> None:
        for number in (1, 3):
            requeue_data(environment, f"{ids['data']}_{number}", tmp_path)
        requeue(environment, ids["train"], lambda: any((tmp_path / "p").glob(".run.stages/sft*")))

    submit(recipe, disturb, 4 * SECONDS)
    assert (tmp_path / "p" / "scores.json").is_file(), logs(tmp_path)
    assert "sft: going on at step" in logs(tmp_path)
    ours, theirs = digest(tmp_path / "p"), digest(alone / "p")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == [], logs(tmp_path)


def requeue_data(environment: Mapping[str, str], job: str, folder: Path) -> None:
    """Put a task of the array into the queue again as soon as it has finished a study."""
    journal = folder / "w" / f"part-{job.rpartition('_')[2]}" / "01-01-extract-slices.jsonl.journal"
    requeue(environment, job, lambda: journal.exists() and journal.stat().st_size > 0)


def requeue(environment: Mapping[str, str], job: str, begun: Callable[[], bool]) -> None:
    """Put a job into the queue again as soon as it has `begun`."""
    deadline = time.monotonic() + 4 * SECONDS
    while not begun():
        assert time.monotonic() < deadline, f"job {job} never began"
        time.sleep(0.02)
    ask(environment, "scontrol", "requeue", job)
    assert "Restarts=1" in ask(environment, "scontrol", "show", "job", job), "it was over before"


def logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-900:] for path in sorted((folder / "w" / "log").iterdir()))
