"""The printed jobs on a real Slurm: an array of four tasks, one of them requeued in the middle, then the merge."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import Rrg
from tests.one_machine_slurm import cluster, why_not
from tests.test_chaos import data_recipe, digest

TASKS, STUDIES = 4, 12
SECONDS = 110


def ask(environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(words, env=dict(environment), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_an_array_with_a_task_that_is_requeued_makes_the_same_data_set(
    tmp_path: Path, rrg: Rrg, key_file: Path
) -> None:
    rrg("phantom", "--out", tmp_path / "ph", "--studies", STUDIES, "--slices", 4, "--size", 48)
    recipe = data_recipe(tmp_path, tmp_path / "ph")
    recipe.write_text(recipe.read_text() + f"[slurm]\ntasks = {TASKS}\n")
    shared = ["--set", "unmatched=ignore"]
    rrg("pipeline", recipe, "--work", "whole", *shared, "--set", "out=o", cwd=tmp_path)
    jobs = rrg("pipeline", recipe, "--work", "w", *shared, "--set", "out=p", "--slurm", "jobs", cwd=tmp_path)
    program = tmp_path / "bin"
    program.mkdir()
    (program / "rrg").write_text(f'#!/bin/sh\nexec {sys.executable} -m rrg "$@"\n')
    (program / "rrg").chmod(0o755)
    with cluster(cpus=2) as own:
        environment = {**own, "PATH": f"{program}:{own['PATH']}", "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1"}
        line = jobs.stdout.decode().strip()
        submitted = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, check=True)
        ids = dict(each.split() for each in submitted.stdout.decode().splitlines())
        requeue(environment, f"{ids['data']}_2", tmp_path / "w" / "part-2")
        deadline = time.monotonic() + SECONDS
        while queue := ask(environment, "squeue", "--noheader", "--format=%i %T %r %S"):
            assert time.monotonic() < deadline, queue
            assert "DependencyNeverSatisfied" not in queue, logs(tmp_path)
            time.sleep(0.5)
    assert (tmp_path / "p" / "dataset").is_dir(), logs(tmp_path)
    assert digest(tmp_path / "p" / "dataset") == digest(tmp_path / "o" / "dataset")
    assert digest(tmp_path / "p" / "store") == digest(tmp_path / "o" / "store")
    status = rrg("status", "w", cwd=tmp_path).stdout.decode()
    assert status.count(f"{TASKS} finished") == 5, status


def requeue(environment: Mapping[str, str], job: str, part: Path) -> None:
    """Put a task into the queue again as soon as it has finished a study."""
    journal = part / "01-01-extract-slices.jsonl.journal"
    deadline = time.monotonic() + SECONDS
    while not (journal.exists() and journal.stat().st_size):
        assert time.monotonic() < deadline, "the task never began"
        time.sleep(0.02)
    ask(environment, "scontrol", "requeue", job)
    assert "Restarts=1" in ask(environment, "scontrol", "show", "job", job), "it was over before"


def logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-600:] for path in sorted((folder / "w" / "log").iterdir()))
