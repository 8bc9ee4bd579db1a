"""rrg verify: every kind of damage is found, what can be mended is, and a patient who is taken out is gone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rrg.keys import pseudonym
from rrg.llm_cache import Cache
from rrg.llm_settings import Reply, Request
from rrg.provenance import sha256_file
from rrg.store import close_arrays
from rrg.verify import check
from tests.conftest import Rrg


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, rrg: Rrg) -> Path:
    folder = tmp_path_factory.mktemp("made")
    rrg("phantom", "--out", "demo", "--studies", 8, "--slices", 4, "--size", 48, cwd=folder)
    masks = ["--engine", "masks", "--masks", "demo/masks", "--store", "store"]
    rrg("extract-slices", "demo/dicom", "--store", "store", "--tee", "slices.jsonl", cwd=folder)
    rrg("parse-reports", "slices.jsonl", "--reports", "demo/reports", "--out", "reports.jsonl", cwd=folder)
    rrg("segment", "reports.jsonl", *masks, "--out", "masks.jsonl", cwd=folder)
    rrg("synth-ground", "masks.jsonl", "--out", "samples.jsonl", cwd=folder)
    rrg("pack", "samples.jsonl", "--store", "store", "--out", "dataset", "--split", "50,25,25", cwd=folder)
    rrg("extract-slices", "demo/dicom", "--index", "idx", cwd=folder)
    return folder


@pytest.fixture
def side(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "side")
    return tmp_path / "side"


def problems(rrg: Rrg, side: Path, *arguments: object, code: int = 1) -> list[dict[str, Any]]:
    if len(arguments) == 1 and code == 1:  # as the command does it, without a start of its own
        close_arrays()
        return [each._asdict() for each in check(side / str(arguments[0]))]
    done = rrg("verify", *arguments, "--json", cwd=side, code=code)
    assert b"Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def manifest(side: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((side / "dataset" / "manifest.json").read_text())
    return loaded


def chunk(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: Path, at: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.unlink()  # may be shared with another copy
    path.write_bytes(data)


def test_what_is_whole_has_no_problem(rrg: Rrg, made: Path) -> None:
    whole = ["dataset", "store", "idx", "samples.jsonl", "slices.jsonl.journal", "--store", "store"]
    assert problems(rrg, made, *whole, code=0) == []


def test_a_flipped_byte_in_an_array_is_found_and_taken_from_the_store_again(rrg: Rrg, side: Path) -> None:
    array = min(manifest(side)["arrays"])
    flip(chunk(side / "dataset" / "store" / array))
    found = problems(rrg, side, "dataset")
    assert (found[0]["kind"], found[0]["where"]) == ("damaged", array)
    before = (side / "dataset" / "manifest.json").read_bytes()
    assert problems(rrg, side, "dataset", "--repair", "--store", "store", code=0) == []
    assert (side / "dataset" / "manifest.json").read_bytes() == before


def test_without_a_good_copy_its_records_go(rrg: Rrg, side: Path) -> None:
    array = min(name for name in manifest(side)["arrays"] if name.startswith("series/"))
    shutil.rmtree(side / "dataset" / "store" / array)
    found = problems(rrg, side, "dataset")
    assert {each["kind"] for each in found} == {"missing", "dangling"}
    was = manifest(side)
    assert problems(rrg, side, "dataset", "--repair", code=0) == []
    now = manifest(side)
    assert array not in now["arrays"]
    assert now["id"] != was["id"]
    assert now["edited"][0]["was"] == was["id"]
    text = "".join((side / "dataset" / f"{split}.jsonl").read_text() for split in ("train", "val", "test"))
    assert array not in text


def test_a_changed_record_is_found_and_never_whitewashed(rrg: Rrg, side: Path) -> None:
    path = side / "dataset" / "train.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"lang":"de"', b'"lang":"en"', 1))
    (found,) = problems(rrg, side, "dataset")
    assert (found["kind"], found["where"]) == ("damaged", "train.jsonl")
    assert len(problems(rrg, side, "dataset", "--repair")) == 1


def test_a_patient_in_two_splits_is_a_leak(rrg: Rrg, side: Path) -> None:
    folder = side / "dataset"
    train, test = (folder / f"{split}.jsonl" for split in ("train", "test"))
    line = next(line for line in train.read_bytes().splitlines() if b"rrg.slice/1" in line[:30])
    lines = test.read_bytes().splitlines()
    at = next(place for place, each in enumerate(lines) if b"rrg.end/1" in each[:30])
    test.write_bytes(b"".join(each + b"\n" for each in [*lines[:at], line, *lines[at:]]))
    told = manifest(side)
    told["files"]["test.jsonl"] = {"bytes": test.stat().st_size, "sha256": sha256_file(test)}
    told["counts"]["test"]["slice"] = told["counts"]["test"].get("slice", 0) + 1
    (folder / "manifest.json").write_text(json.dumps(told))
    (found,) = problems(rrg, side, "dataset")
    assert found["kind"] == "leaked"
    patient = json.loads(line)["patient"]
    assert found["where"] == f"patient {patient}"
    assert problems(rrg, side, "dataset", "--repair", code=0) == []
    assert patient in train.read_text()
    assert patient not in test.read_text()


def test_streams_that_are_cut_or_dangle(rrg: Rrg, side: Path) -> None:
    path = side / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"rrg.end/1"' not in line[:30]))
    assert {each["kind"] for each in problems(rrg, side, "samples.jsonl")} == {"unresolved"}
    path.write_bytes(b"".join(lines[1:]))
    (found,) = problems(rrg, side, "samples.jsonl")
    assert found["kind"] == "unresolved"
    assert "no run record" in found["said"]
    path.write_bytes(b"".join(lines))
    shutil.rmtree(side / "store" / "masks")
    assert {each["kind"] for each in problems(rrg, side, "samples.jsonl", "--store", "store")} == {"dangling"}


def test_values_are_compared_with_the_records(rrg: Rrg, side: Path) -> None:
    """Another good array under the name: only the checksum in the slice records tells."""
    arrays = sorted((side / "store" / "series").iterdir())
    shutil.rmtree(arrays[0])
    shutil.copytree(arrays[1], arrays[0])
    assert problems(rrg, side, "store", code=0) == []
    found = problems(rrg, side, "slices.jsonl", "--store", "store")
    assert "damaged" in {each["kind"] for each in found} or {each["kind"] for each in found} == {"dangling"}


def test_a_store_is_read_to_the_last_chunk(rrg: Rrg, side: Path) -> None:
    array, nameless = sorted((side / "store" / "series").iterdir())[:2]
    flip(chunk(array), -10)
    (nameless / "zarr.json").unlink()
    (side / "store" / "series" / ".x.1.abcd.tmp").mkdir()
    found = problems(rrg, side, "store")
    assert sorted(each["kind"] for each in found) == ["damaged", "damaged", "unfinished"]
    assert problems(rrg, side, "store", "--repair", code=0) == []
    assert not array.exists()
    assert not nameless.exists()


def test_a_torn_journal_is_told(rrg: Rrg, side: Path) -> None:
    path = side / "slices.jsonl.journal"
    path.write_bytes(path.read_bytes()[:-5])
    (found,) = problems(rrg, side, "slices.jsonl.journal")
    assert found["kind"] == "unfinished"


@pytest.mark.parametrize("original", [False, True])
def test_forget_leaves_no_trace_of_a_patient(rrg: Rrg, side: Path, key_file: Path, original: bool) -> None:
    import pydicom

    patients = {
        str(pydicom.dcmread(path, stop_before_pixels=True).PatientID) for path in (side / "demo/dicom").rglob("*.dcm")
    }
    key = key_file.read_bytes()
    train = (side / "dataset" / "train.jsonl").read_text()
    id_ = min(id_ for id_ in patients if pseudonym(key, "patient", id_) in train)
    gone = pseudonym(key, "patient", id_)
    others = {pseudonym(key, "patient", each) for each in patients} - {gone}
    model = side / "models" / "run"
    model.mkdir(parents=True)
    settings = {"dataset": sha256_file(side / "dataset" / "manifest.json"), "run": "r1"}
    (model / "rrg.json").write_text(json.dumps(settings))
    everything = ["dataset", "store", "idx", "samples.jsonl", "slices.jsonl", "slices.jsonl.journal"]
    keys = side / "keys.txt"
    keys.write_text(f"{id_ if original else gone}\n")
    command = ["verify", *everything, "--forget", keys, "--key-file", key_file, "--models", "models"]
    first = rrg(*command, cwd=side)
    assert b"models/run: run r1 was trained on dataset" in first.stdout
    assert id_.encode() not in first.stdout + first.stderr
    for name in everything:
        paths = [side / name] if (side / name).is_file() else [p for p in (side / name).rglob("*") if p.is_file()]
        for path in paths:
            data = path.read_bytes()
            assert gone.encode() not in data, path
            assert id_.encode() not in data or path.name == "headers.sqlite", path
    assert all(other in (side / "samples.jsonl").read_text() for other in others)
    assert problems(rrg, side, *everything, "--store", "store", code=0) == []
    again = rrg(*command, cwd=side)
    assert again.stderr.count(b"nothing of them") == len(everything), again.stderr.decode()
    assert b"models/run" in again.stdout, "models of the old data set are still named"


def test_forget_clears_answer_caches(rrg: Rrg, tmp_path: Path) -> None:
    """Their lines name nobody, so all of them go; what else lies there stays."""
    cache = tmp_path / "answers"
    for n in range(3):
        request = Request(("", ""), 0, 0.0, 9, key=f"{n:02}")  # type: ignore[arg-type]
        Cache(str(cache), "m").put(request, Reply(f"of {n}", "stop", 1, 1))
    (cache / "torn.jsonl").write_text('{"key":"07","model":"m","content":"Herr')
    (cache / "mine.jsonl").write_text('{"a": 1}\n')
    assert problems(rrg, tmp_path, "answers", code=0) == []
    command = ("verify", "answers", "--forget", "0" * 20)
    assert (
        b"answers: 4 answers, of everybody: they do not say whose text was sent" in rrg(*command, cwd=tmp_path).stderr
    )
    assert sorted(path.name for path in cache.iterdir()) == ["lock", "mine.jsonl"]
    (cache / "mine.jsonl").unlink()
    assert b"answers: nothing of them" in rrg(*command, cwd=tmp_path).stderr


@pytest.mark.parametrize("original", [False, True])
def test_who_is_excluded_enters_nothing_and_the_others_stay_as_they_are(
    rrg: Rrg, side: Path, key_file: Path, original: bool
) -> None:
    import pydicom

    files = sorted((side / "demo/dicom").rglob("*.dcm"))
    id_ = str(pydicom.dcmread(files[0], stop_before_pixels=True).PatientID)
    gone = pseudonym(key_file.read_bytes(), "patient", id_)
    keys = side / "keys.txt"
    keys.write_text(f"{id_ if original else gone}\n")
    done = rrg("sort", "samples.jsonl", "--exclude", keys, cwd=side)
    kept = [line for line in rrg("sort", "samples.jsonl", cwd=side).stdout.splitlines() if gone.encode() not in line]
    assert [line for line in done.stdout.splitlines() if b"rrg.end/1" not in line] == [
        line for line in kept if b"rrg.end/1" not in line
    ]
    rrg("extract-slices", "demo/dicom", "--store", "new", "--out", "new.jsonl", "--exclude", keys, cwd=side)
    assert gone not in (side / "new.jsonl").read_text()
    assert not [path for path in (side / "new").rglob("*.json") if gone in path.read_text()]
    rrg("pack", "samples.jsonl", "--store", "store", "--out", "other", "--exclude", keys, cwd=side)
    assert gone not in "".join(path.read_text() for path in (side / "other").glob("*.*"))
    assert "its patient was to be left out" in (side / "other" / "card.md").read_text()


def test_original_ids_need_the_key_and_are_never_shown(rrg: Rrg, side: Path) -> None:
    done = rrg("verify", "dataset", "--forget", "Mustermann-12345", cwd=side, code=2)
    assert b"Mustermann" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_forget_leaves_lines_that_are_no_records(rrg: Rrg, tmp_path: Path) -> None:
    """A patient or study that is no text is nobody's."""
    odd = b'{"schema":"rrg.slice/1","patient":["p"],"study":{"s":1}}\n{"schema":"rrg.report/1","patient":"%s"}\n[1]\n'
    (tmp_path / "odd.jsonl").write_bytes(odd % (b"0" * 20))
    rrg("verify", "odd.jsonl", "--forget", "0" * 20, cwd=tmp_path)
    assert (tmp_path / "odd.jsonl").read_bytes() == b"".join(odd.splitlines(keepends=True)[::2])


def test_what_is_nothing_of_ours_is_one_line(rrg: Rrg, tmp_path: Path) -> None:
    done = rrg("verify", tmp_path, code=2)
    assert b"no data set, store" in done.stderr
    assert done.stderr.count(b"\n") == 1
