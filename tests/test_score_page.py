"""rrg score --page: the worst cases first, with what can be drawn of them."""

import re

import numpy as np
import pytest
from PIL import Image

from rrg.errors import UsageError
from rrg.metrics.options import TaskOptions
from rrg.outputs.score_page import PageOptions, worth, write_score_page
from rrg.score import score
from rrg.score_options import Options

from .score_cases import write_jsonl

XYXY = TaskOptions(box_format="xyxy", box_unit="norm1000")


def page(tmp_path, task, said, wanted, task_options=None, **options):
    task_options = task_options or TaskOptions()
    files = write_jsonl(tmp_path / "said.jsonl", said), write_jsonl(tmp_path / "wanted.jsonl", wanted)
    result = score(task, *files, Options(samples=0, task=task_options))
    write_score_page(result, PageOptions(page=tmp_path / "p" / "page.html", **options), task_options)
    return (tmp_path / "p" / "page.html").read_text()


def order(text):
    """Ids in the order of the sections."""
    return re.findall(r'<article class="scores"><h3>\d+\. (\w+) ', text)


def test_worst_first_and_not_more_than_asked_for(tmp_path):
    wanted = [
        {"id": f"q{n}", "answer": "left lower lobe", "answer_type": "open", "question": "Where?"} for n in range(4)
    ]
    said = ["left lower lobe", "left", "", "left lobe"]
    rows = [{"id": f"q{n}", "answer": text} for n, text in enumerate(said)]
    assert order(page(tmp_path, "vqa", rows, wanted)) == ["q2", "q1", "q3", "q0"]
    assert order(page(tmp_path, "vqa", rows, wanted, items=2)) == ["q2", "q1"]


def test_texts_are_escaped_and_said_in_both_languages(tmp_path):
    wanted = [{"id": "q", "answer": "<b>ja</b>", "answer_type": "open", "question": "<img src=x>?", "lang": "de"}]
    text = page(tmp_path, "vqa", [{"id": "q", "answer": "<script>alert(1)</script>"}], wanted)
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert text.startswith('<!doctype html>\n<html lang="de"')
    assert "Bewertung: die schlechtesten Fälle zuerst" in text
    assert "Score: the worst cases first" in text


def test_missing_prediction_and_picture_are_said(tmp_path):
    wanted = [
        {"id": "q0", "answer": "a", "answer_type": "open", "image_name": "absent.png"},
        {"id": "q1", "answer": "b", "answer_type": "open"},
    ]
    text = page(tmp_path, "vqa", [{"id": "q1", "answer": "b"}], wanted, images=tmp_path)
    assert order(text) == ["q0", "q1"]
    assert "picture not found, or not readable" in text
    assert "die Referenz nennt kein Bild" in text
    assert "keine Vorhersage" in text


def test_boxes_are_drawn_in_pixels_of_the_picture(tmp_path):
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / "a.png")
    wanted = [{"id": "r", "bbox": [100, 200, 500, 600], "image": "a.png", "phrase": "Leber"}]
    text = page(tmp_path, "refer", [{"id": "r", "bbox": [200, 200, 500, 600]}], wanted, XYXY, images=tmp_path)
    drawn = re.findall(r'<rect class="box[^>]* x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', text)
    assert drawn == [("40", "20", "60", "40"), ("20", "20", "80", "40")]
    assert "picture_missing" not in text
    assert "data:image/png" in text


def test_pictures_outside_of_the_folder_are_not_read(tmp_path):
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "secret.png")
    (tmp_path / "pictures").mkdir()
    wanted = [{"id": "q", "answer": "a", "answer_type": "open", "image": "../secret.png"}]
    text = page(tmp_path, "vqa", [{"id": "q", "answer": "a"}], wanted, images=tmp_path / "pictures")
    assert "picture not found" in text


def test_boxes_can_be_seen_without_a_picture(tmp_path):
    text = page(
        tmp_path, "refer", [{"id": "r", "bbox": [0, 0, 500, 500]}], [{"id": "r", "bbox": [0, 0, 500, 1000]}], XYXY
    )
    assert 'viewBox="0 0 1000 1000"' in text
    assert text.count('class="box') == 2


def test_masks_have_outlines(tmp_path):
    for name, at in (("a", 2), ("b", 5)):
        mask = np.zeros((16, 16), np.uint8)
        mask[at : at + 4, 3:8] = 1
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    text = page(tmp_path, "masks", [{"id": "m", "mask": "b.png"}], [{"id": "m", "mask": "a.png"}])
    assert text.count('class="outline') == 2


def test_boxes_rank_by_wrong_boxes_and_undefined_items_come_last():
    assert worth({"at50.tp": 1, "at50.fp": 3, "at50.fn": 1}, {}) == -4
    metrics = {"bleu": {"unit": "score100"}, "hd95": {"unit": "mm"}}
    assert worth({"bleu": 50.0, "hd95": 9.0}, metrics) == 0.5
    assert worth({"bleu": None}, metrics) == float("inf")


def test_tasks_without_pictures_are_refused(tmp_path):
    rows = write_jsonl(tmp_path / "c.jsonl", [{"id": "a", "confidence": 0.5, "correct": 1}])
    result = score("calibration", rows, None, Options(samples=0))
    with pytest.raises(UsageError, match="calibration has nothing to show"):
        write_score_page(result, PageOptions(page=tmp_path / "p.html"), TaskOptions())
