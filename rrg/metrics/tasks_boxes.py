"""Protocols of boxes with classes and scores."""

from collections.abc import Mapping

from rrg.metrics import detection
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import COUNT, FRACTION, Metric, Protocol

_METRICS = (
    Metric("ap", FRACTION, "mean over IoU .50:.95, 101 recalls, classes with truths"),
    Metric("ap50", FRACTION, "at IoU 0.5"),
    Metric("ap75", FRACTION, "at IoU 0.75"),
    Metric("ap.small", FRACTION, "truths of at most 32^2 square pixels"),
    Metric("ap.medium", FRACTION, "32^2 to 96^2"),
    Metric("ap.large", FRACTION, "from 96^2 on"),
    Metric("ar1", FRACTION, "mean recall, 1 detection of each image and class"),
    Metric("ar10", FRACTION, "10 detections"),
    Metric("ar100", FRACTION, "100 detections"),
    Metric("ar.small", FRACTION, "100 detections, truths of at most 32^2 square pixels"),
    Metric("ar.medium", FRACTION, "32^2 to 96^2"),
    Metric("ar.large", FRACTION, "from 96^2 on"),
    Metric("at50.tp", COUNT, "hits at IoU 0.5, greedy by score, 100 detections, all areas, crowds ignored"),
    Metric("at50.fp", COUNT, "other boxes"),
    Metric("at50.fn", COUNT, "truths without a box"),
    Metric("at50.precision", FRACTION, "tp / (tp + fp)"),
    Metric("at50.recall", FRACTION, "tp / (tp + fn)"),
    Metric("at50.f1", FRACTION, "of the two"),
    Metric("at50.fdr", FRACTION, "false discovery rate, fp / (tp + fp)"),
    Metric("negative.images", COUNT, "images without any annotation"),
    Metric("negative.images_with_box", COUNT, "of these, images with a box"),
    Metric("negative.rate", FRACTION, "their share", hit=True),
    Metric("negative.boxes_per_image", COUNT, "boxes on an image without annotation, mean"),
)


def _signature(options: TaskOptions) -> dict[str, str]:
    score = "file" if options.pseudo_score is None else f"{options.pseudo_score:g}"
    return {
        "box": "xywh-pixel",
        "classes": "ignored" if options.class_agnostic else "by-id",
        "score": score,
        "match": "greedy-by-score",
    }


PROTOCOLS: Mapping[str, Protocol] = {
    "coco": Protocol(
        metrics=_METRICS,
        source="pycocotools 2.0.11",
        score=detection.score,
        block=detection.block,
        options=frozenset({"class_agnostic", "pseudo_score", "max_out_of_range"}),
        check=detection.check,
        remarks=detection.remarks,
        signature=_signature,
        notes=("an image without a prediction has no box: COCO results can not say more",),
    )
}
"""Protocol -> what it is; the first is the default."""
