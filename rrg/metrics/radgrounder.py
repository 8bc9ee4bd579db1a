"""Answers as RadGrounder scores them: lmb-freiburg/radgrounder a8f332b with lmb-freiburg/ovqa 52d6a5c."""

import re
import string
from collections.abc import Callable, Sequence

import numpy as np

from rrg.formats.items import Item
from rrg.metrics import captions, ngrams
from rrg.metrics.answers import answer_type
from rrg.metrics.bootstrap import Array
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Block, Scored, Sums

CEILING = "at most 2.5 for one-word answers (one of four orders), 0 when all references are equal or there is one item"
RAW_TEXT = "raw, case-sensitive, split at blanks: 'x-ray' against 'X-Ray' is 0"
_OTHER = re.compile(r"[^a-zA-Z0-9äöüÄÖÜß ]+")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def simple(text: str) -> str:
    """Letters, digits and German umlauts, lower case, single blanks."""
    return " ".join(_OTHER.sub(" ", text).lower().split())


def squad_tokens(text: str) -> list[str]:
    """SQuAD's words: lower case, ASCII punctuation deleted, English articles dropped."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def recall(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Shared words / words of the reference; an empty reference wants an empty answer."""
    if not wanted:
        return float(not said)
    return ngrams.shared(said, wanted) / len(wanted)


def f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    """SQuAD token F1."""
    if not said or not wanted:
        return float(said == wanted)
    shared = ngrams.shared(said, wanted)
    return 2 * shared / (len(said) + len(wanted)) if shared else 0.0


def score(item: Item) -> Scored:
    """Accuracy, recall, F1 and ROUGE-L of one answer, for its own type and for all."""
    kind = answer_type(item)
    prediction, reference = simple(item.text), simple(item.reference.value)
    said, wanted = squad_tokens(item.text), squad_tokens(item.reference.value)
    values = {
        "accuracy": float(prediction == reference),
        "recall": recall(said, wanted),
        "f1": f1(said, wanted),
        "rougel": captions.rouge_l(item.text, item.reference.value),
    }
    if item.missing:
        values = dict.fromkeys(values, 0.0)
    return Scored(
        answer_type=kind,
        unparsed=not item.missing and not item.text.strip(),
        scores={f"{prefix}.{name}": value for prefix in (kind, "all") for name, value in values.items()},
        prediction_norm=None if item.missing else prediction,
        reference_norm=reference,
    )


def block(items: Sequence[Item], _options: TaskOptions) -> Block:
    """CIDEr and corpus BLEU of open, closed and all items, each with its own document frequencies."""
    kinds = np.array([answer_type(item) for item in items])
    texts = captions.captions([item.text for item in items], [item.reference.value for item in items])
    stats = captions.bleu_stats(texts)
    means: dict[str, Array] = {}
    sums: dict[str, Sums] = {}
    for prefix in ("open", "closed", "all"):
        chosen = kinds == prefix if prefix != "all" else np.ones(len(items), bool)
        means[f"{prefix}.cider"] = captions.cider(texts, chosen)
        for order in (1, 4):
            sums[f"{prefix}.bleu{order}"] = Sums(stats=stats, value=bleu_of(order), counted=chosen)
    return Block(means=means, sums=sums)


def bleu_of(order: int) -> Callable[[Array], Array]:
    """Corpus BLEU of an order as a function of sums."""
    return lambda sums: captions.bleu_from_sums(sums, order)
