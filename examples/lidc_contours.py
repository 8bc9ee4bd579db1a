"""Reader marks of a LIDC nodule (contours with SOP Instance UIDs) -> the contours format of rrg segment.

Usage: lidc_contours.py nodule_annotations.json > nodule.json
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def reader(marks: dict[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """What one reader drew; an outline that is not an inclusion is a hole."""
    drawn: dict[str, dict[str, list[Any]]] = {"slices": defaultdict(list), "holes": defaultdict(list)}
    for contour in marks["contours"]:
        kind = "slices" if contour["inclusion"] else "holes"
        drawn[kind][contour["sop_instance_uid"]].append(contour["points_x_y"])
    return drawn


marks = json.loads(Path(sys.argv[1]).read_text())
readers = [reader(each) for each in marks["readers"]]
# LIDC outlines run just outside of the nodule; three of four readers must agree.
json.dump([{"label": "lung_nodule", "min_readers": 3, "border": "excluded", "readers": readers}], sys.stdout)
