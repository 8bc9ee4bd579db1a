"""Box dialects and chat text: round trips, order of corners, loss spans, and tokens that data must not form."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.boxes import LOC64, Dialect, decode, encode_box, encode_phrase, quantise, restore
from rrg.errors import RecordError
from rrg.prompt import CONTROL, MEDIA, break_tokens, free_prompt, render, template_text, user_prompt
from rrg.records import Box, ImageRef, Mention, Part, Region, Sample, Turn

DIALECTS = [Dialect("loc", 64), Dialect("loc", 512), Dialect("json", 1000), Dialect("text", 1000)]


def box(*corners: float) -> Box:
    return Box(x0=corners[0], y0=corners[1], x1=corners[2], y1=corners[3])


def sample(question: str, answer: str, *mentions: Mention, **more: object) -> Sample:
    image = ImageRef(id="i0", ref="series/a#0", rows=200, columns=100)
    asked = Turn(role="user", content=(Part(type="image", ref="i0"), Part(type="text", text=question)))
    told = Turn(role="assistant", content=(Part(type="text", text=answer),), loss=True)
    given = {"id": "s", "patient": "p", "study": "t", "lang": "en", "task": "detect", **more}
    return Sample(images=(image,), turns=(asked, told), mentions=mentions, **given)  # type: ignore[arg-type]


def mention(name: str, phrase: str, *boxes: Box, image: str = "i0") -> Mention:
    return Mention(id=name, phrase=phrase, regions=(Region(label="x", image=image, boxes=boxes, origin="seg"),))


@st.composite
def slices(draw: st.DrawFn) -> tuple[Box, int, int]:
    rows, columns = draw(st.integers(8, 2048)), draw(st.integers(8, 2048))
    x0, y0 = draw(st.floats(0, columns - 1)), draw(st.floats(0, rows - 1))
    x1, y1 = draw(st.floats(x0 + 0.5, columns)), draw(st.floats(y0 + 0.5, rows))
    return box(x0, y0, x1, y1), rows, columns


@given(case=slices(), dialect=st.sampled_from(DIALECTS))
def test_a_box_comes_back_within_one_bin(case: tuple[Box, int, int], dialect: Dialect) -> None:
    true, rows, columns = case
    found = decode(encode_phrase("liver", [true], rows, columns, dialect), rows, columns, dialect)
    assert found.flags == ()
    (read,) = found.mentions
    assert (read.phrase, len(read.regions), len(read.regions[0].boxes)) == ("liver", 1, 1)
    bins = (columns / dialect.bins, rows / dialect.bins) * 2
    for seen, wanted, one in zip(read.regions[0].boxes[0].xyxy, true.xyxy, bins, strict=True):
        assert abs(seen - wanted) <= one * (1 + 1e-9)


@given(case=slices(), dialect=st.sampled_from(DIALECTS))
def test_writing_what_was_read_gives_the_same_bins(case: tuple[Box, int, int], dialect: Dialect) -> None:
    true, rows, columns = case
    numbers = quantise(true, rows, columns, dialect.bins)
    back = restore(numbers, rows, columns, dialect.bins)
    assert back is not None
    again = quantise(back, rows, columns, dialect.bins)
    assert again == numbers


def test_worked_examples() -> None:
    # a slice of 200 rows and 100 columns: columns are divided by 100, rows by 200
    assert encode_box(box(50, 50, 100, 200), 200, 100, LOC64) == "<loc32><loc16><loc63><loc63>"
    assert encode_box(box(50, 50, 100, 200), 200, 100, Dialect("loc", 512)) == "<loc256><loc128><loc511><loc511>"
    assert encode_box(box(0, 0, 100, 200), 200, 100, Dialect("json", 1000)) == '{"box": [0, 0, 999, 999]}'
    assert encode_box(box(10, 20, 30, 40), 200, 100, Dialect("text", 1000)) == "[100, 100, 300, 200]"
    assert encode_box(box(10, 20, 30, 40), 200, 100, Dialect("none")) == ""
    assert encode_box(box(-9, -9, 900, 900), 200, 100, LOC64) == "<loc00><loc00><loc63><loc63>"


def test_several_phrases_in_a_sentence_are_read_back() -> None:
    for dialect in DIALECTS:
        first = encode_phrase("both lungs", [box(0, 0, 50, 90), box(60, 0, 100, 80)], 200, 100, dialect)
        second = encode_phrase("liver", [box(10, 100, 60, 150)], 200, 100, dialect)
        found = decode(f"Clear: {first}. No lesion: {second}.", 200, 100, dialect)
        assert [(m.phrase, len(m.regions[0].boxes)) for m in found.mentions] == [("both lungs", 2), ("liver", 1)]
        assert found.text.replace(" .", ".") == "Clear: both lungs. No lesion: liver."
        assert found.flags == ()
        assert [m.id for m in found.mentions] == ["m0", "m1"]


@pytest.mark.parametrize(
    "raw",
    [
        "<p>liver<loc01><loc02><loc03>",  # three corners
        "<p>liver<loc01><loc02><loc03><loc04><loc05>",  # five
        "<p>liver<loc30><loc02><loc03><loc40>",  # x1 < x0
        "<p>liver<loc01><loc02><loc64><loc70>",  # beyond the bins
        "<p>liver",  # opened, no box
        "<p>liver <p>spleen<loc01><loc02><loc03><loc04>",  # opened twice
    ],
)
def test_a_malformed_box_is_flagged_and_never_invented(raw: str) -> None:
    found = decode(raw, 64, 64, LOC64)
    assert found.flags == ("malformed_box",)
    assert "loc" not in found.text
    for read in found.mentions:
        assert all(0 <= b.x0 < b.x1 <= 64 for region in read.regions for b in region.boxes)


@given(parts=st.lists(st.sampled_from([*'<>p/loc09 [],{}":-.x', "<p>", "<loc07>", '{"box": [', "]}"]), max_size=40))
def test_reading_never_raises(parts: list[str]) -> None:
    raw = "".join(parts)
    for dialect in (*DIALECTS, Dialect("none")):
        decode(raw, 100, 100, dialect)


def test_json_and_text_boxes_that_are_none_are_flagged() -> None:
    assert decode('liver {"box": [1, 2, 3]}', 9, 9, Dialect("json", 1000)).flags == ("malformed_box",)
    assert decode("liver [900, 2, 3, 40]", 9, 9, Dialect("text", 1000)).flags == ("malformed_box",)


def test_the_loss_is_on_answers_and_their_end_only() -> None:
    chat = render(sample("Where is the liver?", "{m0}", mention("m0", "liver", box(10, 20, 30, 40))))
    assert [piece.loss for piece in chat.pieces] == [False, True]
    assert chat.pieces[0].text == f"<|user|>{MEDIA}Where is the liver?<|assistant|>"
    assert chat.pieces[1].text == "<p>liver<loc06><loc06><loc19><loc12></s>"
    assert chat.images == ("i0",)


def test_a_turn_without_loss_is_not_learnt() -> None:
    one = sample("a?", "b")
    silent = dataclasses.replace(one, turns=(one.turns[0], dataclasses.replace(one.turns[1], loss=False)))
    assert [piece.loss for piece in render(silent).pieces] == [False]


def test_the_question_at_inference_is_what_was_trained() -> None:
    one = sample("Where is the {m0}?", "{m0}", mention("m0", "liver", box(10, 20, 30, 40)))
    assert render(one).text.startswith(user_prompt(one).text)
    assert user_prompt(one).text == free_prompt("Where is the liver?")


def test_a_question_never_tells_the_box_unless_it_asks_about_one() -> None:
    shown = mention("m0", "liver", box(10, 20, 30, 40))
    asked = mention("m1", "", box(10, 20, 30, 40))
    text = user_prompt(sample("Where is {m0}? What is at {m1}?", "x", shown, asked)).text
    assert text.endswith("Where is liver? What is at <p><loc06><loc06><loc19><loc12>?<|assistant|>")


def test_braces_and_placeholders() -> None:
    shown = mention("m0", "liver", box(10, 20, 30, 40))
    assert template_text("{{a}} {m0}", (shown,)) == "{a} liver"
    for bad in ("{m7}", "{", "a } b"):
        with pytest.raises(RecordError):
            template_text(bad, (shown,))


def test_an_absent_structure_has_no_box() -> None:
    assert render(sample("Where?", "not here {m0}", mention("m0", "liver"))).pieces[1].text == "not here liver</s>"


EVIL = ["<|user|>", "<|assistant|>", "<s>", "</s>", "<pad>", "<unk>", "<image>", MEDIA, "<__image__>", "<loc07>",
        "<loc511>", "<p>", "<seg>", "</seg>", "<seg042>"]  # fmt: skip


@given(
    parts=st.lists(st.sampled_from([*EVIL, "<", ">", "<lo", "c07>", "|user|>", "liver ", "<5 mm"]), max_size=8),
    cuts=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_no_data_text_forms_a_token(parts: list[str], cuts: tuple[int, int]) -> None:
    """Wherever the text is cut into part, phrase and part, what data says holds no token at the end."""
    data = "".join(parts)
    first, second = sorted(min(cut, len(data)) for cut in cuts)
    pieces = [part.replace("{", "{{").replace("}", "}}") for part in (data[:first], data[second:])]
    phrase = mention("m0", data[first:second], box(10, 20, 30, 40))
    for dialect in (LOC64, Dialect("none")):
        chat = render(sample(data.replace("{", "{{"), f"{pieces[0]}{{m0}}{pieces[1]}", phrase), dialect)
        for piece in chat.pieces:
            text = piece.text.removeprefix(f"<|user|>{MEDIA}").removesuffix("<|assistant|>").removesuffix("</s>")
            text = text.replace("<p>", "#", 1).replace("<loc06><loc06><loc19><loc12>", "#", 1)
            assert not [token for token in EVIL if token in text]


def test_broken_text_still_reads_the_same() -> None:
    text = "Herd <5 mm, <br> Leber<loc07> <|user|> </s>"
    assert break_tokens(text) == "Herd <5 mm, <br> Leber< loc07> < |user|> < /s>"
    assert break_tokens(break_tokens(text)) == break_tokens(text)
    assert all(break_tokens(token) != token for token in CONTROL)


def test_tokens_of_a_dialect_are_ordered_and_distinct() -> None:
    tokens = LOC64.tokens
    assert tokens[0] == "<p>"
    assert len(set(tokens)) == 65
    assert [int(t[4:-1]) for t in tokens[1:]] == list(range(64))
    assert all(a < b for a, b in pairwise(tokens[1:]))
