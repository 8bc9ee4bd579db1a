"""What other models found stands before what is asked, slice by slice, and nowhere else."""

import json
from pathlib import Path

import pytest

from rrg.errors import UsageError
from rrg.infer_experts import read_experts, told
from rrg.records import ImageRef
from tests.conftest import Rrg


def image(slice_id: str) -> ImageRef:
    return ImageRef(id="i0", ref="x#0", rows=8, columns=8, unit="rgb", slice=slice_id)


def test_slices_and_studies_in_both_languages(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    rows = [
        {"slice": "a", "findings": ["Erguss", {"de": "Herd", "en": "nodule"}]},
        {"study": "s", "findings": ["Erguss"]},
        {"slice": "b", "findings": []},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    said = read_experts([file])
    assert told(said, image("a"), "s", "de") == "Erguss; Herd."
    assert told(said, image("a"), "other", "en") == "Erguss; nodule."
    assert told(said, image("c"), "s", "en") == "Erguss."
    assert told(said, image("c"), "other", "en") is None
    nothing = told(said, image("b"), "other", "de")
    assert nothing is not None
    assert nothing != "."


@pytest.mark.parametrize("line", ["no json", "[]", '{"slice": 3, "findings": []}', '{"slice": "a"}',
    '{"slice": "a", "findings": [{"de": "nur"}]}', '{"slice": "a", "findings": [""]}'])  # fmt: skip
def test_what_is_no_expert_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "found.jsonl"
    file.write_text('{"slice": "a", "findings": []}\n' + line)
    with pytest.raises(UsageError, match=r"found\.jsonl, line 2: expected a mask record"):
        read_experts([file])


def test_masks_of_segment_reach_the_prompt_of_their_slice(rrg: Rrg, tmp_path: Path) -> None:
    """The ids of `infer` are those of `extract-slices`; each slice gets its own structures, in the language asked."""
    rrg("phantom", "--out", "p", "--studies", 1, "--slices", 4, "--size", 64, cwd=tmp_path)
    rrg("extract-slices", "p/dicom", "--store", "store", "--out", "slices.jsonl", cwd=tmp_path)
    truth = ("--engine", "masks", "--masks", "p/masks", "--labels", "p/labels.json", "--store", "store")
    rrg("segment", "slices.jsonl", *truth, "--out", "masks.jsonl", cwd=tmp_path)
    ask = ("--slices", "all", "--lang", "de", "--task", "report", "--max-new-tokens", 4, "--no-summary")
    done = rrg("infer", "p/dicom", *ask, "--experts", "masks.jsonl", cwd=tmp_path)
    answers = [row for row in map(json.loads, done.stdout.splitlines()) if row["schema"] == "rrg.prediction/1"]
    said = read_experts([tmp_path / "masks.jsonl"])
    seen = set()
    for row in answers:
        first = row["question"].split("\n")[0]
        words = told(said, image(row["images"][0]["slice"]), "", "de")
        assert first == f"Bekannte Befunde: {words}"
        seen.add(first)
    assert len(seen) > 1
    plain = rrg("infer", "p/dicom", *ask, cwd=tmp_path)
    assert b"Bekannte Befunde" not in plain.stdout
    refused = rrg("infer", "slices.jsonl", "--experts", "masks.jsonl", code=2, cwd=tmp_path)
    assert b"--experts: for a study or a picture" in refused.stderr
