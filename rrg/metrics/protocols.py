"""Every task and protocol that works: the table that ``rrg score --protocols`` prints, one module for each task."""

from collections.abc import Mapping

from rrg.metrics import (
    tasks_boxes,
    tasks_graphs,
    tasks_grounded,
    tasks_labels,
    tasks_masks,
    tasks_numbers,
    tasks_refer,
    tasks_report,
    tasks_vqa,
)
from rrg.metrics.table import Protocol

PROTOCOLS: Mapping[str, Mapping[str, Protocol]] = {
    "vqa": tasks_vqa.PROTOCOLS,
    "report": tasks_report.PROTOCOLS,
    "labels": tasks_labels.PROTOCOLS,
    "graphs": tasks_graphs.PROTOCOLS,
    "boxes": tasks_boxes.PROTOCOLS,
    "refer": tasks_refer.PROTOCOLS,
    "grounded-text": tasks_grounded.PROTOCOLS,
    "masks": tasks_masks.PROTOCOLS,
    "quantities": tasks_numbers.QUANTITIES,
    "pairs": tasks_numbers.PAIRS,
    "calibration": tasks_numbers.CALIBRATION,
}
"""Task -> protocol -> what it is. The first protocol of a task is its default."""
ALSO: Mapping[tuple[str, str], str] = {("boxes", "strict"): "coco", ("pairs", "strict"): "mediconfusion"}
"""Task and further name -> protocol: where the strict rule is a published one."""
