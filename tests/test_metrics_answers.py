"""Rules for answers: hand-worked examples, sacrebleu and nltk as oracles, the traps of published scripts."""

import math
import random
import string
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.formats.items import Item, Reference
from rrg.metrics import answers, captions, llava_med, radgrounder
from rrg.metrics import text as t


def item(prediction, reference, kind="closed", *, lang="en", question="", choices=(), missing=False):
    return Item(
        reference=Reference(
            id="1", line=1, value=reference, answer_type=kind, lang=lang, question=question, choices=tuple(choices)
        ),
        prediction=prediction,
        missing=missing,
    )


def strict(*given, **named):
    return answers.score_strict(item(*given, **named))


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("Vergrößerte  Läsion!", "de", "vergrößerte läsion"),
        ("Vergro\u0308ßerte La\u0308sion", "de", "vergrößerte läsion"),
        ("2,3 cm.", "de", "2.3 cm"),
        ("2,3 cm.", "en", "2,3 cm"),
        ("x-ray (AP)", "en", "x ray ap"),
        ("Drei Herde, rechts.", "de", "3 herde rechts"),
        ("three lesions", "en", "3 lesions"),
        ("three lesions", "de", "three lesions"),
        ("T2_weighted\n<MRI>", "en", "t2 weighted mri"),
        ("none", "en", "none"),
        ("肺。", "zh", "肺"),
    ],
)
def test_normalise(text, lang, expected):
    assert t.normalise(text, lang) == expected


@given(st.text(), st.sampled_from(["de", "en", None]))
def test_normalise_is_idempotent(text, lang):
    once = t.normalise(text, lang)
    assert t.normalise(once, lang) == once


@pytest.mark.parametrize(
    ("prediction", "reference", "right", "unparsed"),
    [
        ("Yes.", "Yes", True, False),
        ("Ja, das ist eine Läsion.", "Yes", True, False),
        ("yes", "nein", False, False),
        ("No, there is none.", "No", True, False),
        ("There is no effusion.", "no", True, False),
        ("normal nodule, not known", "no", False, True),
        ("Januar", "ja", False, True),
        ("yes and no", "yes", False, True),
        ("Yes. No other lesion is seen.", "yes", True, False),
        ("", "no", False, True),
        ("maybe", "no", False, True),
    ],
)
def test_yes_no_answers(prediction, reference, right, unparsed):
    found = strict(prediction, reference, lang="de")
    assert (found.scores["closed.accuracy"], found.unparsed) == (float(right), unparsed)
    assert found.extra == {"rule": "yes-no"}


@pytest.mark.parametrize(
    ("question", "reference", "prediction", "right"),
    [
        ("Is the lesion on the left or right side?", "Left", "It is on the left.", True),
        ("Is the lesion on the left or right side?", "Left", "It is on the right.", False),
        ("Is the lesion on the left or right side?", "Right", "left or right", False),
        ("Which is bigger in this image, kidney or liver?", "Liver", "The liver in this image", True),
        ("Which is the biggest in this image,lung,liver or heart?", "Lung", "the heart, not the lung", False),
        ("Is this a T1 weighted or T2 weighted MRI image?", "T2", "T2 weighted", True),
        ("Is this a T1 weighted or T2 weighted MRI image?", "T2", "T1 weighted", False),
        ("Ist die Leber links oder rechts?", "rechts", "Die Leber liegt rechts.", True),
        ("Which organ is abnormal?", "Lung", "the lung", False),
        ("Which organ is abnormal?", "Lung", "lung.", True),
    ],
)
def test_options_of_the_question(question, reference, prediction, right):
    found = strict(prediction, reference, question=question)
    assert found.scores["closed.accuracy"] == float(right)
    assert found.extra == {"rule": "other"}


def test_choices_of_a_sample_count_before_the_question():
    choices = ["left lung", "lung", "liver"]
    assert strict("the left lung", "left lung", choices=choices).scores["closed.accuracy"] == 1
    assert strict("the lung", "left lung", choices=choices).scores["closed.accuracy"] == 0
    both = strict("left lung and liver", "left lung", choices=choices)
    assert (both.scores["closed.accuracy"], both.unparsed) == (0, True)
    assert strict("liver, left lung", "left lung; liver", choices=choices).scores["closed.accuracy"] == 1


@given(st.text(string.ascii_letters + " ,", min_size=1), st.text(string.ascii_letters + " ,", min_size=1))
def test_the_reference_itself_is_always_right(question, reference):
    if t.normalise(reference, "en") and t.yes_or_no(reference) is None:
        question = f"is it {question} or {reference}?"
        assert strict(reference, reference, question=question).scores["closed.accuracy"] == 1


def test_open_answers_by_hand():
    scores = strict("the left left lung", "left lung base", "open").scores
    assert scores["open.em"] == 0
    assert scores["open.precision"] == pytest.approx(2 / 3)
    assert scores["open.recall"] == pytest.approx(2 / 3)
    assert strict("Vitamin", "A", "open").scores["open.f1"] == 0
    assert strict("a", "A", "open").scores["open.f1"] == 1


def test_multiset_recall_is_not_llava_meds():
    """Reference "left left lung base", prediction "left lung": 1/2 here, 2/3 in LLaVA-Med."""
    assert strict("left lung", "left left lung base", "open").scores["open.recall"] == 0.5
    theirs = llava_med.score(item("left lung", "left left lung base", "open"), rule="substring")
    assert theirs.scores["open.recall"] == pytest.approx(2 / 3)


WORDS = st.lists(
    st.sampled_from(["left", "right", "lung", "liver", "the", "a", "no", "lesion", "2.3"]), max_size=7
).map(" ".join)


@given(WORDS, WORDS)
def test_bleu1_is_sacrebleus(prediction, reference):
    from sacrebleu.metrics.bleu import BLEU

    said, wanted = t.tokens(prediction), t.tokens(reference)
    if said or wanted:
        metric = BLEU(max_ngram_order=1, effective_order=True, tokenize="none", force=True)
        theirs = metric.sentence_score(" ".join(said), [" ".join(wanted)]).score / 100
        assert answers.bleu1(said, wanted) == pytest.approx(theirs, abs=1e-9)


@given(st.text(), st.text(min_size=1).filter(str.strip), st.sampled_from(["open", "closed"]))
def test_missing_and_empty_are_never_above_a_wrong_answer(wrong, reference, kind):
    missing = strict(None, reference, kind, missing=True).scores
    empty = strict("", reference, kind).scores
    other = strict(wrong, reference, kind).scores
    for name in missing:
        assert missing[name] == empty[name] == 0 <= other[name] <= 1


def test_llava_med_normalisation_faults():
    assert llava_med.normalise("2,3 cm") == "23 cm"
    assert llava_med.normalise("none") == "0"
    assert llava_med.normalise("a") == ""
    assert llava_med.normalise("x-ray") == "x ray"
    assert llava_med.normalise("x-ray - ap") == "xray ap"
    assert llava_med.normalise("dont couldntve couldnt've") == "don't couldntve couldn't've"
    assert llava_med.normalise("." * 33 + "x") == ".x"


def test_llava_med_closed_rules():
    def closed(prediction, reference, rule):
        return llava_med.score(item(prediction, reference), rule=rule).scores["closed.accuracy"]

    assert closed("yes and no", "yes", "substring") == 1
    assert closed("a normal chest", "no", "substring") == 1
    assert closed("left", "left", "substring") == 1
    assert closed("left", "left", "first") == 0
    assert closed("no", "yes", "first") is None
    assert closed("no lesion", "no", "first") == 1
    assert closed("no lesion", "no", "equal") == 0
    assert closed("No.", "no", "equal") == 1
    assert llava_med.score(item("left", "left"), rule="first").extra == {"rule": "other"}


def test_llava_med_exact_match_is_a_precision():
    scores = llava_med.score(item("left lung left base", "left lung", "open"), rule="substring").scores
    assert scores["open.exact_match"] == 0.5
    assert scores["open.contains"] == 1
    assert scores["open.equal"] == 0


def test_unsmoothed_bleu_is_nltks():
    from nltk.translate.bleu_score import sentence_bleu

    rng = random.Random(1)
    words = ["left", "right", "lung", "base", "mass"]
    for _ in range(200):
        said = [rng.choice(words) for _ in range(rng.randint(0, 7))]
        wanted = [rng.choice(words) for _ in range(rng.randint(1, 5))]
        for weights in ((0.25,) * 4, (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = sentence_bleu([wanted], said, weights=weights)
            assert math.isclose(
                llava_med.sentence_bleus(said, wanted, [weights])[0], theirs, rel_tol=1e-9, abs_tol=1e-320
            )
    assert 0 < llava_med.sentence_bleus(["lung"], ["lung"], [(0.25,) * 4])[0] < 1e-150


def test_radgrounder_by_hand():
    scores = radgrounder.score(item("The X-Ray", "x-ray", "open")).scores
    assert scores["open.accuracy"] == 0
    assert scores["open.recall"] == 1  # "the x ray" against "x ray": SQuAD drops "the"
    assert scores["open.rougel"] == 0
    assert radgrounder.score(item("Läsion!", "läsion", "open")).scores["open.accuracy"] == 1


def test_cider_ceiling_of_one_word_answers():
    references = ["yes", "no", "no", "left"]
    values = captions.cider(captions.captions(references, references))
    assert values.max() == pytest.approx(2.5)
    assert captions.cider(captions.captions(["no"], ["no"])).tolist() == [0.0]
    assert captions.cider(captions.captions(["no", "no"], ["no", "no"])).tolist() == [0.0, 0.0]


def test_rouge_l_by_hand():
    # common subsequence "a c" of "a b c" (3 words) and "a c d e" (4 words)
    precision, recall, beta2 = 2 / 3, 2 / 4, 1.2**2
    expected = (1 + beta2) * precision * recall / (recall + beta2 * precision)
    assert captions.rouge_l("a b c", "a c d e") == pytest.approx(expected)
    assert captions.rouge_l("", "a") == 0


def test_corpus_bleu_by_hand():
    stats = captions.bleu_stats(captions.captions(["a b c d"], ["a b x d"]))
    assert stats.tolist() == [[4, 4, 3, 1, 0, 0, 4, 3, 2, 1]]
    assert captions.bleu_from_sums(stats, 1)[0] == pytest.approx(0.75, abs=1e-8)
    assert captions.bleu_from_sums(stats, 2)[0] == pytest.approx(math.sqrt(0.75 / 3), abs=1e-8)
