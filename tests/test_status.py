"""rrg status: what journals and outputs tell while stages run, after they were killed, and over shards."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rrg.codec import encode
from rrg.provenance import make_run
from rrg.records import End, Slice
from tests.conftest import Rrg

STAGE = [sys.executable, "-m", "tests.stage"]
ROOT = Path(__file__).parents[1]
STUDIES = 12


def slice_of(number: int) -> Slice:
    return Slice(
        id=f"s{number}",
        patient=f"p{number}",
        study=f"study{number}",
        series=f"x{number}",
        index=0,
        count=1,
        pixels=f"series/x{number}#0",
        sha256="0" * 64,
        rows=4,
        columns=4,
        dtype="int16",
        unit="HU",
        modality="CT",
        spacing_mm=(1.0, 1.0),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        position_mm=(0.0, 0.0, float(number)),
    )


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    run = make_run("test", {})
    path = tmp_path / "in.jsonl"
    lines = [encode(run), *(encode(slice_of(number)) for number in range(STUDIES)), encode(End(run=run.id, counts={}))]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def told(rrg: Rrg, folder: Path, *more: object) -> dict[str, Any]:
    lines = [json.loads(line) for line in rrg("status", folder, "--json", *more).stdout.splitlines()]
    assert lines[-1]["disk"]["free"] > 0
    return {line["stage"]: line for line in lines[:-1]}


def wait_for_studies(process: "subprocess.Popen[bytes]", journal: Path, studies: int) -> None:
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b'"key"') < studies):
        time.sleep(0.02)


def test_a_stage_is_seen_running_then_stopped_then_finished(rrg: Rrg, stream: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    command = [*STAGE, str(stream), "--out", str(work / "out.jsonl"), "--bad", "s1"]
    process = subprocess.Popen([*command, "--seconds", "0.3"], cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for_studies(process, work / "out.jsonl.journal", 4)
    now = told(rrg, work, "--total", stream)["out.jsonl"]
    assert process.poll() is None, "the stage was over before it was looked at"
    assert now["tasks"] == {"running": 1}
    assert 4 <= now["done"] < STUDIES
    assert now["total"] == STUDIES
    assert now["rejected"] == {"E_CODEC": 1}
    assert 0 < now["per_hour"] <= 3600 / 0.3 * 1.01
    assert now["seconds_left"] > 0

    process.send_signal(signal.SIGKILL)
    process.wait()
    journal = work / "out.jsonl.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"key": "torn", "bytes": 1000, "counts": {}}\nhalf')
    after = told(rrg, work, "--total", STUDIES)["out.jsonl"]
    assert after["tasks"] == {"stopped": 1}
    assert after["behind"] == ["out.jsonl"]
    assert after["seconds_left"] is None
    assert after["done"] == whole.count(b'"key"')
    assert told(rrg, work, "--stale", 0)["out.jsonl"]["tasks"] == {"stale": 1}

    subprocess.run([*command, "--resume"], cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    done = told(rrg, work)["out.jsonl"]
    assert done["tasks"] == {"finished": 1}
    assert done["records"] == {"prediction": STUDIES - 1}


def test_tasks_of_an_array_are_one_stage(rrg: Rrg, stream: Path, tmp_path: Path) -> None:
    for task in (1, 2):
        out = ["--tee", str(tmp_path / "w" / f"masks.{task}.jsonl"), "--shard", f"{task}/3"]
        subprocess.run([*STAGE, str(stream), *out], cwd=ROOT, capture_output=True, check=True)
    (tmp_path / "w" / "masks.3.jsonl.partial").write_bytes(b"")
    (tmp_path / "w" / "masks.3.jsonl.journal").write_bytes(b"")
    (stage,) = told(rrg, tmp_path / "w", "--total", STUDIES).values()
    assert stage["stage"] == "masks.*.jsonl"
    assert stage["tasks"] == {"finished": 2, "stopped": 1}
    assert stage["behind"] == ["masks.3.jsonl"]
    assert 0 < stage["done"] < STUDIES
    table = rrg("status", tmp_path / "w").stdout.decode()
    assert "2 finished, 1 stopped" in table
    assert "masks.3.jsonl" in table.splitlines()[-2]


def test_a_stage_with_other_options_counts_its_own_studies_only(rrg: Rrg, stream: Path, tmp_path: Path) -> None:
    command = [*STAGE, str(stream), "--tee", str(tmp_path / "w" / "out.jsonl"), "--resume"]
    for bad in ("none", "s3"):
        subprocess.run([*command, "--bad", bad], cwd=ROOT, capture_output=True, check=False)
    (stage,) = told(rrg, tmp_path / "w").values()
    assert stage["done"] == STUDIES
    assert stage["rejected"] == {"E_CODEC": 1}


def test_a_folder_that_is_not_there_is_one_line(rrg: Rrg, tmp_path: Path) -> None:
    done = rrg("status", tmp_path / "none", code=2)
    assert done.stderr.count(b"\n") == 1
    assert b"no such folder" in done.stderr
    assert b"no outputs" in rrg("status", tmp_path).stdout
    assert not any(tmp_path.iterdir())
