"""rrg score boxes: equal to pycocotools, and what its table does not say: counts, negatives, ties, missing scores."""

import json

import numpy as np
import pytest

from rrg.formats.coco_boxes import read_sides
from rrg.metrics import bootstrap, coco_ap, detection
from rrg.metrics.coco_match import AREAS, IOU_THRESHOLDS, match
from rrg.metrics.options import TaskOptions

from .coco_cases import coco_set, pycocotools, write_coco

NAMES = tuple(coco_ap.AVERAGES)


def evaluation(items, **options):
    truths, said = detection.sides(items, TaskOptions(**options))
    found = match(truths, said, tuple(AREAS), IOU_THRESHOLDS)
    return coco_ap.Evaluation(matching=found, truths=truths, areas=tuple(AREAS), thresholds=IOU_THRESHOLDS)


def in_order(items):
    return sorted(items, key=lambda item: item.reference.value.order)


def stats(items, **options):
    made = coco_ap.averages(evaluation(in_order(items), **options), NAMES, np.ones((1, len(items))))
    return [-1 if np.isnan(value) else value for value in (coco_ap.over_classes(made[name])[0] for name in NAMES)]


@pytest.mark.parametrize("seed", range(12))
def test_averages_are_those_of_pycocotools(tmp_path, seed):
    rng = np.random.default_rng(seed)
    truth, said = coco_set(rng, int(rng.integers(2, 14)), tied=seed % 3 > 0, many=seed % 4 == 0)
    items = read_sides(*write_coco(tmp_path, truth, said)).items
    assert stats(items) == pytest.approx(pycocotools(truth, said).stats.tolist(), abs=1e-12)
    theirs = pycocotools(truth, said, classes=False).stats.tolist()
    assert stats(items, class_agnostic=True) == pytest.approx(theirs, abs=1e-12)


def test_a_draw_is_the_set_with_images_repeated(tmp_path):
    """Scores without ties: among equal ones the copies of an image would change places."""
    rng = np.random.default_rng(3)
    truth, said = coco_set(rng, 8, tied=False)
    items = in_order(read_sides(*write_coco(tmp_path, truth, said)).items)
    counts = next(bootstrap.drawn_counts(len(items), 3, 1))
    made = coco_ap.averages(evaluation(items), NAMES, counts.astype(float))
    for draw, times in enumerate(counts):
        images, annotations, results = [], [], []
        for item, repeats in zip(items, times, strict=True):
            old = int(item.reference.id)
            for copy in range(repeats):
                new = 1000 * old + copy
                images.append({"id": new})
                annotations += [
                    {**row, "image_id": new, "id": 100 * row["id"] + copy + 1}
                    for row in truth["annotations"]
                    if row["image_id"] == old
                ]
                results += [{**row, "image_id": new} for row in said if row["image_id"] == old]
        again = {"images": images, "annotations": annotations, "categories": truth["categories"]}
        theirs = pycocotools(again, results).stats.tolist()
        ours = [coco_ap.over_classes(made[name])[draw] for name in NAMES]
        assert [-1 if np.isnan(value) else value for value in ours] == pytest.approx(theirs, abs=1e-12)


@pytest.fixture(scope="module")
def scored(rrg, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    truth, said = coco_set(np.random.default_rng(8), 15)
    paths = write_coco(folder, truth, said)
    done = rrg("score", "boxes", *paths, "--samples", 100, "--per-item", folder / "items.jsonl")
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    return truth, said, paths, json.loads(done.stdout), items


def test_the_command_prints_them_and_the_counts_of_the_same_matching(scored):
    truth, said, _, body, _ = scored
    theirs = pycocotools(truth, said)
    value = {name: each["value"] for name, each in body["metrics"].items()}
    assert [value[name] for name in NAMES] == pytest.approx(theirs.stats.tolist(), abs=1e-9)
    cells = [each for each in theirs.evalImgs if each and tuple(each["aRng"]) == (0, 1e10)]
    hit = sum(((each["dtMatches"][0] > 0) & (each["dtIgnore"][0] == 0)).sum() for each in cells)
    false = sum(((each["dtMatches"][0] == 0) & (each["dtIgnore"][0] == 0)).sum() for each in cells)
    wanted = sum((each["gtIgnore"] == 0).sum() for each in cells)
    assert (value["at50.tp"], value["at50.fp"], value["at50.fn"]) == (hit, false, wanted - hit)
    assert value["at50.fdr"] == pytest.approx(false / (hit + false))
    assert value["at50.f1"] == pytest.approx(2 * hit / (hit + false + wanted))
    assert body["metrics"]["ap"]["ci95"][0] <= body["metrics"]["ap"]["ci95"][1]
    assert any("tie with another score" in note for note in body["notes"])


def test_images_without_annotations_and_classes_without_truths(scored):
    truth, said, _, body, items = scored
    bare = {row["id"] for row in truth["images"]} - {row["image_id"] for row in truth["annotations"]}
    boxed = {row["image_id"] for row in said} & bare
    metric = body["metrics"]["negative.rate"]
    assert (metric["n"], metric["n"] + metric["n_excluded"]) == (len(bare), len(truth["images"]))
    assert metric["value"] == len(boxed) / len(bare)
    assert body["metrics"]["negative.images"]["value"] == len(bare)
    given = [each["scores"]["negative.rate"] for each in items if each["scores"]["negative.rate"] is not None]
    assert np.mean(given) == metric["value"]
    assert sum(each["scores"]["at50.tp"] for each in items) == body["metrics"]["at50.tp"]["value"]
    classes = body["strata"]["class"]
    assert list(classes) == ["class 1", "class 3", "class 5", "class 8"]
    assert classes["class 5"]["ap"]["value"] is None  # boxes, but no truth: undefined, not 0
    assert classes["class 5"]["negative.rate"]["n"] == len(truth["images"])
    by_class = [classes[name]["ap50"]["value"] for name in ("class 1", "class 3", "class 8")]
    assert np.mean(by_class) == pytest.approx(body["metrics"]["ap50"]["value"])


def small(tmp_path, said, **more):
    truth = {
        "images": [{"id": 1, "width": 100, "height": 100}, {"id": 2, "width": 100, "height": 100}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}
        ],
        "categories": [{"id": 1, "name": "nodule"}],
        **more,
    }
    return write_coco(tmp_path, truth, said)


HIT, MISS = ({"image_id": 1, "category_id": 1, "bbox": [x, 10, 20, 20]} for x in (10, 60))


def test_without_scores_there_is_no_average(rrg, tmp_path):
    """A constant score would make AP depend on the order of the file."""
    paths = small(tmp_path, [MISS, HIT, {**HIT, "image_id": 2}])
    metrics = json.loads(rrg("score", "boxes", *paths, "--samples", 10).stdout)["metrics"]
    assert (metrics["ap"]["value"], metrics["at50.tp"]["value"], metrics["at50.fp"]["value"]) == (None, 1, 2)
    assert "--pseudo-score" in metrics["ap50"]["skipped"]
    assert (metrics["negative.rate"]["value"], metrics["negative.boxes_per_image"]["value"]) == (1, 1)
    body = json.loads(rrg("score", "boxes", *paths, "--samples", 10, "--pseudo-score", 1).stdout)
    assert body["metrics"]["ap50"]["value"] == pytest.approx(0.5)
    assert "score:1" in body["signature"]
    assert any("order of the file" in note for note in body["notes"])
    mixed = small(tmp_path, [{**MISS, "score": 0.2}, HIT])
    assert b"1 of 2 predictions have no score" in rrg("score", "boxes", *mixed, code=1).stderr


@pytest.mark.parametrize(
    ("said", "more", "words"),
    [
        ([{**HIT, "image_id": 3, "score": 1}], {}, b"row 1: no image has the id 3"),
        ([{**HIT, "category_id": 2, "score": 1}], {}, b"row 1: no category has the id 2"),
        ([{**HIT, "bbox": [1, 2, 3], "score": 1}], {}, b"expected four numbers"),
        ([{**HIT, "bbox": [90, 10, 20, 20], "score": 1}], {}, b"1 of 1 prediction boxes lie outside"),
        ([], {"images": [{"id": 1}, {"id": 1}]}, b"image 2: id 1 is there already"),
        ([], {"images": "no"}, b"not COCO instances"),
        ({}, {}, b"not COCO results"),
    ],
)
def test_files_that_can_not_be_meant(tmp_path, said, more, words):
    from rrg.errors import RrgError

    paths = small(tmp_path, said, **more)
    with pytest.raises(RrgError) as caught:
        detection.check(read_sides(*paths).items, TaskOptions())
    assert words.decode() in str(caught.value)
