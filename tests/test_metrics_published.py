"""Rules of published scripts: MedEvalKit, lmms-eval, SURE-VQA; packages they call are the oracles, traps by hand."""

import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import sentence_bleu
from rouge import Rouge

from rrg.formats.items import Item, Reference
from rrg.metrics import lmms_slake, medevalkit, rouge_plain, sure_vqa

WORDS = ["left", "right", "lung", "base", "opacity", ".", "no", "yes", "normal", "12", "mm,", "(mild)", "Größe"]


def item(prediction, reference, kind="open", choices=(), *, missing=False):
    wanted = Reference(id="1", line=1, value=reference, answer_type=kind, choices=tuple(choices))
    return Item(reference=wanted, prediction=None if missing else prediction, missing=missing)


def slake(*given, **named):
    return medevalkit.score(item(*given, **named), script="slake")


def vqa_rad(*given, **named):
    return medevalkit.score(item(*given, **named), script="vqa-rad")


def texts(seed):
    rng = random.Random(seed)
    wanted = " ".join(rng.choices(WORDS, k=rng.randint(1, 14)))
    said = " ".join(rng.choices(wanted.split() + WORDS, k=rng.randint(1, 14)))
    return said.lower(), wanted.lower()


@pytest.mark.parametrize("seed", range(60))
def test_rouge_is_the_packages(seed):
    said, wanted = texts(seed)
    try:
        found = Rouge().get_scores(said, wanted)[0]
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)):
            rouge_plain.rouge(said, wanted)
        return
    expected = [found[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")]
    assert rouge_plain.rouge(said, wanted) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
def test_open_scores_are_nltks_and_rouges(said, wanted):
    made = slake(" ".join(said), " ".join(wanted))
    a, b = " ".join(said).lower(), " ".join(wanted).lower()
    if not a.strip(".") or not b.strip("."):
        assert made.extra["raises"] in ("ValueError: Hypothesis is empty.", "ValueError: Reference is empty.")
        assert set(made.scores.values()) == {None}
        return
    found = Rouge().get_scores(a, b)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in (1, 2, 3, 4):
            tokens = [text.replace(".", " .").split(" ") for text in (a, b)]
            theirs = sentence_bleu([tokens[1]], tokens[0], weights=[1 / n] * n)
            assert made.scores[f"open.bleu{n}"] == pytest.approx(theirs, abs=1e-9)
    assert made.scores["open.rougel"] == pytest.approx(found["rouge-l"]["f"], abs=1e-9)
    assert made.scores["open.em"] == float(a == b)
    shared, one, other = len(set(a.split()) & set(b.split())), len(set(a.split())), len(set(b.split()))
    assert made.scores["open.precision"] == pytest.approx(shared / one)
    assert made.scores["open.recall"] == pytest.approx(shared / other)


def test_printed_values_are_shifted_by_one_name():
    """The function returns F1, precision, recall; its caller takes them as precision, recall, F1."""
    scores = slake("left lung", "left upper lung base").scores
    true = {name: scores[f"open.{name}"] for name in ("precision", "recall", "f1")}
    assert true == pytest.approx({"precision": 1.0, "recall": 0.5, "f1": 2 / 3})
    printed = [scores[f"open.printed.{name}"] for name in ("precision", "recall", "f1")]
    assert printed == [true["f1"], true["precision"], true["recall"]]


@pytest.mark.parametrize(
    ("prediction", "reference", "raises"),
    [
        ("", "lung", "ValueError: Hypothesis is empty."),
        ("...", "lung", "ValueError: Hypothesis is empty."),
        ("  ", "lung", "TypeError: cannot unpack non-iterable int object"),
        ("lung", ".", "ValueError: Reference is empty."),
    ],
)
def test_what_the_original_raises_leaves_the_item_out(prediction, reference, raises):
    made = slake(prediction, reference)
    assert made.extra == {"raises": raises}
    assert set(made.scores.values()) == {None}


def test_a_missing_answer_is_wrong_not_left_out():
    made = slake("", "lung", missing=True)
    assert set(made.scores.values()) == {0.0}
    assert not made.extra


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("So \\boxed{Left {lung}} it is", "left {lung}"),
        ("\\boxed{a} then \\boxed{b}", "b"),
        ("\\boxed{never closed", "None"),
        ("a boxed area", "None"),
        ("<think>x</think><answer>Left</answer>", "left"),
        ("<answer>a</answer> <answer>b</answer>", "a b"),
        ("<answer>open", "<answer>open"),
        ("The answer is left. Final answer is Right", " right"),
        ("Final answer left", " left"),
        ("**Answer**: Lung", " lung"),
        ("答案:肺", "肺"),
        ("answer: a answer: b", " b"),
    ],
)
def test_what_is_taken_from_a_response(text, said):
    assert medevalkit.response(text, "slake") == said


def test_vqa_rad_strips_and_slake_does_not():
    assert vqa_rad(" Lung ", "lung").scores["open.em"] == 1
    assert slake(" Lung ", "lung").scores["open.em"] == 0
    assert vqa_rad("answer: lung", "lung").scores["open.em"] == 0  # the blank behind the marker stays


def closed(function, prediction, reference):
    made = function(prediction, reference, "closed")
    return made.scores["closed.accuracy"], made.extra["rule"]


def test_slake_references_in_capitals_never_reach_the_rule():
    assert closed(slake, "No, there is none.", "No") == (0, "other")
    assert closed(slake, "No.", "No") == (1, "other")
    assert closed(slake, "No, there is none.", "no") == (1, "yes-no")
    assert closed(vqa_rad, "No, there is none.", "No") == (1, "yes-no")


def test_substrings_of_yes_and_no():
    assert closed(vqa_rad, "a normal nodule", "no") == (1, "yes-no")
    assert closed(vqa_rad, "yes and no", "yes") == (0, "yes-no")
    assert vqa_rad("maybe", "yes").unparsed
    assert vqa_rad("left", "yes", "open").answer_type == "closed"  # by the reference, not by the file
    assert vqa_rad("left", "left", "closed").answer_type == "open"


@pytest.mark.parametrize(
    ("text", "norm"),
    [
        ("Yes.", "yes"),
        ("是的。", "yes"),
        ("正常", "yes"),
        ("不正常！", "no"),
        ("Ja", "ja"),
        ("X-Ray", "xray"),
        ("x ray of the chest", "x ray of the chest"),
        ("Lung (left), upper", "lung upper"),
        ("肺（左）", "肺"),
        ("TRUE", "yes"),
    ],
)
def test_lmms_slake_normalisation(text, norm):
    assert lmms_slake.normalise(text) == norm


def test_lmms_slake_scores_open_and_closed_alike():
    assert lmms_slake.score(item("nope", "No", "closed")).scores == {"closed.accuracy": 1, "all.accuracy": 1}
    assert lmms_slake.score(item("left lung", "lung")).scores == {"open.accuracy": 0, "all.accuracy": 0}
    assert lmms_slake.score(item("", "(x)", missing=True)).scores["all.accuracy"] == 0


@pytest.mark.parametrize(
    ("prediction", "reference", "choices", "hit"),
    [
        ("It is in the LEFT lung.", "left", ("left", "right"), 1),
        ("left or right", "left", ("left", "right"), 0),
        ("neither", "left", ("left", "right"), 0),
        ("leftmost", "left", ("left", "right"), 0),
        ("left lung", "left lung", ("lung", "left lung"), None),
        ("left", "middle", ("left", "right"), None),
        ("Yes, it is", "Yes", (), 1),
        ("yes and no", "Yes", (), 0),
        ("liver", "liver", (), None),
    ],
)
def test_sure_vqa_categories(prediction, reference, choices, hit):
    assert sure_vqa.score(item(prediction, reference, "closed", choices)).scores == {"closed.accuracy": hit}


def test_sure_vqa_open_is_llava_meds():
    scores = sure_vqa.score(item("left lung", "left left lung base")).scores
    assert scores["open.recall"] == pytest.approx(2 / 3)
    assert list(scores) == ["open.recall", "open.precision", "open.f1", "open.exact_match"]
