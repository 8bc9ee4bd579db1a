"""The loop behind every command: order, errors, journal, signals, shards, closed pipes, full disks."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rrg.codec import encode
from rrg.errors import RrgError
from rrg.records import End, Run, Slice
from rrg.stream import PIPE, places, read_lines

STAGE = [sys.executable, str(Path(__file__).parent / "stage.py")]


def slices(study: str, count: int = 3) -> list[bytes]:
    return [
        encode(
            Slice(
                id=f"{study}-{index}",
                patient=f"patient of {study}",
                study=study,
                series=f"series of {study}",
                index=index,
                count=count,
                pixels=f"series/{study}#{index}",
                sha256="0",
                rows=4,
                columns=4,
                dtype="int16",
                unit="HU",
                modality="CT",
            )
        )
        for index in range(count)
    ]


def stream(studies: int = 6, extra: bytes = b'{"mine":  1}') -> bytes:
    run = Run(id="up", command="extract-slices", version="0", options={})
    lines = [encode(run), extra]
    for study in range(studies):
        lines += slices(f"s{study}")
    return b"\n".join([*lines, encode(End(run="up", counts={}))]) + b"\n"


def stage(*arguments: object, stdin: bytes | None = None, code: int | None = 0) -> bytes:
    done = subprocess.run([*STAGE, *map(str, arguments)], input=stdin or stream(), capture_output=True, check=False)
    if code is not None:
        assert done.returncode == code, done.stderr.decode()
    return done.stdout


def test_what_a_stage_needs_is_loaded_before_the_first_study_comes() -> None:
    """In this process; workers load it with theirs."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    for workers, said in (("1", [b"ready\n"]), ("2", [])):
        with subprocess.Popen([*STAGE, "--ready", "--workers", workers], **pipes) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            for line in said:
                assert process.stderr.readline() == line
            process.stdin.write(stream())
            process.stdin.close()
            assert b"ready" not in process.stderr.read()


def test_lines_pass_byte_for_byte_and_new_records_follow_their_study() -> None:
    out = stage().splitlines()
    made = [line for line in out if b"rrg.prediction/1" in line]
    assert [line for line in out[1:-1] if line not in made] == stream().splitlines()
    assert len(made) == 18
    assert out.index(made[0]) == out.index(slices("s0")[-1]) + 1
    assert json.loads(out[0])["schema"] == "rrg.run/1"
    assert json.loads(out[-1]) == {
        "schema": "rrg.end/1",
        "run": json.loads(out[0])["id"],
        "counts": {"prediction": 18, "seen": 18},
    }


def test_what_a_library_prints_never_reaches_the_stream() -> None:
    assert b"a library talks" not in stage()


@pytest.mark.parametrize("workers", [2, 3])
def test_same_bytes_with_workers(workers: int) -> None:
    assert stage("--workers", workers) == stage()


def test_shards_are_disjoint_and_their_union_is_the_whole() -> None:
    def made(out: bytes) -> list[bytes]:
        return sorted(line for line in out.splitlines() if b'"study"' in line or b"mine" in line)

    parts = [made(stage("--shard", f"{i}/3")) for i in (1, 2, 3)]
    assert sorted(line for part in parts for line in part) == made(stage())
    assert sum(bool(part) for part in parts) > 1


def test_a_rejected_study_becomes_an_error_record_and_exit_3() -> None:
    out = stage("--bad", "s2-1", code=3).splitlines()
    errors = [json.loads(line) for line in out if b"rrg.error/1" in line]
    assert [(e["code"], e["source"], e["study"]) for e in errors] == [("E_CODEC", "s2", "s2")]
    assert sum(b"rrg.prediction/1" in line for line in out) == 5 * 3 + 1
    assert all(line in out for line in stream().splitlines())


def test_on_error_fail_stops_after_the_error_record(tmp_path: Path) -> None:
    out = stage("--bad", "s2-1", "--on-error", "fail", code=1)
    assert b"E_CODEC" in out
    assert b"s4-0" not in out
    stage("--bad", "s2-1", "--on-error", "fail", "--out", tmp_path / "o", code=1)
    assert not (tmp_path / "o").exists()


def test_nothing_usable_is_exit_1() -> None:
    only = encode(Run(id="up", command="x", version="0", options={})) + b"\n" + slices("s0", 1)[0]
    stage("--bad", "s0-0", stdin=only, code=1)


def test_a_study_that_comes_back_is_refused() -> None:
    lines = [*slices("a"), *slices("b"), *slices("a")]
    done = subprocess.run(STAGE, input=b"\n".join(lines), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"rrg sort" in done.stderr


def test_several_files_are_merged_by_study(tmp_path: Path) -> None:
    whole = stream().splitlines()
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(b"\n".join(line for n, line in enumerate(whole) if n % 2 == 0))
    second.write_bytes(b"\n".join(line for n, line in enumerate(whole) if n % 2 == 1))
    out = stage(first, second).splitlines()
    assert sum(b"rrg.prediction/1" in line for line in out) == 18
    assert sorted(line for line in out[1:-1] if b"rrg.prediction" not in line) == sorted(whole)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"no json", b"stdin, line 9: not JSON"),
        (slices("x")[0].replace(b'"rows"', b'"rowz"'), b"rrg.slice/1 x-0: rowz"),
        (slices("x")[0].replace(b'"index":0', b'"index":7'), b"slice index 7 is outside of 0..2"),
    ],
)
def test_a_bad_line_is_one_line_on_stderr_and_exit_1(line: bytes, says: bytes) -> None:
    lines = [*stream(2).splitlines()[:-1], line]
    done = subprocess.run(STAGE, input=b"\n".join(lines), capture_output=True, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert b"Traceback" not in done.stderr
    assert sum(b"rrg.end/1" in line for line in done.stdout.splitlines()) == 0


def test_full_disk_is_exit_1() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(STAGE, input=stream(), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"No space left" in done.stderr


def test_out_to_a_fifo_or_device_is_written_in_place(tmp_path: Path) -> None:
    """A device must never be replaced by a file of its name."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen([*STAGE, "--out", str(fifo)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    reader = subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE)
    process.communicate(stream(), timeout=60)
    assert reader.communicate(timeout=60)[0] == stage()
    assert fifo.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


def test_a_reader_that_leaves_is_silent_141() -> None:
    process = subprocess.Popen(STAGE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(stream(2000))
    assert process.returncode == 141
    assert b"Broken" not in said


def test_two_writers_on_one_output(tmp_path: Path) -> None:
    out = tmp_path / "o"
    slow = subprocess.Popen(
        [*STAGE, "--seconds", "1", "--out", str(out)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not out.with_name("o.journal").exists():
        time.sleep(0.02)
    done = subprocess.run([*STAGE, "--out", str(out)], input=stream(), capture_output=True, check=False)
    slow.communicate(stream(1))
    assert done.returncode == 1
    assert b"E_LOCKED" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130), (9, -9)]
)
@pytest.mark.parametrize("place", ["--out", "--tee"])
@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_and_resumed_gives_the_same_bytes(
    tmp_path: Path, number: int, code: int, place: str, workers: int
) -> None:
    expected = stage("--seconds", 0)
    target = tmp_path / "o.jsonl"
    source = tmp_path / "in.jsonl"
    source.write_bytes(stream())
    command = [*STAGE, str(source), place, str(target), "--seconds", "0.15", "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    journal = target.with_name("o.jsonl.journal")
    while not (journal.exists() and journal.stat().st_size > 500):
        time.sleep(0.01)
    process.send_signal(number)
    time.sleep(0.05)  # two of one kind that wait for the process are one
    process.send_signal(number)  # as a terminal and a pipeline do, one after the other: one stop
    said = process.communicate()[1]
    assert process.returncode == code
    assert (b"--resume to go on" in said) == (code > 0)
    assert not target.exists()
    start = time.monotonic()
    done = subprocess.run([*command, "--resume"], capture_output=True, check=True)
    assert target.read_bytes() == expected
    if place == "--tee":
        assert done.stdout == expected
        again = subprocess.run([*command, "--seconds", "9", "--resume"], capture_output=True, check=True)
        assert again.stdout == expected  # nothing is computed twice
    assert time.monotonic() - start < 60


def test_resume_recomputes_only_what_changed(tmp_path: Path) -> None:
    target, source = tmp_path / "o", tmp_path / "in"
    source.write_bytes(stream(3))
    stage(source, "--tee", target)
    changed = stream(3).replace(b'{"mine":  1}', b'{"mine":  2}')
    source.write_bytes(changed)
    begin = time.monotonic()
    again = stage(source, "--tee", target, "--resume", "--seconds", 30)
    assert time.monotonic() - begin < 20
    assert b'{"mine":  2}' in again
    source.write_bytes(stream(4))
    assert stage(source, "--tee", target, "--resume") == stage(source)


def test_a_torn_journal_is_cut_not_believed(tmp_path: Path) -> None:
    target, source = tmp_path / "o", tmp_path / "in"
    source.write_bytes(stream())
    expected = stage(source, "--tee", target)
    journal = target.with_name("o.journal")
    whole = journal.read_bytes()
    for cut in random.Random(0).sample(range(len(whole)), 8):
        journal.write_bytes(whole[:cut])
        assert stage(source, "--tee", target, "--resume") == expected


@pytest.mark.parametrize("read", [lambda path: read_lines([path]), places])
def test_a_line_without_end_is_no_record(
    read: Callable[[Path], Iterator[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrg.stream.LONGEST_LINE", 1 << 20)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"x": 1}\n' + b'{"x": "%s"}' % (b"a" * ((1 << 20) - 9)) + b"\n")
    with pytest.raises(RrgError, match=r"long.jsonl, line 2: longer than 1 MiB"):
        list(read(path))
    path.write_bytes(path.read_bytes().replace(b"aa", b"", 1))
    assert len(list(read(path))) == 2, "one that just fits is read"
    with pytest.raises(RrgError, match=r"zero, line 1: longer than 1 MiB"):
        list(read(Path("/dev/zero")))


@pytest.mark.parametrize(
    ("data", "head"),
    [
        (b'{"schema":"a","x":[1,{"y":null}],"patient":"p","study":3}', {"schema": "a", "patient": "p", "study": 3}),
        (b'{"schema":"a","schema":"b"}', {"schema": "b"}),
        (b'{"x":NaN,"study":"s"}', {"study": "s"}),
        (b'{"x":"\\ud800","study":"s"}', {"x": "\ud800", "study": "s"}),
        (b'\xef\xbb\xbf{"study":"s"}', {"study": "s"}),
        (b'\x1e{"study":"s"}', {"study": "s"}),
        (b"[1]", [1]),
        (b"3", 3),
    ],
)
def test_the_head_of_a_line(data: bytes, head: object, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b" \n" + data + b"\r\n\n")
    (line,) = read_lines([path])
    assert line.head == head
    assert line.raw == data.removeprefix(b"\x1e").removeprefix(b"\xef\xbb\xbf")
    assert repr(line.value) == repr(json.loads(line.raw))


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":"\xff"}',
        b'{"a":01}',
        b"null",
        b'{"a":' + b"[" * 9999 + b"]" * 9999 + b"}",
        b"{'a':1}",
        b'{"study":"\xed\xa0\x80"}',
        b'{"study":"\\ud800"}',
        '{"study":"s"}'.encode("utf-16-le"),
    ],
)
def test_what_is_no_json_is_refused_wherever_it_breaks(data: bytes, tmp_path: Path) -> None:
    """Also in what nobody asks for: a line is read whole."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"schema":"a"}\n' + data + b"\n")
    with pytest.raises(RrgError, match=r"in.jsonl, line 2: not JSON; every line must be one JSON object"):
        list(read_lines([path]))


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux makes pipes wider")
def test_a_stage_writes_into_a_wide_pipe() -> None:
    """All samples of a study fit, so that the stage goes on to its next study."""
    if int(Path("/proc/sys/fs/pipe-max-size").read_text()) < PIPE:
        pytest.skip(f"this system lets no pipe hold {PIPE} bytes")
    code = "from rrg.stream import claim_stdout; claim_stdout().write(b'{}')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stage:
        assert stage.stdout is not None
        assert stage.stdout.read() == b"{}"
        assert fcntl.fcntl(stage.stdout, fcntl.F_GETPIPE_SZ) == PIPE
