"""Reports by the caption metrics of pycocoevalcap 1.2: BLEU-1..4, CIDEr, ROUGE-L, METEOR."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rrg.formats.items import Item
from rrg.metrics import captions, coco_java
from rrg.metrics.options import TaskOptions
from rrg.metrics.radgrounder import bleu_of
from rrg.metrics.reports import sides
from rrg.metrics.table import Block, Drawn, Scored, Sums

BLEUS = tuple(f"bleu{n}" for n in range(1, captions.ORDERS + 1))
NAMES = (*BLEUS, "cider", "rougel", "meteor")
SUBSET = "document frequencies are those of the scored references: another subset, another value; intervals keep them"
ENGLISH = "METEOR 1.5 of summed statistics with English paraphrases; no interval"


def prepared(items: Sequence[Item], options: TaskOptions) -> tuple[list[str], list[str]] | None:
    """(predictions, references) as they are compared; None when their tokenizer can not run here."""
    predictions, references = sides(items, options)
    if options.coco_tokenizer == "raw":
        return predictions, references
    if options.coco_tokenizer == "simple":
        return [captions.simple(text) for text in predictions], [captions.simple(text) for text in references]
    if coco_java.absent(coco_java.PTB):
        return None
    both = coco_java.ptb([*predictions, *references])
    return both[: len(items)], both[len(items) :]


def score(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """ROUGE-L of each report."""
    texts = prepared(items, options)
    flags = [not item.text.strip() and not item.missing for item in items]
    if texts is None:
        return [Scored(scores={}, unparsed=flag) for flag in flags]
    return [
        Scored(scores={"rougel": 0.0 if item.missing else captions.rouge_l(said, wanted)}, unparsed=flag)
        for item, said, wanted, flag in zip(items, *texts, flags, strict=True)
    ]


def block(items: Sequence[Item], options: TaskOptions) -> Block:
    """Corpus BLEU, CIDEr of each report, METEOR of the set."""
    texts = prepared(items, options)
    if texts is None:
        return Block(skipped=dict.fromkeys(NAMES, coco_java.absent(coco_java.PTB) or ""))
    predictions, references = texts
    both = captions.captions(predictions, references)
    stats = captions.bleu_stats(both)
    sums = {name: Sums(stats=stats, value=bleu_of(n)) for n, name in enumerate(BLEUS, 1)}
    means = {"cider": captions.cider(both)}
    if problem := coco_java.absent(coco_java.METEOR):
        return Block(means=means, sums=sums, skipped={"meteor": problem})
    return Block(means=means, sums=sums, drawn={"meteor": _meteor(predictions, references)})


def _meteor(predictions: Sequence[str], references: Sequence[str]) -> Drawn:
    def value(members: NDArray[np.int64]) -> float:
        return coco_java.meteor().score([predictions[n] for n in members], [references[n] for n in members])

    counted = np.ones(len(predictions), bool)
    return Drawn(value=value, counted=counted, draws=lambda _samples, _seed, _clusters: np.empty(0))
