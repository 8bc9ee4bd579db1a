"""Options that only some tasks know: their defaults, and the values that they take."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rrg.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """Options of the command line that a protocol lists by name; each with its default. None: it must be declared."""

    # texts
    keep_tags: bool = False
    tokenize: str = "13a"
    lowercase: bool = False
    rouge_tokenizer: str = "default"
    coco_tokenizer: str = "simple"
    # labels, graphs
    label_codes: str = "chexbert"
    uncertain: str = "positive"
    force: bool = False
    # refer, grounded-text
    box_format: str | None = None
    box_unit: str | None = None
    max_out_of_range: float = 0.05
    syntax: str | None = None
    match: str = "exact"
    # boxes
    class_agnostic: bool = False
    pseudo_score: float | None = None
    # masks
    spacing: str | None = None
    """mm along each axis of the arrays, with commas between."""
    nsd_tau: str = "1,2"
    """Tolerances in mm."""
    both_empty: str | None = None
    connectivity: int | None = None
    # quantities
    penalty: float | None = None
    # compare
    reference_texts: str | None = None
    """File of ``--references``."""


VALUES: Mapping[str, tuple[str, ...]] = {
    "tokenize": ("13a", "none", "intl", "char", "zh"),
    "coco_tokenizer": ("simple", "ptb", "raw"),
    "rouge_tokenizer": ("default", "stem", "unicode"),
    "label_codes": ("chexbert", "chexpert", "binary"),
    "uncertain": ("positive", "negative"),
    "box_format": ("xyxy", "xywh", "cxcywh"),
    "box_unit": ("pixel", "norm01", "norm1000", "bins512", "bins1024"),
    "syntax": ("radgrounder", "paligemma", "json"),
    "both_empty": ("exclude", "0", "1"),
}
"""Options with a fixed set of values."""


def task_options(given: Mapping[str, Any]) -> tuple[TaskOptions, frozenset[str]]:
    """Options with their defaults, and the names of those that were given. UsageError on a value that is not known."""
    named = {name: value for name, value in given.items() if value is not None}
    for name, value in named.items():
        if name in VALUES and value not in VALUES[name]:
            raise UsageError(f"{flag(name)} {value}: expected one of {', '.join(VALUES[name])}")
    return dataclasses.replace(TaskOptions(), **named), frozenset(named)


def flag(name: str) -> str:
    """An option as it is written on the command line."""
    return "--references" if name == "reference_texts" else f"--{name.replace('_', '-')}"
