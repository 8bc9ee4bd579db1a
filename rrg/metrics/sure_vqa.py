"""Answers as SURE-VQA scores them: IML-DKFZ/sure-vqa 417e886. Open as LLaVA-Med, closed by the sample's categories."""

import re
from collections.abc import Sequence

from rrg.formats.items import Item
from rrg.metrics import llava_med
from rrg.metrics.answers import answer_type
from rrg.metrics.table import Scored

YES_NO = ("yes", "no")
UNDEFINED = "a reference in which other than one of the sample's categories is found is left out"


def categories(item: Item) -> tuple[str, ...]:
    """The sample's category list; yes and no when the file has none and the reference is one of them."""
    if item.reference.choices:
        return item.reference.choices
    return YES_NO if item.reference.value.strip().lower() in YES_NO else ()


def found(text: str, names: Sequence[str]) -> frozenset[str]:
    """Categories that a text has as whole words, case ignored; one inside another counts too."""
    return frozenset(
        name.lower()
        for name in names
        if name.strip() and re.search(rf"\b(?:{re.escape(name)})\b(?:\s|$|,|.)", text, re.IGNORECASE)
    )


def score(item: Item) -> Scored:
    """One answer. A closed reference that is not exactly one category is undefined."""
    if answer_type(item) == "open":
        return _open(item)
    names = categories(item)
    wanted, said = found(item.reference.value, names), found(item.text, names)
    hit = float(said == wanted and not item.missing) if len(wanted) == 1 else None
    return Scored(
        answer_type="closed",
        unparsed=len(said) != 1 and not item.missing,
        scores={"closed.accuracy": hit},
        prediction_norm=None if item.missing else " | ".join(sorted(said)),
        reference_norm=" | ".join(sorted(wanted)),
    )


def _open(item: Item) -> Scored:
    prediction = llava_med.normalise(item.text.lower())
    reference = llava_med.normalise(item.reference.value.lower())
    said, wanted = llava_med.normalise(prediction), llava_med.normalise(reference)  # once more, as LLaVA-Med
    precision, recall, f1 = llava_med.overlap(said, wanted)
    exact = llava_med.exact_match(said, wanted)
    return Scored(
        answer_type="open",
        unparsed=not item.missing and not item.text.strip(),
        scores={"open.recall": recall, "open.precision": precision, "open.f1": f1, "open.exact_match": exact},
        prediction_norm=None if item.missing else prediction,
        reference_norm=reference,
    )
