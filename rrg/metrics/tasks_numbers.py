"""Protocols of quantities, pairs and confidences."""

from collections.abc import Mapping

from rrg.metrics import calibration, mediconfusion, quantities
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import COUNT, FRACTION, PERCENT, Metric, Protocol

_UNIT = "unit of file"
_SUCCESS_ONLY = "over successes only: unparsed answers are not in this mean; read it beside success_rate"
_LAST_BIN = "the last bin of relative errors has no upper end, so this equals success_rate"
_MEDVISION = "YongchengYAO/MedVision at c221615"


def _penalty(options: TaskOptions) -> dict[str, str]:
    return {} if options.penalty is None else {"penalty": f"{options.penalty:g}"}


QUANTITIES: Mapping[str, Protocol] = {
    "strict": Protocol(
        metrics=(
            Metric("mae", _UNIT, "mean absolute error of parsed answers, converted to the target's unit"),
            Metric("mae_penalised", _UNIT, "all answers, an unparsed one with the error --penalty"),
            Metric("mae_sorted", _UNIT, "parsed answers, axes sorted on both sides"),
            Metric("mre", FRACTION, "error / target, parsed answers; targets of 0 are left out"),
            Metric("coverage", FRACTION, "parsed answers", hit=True),
        ),
        source="rrg",
        score=quantities.strict,
        block=quantities.strict_block,
        check=quantities.check,
        options=frozenset({"penalty"}),
        signature=_penalty,
    ),
    "count": Protocol(
        metrics=(
            Metric("mae", COUNT, "mean absolute error of parsed answers"),
            Metric("rmse", COUNT, "root of the mean squared error of parsed answers"),
            Metric("exact", FRACTION, "equal, all answers", hit=True),
            Metric("coverage", FRACTION, "parsed answers", hit=True),
        ),
        source="rrg",
        score=quantities.count,
        block=quantities.count_block,
    ),
    "medvision-size": Protocol(
        metrics=(
            Metric("mae", _UNIT, "mean absolute error", note=_SUCCESS_ONLY),
            Metric("mre", FRACTION, "mean relative error", note=_SUCCESS_ONLY),
            Metric("success_rate", FRACTION, "exactly as many numbers as the target, commas between", hit=True),
            *(
                Metric(
                    quantities.below(limit),
                    FRACTION,
                    f"relative error below {limit}, all answers",
                    hit=True,
                    note=_LAST_BIN if limit == 1 else None,
                )
                for limit in quantities.LIMITS
            ),
        ),
        source=_MEDVISION,
        score=quantities.medvision_size,
        block=quantities.unit_block("mae"),
        check=quantities.check,
        notes=("predictions are read in single precision, as upstream reads them",),
    ),
    "medvision-box": Protocol(
        metrics=(
            Metric("iou", FRACTION, "all answers, unparsed 0"),
            Metric("f1", FRACTION, "2 I / (A + B), all answers, unparsed 0"),
            Metric("precision", FRACTION, "I / area of the prediction, all answers, unparsed 0"),
            Metric("recall", FRACTION, "I / area of the target, all answers, unparsed 0"),
            Metric("mae", _UNIT, "mean absolute error of the coordinates", note=_SUCCESS_ONLY),
            Metric("success_rate", FRACTION, "exactly four numbers, commas between", hit=True),
        ),
        source=_MEDVISION,
        score=quantities.medvision_box,
        block=quantities.unit_block("mae"),
        check=quantities.check,
        notes=("predictions are read in single precision, as upstream reads them",),
    ),
}
PAIRS: Mapping[str, Protocol] = {
    "mediconfusion": Protocol(
        metrics=(
            Metric("set_accuracy", PERCENT, "pairs with both answers right"),
            Metric("individual_accuracy", PERCENT, "answers that are right"),
            Metric("confusion", PERCENT, "pairs with the same answer twice, of those with two valid answers"),
            Metric("invalid", PERCENT, "answers that are none"),
        ),
        source="AIF4S/MediConfusion",
        score=mediconfusion.score,
    ),
}
CALIBRATION: Mapping[str, Protocol] = {
    "strict": Protocol(
        metrics=(
            *(
                metric
                for bins in calibration.BINS
                for metric in (
                    Metric(f"ece{bins}", FRACTION, f"expected calibration error, {bins} even bins weighted by size"),
                    Metric(f"mce{bins}", FRACTION, f"largest gap of {bins} even bins that are not empty"),
                )
            ),
            Metric("brier", FRACTION, "mean squared error of the confidence"),
            Metric("auroc", FRACTION, "confidence as a test of correctness, ties a half"),
            Metric("aurc", FRACTION, "mean risk over coverages 1/n .. 1"),
            *(
                Metric(f"risk_at_{share}", FRACTION, f"wrong answers among the surest {share} %")
                for share in calibration.COVERAGES
            ),
        ),
        source="rrg",
        score=calibration.score,
        block=calibration.block,
        notes=("most confident first, ties in file order; a confidence on an inner edge is in the lower bin",),
        metrics_name_scores=True,
    ),
}
"""Protocol -> what it is; the first is the default."""
