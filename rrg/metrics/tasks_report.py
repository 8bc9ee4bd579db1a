"""Protocols of whole reports."""

from collections.abc import Mapping

from rrg.metrics import reports
from rrg.metrics.table import FRACTION, SCORE100, Metric, Protocol, tags

_SACREBLEU = (
    *(Metric(f"bleu{n}", SCORE100, f"corpus BLEU, orders 1..{n}") for n in (1, 2, 3, 4)),
    Metric("bleu4.sentence_mean", SCORE100, "mean of sentence BLEU-4, effective order: not corpus BLEU"),
    Metric("chrf2", SCORE100, "corpus chrF, characters 1..6, beta 2"),
    Metric("chrf2++", SCORE100, "chrF with words 1..2"),
    Metric("ter", SCORE100, "translation edit rate, lower is better"),
)
_ROUGE = tuple(
    Metric(f"{name}.f", FRACTION, f"{text} F, mean over reports")
    for name, text in (("rouge1", "ROUGE-1"), ("rouge2", "ROUGE-2"), ("rougel", "ROUGE-L"))
)

PROTOCOLS: Mapping[str, Protocol] = {
    "strict": Protocol(
        metrics=(*_SACREBLEU, *_ROUGE),
        source="sacrebleu 2.6.0; rouge-score 0.1.2 with Unicode words",
        score=reports.score_strict,
        block=reports.block,
        options=frozenset({"keep_tags"}),
        signature=lambda options: {**tags(options), "rouge": "unicode", "empty": "kept"},
    ),
    "sacrebleu": Protocol(
        metrics=_SACREBLEU,
        source="sacrebleu 2.6.0",
        score=reports.score_sacrebleu,
        block=reports.block,
        options=frozenset({"keep_tags", "tokenize", "lowercase"}),
        signature=lambda options: {**tags(options), "empty": "kept"},
    ),
    "rouge-score": Protocol(
        metrics=_ROUGE,
        source="rouge-score 0.1.2",
        score=reports.score_rouge,
        options=frozenset({"keep_tags", "rouge_tokenizer"}),
        signature=lambda options: {**tags(options), "rouge": options.rouge_tokenizer, "empty": "kept"},
    ),
}
"""Protocol -> what it is; the first is the default."""
