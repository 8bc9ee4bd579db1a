"""rrg score --sanity, --baseline, published values, the judge: what stands beside a score."""

import json
import re

import pytest

from rrg.formats.items import Item, Reference
from rrg.metrics import green
from rrg.score_judge import Rubric, filled
from tests.llm_server import Say, serve

from .score_cases import write_jsonl

REFERENCES = [
    {"id": n, "question": f"Q{n}?", "answer": answer, "answer_type": kind, "content_type": content, "lang": lang}
    for n, (answer, kind, content, lang) in enumerate(
        [
            ("Yes", "closed", "Organ", "en"),
            ("yes", "closed", "Organ", "en"),
            ("No", "closed", "Organ", "en"),
            ("nein", "closed", "Organ", "de"),
            ("CT", "open", "Modality", "en"),
            ("MRI", "open", "Plane", "en"),
        ]
    )
]


@pytest.fixture
def files(tmp_path):
    said = [{"id": row["id"], "prediction": row["answer"]} for row in REFERENCES]
    return write_jsonl(tmp_path / "p.jsonl", said), write_jsonl(tmp_path / "r.jsonl", REFERENCES)


def result(done):
    return json.loads(done.stdout)


def test_majority_and_baselines_beside_the_score(rrg, files, tmp_path):
    blank = write_jsonl(tmp_path / "blank.jsonl", [{"id": n, "prediction": "yes"} for n in range(5)])
    done = rrg("score", "vqa", *files, "--sanity", "--baseline", f"no-image={blank}", "--samples", 50)
    body = result(done)
    assert list(body["sanity"]) == ["majority", "no-image"]
    majority = body["sanity"]["majority"]["metrics"]
    assert majority["closed.accuracy"]["value"] == 3 / 4  # yes, yes, yes for the English three; nein for the German
    assert majority["open.em"]["value"] == 1  # each kind of question has one answer
    other = body["sanity"]["no-image"]["metrics"]
    assert (other["closed.accuracy"]["value"], other["open.em"]["n_missing"]) == (0.5, 1)
    assert body["sanity"]["no-image"]["input"]["n"] == 5
    assert body["metrics"]["closed.accuracy"]["value"] == 1
    assert b"beside: majority: closed.accuracy 0.7500" in done.stderr
    filtered = result(rrg("score", "vqa", *files, "--sanity", "--where", "lang=de", "--samples", 0))
    assert filtered["sanity"]["majority"]["metrics"]["closed.accuracy"]["n"] == 1
    assert "sanity" not in result(rrg("score", "vqa", *files, "--samples", 0))


def test_constant_report_and_majority_labels(rrg, tmp_path):
    rows = [{"id": 1, "ref": "Kein Nachweis einer Fraktur.", "hyp": "Fraktur.", "lang": "de"}]
    body = result(rrg("score", "report", write_jsonl(tmp_path / "f.jsonl", rows), "--sanity", "--samples", 0))
    assert body["sanity"]["constant"]["metrics"]["rouge1.f"]["value"] > 0  # it is German: "Kein Nachweis"
    labels = [{"id": n, "ref": {"Edema": code}, "hyp": {"Edema": 1}} for n, code in enumerate((0, 0, 1))]
    path = write_jsonl(tmp_path / "l.jsonl", labels)
    body = result(rrg("score", "labels", path, "--protocol", "multilabel", "--sanity", "--samples", 0))
    assert body["sanity"]["majority"]["metrics"]["all.exact_match"]["value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--baseline", "x"], "expected NAME=FILE", 2),
        (["--sanity", "--baseline", "majority=P"], "the name is taken", 2),
        (["--baseline", "x=E"], "no prediction for any", 1),
        (["--judge-url", "http://127.0.0.1:9/v1"], "go together", 2),
        (["--judge-url", "http://127.0.0.1:9/v1", "--judge-rubric", "P"], "no {reference} in it", 2),
    ],
)
def test_what_can_not_be_meant(rrg, files, tmp_path, arguments, words, code):
    empty = write_jsonl(tmp_path / "e.jsonl", [])
    paths = {"P": str(files[0]), "E": str(empty)}
    given = [paths.get(each, re.sub(r"=([PE])$", lambda found: "=" + paths[found[1]], each)) for each in arguments]
    done = rrg("score", "vqa", *files, "--samples", 0, *given, code=code)
    assert words in done.stderr.decode()
    assert done.stdout == b""


def test_published_values_for_the_same_protocol_and_set_only(rrg, data, tmp_path):
    path = data / "slake-text-boxes" / "test.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    said = write_jsonl(tmp_path / "p.jsonl", ({"qid": row["qid"], "prediction": row["answer"]} for row in rows))
    how = ("--protocol", "radgrounder", "--samples", 0, "--by", "none")
    body = result(rrg("score", "vqa", said, path, *how, "--where", "lang=en"))
    systems = {(each["system"], each["source"]): each["metrics"] for each in body["published"]}
    assert systems["RadGrounder, detection", "repository, means of the released checkpoint"]["open.cider"] == 3
    assert systems["MedGemma 4B", "paper"] == {"closed.accuracy": 0.876}
    assert "published" not in result(rrg("score", "vqa", said, path, *how))  # Chinese too: another set
    strict = ("--samples", 0, "--by", "none", "--where", "lang=en")
    assert "published" not in result(rrg("score", "vqa", said, path, *strict))


RUBRIC = "scale: 1 5\nGrade {prediction} against {reference} for {question} with 1 to 5 stars."
VERDICTS = {"Q0?": '{"score": 5}', "Q1?": 'Sure: {"score": 3}', "Q2?": "four stars", "Q3?": '{"score": 9}'}


def react(request, _number):
    text = request["messages"][-1]["content"]
    return Say(next((verdict for question, verdict in VERDICTS.items() if question in text), '{"score": 1}'))


def test_judge_counts_its_failures_apart(rrg, files, tmp_path):
    (tmp_path / "rubric.txt").write_text(RUBRIC)
    said = [{"id": n, "prediction": "" if n == 5 else "x"} for n in range(6)]
    path, items = write_jsonl(tmp_path / "said.jsonl", said), tmp_path / "i.jsonl"
    with serve(react) as fake:
        how = ("--judge-url", fake.url, "--judge-rubric", tmp_path / "rubric.txt", "--judge-cache", tmp_path / "cache")
        base = ("score", "vqa", path, files[1], "--samples", 20, *how, "--per-item", items)
        done = rrg(*base)
        asked = len(fake.requests)
        again = rrg(*base)
        assert len(fake.requests) == asked  # also the failures are kept
    assert again.stdout == done.stdout
    body = result(done)
    judge = body["metrics"]["judge"]
    assert judge["value"] == pytest.approx((1 + 0.5 + 0 + 0) / 4)  # 5 stars, 3 stars, 1 star, an empty answer
    assert (judge["n"], judge["n_excluded"], judge["n_judge_failed"], judge["n_unparsed"]) == (4, 2, 2, 3)
    assert body["strata"]["lang"]["de"]["judge"]["n_judge_failed"] == 1
    assert re.search(r"\|judge:model-a\+rubric-[0-9a-f]{12}\|", body["signature"])
    scores = [json.loads(line)["scores"]["judge"] for line in items.read_text().splitlines()]
    assert scores == [1, 0.5, None, None, 0, 0]
    assert "closed.accuracy" in body["metrics"]  # the judge is a metric of its own, it changes no other


def counted(request, _number):
    text = request["messages"][-1]["content"]
    if "no counts" in text:
        return Say("three findings match")
    return Say(json.dumps(dict(zip(green.FIELDS, (3, 1, 0, 0, 0, 0, 0), strict=True))))


def test_green_by_a_judge(rrg, tmp_path):
    texts = ["large heart", "no counts", "", "clear"]
    said = write_jsonl(tmp_path / "s.jsonl", [{"id": n, "report": text} for n, text in enumerate(texts)])
    wanted = write_jsonl(tmp_path / "w.jsonl", [{"id": n, "report": "x", "lang": "en"} for n in range(4)])
    with serve(counted) as fake:
        how = ("--judge-url", fake.url, "--judge-rubric", "green", "--protocol", "rouge-score", "--samples", 20)
        body = result(rrg("score", "report", said, wanted, *how))
        german = write_jsonl(tmp_path / "g.jsonl", [{"id": n, "report": "x", "lang": "de"} for n in range(4)])
        assert b"GREEN reads English" in rrg("score", "report", said, german, *how, code=1).stderr
        forced = result(rrg("score", "report", said, german, *how, "--force"))
    found = body["metrics"]["green"]
    assert found["value"] == pytest.approx((3 / 4 + 0 + 3 / 4) / 3)  # an empty report is 0, a failed verdict left out
    assert (found["n"], found["n_judge_failed"]) == (3, 1)
    assert re.search(r"\|judge:model-a\+green-[0-9a-f]{12}\|", body["signature"])
    assert forced["metrics"]["green"]["value"] == found["value"]


def test_sides_that_were_confused(rrg, tmp_path):
    pairs = [
        ("left lung", "the right lung"),
        ("left lung", "Left."),
        ("rechte Niere", "rechtsseitig"),
        ("rechts", "Januar"),
        ("beidseits", "links und rechts"),
        ("liver", "right"),
    ]
    wanted = [{"id": n, "answer": a, "answer_type": "open"} for n, (a, _) in enumerate([*pairs, ("links", "")])]
    said = [{"id": n, "answer": b} for n, (_, b) in enumerate(pairs)]
    files = write_jsonl(tmp_path / "s.jsonl", said), write_jsonl(tmp_path / "w.jsonl", wanted)
    done = rrg("score", "vqa", *files, "--samples", 0, "--sanity", code=3)
    assert result(done)["laterality"] == {
        "left": {"left": 1, "right": 1, "both": 0, "none": 1},
        "right": {"left": 0, "right": 1, "both": 0, "none": 1},
        "both": {"left": 0, "right": 0, "both": 1, "none": 0},
    }
    assert b"side: left in the reference: left 1, right 1, none 1" in done.stderr
    assert "laterality" not in result(rrg("score", "vqa", *files, "--samples", 0, code=3))


def test_a_judge_that_is_down_is_one_line(rrg, files, tmp_path):
    (tmp_path / "rubric.txt").write_text("{reference} {prediction}")
    how = ("--judge-url", "http://127.0.0.1:9/v1", "--judge-rubric", tmp_path / "rubric.txt")
    done = rrg("score", "vqa", *files, "--samples", 0, *how, code=1)
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_texts_can_not_leave_their_place_in_the_rubric():
    item = Item(reference=Reference(id="1", line=1, value='a"} {prediction}', question="q"), prediction="\n{reference}")
    text = filled("A {reference} B {prediction}", item)
    assert text.count("\n") == 0
    assert text.startswith('A "a\\"} {prediction}" B "')
    assert Rubric("", 0, 1, "").low == 0
