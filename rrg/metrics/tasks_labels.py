"""Protocols of finding labels."""

from collections.abc import Mapping, Sequence

from rrg.formats.items import Item
from rrg.formats.label_rows import CHEXBERT
from rrg.metrics import english, labels
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import FRACTION, Block, Metric, Protocol, Scored

_OPTIONS = frozenset({"label_codes", "uncertain", "force"})
_GROUPS: labels.Groups = {"14": CHEXBERT, "5": labels.FIVE}


def _metrics(prefixes: Sequence[str]) -> tuple[Metric, ...]:
    notes = {"macro": labels.ABSENT, "samples": labels.NO_POSITIVE}
    first = prefixes[0]
    return (
        *(
            Metric(f"{prefix}.{how}.{value}", FRACTION, f"scikit-learn, {how} average", note=notes.get(how))
            for prefix in prefixes
            for how in labels.AVERAGES
            for value in labels.VALUES
        ),
        Metric(f"{first}.macro.f1_supported", FRACTION, "mean F1 of the labels that the references have"),
        Metric(f"{first}.exact_match", FRACTION, "all labels of the report are right", hit=True),
    )


def _all(items: Sequence[Item]) -> labels.Groups:
    return {"all": labels.names_of(items)}


def _chexbert_check(items: Sequence[Item], options: TaskOptions) -> list[str]:
    return [*english.check(items, options, "CheXbert"), *labels.check_names(items)]


def _chexbert_score(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    return labels.score(items, options, _GROUPS)


def _chexbert_block(items: Sequence[Item], options: TaskOptions) -> Block:
    return labels.block(items, options, _GROUPS)


def _all_score(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    return labels.score(items, options, _all(items))


def _all_block(items: Sequence[Item], options: TaskOptions) -> Block:
    return labels.block(items, options, _all(items))


def _codes(options: TaskOptions) -> dict[str, str]:
    return {"codes": options.label_codes, "uncertain": options.uncertain, **english.signature(options)}


PROTOCOLS: Mapping[str, Protocol] = {
    "chexbert": Protocol(
        metrics=_metrics(tuple(_GROUPS)),
        source="f1chexbert 0.0.2 and scikit-learn, on labels from a file",
        score=_chexbert_score,
        block=_chexbert_block,
        rows="chexbert",
        options=_OPTIONS,
        check=_chexbert_check,
        signature=_codes,
    ),
    "multilabel": Protocol(
        metrics=_metrics(("all",)),
        source="scikit-learn, on labels from a file",
        score=_all_score,
        block=_all_block,
        options=_OPTIONS - {"force"},
        signature=_codes,
    ),
}
"""Protocol -> what it is; the first is the default."""
