"""Reports by sacrebleu and rouge-score, called as they are; their sufficient statistics are what intervals draw."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rrg.formats.items import Item
from rrg.metrics.bootstrap import Array
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Block, Scored, Sums
from rrg.metrics.tags import strip_tags

ROUGE = {"rouge1.f": "rouge1", "rouge2.f": "rouge2", "rougel.f": "rougeL"}
ORDERS = 4
CHRF_BETA = 2.0
_UNICODE_WORD = re.compile(r"\w+")


class UnicodeTokenizer:
    """Lower-case runs of ``\\w``: German words stay whole, which rouge-score's own tokenizer cuts at umlauts."""

    def tokenize(self, text: str) -> list[str]:
        """Words of a text."""
        return _UNICODE_WORD.findall(text.lower())


def sides(items: Iterable[Item], options: TaskOptions) -> tuple[list[str], list[str]]:
    """(predictions, references) as they are compared; a missing prediction is the empty text."""
    bare: Callable[[str], str] = str if options.keep_tags else strip_tags
    pairs = [(bare(item.text), bare(item.reference.value)) for item in items]
    return [said for said, _ in pairs], [wanted for _, wanted in pairs]


def rouge(items: Sequence[Item], options: TaskOptions, tokenizer: str) -> list[dict[str, float]]:
    """ROUGE-1, 2, L F of each report by rouge-score, the reference first. `tokenizer`: default, stem, unicode."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(
        list(ROUGE.values()),
        use_stemmer=tokenizer == "stem",
        tokenizer=UnicodeTokenizer() if tokenizer == "unicode" else None,
    )
    made = []
    for said, wanted in zip(*sides(items, options), strict=True):
        found = scorer.score(wanted, said)
        made.append({name: float(found[theirs].fmeasure) for name, theirs in ROUGE.items()})
    return made


def sentence_bleu(items: Sequence[Item], options: TaskOptions) -> list[float]:
    """Sentence BLEU-4 with effective order of each report, 0..100."""
    metric = bleu(options, ORDERS, effective=True)
    return [
        float(metric.sentence_score(said, [wanted]).score) for said, wanted in zip(*sides(items, options), strict=True)
    ]


def bleu(options: TaskOptions, order: int, *, effective: bool = False) -> Any:
    """A sacrebleu BLEU with the options of the command."""
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(
        tokenize=options.tokenize,
        lowercase=options.lowercase,
        max_ngram_order=order,
        effective_order=effective,
        force=True,  # only silences its remark on tokenised text
    )


def score_sacrebleu(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """Sentence BLEU of each report."""
    return _scored(items, [{"bleu4.sentence_mean": value} for value in sentence_bleu(items, options)])


def score_rouge(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """ROUGE of each report with the tokenizer of the command."""
    return _scored(items, rouge(items, options, options.rouge_tokenizer))


def score_strict(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """Sentence BLEU, and ROUGE with the Unicode tokenizer."""
    both = zip(sentence_bleu(items, options), rouge(items, options, "unicode"), strict=True)
    return _scored(items, [{"bleu4.sentence_mean": value, **rest} for value, rest in both])


def _scored(items: Sequence[Item], scores: Iterable[dict[str, float]]) -> list[Scored]:
    return [
        Scored(unparsed=not item.missing and not item.text.strip(), scores=values)
        for item, values in zip(items, scores, strict=True)
    ]


def block(items: Sequence[Item], options: TaskOptions) -> Block:
    """Corpus BLEU-1..4, chrF2, chrF2++ and TER of a set of reports, 0..100."""
    if not items:
        return Block()
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    predictions, references = sides(items, options)
    made = {}
    for order in range(1, ORDERS + 1):
        made[f"bleu{order}"] = _sums(bleu(options, order), predictions, references, _bleu_of(order))
    for name, words in (("chrf2", 0), ("chrf2++", 2)):
        metric = CHRF(word_order=words, lowercase=options.lowercase)
        made[name] = _sums(metric, predictions, references, chrf_from_sums)
    made["ter"] = _sums(TER(), predictions, references, ter_from_sums)
    mean = bleu(options, ORDERS, effective=True)
    mean.sentence_score("", [""])  # a signature knows its number of references only after a score
    return Block(sums=made, signatures={"bleu4.sentence_mean": str(mean.get_signature().format(short=False))})


def _sums(metric: Any, predictions: list[str], references: list[str], value: Callable[[Array], Array]) -> Sums:
    # the two private steps of sacrebleu's corpus_score; tests hold them against corpus_score itself
    stats = metric._extract_corpus_statistics(predictions, [references])
    exact = float(metric._aggregate_and_compute(stats).score)
    signature = metric.get_signature().format(short=False)
    return Sums(stats=np.array(stats, float), value=value, exact=exact, signature=str(signature))


def _bleu_of(order: int) -> Callable[[Array], Array]:
    return lambda sums: bleu_from_sums(sums, order)


def bleu_from_sums(sums: Array, order: int) -> Array:
    """BLEU, 0..100, of (draws, 2 + 2 order) sums (said, wanted, matches, totals), smoothed "exp" as in sacrebleu."""
    said, wanted = sums[:, 0], sums[:, 1]
    matches, totals = sums[:, 2 : 2 + order], sums[:, 2 + order :]
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.where(said < wanted, np.where(said > 0, np.exp(1 - wanted / np.maximum(said, 1e-300)), 0.0), 1.0)
        halved = 2.0 ** np.cumsum(matches == 0, axis=1)
        precision = np.where(matches > 0, 100 * matches / totals, 100 / (halved * totals))
        logs = np.log(np.where(totals > 0, precision, 0.0)).sum(axis=1) / order
    return np.where(matches.any(axis=1), penalty * np.exp(logs), 0.0)


def chrf_from_sums(sums: Array) -> Array:
    """chrF with beta 2, 0..100, of (draws, 3 orders) sums (said, wanted, matches of each order), effective order."""
    said, wanted, matches = sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]
    there = (said > 0) & (wanted > 0)
    orders = np.maximum(there.sum(axis=1), 1)
    precision = (np.where(there, matches, 0) / np.maximum(said, 1)).sum(axis=1) / orders
    recall = (np.where(there, matches, 0) / np.maximum(wanted, 1)).sum(axis=1) / orders
    below = CHRF_BETA**2 * precision + recall
    return np.where(below > 0, 100 * (1 + CHRF_BETA**2) * precision * recall / np.where(below > 0, below, 1), 0.0)


def ter_from_sums(sums: Array) -> Array:
    """TER, 0..100 and above, of (draws, 2) sums (edits, words wanted)."""
    edits, wanted = sums[:, 0], sums[:, 1]
    return 100 * np.where(wanted > 0, edits / np.where(wanted > 0, wanted, 1), (edits > 0).astype(float))
