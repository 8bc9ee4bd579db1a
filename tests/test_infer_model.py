"""Confidence and grammar: probabilities are those of the model, and constrained answers hold whole boxes only."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rrg.boxes import LOC64, Dialect, decode, encode_phrase
from rrg.errors import UsageError
from rrg.infer import constrain
from rrg.infer_confidence import of_answer, of_boxes, with_scores
from rrg.model.gguf import GgufModel
from rrg.model.gguf_grammar import Constraint
from rrg.model.grammar import gbnf
from rrg.model.load import TorchModel
from rrg.prompt import CONTROL, free_prompt
from rrg.records import Box
from tests.test_model import gguf, pictures, run  # noqa: F401 - fixtures

WHOLE = re.compile(r"(?:[^<]|< |<p>(?:[^<]|< )+(?:(?:<loc\d\d>){4})+)*")
BOXES = [Box(x0=1, y0=2, x1=30, y1=40), Box(x0=5, y0=6, x1=50, y1=60)]
ALL = ("loc", "radgrounder", "paligemma", "internvl", "llava", "json", "text", "qwen2.5-vl", "qwen3-vl")


@pytest.fixture(scope="module")
def model(gguf: Path) -> Iterator[GgufModel]:  # noqa: F811
    made = GgufModel(gguf)
    yield made
    made.close()


@pytest.fixture(scope="module")
def narrow(gguf: Path) -> Iterator[GgufModel]:  # noqa: F811
    made = GgufModel(gguf)
    constrain(made)
    yield made
    made.close()


# --- confidence


def test_probabilities_are_the_models_own_with_both_back_ends(run: Path, model: GgufModel) -> None:  # noqa: F811
    reference = TorchModel(run)
    for seed in range(4):
        given = (pictures(1, seed), free_prompt(f"Frage {seed}?"), 24)
        mine, other = reference.answer(*given), model.answer(*given)
        assert mine.raw == other.raw
        assert "".join(piece for piece, _ in other.tokens) == other.raw
        assert np.allclose([p for _, p in mine.tokens], [p for _, p in other.tokens], atol=2e-3)
        if mine.tokens:
            assert mine.tokens[0][1] == pytest.approx(math.exp(reference.log_probabilities(*given[:2]).max()), abs=1e-4)
        assert all(0 < p <= 1 for _, p in mine.tokens)


def test_an_answer_is_as_sure_as_its_tokens() -> None:
    assert of_answer([("a", 0.5), ("b", 0.5)]) == 0.5
    assert of_answer([("a", 0.9), ("b", 0.4)]) == pytest.approx(0.6)
    assert of_answer([]) is None
    assert of_answer([("a", 0.0)]) == 0.0


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_every_box_gets_the_score_of_its_own_numbers(kind: str, pieces: int) -> None:
    dialect = Dialect(kind, {"loc": 64, "radgrounder": 512, "paligemma": 1024, "qwen2.5-vl": 448}.get(kind, 1000))  # type: ignore[arg-type]
    first = encode_phrase("Leber", BOXES[:1], 64, 64, dialect)
    second = encode_phrase("Milz", BOXES[1:], 64, 64, dialect)
    raw = f"{first}. Und {second}."
    half = len(first) + 2
    cuts = range(0, len(raw), pieces)
    tokens = [(raw[at : at + pieces], 0.25 if at >= half else 0.81) for at in cuts]
    if pieces == 1:
        assert of_boxes(tokens, dialect) == pytest.approx([0.81, 0.25])
    read = decode(raw, 64, 64, dialect)
    scored = with_scores(read.mentions, raw, tokens, dialect, 64, 64)
    assert [mention.phrase for mention in scored] == [mention.phrase for mention in read.mentions]
    scores = [mention.regions[0].score for mention in scored]
    assert None not in scores
    assert len(scores) == 2
    if pieces == 1:
        assert scores == pytest.approx([0.81, 0.25])


def test_a_malformed_box_takes_no_score_from_another() -> None:
    raw = "<p>Leber<loc63><loc01><loc02><loc09> <p>Milz<loc01><loc02><loc30><loc40>"
    tokens = [(piece, 0.9 if n < 7 else 0.5) for n, piece in enumerate(re.findall(r"<loc\d+>|<p>|[^<]+", raw))]
    scored = with_scores(decode(raw, 64, 64, LOC64).mentions, raw, tokens, LOC64, 64, 64)
    assert [(mention.phrase, mention.regions[0].score) for mention in scored] == [("Milz", 0.5)]


# --- grammar


def test_answers_hold_whole_boxes_and_without_the_grammar_they_do_not(model: GgufModel, narrow: GgufModel) -> None:
    broken = 0
    for seed in range(8):
        given = (pictures(1, seed), free_prompt(f"Frage {seed}?"), 40)
        broken += not WHOLE.fullmatch(model.answer(*given).raw)
        assert WHOLE.fullmatch(narrow.answer(*given).raw)
    assert broken > 4  # random weights write boxes at random


def test_every_box_is_whole_whatever_the_scores_are(model: GgufModel) -> None:
    pieces = [model._piece(token).decode("utf-8", "replace") for token in range(model._size)]
    likes = np.array([6.0 if piece.startswith(("<loc", "<p>")) else 0.0 for piece in pieces])
    rng = np.random.default_rng(0)
    constraint = Constraint(model._vocabulary, gbnf(LOC64))
    free = ""
    boxes = 0
    for _ in range(20):
        constraint.begin()
        told = ""
        for _ in range(60):
            scores = (rng.normal(size=len(pieces)) + likes).astype(np.float32)
            token = constraint.next(scores)
            free += pieces[int(scores.argmax())]
            if pieces[token] in CONTROL:
                break
            told += pieces[token]
        open_end = re.search(r"<p>(?:[^<]|< )*(?:<loc\d\d>)*\Z", told)
        assert WHOLE.fullmatch(told) or (open_end and WHOLE.fullmatch(told[: open_end.start()])), told
        boxes += len(re.findall(r"(?:<loc\d\d>){4}", told))
    assert boxes > 40
    assert not WHOLE.fullmatch(free)  # the control: the likeliest tokens alone are no whole boxes
    constraint.close()


def test_the_grammar_changes_nothing_that_is_well_formed(model: GgufModel, narrow: GgufModel) -> None:
    same = 0
    for seed in range(12):
        given = (pictures(1, seed), free_prompt(f"Frage {seed}?"), 6)
        free = model.answer(*given)
        if WHOLE.fullmatch(free.raw) and not free.cut:
            same += 1
            assert narrow.answer(*given).raw == free.raw
    assert narrow.answer(pictures(1, 3), free_prompt("A?"), 30) == narrow.answer(pictures(1, 3), free_prompt("A?"), 30)


def test_a_picture_is_encoded_once_for_all_questions(gguf: Path) -> None:  # noqa: F811
    made = GgufModel(gguf)
    for number in (1, 2, 1, 2):
        for question in ("A?", "B?"):
            made.answer(pictures(1, number), free_prompt(question), 4)
    assert made.encoded == 2
    made.close()


@pytest.mark.parametrize("kind", ALL)
def test_llama_cpp_takes_the_grammar_of_each_dialect_that_has_one(kind: str, model: GgufModel) -> None:
    dialect = Dialect(kind, {"loc": 64, "radgrounder": 512, "paligemma": 1024}.get(kind, 1000))  # type: ignore[arg-type]
    if kind in ("loc", "radgrounder", "paligemma", "internvl"):
        Constraint(model._vocabulary, gbnf(dialect)).close()
    else:
        with pytest.raises(UsageError, match="--grammar"):
            gbnf(dialect)


def test_torch_has_no_grammar(run: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match=r"--grammar is for llama\.cpp"):
        constrain(TorchModel(run))
