"""A made-up detection set, and the three programs that score it, each as a process that times its own evaluation.

``python -m tests.bench.score_coco make FOLDER`` writes the set, ``... rrg|pycocotools|faster FOLDER`` prints seconds
and the twelve averages as JSON. Reading the files is not in the seconds; pycocotools' come from ``evaluate`` and
``accumulate``, ours from the same step.
"""

import contextlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

IMAGES, CLASSES, TRUTHS, DETECTIONS = 5000, 20, 15_000, 30_000


def make(folder: Path) -> None:
    """Boxes on 512 x 512 pictures; half of the detections lie near a truth."""
    import numpy as np

    rng = np.random.default_rng(7)
    image, category = rng.integers(0, IMAGES, TRUTHS), rng.integers(0, CLASSES, TRUTHS)
    corner, size = rng.uniform(0, 380, (TRUTHS, 2)), rng.uniform(8, 130, (TRUTHS, 2))
    near = rng.integers(0, TRUTHS, DETECTIONS // 2)
    moved = np.hstack([corner, size])[near] + rng.normal(0, 6, (len(near), 4))
    other = np.hstack([rng.uniform(0, 380, (len(near), 2)), rng.uniform(8, 130, (len(near), 2))])
    boxes = np.maximum(np.vstack([moved, other]), 1).round(2)
    images = np.r_[image[near], rng.integers(0, IMAGES, len(near))]
    categories = np.r_[category[near], rng.integers(0, CLASSES, len(near))]
    annotations = [
        {
            "id": n + 1,
            "image_id": int(image[n]),
            "category_id": int(category[n]),
            "bbox": [*corner[n].round(2).tolist(), *size[n].round(2).tolist()],
            "area": float(size[n].prod()),
            "iscrowd": 0,
        }
        for n in range(TRUTHS)
    ]
    results = [
        {
            "image_id": int(images[n]),
            "category_id": int(categories[n]),
            "bbox": boxes[n].tolist(),
            "score": float(score),
        }
        for n, score in enumerate(rng.random(len(boxes)))
    ]
    truth = {
        "info": {},
        "images": [{"id": n, "width": 512, "height": 512} for n in range(IMAGES)],
        "categories": [{"id": n, "name": f"c{n}"} for n in range(CLASSES)],
        "annotations": annotations,
    }
    (folder / "instances.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))


def ours(folder: Path) -> tuple[float, list[float]]:
    """Seconds and averages of rrg."""
    import numpy as np

    from rrg.formats.coco_boxes import read_sides
    from rrg.metrics import coco_ap, detection
    from rrg.metrics.coco_match import AREAS, IOU_THRESHOLDS, match
    from rrg.metrics.options import TaskOptions

    items = read_sides(folder / "results.json", folder / "instances.json").items
    started = time.perf_counter()
    truths, said = detection.sides(items, TaskOptions())
    found = match(truths, said, tuple(AREAS), IOU_THRESHOLDS)
    evaluation = coco_ap.Evaluation(matching=found, truths=truths, areas=tuple(AREAS), thresholds=IOU_THRESHOLDS)
    made = coco_ap.averages(evaluation, list(coco_ap.AVERAGES), np.ones((1, len(items))))
    values = [float(coco_ap.over_classes(made[name])[0]) for name in coco_ap.AVERAGES]
    return time.perf_counter() - started, values


def theirs(folder: Path, program: str) -> tuple[float, list[float]]:
    """Seconds and averages of pycocotools, or of faster-coco-eval."""
    coco: Any
    evaluator: Any
    if program == "pycocotools":
        from pycocotools.coco import COCO as coco  # noqa: N811
        from pycocotools.cocoeval import COCOeval as evaluator  # noqa: N813
    else:
        from faster_coco_eval import COCO as coco  # noqa: N811
        from faster_coco_eval import COCOeval_faster as evaluator
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco(str(folder / "instances.json"))
        found = evaluator(truth, truth.loadRes(str(folder / "results.json")), "bbox")
        started = time.perf_counter()
        found.evaluate()
        found.accumulate()
        seconds = time.perf_counter() - started
        found.summarize()
    return seconds, [float(value) for value in found.stats[:12]]


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "make":
        make(where)
    else:
        seconds, stats = ours(where) if what == "rrg" else theirs(where, what)
        print(json.dumps({"seconds": seconds, "stats": stats}))
