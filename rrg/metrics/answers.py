"""Question answering, protocol strict: the default, documented rule for each answer."""

import math
import re
from collections.abc import Sequence

from rrg.formats.items import AnswerType, Item
from rrg.metrics import ngrams
from rrg.metrics import text as t
from rrg.metrics.table import Scored

_OR = re.compile(r"\s(?:or|oder|vs\.?|versus)\s")
_CLAUSE = re.compile(r"[,:;?]")
_FUNCTION = (
    "is are was were does do did has have can in on of at to from with by this that these those it there "
    "ist sind war waren hat haben kann im auf von am zu aus mit dieser diese dieses diesem es"
)
_FUNCTION_WORDS = frozenset(_FUNCTION.split())
_QUESTION = "which what where who how in welche welcher welches was wo wie"
_QUESTION_WORDS = frozenset(_QUESTION.split())


def answer_type(item: Item) -> AnswerType:
    """The file's answer type; without one a yes/no reference is closed and any other open."""
    if item.reference.answer_type is not None:
        return item.reference.answer_type
    return "closed" if t.normalise(item.reference.value) in t.YES | t.NO else "open"


def score_strict(item: Item) -> Scored:
    """Scores of one answer. Missing and empty answers score 0 wherever the reference is not empty itself."""
    kind = answer_type(item)
    lang = item.reference.lang
    prediction, reference = t.normalise(item.text, lang), t.normalise(item.reference.value, lang)
    empty = not item.text.strip() and bool(item.reference.value.strip())
    if kind == "closed":
        right, unparsed, rule = closed(item, prediction, reference)
        hit = float(right and not item.missing)
        scores: dict[str, float | None] = {"closed.accuracy": hit, "all.accuracy": hit}
        extra = {"rule": rule}
    else:
        unparsed, extra = empty, {}
        if item.missing or empty:
            em = precision = recall = f1 = bleu = 0.0
        else:
            words, wanted = t.tokens(prediction), t.tokens(reference)
            em = float(prediction == reference)
            precision, recall, f1 = t.overlap(words, wanted)
            bleu = bleu1(words, wanted)
        scores = {
            "open.em": em,
            "open.precision": precision,
            "open.recall": recall,
            "open.f1": f1,
            "open.bleu1": bleu,
            "all.accuracy": em,
        }
    return Scored(
        answer_type=kind,
        unparsed=unparsed and not item.missing,
        scores=scores,
        prediction_norm=None if item.missing else prediction,
        reference_norm=reference,
        extra=extra,
    )


def closed(item: Item, prediction: str, reference: str) -> tuple[bool, bool, str]:
    """(right, unparsed, the rule that was used: yes-no or other) of a closed answer."""
    if reference in t.YES or reference in t.NO:
        said = t.yes_or_no(item.text)
        return said is (reference in t.YES), said is None, "yes-no"
    if options := options_of(item, reference):
        wanted, found = mentioned(reference, options), mentioned(prediction, options)
        return found == wanted, not found or (len(wanted) == 1 and len(found) != 1), "other"
    return prediction == reference and bool(prediction), not prediction, "other"


def options_of(item: Item, reference: str) -> tuple[str, ...]:
    """The options of a closed question, normalised: its own list, else what its last "or" joins; () when the
    reference is none of them."""
    lang = item.reference.lang
    if item.reference.choices:
        listed = tuple(dict.fromkeys(t.normalise(choice, lang) for choice in item.reference.choices))
        return listed if mentioned(reference, listed) else ()
    return options_in_question(item.reference.question, reference, lang)


def options_in_question(question: str, reference: str, lang: str | None) -> tuple[str, ...]:
    """Options that a question spells out ("..., lung, liver or heart?"), as long as the reference is.

    "left or right side" offers "left" against "right" where the reference is one word, so an option is cut to the
    reference's number of words: from its end before the "or", from its start after it.
    """
    parts = _OR.split(question.lower())
    size = len(reference.split())
    if len(parts) < 2 or not size:
        return ()
    clauses = [words for part in parts[:-1] for each in _CLAUSE.split(part) if (words := _words(each, lang))]
    if len(clauses) > 1 and clauses[0][0] in _QUESTION_WORDS:
        clauses = clauses[1:]  # "Which is bigger in this image, kidney or spleen": the first clause only asks
    last = next((words for each in _CLAUSE.split(parts[-1]) if (words := _words(each, lang))), [])
    last = last[: next((n for n, word in enumerate(last) if word in _FUNCTION_WORDS), len(last))]
    found = dict.fromkeys(" ".join(words) for words in (*(_tail(each, last, size) for each in clauses), last[:size]))
    found.pop("", None)
    return tuple(found) if reference in found and len(found) > 1 else ()


def _words(text: str, lang: str | None) -> list[str]:
    return [word for word in t.normalise(text, lang).split() if word not in t.ARTICLES]


def _tail(words: list[str], last: list[str], size: int) -> list[str]:
    """The last `size` words after the last function word, before a noun that both options share ("weighted")."""
    begin = max((n for n, word in enumerate(words) if word in _FUNCTION_WORDS), default=-1) + 1
    words = words[begin:]
    while len(words) > size and words[-1] in last:
        words = words[:-1]
    return words[-size:]


def mentioned(text: str, options: Sequence[str]) -> frozenset[str]:
    """Options that a text has as whole words; one inside a longer one that is there too does not count."""
    padded = f" {text} "
    found = set()
    for option in sorted(options, key=len, reverse=True):
        if option and f" {option} " in padded:
            found.add(option)
            padded = padded.replace(f" {option} ", "  |  ")
    return frozenset(found)


def bleu1(words: Sequence[str], wanted: Sequence[str]) -> float:
    """BLEU-1 of one answer as sacrebleu's sentence BLEU with effective order, 0..1."""
    shared = ngrams.shared(words, wanted)
    if not shared:
        return float(not words and not wanted)
    penalty = math.exp(1 - len(wanted) / len(words)) if len(words) < len(wanted) else 1.0
    return penalty * shared / len(words)
