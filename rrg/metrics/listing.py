"""What ``rrg score --protocols`` prints, and the check of options that have a fixed set of values."""

import dataclasses
from typing import Any

from rrg.errors import UsageError
from rrg.metrics import compare
from rrg.metrics.boxes import FORMATS, UNITS
from rrg.metrics.grounded import SYNTAXES
from rrg.metrics.protocols import PROTOCOLS
from rrg.metrics.table import TextOptions

VALUES = {
    "tokenize": ("13a", "none", "intl", "char", "zh"),
    "rouge_tokenizer": ("default", "stem", "unicode"),
    "box_format": FORMATS,
    "box_unit": tuple(UNITS),
    "syntax": SYNTAXES,
}


def text_options(**given: Any) -> tuple[TextOptions, frozenset[str]]:
    """Options with their defaults, and the names of those that were given. UsageError on a value that is not known."""
    named = {name: value for name, value in given.items() if value is not None}
    for name, value in named.items():
        if name in VALUES and value not in VALUES[name]:
            raise UsageError(f"--{name.replace('_', '-')} {value}: expected one of {', '.join(VALUES[name])}")
    return dataclasses.replace(TextOptions(), **named), frozenset(named)


def listing(task: str | None) -> str:
    """Every protocol with its metrics, units and source; of one task, or of all."""
    tables = {name: {key: (it.source, it.metrics) for key, it in table.items()} for name, table in PROTOCOLS.items()}
    tables["compare"] = dict(compare.PROTOCOLS)
    if task is not None and task not in tables:
        raise UsageError(f"no task {task!r}; one of {', '.join(tables)}")
    lines = []
    for name, table in tables.items():
        if task not in (None, name):
            continue
        for number, (protocol, (source, metrics)) in enumerate(table.items()):
            lines.append(f"{name} {protocol}{' (default)' if not number else ''}: {source}")
            width = max(len(metric.name) for metric in metrics)
            for metric in metrics:
                lines.append(f"  {metric.name:<{width}}  {metric.unit:<9}  {metric.rule}")
                if metric.note:
                    lines.append(f"  {'':<{width}}  {'':<9}  known fault: {metric.note}")
    return "\n".join(lines)
