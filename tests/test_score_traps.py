"""What published scripts do wrong, where no test of the protocol itself holds it; and what speed must not change."""

import json

import numpy as np
import pytest

from rrg.metrics.options import TaskOptions
from rrg.score import score
from rrg.score_measure import values_of
from rrg.score_options import Options

from .llm_server import Say, serve
from .score_cases import write_jsonl


def test_a_judge_never_adds_to_medevalkits_hits(rrg, tmp_path):
    """Upstream counts closed hits by rule and again by the judge: its accuracy can exceed 1."""
    wanted = [{"qid": n, "answer": "yes", "answer_type": "CLOSED", "q_lang": "en"} for n in range(3)]
    said = write_jsonl(tmp_path / "s.jsonl", [{"qid": n, "answer": "yes"} for n in range(3)])
    (tmp_path / "rubric.txt").write_text("{reference} {prediction}")
    with serve(lambda _request, _number: Say('{"score": 1}')) as fake:
        how = ("--judge-url", fake.url, "--judge-rubric", tmp_path / "rubric.txt", "--protocol", "medevalkit-slake")
        done = rrg("score", "vqa", said, write_jsonl(tmp_path / "w.jsonl", wanted), *how, "--samples", 0)
    body = json.loads(done.stdout)
    values = {name: each["value"] for name, each in body["metrics"].items()}
    assert (values["closed.accuracy"], values["all.accuracy"], values["judge"]) == (1, 1, 1)
    assert any("twice" in note for note in body["notes"])


def test_equal_answers_of_other_kinds_are_not_scored_alike(tmp_path):
    """Items are scored once for each distinct answer: type, language and question are part of what is distinct."""
    rows = [
        {"id": 0, "answer": "two", "answer_type": "open", "lang": "en"},
        {"id": 1, "answer": "two", "answer_type": "open", "lang": "de"},
        {"id": 2, "answer": "two", "answer_type": "closed", "lang": "en"},
        {"id": 3, "answer": "left", "answer_type": "closed", "question": "left or right?"},
        {"id": 4, "answer": "left", "answer_type": "closed", "question": "left, right or both?"},
        {"id": 5, "answer": "left", "answer_type": "closed", "question": "Which?"},
    ]
    said = [{"id": n, "answer": "2" if n < 3 else "it is left"} for n in range(6)]
    files = write_jsonl(tmp_path / "s.jsonl", said), write_jsonl(tmp_path / "w.jsonl", rows)
    lines = list(score("vqa", *files, Options(samples=0)).items())
    scores = [next(iter(line["scores"].values())) for line in lines]
    assert scores == [1, 0, 1, 1, 1, 0]


@pytest.mark.parametrize("clusters", [None, np.array(list("aabbccddee"))])
def test_values_that_share_draws_have_the_intervals_they_have_alone(clusters):
    rng = np.random.default_rng(4)
    a, b, c = rng.random(10), rng.random(10), rng.random(10)
    a[:3], b[3:6] = np.nan, np.nan  # as many items, but others
    options = Options(samples=200)
    together = values_of({"a": a, "b": b, "c": c, "again": c.copy()}, {}, clusters, options)
    for name, column in (("a", a), ("b", b), ("c", c)):
        assert values_of({name: column}, {}, clusters, options)[name] == together[name]
    assert together["again"] == together["c"]


def test_a_constant_confidence_is_not_a_ranking(tmp_path):
    """AP of the same boxes in another order of the file: another value, and a note that says so."""
    truths = {
        "images": [{"id": 1}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "a"}],
    }
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [x, 0, 9, 9]} for x in (0, 50)]
    (tmp_path / "t.json").write_text(json.dumps(truths))
    found = []
    for rows in (boxes, boxes[::-1]):
        (tmp_path / "s.json").write_text(json.dumps(rows))
        body = score(
            "boxes",
            tmp_path / "s.json",
            tmp_path / "t.json",
            Options(samples=0, task=TaskOptions(pseudo_score=1.0), given=frozenset({"pseudo_score"})),
        ).body
        found.append(body["metrics"]["ap50"]["value"])
        assert any("order of the file" in note for note in body["notes"])
    assert found == [pytest.approx(1.0), pytest.approx(0.5)]
