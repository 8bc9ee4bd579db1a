"""Protocols of question answering."""

from collections.abc import Callable, Mapping
from functools import partial

from rrg.metrics import answers, llava_med, lmms_slake, medevalkit, radgrounder, sure_vqa
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


def _medevalkit(script: medevalkit.Script) -> tuple[Metric, ...]:
    closed = medevalkit.LOWER_CASE if script == "slake" else medevalkit.SUBSTRING
    printed = {"precision": "F1", "recall": "precision", "f1": "recall"}
    return (
        Metric("closed.accuracy", FRACTION, "yes/no as substrings, else equality", hit=True, note=closed),
        Metric("all.accuracy", FRACTION, "closed.accuracy and open.em together", hit=True, note=medevalkit.RAISES),
        Metric("open.em", FRACTION, "equality, lower case, blanks kept", hit=True, note=medevalkit.RAISES),
        *(Metric(f"open.bleu{n}", FRACTION, f"nltk sentence BLEU-{n}", note=llava_med.NOISE) for n in (1, 2, 3, 4)),
        *(
            Metric(f"open.rouge{n.lower()}", FRACTION, f"ROUGE-{n} F of rouge 1.0.1", note=medevalkit.RAISES)
            for n in ("1", "2", "L")
        ),
        *(Metric(f"open.{name}", FRACTION, "on sets of words, the true one") for name in printed),
        *(
            Metric(
                f"open.printed.{name}",
                FRACTION,
                f"what upstream prints as {name}",
                note=medevalkit.SWAPPED.format(name=name, is_=true),
            )
            for name, true in printed.items()
        ),
    )


_LMMS_SLAKE = (
    Metric("all.accuracy", FRACTION, "normalised equality", hit=True, note=lmms_slake.NO_GERMAN),
    Metric("open.accuracy", FRACTION, "normalised equality", hit=True, note=lmms_slake.BRACKETS),
    Metric("closed.accuracy", FRACTION, "normalised equality", hit=True, note=lmms_slake.NO_GERMAN),
)
_SURE_VQA = (
    Metric("closed.accuracy", FRACTION, "exactly one category, the reference's", hit=True, note=sure_vqa.UNDEFINED),
    Metric("open.recall", FRACTION, "token recall of LLaVA-Med", note=llava_med.PREDICTED_COUNTS),
    Metric("open.precision", FRACTION, "token precision"),
    Metric("open.f1", FRACTION, "of precision and recall", note=llava_med.PREDICTED_COUNTS),
    Metric("open.exact_match", FRACTION, "upstream's name", note=llava_med.NOT_EXACT),
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
_MEDEVALKIT = "alibaba-damo-academy/MedEvalKit at 9b12e3b"


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
    "medevalkit-slake": Protocol(
        metrics=_medevalkit("slake"),
        source=f"{_MEDEVALKIT}, utils/SLAKE/SLAKE.py; nltk, rouge 1.0.1",
        score=each(partial(medevalkit.score, script="slake")),
        options=_TAGS,
        signature=_norm("medevalkit-slake"),
        notes=(medevalkit.TWICE, "upstream scores all languages of SLAKE together"),
    ),
    "medevalkit-vqa-rad": Protocol(
        metrics=_medevalkit("vqa-rad"),
        source=f"{_MEDEVALKIT}, utils/VQA_RAD/VQA_RAD.py; nltk, rouge 1.0.1",
        score=each(partial(medevalkit.score, script="vqa-rad")),
        options=_TAGS,
        signature=_norm("medevalkit-vqa-rad"),
        notes=("closed is what has the reference yes or no, whatever the file's answer type says",),
    ),
    "lmms-slake": Protocol(
        metrics=_LMMS_SLAKE,
        source="EvolvingLMMs-Lab/lmms-eval at 75571cf, tasks/slake/utils.py",
        score=each(lmms_slake.score),
        options=_TAGS,
        signature=_norm("lmms-slake"),
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
    "sure-vqa": Protocol(
        metrics=_SURE_VQA,
        source="IML-DKFZ/sure-vqa at 417e886",
        score=each(sure_vqa.score),
        options=_TAGS,
        signature=_norm("llava-med"),
    ),
}
"""Protocol -> what it is; the first is the default."""
