"""The program itself: help, version, closed and full streams, arguments of the shared options."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Rrg

RRG = [sys.executable, "-m", "rrg"]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["schema", "slice"], ["score", "--protocols"]])
def test_a_full_stdout_is_one_line_and_exit_1(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*RRG, *words], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"No space left" in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["schema", "sample"]])
def test_a_reader_that_leaves_is_silent_141(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*RRG, *words], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_stdout_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"mine": 1}\n')
    line = f"{sys.executable} -m rrg sort {tmp_path}/in.jsonl >&-"
    done = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, check=False)
    assert b"Traceback" not in done.stderr


def test_json_that_is_nested_too_deep_is_one_line(rrg: Rrg) -> None:
    done = rrg("sort", "--quiet", stdin=b"[" * 200_000 + b"\n", code=1)
    assert b"not JSON" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("place", ["--out", "--tee"])
def test_an_input_is_never_overwritten(rrg: Rrg, tmp_path: Path, place: str) -> None:
    for name in ("a.jsonl", "b.jsonl.partial"):
        path = tmp_path / name
        path.write_text('{"mine": 1}\n')
        done = rrg("sort", path, place, str(path).removesuffix(".partial"), code=2)
        assert b"is an input" in done.stderr
        assert path.read_text() == '{"mine": 1}\n'


@pytest.mark.parametrize("command", [["sort", "--tee"], ["view", "--store", "x", "--page"]])
def test_a_device_is_never_replaced(rrg: Rrg, tmp_path: Path, command: list[str]) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = rrg(*command, fifo, stdin=b'{"mine": 1}\n', code=None)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr
    assert fifo.is_fifo()


def test_shards_of_slurm(rrg: Rrg) -> None:
    def ask(task: int | None, of: int | None) -> "subprocess.CompletedProcess[bytes]":
        env = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": of}
        return rrg("sort", "--shard", "slurm", env={k: str(v) for k, v in env.items() if v is not None}, code=None)

    assert ask(2, 4).returncode == 0
    for task, of in ((None, None), (7, 1), (0, 2), (9, 2)):
        done = ask(task, of)
        assert done.returncode == 2, done.stderr
        assert b"--shard slurm" in done.stderr


def test_a_run_folder_that_is_cut_off_is_one_line(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    done = rrg("infer", tmp_path, "--model", tmp_path / "run", code=None)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line]) == 1


@pytest.mark.parametrize(("given", "wanted"), [(None, "1"), ("3", "3")])
def test_matrices_take_one_thread_unless_told_otherwise(given: str | None, wanted: str) -> None:
    """More of them wait busily, and take the processors from the other stages of a pipe."""
    code = "import os; from rrg import cli; cli.run = lambda *_: print(os.environ['OPENBLAS_NUM_THREADS']); cli.main()"
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    env |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code, "segment"], capture_output=True, env=env, check=True)
    assert done.stdout.decode().strip() == wanted
