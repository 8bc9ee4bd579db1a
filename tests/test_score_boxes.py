"""rrg score refer and grounded-text: declared units, exact halves, swapped corners, invented and missed boxes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.formats.items import Item, PhraseBox, Reference
from rrg.metrics import boxes, grounded
from rrg.metrics.options import TaskOptions

from .score_cases import mention, prediction, sample, write_jsonl, write_stream

XYXY = ("--box-format", "xyxy", "--box-unit")


def values(done, key="value"):
    return {name: each[key] for name, each in json.loads(done.stdout)["metrics"].items()}


def refer(rrg, tmp_path, rows, *options, code=0):
    """`rows` are (reference box, prediction row without id, or None for a missing one)."""
    given_rows = [{"id": n, **row} for n, (_, row) in enumerate(rows) if row is not None]
    wanted = [{"id": n, "bbox": box} for n, (box, _) in enumerate(rows)]
    paths = write_jsonl(tmp_path / "p.jsonl", given_rows), write_jsonl(tmp_path / "r.jsonl", wanted)
    return rrg("score", "refer", *paths, "--samples", 50, *options, code=code)


def test_an_exact_half_counts_in_strict_only(rrg, tmp_path):
    rows = [([0.1, 0.1, 0.5, 0.5], {"bbox": [0.1, 0.1, 0.5, 0.3]})]
    strict = values(refer(rrg, tmp_path, rows, *XYXY, "norm01"))
    assert (strict["iou"], strict["acc50"]) == (pytest.approx(0.5), 1)
    theirs = values(refer(rrg, tmp_path, rows, *XYXY, "norm01", "--protocol", "refcoco"))
    assert (theirs["iou"], theirs["acc50"]) == (0.4999999999999999, 0)
    assert strict["iou"] == theirs["iou"]


def test_swapped_missing_unparsed_and_no_boxes(rrg, tmp_path):
    box = [10, 10, 30, 30]
    rows = [
        (box, {"bbox": [30, 30, 10, 10]}),
        (box, {"text": "It is at [10, 10, 30, 30], I think [1, 2, 3, 4]"}),
        (box, {"text": "nothing seen"}),
        (box, {"bbox": None}),
        (box, None),
    ]
    metrics = json.loads(refer(rrg, tmp_path, rows, *XYXY, "pixel", code=3).stdout)["metrics"]
    acc = metrics["acc50"]
    assert {key: acc[key] for key in ("value", "n", "n_missing", "n_unparsed", "n_excluded")} == {
        **{"value": 0.2, "n": 5, "n_missing": 1, "n_unparsed": 2, "n_excluded": 0}
    }
    theirs = values(refer(rrg, tmp_path, rows, *XYXY, "pixel", "--protocol", "refcoco", code=3))
    assert theirs["center_acc"] == 0.4  # the swapped box has its centre in the reference
    assert theirs["iou"] == 0.2


def test_order_and_scale_are_never_guessed(rrg, tmp_path):
    rows = [([10, 10, 20, 20], {"bbox": [10, 10, 20, 20]})]
    assert b"--box-format" in refer(rrg, tmp_path, rows, code=2).stderr
    assert b"--box-unit" in refer(rrg, tmp_path, rows, "--box-format", "xyxy", code=2).stderr
    assert b"expected one of" in refer(rrg, tmp_path, rows, *XYXY, "cm", code=2).stderr
    done = refer(rrg, tmp_path, rows, *XYXY, "norm01", code=1)
    assert b"1 of 1 prediction boxes lie outside" in done.stderr
    done = refer(rrg, tmp_path, rows, *XYXY, "norm01", "--max-out-of-range", "1")
    assert json.loads(done.stdout)["warnings"] == [
        "1 of 1 prediction boxes lie outside of the declared range",
        "1 of 1 reference boxes lie outside of the declared range",
    ]


@pytest.mark.parametrize(("box_format", "box"), [("xywh", [10, 20, 30, 40]), ("cxcywh", [25, 40, 30, 40])])
def test_formats_mean_the_same_box(box_format, box):
    assert boxes.corners(box, box_format) == (10, 20, 40, 60)


def test_the_pointing_game_asks_for_the_prediction_in_the_reference():
    assert boxes.centre_inside((10, 10, 20, 20), (0, 0, 100, 100))
    assert not boxes.centre_inside((0, 0, 100, 100), (10, 10, 20, 20))
    assert boxes.centre_inside((0, 0, 20, 20), (10, 10, 20, 20))


NUMBER = st.integers(0, 60).map(float)
BOX = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER).filter(lambda b: b[0] < b[2] and b[1] < b[3])


@given(BOX, BOX)
def test_iou_counts_pixels(a, b):
    cells = [{(x, y) for x in range(int(c[0]), int(c[2])) for y in range(int(c[1]), int(c[3]))} for c in (a, b)]
    assert boxes.iou(a, b) == pytest.approx(len(cells[0] & cells[1]) / len(cells[0] | cells[1]))
    assert boxes.iou(a, b) == boxes.iou(b, a)


def test_native_references_without_a_box_are_counted_apart(rrg, tmp_path):
    samples = [
        sample("a", "detect", mentions=(mention(0, "Leber", (10, 10, 30, 30), (30, 10, 50, 30)),)),
        sample("b", "phrase-to-box", mentions=(mention(0, "Milz", (0, 0, 10, 10)),)),
        sample("c", "detect", mentions=(mention(0, "Niere"),)),
        sample("d", "detect", mentions=(mention(0, "Herz"),)),
        sample("e", "vqa", question_type="open", answer="x"),
    ]
    answers = [
        prediction("a", task="detect", mentions=(mention(0, "Leber", (10, 10, 50, 30)),)),
        prediction("b", task="phrase-to-box", flags=("malformed_box",)),
        prediction("c", task="detect", mentions=(mention(0, "Niere", (0, 0, 9, 9)),)),
        prediction("d", task="detect"),
        prediction("e", "x"),
    ]
    paths = write_stream(tmp_path / "p.jsonl", answers), write_stream(tmp_path / "t.jsonl", samples)
    done = rrg("score", "refer", *paths, "--samples", 0, "--per-item", tmp_path / "i.jsonl")
    body = json.loads(done.stdout)
    iou = body["metrics"]["iou"]
    assert (iou["value"], iou["n"], iou["n_unparsed"], iou["n_excluded"]) == (0.5, 2, 1, 2)
    assert "2 references have no box" in body["notes"][-1]
    assert "1 of them (0.5000)" in body["notes"][-1]
    assert "box:xyxy-pixel" in body["signature"]
    lines = [json.loads(line) for line in (tmp_path / "i.jsonl").read_text().splitlines()]
    assert [line["scores"]["iou"] for line in lines] == [1, 0, None, None]
    assert [line.get("false_box") for line in lines] == [None, None, True, False]


def test_native_boxes_on_another_image_do_not_count(rrg, tmp_path):
    wanted = sample("a", "detect", mentions=(mention(0, "Leber", (10, 10, 30, 30)),))
    said = prediction("a", task="detect", mentions=(mention(0, "Leber", (10, 10, 30, 30), image="i1"),))
    paths = write_stream(tmp_path / "p.jsonl", [said]), write_stream(tmp_path / "t.jsonl", [wanted])
    assert rrg("score", "refer", *paths, "-q", "--value", "iou").stdout == b"0.0\n"


# ---- text with boxes ------------------------------------------------------------------------------------------------


def tag(phrase, *bins):
    return "<p bbox=" + "".join(f"<loc{n:04}>" for n in bins) + f" id=<seg001>>{phrase}</p>"


def grounded_text(rrg, tmp_path, pairs, *options, code=0):
    given_rows = [{"id": n, "text": said} for n, (_, said) in enumerate(pairs) if said is not None]
    wanted = [{"id": n, "reference": text} for n, (text, _) in enumerate(pairs)]
    paths = write_jsonl(tmp_path / "p.jsonl", given_rows), write_jsonl(tmp_path / "r.jsonl", wanted)
    return rrg("score", "grounded-text", *paths, "--samples", 50, *options, code=code)


def test_every_sample_counts(rrg, tmp_path):
    liver, spleen = tag("Leber", 0, 0, 100, 100), tag("Milz", 200, 200, 300, 300)
    pairs = [
        (f"Die {liver} und {spleen}.", f"Die {tag('leber ', 0, 0, 100, 50)} ist {tag('Niere', 1, 1, 9, 9)}."),
        ("Ohne Befund.", f"Eine {liver}."),
        (f"Eine {liver}.", "Ohne Befund."),
        ("Ohne Befund.", "Ohne Befund."),
    ]
    done = grounded_text(rrg, tmp_path, pairs, "--syntax", "radgrounder", "--per-item", tmp_path / "i.jsonl")
    found = values(done)
    counts = {name: value for name, value in found.items() if name.startswith(("boxes", "tags"))}
    assert counts == {
        "boxes.reference": 3,
        "boxes.predicted": 3,
        "boxes.matched": 1,
        "boxes.hit50": 1,
        "tags.only_prediction": 1,
        "tags.only_reference": 1,
        "tags.neither": 1,
    }
    assert found["matched.precision"] == found["at50.f1"] == pytest.approx(1 / 3)
    assert found["matched.iou"] == 0.5
    assert found["grounding_iou"] == pytest.approx((0.5 / 2 + 0 + 0) / 3)
    metric = json.loads(done.stdout)["metrics"]["grounding_iou"]
    assert (metric["n"], metric["n_excluded"]) == (3, 1)
    assert b"--syntax" in grounded_text(rrg, tmp_path, pairs, code=2).stderr


def test_nothing_matched_is_undefined_not_zero(rrg, tmp_path):
    found = values(grounded_text(rrg, tmp_path, [("a", "b")], "--syntax", "radgrounder"))
    assert found["matched.iou"] is None
    assert found["at50.f1"] is None
    assert found["grounding_iou"] is None
    assert found["boxes.reference"] == 0


def test_repeated_phrases_take_predictions_in_order():
    wanted = [PhraseBox(phrase="a", box=(0, 0, 1, 1)), PhraseBox(phrase="a", box=(5, 5, 6, 6))]
    said = [PhraseBox(phrase="a", box=(5, 5, 6, 6)), PhraseBox(phrase="b", box=(0, 0, 1, 1))]
    assert [(pair[0].box, pair[1].box) for pair in grounded.match(wanted, said)] == [((0, 0, 1, 1), (5, 5, 6, 6))]


def test_syntaxes_read_the_same_box():
    (first,) = grounded.phrases(tag("Leber", 64, 128, 256, 512), "radgrounder")
    (second,) = grounded.phrases("<loc0256><loc0128><loc1024><loc0512> Leber", "paligemma")
    assert first.box == second.box == (0.125, 0.25, 0.5, 1.0)
    (third,) = grounded.phrases('Hier: {"bbox_2d": [1, 2, 3, 4], "label": "Leber"} und {kaputt', "json")
    assert (third.phrase, third.box) == ("leber", (1, 2, 3, 4))


def test_similarity_file(rrg, tmp_path):
    pairs = [(tag("Leber", 0, 0, 100, 100), tag("Leberlappen", 0, 0, 100, 100))]
    assert values(grounded_text(rrg, tmp_path, pairs, "--syntax", "radgrounder"))["boxes.matched"] == 0
    match = write_jsonl(tmp_path / "m.jsonl", [{"a": "leber", "b": "leberlappen", "score": 0.8}])
    done = grounded_text(rrg, tmp_path, pairs, "--syntax", "radgrounder", "--match", match)
    assert values(done)["boxes.matched"] == 1
    assert values(done)["grounding_iou"] == pytest.approx(0.8)
    assert "match:file" in json.loads(done.stdout)["signature"]


def test_native_grounded_reports(rrg, tmp_path):
    mentions = mention(0, "Leber", (0, 0, 10, 10)), mention(1, "Milz", (50, 50, 60, 60))
    wanted = sample("a", "grounded-report", mentions=mentions)
    said = prediction("a", task="grounded-report", mentions=(mention(0, "leber", (0, 0, 10, 5)),))
    paths = write_stream(tmp_path / "p.jsonl", [said]), write_stream(tmp_path / "t.jsonl", [wanted])
    found = values(rrg("score", "grounded-text", *paths, "--samples", 0))
    assert (found["boxes.reference"], found["boxes.predicted"], found["boxes.hit50"]) == (2, 1, 1)
    assert found["grounding_iou"] == 0.25
    foreign = write_jsonl(tmp_path / "f.jsonl", [{"id": "a", "text": "x"}])
    assert b"rrg records" in rrg("score", "grounded-text", foreign, paths[1], code=1).stderr


def test_strict_scores_of_one_item_are_never_above_one():
    item = Item(
        reference=Reference(id="1", line=1, value=(0.0, 0.0, 9.0, 9.0)), prediction=(0.0, 0.0, 9.0, float("nan"))
    )
    (scored,) = boxes.score_strict([item], TaskOptions(box_format="xyxy", box_unit="pixel"))
    assert scored.unparsed
    assert set(scored.scores.values()) == {0.0}


def test_radgrounder_skips_samples_with_boxes_on_one_side(rrg, tmp_path):
    """Invented and missed boxes are free there, and cost in strict."""
    liver, spleen = tag("Leber", 0, 0, 100, 100), tag("Milz", 200, 200, 300, 300)
    pairs = [
        (f"Die {liver} und {spleen}.", f"Die {tag('leber', 0, 0, 100, 50)} und {spleen}."),
        (f"Eine {liver}.", f"Eine {tag('Leber', 0, 0, 100, 40)}."),
        ("Ohne Befund.", f"Eine {liver}."),
        (f"Eine {liver}.", "Ohne Befund."),
        ("Ohne Befund.", "Ohne Befund."),
    ]
    syntax = ("--syntax", "radgrounder")
    strict = values(grounded_text(rrg, tmp_path, pairs, *syntax))
    done = grounded_text(rrg, tmp_path, pairs, *syntax, "--protocol", "radgrounder")
    metrics = json.loads(done.stdout)["metrics"]
    theirs = {name: each["value"] for name, each in metrics.items()}
    assert (strict["boxes.reference"], theirs["boxes.reference"], theirs["boxes.hit50"]) == (4, 3, 2)
    assert (strict["at50.f1"], theirs["at50.f1"]) == (0.5, pytest.approx(2 / 3))
    assert (strict["matched.iou"], theirs["matched.iou"]) == (pytest.approx(1.9 / 3), pytest.approx((0.75 + 0.4) / 2))
    assert strict["grounding_iou"] == pytest.approx((0.75 + 0.4 + 0 + 0) / 4)
    assert theirs["grounding_iou"] == pytest.approx((0.75 + 0.4 + 0) / 3)
    assert (theirs["tags.only_prediction"], theirs["tags.only_reference"], theirs["tags.neither"]) == (1, 1, 1)
    assert (metrics["at50.f1"]["n"], metrics["at50.f1"]["n_excluded"]) == (2, 3)
    assert "costs nothing" in metrics["at50.f1"]["note"]
    assert any("not reproduced" in note for note in json.loads(done.stdout)["notes"])
