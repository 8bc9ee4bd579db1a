"""Protocols of question answering."""

from collections.abc import Callable, Mapping
from functools import partial

from rrg.metrics import answers, llava_med, radgrounder
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import FRACTION, Metric, Protocol, each
from rrg.metrics.text import NORM

_STRICT = (
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


_RADGROUNDER = tuple(
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
_TAGS = frozenset({"keep_tags"})
_UPSTREAM = "microsoft/LLaVA-Med v1.0 at ad758b6"


def _norm(name: str) -> Callable[[TaskOptions], Mapping[str, str]]:
    return lambda _options: {"norm": name}


PROTOCOLS: Mapping[str, Protocol] = {
    "strict": Protocol(
        metrics=_STRICT,
        source="rrg",
        score=each(answers.score_strict),
        options=_TAGS,
        signature=_norm(NORM),
    ),
    "llava-med": Protocol(
        metrics=_llava_med(
            Metric("closed.accuracy", FRACTION, "substring", hit=True, note=llava_med.SUBSTRING), contains=True
        ),
        source=f"{_UPSTREAM}, run_eval_batch.py",
        score=each(partial(llava_med.score, rule="substring")),
        options=_TAGS,
        signature=_norm("llava-med"),
    ),
    "llava-med-first": Protocol(
        metrics=_llava_med(
            Metric("closed.accuracy", FRACTION, "the first script's rule", hit=True, note=llava_med.DROPPED),
            contains=False,
        ),
        source=f"{_UPSTREAM}, run_eval.py",
        score=each(partial(llava_med.score, rule="first")),
        options=_TAGS,
        signature=_norm("llava-med"),
    ),
    "medplib": Protocol(
        metrics=_llava_med(Metric("closed.accuracy", FRACTION, "normalised equality", hit=True), contains=False),
        source="ShawnHuang497/MedPLIB at 5ab54bc, model/eval/cal_metric.py",
        score=each(partial(llava_med.score, rule="equal")),
        options=_TAGS,
        signature=_norm("llava-med"),
    ),
    "radgrounder": Protocol(
        metrics=_RADGROUNDER,
        source="lmb-freiburg/radgrounder at a8f332b, lmb-freiburg/ovqa at 52d6a5c, pycocoevalcap 1.2",
        score=each(radgrounder.score),
        block=radgrounder.block,
        options=_TAGS,
        signature=_norm("radgrounder"),
        notes=(
            "CIDEr takes its document frequencies from the references of each block; intervals keep them",
            "upstream scores English items only: --where lang=en",
        ),
    ),
}
"""Protocol -> what it is; the first is the default."""
