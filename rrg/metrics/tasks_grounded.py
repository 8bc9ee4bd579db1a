"""Protocols of texts with inline boxes."""

from collections.abc import Mapping

from rrg.errors import UsageError
from rrg.metrics import grounded
from rrg.metrics.options import VALUES, TaskOptions
from rrg.metrics.table import COUNT, FRACTION, Metric, Protocol

_METRICS = (
    Metric("boxes.reference", COUNT, "phrases with a box in the references"),
    Metric("boxes.predicted", COUNT, "phrases with a box in the predictions"),
    Metric("boxes.matched", COUNT, "pairs of phrases"),
    Metric("boxes.hit50", COUNT, "pairs with IoU >= 0.5"),
    Metric("matched.precision", FRACTION, "matched / predicted"),
    Metric("matched.recall", FRACTION, "matched / reference"),
    Metric("matched.f1", FRACTION, "of the two"),
    Metric("at50.precision", FRACTION, "hit50 / predicted"),
    Metric("at50.recall", FRACTION, "hit50 / reference"),
    Metric("at50.f1", FRACTION, "of the two"),
    Metric("matched.iou", FRACTION, "mean over matched pairs"),
    Metric("grounding_iou", FRACTION, "per sample sum(IoU x similarity) / max(predicted, reference), mean"),
    Metric("tags.only_prediction", COUNT, "samples with boxes in the prediction only"),
    Metric("tags.only_reference", COUNT, "samples with boxes in the reference only"),
    Metric("tags.neither", COUNT, "samples without any box; grounding_iou leaves them out"),
)


def _declared(options: TaskOptions, native: bool) -> TaskOptions:
    if not native and options.syntax is None:
        raise UsageError(f"grounded-text needs --syntax ({', '.join(VALUES['syntax'])}): the files do not say it")
    return options


SKIPPED = (
    "samples without a box on one side are skipped before the totals, as upstream does: a report with only invented "
    "boxes, or with every box missed, costs nothing"
)
_SAMPLE_MEAN = "a mean over samples with a match, not over matched pairs"
_OVER_REFERENCES = "a mean over samples with a phrase in the reference: boxes in any other sample cost nothing"
_TOTALS = ("boxes.", "matched.", "at50.")
_NOTES = {"matched.iou": _SAMPLE_MEAN, "grounding_iou": _OVER_REFERENCES}


def _radgrounder(metric: Metric) -> Metric:
    note = _NOTES.get(metric.name, SKIPPED if metric.name.startswith(_TOTALS) else None)
    return metric._replace(note=note)


PROTOCOLS: Mapping[str, Protocol] = {
    "strict": Protocol(
        metrics=_METRICS,
        source="rrg",
        score=grounded.score,
        block=grounded.block,
        options=frozenset({"syntax", "match"}),
        declared=_declared,
        signature=lambda options: {"match": "exact" if options.match == "exact" else "file"},
    ),
    "radgrounder": Protocol(
        metrics=tuple(map(_radgrounder, _METRICS)),
        source="lmb-freiburg/radgrounder at a8f332b, g_iou",
        score=grounded.score_radgrounder,
        block=grounded.block_radgrounder,
        options=frozenset({"syntax", "match"}),
        declared=_declared,
        signature=lambda options: {"match": "exact" if options.match == "exact" else "file"},
        notes=(
            "upstream's mix-up of boxes after the first match of a sample is not reproduced",
            "upstream matches phrases by embeddings: give their similarities by --match FILE to do so",
        ),
    ),
}
"""Protocol -> what it is; the first is the default."""
