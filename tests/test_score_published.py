"""rrg score with published protocols, as processes on files in their own formats: values, notes, what is left out."""

import json
import random
import warnings

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from rrg.metrics import coco_java

from .score_cases import write_jsonl


def result(done):
    return json.loads(done.stdout)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check_items(body, items):
    """The per-item file reproduces every mean, and n + n_excluded is all items of a kind."""
    for name, each in body["metrics"].items():
        scores = [line["scores"][name] for line in items if name in line["scores"]]
        if not scores:
            continue
        counted = [score for score in scores if score is not None]
        assert (each["n"], each["n_excluded"]) == (len(counted), len(scores) - len(counted))
        if counted:
            assert sum(counted) / len(counted) == pytest.approx(each["value"], abs=1e-12)


MEDEVALKIT = [
    {"question": "Is it?", "answer": "Yes", "response": "Yes, it is.", "lang": "en", "answer_type": "CLOSED"},
    {"question": "Is it?", "answer": "No", "response": "No.", "lang": "en", "answer_type": "CLOSED"},
    {
        "question": "Where?",
        "answer": "Left lung",
        "response": "\\boxed{left lung}",
        "lang": "en",
        "answer_type": "OPEN",
    },
    {"question": "Wo?", "answer": "肺", "response": "", "lang": "zh", "answer_type": "OPEN"},
]


def test_medevalkit_results_as_it_writes_them(rrg, tmp_path):
    path, items = tmp_path / "results.json", tmp_path / "i.jsonl"
    path.write_text(json.dumps(MEDEVALKIT), encoding="utf-8")
    done = rrg("score", "vqa", path, "--protocol", "medevalkit-slake", "--per-item", items, "--samples", 50)
    body = result(done)
    check_items(body, lines(items))
    assert body["metrics"]["closed.accuracy"]["value"] == 0.5
    assert "lower-case yes and no" in body["metrics"]["closed.accuracy"]["note"]
    em = body["metrics"]["open.em"]
    assert (em["value"], em["n"], em["n_excluded"], em["n_unparsed"]) == (1, 1, 1, 0)
    assert body["metrics"]["all.accuracy"]["n"] == 3
    assert "really F1" in body["metrics"]["open.printed.precision"]["note"]
    assert any("counts closed hits twice" in note for note in body["notes"])
    assert lines(items)[3]["raises"] == "ValueError: Hypothesis is empty."
    assert [line.get("rule") for line in lines(items)] == ["other", "other", None, None]
    rad = result(rrg("score", "vqa", path, "--protocol", "medevalkit-vqa-rad", "--samples", 0))
    assert rad["metrics"]["closed.accuracy"]["value"] == 1


def test_lmms_eval_samples_with_its_sub_scores(rrg, tmp_path):
    rows = [
        {
            "doc_id": n,
            "doc": {"q_lang": lang, "answer_type": kind, "modality": "CT", "content_type": "Organ"},
            "target": target,
            "filtered_resps": [said],
        }
        for n, (lang, kind, target, said) in enumerate(
            [("en", "CLOSED", "Yes", "yeah"), ("zh", "CLOSED", "没有", "否。"), ("en", "OPEN", "X-Ray", "xray")]
        )
    ]
    path = write_jsonl(tmp_path / "samples.jsonl", rows)
    by = ("--by", "lang,modality,content_type")
    body = result(rrg("score", "vqa", path, "--protocol", "lmms-slake", *by, "--samples", 0))
    assert {name: each["value"] for name, each in body["metrics"].items()} == dict.fromkeys(
        ("all.accuracy", "open.accuracy", "closed.accuracy"), 1
    )
    assert body["strata"]["lang"]["zh"]["closed.accuracy"]["n"] == 1
    assert "German" in body["metrics"]["all.accuracy"]["note"]


def test_sure_vqa_leaves_undefined_references_out(rrg, tmp_path):
    rows = [
        {"qid": 1, "gt": "left", "pred": "left", "answer_type": "CLOSED", "list_categories": ["left", "right"]},
        {"qid": 2, "gt": "middle", "pred": "left", "answer_type": "CLOSED", "list_categories": ["left", "right"]},
        {"qid": 3, "gt": "left lung", "pred": "lung", "answer_type": "OPEN", "list_categories": []},
    ]
    items = tmp_path / "i.jsonl"
    path = write_jsonl(tmp_path / "f.jsonl", rows)
    body = result(rrg("score", "vqa", path, "--protocol", "sure-vqa", "--per-item", items, "--samples", 0))
    check_items(body, lines(items))
    closed = body["metrics"]["closed.accuracy"]
    assert (closed["value"], closed["n"], closed["n_excluded"]) == (1, 1, 1)


def test_one_set_of_answers_many_accuracies(rrg, tmp_path):
    """The reason for named protocols: the same closed answers, told apart by script."""
    pairs = [("Yes", "yes and no"), ("No", "a normal chest"), ("No", "No, there is none."), ("Left", "left")]
    rows = [{"id": n, "gt": gt, "text": said, "answer_type": "closed"} for n, (gt, said) in enumerate(pairs)]
    path = write_jsonl(tmp_path / "f.jsonl", rows)
    names = ("strict", "llava-med", "llava-med-first", "medplib", "medevalkit-slake", "lmms-slake")
    found = {
        name: result(rrg("score", "vqa", path, "--protocol", name, "--samples", 0))["metrics"]["closed.accuracy"]
        for name in names
    }
    expected = dict(zip(names, (2 / 4, 1, 3 / 4, 1 / 4, 1 / 4, 1 / 4), strict=True))
    assert {name: each["value"] for name, each in found.items()} == pytest.approx(expected)


PARTS = [
    "The heart is not enlarged.",
    "No pleural effusion.",
    "Lungs are clear, no focal opacity.",
    "Die Leber ist vergrößert.",
    "Mild cardiomegaly.",
    "Unchanged since prior.",
]


@pytest.fixture(scope="module")
def reports():
    rng = random.Random(9)
    references = [" ".join(rng.sample(PARTS, 4)) for _ in range(10)]
    predictions = [" ".join(rng.sample(PARTS, 3)) for _ in references]
    predictions[2], predictions[5] = "", references[5]
    return predictions, references


@pytest.fixture(scope="module")
def files(reports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    rows = [
        [{"id": n, name: text} for n, text in enumerate(side)]
        for name, side in zip(("prediction", "report"), reports, strict=True)
    ]
    return write_jsonl(folder / "p.jsonl", rows[0]), write_jsonl(folder / "r.jsonl", rows[1])


def simple(texts):
    return [" ".join(text.lower().replace(".", " .").split()) for text in texts]


COCO = "bleu1,bleu2,bleu3,bleu4,cider,rougel"


@pytest.mark.parametrize("tokenizer", ["simple", "raw"])
def test_coco_is_pycocoevalcap(rrg, files, reports, tokenizer, tmp_path):
    items = tmp_path / "i.jsonl"
    how = ("--coco-tokenizer", tokenizer, "--metrics", COCO, "--samples", 30, "--per-item", items)
    body = result(rrg("score", "report", *files, "--protocol", "coco", *how))
    predictions, references = map(simple, reports) if tokenizer == "simple" else reports
    gts, res = ({n: [text] for n, text in enumerate(side)} for side in (references, predictions))
    expected = dict(
        zip(("bleu1", "bleu2", "bleu3", "bleu4"), Bleu(4).compute_score(gts, res, verbose=0)[0], strict=True)
    )
    expected |= {"cider": Cider().compute_score(gts, res)[0], "rougel": Rouge().compute_score(gts, res)[0]}
    assert {name: each["value"] for name, each in body["metrics"].items()} == pytest.approx(expected, abs=1e-9)
    check_items(body, lines(items))
    assert f"tok:{tokenizer}" in body["signature"]
    assert (body["metrics"]["cider"]["unit"], body["metrics"]["bleu1"]["unit"]) == ("score10", "fraction")
    assert "frequencies" in body["metrics"]["cider"]["note"]
    assert body["metrics"]["bleu4"]["n_unparsed"] == 1


def test_meteor_without_java_is_skipped_with_the_reason(rrg, files):
    done = rrg("score", "report", *files, "--protocol", "coco", "--samples", 0, env={"PATH": ""})
    meteor = result(done)["metrics"]["meteor"]
    assert (meteor["value"], meteor["n"]) == (None, 0)
    assert "Java is not installed" in meteor["skipped"]
    assert result(done)["metrics"]["cider"]["value"] > 0
    ptb = rrg("score", "report", *files, "--protocol", "coco", "--coco-tokenizer", "ptb", env={"PATH": ""})
    assert {each["value"] for each in result(ptb)["metrics"].values()} == {None}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the package leaves its pipes open
@pytest.mark.proof  # METEOR reads its paraphrases for 20 s and more
@pytest.mark.skipif(coco_java.absent(coco_java.METEOR) is not None, reason="pycocoevalcap or Java is not installed")
def test_meteor_is_the_packages(rrg, files, reports):
    from pycocoevalcap.meteor.meteor import Meteor

    predictions, references = map(simple, reports)
    gts, res = ({n: [text] for n, text in enumerate(side)} for side in (references, predictions))
    how = ("--protocol", "coco", "--metrics", "meteor", "--samples", 2000)
    meteor = result(rrg("score", "report", *files, *how))["metrics"]["meteor"]
    assert meteor["value"] == pytest.approx(Meteor().compute_score(gts, res)[0], abs=1e-9)
    assert meteor["ci95"] is None
    assert "samples" not in meteor


@pytest.mark.skipif(coco_java.absent(coco_java.PTB) is not None, reason="pycocoevalcap or Java is not installed")
def test_ptb_tokens_are_the_packages(rrg, files, reports):
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    theirs = [
        [texts[0] for texts in PTBTokenizer().tokenize({n: [{"caption": t}] for n, t in enumerate(side)}).values()]
        for side in ([text or "none" for text in reports[0]], reports[1])
    ]
    mine = [coco_java.ptb([text or "none" for text in reports[0]]), coco_java.ptb(reports[1])]
    assert mine == theirs


def test_nltk_is_nltk(rrg, files, reports, tmp_path):
    items = tmp_path / "i.jsonl"
    body = result(rrg("score", "report", *files, "--protocol", "nltk", "--samples", 30, "--per-item", items))
    said, wanted = ([text.split() for text in simple(side)] for side in reports)
    references, expected = [[text] for text in wanted], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in (1, 2, 3, 4):
            weights = [1 / n] * n
            smooth = SmoothingFunction().method1
            expected[f"bleu{n}"] = corpus_bleu(references, said, weights=weights)
            expected[f"bleu{n}.method1"] = corpus_bleu(references, said, weights=weights, smoothing_function=smooth)
            each = [sentence_bleu([b], a, weights=weights) if a else 0.0 for a, b in zip(said, wanted, strict=True)]
            expected[f"bleu{n}.sentence_mean"] = np.mean(each)
    assert {name: each["value"] for name, each in body["metrics"].items()} == pytest.approx(expected, abs=1e-9)
    check_items(body, lines(items))
    low, high = body["metrics"]["bleu4"]["ci95"]
    assert low <= body["metrics"]["bleu4"]["value"] <= high


def test_green_from_counts(rrg, tmp_path):
    rows = [
        {"id": "a", "matched": 3, "significant": [1, 0, 0, 0, 0, 0]},
        {"id": "b", "matched": 0, "significant": [0] * 6},
        {"id": "c", "matched": None, "significant": None},
    ]
    items, path = tmp_path / "i.jsonl", write_jsonl(tmp_path / "g.jsonl", rows)
    done = rrg("score", "report", path, "--protocol", "green-counts", "--per-item", items, "--samples", 0)
    green = result(done)["metrics"]["green"]
    assert (green["value"], green["n"], green["n_unparsed"]) == (0.25, 3, 1)
    assert "normal reports" in green["note"]
    assert lines(items)[0]["significant"] == [1, 0, 0, 0, 0, 0]
    for broken, words in (
        ({"matched": -1, "significant": [0] * 6}, "whole numbers"),
        ({"matched": 1}, "no significant"),
    ):
        bad = write_jsonl(tmp_path / "bad.jsonl", [{"id": "a", **broken}])
        done = rrg("score", "report", bad, "--protocol", "green-counts", code=1)
        assert f"bad.jsonl, line 1: {words}" in done.stderr.decode() or words in done.stderr.decode()
