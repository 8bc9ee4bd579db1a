"""--only-referenced: reports choose the slices, by headers alone; what is stored is what a whole extraction stores."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from rrg import private, store
from tests.conftest import Rrg


def lines(raw: bytes, kind: str) -> list[dict[str, Any]]:
    return [each for each in map(json.loads, raw.splitlines()) if each["schema"] == f"rrg.{kind}/1"]


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory, rrg: Rrg) -> Path:
    """Phantom studies, their index, their whole extraction, and reports resolved on the index."""
    folder = tmp_path_factory.mktemp("referenced")
    rrg("phantom", "--out", "demo", "--studies", 6, "--slices", 12, "--size", 64, cwd=folder)
    rrg("extract-slices", "demo/dicom", "--index", "index", cwd=folder)
    rrg("extract-slices", "demo/dicom", "--store", "whole", "--out", "slices.jsonl", cwd=folder)
    rrg("parse-reports", "--reports", "demo/reports", "--index", "index", "--out", "reports.jsonl", cwd=folder)
    return folder


def test_references_resolve_on_headers_as_on_slices(side: Path, rrg: Rrg) -> None:
    on_slices = rrg("parse-reports", "slices.jsonl", "--reports", "demo/reports", cwd=side).stdout
    by_index = {each["id"]: each for each in lines((side / "reports.jsonl").read_bytes(), "report")}
    by_slice = {each["id"]: each for each in lines(on_slices, "report")}
    for each in (*by_index.values(), *by_slice.values()):
        each["run"] = ""  # what an index decides once for all studies stands in the run record
    assert by_index == by_slice
    assert any(reference["status"] == "resolved" for each in by_index.values() for reference in each["references"])


def extract(rrg: Rrg, side: Path, into: str, *more: object, code: int = 0) -> list[dict[str, Any]]:
    arguments = ["reports.jsonl", "--index", "index", "--only-referenced", "--store", into, *more]
    return lines(rrg("extract-slices", *arguments, cwd=side, code=code).stdout, "slice")


def cited(side: Path) -> set[str]:
    reports = lines((side / "reports.jsonl").read_bytes(), "report")
    return {name for each in reports for reference in each["references"] for name in reference["slices"]}


def test_the_cited_slices_and_no_others_with_the_same_records_and_pixels(side: Path, rrg: Rrg) -> None:
    found = {each["id"]: each for each in extract(rrg, side, "sparse")}
    whole = {each["id"]: each for each in lines((side / "slices.jsonl").read_bytes(), "slice")}
    assert set(found) == cited(side)
    assert 0 < len(found) < len(whole)
    for name, record in found.items():
        expected = whole[name]
        assert {**record, "run": ""} == {**expected, "run": ""}
        assert np.array_equal(
            store.read(side / "sparse", record["pixels"]), store.read(side / "whole", record["pixels"])
        )
    assert sum(path.is_file() for path in (side / "sparse" / "series").glob("*/**/*")) == 2 * len(
        {record["series"] for record in found.values()}
    )


def test_context_adds_neighbours_of_the_same_series(side: Path, rrg: Rrg) -> None:
    found = extract(rrg, side, "context", "--context", 1)
    places = {(each["series"], each["index"]) for each in found}
    whole = {each["id"]: each for each in lines((side / "slices.jsonl").read_bytes(), "slice")}
    expected = set()
    for name in cited(side):
        record = whole[name]
        around = range(max(record["index"] - 1, 0), min(record["index"] + 2, record["count"]))
        expected |= {(record["series"], index) for index in around}
    assert places == expected


def test_later_reports_add_to_a_series_and_lose_nothing(side: Path, rrg: Rrg) -> None:
    reports = (side / "reports.jsonl").read_bytes().splitlines(keepends=True)
    of_report = [line for line in reports if b"rrg.report/1" in line]
    halves = []
    for number, keep in enumerate((of_report[::2], of_report[1::2])):
        part = side / f"half{number}.jsonl"
        part.write_bytes(b"".join(line for line in reports if line not in of_report or line in keep))
        arguments = [part.name, "--index", "index", "--only-referenced", "--store", "twice"]
        halves.append({each["id"]: each for each in lines(rrg("extract-slices", *arguments, cwd=side).stdout, "slice")})
    for record in (halves[0] | halves[1]).values():
        expected = store.read(side / "whole", record["pixels"])
        assert np.array_equal(store.read(side / "twice", record["pixels"]), expected)
        assert list(private.find(side / "twice", record["id"]))
    extract(rrg, side, "once")
    for shard in (side / "once" / "series").rglob("zarr.json"):
        series = shard.parent.name
        assert np.array_equal(
            store.read_volume(side / "once", f"series/{series}"), store.read_volume(side / "twice", f"series/{series}")
        )


def test_no_other_file_is_opened(side: Path, rrg: Rrg, tmp_path: Path) -> None:
    shutil.copytree(side / "demo" / "dicom", tmp_path / "dicom", copy_function=shutil.copy2)
    rrg("extract-slices", "dicom", "--index", "index", cwd=tmp_path)
    whole = lines((side / "slices.jsonl").read_bytes(), "slice")
    names = {}
    for study in {each["study"] for each in whole}:
        for series in (private.study_of(side / "whole", study) or {})["series"].values():
            names |= {name: entry["file"] for name, entry in series["slices"].items()}
    wanted = {names[name] for name in cited(side)}
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        if str(path.relative_to(tmp_path / "dicom")) not in wanted:
            path.write_bytes(b"")  # whoever opens it finds nothing
    shutil.copy(side / "reports.jsonl", tmp_path)
    arguments = ["reports.jsonl", "--index", "index", "--only-referenced", "--store", "s"]
    found = lines(rrg("extract-slices", *arguments, cwd=tmp_path).stdout, "slice")
    assert {each["id"] for each in found} == cited(side)


def test_a_cited_slice_that_is_gone_is_an_error(side: Path, rrg: Rrg, tmp_path: Path) -> None:
    shutil.copytree(side / "demo" / "dicom", tmp_path / "dicom", copy_function=shutil.copy2)
    for path in sorted((tmp_path / "dicom").iterdir())[:1]:
        shutil.rmtree(path)
    rrg("extract-slices", "dicom", "--index", "index", cwd=tmp_path)
    shutil.copy(side / "reports.jsonl", tmp_path)
    arguments = ["reports.jsonl", "--index", "index", "--only-referenced", "--store", "s"]
    done = rrg("extract-slices", *arguments, cwd=tmp_path, code=3)
    assert [each["code"] for each in lines(done.stdout, "error")] == ["E_REFERENCE"]


def test_workers_and_resume_give_the_same_bytes(side: Path, rrg: Rrg) -> None:
    arguments = ["reports.jsonl", "--index", "index", "--only-referenced", "--context", 2, "--store", "again"]
    one = rrg("extract-slices", *arguments, cwd=side).stdout
    assert rrg("extract-slices", *arguments, "--workers", 2, cwd=side).stdout == one
    rrg("extract-slices", *arguments, "--out", "o.jsonl", "--resume", cwd=side)
    assert (side / "o.jsonl").read_bytes() == one


def copied(side: Path, into: Path, rrg: Rrg) -> list[Path]:
    """The studies and their index elsewhere; the files that reports point at."""
    shutil.copytree(side / "demo" / "dicom", into / "dicom", copy_function=shutil.copy2)
    rrg("extract-slices", "dicom", "--index", "index", cwd=into)
    shutil.copy(side / "reports.jsonl", into)
    found = []
    for study in {each["study"] for each in lines((side / "slices.jsonl").read_bytes(), "slice")}:
        for series in (private.study_of(side / "whole", study) or {})["series"].values():
            found += [into / "dicom" / each["file"] for id_, each in series["slices"].items() if id_ in cited(side)]
    return sorted(found)


def test_a_file_that_was_replaced_gives_no_wrong_pixels(side: Path, rrg: Rrg, tmp_path: Path) -> None:
    one, other, gone, *_ = copied(side, tmp_path, rrg)
    swapped = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(swapped)
    gone.unlink()
    arguments = ["reports.jsonl", "--index", "index", "--only-referenced", "--store", "s"]
    done = rrg("extract-slices", *arguments, cwd=tmp_path, code=3)
    assert [each["code"] for each in lines(done.stdout, "error")] == ["E_PATH"] * 3
    assert len(lines(done.stdout, "slice")) == len(cited(side)) - 3


def test_two_processes_add_to_one_series_and_lose_nothing(side: Path, rrg: Rrg, key_file: Path) -> None:
    reports = (side / "reports.jsonl").read_bytes().splitlines(keepends=True)
    for number in (0, 1):
        kept = []
        for line in reports:
            record = json.loads(line)
            for reference in record.get("references", ()):
                reference["slices"] = [id_ for id_ in reference["slices"] if int(id_, 16) % 2 == number]
            kept.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        (side / f"part{number}.jsonl").write_bytes(b"".join(kept))
    for attempt in range(3):
        command = [sys.executable, "-m", "rrg", "extract-slices", "--index", "index", "--only-referenced", "--store"]
        env = {**os.environ, "RRG_KEY_FILE": str(key_file)}
        running = [
            subprocess.Popen(
                [*command, f"both{attempt}", f"part{number}.jsonl"],
                cwd=side,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            for number in (0, 1)
        ]
        found = [record for process in running for record in lines(process.communicate()[0], "slice")]
        assert {record["id"] for record in found} == cited(side)
        for record in found:
            assert store.sha256_pixels(store.read(side / f"both{attempt}", record["pixels"])) == record["sha256"]


def test_another_membership_of_the_series_is_refused(side: Path, rrg: Rrg, tmp_path: Path) -> None:
    """Indices would shift under slices that are stored already."""
    copied(side, tmp_path, rrg)
    arguments = ["reports.jsonl", "--index", "index", "--only-referenced", "--store", "s"]
    rrg("extract-slices", *arguments, cwd=tmp_path)
    primary = sorted((tmp_path / "dicom").glob("*/*primary"))
    for folder in primary:
        paths = sorted(folder.iterdir())[:2]
        one, other = map(pydicom.dcmread, paths)
        one.ImagePositionPatient, other.ImagePositionPatient = other.ImagePositionPatient, one.ImagePositionPatient
        one.save_as(paths[0])
        other.save_as(paths[1])
    rrg("extract-slices", "dicom", "--index", "index", cwd=tmp_path)
    done = rrg("extract-slices", *arguments, cwd=tmp_path, code=None)
    assert "E_GRID" in {each["code"] for each in lines(done.stdout, "error")}
