"""Random COCO sets for the tests of score: crowds, ties, small and large boxes, ids in any order."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


def coco_set(rng: np.random.Generator, images: int, *, tied: bool = True, many: bool = False) -> tuple[Row, list[Row]]:
    """(instances, results) on pictures of 400 x 400."""
    ids = rng.permutation(np.arange(10, 10 + 3 * images, 3))
    truth: list[Row] = []
    said: list[Row] = []
    for image in ids.tolist():
        for _ in range(rng.poisson(2)):
            corner, size = rng.uniform(0, 250, 2), rng.uniform(3, 130, 2)
            if tied:
                corner, size = corner.round(-1), size.round(-1) + 1
            category = int(rng.choice([3, 1, 8]))
            row = {
                "id": len(truth) + 1,
                "image_id": image,
                "category_id": category,
                "iscrowd": int(rng.random() < 0.15),
            }
            truth.append({**row, "bbox": [*corner, *size], "area": float(size.prod() * rng.uniform(0.5, 1))})
            for _ in range(rng.poisson(50 if many else 1.5)):
                shift = rng.normal(0, 6, 4) * (rng.random() < 0.6)
                box = np.maximum(np.concatenate([corner, size]) + shift, 1).tolist()
                other = category if rng.random() < 0.8 else 5
                sure = round(rng.random(), 1) if tied else rng.random()
                said.append({"image_id": image, "category_id": other, "bbox": box, "score": sure})
    order = rng.permutation(len(said))
    categories = [{"id": n, "name": f"class {n}"} for n in (3, 8, 1, 5)]
    pictures = [{"id": n, "width": 400, "height": 400, "file_name": f"{n}.png"} for n in ids.tolist()]
    return {"images": pictures, "annotations": truth, "categories": categories}, [said[n] for n in order]


def write_coco(folder: Path, truth: Row, said: list[Row]) -> tuple[Path, Path]:
    """(results, instances) as files."""
    paths = folder / "results.json", folder / "instances.json"
    for path, value in zip(paths, (said, truth), strict=True):
        path.write_text(json.dumps(value))
    return paths


def pycocotools(truth: Row, said: list[Row], *, classes: bool = True) -> Any:
    """pycocotools' evaluation after ``summarize``."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        side = COCO()
        side.dataset = {"info": {}, **json.loads(json.dumps(truth))}
        side.createIndex()
        found = COCOeval(side, side.loadRes([dict(row) for row in said]), "bbox")
        found.params.useCats = int(classes)
        found.evaluate()
        found.accumulate()
        found.summarize()
    return found
