"""Every task and protocol that works, with its metrics: the table that ``rrg score --protocols`` prints."""

from collections.abc import Mapping
from functools import partial

from rrg.metrics import answers, boxes, grounded, llava_med, radgrounder, reports
from rrg.metrics.table import Metric, Protocol, TextOptions, each
from rrg.metrics.text import NORM

FRACTION, SCORE100, COUNT = "fraction", "score100", "count"

_STRICT_ANSWERS = (
    Metric("closed.accuracy", FRACTION, "yes/no by the first word, options by whole words, else equality", hit=True),
    Metric("open.em", FRACTION, "normalised equality", hit=True),
    Metric("open.precision", FRACTION, "token multiset, articles dropped"),
    Metric("open.recall", FRACTION, "token multiset, articles dropped"),
    Metric("open.f1", FRACTION, "token multiset, articles dropped"),
    Metric("open.bleu1", FRACTION, "sacrebleu sentence BLEU of order 1, effective order, mean"),
    Metric("all.accuracy", FRACTION, "micro mean of closed.accuracy and open.em", hit=True),
)


def _llava_med(closed: Metric, *, contains: bool) -> tuple[Metric, ...]:
    return (
        closed,
        Metric("closed.recall", FRACTION, "token recall", note=llava_med.PREDICTED_COUNTS),
        Metric("open.recall", FRACTION, "token recall, upstream's headline", note=llava_med.PREDICTED_COUNTS),
        Metric("open.precision", FRACTION, "token precision"),
        Metric("open.f1", FRACTION, "of precision and recall", note=llava_med.PREDICTED_COUNTS),
        Metric("open.exact_match", FRACTION, "upstream's name", note=llava_med.NOT_EXACT),
        *(
            (Metric("open.contains", FRACTION, "upstream's open accuracy", hit=True, note=llava_med.SUBSTRING),)
            if contains
            else ()
        ),
        Metric("open.equal", FRACTION, "normalised equality, not upstream", hit=True),
        Metric("open.bleu", FRACTION, "nltk sentence_bleu, default weights", note=llava_med.NOISE),
        Metric("open.bleu_w1", FRACTION, "weights 1 0 0 0: order 1 alone"),
        Metric("open.bleu_w2", FRACTION, "weights 0 1 0 0: order 2 alone", note=llava_med.NOISE),
        Metric("open.bleu_w3", FRACTION, "weights 0 0 1 0: order 3 alone", note=llava_med.NOISE),
    )


_RADGROUNDER_ANSWERS = tuple(
    metric
    for prefix in ("open", "closed", "all")
    for metric in (
        Metric(f"{prefix}.accuracy", FRACTION, "equality of a-z, 0-9 and German umlauts", hit=True),
        Metric(f"{prefix}.recall", FRACTION, "SQuAD token recall"),
        Metric(f"{prefix}.f1", FRACTION, "SQuAD token F1 of the raw text"),
        Metric(f"{prefix}.cider", "score10", "pycocoevalcap, frequencies of this block", note=radgrounder.CEILING),
        Metric(f"{prefix}.rougel", FRACTION, "pycocoevalcap, mean", note=radgrounder.RAW_TEXT),
        Metric(f"{prefix}.bleu1", FRACTION, "pycocoevalcap corpus BLEU", note=radgrounder.RAW_TEXT),
        Metric(f"{prefix}.bleu4", FRACTION, "pycocoevalcap corpus BLEU", note=radgrounder.RAW_TEXT),
    )
)
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


def _refer(rule: str) -> tuple[Metric, ...]:
    return (
        Metric("iou", FRACTION, f"intersection over union, {rule}"),
        *(Metric(name, FRACTION, f"IoU >= {limit}", hit=True) for name, limit in boxes.THRESHOLDS.items()),
        Metric("center_acc", FRACTION, "centre of the prediction inside the reference", hit=True),
    )


_GROUNDED = (
    Metric("boxes.reference", COUNT, "phrases with a box in the references"),
    Metric("boxes.predicted", COUNT, "phrases with a box in the predictions"),
    Metric("boxes.matched", COUNT, "pairs of phrases"),
    Metric("boxes.hit50", COUNT, "pairs with IoU >= 0.5"),
    Metric("matched.precision", FRACTION, "matched / predicted"),
    Metric("matched.recall", FRACTION, "matched / reference"),
    Metric("matched.f1", FRACTION, "of the two"),
    Metric("at50.precision", FRACTION, "hit50 / predicted"),
    Metric("at50.recall", FRACTION, "hit50 / reference"),
    Metric("at50.f1", FRACTION, "of the two"),
    Metric("matched.iou", FRACTION, "mean over matched pairs"),
    Metric("grounding_iou", FRACTION, "per sample sum(IoU x similarity) / max(predicted, reference), mean"),
    Metric("tags.only_prediction", COUNT, "samples with boxes in the prediction only"),
    Metric("tags.only_reference", COUNT, "samples with boxes in the reference only"),
    Metric("tags.neither", COUNT, "samples without any box; grounding_iou leaves them out"),
)


def _norm(name: str) -> "Mapping[str, str]":
    return {"norm": name}


def _tags(options: TextOptions) -> dict[str, str]:
    return {"tags": "kept" if options.keep_tags else "removed"}


def _frame(options: TextOptions) -> dict[str, str]:
    return {"box": f"{options.box_format}-{options.box_unit}"}


_BOX_OPTIONS = frozenset({"box_format", "box_unit", "max_out_of_range"})
_LLAVA_MED = "microsoft/LLaVA-Med v1.0 at ad758b6"

PROTOCOLS: Mapping[str, Mapping[str, Protocol]] = {
    "vqa": {
        "strict": Protocol(
            metrics=_STRICT_ANSWERS,
            source="rrg",
            score=each(answers.score_strict),
            options=frozenset({"keep_tags"}),
            signature=lambda _options: _norm(NORM),
        ),
        "llava-med": Protocol(
            metrics=_llava_med(
                Metric("closed.accuracy", FRACTION, "substring", hit=True, note=llava_med.SUBSTRING), contains=True
            ),
            source=f"{_LLAVA_MED}, run_eval_batch.py",
            score=each(partial(llava_med.score, rule="substring")),
            options=frozenset({"keep_tags"}),
            signature=lambda _options: _norm("llava-med"),
        ),
        "llava-med-first": Protocol(
            metrics=_llava_med(
                Metric("closed.accuracy", FRACTION, "the first script's rule", hit=True, note=llava_med.DROPPED),
                contains=False,
            ),
            source=f"{_LLAVA_MED}, run_eval.py",
            score=each(partial(llava_med.score, rule="first")),
            options=frozenset({"keep_tags"}),
            signature=lambda _options: _norm("llava-med"),
        ),
        "medplib": Protocol(
            metrics=_llava_med(Metric("closed.accuracy", FRACTION, "normalised equality", hit=True), contains=False),
            source="ShawnHuang497/MedPLIB at 5ab54bc, model/eval/cal_metric.py",
            score=each(partial(llava_med.score, rule="equal")),
            options=frozenset({"keep_tags"}),
            signature=lambda _options: _norm("llava-med"),
        ),
        "radgrounder": Protocol(
            metrics=_RADGROUNDER_ANSWERS,
            source="lmb-freiburg/radgrounder at a8f332b, lmb-freiburg/ovqa at 52d6a5c, pycocoevalcap 1.2",
            score=each(radgrounder.score),
            block=radgrounder.block,
            options=frozenset({"keep_tags"}),
            signature=lambda _options: _norm("radgrounder"),
            notes=(
                "CIDEr takes its document frequencies from the references of each block; intervals keep them",
                "upstream scores English items only: --where lang=en",
            ),
        ),
    },
    "report": {
        "strict": Protocol(
            metrics=(*_SACREBLEU, *_ROUGE),
            source="sacrebleu 2.6.0; rouge-score 0.1.2 with Unicode words",
            score=reports.score_strict,
            block=reports.block,
            options=frozenset({"keep_tags"}),
            signature=lambda options: {**_tags(options), "rouge": "unicode", "empty": "kept"},
        ),
        "sacrebleu": Protocol(
            metrics=_SACREBLEU,
            source="sacrebleu 2.6.0",
            score=reports.score_sacrebleu,
            block=reports.block,
            options=frozenset({"keep_tags", "tokenize", "lowercase"}),
            signature=lambda options: {**_tags(options), "empty": "kept"},
        ),
        "rouge-score": Protocol(
            metrics=_ROUGE,
            source="rouge-score 0.1.2",
            score=reports.score_rouge,
            options=frozenset({"keep_tags", "rouge_tokenizer"}),
            signature=lambda options: {**_tags(options), "rouge": options.rouge_tokenizer, "empty": "kept"},
        ),
    },
    "refer": {
        "strict": Protocol(
            metrics=_refer("clipped boxes, thresholds with a slack of 1e-9"),
            source="rrg",
            score=boxes.score_strict,
            options=_BOX_OPTIONS,
            signature=_frame,
        ),
        "refcoco": Protocol(
            metrics=_refer("corners as given, plain thresholds"),
            source="EvolvingLMMs-Lab/lmms-eval at 75571cf, tasks/refcoco/utils_rec.py",
            score=boxes.score_refcoco,
            options=_BOX_OPTIONS,
            signature=_frame,
        ),
    },
    "grounded-text": {
        "strict": Protocol(
            metrics=_GROUNDED,
            source="rrg",
            score=grounded.score,
            block=grounded.block,
            options=frozenset({"syntax", "match"}),
            signature=lambda options: {"match": "exact" if options.match == "exact" else "file"},
        ),
    },
}
"""Task -> protocol -> what it is. The first protocol of a task is its default."""
