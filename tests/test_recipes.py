"""Recipes: what is wrong gets one line with file, line and the nearest word; what is right runs as real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rrg.recipes import pipes, read_recipe, shell_lines
from tests.conftest import Rrg

OPTIONS = {
    "extract-slices": {"store": False, "tee": False, "resume": True, "out": False},
    "segment": {"engine": False, "fast": True, "masks": False, "tee": False, "resume": True},
    "pack": {"out": False, "balance": True},
}
GOOD = """
[vars]
out = "o"
[[stage]]
run = "extract-slices"
input = ["a b", "{out}/dicom"]
store = "{out}/store"
[[stage]]
run = "segment"
masks = ["x", "y"]
fast = true
[[stage]]
run = "pack"
out = "{out}/dataset"
balance = false
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_print_shows_the_line_that_a_shell_would_be_given(tmp_path: Path) -> None:
    stages = read_recipe(write(tmp_path, GOOD), {"out": "p"}, OPTIONS)
    assert [len(group) for group in pipes(stages)] == [3]
    assert list(shell_lines(stages, Path("w"), resume=False)) == [
        "rrg extract-slices 'a b' p/dicom --store p/store --tee w/01-01-extract-slices.jsonl"
        " | rrg segment --masks x --masks y --fast --tee w/01-02-segment.jsonl"
        " | rrg pack --out p/dataset --no-balance"
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("fast = true", "fsat = true", "line 11: segment has no option 'fsat'; did you mean 'fast'?"),
        ("fast = true", 'fast = "yes"', "line 11: fast = 'yes', expected true or false"),
        ("balance = false", "balance = 3", "line 15: balance = 3, expected true or false"),
        ('run = "segment"', 'run = "segmnt"', "line 9: run = 'segmnt' is no command; did you mean 'segment'?"),
        ('run = "segment"', "", "stage 2: run = None is no command"),
        ("[vars]", "[var]", "line 2: unknown table 'var'; did you mean 'vars'?"),
        ('masks = ["x", "y"]', "masks = [true]", "line 10: masks = [True], expected text, a number, or a list of them"),
        ("{out}/store", "{oot}/store", "{oot} is not in [vars]; did you mean 'out'?"),
        ('input = ["a b", "{out}/dicom"]', 'masks = "x"', "has no option 'masks'"),
        ("[[stage]]", "[[stage]", "not TOML"),
    ],
)
def test_a_bad_recipe_is_one_line_with_place_and_nearest_word(
    tmp_path: Path, rrg: Rrg, old: str, new: str, says: str
) -> None:
    assert old in GOOD
    recipe = write(tmp_path, GOOD.replace(old, new, 1))
    done = rrg("pipeline", recipe, "--print", code=2)
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_the_first_stage_needs_an_input(tmp_path: Path, rrg: Rrg) -> None:
    done = rrg("pipeline", write(tmp_path, '[[stage]]\nrun = "segment"\n'), "--print", code=2)
    assert b"is the first stage and has no input" in done.stderr


def test_a_stage_that_fails_fails_the_pipeline_and_is_named(tmp_path: Path, rrg: Rrg) -> None:
    (tmp_path / "in.jsonl").write_text("not json\n")
    first = f'[[stage]]\nrun = "sort"\nname = "first"\ninput = "{tmp_path}/in.jsonl"\n'
    text = f'{first}[[stage]]\nrun = "sort"\noutput = "{tmp_path}/o"\n'
    done = rrg("pipeline", write(tmp_path, text), "--work", tmp_path / "work", code=1)
    assert b"stage first ended with 1" in done.stderr
    assert not (tmp_path / "o").exists()


def test_resume_skips_what_is_finished(tmp_path: Path, rrg: Rrg) -> None:
    (tmp_path / "in.jsonl").write_text('{"mine": 1}\n')
    text = f'[[stage]]\nrun = "sort"\ninput = "{tmp_path}/in.jsonl"\noutput = "{tmp_path}/o"\n'
    recipe = write(tmp_path, text)
    rrg("pipeline", recipe, "--work", tmp_path / "work")
    first = (tmp_path / "o").stat().st_mtime_ns
    rrg("pipeline", recipe, "--work", tmp_path / "work", "--resume")
    assert (tmp_path / "o").stat().st_mtime_ns == first
    rrg("pipeline", recipe, "--work", tmp_path / "work")
    assert (tmp_path / "o").stat().st_mtime_ns != first
    assert json.loads((tmp_path / "o").read_text().splitlines()[1]) == {"mine": 1}


def test_sigterm_ends_all_stages_with_75(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    text = f'[[stage]]\nrun = "sort"\ninput = "{fifo}"\noutput = "{tmp_path}/o"\n'
    command = [sys.executable, "-m", "rrg", "pipeline", str(write(tmp_path, text)), "--work", str(tmp_path / "w")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    while process.poll() is None:
        try:
            reader = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)  # works as soon as the stage reads it
            break
        except OSError:
            time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    os.close(reader)
    assert process.returncode == 75
    assert not (tmp_path / "o").exists()
