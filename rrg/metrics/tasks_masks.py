"""Protocols of masks."""

from collections.abc import Mapping, Sequence
from functools import partial

from rrg.formats.items import Item
from rrg.formats.mask_rows import Mask
from rrg.metrics import mask_distances, mask_instances, masks
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import COUNT, FRACTION, MM, Block, Metric, Protocol, Scored

_BOTH_EMPTY = {"strict": "exclude", "medpy": "1", "medplib": "0", "radgrounder": "1", "panoptic": "exclude"}
_POOLED = "medpy pools both directions before the percentile: it can lie below that of one direction by millimetres"
_DICE = "Dice = 2 IoU / (1 + IoU); upstream scores the last mask of a sample only, here it is the mask that is given"
_DISTANCES = ("hd95", "hd100", "asd.reference_to_prediction", "asd.prediction_to_reference")
_SETS = (
    Metric("ciou", FRACTION, "sum of intersections / sum of unions"),
    Metric("empty.both", COUNT, "items whose two masks are empty"),
    Metric("empty.prediction", COUNT, "items whose prediction alone is empty"),
    Metric("empty.reference", COUNT, "items whose reference alone is empty"),
)


def _overlap(empty: str, dice_note: str | None = None) -> tuple[Metric, Metric]:
    return (
        Metric("dice", FRACTION, f"2 I / (A + B), mean; both empty: {empty}", note=dice_note),
        Metric("iou", FRACTION, f"I / U, mean; both empty: {empty}"),
    )


def _strict_metrics(options: TaskOptions) -> tuple[Metric, ...]:
    taus = masks.numbers(options.nsd_tau, "nsd-tau")
    return (
        *_overlap("left out"),
        Metric("hd95", MM, "95th percentile weighted by area, the larger direction; mean of finite values"),
        Metric("hd100", MM, "largest distance; mean of finite values"),
        Metric("asd.reference_to_prediction", MM, "mean distance from the reference's surface; finite values"),
        Metric("asd.prediction_to_reference", MM, "mean distance from the prediction's surface; finite values"),
        *(Metric(mask_distances.nsd_name(tau), FRACTION, f"surface Dice within {tau:g} mm") for tau in taus),
        *_SETS,
    )


def _setting(options: TaskOptions, *, name: str) -> masks.Setting:
    """What a protocol measures. UsageError for options that can not be read."""
    return masks.Setting(
        both_empty=masks.both_empty_of(options, _BOTH_EMPTY[name]),
        dice_of_iou=name == "medplib",
        distances=_SPACED.get(name),
        lesions=name == "panoptic",
        taus_mm=masks.numbers(options.nsd_tau, "nsd-tau") if name == "strict" else (),
        spacing_mm=masks.spacing_of(options),
        connectivity=options.connectivity,
    )


def _pooled(reference: Mask, prediction: Mask, spacing: Sequence[float], _taus: object) -> masks.Scores:
    return mask_distances.pooled(reference, prediction, spacing)


_SPACED = {"strict": mask_distances.deepmind, "medpy": _pooled}


def _names(options: TaskOptions, name: str) -> tuple[str, ...]:
    """Metrics that need a spacing."""
    if name == "strict":
        return (*_DISTANCES, *map(mask_distances.nsd_name, masks.numbers(options.nsd_tau, "nsd-tau")))
    return ("hd95", "hd100", "assd") if name == "medpy" else ()


def _score(items: Sequence[Item], options: TaskOptions, *, name: str) -> list[Scored]:
    return masks.score(items, _setting(options, name=name), _names(options, name))


def _block(items: Sequence[Item], options: TaskOptions, *, name: str) -> Block:
    return masks.block(items, _setting(options, name=name), _names(options, name))


def _check(items: Sequence[Item], options: TaskOptions, *, name: str) -> list[str]:
    return masks.check(items, _setting(options, name=name))


def _signature(options: TaskOptions, *, name: str) -> dict[str, str]:
    if name == "panoptic":
        asked = options.connectivity
        each = "+".join(map(str, mask_instances.CONNECTIVITY.values()))
        return {"connectivity": each if asked is None else str(asked), "iou": "0.5"}
    said = {"empty": options.both_empty or _BOTH_EMPTY[name]}
    if name in _SPACED:
        said["spacing"] = (options.spacing or "rows").replace(",", "x")
    return said


def _protocol(name: str, source: str, metrics: tuple[Metric, ...], options: frozenset[str]) -> Protocol:
    return Protocol(
        metrics=metrics,
        metrics_of=_strict_metrics if name == "strict" else None,
        source=source,
        score=partial(_score, name=name),
        block=partial(_block, name=name),
        check=partial(_check, name=name),
        signature=partial(_signature, name=name),
        options=options,
    )


_EMPTY, _SPACING = frozenset({"both_empty"}), frozenset({"both_empty", "spacing"})

PROTOCOLS: Mapping[str, Protocol] = {
    "strict": _protocol(
        "strict", "rrg; distances surface-distance 0.1", _strict_metrics(TaskOptions()), _SPACING | {"nsd_tau"}
    ),
    "medpy": _protocol(
        "medpy",
        "medpy 0.5.2",
        (
            *_overlap("1"),
            Metric("hd95", MM, "95th percentile of both directions together", note=_POOLED),
            Metric("hd100", MM, "largest distance"),
            Metric("assd", MM, "mean distance of both directions together"),
            *_SETS,
        ),
        _SPACING,
    ),
    "medplib": _protocol(
        "medplib", "ShawnHuang497/MedPLIB at 5ab54bc", (*_overlap("0", dice_note=_DICE), *_SETS), _EMPTY
    ),
    "radgrounder": _protocol("radgrounder", "lmb-freiburg/radgrounder at a8f332b", (*_overlap("1"), *_SETS), _EMPTY),
    "panoptic": _protocol(
        "panoptic",
        "panoptica 2.1.7",
        (
            Metric("tp", COUNT, "matched components, IoU >= 0.5"),
            Metric("fp", COUNT, "components of predictions without a match"),
            Metric("fn", COUNT, "components of references without a match"),
            Metric("rq", FRACTION, "tp / (tp + fp / 2 + fn / 2)"),
            Metric("sq", FRACTION, "mean IoU of matched components"),
            Metric("pq", FRACTION, "rq x sq"),
        ),
        frozenset({"connectivity"}),
    ),
}
"""Protocol -> what it is; the first is the default."""
