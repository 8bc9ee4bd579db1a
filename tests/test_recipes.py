"""Recipes: what is wrong gets one line with file, line and the nearest word; what is right runs as real processes."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rrg.commands._recipe_options import options_of

from rrg.codec import encode
from rrg.errors import UsageError
from rrg.progress import Progress, State, read
from rrg.provenance import make_run
from rrg.recipes import Option, Stage, commands_in, read_recipe
from rrg.recipes_plan import Digests, Pipe, Placed, pipes, shell_lines, stage_keys
from rrg.recipes_priority import Leaving, Priority, priority
from rrg.recipes_show import Display
from rrg.recipes_slurm import settings_of, write_jobs
from rrg.recipes_table import write_table
from rrg.records import End
from tests.conftest import Rrg

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
TEXT, FLAG = Option(), Option("flag")
OPTIONS = {
    "extract-slices": {"store": TEXT, "tee": TEXT, "resume": FLAG, "out": TEXT},
    "segment": {"engine": TEXT, "fast": FLAG, "masks": Option(multiple=True), "tee": TEXT, "resume": FLAG},
    "pack": {"out": TEXT, "balance": Option("flag", off="--no-balance")},
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
    planned = pipes(read_recipe(write(tmp_path, GOOD), {"out": "p"}, OPTIONS).stages, Path("w"))
    assert [len(pipe.placed) for pipe in planned] == [3]
    assert list(shell_lines(planned, resume=False)) == [
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
        ('run = "segment"', "", "stage 2: a [[stage]] without run = COMMAND"),
        ("[vars]", "[var]", "line 2: unknown table 'var'; did you mean 'vars'?"),
        ('masks = ["x", "y"]', "masks = [true]", "line 10: masks = [True], expected text, a number, or a list of them"),
        ("{out}/store", "{oot}/store", "{oot} is not in [vars]; did you mean 'out'?"),
        ('input = ["a b", "{out}/dicom"]', 'masks = "x"', "has no option 'masks'"),
        ("[[stage]]", "[[stage]", "not TOML"),
        ('masks = ["x", "y"]', 'engine = "mask"', "line 10: engine = 'mask' is no choice; did you mean 'masks'?"),
        ('masks = ["x", "y"]', 'workers = "two"', "line 10: workers = 'two', expected a whole number"),
        ('masks = ["x", "y"]', "workers = 0", "line 10: workers = 0, expected at least 1"),
        (
            'masks = ["x", "y"]',
            'engine = ["masks", "threshold"]',
            "engine = ['masks', 'threshold'], expected one value",
        ),
        ('input = ["a b", "{out}/dicom"]', 'reads = "segmnt"', "line 6: reads = 'segmnt' is no stage before this one"),
        ('input = ["a b", "{out}/dicom"]', 'reads = "pack"', "line 6: reads = 'pack' comes later: a cycle"),
        ('"{out}/dicom"]', '"{out}/dataset"]', "line 6: stage extract-slices reads o/dataset, made by stage pack"),
        ('run = "segment"', 'run = "segment"\nname = "extract-slices"', "a stage before has it; each needs its own"),
        ("[vars]", "[matrix]\nseed = 3\n[vars]", "line 3: seed = 3, expected a list of values"),
        ("[vars]", "[[expect]]\nfil = 3\n[vars]", "line 3: [[expect]] has no key 'fil'; did you mean 'file'?"),
        ("[vars]", "vars = 3\n[fixture.vars]", "line 2: vars is no table; write [vars]"),
        ("[[stage]]", "[stage]", "[stage] is a list of tables, write [[stage]]"),
        ("[vars]", "[engine]\n[vars]", "line 2: unknown table 'engine'"),
    ],
)
def test_a_bad_recipe_is_one_line_with_place_and_nearest_word(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    recipe = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UsageError) as told:
        read_recipe(recipe, {}, options_of(commands_in(recipe)))
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stage = [1]\n", "recipe.toml, line 1: no [[stage]]"),
        ('[vars]\n[stage]\nrun = "sort"\n', "line 2: [stage] is one table, stages are a list; write [[stage]]"),
        ('[[stage]]\nrun = "segment"\nlabels = "x"\n[labels]\n', "line 4: unknown table 'labels'"),
        (GOOD.replace('out = "o"', 'out = ["o"]', 1), "line 3: out = ['o'] in [vars], expected one value"),
        (GOOD.replace("{out}/store", "{oot}/store", 1), "line 7: {oot} is not in [vars]; did you mean 'out'?"),
        (GOOD + '[[expect]]\nfile = "x"\nat-least = "3"\n', "line 18: at-least = '3', expected a number"),
    ],
)
def test_what_is_no_recipe_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    recipe = write(tmp_path, text)
    with pytest.raises(UsageError) as told:
        read_recipe(recipe, {}, options_of(commands_in(recipe)))
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_a_bad_recipe_ends_the_command_with_2(tmp_path: Path, rrg: Rrg) -> None:
    done = rrg("pipeline", write(tmp_path, GOOD.replace("fast", "fsat")), "--print", code=2)
    assert b"line 11: segment has no option 'fsat'; did you mean 'fast'?" in done.stderr
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
    assert b"line 1: not JSON" in done.stderr
    assert not (tmp_path / "o").exists()


@pytest.fixture
def sorting(tmp_path: Path) -> Path:
    """A recipe of one stage, and its input."""
    (tmp_path / "in.jsonl").write_text('{"mine": 1}\n')
    return write(tmp_path, f'[[stage]]\nrun = "sort"\ninput = "{tmp_path}/in.jsonl"\noutput = "{tmp_path}/o"\n')


def did(rrg: Rrg, recipe: Path, *more: object) -> bool:
    """Run a recipe; was its output made anew?"""
    out = recipe.parent / "o"
    before = out.stat().st_mtime_ns if out.exists() else 0
    rrg("pipeline", recipe, "--work", recipe.parent / "work", *more)
    return out.stat().st_mtime_ns != before


def test_what_is_finished_is_done_again_only_when_something_changed(sorting: Path, rrg: Rrg) -> None:
    out, source = sorting.parent / "o", sorting.parent / "in.jsonl"
    assert did(rrg, sorting)
    assert json.loads(out.read_text().splitlines()[1]) == {"mine": 1}
    assert not did(rrg, sorting)
    assert not did(rrg, sorting, "--resume")
    os.utime(source, (1, 1))
    assert not did(rrg, sorting), "a file is known by its content"
    assert did(rrg, sorting, "--again")
    source.write_text('{"mine": 2}\n')
    assert b"to do" in rrg("pipeline", sorting, "--work", sorting.parent / "work", "--dry-run").stdout
    assert did(rrg, sorting)
    out.write_text("damaged\n")
    assert did(rrg, sorting), "an output that is not what was made is made again"
    out.unlink()
    assert did(rrg, sorting)
    assert b"finished" in rrg("pipeline", sorting, "--work", sorting.parent / "work", "--dry-run").stdout


@pytest.fixture
def packing(tmp_path: Path, rrg: Rrg) -> Path:
    """A recipe that was run, from DICOM in ``demo`` to the data set ``ds``."""
    rrg("phantom", "--out", tmp_path / "demo", "--studies", 3, "--slices", 4, "--size", 32)
    stages = {
        "extract-slices": ("demo/dicom", {"store": "s"}),
        "segment": (None, {"engine": "masks", "masks": "demo/masks", "labels": "demo/labels.json", "store": "s"}),
        "synth-ground": (None, {}),
        "pack": (None, {"store": "s", "out": "ds"}),
        "view": ("ds/train.jsonl", {"store": "ds/store", "page": "page.html"}),
    }
    text = ""
    for name, (source, options) in stages.items():
        text += f'[[stage]]\nrun = "{name}"\n' + (f'input = "{tmp_path}/{source}"\n' if source else "")
        for option, word in options.items():
            text += f'{option} = "{word if option == "engine" else tmp_path / word}"\n'
    recipe = write(tmp_path, text)
    rrg("pipeline", recipe, "--work", tmp_path / "work")
    return recipe


def planned(rrg: Rrg, recipe: Path) -> dict[str, str]:
    """What --dry-run says of each stage."""
    lines = rrg("pipeline", recipe, "--work", recipe.parent / "work", "--dry-run").stdout.decode().splitlines()
    return {line.split()[-1]: line[4:12].strip() for line in lines}


def test_a_manifest_beside_the_inputs_hides_no_change_of_them(packing: Path, rrg: Rrg) -> None:
    """Every folder of phantoms has one, and other tools write files of that name."""
    assert set(planned(rrg, packing).values()) == {"finished"}
    (packing.parent / "manifest.json").write_text("{}")
    assert set(planned(rrg, packing).values()) == {"finished"}
    next(path for path in sorted(packing.parent.glob("demo/dicom/**/*")) if path.is_file()).unlink()
    goes_on = {"segment": "goes on", "synth-ground": "goes on"}
    assert planned(rrg, packing) == {"extract-slices": "to do", **goes_on, "pack": "to do", "view": "depends"}


@pytest.mark.parametrize("lost", ["s", "s/series/*", "s/masks/*"])
def test_arrays_that_are_lost_are_made_again(packing: Path, rrg: Rrg, lost: str) -> None:
    before = folder_bytes(packing.parent / "ds")
    shutil.rmtree(sorted(packing.parent.glob(lost))[0])
    assert planned(rrg, packing)["segment"] == "goes on"
    shutil.rmtree(packing.parent / "ds")
    rrg("pipeline", packing, "--work", packing.parent / "work")
    assert folder_bytes(packing.parent / "ds") == before
    assert set(planned(rrg, packing).values()) == {"finished"}


def test_a_damaged_data_set_is_not_finished_and_stays(packing: Path, rrg: Rrg) -> None:
    split = packing.parent / "ds" / "train.jsonl"
    whole, half = split.read_bytes(), split.read_bytes()[:-100]
    split.write_bytes(half)
    assert planned(rrg, packing)["pack"] == "to do"
    said = rrg("pipeline", packing, "--work", packing.parent / "work", code=1).stderr.decode()
    assert "ds is not as this recipe made it, and stays where it is; remove or rename it" in said
    assert split.read_bytes() == half
    shutil.rmtree(split.parent)
    rrg("pipeline", packing, "--work", packing.parent / "work")
    assert split.read_bytes() == whole


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_sigterm_ends_all_stages_with_75(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    text = f'[[stage]]\nrun = "sort"\ninput = "{fifo}"\noutput = "{tmp_path}/o"\n'
    command = [sys.executable, "-m", "rrg", "pipeline", str(write(tmp_path, text)), "--work", str(tmp_path / "w")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    reader = wait_for_reader(fifo, process)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    os.close(reader)
    assert process.returncode == 75
    assert not (tmp_path / "o").exists()


STUDIES = 40


def stream(path: Path) -> None:
    """A slice of each of some made-up studies."""
    from tests.test_status import slice_of

    run = make_run("test", {})
    lines = [encode(run), *(encode(slice_of(number)) for number in range(STUDIES)), encode(End(run=run.id, counts={}))]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.fixture
def rejecting(tmp_path: Path) -> Path:
    """A recipe whose first stage can read no pixels: as when a mount died."""
    stream(tmp_path / "in.jsonl")
    text = f'[[stage]]\nrun = "segment"\ninput = "{tmp_path}/in.jsonl"\nstore = "{tmp_path}/none"\n'
    return write(tmp_path, f'{text}engine = "threshold"\n[[stage]]\nrun = "sort"\noutput = "{tmp_path}/o"\n')


def test_a_stage_that_rejects_too_much_is_stopped(rejecting: Path, rrg: Rrg, tmp_path: Path) -> None:
    done = rrg("pipeline", rejecting, "--work", tmp_path / "w", "--max-reject", "5%", code=1)
    said = done.stderr.decode().splitlines()[-1]
    assert "stage segment" in said
    assert "more than --max-reject 5%" in said
    assert not (tmp_path / "o").exists()
    assert rrg("pipeline", rejecting, "--max-reject", "5", code=2).stderr.count(b"\n") == 1


def test_from_and_to_cut_a_pipe_and_join_it_again(tmp_path: Path, rrg: Rrg) -> None:
    (tmp_path / "in.jsonl").write_text('{"mine": 1}\n')
    stages = [f'[[stage]]\nrun = "sort"\nname = "{name}"\n' for name in "abc"]
    stages[0] += f'input = "{tmp_path}/in.jsonl"\n'
    recipe = write(tmp_path, "".join(stages) + f'output = "{tmp_path}/o"\n')
    work = ["--work", tmp_path / "w"]
    assert b"is not there; run the stages before it" in rrg("pipeline", recipe, *work, "--from", "b", code=2).stderr
    done = rrg("pipeline", recipe, *work, "--to", "bb", code=2)
    assert b"--to bb: no stage of that name; did you mean 'b'?" in done.stderr
    rrg("pipeline", recipe, *work, "--to", "b")
    assert not (tmp_path / "o").exists()
    rrg("pipeline", recipe, *work, "--from", "c")
    cut = (tmp_path / "o").read_bytes()
    rrg("pipeline", recipe, "--work", tmp_path / "whole")
    assert (tmp_path / "o").read_bytes() == cut


def test_expectations_are_checked_at_the_end(sorting: Path, rrg: Rrg) -> None:
    text = sorting.read_text()
    out = sorting.parent / "o.jsonl"
    text = text.replace(f'{sorting.parent}/o"', f'{out}"')
    sorting.write_text(f'{text}[[expect]]\nfile = "{out}"\nvalue = "run"\nequals = 1\n')
    done = rrg("pipeline", sorting, "--work", sorting.parent / "w")
    assert b"all 1 expectations" in done.stderr
    sorting.write_text(f'{text}[[expect]]\nfile = "{out}"\nvalue = "slice"\nat-least = 5\n')
    done = rrg("pipeline", sorting, "--work", sorting.parent / "w", code=1)
    assert b"slice is 0, expected at least 5" in done.stderr


MATRIX = """
[vars]
out = "o"
[matrix]
mix = ["", "which=2,side=2"]
seed = [0, 1]
[[stage]]
run = "extract-slices"
input = "d"
store = "{out}/store"
[[stage]]
run = "segment"
name = "train"
input = "x/y"
engine = "{mix}"
output = "{out}/run-{cell}"
[[stage]]
run = "segment"
reads = "train"
output = "{out}/p-{cell}"
[table]
out = "{out}/table"
predictions = "{out}/p-{cell}"
[[table.column]]
name = "IoU"
file = "{out}/s-{cell}.json"
value = "iou"
"""


def test_a_matrix_repeats_the_stages_that_name_it_and_its_table_is_traced(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    recipe = read_recipe(write(tmp_path, MATRIX), {"out": str(tmp_path / "o")}, OPTIONS)
    cells = ["mix_none-seed_0", "mix_none-seed_1", "mix_which2_side2-seed_0", "mix_which2_side2-seed_1"]
    assert [stage.name for stage in recipe.stages] == [
        "extract-slices",
        *(f"train-{cell}" for cell in cells),
        *(f"segment-{cell}" for cell in cells),
    ]
    assert recipe.stages[-1].arguments == (f"{tmp_path}/o/run-{cells[-1]}",)
    assert "--engine" not in recipe.stages[1].arguments, "an empty value leaves the option out"
    for n, cell in enumerate(cells):
        (tmp_path / "o" / f"p-{cell}").write_text(cell)
        metric = {"value": n / 10, "ci95": [n / 10 - 0.05, n / 10 + 0.05], "n": 7}
        (tmp_path / "o" / f"s-{cell}.json").write_text(json.dumps({"metrics": {"iou": metric}}))
    paths = write_table(recipe)
    rows = list(csv.DictReader(paths[0].read_text().splitlines()))
    assert [row["mix"] for row in rows] == ["", "which=2,side=2"]
    assert float(rows[1]["IoU"]) == pytest.approx(0.25)
    assert float(rows[1]["IoU seed sd"]) == pytest.approx(0.1 / 2**0.5)
    assert (float(rows[1]["IoU low"]), float(rows[1]["IoU high"])) == pytest.approx((0.15, 0.25))
    hashes = [hashlib.sha256(cell.encode()).hexdigest()[:12] for cell in cells]
    assert [row["predictions sha256"] for row in rows] == [" ".join(hashes[:2]), " ".join(hashes[2:])]
    assert r"0.250 $\pm$ 0.071 [0.150, 0.250]" in paths[1].read_text()


def test_a_new_option_of_one_stage_leaves_the_others_alone(tmp_path: Path) -> None:
    """The key of a stage hangs on its own options and inputs; that of the pipe on all."""
    (tmp_path / "a b").mkdir()
    first = read_recipe(write(tmp_path, GOOD), {}, OPTIONS)
    other = read_recipe(write(tmp_path, GOOD.replace("fast = true", "fast = false")), {}, OPTIONS)
    keys = [
        stage_keys(pipe, Digests(frozenset())) for recipe in (first, other) for pipe in pipes(recipe.stages, tmp_path)
    ]
    assert keys[0]["extract-slices"] == keys[1]["extract-slices"]
    assert keys[0]["pack"] == keys[1]["pack"]
    assert keys[0]["segment"] != keys[1]["segment"]


def test_who_is_excluded_is_told_to_each_stage_and_leaves_journals_good(tmp_path: Path, rrg: Rrg) -> None:
    (tmp_path / "keys").write_text(f"{'a' * 20}\n")
    given = ["pipeline", RECIPES / "phantom.toml", "--exclude", tmp_path / "keys"]
    (line, *_) = rrg(*given, "--print").stdout.decode().splitlines()
    assert line.count(f"--exclude {tmp_path}/keys") == 6, "five data stages and pack"
    rrg(*given, "--slurm", tmp_path / "jobs", "--set", "unmatched=ignore", "--work", tmp_path / "w")
    assert f"--exclude {tmp_path}/keys" in (tmp_path / "jobs" / "01-data.sbatch").read_text()
    recipe = read_recipe(write(tmp_path, GOOD), {}, OPTIONS)
    stages = [replace(stage, excludes=True) for stage in recipe.stages]
    keys = [
        stage_keys(pipes(stages, tmp_path, exclude=exclude)[0], Digests(frozenset()))
        for exclude in (None, str(tmp_path / "keys"))
    ]
    assert keys[1].pop("--exclude")
    assert keys[0] == keys[1]


SLURM = """
[slurm]
tasks = 4
partition = "long"
environment = ["module load python"]
[slurm.merge]
memory = "8G"
"""


def phantom_recipe() -> str:
    """The demo's recipe without its own [slurm], as a run in parts needs it."""
    text = (RECIPES / "phantom.toml").read_text().replace('unmatched = "error"', 'unmatched = "ignore"')
    return text.replace("[slurm]\ntasks = 4\n", "")


def test_jobs_for_slurm(tmp_path: Path, rrg: Rrg) -> None:
    recipe = write(tmp_path, phantom_recipe() + SLURM)
    given = ["--slurm", tmp_path / "jobs", "--work", tmp_path / "w", "--set", "out=p"]
    assert b'needs unmatched = "ignore"' in rrg("pipeline", recipe, *given, "--set", "unmatched=keep", code=2).stderr
    rrg("pipeline", recipe, *given)
    names = ["01-data.sbatch", "02-merge.sbatch", "03-train.sbatch", "04-export.sbatch", "submit.sh"]
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == names
    data, merge = ((tmp_path / "jobs" / name).read_text() for name in names[:2])
    assert "#SBATCH --array=1-4\n" in data
    assert "--from extract-slices --to synth-ground" in data
    assert '--shard "$SLURM_ARRAY_TASK_ID/4" &' in data
    assert "module load python\n" in data
    assert "#SBATCH --mem=8G" in merge
    assert "#SBATCH --mem" not in data
    assert "--from pack --to pack" in merge
    for name in names:
        subprocess.run(["bash", "-n", str(tmp_path / "jobs" / name)], check=True)
    submit = (tmp_path / "jobs" / "submit.sh").read_text()
    assert "--dependency=afterok:$job_merge" in submit
    assert "--dependency=afterok:$job_train" in submit


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("partition", "partitoin", "did you mean 'partition'?"),
        ("tasks = 4", 'tasks = "4"', "tasks = '4', expected a whole number of at least 1"),
        ("tasks = 4", "tasks = 4000", "tasks = 4000, at most 1000 by array-limit"),
        ("[slurm.merge]", "[slurm.merg]", "[slurm.merg]: no such job; did you mean 'merge'?"),
    ],
)
def test_a_wrong_slurm_table_is_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    recipe = write(tmp_path, phantom_recipe() + SLURM.replace(old, new))
    with pytest.raises(UsageError, match="line ") as told:
        settings_of(read_recipe(recipe, {}, options_of(commands_in(recipe))))
    assert says in str(told.value)


@pytest.mark.parametrize(("code", "ends", "queued"), [(0, 0, False), (3, 0, False), (1, 1, False), (75, 75, True)])
def test_the_end_of_a_job_says_what_slurm_is_to_do(tmp_path: Path, code: int, ends: int, queued: bool) -> None:
    recipe = write(tmp_path, phantom_recipe() + SLURM.replace('["module load python"]', "[]"))
    told = read_recipe(recipe, {}, options_of(commands_in(recipe)))
    list(write_jobs(told, tmp_path / "jobs", tmp_path / "w", {}))
    for name, text in (("rrg", f"exit {code}"), ("scontrol", 'echo "$@" > requeued')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    job = ["bash", str(tmp_path / "jobs" / "01-data.sbatch")]
    assert subprocess.run(job, cwd=tmp_path, env=env, check=False).returncode == ends
    assert (tmp_path / "requeued").exists() == queued
    if queued:
        assert (tmp_path / "requeued").read_text() == "requeue 7_2\n"


def test_stages_end_with_a_pipeline_that_is_killed(tmp_path: Path) -> None:
    """They would hold their outputs, and the next start would be refused."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    text = f'[[stage]]\nrun = "sort"\ninput = "{fifo}"\noutput = "{tmp_path}/o"\n'
    command = [sys.executable, "-m", "rrg", "pipeline", str(write(tmp_path, text)), "--work", str(tmp_path / "w")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    writer = wait_for_reader(fifo, process)
    os.close(writer)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while True:
        try:
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads it any more
            break
        assert time.monotonic() < deadline, "the stage lives on"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the children of a process from /proc")
def test_stages_give_way_to_the_one_that_all_wait_for(tmp_path: Path) -> None:
    """With fewer processors than stages the others would take turns with it, and all would end later. It waits for
    those before it first."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    alone = f'[[stage]]\nrun = "sort"\ninput = "{fifo}"\n'
    joined = f'{alone}[[stage]]\nrun = "segment"\nengine = "threshold"\nstore = "{tmp_path}/s"\n'
    joined += '[[stage]]\nrun = "synth-ground"\n'
    for text, wanted in ((alone, {"sort": 0}), (joined, {"sort": 0, "segment": 0, "synth-ground": 10})):
        command = [sys.executable, "-m", "rrg", "pipeline", str(write(tmp_path, text)), "--work", str(tmp_path / "w")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        writer = wait_for_reader(fifo, process)
        started: dict[str, int] = {}
        deadline = time.monotonic() + 20
        while started.keys() != wanted.keys() and time.monotonic() < deadline:  # one is started after the other
            time.sleep(0.05)
            started = stages_of(process)
        found = {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in started.items()}
        process.kill()
        process.wait()
        os.close(writer)
        assert found == {name: nicer(nice) for name, nice in wanted.items()}


def stages_of(process: "subprocess.Popen[bytes]") -> dict[str, int]:
    """The processes of the stages of a pipeline that runs."""
    found: dict[str, int] = {}
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[1:3] == [b"-m", b"rrg"] and words[3] != b"pipeline":
            found[words[3].decode()] = int(pid)
    return found


def nicer(by: int) -> int:
    """The niceness of a process that is nicer than this one."""
    return min(os.getpriority(os.PRIO_PROCESS, 0) + by, 19)


@pytest.mark.skipif(sys.platform != "linux", reason="processors of a process are Linux's")
def test_a_pipeline_sees_that_the_demanding_stage_works(tmp_path: Path, rrg: Rrg, key_file: Path) -> None:
    rrg("phantom", "--out", tmp_path / "demo", "--studies", 3, "--slices", 4, "--size", 32)
    lines = rrg("extract-slices", tmp_path / "demo" / "dicom", "--store", tmp_path / "s").stdout.splitlines(True)
    fifo, progress = tmp_path / "fifo", tmp_path / "w" / "progress" / "01-segment.json"
    os.mkfifo(fifo)
    text = f'[[stage]]\nrun = "synth-ground"\ninput = "{fifo}"\nflush = true\n'
    text += f'[[stage]]\nrun = "segment"\nengine = "threshold"\nstore = "{tmp_path}/s"\n'
    command = [sys.executable, "-m", "rrg", "pipeline", str(write(tmp_path, text)), "--work", str(tmp_path / "w")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "RRG_KEY_FILE": str(key_file)})
    writer = wait_for_reader(fifo, process)
    every = os.sched_getaffinity(0)
    try:
        told: list[tuple[int, set[int]]] = []
        for studies in (0, 1):
            deadline = time.monotonic() + 30
            while not progress.is_file() or json.loads(progress.read_text())["studies"] < studies:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(1)  # twice what passes between two writes of progress, ten times between two looks
            before = stages_of(process)["synth-ground"]
            told.append((os.getpriority(os.PRIO_PROCESS, before), os.sched_getaffinity(before)))
            if not studies:
                os.write(writer, b"".join(line for line in lines if b'"schema":"rrg.end/1"' not in line))
        assert told == [(nicer(0), every), (nicer(10), every - {max(every)} or every)]
    finally:
        process.kill()
        process.wait()
        os.close(writer)


@pytest.mark.skipif(sys.platform != "linux", reason="processors of a process are Linux's")
def test_stages_leave_a_processor_once_the_demanding_one_works(tmp_path: Path) -> None:
    """And go behind it, with all their threads and processes; those that have ended are let be."""
    if len(every := os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor: nothing to leave")
    left = frozenset(every - {max(every)})
    stages = tuple(Placed(Stage(name, name, ()), None) for name in ("parse-reports", "segment", "pack"))
    pipe, file = Pipe(1, stages, whole=True), tmp_path / "segment"
    code = (
        "import subprocess, sys, threading, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'])\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "print(child.pid, *(t.native_id for t in threading.enumerate()), flush=True)\n"
        "sys.stdin.read()\n"
    )
    python = (sys.executable, "-c")
    with (
        subprocess.Popen([*python, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as works,
        subprocess.Popen([*python, "pass"]) as ended,
        subprocess.Popen([*python, "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as last,
    ):
        assert works.stdout is not None
        threads = [int(word) for word in works.stdout.readline().split()]
        assert len(threads) == 3
        ended.wait()
        leaving = Leaving(pipe, [tmp_path / "parse-reports", file, tmp_path / "pack"])
        for process in (works, ended):
            leaving.add(process, Priority(later=10, processors=left))
        leaving.add(last, Priority(10))
        for studies, kept, nice in ((None, every, 0), (0, every, 0), (1, left, 10), (2, left, 10)):
            if studies is not None:
                told = State(studies, 0, 0, {}, started=0.0, at=1.0, finished=False)
                file.write_text(json.dumps(told._asdict()))
            leaving.look()
            assert [os.sched_getaffinity(each) for each in threads] == [kept] * 3
            assert [os.getpriority(os.PRIO_PROCESS, each) for each in threads] == [nicer(nice)] * 3
            assert os.sched_getaffinity(last.pid) == every


@pytest.mark.parametrize(
    ("stages", "before", "behind"),
    [
        ([("extract-slices", ()), ("parse-reports", ()), ("pack", ())], [], []),
        ([("extract-slices", ()), ("segment", ()), ("pack", ())], [0], [2]),
        ([("parse-reports", ("--llm", "x.gguf")), ("segment", ()), ("synth-ground", ()), ("pack", ())], [], [2, 3]),
        ([("parse-reports", ()), ("synth-vqa", ("--blind-model=x.gguf",))], [0], []),
        ([("parse-reports", ("--llm", "x.gguf")), ("synth-ground", ()), ("segment", ())], [1], []),
        ([("segment", ())], [], []),
    ],
)
def test_who_gives_way(stages: list[tuple[str, tuple[str, ...]]], before: list[int], behind: list[int]) -> None:
    placed = tuple(Placed(Stage(f"{n}", *each), None) for n, each in enumerate(stages))
    pipe = Pipe(1, placed, whole=True)
    for processors, left in (({3, 1, 5}, frozenset({1, 3})), ({4}, None), (set(), None)):
        wanted = [Priority()] * len(placed)
        for n in before:
            wanted[n] = Priority(later=10, processors=left)
        for n in behind:
            wanted[n] = Priority(10, processors=None if n == len(placed) - 1 else left)
        assert [priority(pipe, each, frozenset(processors)) for each in placed] == wanted


def wait_for_reader(fifo: Path, process: "subprocess.Popen[bytes]") -> int:
    """A descriptor to write to a FIFO, as soon as a stage reads it."""
    while process.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the pipeline ended")


def test_the_first_study_is_told_at_once(tmp_path: Path) -> None:
    """Others wait for it to give way; later ones are told twice a second at most."""
    progress = Progress(tmp_path / "p")
    for _ in range(2):
        progress.add(1, {}, rejected=False)
        state = read(tmp_path / "p")
        assert state is not None
        assert state.studies == 1


def test_the_display_says_what_each_stage_did_and_how_long_it_takes(tmp_path: Path) -> None:
    stages = tuple(Placed(Stage(name, name, ()), None) for name in ("extract-slices", "parse-reports", "pack"))
    files = [tmp_path / placed.stage.name for placed in stages]
    for path, studies, finished in zip(files, (120, 60), (True, False), strict=False):
        state = State(studies, 9 * studies, 2, {"E_CODEC": 2}, started=1000.0, at=1300.0, finished=finished)
        path.write_text(json.dumps(state._asdict()))
    first, second, third = Display(Pipe(1, stages, True), files, None).lines()
    assert first.split() == [
        "extract-slices",
        "120",
        "studies",
        "in,",
        "1080",
        "records",
        "out,",
        "2",
        "rejected,",
        "24.0/min,",
        "done",
    ]
    assert second.endswith("60/120 studies in, 540 records out, 2 rejected, 12.0/min, 5 min left")
    assert "running for" in third, "one that does not count says so"
