"""phantom --noise: planted errors are in the reports, told in the truth, and nowhere else."""

import json
from pathlib import Path
from typing import Any

import pytest

from rrg.anatomy import other_side
from rrg.errors import UsageError
from rrg.phantom_noise import noise_of
from tests.conftest import Rrg

SMALL = ("--studies", 30, "--slices", 12, "--size", 48)


@pytest.fixture(scope="module")
def sets(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("noise")
    noises = {"clean": "1", "some": "slice=0.2,side=0.3", "more": "side=0.6,slice=0.4", "pixels": "pixels=0"}
    for name, noise in noises.items():
        rrg("phantom", "--out", folder / name, *SMALL, "--noise", noise, "--quiet")
    return {name: folder / name for name in noises}


def facts(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "report_truth.jsonl").read_text().splitlines()
    return [f for line in lines for sentence in json.loads(line)["sentences"] for f in sentence["facts"]]


def images_of(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "truth.jsonl").read_text().splitlines()
    return {each["sop_uid"]: each for each in map(json.loads, lines)}


def wrong(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    told = facts(folder)
    return [r for f in told for r in f["references"] if "meant" in r], [f for f in told if "meant_classes" in f]


def hashes(folder: Path) -> dict[str, str]:
    return {
        name: sha for sha, name in (line.split("  ") for line in (folder / "files.sha256").read_text().splitlines())
    }


def test_only_reports_change(sets: dict[str, Path]) -> None:
    clean, some = hashes(sets["clean"]), hashes(sets["some"])
    assert clean.keys() == some.keys()
    changed = {name for name in clean if clean[name] != some[name]}
    assert changed
    assert all(name.startswith("reports/") for name in changed)


def test_a_clean_set_tells_of_no_errors(sets: dict[str, Path]) -> None:
    assert wrong(sets["clean"]) == ([], [])
    assert b"meant" not in (sets["clean"] / "report_truth.jsonl").read_bytes()


def test_noise_of_the_pixels_leaves_the_reports(sets: dict[str, Path]) -> None:
    clean, still = hashes(sets["clean"]), hashes(sets["pixels"])
    changed = {name for name in clean if clean[name] != still[name]}
    assert changed
    assert all(name.startswith("dicom/") for name in changed)


@pytest.mark.parametrize(("name", "slice_", "side"), [("some", 0.2, 0.3), ("more", 0.4, 0.6)])
def test_errors_are_as_often_as_asked_for(sets: dict[str, Path], name: str, slice_: float, side: float) -> None:
    cited = [r for f in facts(sets[name]) if f["kind"] in ("normal", "lesion") for r in f["references"]]
    cites = [f for f in facts(sets[name]) if f["kind"] in ("normal", "lesion") and f["references"]]
    sided = [f for f in cites if len(f["classes"]) == 1 and other_side(f["classes"][0])]
    assert len(cited) > 400
    assert sum("meant" in r for r in cited) / len(cited) == pytest.approx(slice_, abs=0.07)
    assert sum("meant_classes" in f for f in sided) / len(sided) == pytest.approx(side, abs=0.13)
    counts = json.loads((sets[name] / "manifest.json").read_bytes())["counts"]
    assert counts["wrong_slices"] == sum("meant" in r for r in cited) / 2, "the twins hold the same errors"
    assert counts["references"] == len(cited) / 2
    assert counts["sides"] == len(sided) / 2


def test_what_was_meant_is_told(sets: dict[str, Path]) -> None:
    references, sides = wrong(sets["some"])
    images = images_of(sets["some"])
    for each in references:
        assert set(each["sop_uids"]).isdisjoint(each["meant"]["sop_uids"])
        assert len(each["sop_uids"]) == len(each["meant"]["sop_uids"])
        for uid in (*each["sop_uids"], *each["meant"]["sop_uids"]):
            assert images[uid]["series_uid"] == each["series_uid"]
        assert [images[uid]["instance_number"] for uid in each["sop_uids"]] == each["instance_numbers"]
    for each in sides:
        assert [other_side(name) for name in each["classes"]] == each["meant_classes"]
        assert each["side"] in each["classes"][0]


def test_what_was_meant_is_on_the_slice_and_what_is_told_is_in_the_text(sets: dict[str, Path]) -> None:
    images = images_of(sets["more"])
    for line in (sets["more"] / "report_truth.jsonl").read_text().splitlines():
        for sentence in json.loads(line)["sentences"]:
            for fact in sentence["facts"]:
                if fact["kind"] not in ("normal", "lesion"):
                    continue
                for each in fact["references"]:
                    for uid in each.get("meant", each)["sop_uids"]:
                        there = {c["label"] for c in images[uid]["classes"]}
                        assert there.issuperset(fact.get("meant_classes", fact["classes"]))
                    assert str(each["instance_numbers"][0]) in sentence["text"]


def test_more_noise_only_adds_errors(sets: dict[str, Path]) -> None:
    some, more = wrong(sets["some"]), wrong(sets["more"])
    assert len(some[0]) < len(more[0])
    assert len(some[1]) < len(more[1])


def test_the_option(rrg: Rrg, tmp_path: Path) -> None:
    noise = noise_of("slice=0.05,pixels=2")
    assert (noise.pixels, noise.slice, noise.side) == (2.0, 0.05, 0.0)
    assert noise_of("0").pixels == 0
    for wrong_one in ("slice", "slice=2", "sides=0.1", "-1", "21", "slice=0.1,side=x", "", "nan"):
        with pytest.raises(UsageError, match="--noise"):
            noise_of(wrong_one)
    done = rrg("phantom", "--out", tmp_path / "x", "--noise", "slice=9", code=2)
    assert b"--noise slice=9: expected a factor" in done.stderr
