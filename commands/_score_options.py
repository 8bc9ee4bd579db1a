"""Options of `rrg score` that only some tasks know; they reach the command as one ``task_options`` of those given."""

from typing import Annotated, Any

import typer

from ._bundle import bundled


def _word(text: str, metavar: str | None = None) -> Any:
    return Annotated[str | None, typer.Option(metavar=metavar, help=text)]


def _number(text: str, **limits: Any) -> Any:
    return Annotated[float | None, typer.Option(help=text, **limits)]


def _flag(name: str, text: str) -> Any:
    return Annotated[bool | None, typer.Option(name, help=text)]


_OPTIONS: dict[str, Any] = {
    "keep_tags": _flag("--keep-tags", "Leave inline box tags in texts."),
    "box_format": _word("refer: xyxy, xywh or cxcywh."),
    "box_unit": _word("refer: pixel, norm01, norm1000, bins512, bins1024."),
    "max_out_of_range": _number("refer, boxes: share of boxes out of range. [0.05]", min=0, max=1),
    "syntax": _word("grounded-text: radgrounder, paligemma or json."),
    "match": _word("grounded-text: exact, or a JSONL of a, b, score."),
    "class_agnostic": _flag("--class-agnostic", "boxes: ignore classes."),
    "pseudo_score": _number("boxes: score of predictions that have none; without one they have no AP."),
    "spacing": _word("masks: mm along each array axis, where the rows have none.", "A,B[,C]"),
    "nsd_tau": _word("masks: tolerances of the surface Dice in mm. [1,2]", "T,..."),
    "both_empty": _word("masks: exclude, 0 or 1: value of two empty masks."),
    "connectivity": Annotated[
        int | None, typer.Option(help="masks panoptic: 4 or 8; 6, 18 or 26 in three dimensions.")
    ],
    "penalty": _number("quantities: error of an unparsed answer in mae_penalised.", min=0),
    "reference_texts": Annotated[
        str | None,
        typer.Option("--references", metavar="FILE", help="compare sacrebleu-bs, sacrebleu-ar: reference texts."),
    ],
    "tokenize": _word("sacrebleu: 13a, none, intl, char or zh."),
    "lowercase": _flag("--lowercase", "sacrebleu: ignore case."),
    "rouge_tokenizer": _word("rouge-score: default, stem or unicode."),
    "coco_tokenizer": _word("report coco: simple, ptb (needs Java) or raw."),
    "label_codes": _word("labels: chexbert, chexpert or binary."),
    "uncertain": _word("labels: uncertain is positive or negative."),
    "force": _flag("--force", "labels, graphs: score other languages with an English labeler."),
}
"""Name in `rrg.metrics.options.TaskOptions` -> type and help; what is not given has the default from there."""


with_task_options = bundled("task_options", _OPTIONS, dict)
"""Gives a command the options of the tasks."""
