"""rrg score compare: two systems item by item."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest, wilcoxon

from .score_cases import write_jsonl

RNG = np.random.default_rng(7)
A_HITS, B_HITS = (RNG.random(40) < 0.5).astype(int), (RNG.random(40) < 0.7).astype(int)
A_F1, B_F1 = RNG.random(40).round(2), RNG.random(40).round(2)


def lines(hits, f1):
    return [
        {
            "id": f"q{n}",
            "facets": {"patient": f"p{n % 9}"},
            "scores": {"closed.accuracy": int(hits[n]), "open.f1": f1[n]},
        }
        for n in range(len(hits))
    ]


@pytest.fixture
def files(tmp_path):
    a, b = lines(A_HITS, A_F1.tolist()), lines(B_HITS, B_F1.tolist())
    return write_jsonl(tmp_path / "a.jsonl", a), write_jsonl(tmp_path / "b.jsonl", b[::-1])


def run(rrg, *arguments, code=0):
    return json.loads(rrg("score", "compare", *arguments, "--samples", 500, code=code).stdout)


def test_against_direct_calls(rrg, files):
    found = run(rrg, *files)["metrics"]
    value = {name: each["value"] for name, each in found.items()}
    assert value["closed.accuracy.a"] == A_HITS.mean()
    assert value["closed.accuracy.diff"] == pytest.approx((B_HITS - A_HITS).mean())
    only_a, only_b = int(((A_HITS == 1) & (B_HITS == 0)).sum()), int(((A_HITS == 0) & (B_HITS == 1)).sum())
    assert (value["closed.accuracy.only_a"], value["closed.accuracy.only_b"]) == (only_a, only_b)
    assert value["closed.accuracy.p_mcnemar"] == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    test = wilcoxon(A_F1, B_F1)
    assert (value["open.f1.wilcoxon"], value["open.f1.p_wilcoxon"]) == pytest.approx((test.statistic, test.pvalue))
    draws = np.random.default_rng(12345).choice(40, (500, 40))
    expected = np.percentile((B_F1 - A_F1)[draws].mean(axis=1), [2.5, 97.5])
    assert found["open.f1.diff"]["ci95"] == pytest.approx(list(expected))
    signs = np.random.default_rng(12345).choice([-1.0, 1.0], (500, 40))
    observed = abs((B_F1 - A_F1).mean())
    hits = (np.abs((signs * (B_F1 - A_F1)).mean(axis=1)) >= observed - 1e-12).sum()
    assert value["open.f1.p_sign_flip"] == (hits + 1) / 501
    assert "wilson95" in found["closed.accuracy.b"]
    assert "wilson95" not in found["open.f1.b"]
    raw = sorted([value["open.f1.p_sign_flip"], value["closed.accuracy.p_sign_flip"]])
    holm = sorted([value["open.f1.p_sign_flip_holm"], value["closed.accuracy.p_sign_flip_holm"]])
    assert holm == pytest.approx([min(1, 2 * raw[0]), max(min(1, 2 * raw[0]), raw[1])])


def test_a_system_against_itself(rrg, files):
    value = {name: each["value"] for name, each in run(rrg, files[0], files[0])["metrics"].items()}
    assert value["closed.accuracy.diff"] == 0
    assert value["closed.accuracy.p_sign_flip"] == value["closed.accuracy.p_mcnemar"] == 1
    assert value["open.f1.wilcoxon"] is None


def test_metrics_clusters_and_errors(rrg, files, tmp_path):
    body = run(rrg, *files, "--metrics", "open.f1", "--cluster", "patient")
    assert not any(name.startswith("closed") for name in body["metrics"])
    assert not any(name.endswith("holm") for name in body["metrics"])
    assert body["bootstrap"]["clusters"] == 9
    done = rrg("score", "compare", *files, "--metrics", "nope", code=2)
    assert b"they share" in done.stderr
    short = write_jsonl(tmp_path / "c.jsonl", lines(A_HITS, A_F1.tolist())[1:])
    assert b"different ids" in rrg("score", "compare", files[0], short, code=1).stderr
    assert b"two per-item files" in rrg("score", "compare", files[0], code=2).stderr
    assert b"relative-robustness" in rrg("score", "compare", *files, "--protocol", "nope", code=2).stderr


def test_nulls_are_left_out_of_both(rrg, tmp_path):
    a = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "scores": {"iou": 0.5}}, {"id": 2, "scores": {"iou": None}}])
    b = write_jsonl(tmp_path / "b.jsonl", [{"id": 1, "scores": {"iou": 0.7}}, {"id": 2, "scores": {"iou": 0.9}}])
    found = run(rrg, a, b)["metrics"]["iou.diff"]
    assert (found["value"], found["n"], found["n_excluded"]) == (pytest.approx(0.2), 1, 1)


def test_flat_columns_and_relative_robustness(rrg, tmp_path):
    a = tmp_path / "a.csv"
    a.write_text("id,acc,site\n1,1,x\n2,1,x\n3,0,y\n4,0,y\n")
    b = tmp_path / "b.csv"
    b.write_text("id,acc,site\n9,1,x\n8,0,x\n7,0,y\n6,0,y\n")
    found = run(rrg, a, b, "--protocol", "relative-robustness")["metrics"]
    assert {name: each["value"] for name, each in found.items()} == {"acc.a": 0.5, "acc.b": 0.25, "acc.rr": 0.5}
    zero = tmp_path / "z.csv"
    zero.write_text("id,acc,site\n1,0,x\n2,0,x\n")
    assert run(rrg, zero, b, "--protocol", "relative-robustness")["metrics"]["acc.rr"]["value"] is None


SAME = ["the liver is normal", "no pleural effusion is seen", "a nodule in the right lung", "heart of normal size"] * 2
OTHER = [text.replace("normal", "small") if n < 3 else text for n, text in enumerate(SAME)]


def texts(tmp_path, *sides):
    paths = []
    for name, lines in zip(("a.txt", "b.txt", "r.txt"), sides, strict=True):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
        paths.append(tmp_path / name)
    return paths


@pytest.mark.parametrize("test", ["bs", "ar"])
def test_sacrebleu_tests_are_its_own(rrg, tmp_path, monkeypatch, test):
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    wanted = [text.replace("seen", "present") for text in SAME]
    *sides, references = texts(tmp_path, SAME, OTHER, wanted)
    found = run(rrg, *sides, "--protocol", f"sacrebleu-{test}", "--references", references)["metrics"]
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    systems = [("a", SAME), ("b", OTHER)]
    _, theirs = PairedTest(systems, {"b": BLEU(), "c": CHRF()}, [wanted], test_type=test, n_samples=500)()
    for ours, name in (("bleu4", "BLEU"), ("chrf2", "chrF2")):
        a, b = theirs[name]
        assert (found[f"{ours}.a"]["value"], found[f"{ours}.b"]["value"]) == pytest.approx((a.score, b.score))
        assert found[f"{ours}.p_{test}"]["value"] == pytest.approx(b.p_value)
        if test == "bs":
            assert found[f"{ours}.b.bs_mean"]["value"] == pytest.approx(b.mean)
            assert found[f"{ours}.a.bs_halfwidth"]["value"] == pytest.approx(a.ci)
    assert found["bleu4.a"]["signature"].endswith("version:2.6.0")
    assert ("note" in found[f"bleu4.p_{test}"]) == (test == "ar")


def test_strictly_above_is_too_small_a_p(rrg, tmp_path):
    """Three of eight reports differ, all to A's side: one in four sign patterns is as extreme."""
    a = write_jsonl(tmp_path / "a.jsonl", [{"id": n, "scores": {"m": 0.5 if n < 3 else 1}} for n in range(8)])
    b = write_jsonl(tmp_path / "b.jsonl", [{"id": n, "scores": {"m": 0.0 if n < 3 else 1}} for n in range(8)])
    ours = json.loads(rrg("score", "compare", a, b, "--samples", 4000).stdout)["metrics"]["m.p_sign_flip"]["value"]
    assert ours == pytest.approx(0.25, abs=0.03)
    sides = texts(tmp_path, SAME, OTHER, SAME)
    body = run(rrg, *sides[:2], "--protocol", "sacrebleu-ar", "--references", sides[2])
    assert body["metrics"]["bleu4.p_ar"]["value"] < 0.01
    assert "far too small" in body["notes"][0]


def test_texts_that_do_not_fit(rrg, tmp_path):
    sides = texts(tmp_path, SAME, OTHER[:-1], SAME)
    protocol = ("--protocol", "sacrebleu-bs")
    done = rrg("score", "compare", *sides[:2], *protocol, "--references", sides[2], code=1)
    assert b"has 7 texts" in done.stderr
    assert b"needs --references FILE" in rrg("score", "compare", *sides[:2], *protocol, code=2).stderr


def test_seeds_one_behind_the_other_count_with_their_mean(rrg, tmp_path):
    """An item is one item, however many runs answered it: intervals do not get narrower by counting it more often."""
    rng = np.random.default_rng(3)
    runs = [rng.random(40).round(3) for _ in range(3)]
    seeds = [row for f1 in runs for row in lines(A_HITS, f1.tolist())]
    a, b = write_jsonl(tmp_path / "a.jsonl", seeds), write_jsonl(tmp_path / "b.jsonl", lines(A_HITS, B_F1.tolist()))
    result = run(rrg, a, b)
    mean = write_jsonl(tmp_path / "mean.jsonl", lines(A_HITS, np.mean(runs, axis=0).tolist()))
    expected = run(rrg, mean, b)["metrics"]
    found = result["metrics"]
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        assert found[name]["n"] == each["n"]
        assert found[name]["value"] == pytest.approx(each["value"])
        assert found[name]["ci95"] == (each["ci95"] and pytest.approx(each["ci95"]))
    assert result["notes"] == [f"{a}: each item has the mean of 3 runs; intervals are over items"]
    for wrong, told in (
        (seeds[:-1], "line 81: id 'q0' is there already"),
        (seeds + seeds[:40], "line 121: id 'q0' is there already, and all from here on is as before"),
        ([row for row in seeds[:40] for _ in range(3)], "line 2: id 'q0' is there already"),
    ):
        said = rrg("score", "compare", write_jsonl(tmp_path / "a.jsonl", wrong), b, code=1).stderr.decode()
        assert told in said
    for n, row in enumerate(seeds):
        row["facets"] = {**row["facets"], "seed": n // 40}
    a = write_jsonl(tmp_path / "a.jsonl", seeds)
    said = rrg("score", "compare", a, b, "--where", "seed=1", code=1).stderr.decode()
    assert "no items left" in said, "the runs are one"
