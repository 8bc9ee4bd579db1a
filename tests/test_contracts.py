"""Command x contract: what every command of the box promises, tested on real processes over small phantom data."""

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Done, Rrg

FOREIGN = b'{"mine":  [1, 2],"ok":true}'


@dataclass(frozen=True)
class Row:
    """How to call a command on the small data, and which contracts hold for it."""

    arguments: str
    reads: str | None
    """File of records for its stdin; None: it makes records out of something else."""
    groups: bool = True
    """Works study by study: workers, shards, journal."""


TABLE = {
    "extract-slices": Row("demo/dicom --store store", None),
    "parse-reports": Row("--reports demo/reports", "slices.jsonl"),
    "segment": Row("--engine masks --masks demo/masks --store store", "reports.jsonl"),
    "synth-vqa": Row("", "masks.jsonl"),
    "synth-ground": Row("--pair mask --border drop --negatives 0.4", "masks.jsonl"),
    "sort": Row("", "samples.jsonl"),
    "infer": Row("--model gguf --store store --task detect --max-new-tokens 8", "few.jsonl"),
}
FILTERS = sorted(name for name, row in TABLE.items() if row.reads)
GROUPED = sorted(set(TABLE) - {"sort"})


@pytest.fixture(scope="session")
def side(tmp_path_factory: pytest.TempPathFactory, rrg: Rrg) -> Path:
    """Twelve small phantom studies through every stage, a tiny model that was hardly trained, its GGUF."""
    folder = tmp_path_factory.mktemp("side")

    def go(*arguments: object) -> None:
        rrg(*arguments, cwd=folder)

    go("phantom", "--out", "demo", "--studies", 12, "--slices", 5, "--size", 64)
    go("extract-slices", "demo/dicom", "--store", "store", "--out", "slices.jsonl")
    go("parse-reports", "slices.jsonl", "--reports", "demo/reports", "--out", "reports.jsonl")
    masks = ["--engine", "masks", "--masks", "demo/masks", "--store", "store"]
    go("segment", "reports.jsonl", *masks, "--out", "masks.jsonl")
    go("synth-vqa", "masks.jsonl", "--out", "vqa.jsonl")
    go("synth-ground", "vqa.jsonl", "--out", "samples.jsonl")
    go("pack", "samples.jsonl", "--store", "store", "--out", "dataset", "--split", "40,20,40")
    go("train", "dataset", "--model", "tiny", "--out", "run", "--tower-steps", 2, "--sft-steps", 2)
    go("export", "run", "--to", "gguf", "--out", "gguf")
    go("infer", "dataset", "--split", "test", "--limit", 20, "--model", "gguf", "--out", "predictions.jsonl")
    lines = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    samples = [line for line in lines if b"rrg.sample/1" in line]
    chosen = set(random.Random(0).sample(samples, 6))
    (folder / "few.jsonl").write_bytes(b"".join(line for line in lines if line not in samples or line in chosen))
    return folder


def call(side: Path, name: str, *more: object) -> list[str]:
    return [sys.executable, "-m", "rrg", name, *shlex.split(TABLE[name].arguments), *map(str, more)]


def source_of(side: Path, name: str) -> Path:
    reads = TABLE[name].reads
    return side / reads if reads else Path(os.devnull)


def run(side: Path, key_file: Path, name: str, *more: object, stdin: bytes | None = None) -> Done:
    given = source_of(side, name).read_bytes() if stdin is None else stdin
    env = {**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1"}
    return subprocess.run(call(side, name, *more), input=given, capture_output=True, cwd=side, env=env, check=False)


def records(out: bytes) -> list[bytes]:
    """Records of studies, without the brackets of runs."""
    return [line for line in out.splitlines() if b'"study"' in line]


@pytest.mark.parametrize("name", FILTERS)
def test_empty_input_is_run_and_end_only(side: Path, key_file: Path, name: str) -> None:
    more = ["--unmatched", "keep"] if name == "parse-reports" else []
    done = run(side, key_file, name, *more, stdin=b"")
    if name == "parse-reports":  # its reports are input too
        assert done.returncode == 0
        return
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert b"rrg.run/1" in lines[0]
    assert b"rrg.end/1" in lines[1]


@pytest.mark.parametrize("name", sorted(TABLE))
def test_head_ends_it_silently_with_141(side: Path, key_file: Path, name: str) -> None:
    env = {**os.environ, "RRG_KEY_FILE": str(key_file), "RRG_QUIET": "1"}
    with source_of(side, name).open("rb") as source:
        process = subprocess.Popen(
            call(side, name, "--flush"), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=side, env=env
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait() == 141, said
    assert b"Traceback" not in said
    assert b"roken" not in said


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_full_disk_is_exit_1(side: Path, key_file: Path, name: str) -> None:
    env = {**os.environ, "RRG_KEY_FILE": str(key_file)}
    with source_of(side, name).open("rb") as source, Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            call(side, name), stdin=source, stdout=full, stderr=subprocess.PIPE, cwd=side, env=env, check=False
        )
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", GROUPED)
def test_two_workers_give_the_same_bytes(side: Path, key_file: Path, name: str) -> None:
    one, two = (run(side, key_file, name, "--workers", n).stdout for n in (1, 2))
    assert one == two
    assert len(records(one)) > 3


@pytest.mark.parametrize("name", GROUPED)
def test_the_shards_together_are_the_whole(side: Path, key_file: Path, name: str) -> None:
    parts = [records(run(side, key_file, name, "--shard", f"{i}/2").stdout) for i in (1, 2)]
    whole = records(run(side, key_file, name).stdout)
    assert sorted(parts[0] + parts[1]) == sorted(whole)


@pytest.mark.parametrize("name", GROUPED)
def test_killed_and_resumed_gives_the_same_bytes(side: Path, key_file: Path, name: str, tmp_path: Path) -> None:
    expected = run(side, key_file, name).stdout
    out = tmp_path / "out.jsonl"
    env = {**os.environ, "RRG_KEY_FILE": str(key_file)}
    with source_of(side, name).open("rb") as source:
        process = subprocess.Popen(
            call(side, name, "--out", out), stdin=source, stderr=subprocess.DEVNULL, cwd=side, env=env
        )
        journal = out.with_name("out.jsonl.journal")
        while process.poll() is None and not (journal.exists() and journal.stat().st_size):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = run(side, key_file, name, "--out", out, "--resume")
    assert done.returncode in (0, 3), done.stderr
    assert out.read_bytes() == expected


@pytest.mark.parametrize("name", FILTERS)
def test_a_foreign_record_passes_unchanged(side: Path, key_file: Path, name: str) -> None:
    reads = TABLE[name].reads
    assert reads is not None
    lines = (side / reads).read_bytes().splitlines()
    lines.insert(len(lines) // 2, FOREIGN)
    done = run(side, key_file, name, stdin=b"\n".join(lines))
    assert done.returncode in (0, 3), done.stderr
    assert done.stdout.splitlines().count(FOREIGN) == 1


@pytest.mark.parametrize("name", FILTERS)
def test_a_line_that_is_not_json_is_one_line_and_exit_1(side: Path, key_file: Path, name: str) -> None:
    done = run(side, key_file, name, "--quiet", stdin=b'{"schema": "rrg.run/1"\n')
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line]
    assert len(said) == 1, done.stderr
    assert b"line 1" in said[0]


@pytest.mark.parametrize("name", FILTERS)
def test_a_terminal_as_input_is_a_usage_error(side: Path, key_file: Path, name: str) -> None:
    import pty

    leader, follower = pty.openpty()
    env = {**os.environ, "RRG_KEY_FILE": str(key_file)}
    try:
        done = subprocess.run(
            call(side, name), stdin=follower, capture_output=True, cwd=side, env=env, check=False, timeout=120
        )
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == 2
    assert b"stdin is a terminal" in done.stderr


@pytest.mark.parametrize("name", FILTERS)
def test_a_closed_stdin_is_a_usage_error(side: Path, key_file: Path, name: str) -> None:
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *call(side, name)]
    env = {**os.environ, "RRG_KEY_FILE": str(key_file)}
    done = subprocess.run(shell, capture_output=True, cwd=side, env=env, check=False, timeout=120)
    assert done.returncode == 2
    assert b"stdin is closed" in done.stderr


@pytest.mark.parametrize("task", ["vqa", "boxes"])
def test_scores_of_a_closed_stdin_are_a_usage_error(task: str, tmp_path: Path) -> None:
    references = tmp_path / "coco.json"
    references.write_text('{"images": [], "annotations": [], "categories": []}')
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "rrg", "score", task, "-", str(references)]
    done = subprocess.run(shell, capture_output=True, check=False, timeout=120)
    assert done.returncode == 2
    assert b"stdin is closed" in done.stderr


def all_commands() -> list[str]:
    from rrg.cli import COMMANDS

    return list(COMMANDS)


MAKES = {"phantom": "demo", "pack": "dataset", "train": "run", "export": "gguf"}
"""Command -> folder that its example makes."""


def example(rrg: Rrg, name: str) -> str:
    """The example of a command's help, which may be wrapped over several lines."""
    text = rrg(name, "--help").stdout.decode()
    return " ".join(text.partition("Example:")[2].partition("\n\n")[0].split())


@pytest.mark.parametrize("name", all_commands())
def test_help_has_an_example_that_runs(side: Path, key_file: Path, rrg: Rrg, name: str, tmp_path: Path) -> None:
    line = example(rrg, name)
    assert f"rrg {name} " in line, line
    if name == "train":
        line += " --tower-steps 2 --sft-steps 2"  # as it stands it takes minutes
    for entry in side.iterdir():
        if entry.is_file():
            shutil.copy(entry, tmp_path)
        elif entry.name != MAKES.get(name):
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "examples").symlink_to(Path(__file__).parents[1] / "examples")
    program = tmp_path / "bin"
    program.mkdir()
    (program / "rrg").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rrg "$@"\n')
    (program / "rrg").chmod(0o755)
    env = {**os.environ, "RRG_KEY_FILE": str(key_file), "PATH": f"{program}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, check=False, input=b"")
    fine = (0, 1, 3) if name == "doctor" else (0, 3)  # 1: something of this machine is broken, as a full disk
    assert done.returncode in fine, f"{line}\n{done.stderr.decode()[-1500:]}"


@pytest.mark.parametrize("name", all_commands())
def test_the_readme_names_the_command(name: str) -> None:
    assert f"`{name}`" in (Path(__file__).parents[1] / "README.md").read_text()


def test_an_unknown_command_names_the_nearest(rrg: Rrg) -> None:
    done = rrg("segmnt", code=2)
    assert b"did you mean 'segment'?" in done.stderr


def test_a_pipe_whose_middle_died_never_ends_as_a_data_set(
    side: Path, key_file: Path, rrg: Rrg, tmp_path: Path
) -> None:
    lines = (side / "samples.jsonl").read_bytes().splitlines(keepends=True)
    cut = b"".join(lines[: len(lines) * 2 // 3])
    done = rrg("pack", "--store", side / "store", "--out", tmp_path / "dataset", stdin=cut, code=1)
    assert b"cut short" in done.stderr
    assert not (tmp_path / "dataset").exists()
