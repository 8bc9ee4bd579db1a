"""rrg score vqa: files as they are published, exact counts, exit codes, the same bytes twice."""

import collections
import gzip
import json
import math

import pytest

from .score_cases import prediction, sample, write_jsonl, write_stream

REFERENCES = [
    {"id": "q1", "question": "Is there a lesion?", "answer": "Yes", "answer_type": "CLOSED ", "lang": "de"},
    {"id": "q2", "question": "Is it left or right?", "answer": "Left", "answer_type": "CLOSED", "lang": "en"},
    {"id": "q3", "question": "Which organ?", "answer": "left lung base", "answer_type": "OPEN", "lang": "en"},
    {"id": 4, "question": "How many?", "answer": 2, "answer_type": "OPEN", "lang": "de"},
    {"id": "q5", "question": "Is it normal?", "answer": "no", "answer_type": "closed", "lang": "en"},
]
PREDICTIONS = [
    {"id": "4", "prediction": "zwei"},
    {"id": "q1", "prediction": "Ja, rechts."},
    {"id": "q2", "prediction": "on the left"},
    {"id": "q3", "prediction": "left lung"},
]


@pytest.fixture
def files(tmp_path):
    return write_jsonl(tmp_path / "p.jsonl", PREDICTIONS), write_jsonl(tmp_path / "r.jsonl", REFERENCES)


def result(done):
    return json.loads(done.stdout)


def values(done, key="value"):
    return {name: each[key] for name, each in result(done)["metrics"].items()}


def test_values_counts_and_shape(rrg, files, tmp_path):
    items = tmp_path / "items.jsonl"
    done = rrg("score", "vqa", *files, "--per-item", items, "--samples", 200, code=3)
    body = result(done)
    assert values(done) == pytest.approx(
        {
            "closed.accuracy": 2 / 3,
            "open.em": 1 / 2,
            "open.precision": 1.0,
            "open.recall": (2 / 3 + 1) / 2,
            "open.f1": (0.8 + 1) / 2,
            "open.bleu1": (math.exp(1 - 3 / 2) + 1) / 2,
            "all.accuracy": 3 / 5,
        }
    )
    closed = body["metrics"]["closed.accuracy"]
    counts = {key: closed[key] for key in ("n", "n_missing", "n_unparsed", "n_excluded")}
    assert counts == {"n": 3, "n_missing": 1, "n_unparsed": 0, "n_excluded": 0}
    assert closed["unit"] == "fraction"
    assert closed["ci95"][0] <= closed["value"] <= closed["ci95"][1]
    assert list(body) == [
        *("task", "protocol", "version", "signature", "inputs", "metrics", "strata", "bootstrap", "warnings", "notes")
    ]
    assert body["inputs"]["references"]["n"] == 5
    assert body["bootstrap"] == {"samples": 200, "seed": 12345, "unit": "item", "clusters": None}
    assert body["signature"].startswith(
        "rrg|vqa|proto:strict|lang:de+en|norm:nfc-lower-v1|n:5|samples:200|seed:12345|v:"
    )
    assert body["strata"]["lang"]["de"]["closed.accuracy"]["n"] == 1
    assert body["strata"]["lang"]["de"]["open.em"]["value"] == 1
    lines = [json.loads(line) for line in items.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["q1", "q2", "q3", "4", "q5"]
    assert lines[0]["facets"]["lang"] == "de"
    assert lines[0]["scores"] == {"closed.accuracy": 1, "all.accuracy": 1}
    assert (lines[3]["prediction_norm"], lines[3]["reference_norm"]) == ("2", "2")
    assert lines[4]["missing"] is True
    for name, value in values(done).items():
        scores = [line["scores"][name] for line in lines if line["scores"].get(name) is not None]
        assert sum(scores) / len(scores) == pytest.approx(value, abs=1e-12)
    assert b"closed.accuracy" in done.stderr


def test_same_bytes_and_any_order_of_predictions(rrg, files, tmp_path):
    first = rrg("score", "vqa", *files, "-q", "--samples", 100, code=3)
    assert first.stdout == rrg("score", "vqa", *files, "-q", "--samples", 100, code=3).stdout
    assert first.stderr == b""
    turned = write_jsonl(tmp_path / "turned.jsonl", PREDICTIONS[::-1])
    assert values(rrg("score", "vqa", turned, files[1], code=3)) == values(first)


def test_options(rrg, files, tmp_path):
    base = ("score", "vqa", *files, "-q", "--samples", 50)
    assert rrg(*base, "--allow-missing").returncode == 0
    assert rrg(*base, "--value", "open.em", code=3).stdout == b"0.5\n"
    out = tmp_path / "out.json"
    assert rrg(*base, "--value", "open.em", "--out", out, code=3).stdout == b"0.5\n"
    assert json.loads(out.read_bytes())["task"] == "vqa"
    only = result(rrg(*base, "--where", "lang=en", "--where", "answer_type=CLOSED", code=0))
    assert only["metrics"]["closed.accuracy"]["n"] == 1
    assert only["metrics"]["open.em"] == {
        **{"value": None, "unit": "fraction", "n": 0, "n_missing": 0, "n_unparsed": 0, "n_excluded": 0, "ci95": None}
    }
    assert list(values(rrg(*base, "--metrics", "open.f1,open.em", code=3))) == ["open.em", "open.f1"]
    assert result(rrg(*base, "--by", "none", code=3))["strata"] == {}
    by_type = result(rrg(*base, "--by", "answer_type", code=3))["strata"]["answer_type"]
    assert list(by_type) == ["CLOSED", "OPEN", "closed"]
    none = result(rrg("score", "vqa", *files, "-q", "--samples", 0, code=3))
    assert all(each["ci95"] is None for each in none["metrics"].values())
    clustered = result(rrg(*base, "--cluster", "lang", code=3))
    assert clustered["bootstrap"]["unit"] == "lang"
    assert clustered["bootstrap"]["clusters"] == 2
    assert "cluster:lang" in clustered["signature"]
    assert "only 2 clusters" in clustered["warnings"][0]
    one = result(rrg(*base, "--cluster", "lang", "--where", "lang=de", code=0))
    assert one["metrics"]["closed.accuracy"]["ci95"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "vqa", "P", "R", "--protocol", "nope"], "strict, llava-med"),
        (["score", "nope", "P", "R"], "one of vqa"),
        (["score", "vqa", "P", "R", "--metrics", "nope"], "closed.accuracy"),
        (["score", "vqa", "P", "R", "--value", "nope"], "closed.accuracy"),
        (["score", "vqa", "P", "R", "--box-format", "xyxy"], "--box-format means nothing to vqa"),
        (["score", "vqa", "P", "R", "--where", "lang"], "FIELD=VALUE"),
        (["score", "vqa", "P", "R", "--by", "nope"], "no reference has this field"),
        (["score", "vqa", "P", "R", "--cluster", "nope"], "no such field"),
        (["score", "vqa", "P", "R", "--format", "nope"], "slake"),
        (["score", "vqa"], "TASK and PREDICTIONS"),
        (["score", "report", "P", "R", "--tokenize", "nope", "--protocol", "sacrebleu"], "13a"),
    ],
)
def test_usage_errors_list_what_there_is(rrg, files, arguments, words):
    paths = {"P": files[0], "R": files[1]}
    done = rrg(*[paths.get(each, each) for each in arguments], code=2)
    assert words in done.stderr.decode()
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("side", "rows", "words"),
    [
        ("p", '{"id": "q1", "prediction": "a"}\n{"id": "q1", "prediction": "b"}\n', "p.jsonl, line 2: id 'q1'"),
        ("p", '{"id": "zz", "prediction": "a"}\n', "p.jsonl, line 1: no reference has the id 'zz'"),
        ("p", '{"id": "q1", "prediction": "a"}\n{"id": \n', "p.jsonl, line 2: not JSON"),
        ("p", '\n{"id": "q1", "answers": "a"}\n', "p.jsonl, line 2: no prediction"),
        ("p", '{"prediction": "a"}\n', "p.jsonl, line 1: no id"),
        ("p", '{"id": "q1", "prediction": [1]}\n', "line 1: prediction is a list"),
        ("r", '{"id": "q1", "answer": "a", "answer_type": "PRES"}\n', "r.jsonl, line 1: answer_type is 'pres'"),
        ("r", '{"id": 1, "answer": "a"}\n{"id": "1", "answer": "b"}\n', "r.jsonl, line 2: id '1'"),
        ("r", '{"id": "q1"}\n', "r.jsonl, line 1: no reference"),
        ("r", "", "no references"),
    ],
)
def test_bad_rows_name_file_and_line_and_nothing_is_written(rrg, files, tmp_path, side, rows, words):
    (tmp_path / f"{side}.jsonl").write_text(rows, encoding="utf-8")
    out = tmp_path / "out.json"
    done = rrg("score", "vqa", *files, "--out", out, "--per-item", tmp_path / "i.jsonl", code=1)
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert not out.exists()
    assert not (tmp_path / "i.jsonl").exists()


def test_files_that_are_not_there(rrg, files, tmp_path):
    assert b"No such file" in rrg("score", "vqa", tmp_path / "none", files[1], code=1).stderr
    done = rrg("score", "vqa", *files, "--out", files[0] / "folder.json", code=1)  # a file is no folder
    assert b"nothing was written" in done.stderr
    assert b"no references left" in rrg("score", "vqa", *files, "--where", "lang=fr", code=1).stderr


def test_bom_crlf_gz_csv_list_and_stdin_read_the_same(rrg, files, tmp_path):
    expected = values(rrg("score", "vqa", *files, "--samples", 0, code=3))
    text = files[0].read_text(encoding="utf-8")
    forms = {
        "bom.jsonl": b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        "packed.jsonl.gz": gzip.compress(text.encode(), mtime=0),
        "list.json": json.dumps(PREDICTIONS, indent=1).encode(),
        "table.csv": (
            "id,prediction\n" + "".join(f'{row["id"]},"{row["prediction"]}"\n' for row in PREDICTIONS)
        ).encode(),
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
        assert values(rrg("score", "vqa", tmp_path / name, files[1], "--samples", 0, code=3)) == expected
    piped = rrg("score", "vqa", "-", files[1], "--samples", 0, stdin=text.encode(), code=3)
    assert values(piped) == expected
    assert result(piped)["inputs"]["predictions"]["path"] == "-"
    (tmp_path / "cut.jsonl.gz").write_bytes(forms["packed.jsonl.gz"][:-12])
    assert b"damaged gzip" in rrg("score", "vqa", tmp_path / "cut.jsonl.gz", files[1], code=1).stderr


def test_one_file_forms(rrg, tmp_path):
    medevalkit = [
        {"question": "?", "answer": "Yes", "response": "yes", "lang": "en", "answer_type": "CLOSED"},
        {"question": "?", "answer": "Lung", "response": "liver", "lang": "en", "answer_type": "OPEN"},
    ]
    (tmp_path / "results.json").write_text(json.dumps(medevalkit), encoding="utf-8")
    done = rrg("score", "vqa", tmp_path / "results.json", "--samples", 0)
    assert values(done)["all.accuracy"] == 0.5
    assert list(result(done)["inputs"]) == ["predictions"]
    lmms = [
        {"doc_id": 0, "doc": {"q_lang": "en", "answer_type": "CLOSED"}, "target": "No", "filtered_resps": ["no"]},
        {"doc_id": 1, "doc": {"q_lang": "zh", "answer_type": "OPEN"}, "target": "肺", "filtered_resps": [["肺"]]},
    ]
    done = rrg("score", "vqa", write_jsonl(tmp_path / "lmms.jsonl", lmms), "--samples", 0)
    assert values(done)["all.accuracy"] == 1
    assert list(result(done)["strata"]["lang"]) == ["en", "zh"]
    medplib = [{"question_id": 7, "gt": "left lung", "text": "left lung", "answer_type": "open"}]
    assert (
        values(rrg("score", "vqa", write_jsonl(tmp_path / "m.jsonl", medplib), "--protocol", "medplib"))["open.equal"]
        == 1
    )


def test_llava_files(rrg, tmp_path):
    references = [
        {
            "id": "a",
            "image": "x.jpg",
            "answer_type": "OPEN",
            "conversatons": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "left left lung base"}],
        }
    ]
    (tmp_path / "test.json").write_text(json.dumps(references), encoding="utf-8")
    answers = write_jsonl(
        tmp_path / "a.jsonl", [{"question_id": "a", "prompt": "?", "text": "left lung", "model_id": "m"}]
    )
    done = rrg("score", "vqa", answers, tmp_path / "test.json", "--protocol", "llava-med", "--samples", 0)
    assert values(done)["open.recall"] == pytest.approx(2 / 3)
    assert "repeated words" in result(done)["metrics"]["open.recall"]["note"]


def test_llava_med_first_leaves_wrong_yes_no_answers_out_and_says_so(rrg, tmp_path):
    rows = [
        {"id": n, "gt": gt, "text": text, "answer_type": "closed"}
        for n, (gt, text) in enumerate([("yes", "yes"), ("yes", "no"), ("left", "left")])
    ]
    path, items = write_jsonl(tmp_path / "f.jsonl", rows), tmp_path / "i.jsonl"
    done = rrg("score", "vqa", path, "--protocol", "llava-med-first", "--per-item", items, "--samples", 0)
    closed = result(done)["metrics"]["closed.accuracy"]
    assert (closed["value"], closed["n"], closed["n_excluded"]) == (0.5, 2, 1)
    assert "denominator" in closed["note"]
    scores = [json.loads(line)["scores"]["closed.accuracy"] for line in items.read_text().splitlines()]
    assert scores == [1, None, 0]


def test_radgrounder_blocks_have_their_own_frequencies(rrg, tmp_path):
    rows = [
        {"id": n, "gt": gt, "text": gt, "answer_type": kind}
        for n, (gt, kind) in enumerate([("yes", "closed"), ("no", "closed"), ("left lung", "open"), ("liver", "open")])
    ]
    path, items = write_jsonl(tmp_path / "f.jsonl", rows), tmp_path / "i.jsonl"
    done = rrg("score", "vqa", path, "--protocol", "radgrounder", "--per-item", items, "--samples", 20)
    assert values(done)["closed.cider"] == pytest.approx(2.5)
    lines = [json.loads(line)["scores"] for line in items.read_text().splitlines()]
    for name in ("open.cider", "closed.cider", "all.cider"):
        mine = [line[name] for line in lines if name in line]
        assert sum(mine) / len(mine) == pytest.approx(values(done)[name])


def test_tags_are_removed_unless_kept(rrg, tmp_path):
    said = "<p bbox=<loc0100><loc0120><loc0300><loc0310> id=<seg042>>liver</p>"
    path = write_jsonl(tmp_path / "f.jsonl", [{"id": 1, "gt": "liver", "text": said, "answer_type": "open"}])
    assert rrg("score", "vqa", path, "-q", "--value", "open.em").stdout == b"1.0\n"
    assert rrg("score", "vqa", path, "-q", "--value", "open.em", "--keep-tags").stdout == b"0.0\n"


NATIVE = [
    sample("a", question_type="closed", answer="ja", needs_image=True, facets={"anatomy": "liver"}, patient="p1"),
    sample("b", question_type="single", answer="links", choices=("links", "rechts"), needs_image=False, patient="p2"),
    sample("c", question_type="open", answer="2,3 cm", needs_image=True, patient="p2"),
    sample("d", task="report", answer="Leber unauffällig."),
]
ANSWERS = [prediction("a", "Ja."), prediction("b", "rechts"), prediction("c", "2.3 cm"), prediction("d", "", "report")]


def test_native_streams(rrg, tmp_path):
    paths = write_stream(tmp_path / "p.jsonl", ANSWERS), write_stream(tmp_path / "t.jsonl", NATIVE)
    done = rrg("score", "vqa", *paths, "--samples", 20, "--cluster", "patient")
    assert values(done) == {
        **dict.fromkeys(("open.em", "open.precision", "open.recall", "open.f1", "open.bleu1"), 1.0),
        "closed.accuracy": 0.5,
        "all.accuracy": pytest.approx(2 / 3),
    }
    body = result(rrg("score", "vqa", *paths, "--where", "needs_image=true", "--where", "task=vqa", "--samples", 0))
    assert body["metrics"]["all.accuracy"]["n"] == 2
    assert body["metrics"]["closed.accuracy"]["value"] == 1
    assert body["strata"]["anatomy"]["liver"]["closed.accuracy"]["n"] == 1
    both = tmp_path / "both.jsonl"
    both.write_bytes(paths[1].read_bytes() + paths[0].read_bytes())
    assert values(rrg("score", "vqa", both, "--samples", 0))["closed.accuracy"] == 0.5


def test_a_cut_native_stream_is_refused(rrg, tmp_path):
    whole = write_stream(tmp_path / "t.jsonl", NATIVE)
    cut = write_stream(tmp_path / "p.jsonl", ANSWERS[:2], closed=False)
    assert b"--partial" in rrg("score", "vqa", cut, whole, code=1).stderr
    cut.write_bytes(cut.read_bytes()[:-9])  # the last line is torn
    assert b"p.jsonl, line 3" in rrg("score", "vqa", cut, whole, code=1).stderr
    done = rrg("score", "vqa", cut, whole, "--partial", "--samples", 0, code=3)
    assert result(done)["metrics"]["all.accuracy"]["n_missing"] == 2
    stray = write_stream(tmp_path / "s.jsonl", [prediction("zz", "x")])
    assert b"no reference has the id 'zz'" in rrg("score", "vqa", stray, whole, code=1).stderr


def test_protocols_lists_what_works_with_its_faults(rrg):
    text = rrg("score", "--protocols", "vqa").stdout.decode()
    named = [line.split()[1].rstrip(":") for line in text.splitlines() if not line.startswith(" ")]
    assert named == [
        *("strict", "llava-med", "llava-med-first", "medplib", "medevalkit-slake", "medevalkit-vqa-rad", "lmms-slake"),
        *("radgrounder", "sure-vqa"),
    ]
    assert "vqa strict (default): rrg" in text
    assert "known fault: upstream stops at an empty answer" in text


def test_slake_as_published(rrg, data, tmp_path):
    path = data / "slake-text-boxes" / "test.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    perfect = write_jsonl(tmp_path / "p.jsonl", ({"qid": row["qid"], "prediction": row["answer"]} for row in rows))
    done = rrg("score", "vqa", perfect, path, "--samples", 50)
    assert set(values(done).values()) == {1.0}
    assert (values(done, "n")["closed.accuracy"], values(done, "n")["open.em"]) == (836, 1258)
    english = rrg("score", "vqa", perfect, path, "--where", "lang=en", "--samples", 0)
    assert (values(english, "n")["open.em"], values(english, "n")["closed.accuracy"]) == (645, 416)
    most = collections.Counter(row["answer"] for row in rows if row["answer_type"] == "CLOSED").most_common(1)[0][0]
    majority = write_jsonl(tmp_path / "m.jsonl", ({"qid": row["qid"], "prediction": most} for row in rows))
    value = values(rrg("score", "vqa", majority, path, "--where", "lang=en", "--samples", 0))["closed.accuracy"]
    english_closed = [row["answer"] for row in rows if row["q_lang"] == "en" and row["answer_type"] == "CLOSED"]
    assert value == pytest.approx(english_closed.count(most) / 416)


def test_vqa_rad_as_published(rrg, data, tmp_path):
    path = data / "vqa-rad" / "vqa_rad_public.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    answers = write_jsonl(tmp_path / "p.jsonl", ({"qid": str(row["qid"]), "answer": row["answer"]} for row in rows))
    done = rrg("score", "vqa", answers, path, "--samples", 0)
    assert set(values(done).values()) == {1.0}
    assert values(done, "n")["closed.accuracy"] == sum(row["answer_type"].strip() == "CLOSED" for row in rows)
    assert list(result(done)["strata"]["image_organ"]) == ["ABD", "CHEST", "HEAD"]
    split = data / "vqa-rad" / "validation.json"
    rows = json.loads(split.read_text(encoding="utf-8"))
    answers = write_jsonl(tmp_path / "w.jsonl", ({"idx": n, "answer": row["answer"]} for n, row in enumerate(rows)))
    done = rrg("score", "vqa", answers, split, "--samples", 0)
    assert values(done)["all.accuracy"] == 1
    assert "rows have no id" in result(done)["notes"][0]
