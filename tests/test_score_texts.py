"""What every protocol of texts promises: its names, its items, its denominators, strangers refused, any order."""

import dataclasses
import json
from collections import Counter

import pytest

from rrg.errors import RrgError
from rrg.metrics.listing import listing
from rrg.metrics.protocols import PROTOCOLS
from rrg.score import score
from rrg.score_options import Options

from .score_cases import write_jsonl


def words(text):
    return text.split()


AVERAGED = [
    f"{how}.{value}" for how in ("micro", "macro", "weighted", "samples") for value in ("precision", "recall", "f1")
]
LLAVA = words(
    "closed.accuracy closed.recall open.recall open.precision open.f1 open.exact_match open.contains open.equal "
    "open.bleu open.bleu_w1 open.bleu_w2 open.bleu_w3"
)
MEDEVALKIT = words(
    "closed.accuracy all.accuracy open.em open.bleu1 open.bleu2 open.bleu3 open.bleu4 open.rouge1 open.rouge2 "
    "open.rougel open.precision open.recall open.f1 open.printed.precision open.printed.recall open.printed.f1"
)
SACREBLEU = words("bleu1 bleu2 bleu3 bleu4 bleu4.sentence_mean chrf2 chrf2++ ter")
ROUGE = ["rouge1.f", "rouge2.f", "rougel.f"]
NAMES = {
    ("vqa", "strict"): words("closed.accuracy open.em open.precision open.recall open.f1 open.bleu1 all.accuracy"),
    ("vqa", "llava-med"): LLAVA,
    ("vqa", "llava-med-first"): [name for name in LLAVA if name != "open.contains"],
    ("vqa", "medplib"): [name for name in LLAVA if name != "open.contains"],
    ("vqa", "medevalkit-slake"): MEDEVALKIT,
    ("vqa", "medevalkit-vqa-rad"): MEDEVALKIT,
    ("vqa", "lmms-slake"): ["all.accuracy", "open.accuracy", "closed.accuracy"],
    ("vqa", "radgrounder"): [
        f"{prefix}.{name}"
        for prefix in ("open", "closed", "all")
        for name in ("accuracy", "recall", "f1", "cider", "rougel", "bleu1", "bleu4")
    ],
    ("vqa", "sure-vqa"): ["closed.accuracy", "open.recall", "open.precision", "open.f1", "open.exact_match"],
    ("report", "strict"): [*SACREBLEU, *ROUGE],
    ("report", "sacrebleu"): SACREBLEU,
    ("report", "rouge-score"): ROUGE,
    ("report", "coco"): ["bleu1", "bleu2", "bleu3", "bleu4", "cider", "rougel", "meteor"],
    ("report", "nltk"): [f"bleu{n}{kind}" for kind in ("", ".method1", ".sentence_mean") for n in (1, 2, 3, 4)],
    ("report", "green-counts"): ["green"],
    ("labels", "chexbert"): [
        *(f"{prefix}.{name}" for prefix in ("14", "5") for name in AVERAGED),
        "14.macro.f1_supported",
        "14.exact_match",
    ],
    ("labels", "multilabel"): [*(f"all.{name}" for name in AVERAGED), "all.macro.f1_supported", "all.exact_match"],
    ("graphs", "radgraph"): ["simple", "partial", "complete"],
}


def test_names_are_those_of_the_interface():
    """Scripts and papers depend on them."""
    tasks = dict.fromkeys(task for task, _ in NAMES)
    assert [(task, name) for task in tasks for name in PROTOCOLS[task]] == list(NAMES)
    for (task, name), metrics in NAMES.items():
        assert [metric.name for metric in PROTOCOLS[task][name].metrics] == metrics, (task, name)
        assert f"{task} {name}" in listing(task)


PAIRS = [
    ("closed", "Yes", "yes, it is", {"choices": ["Yes", "No"]}),
    ("closed", "No", "a normal chest", {"choices": ["Yes", "No"]}),
    ("closed", "left", "on the left", {"choices": ["left", "right"]}),
    ("closed", "middle", "left", {"choices": ["left", "right"]}),
    ("closed", "no", "", {}),
    ("closed", "yes", None, {}),
    ("open", "left lung base", "left lung", {}),
    ("open", "2,3 cm", "2.3 cm", {}),
    ("open", "CT", "", {}),
    ("open", "liver", None, {}),
    ("open", "x-ray", "X-Ray.", {}),
]


@pytest.fixture
def files(tmp_path):
    rows = [
        {"id": f"q{n}", "answer": wanted, "answer_type": kind, **more}
        for n, (kind, wanted, _, more) in enumerate(PAIRS)
    ]
    said = [{"id": f"q{n}", "prediction": text} for n, (_, _, text, _) in enumerate(PAIRS) if text is not None]
    return write_jsonl(tmp_path / "p.jsonl", said), write_jsonl(tmp_path / "r.jsonl", rows)


@pytest.mark.parametrize("protocol", PROTOCOLS["vqa"])
def test_items_reproduce_every_mean_and_nobody_is_lost(files, protocol):
    found = score("vqa", *files, Options(protocol=protocol, samples=20))
    items = [json.loads(json.dumps(each)) for each in found.items()]
    assert [each["id"] for each in items] == [f"q{n}" for n in range(len(PAIRS))]
    assert found.missing == 2
    kinds = Counter(each["answer_type"] for each in items)
    for name, metric in found.body["metrics"].items():
        prefix = name.partition(".")[0]
        assert metric["n"] + metric["n_excluded"] == (len(PAIRS) if prefix == "all" else kinds[prefix]), name
        if name.endswith((".bleu1", ".bleu4")) and protocol == "radgrounder":
            continue  # corpus BLEU is no mean
        scores = [each["scores"][name] for each in items if each["scores"].get(name) is not None]
        assert len(scores) == metric["n"]
        assert sum(scores) / len(scores) == pytest.approx(metric["value"], abs=1e-12), name
        assert metric["ci95"][0] <= metric["value"] + 1e-12
        assert metric["value"] - 1e-12 <= metric["ci95"][1]
    assert found.body["metrics"]["closed.accuracy"]["n_missing"] == 1


@pytest.mark.parametrize("protocol", PROTOCOLS["vqa"])
def test_order_and_strangers(files, tmp_path, protocol):
    options = Options(protocol=protocol, samples=0)
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    turned = write_jsonl(tmp_path / "turned.jsonl", rows[::-1])
    assert score("vqa", turned, files[1], options).body["metrics"] == score("vqa", *files, options).body["metrics"]
    strange = write_jsonl(tmp_path / "strange.jsonl", [*rows, {"id": "zz", "prediction": "yes"}])
    with pytest.raises(RrgError, match="no reference has the id 'zz'"):
        score("vqa", strange, files[1], options)


def test_strict_can_not_be_gamed(files, tmp_path):
    """Deleting an answer lowers no denominator; an empty one is never better than a wrong one."""
    options = Options(samples=0)
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    whole = score("vqa", *files, options).body["metrics"]
    for number in range(len(rows)):
        less = write_jsonl(tmp_path / "less.jsonl", rows[:number] + rows[number + 1 :])
        wrong = [dict(row, prediction="zzz") if n == number else row for n, row in enumerate(rows)]
        empty = [dict(row, prediction="") if n == number else row for n, row in enumerate(rows)]
        deleted = score("vqa", less, files[1], options).body["metrics"]
        nothing = score("vqa", write_jsonl(tmp_path / "e.jsonl", empty), files[1], options).body["metrics"]
        bad = score("vqa", write_jsonl(tmp_path / "w.jsonl", wrong), files[1], options).body["metrics"]
        for name, metric in whole.items():
            assert deleted[name]["n"] == metric["n"]
            assert deleted[name]["value"] <= metric["value"]
            assert nothing[name]["value"] <= bad[name]["value"]


def test_a_type_by_the_reference_is_by_whole_words(tmp_path):
    """RadGrounder's keyword evaluator calls "normal" closed; a file without types does not become that here."""
    rows = [{"id": 1, "gt": "normal", "text": "normal"}, {"id": 2, "gt": "No", "text": "no"}]
    found = score("vqa", write_jsonl(tmp_path / "f.jsonl", rows), None, Options(protocol="radgrounder", samples=0))
    assert [each["answer_type"] for each in found.items()] == ["open", "closed"]


@pytest.mark.parametrize("protocol", ["strict", "nltk", "coco"])
def test_subsets_of_reports_are_scored_alone(tmp_path, protocol):
    """Corpus values and document frequencies of a filter and of a stratum are the same."""
    texts = ["no effusion .", "heart is large .", "no fracture seen .", "lungs are clear ."]
    rows = [
        {"id": n, "ref": text, "hyp": texts[n - 1] if n % 2 else text, "modality": "CT" if n < 3 else "MR"}
        for n, text in enumerate(texts)
    ]
    path = write_jsonl(tmp_path / "f.jsonl", rows)
    names = tuple(name for name in NAMES["report", protocol] if name != "meteor")
    options = Options(protocol=protocol, samples=0, metrics=names)
    stratum = score("report", path, None, options).body["strata"]["modality"]["CT"]
    alone = score("report", path, None, dataclasses.replace(options, where=(("modality", "CT"),))).body["metrics"]
    assert stratum == alone
