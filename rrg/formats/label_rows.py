"""Rows with finding labels: ``{label: code}`` in one field, or CSV with one column a label. Codes as they stand."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rrg.errors import RrgError
from rrg.formats import fields as f
from rrg.formats.read import Row, Source

FIELD = "labels"
CHEXBERT = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding",
)  # fmt: skip
"""The labels of CheXbert, in its order."""
Codes = Mapping[str, str]
"""Label -> its code as text; the empty text where the file has nothing."""


def plain(name: str) -> str:
    """A label in the form in which names are compared: lower case, blanks for underscores."""
    return " ".join(name.replace("_", " ").lower().split())


def code_text(value: Any) -> str | None:
    """A code as text: 1, 1.0, true and "1.0" are "1"; null and blanks are ""; None for what is no code at all."""
    if value is None:
        return ""
    if isinstance(value, str):
        try:
            value = float(value) if value.strip() else ""
        except ValueError:
            return None
        if value == "":
            return ""
    if isinstance(value, int | float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return None


def read(source: Source, names: Sequence[str], only: Sequence[str] = ()) -> list[Codes]:
    """The labels of every row; of a CSV those in `only`, if there are any. RrgError names file and line."""
    if source.kind == "csv":
        wanted = {plain(name) for name in only}
        columns = [name for name in _columns(source) if not wanted or plain(name) in wanted]
        return [{name: code_text(row.value[name]) or "" for name in columns} for row in source.rows]
    return [_labels(source, row, names) for row in source.rows]


def _columns(source: Source) -> list[str]:
    """Columns of a CSV that hold nothing but numbers and blanks, ids left out."""
    if not source.rows:
        return []
    candidates = [name for name in source.rows[0].value if name not in f.ID]
    found = [name for name in candidates if all(code_text(row.value[name]) is not None for row in source.rows)]
    if not found:
        raise RrgError(f"{source.where(source.rows[0].line)}: no column of codes; expected one column for each label")
    return found


def _labels(source: Source, row: Row, names: Sequence[str]) -> Codes:
    name = next((each for each in (FIELD, *names) if isinstance(row.value.get(each), dict)), None)
    if name is None:
        looked = ", ".join((FIELD, *names))
        raise RrgError(f"{source.where(row.line)}: no labels; looked for an object label -> code in {looked}")
    made = {label: code_text(value) for label, value in row.value[name].items()}
    for label, code in made.items():
        if code is None:
            raise RrgError(f"{source.where(row.line)}: the code of {label} is no whole number")
    return {label: code or "" for label, code in made.items()}
