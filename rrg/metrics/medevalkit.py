"""Answers as MedEvalKit scores them: alibaba-damo-academy/MedEvalKit 9b12e3b, SLAKE and VQA-RAD scripts.

Written from the behaviour of those programs, their faults included; each fault is in the note of its metric.
"""

from collections.abc import Sequence
from typing import Literal

from rrg.formats.items import Item
from rrg.metrics.answers import answer_type
from rrg.metrics.llava_med import EVEN, sentence_bleus
from rrg.metrics.rouge_plain import rouge
from rrg.metrics.table import Scored

Script = Literal["slake", "vqa-rad"]
MARKERS = (
    "**answer**:", "**answer**", "*answer*:", "**answer:**", "answer is", "answer:", "答案:", "final answer",
    "final answer is",
)  # fmt: skip
"""What stands before an answer; of each that occurs, the text after its last occurrence counts, in this order."""
NO_BOX = "None"
"""What the original takes as the answer when "boxed" is said and no box is closed."""

OPEN = ("em", "bleu1", "bleu2", "bleu3", "bleu4", "rouge1", "rouge2", "rougel", "precision", "recall", "f1")
PRINTED = ("printed.precision", "printed.recall", "printed.f1")

SUBSTRING = "'no' is found inside 'normal', 'nodule', 'not'; an answer with both or neither word is wrong"
LOWER_CASE = "the reference is compared with lower-case yes and no, so SLAKE's 'Yes' and 'No' must be equalled whole"
SWAPPED = (
    "upstream unpacks (F1, precision, recall) as precision, recall, F1: this is its printed '{name}', really {is_}"
)
RAISES = "upstream stops at an empty answer: such items are left out"
TWICE = "with a judge upstream counts closed hits twice, so its accuracy can exceed 1; here a judge is a metric apart"


def boxed(text: str) -> str:
    """Content of the last ``\\boxed{}`` with balanced braces; "None" without one."""
    _, found, rest = text.rpartition("\\boxed{")
    if not found:
        return NO_BOX
    depth = 1
    for at, char in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if not depth:
            return rest[:at].strip()
    return NO_BOX


def tagged(text: str) -> str:
    """Contents of all ``<answer></answer>``, joined by blanks; the whole text when they are empty or not closed."""
    parts, rest = [], text
    while "<answer>" in rest:
        inner, closed, rest = rest.partition("<answer>")[2].partition("</answer>")
        if closed:
            parts.append(inner)
    return " ".join(parts).strip() or text


def response(text: str, script: Script) -> str:
    """The part of an answer that is judged, lower case; it is not stripped after a marker was taken off."""
    if (inner := boxed(text)) != NO_BOX:
        text = inner
    elif "<answer>" in text:
        text = tagged(text)
    text = text.lower().strip() if script == "vqa-rad" else text.lower()
    if "boxed" in text:
        text = boxed(text)
    elif "<answer>" in text:
        text = tagged(text)
    for marker in MARKERS:
        if marker in text:
            text = text.rpartition(marker)[2]
    return text


def words(text: str) -> list[str]:
    """The words of its BLEU: a period is a word, and two blanks have an empty word between them."""
    return text.lower().replace(".", " .").split(" ")


def overlap(said: str, wanted: str) -> tuple[float, float, float]:
    """(F1, precision, recall) on sets of words, in upstream's order. TypeError as upstream on a side without words."""
    a, b = set(said.lower().split()), set(wanted.lower().split())
    if not a or not b:
        raise TypeError("cannot unpack non-iterable int object")
    shared = len(a & b)
    if not shared:
        return 0.0, 0.0, 0.0
    precision, recall = shared / len(a), shared / len(b)
    return 2 * (precision * recall) / (precision + recall), precision, recall


def open_scores(said: str, wanted: str) -> dict[str, float]:
    """All scores of an open answer. ValueError or TypeError where the original raises it."""
    tokens, expected = words(said), words(wanted)
    made = {"em": float(said == wanted)}
    made |= {f"bleu{n}": value for n, value in enumerate(sentence_bleus(tokens, expected, EVEN), 1)}
    made |= dict(zip(("rouge1", "rouge2", "rougel"), rouge(said, wanted), strict=True))
    f1, precision, recall = overlap(said, wanted)
    made |= {"precision": precision, "recall": recall, "f1": f1}
    return made | dict(zip(PRINTED, (f1, precision, recall), strict=True))


def closed_hit(said: str, wanted: str, *, yes_no: bool) -> tuple[bool, bool]:
    """(right, unparsed) of a closed answer whose line breaks and periods are gone."""
    if yes_no:
        readable = ("yes" in said) != ("no" in said)
        return readable and wanted in said, not readable
    return said == wanted, not said.strip()


def score(item: Item, *, script: Script) -> Scored:
    """One answer. The SLAKE script takes the file's answer type; that of VQA-RAD calls a yes/no reference closed."""
    reference = item.reference.value
    if script == "vqa-rad":
        reference = reference.lower().strip()
        kind = "closed" if reference in ("yes", "no") else "open"
    else:
        kind = answer_type(item)
    said, wanted = response(item.text, script), reference.lower()
    if kind == "closed":
        return _closed(item, said, wanted, yes_no=reference in ("yes", "no"))
    names: Sequence[str] = (*OPEN, *PRINTED)
    extra: dict[str, str] = {}
    scores: dict[str, float | None]
    if item.missing:
        scores = dict.fromkeys(names, 0.0)
    else:
        try:
            scores = {**open_scores(said, wanted)}
        except (ValueError, TypeError) as error:
            scores, extra = dict.fromkeys(names), {"raises": f"{type(error).__name__}: {error}"}
    return Scored(
        answer_type=kind,
        unparsed=not item.missing and not said.strip(),
        scores={**{f"open.{name}": value for name, value in scores.items()}, "all.accuracy": scores["em"]},
        prediction_norm=None if item.missing else said,
        reference_norm=wanted,
        extra=extra,
    )


def _closed(item: Item, said: str, wanted: str, *, yes_no: bool) -> Scored:
    said = said.replace("\n", "").replace(".", "")
    right, unparsed = closed_hit(said, wanted, yes_no=yes_no)
    hit = float(right and not item.missing)
    return Scored(
        answer_type="closed",
        unparsed=unparsed and not item.missing,
        scores={"closed.accuracy": hit, "all.accuracy": hit},
        prediction_norm=None if item.missing else said,
        reference_norm=wanted,
        extra={"rule": "yes-no" if yes_no else "other"},
    )
