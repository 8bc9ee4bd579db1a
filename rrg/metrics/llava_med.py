"""Answers as LLaVA-Med scores them: eval_metrics of microsoft/LLaVA-Med v1.0 (ad758b6), MedPLIB's copy (5ab54bc).

Written from the behaviour of those programs, their faults included; each fault is in the note of its metric.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from rrg.formats.items import Item
from rrg.metrics import ngrams
from rrg.metrics.answers import answer_type
from rrg.metrics.table import Scored

_MARK = re.compile(r"[;/\[\]\"{}()=+\\_\-><@`,?!]")
_DIGIT_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
PERIODS_REMOVED = 32
"""re.UNICODE is 32 and went into the count argument of the original."""
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten"
_DIGITS = {"none": "0"} | {word: str(n) for n, word in enumerate(_NUMBER_WORDS.split())}
_ARTICLES = frozenset({"a", "an", "the"})
_SPELLED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd "
    "he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've "
    "needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've "
    "somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll "
    "that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've "
    "weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've "
    "why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're "
    "you've"
)
_CONTRACTIONS = {"somebody'd": "somebodyd"} | {
    word[:at] + word[at + 1 :]: word for word in _SPELLED.split() for at, char in enumerate(word) if char == "'"
}
"""A word that lacks one of its apostrophes gets it back, as in the public VQA evaluation code (whose slip on
"somebody'd" is kept)."""

BLEUS = {
    "open.bleu": (0.25, 0.25, 0.25, 0.25),
    "open.bleu_w1": (1, 0, 0, 0),
    "open.bleu_w2": (0, 1, 0, 0),
    "open.bleu_w3": (0, 0, 1, 0),
}
"""Metric -> weights of the orders 1 to 4."""
EVEN = tuple((1 / n,) * n for n in range(1, ngrams.ORDERS + 1))
"""Weights of BLEU-1 to BLEU-4."""
NOTHING = math.log(sys.float_info.min)

SUBSTRING = "the reference need only be a substring: 'no' is right inside 'normal', and 'yes and no' is always right"
NOT_EXACT = "upstream's 'exact match' is a precision: distinct reference words found / words predicted"
PREDICTED_COUNTS = "true positives are counted in the prediction, so repeated words change recall"
NOISE = "nltk without smoothing: short answers score about 1e-155 or 1e-231 instead of 0"
DROPPED = "an answer with yes or no in it is right or not counted at all: wrong ones leave the denominator"


@lru_cache(maxsize=1 << 17)
def normalise(text: str) -> str:
    """The comparison form of LLaVA-Med. "2,3 cm" becomes "23 cm", "none" becomes "0", "a" becomes "" (faults kept)."""
    out = text
    if marks := set(_MARK.findall(text)):
        with_digits = _DIGIT_COMMA.search(text) is not None
        for mark in marks:
            out = out.replace(mark, "" if with_digits or f"{mark} " in text or f" {mark}" in text else " ")
    out = _PERIOD.sub("", out, count=PERIODS_REMOVED)
    words = [_DIGITS.get(word, word) for word in out.lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES).replace(",", "")


def overlap(prediction: str, reference: str) -> tuple[float, float, float]:
    """Precision, recall, F1 of normalised texts, with the prediction's counts as true positives."""
    said, wanted = Counter(prediction.split()), Counter(reference.split())
    right = sum(count for word, count in said.items() if word in wanted)
    lacking = sum(count for word, count in wanted.items() if word not in said)
    if not right:
        return 0.0, 0.0, 0.0
    precision, recall = right / said.total(), right / (right + lacking)
    return precision, recall, 2 * precision * recall / (precision + recall)


def exact_match(prediction: str, reference: str) -> float:
    """What upstream calls exact match."""
    said, wanted = prediction.split(), set(reference.split())
    return len(wanted & set(said)) / len(said) if said else 0.0


def sentence_bleus(said: Sequence[str], wanted: Sequence[str], weights: Iterable[Sequence[float]]) -> list[float]:
    """nltk's ``sentence_bleu`` without smoothing, for each set of weights of the orders 1, 2, ..

    An order without a match counts as the smallest positive float; without any match all is 0.
    """
    found = ngrams.matches(said, wanted)
    if not found[0]:
        return [0.0 for _ in weights]
    penalty = 1.0 if len(said) > len(wanted) else math.exp(1 - len(wanted) / len(said))
    logs = [math.log(match / (len(said) - n)) if match else NOTHING for n, match in enumerate(found)]
    return [
        penalty * math.exp(math.fsum(weight * log for weight, log in zip(each, logs, strict=False))) for each in weights
    ]


def score(item: Item, *, rule: Literal["substring", "first", "equal"]) -> Scored:
    """One answer. `rule` is how a closed one is judged: by the batch script, by the first script, by MedPLIB."""
    kind = answer_type(item)
    prediction = normalise(item.text.lower())
    reference = normalise(item.reference.value.lower())
    said, wanted = normalise(prediction), normalise(reference)  # its word counts normalise once more
    precision, recall, f1 = overlap(said, wanted)
    extra: dict[str, str] = {}
    scores: dict[str, float | None]
    if kind == "closed":
        hit: float | None
        if rule == "equal":
            hit = float(prediction == reference)
        elif rule == "substring":
            hit = float(reference in prediction)
        else:
            extra["rule"] = "yes-no" if "yes" in prediction or "no" in prediction else "other"
            hit = 0.0 if extra["rule"] == "other" else 1.0 if reference in prediction else None
        scores = {"closed.accuracy": 0.0 if item.missing else hit, "closed.recall": recall}
    else:
        scores = {
            "open.recall": recall,
            "open.precision": precision,
            "open.f1": f1,
            "open.exact_match": exact_match(said, wanted),
            "open.contains": float(reference in prediction and not item.missing),
            "open.equal": float(reference == prediction and not item.missing),
            **dict(zip(BLEUS, sentence_bleus(prediction.split(), reference.split(), BLEUS.values()), strict=True)),
        }
        if rule != "substring":
            del scores["open.contains"]
    return Scored(
        answer_type=kind,
        unparsed=not item.missing and not item.text.strip(),
        scores=scores,
        prediction_norm=None if item.missing else prediction,
        reference_norm=reference,
        extra=extra,
    )
