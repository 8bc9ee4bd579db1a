"""rrg score --table and --plot: the numbers of the result, for papers and for eyes."""

import itertools
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from rrg.errors import RrgError, UsageError
from rrg.metrics.options import TaskOptions
from rrg.metrics.output import write_files
from rrg.outputs import score_plot, score_sizes, score_table
from rrg.score import score
from rrg.score_options import Options

from .score_cases import write_jsonl


def metric(value, unit="fraction", interval=(0.4, 0.6), **more):
    counts = {"n": 10, "n_missing": 1, "n_unparsed": 2, "n_excluded": 0}
    return {"value": value, "unit": unit, **counts, "ci95": interval and list(interval), **more}


BODY = {
    "task": "masks",
    "protocol": "strict",
    "signature": "rrg|masks|proto:strict",
    "metrics": {
        "dice": metric(0.5, note="a known fault"),
        "hd95": metric(4.25, "mm", (1.0, 9.0)),
        "empty.both": metric(3, "count", (0, 5)),
        "nsd_1mm": metric(None, interval=None, skipped="no spacing"),
    },
    "strata": {"lesion_type": {"a|b <c>": {"dice": metric(0.25), "hd95": metric(None, "mm", None)}}},
    "warnings": [],
    "notes": ["100 % of this & that"],
}


def test_markdown():
    text = score_table.markdown(BODY)
    assert "| dice | 0.5000 | 0.4000 .. 0.6000 | 10 | 1 | 2 | 0 |" in text
    assert "| hd95 | 4.2500 mm | 1.0000 .. 9.0000 |" in text
    assert "| nsd_1mm | skipped | - |" in text
    assert r"## lesion_type: a\|b &lt;c>" in text
    assert text.count("| hd95 |") == 1  # undefined in the stratum
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")} == {8}
    assert "* dice: a known fault" in text


def test_latex():
    text = score_table.latex(BODY)
    assert r"empty.both & 3 & 0 .. 5 & 10 & 1 & 2 & 0 \\" in text
    assert r"nsd\_1mm & skipped & -" in text
    assert r"lesion\_type: a\textbar{}b \textless{}c\textgreater{}" in text
    assert "% 100 % of this & that" in text
    bare = [line for line in text.splitlines() if not line.startswith("%")]
    rows = [line for line in bare if " & " in line]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {6}


def test_plot_has_a_mark_for_each_interval():
    root = ET.fromstring(score_plot.plot_bytes(BODY, Path("a.svg")))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3  # dice, its stratum, hd95; no count
    assert "lesion_type: a|b <c>" in texts
    assert "4.250 [1.000, 9.000]  n 10" in texts
    dots = [float(each.get("cx")) for each in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert dots[0] == score_plot.LABEL + 0.5 * score_plot.AXIS
    assert dots[2] == pytest.approx(score_plot.LABEL + 4.25 / 10 * score_plot.AXIS, abs=0.1)


def test_names_and_results_that_can_not_be_meant():
    with pytest.raises(UsageError, match=r"ends in \.md or \.tex"):
        score_table.table_bytes(BODY, Path("t.html"))
    with pytest.raises(UsageError, match=r"ends in \.svg"):
        score_plot.plot_bytes(BODY, Path("t.png"))
    with pytest.raises(RrgError, match="no metric has an interval"):
        score_plot.plot_bytes({**BODY, "metrics": {"dice": metric(0.5, interval=None)}}, Path("t.svg"))


def test_the_command_writes_them_beside_the_result(rrg, tmp_path):
    row = {"id": 1, "answers": ["A", "B"], "predictions": ["A", "A"]}
    rows = [row, {**row, "id": 2, "predictions": ["A", "B"], "modality": "CT"}]
    path = write_jsonl(tmp_path / "p.jsonl", rows)
    files = ("--table", tmp_path / "t.md", "--plot", tmp_path / "p.svg", "--out", tmp_path / "o.json")
    rrg("score", "pairs", path, "--samples", 50, *files)
    body = json.loads((tmp_path / "o.json").read_text())
    assert (tmp_path / "t.md").read_text() == score_table.markdown(body)
    assert b"modality: CT" in (tmp_path / "p.svg").read_bytes()
    done = rrg("score", "pairs", path, "--table", tmp_path / "t.html", "--out", tmp_path / "x.json", code=2)
    assert b"--table" in done.stderr
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("unit", "low", "high", "ends"),
    [
        ("fraction", 0.1, 0.9, (0, 1)),
        ("fraction", 0.1, 1.4, (0, 2)),
        ("fraction", -0.3, 0.1, (-0.4, 0.4)),
        ("mm", 0.5, 3.37, (0, 4)),
        ("mm", 0, 0, (0, 4)),
        ("percent", 3, 80, (0, 100)),
    ],
)
def test_axes_end_at_round_numbers(unit, low, high, ends):
    row = score_plot.Row("a", (low + high) / 2, low, high, 3, False)
    assert score_plot.ends(unit, [row]) == pytest.approx(ends)


def test_iou_by_size_of_the_reference():
    rng = np.random.default_rng(2)
    sizes, ious = rng.integers(1, 500, 60), rng.random(60)
    lines = [
        {"pixels": {"reference": int(size)}, "scores": {"iou": iou}} for size, iou in zip(sizes, ious, strict=True)
    ]
    found = score_sizes.quarters([*lines, {"pixels": {"reference": 0}, "scores": {"iou": 0.0}}], 50, 1)
    assert [each.n for each in found] == [15, 15, 15, 15]
    order = np.argsort(sizes, kind="stable")
    assert [each.iou for each in found] == pytest.approx(ious[order].reshape(4, 15).mean(axis=1))
    ends = [tuple(map(int, each.size.split(" to "))) for each in found]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))
    text = score_plot.plot_bytes(BODY, Path("a.svg"), found).decode()
    assert f"{sizes.min()} to {ends[0][1]}" in text
    assert score_plot.SIZES in text
    assert score_sizes.quarters(lines[:5], 50, 1) == []
    assert score_sizes.quarters([{"scores": {"iou": 0.5}}] * 20, 50, 1) == []


def test_boxes_have_strata_by_size(tmp_path):
    wanted = [{"id": n, "bbox": [0, 0, n + 1, 1]} for n in range(8)]
    said = [{"id": n, "bbox": [0, 0, (n + 1) / (1 + n // 2), 1]} for n in range(8)]
    files = write_jsonl(tmp_path / "said.jsonl", said), write_jsonl(tmp_path / "wanted.jsonl", wanted)
    declared = TaskOptions(box_format="xyxy", box_unit="pixel")
    strata = score("refer", *files, Options(samples=0, by=("size",), task=declared)).body["strata"]["size"]
    assert list(strata) == ["1: 1 to 2", "2: 3 to 4", "3: 5 to 6", "4: 7 to 8"]
    assert [each["iou"]["value"] for each in strata.values()] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    with pytest.raises(UsageError, match="--by size"):
        score("vqa", *questions(tmp_path), Options(by=("size",)))


def questions(tmp_path):
    return (
        write_jsonl(tmp_path / "answers.jsonl", [{"id": "q", "answer": "yes"}]),
        write_jsonl(tmp_path / "questions.jsonl", [{"id": "q", "answer": "yes", "answer_type": "closed"}]),
    )


def test_draws_of_ap_are_those_that_were_asked_for(tmp_path):
    truths = {
        "images": [{"id": n} for n in range(3)],
        "annotations": [{"id": n + 1, "image_id": n, "category_id": 1, "bbox": [0, 0, 9, 9]} for n in range(3)],
        "categories": [{"id": 1, "name": "a"}],
    }
    said = [{"image_id": n, "category_id": 1, "bbox": [0, 0, 9, 9 - n], "score": n / 3} for n in range(3)]
    files = tmp_path / "said.json", tmp_path / "truths.json"
    for path, value in zip(files, (said, truths), strict=True):
        path.write_text(json.dumps(value))

    def samples(options):
        return score("boxes", *files, options).body["metrics"]["ap"].get("samples", options.samples)

    assert samples(Options(samples=10_000)) == 1000
    assert samples(Options(samples=1500, drawn_samples=1500)) == 1500
    assert samples(Options(samples=200)) == 200


def test_folders_of_results_are_made(tmp_path):
    write_files({tmp_path / "a" / "b" / "x.json": b"{}"})
    assert (tmp_path / "a" / "b" / "x.json").read_bytes() == b"{}"
    with pytest.raises(RrgError, match="nothing was written"):
        write_files({tmp_path / "a" / "b" / "x.json" / "y.json": b"{}"})
