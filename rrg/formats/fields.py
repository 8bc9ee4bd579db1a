"""Which field of a foreign row says what. The orders of this page are those that the README promises."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rrg.errors import RrgError
from rrg.formats.items import AnswerType, Scalar
from rrg.formats.read import Row, Source

Names = tuple[str, ...]
ID: Names = ("id", "qid", "question_id", "idx", "image_id")
PREDICTION: Names = ("prediction", "pred", "hyp", "hypothesis", "response", "text", "report", "filtered_resps")
REFERENCE: Names = ("reference", "ref", "gt", "target", "answer", "report", "conversations", "conversatons")
ANSWER_TYPE: Names = ("answer_type", "q_type", "question_type")
LANG: Names = ("lang", "q_lang")
BOX: Names = ("bbox", "boxes")
IMAGE: Names = ("image", "img_name", "image_name", "file_name", "image_path")
CHOICES: Names = ("choices", "options", "list_categories")
"""The options of a closed question; the last is SURE-VQA's name."""
OPEN_TYPES, CLOSED_TYPES = ("open", "other", "number"), ("closed", "yes/no", "single", "multi")
_TYPES: Mapping[str, AnswerType] = {**dict.fromkeys(OPEN_TYPES, "open"), **dict.fromkeys(CLOSED_TYPES, "closed")}
SCALARS = frozenset({str, int, float, bool})


@dataclass(frozen=True)
class Fields:
    """Where to look, first name first. An empty `id` means: the row number, from 0."""

    id: Names = ID
    prediction: Names = (*PREDICTION, "answer")
    reference: Names = REFERENCE
    joined: Names = ()
    """Fields whose texts together are the reference (``findings,impression``)."""


FORMATS: Mapping[str, Fields | None] = {
    "rrg": None,
    "jsonl": Fields(),
    "csv": Fields(),
    "llava": Fields(
        id=("id", "question_id"),
        prediction=("text",),
        reference=("gt", "conversations", "conversatons"),
    ),
    "slake": Fields(id=("qid",), prediction=("prediction", "response", "answer"), reference=("answer",)),
    "vqa-rad": Fields(id=("qid", "id", "idx"), prediction=("prediction", "response", "answer"), reference=("answer",)),
    "medevalkit": Fields(
        id=("id", "idx", "question_id"), prediction=("response",), reference=("answer", "report", "findings")
    ),
    "lmms-eval": Fields(id=("doc_id", "id"), prediction=("filtered_resps",), reference=("target",)),
    "radeval": Fields(id=("id",), prediction=("hyp", "hypothesis"), reference=("ref", "reference")),
}
"""Names of ``--format``. Without one the fields are looked for in the orders above."""


def scalar_text(value: object) -> str | None:
    """Text of a JSON scalar as a reader would write it; None for lists, objects and null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else None


def lookup(row: Mapping[str, Any], name: str) -> Any:
    """A field; inside lists of answers and conversations the element that counts; dots walk into objects."""
    value: Any = row.get(name)
    if type(value) is str:
        return value
    if name not in row and "." in name:
        value = row
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if name == "filtered_resps":
        while isinstance(value, list) and value:
            value = value[0]
    if name in ("conversations", "conversatons") and isinstance(value, list):
        value = value[1].get("value") if len(value) > 1 and isinstance(value[1], dict) else None
    return value


def has(row: Mapping[str, Any], name: str) -> bool:
    """True when the row has the field, null or not."""
    return name in row or ("." in name and lookup(row, name) is not None)


def first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of the names that the row has."""
    for name in names:
        if name in row or ("." in name and has(row, name)):
            return name
    return None


def text_field(source: Source, row: Row, names: Sequence[str], what: str) -> tuple[str, str]:
    """(field, text) of the first name that is there. An explicit null reads as the empty text."""
    name = first(row.value, names)
    if name is None:
        raise RrgError(f"{source.where(row.line)}: no {what}; looked for {', '.join(names)} (--{what}-field names it)")
    value = lookup(row.value, name)
    if type(value) is str:
        return name, value
    text = "" if value is None else scalar_text(value)
    if text is None:
        raise RrgError(f"{source.where(row.line)}: {name} is a {type(value).__name__}, expected a text or a number")
    return name, text


def joined_text(source: Source, row: Row, names: Sequence[str]) -> str:
    """Texts of several fields, in order, with a blank between; absent ones are left out, all absent is an error."""
    texts = [text for name in names if has(row.value, name) and (text := scalar_text(lookup(row.value, name)))]
    if not any(has(row.value, name) for name in names):
        raise RrgError(f"{source.where(row.line)}: none of the fields {', '.join(names)}")
    return " ".join(text.strip() for text in texts)


def answer_type(source: Source, row: Row, name: str) -> AnswerType:
    """Open or closed, as the field `name` says."""
    word = (scalar_text(lookup(row.value, name)) or "").strip().lower()
    if kind := _TYPES.get(word):
        return kind
    raise RrgError(f"{source.where(row.line)}: {name} is {word!r}, expected one of {', '.join(_TYPES)}")


def facets(row: Mapping[str, Any], used: Sequence[str | None]) -> dict[str, Scalar]:
    """Scalar fields of a reference row under their own names; of lmms-eval rows those of ``doc`` too."""
    nested = row.get("doc")
    found = scalars(nested, [name for name in nested if name not in used]) if isinstance(nested, dict) else {}
    return with_lang(found | scalars(row, [name for name in row if name not in used]))


def scalars(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Scalar]:
    """Those of the fields that are scalars; of texts without the blanks around them."""
    return {
        name: value.strip() if type(value) is str else value for name in names if type(value := row[name]) in SCALARS
    }


def with_lang(found: dict[str, Scalar]) -> dict[str, Scalar]:
    """The same facets; ``q_lang`` is also ``lang``."""
    if "q_lang" in found:
        found.setdefault("lang", found["q_lang"])
    return found


FOUR_NUMBERS = re.compile(r"\[\s*{0}\s*,\s*{0}\s*,\s*{0}\s*,\s*{0}\s*\]".format(r"(-?\d+(?:\.\d+)?)"))
"""The first ``[a, b, c, d]`` of an answer, as lmms-eval reads it."""


def box_in_text(text: str) -> tuple[float, float, float, float] | None:
    """The first four numbers in square brackets."""
    if match := FOUR_NUMBERS.search(text):
        a, b, c, d = map(float, match.groups())
        return a, b, c, d
    return None
