"""rrg score quantities, pairs and calibration: units, failures that stay in the denominator, bins, ties."""

import json

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from rrg.metrics import calibration, units

from .score_cases import write_jsonl


def run(rrg, task, *paths, code=0, options=()):
    return json.loads(rrg("score", task, *paths, "--samples", 50, *options, code=code).stdout)


def values(body):
    return {name: each["value"] for name, each in body["metrics"].items()}


@pytest.mark.parametrize(
    ("text", "count", "unit", "found"),
    [
        ("1.2 cm", 1, "mm", (12,)),
        ("12 mm", 1, "mm", (12,)),
        ("1,2 cm", 1, "mm", (12,)),
        ("about 12", 1, "mm", (12,)),
        ("12 x 9 mm", 2, "mm", (12, 9)),
        ("12x9mm", 2, "cm", (1.2, 0.9)),
        ("1,2 x 0,9 cm", 2, "mm", (12, 9)),
        ("11, 18", 2, "mm", (11, 18)),
        ("11,18", 2, "mm", (11, 18)),
        ("11,18", 1, "mm", (11.18,)),
        ("[11.5,18.2]", 2, "mm", (11.5, 18.2)),
        ("9 mm on slice 34", 1, "mm", (9,)),
        ("A mass of 3 by 4 centimeters.", 2, "mm", (30, 40)),
        ("45°", 1, "deg", (45,)),
        ("2 ml", 1, "mm³", (2000,)),
        ("9 mm, earlier 7 mm", 1, "mm", None),
        ("12 mm", 2, "mm", None),
        ("45 degrees", 1, "mm", None),
        ("S3", 1, "mm", None),
        ("large", 1, "mm", None),
    ],
)
def test_units(text, count, unit, found):
    assert units.parse(text, count, unit) == (None if found is None else pytest.approx(found))


def test_quantities_strict(rrg, tmp_path):
    rows = [
        {"id": 1, "target": [18, 11], "unit": "mm", "prediction": "1.1 x 1.8 cm"},
        {"id": 2, "target": [10, 10], "unit": "mm", "prediction": "12 mm x 8 mm"},
        {"id": 3, "target": [10, 5], "unit": "mm", "prediction": "two nodules"},
        {"id": 4, "target": [10, 5], "unit": "mm", "prediction": None},
    ]
    path = write_jsonl(tmp_path / "q.jsonl", rows)
    body = run(rrg, "quantities", path, options=("--per-item", tmp_path / "i.jsonl"))
    metrics = body["metrics"]
    assert (metrics["mae"]["value"], metrics["mae"]["n"], metrics["mae"]["n_excluded"]) == (pytest.approx(4.5), 2, 2)
    assert (metrics["mae"]["unit"], metrics["mae_sorted"]["value"]) == ("mm", pytest.approx(1))
    assert metrics["mre"]["value"] == pytest.approx(((7 / 18 + 7 / 11) / 2 + 0.2) / 2)
    assert (metrics["coverage"]["value"], metrics["coverage"]["n_unparsed"]) == (0.5, 2)
    assert "--penalty" in metrics["mae_penalised"]["skipped"]
    lines = [json.loads(line) for line in (tmp_path / "i.jsonl").read_text().splitlines()]
    assert [line["success"] for line in lines] == [True, True, False, False]
    penal = run(rrg, "quantities", path, options=("--penalty", 20))
    assert values(penal)["mae_penalised"] == pytest.approx((7 + 2 + 20 + 20) / 4)
    assert "penalty:20" in penal["signature"]
    mixed = write_jsonl(tmp_path / "m.jsonl", [*rows, {"id": 5, "target": 30, "unit": "deg", "prediction": "30"}])
    assert b"several units (deg, mm)" in rrg("score", "quantities", mixed, code=1).stderr
    assert run(rrg, "quantities", mixed, options=("--where", "unit=deg"))["metrics"]["mae"]["unit"] == "deg"


def test_counts(rrg, tmp_path):
    said = ["3", "There are two lesions.", "4 or 5", "Drei Herde", 7]
    rows = [{"id": n, "target": 3, "prediction": text} for n, text in enumerate(said)]
    rows[3]["lang"] = "de"
    found = run(rrg, "quantities", write_jsonl(tmp_path / "c.jsonl", rows), options=("--protocol", "count"))
    value = values(found)
    assert (value["exact"], value["coverage"]) == (0.4, 0.8)
    assert value["mae"] == pytest.approx((0 + 1 + 0 + 4) / 4)
    assert value["rmse"] == pytest.approx(np.sqrt((1 + 16) / 4))
    assert (found["metrics"]["rmse"]["n"], found["metrics"]["rmse"]["n_excluded"]) == (4, 1)


def test_medvision_reads_bare_numbers_only(rrg, tmp_path):
    """ "12 mm, 9 mm" fails, the order counts, and the last bin is open."""
    said = ["11,18", "18, 11", "18 mm, 11 mm", "18", "50,50"]
    rows = [{"id": n, "target": [18, 11], "unit": "mm", "filtered_resps": [text]} for n, text in enumerate(said)]
    options = ("--protocol", "medvision-size", "--prediction-field", "filtered_resps")
    body = run(rrg, "quantities", write_jsonl(tmp_path / "s.jsonl", rows), options=options)
    value = values(body)
    assert value["success_rate"] == 0.6
    assert value["mae"] == pytest.approx((7 + 0 + 35.5) / 3)
    assert (value["mre_below_0.1"], value["mre_below_0.6"], value["mre_below_1.0"]) == (0.2, 0.4, 0.6)
    assert "success_rate" in body["metrics"]["mre_below_1.0"]["note"]
    assert (body["metrics"]["mre"]["n"], body["metrics"]["mre_below_0.1"]["n"]) == (3, 5)


def test_medvision_boxes_are_single_precision(rrg, tmp_path):
    rows = [
        {"id": 1, "target": [0.1, 0.1, 0.5, 0.5], "prediction": "0.1, 0.1, 0.5, 0.3"},
        {"id": 2, "target": [0.1, 0.1, 0.5, 0.5], "prediction": "0.6, 0.6, 0.7, 0.7"},
        {"id": 3, "target": [0.1, 0.1, 0.5, 0.5], "prediction": "the left half"},
    ]
    path = write_jsonl(tmp_path / "b.jsonl", rows)
    body = run(rrg, "quantities", path, options=("--protocol", "medvision-box", "--per-item", tmp_path / "i.jsonl"))
    p, t = np.float32([0.1, 0.1, 0.5, 0.3]), np.array([0.1, 0.1, 0.5, 0.5])
    x1, y1, x2, y2 = max(p[0], t[0]), max(p[1], t[1]), min(p[2], t[2]), min(p[3], t[3])
    shared, a, b = (x2 - x1) * (y2 - y1), (p[2] - p[0]) * (p[3] - p[1]), (t[2] - t[0]) * (t[3] - t[1])
    line = json.loads((tmp_path / "i.jsonl").read_text().splitlines()[0])
    assert line["scores"]["iou"] == float(shared / (a + b - shared))
    assert line["scores"]["iou"] != 0.5
    assert values(body)["iou"] == float(shared / (a + b - shared)) / 3
    assert (values(body)["success_rate"], body["metrics"]["mae"]["n"]) == (pytest.approx(2 / 3), 2)


PAIRS = [
    {"id": "a", "answers": ["A", "B"], "predictions": ["A", "B"]},
    {"id": "b", "answers": ["A", "B"], "predictions": ["a", "A"]},
    {"id": "c", "answers": ["B", "A"], "predictions": [None, "A"]},
    {"id": "d", "answers": ["B", "A"], "predictions": [None, None]},
]


def test_pairs(rrg, tmp_path):
    """Two invalid answers are not the same answer."""
    body = run(rrg, "pairs", write_jsonl(tmp_path / "p.jsonl", PAIRS))
    assert values(body) == {"set_accuracy": 25, "individual_accuracy": 50, "confusion": 50, "invalid": 37.5}
    assert (body["metrics"]["confusion"]["n"], body["metrics"]["confusion"]["n_excluded"]) == (2, 2)
    assert (body["protocol"], body["metrics"]["invalid"]["unit"]) == ("mediconfusion", "percent")
    halves = [(f"{row['id']}{k}", row["id"], row["answers"][k], row["predictions"][k]) for row in PAIRS for k in (0, 1)]
    wanted = [{"id": id_, "pair_id": pair, "answer": answer} for id_, pair, answer, _ in halves]
    said = [{"id": id_, "prediction": text} for id_, _, _, text in halves][::-1]
    paths = write_jsonl(tmp_path / "s.jsonl", said), write_jsonl(tmp_path / "w.jsonl", wanted)
    assert values(run(rrg, "pairs", *paths, options=("--protocol", "strict"))) == values(body)
    write_jsonl(paths[0], said[:-2])
    short = run(rrg, "pairs", *paths, code=3)
    assert (values(short)["set_accuracy"], short["metrics"]["invalid"]["n_missing"]) == (0, 1)
    write_jsonl(paths[1], wanted[:-1])
    assert b"no reference has the id 'd1'" in rrg("score", "pairs", *paths, code=1).stderr


RNG = np.random.default_rng(4)
SURE = RNG.integers(0, 31, 90) / 30  # ties, and values on the edges of the bins
RIGHT = (RNG.random(90) < SURE).astype(int)


def test_calibration(rrg, tmp_path):
    rows = [{"id": n, "confidence": c, "correct": int(y)} for n, (c, y) in enumerate(zip(SURE, RIGHT, strict=True))]
    body = run(rrg, "calibration", write_jsonl(tmp_path / "c.jsonl", rows))
    value = values(body)
    for bins in (15, 10):
        low = np.arange(bins) / bins
        of = [np.flatnonzero((a < SURE) & (b >= SURE)) for a, b in zip(low, [*low[1:], 1], strict=True)]
        of[0] = np.union1d(of[0], np.flatnonzero(SURE == 0))
        gaps = [abs(SURE[i].mean() - RIGHT[i].mean()) if len(i) else 0 for i in of]
        assert value[f"ece{bins}"] == pytest.approx(sum(g * len(i) for g, i in zip(gaps, of, strict=True)) / 90)
        assert value[f"mce{bins}"] == pytest.approx(max(gaps))
    assert value["brier"] == pytest.approx(np.mean((SURE - RIGHT) ** 2))
    ranks = mannwhitneyu(SURE[RIGHT == 1], SURE[RIGHT == 0]).statistic
    assert value["auroc"] == pytest.approx(ranks / (RIGHT.sum() * (90 - RIGHT.sum())))
    order = sorted(range(90), key=lambda n: -SURE[n])
    risk = [1 - RIGHT[order[:k]].mean() for k in range(1, 91)]
    assert value["aurc"] == pytest.approx(np.mean(risk))
    assert [value[f"risk_at_{q}"] for q in (50, 80, 90, 100)] == pytest.approx([risk[k - 1] for k in (45, 72, 81, 90)])
    assert body["metrics"]["aurc"]["ci95"][0] < value["aurc"] < body["metrics"]["aurc"]["ci95"][1]
    draws = np.random.default_rng(12345).choice(90, (50, 90))
    expected = np.percentile([calibration.auroc(SURE[row], RIGHT[row]) for row in draws], [2.5, 97.5])
    assert body["metrics"]["auroc"]["ci95"] == pytest.approx(list(expected))


def test_calibration_of_item_scores(rrg, tmp_path):
    lines = [
        {"id": 1, "facets": {"lang": "de"}, "confidence": 0.9, "scores": {"closed.accuracy": 1}},
        {"id": 2, "facets": {"lang": "de", "confidence": 0.2}, "scores": {"closed.accuracy": 0}},
        {"id": 3, "facets": {"lang": "en"}, "confidence": 0.4, "scores": {"open.em": 1}},
    ]
    path = write_jsonl(tmp_path / "i.jsonl", lines)
    body = run(rrg, "calibration", path, options=("--metrics", "closed.accuracy"))
    assert values(body)["brier"] == pytest.approx((0.01 + 0.04) / 2)
    assert (body["metrics"]["ece15"]["n"], body["metrics"]["auroc"]["n"], values(body)["auroc"]) == (2, 2, 1)
    assert b"need --metrics NAME" in rrg("score", "calibration", path, code=1).stderr
    bad = write_jsonl(tmp_path / "b.jsonl", [{"id": 1, "confidence": 90, "correct": 1}])
    assert b"expected a number from 0 to 1" in rrg("score", "calibration", bad, code=1).stderr
    assert b"one file" in rrg("score", "calibration", path, path, code=2).stderr
