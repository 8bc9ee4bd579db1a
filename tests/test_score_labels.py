"""rrg score labels and graphs: scikit-learn and hand-worked rewards, codes, CSV, languages."""

import json
import random
import warnings

import numpy as np
import pytest
from sklearn.metrics import classification_report

from rrg.formats.graph_rows import Entity
from rrg.formats.label_rows import CHEXBERT
from rrg.metrics import graphs, labels

from .score_cases import write_jsonl

HOWS = {"micro": "micro avg", "macro": "macro avg", "weighted": "weighted avg", "samples": "samples avg"}
VALUES = {"precision": "precision", "recall": "recall", "f1": "f1-score"}


def result(done):
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rows():
    """Labels of 40 made reports; No Finding is in no reference."""
    rng = random.Random(4)
    made = []
    for number in range(40):
        ref = {name: rng.choice([0, 0, 1, 2, 3]) for name in CHEXBERT[:13]} | {"No Finding": 0}
        hyp = {name: code if rng.random() < 0.7 else rng.choice([0, 1, 2, 3]) for name, code in ref.items()}
        made.append({"id": number, "ref": ref, "hyp": hyp, "patient": number % 12})
    made[3]["ref"] = made[3]["hyp"] = dict.fromkeys(CHEXBERT, 0)
    return made


def matrix(rows, side, names, meant):
    return np.array([[row[side][name] in meant for name in names] for row in rows], int)


def report(rows, names, meant):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return classification_report(
            matrix(rows, "ref", names, meant),
            matrix(rows, "hyp", names, meant),
            target_names=list(names),
            output_dict=True,
            zero_division=0,
        )


@pytest.mark.parametrize(("uncertain", "meant"), [("positive", (1, 3)), ("negative", (1,))])
def test_chexbert_is_scikit_learn(rrg, rows, tmp_path, uncertain, meant):
    items, path = tmp_path / "i.jsonl", write_jsonl(tmp_path / "l.jsonl", rows)
    done = rrg("score", "labels", path, "--uncertain", uncertain, "--samples", 30, "--per-item", items)
    body = result(done)
    for prefix, names in (("14", CHEXBERT), ("5", labels.FIVE)):
        theirs = report(rows, names, meant)
        for how, name in HOWS.items():
            for value, key in VALUES.items():
                found = body["metrics"][f"{prefix}.{how}.{value}"]
                assert found["value"] == pytest.approx(theirs[name][key], abs=1e-9), (prefix, how, value)
                assert found["ci95"][0] <= found["ci95"][1]
    theirs = report(rows, CHEXBERT, meant)
    for name in CHEXBERT:
        found = body["strata"]["label"][name]
        assert [found[key]["value"] for key in VALUES] == pytest.approx([theirs[name][key] for key in VALUES.values()])
        assert found["support"]["value"] == theirs[name]["support"]
    supported = [theirs[name]["f1-score"] for name in CHEXBERT if theirs[name]["support"]]
    assert body["metrics"]["14.macro.f1_supported"]["value"] == pytest.approx(np.mean(supported), abs=1e-9)
    assert body["metrics"]["14.macro.f1"]["value"] < body["metrics"]["14.macro.f1_supported"]["value"]
    exact = (matrix(rows, "ref", CHEXBERT, meant) == matrix(rows, "hyp", CHEXBERT, meant)).all(axis=1)
    assert body["metrics"]["14.exact_match"]["value"] == pytest.approx(exact.mean())
    lines = [json.loads(line) for line in items.read_text().splitlines()]
    assert lines[3]["scores"]["14.samples.f1"] == 0
    assert "counts 0" in body["metrics"]["14.samples.f1"]["note"]
    for name in ("14.samples.f1", "5.samples.recall", "14.exact_match"):
        mean = np.mean([line["scores"][name] for line in lines])
        assert mean == pytest.approx(body["metrics"][name]["value"], abs=1e-12)
    assert f"codes:chexbert|uncertain:{uncertain}" in body["signature"]


def test_macro_interval_recomputes_every_draw(rrg, rows, tmp_path):
    path = write_jsonl(tmp_path / "l.jsonl", rows)
    body = result(rrg("score", "labels", path, "--metrics", "14.macro.f1", "--samples", 40))
    drawn = np.random.default_rng(12345).choice(40, (40, 40))
    again = [report([rows[k] for k in row], CHEXBERT, (1, 3))["macro avg"]["f1-score"] for row in drawn]
    assert body["metrics"]["14.macro.f1"]["ci95"] == pytest.approx(list(np.percentile(again, [2.5, 97.5])), abs=1e-9)


def test_two_files_csv_and_codes_of_chexpert(rrg, tmp_path):
    names = ",".join(CHEXBERT)
    (tmp_path / "p.csv").write_text(f"id,age,{names}\na,61,1.0,{',' * 12}\nb,40,{',' * 13}\n")
    (tmp_path / "r.csv").write_text(f"id,lang,{names}\na,en,1,-1.0,0{',' * 11}\nb,en,0,{',' * 12}\n")
    files = (tmp_path / "p.csv", tmp_path / "r.csv")
    body = result(rrg("score", "labels", *files, "--label-codes", "chexpert", "--samples", 0))
    assert body["metrics"]["14.micro.precision"]["value"] == 1
    assert body["metrics"]["14.micro.recall"]["value"] == 0.5  # uncertain is positive
    assert body["strata"]["lang"]["en"]["14.exact_match"]["value"] == 0.5
    how = ("--label-codes", "chexpert", "--uncertain", "negative", "--samples", 0)
    assert result(rrg("score", "labels", *files, *how))["metrics"]["14.micro.recall"]["value"] == 1


def test_multilabel_takes_the_labels_of_the_file(rrg, tmp_path):
    said = [{"id": 1, "labels": {"Leber": 1, "Milz": 0}}, {"id": 2, "labels": {"Leber": 0, "Milz": 1}}]
    wanted = [{"id": 1, "lang": "de", "labels": {"Leber": 1, "Milz": 1}}, {"id": 3, "labels": {"Leber": 1, "Milz": 0}}]
    files = write_jsonl(tmp_path / "p.jsonl", said[:1]), write_jsonl(tmp_path / "r.jsonl", wanted)
    how = ("--protocol", "multilabel", "--label-codes", "binary", "--samples", 0)
    body = result(rrg("score", "labels", *files, *how, code=3))
    assert body["metrics"]["all.micro.recall"]["value"] == pytest.approx(1 / 3)
    assert (body["metrics"]["all.exact_match"]["value"], body["metrics"]["all.exact_match"]["n_missing"]) == (0, 1)
    assert list(body["strata"]["label"]) == ["Leber", "Milz"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"ref": {"Edema": 7}, "hyp": {"Edema": 1}}, "Edema is 7, expected one of 0, 1, 2, 3"),
        ({"ref": {"Edema": "x"}, "hyp": {}}, "line 1: the code of Edema is no whole number"),
        ({"ref": {"Milz": 1}, "hyp": {}}, "'Milz' is none of CheXbert's 14 labels"),
        ({"ref": {"Edema": 1}}, "line 1: no labels"),
        ({"ref": {"Edema": 1}, "hyp": {"Edema": 1}, "lang": "de"}, "CheXbert reads English; references are in de"),
    ],
)
def test_labels_that_can_not_be_meant(rrg, tmp_path, row, words):
    done = rrg("score", "labels", write_jsonl(tmp_path / "l.jsonl", [{"id": 1, **row}]), code=1)
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_force_scores_german_and_says_so(rrg, tmp_path):
    path = write_jsonl(tmp_path / "l.jsonl", [{"id": 1, "ref": {"Edema": 1}, "hyp": {"Edema": 1}, "lang": "de"}])
    body = result(rrg("score", "labels", path, "--force", "--samples", 0))
    assert "|force:yes|" in body["signature"]
    assert any("because of --force" in warning for warning in body["warnings"])
    assert rrg("score", "labels", path, "--protocol", "multilabel", "--samples", 0).returncode == 0


def entity(tokens, label="OBS-DP", *relations):
    return Entity(tokens, label, relations)


def test_rewards_by_hand():
    wanted = (entity("Opacity", "OBS-DP", ("located_at", "Lung")), entity("Lung", "ANAT-DP"))
    said = (entity("opacity", "OBS-DP", ("located_at", "lung")), entity("Lung", "ANAT-DP"))
    assert graphs.reward(said, wanted, "simple") == pytest.approx(0.5)  # "Opacity" is not "opacity"
    assert graphs.reward(said, wanted, "complete") == 1  # lower-cased where there is a relation: more than simple
    assert graphs.reward(said, wanted, "partial") == pytest.approx(0.5)
    alone = (entity("Opacity"), entity("Lung", "ANAT-DP"))
    assert graphs.reward(alone, wanted, "simple") == 1
    assert graphs.reward(alone, wanted, "partial") == pytest.approx(0.5)
    assert graphs.reward(alone, wanted, "complete") == pytest.approx(0.5)
    assert graphs.reward((), (), "simple") == 0
    twice = (entity("Lung", "ANAT-DP"), entity("Lung", "ANAT-DP"))
    assert graphs.reward(twice, (entity("Lung", "ANAT-DP"),), "simple") == 1  # sets, not lists


def graph(*entities):
    made = {str(n): {"tokens": t, "label": k, "relations": list(r)} for n, (t, k, *r) in enumerate(entities, 1)}
    return {"text": "-", "entities": made}


def test_graphs_from_one_file_and_from_two(rrg, tmp_path):
    a = graph(("opacity", "OBS-DP", ["located_at", "2"]), ("lung", "ANAT-DP"))
    b = graph(("opacity", "OBS-DP"), ("lung", "ANAT-DP"))
    rows = [{"id": 1, "ref": a, "hyp": b}, {"id": 2, "ref": {"entities": {}}, "hyp": {"entities": {}}}]
    items = tmp_path / "i.jsonl"
    body = result(rrg("score", "graphs", write_jsonl(tmp_path / "g.jsonl", rows), "--per-item", items, "--samples", 20))
    assert {name: each["value"] for name, each in body["metrics"].items()} == {
        "simple": 0.5,
        "partial": 0.25,
        "complete": 0.25,
    }
    assert "also when both are" in body["metrics"]["simple"]["note"]
    assert [json.loads(line)["scores"]["simple"] for line in items.read_text().splitlines()] == [1, 0]
    two = [
        write_jsonl(tmp_path / f"{side}.jsonl", [{"id": row["id"], **row[side]} for row in rows])
        for side in ("hyp", "ref")
    ]
    assert result(rrg("score", "graphs", *two, "--samples", 20))["metrics"] == body["metrics"]
    dangling = [{"id": 1, "ref": graph(("x", "OBS-DP", ["located_at", "9"])), "hyp": a}]
    done = rrg("score", "graphs", write_jsonl(tmp_path / "d.jsonl", dangling), code=1)
    assert "d.jsonl, line 1: entity 1: a relation is" in done.stderr.decode()
