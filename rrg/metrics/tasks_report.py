"""Protocols of whole reports."""

from collections.abc import Mapping

from rrg.metrics import bleu_nltk, coco, green, reports
from rrg.metrics.llava_med import NOISE
from rrg.metrics.table import FRACTION, SCORE100, Metric, Protocol, tags

_ORDERS = (1, 2, 3, 4)
_KEPT = {"deid": "kept", "empty": "kept"}
"""Marks of de-identification (``___``, XXXX) and empty references are scored as they are."""
_SACREBLEU = (
    *(Metric(f"bleu{n}", SCORE100, f"corpus BLEU, orders 1..{n}") for n in _ORDERS),
    Metric("bleu4.sentence_mean", SCORE100, "mean of sentence BLEU-4, effective order: not corpus BLEU"),
    Metric("chrf2", SCORE100, "corpus chrF, characters 1..6, beta 2"),
    Metric("chrf2++", SCORE100, "chrF with words 1..2"),
    Metric("ter", SCORE100, "translation edit rate, lower is better"),
)
_ROUGE = tuple(
    Metric(f"{name}.f", FRACTION, f"{text} F, mean over reports")
    for name, text in (("rouge1", "ROUGE-1"), ("rouge2", "ROUGE-2"), ("rougel", "ROUGE-L"))
)
_COCO = (
    *(Metric(name, FRACTION, f"corpus BLEU-{n} of pycocoevalcap") for n, name in enumerate(coco.BLEUS, 1)),
    Metric("cider", "score10", "n-grams 1..4, sigma 6", note=coco.SUBSET),
    Metric("rougel", FRACTION, "longest common subsequence, beta 1.2, mean over reports"),
    Metric("meteor", FRACTION, "METEOR 1.5, English; needs Java", note=coco.ENGLISH),
)
_NLTK = (
    *(Metric(f"bleu{n}", FRACTION, f"corpus BLEU-{n}, uniform weights") for n in _ORDERS),
    *(Metric(f"bleu{n}.method1", FRACTION, f"corpus BLEU-{n}, smoothing 1") for n in _ORDERS),
    *(
        Metric(f"bleu{n}.sentence_mean", FRACTION, f"mean of sentence BLEU-{n}, no smoothing", note=NOISE)
        for n in _ORDERS
    ),
)

PROTOCOLS: Mapping[str, Protocol] = {
    "strict": Protocol(
        metrics=(*_SACREBLEU, *_ROUGE),
        source="sacrebleu 2.6.0; rouge-score 0.1.2 with Unicode words",
        score=reports.score_strict,
        block=reports.block,
        options=frozenset({"keep_tags"}),
        signature=lambda options: {**tags(options), "rouge": "unicode", **_KEPT},
    ),
    "sacrebleu": Protocol(
        metrics=_SACREBLEU,
        source="sacrebleu 2.6.0",
        score=reports.score_sacrebleu,
        block=reports.block,
        options=frozenset({"keep_tags", "tokenize", "lowercase"}),
        signature=lambda options: {**tags(options), **_KEPT},
    ),
    "rouge-score": Protocol(
        metrics=_ROUGE,
        source="rouge-score 0.1.2",
        score=reports.score_rouge,
        options=frozenset({"keep_tags", "rouge_tokenizer"}),
        signature=lambda options: {**tags(options), "rouge": options.rouge_tokenizer, **_KEPT},
    ),
    "coco": Protocol(
        metrics=_COCO,
        source="pycocoevalcap 1.2",
        score=coco.score,
        block=coco.block,
        options=frozenset({"keep_tags", "coco_tokenizer"}),
        signature=lambda options: {**tags(options), "tok": options.coco_tokenizer, **_KEPT},
    ),
    "nltk": Protocol(
        metrics=_NLTK,
        source="nltk 3.9.1",
        score=bleu_nltk.score,
        block=bleu_nltk.block,
        options=frozenset({"keep_tags"}),
        signature=lambda options: {**tags(options), "tok": "simple", **_KEPT},
    ),
    "green-counts": Protocol(
        metrics=(Metric("green", FRACTION, "matched / (matched + significant errors), mean", note=green.NORMAL),),
        source="counts of a judge, from a file",
        score=green.score,
        rows="green-counts",
        signature=lambda _options: {"judge": "file"},
    ),
}
"""Protocol -> what it is; the first is the default."""
