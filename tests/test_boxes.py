"""Every box dialect: worked examples of its published form, round trips, controls that must fail, damaged answers."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from rrg.boxes import BINS, KINDS, Dialect, Grid, decode, encode_phrase, smart_size
from rrg.boxes_grammars import GRAMMARS
from rrg.records import Box

SIDES = {"loc": 64, "qwen2.5-vl": 224}
DIALECTS = [Dialect(kind, BINS.get(kind) or SIDES[kind]) for kind in KINDS if kind not in ("none", "seg")]
NAMES = [dialect.kind for dialect in DIALECTS]
BOX = Box(x0=10, y0=20, x1=30, y1=80)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        # a slice of 200 rows and 100 columns: x is divided by 100, y by 200
        (Dialect("radgrounder", 512), "<p bbox=<loc0051><loc0051><loc0153><loc0204> id=<seg005>>liver</p>"),
        (Dialect("paligemma", 1024), "<loc0102><loc0102><loc0409><loc0307> liver ;"),
        (Dialect("qwen2.5-vl", 224), '[{"bbox_2d": [22, 22, 67, 90], "label": "liver"}]'),
        (Dialect("qwen3-vl", 1000), '[{"bbox_2d": [100, 100, 300, 400], "label": "liver"}]'),
        (Dialect("internvl", 1000), "<ref>liver</ref><box>[[100, 100, 300, 400]]</box>"),
        (Dialect("llava", 1000), "liver [0.100, 0.100, 0.300, 0.400]"),
        (Dialect("json", 1000), 'liver {"box": [100, 100, 300, 400]}'),
        (Dialect("text", 1000), "liver [100, 100, 300, 400]"),
    ],
)
def test_worked_examples(dialect: Dialect, text: str) -> None:
    assert encode_phrase("liver", [BOX], 200, 100, dialect, class_id=5) == text
    (found,) = decode(text, 200, 100, dialect).mentions
    assert found.phrase == "liver"
    assert found.regions[0].class_id == (5 if dialect.kind == "radgrounder" else None)


def test_the_far_edge_is_the_last_bin_and_the_last_place() -> None:
    whole = Box(x0=0, y0=0, x1=100, y1=200)
    assert "<loc0000><loc0000><loc0511><loc0511>" in encode_phrase("a", [whole], 200, 100, Dialect("radgrounder", 512))
    assert "<loc0000><loc0000><loc1023><loc1023>" in encode_phrase("a", [whole], 200, 100, Dialect("paligemma", 1024))
    assert "[0, 0, 1000, 1000]" in encode_phrase("a", [whole], 200, 100, Dialect("qwen3-vl", 1000))
    assert decode("a [0, 0, 1000, 1000]", 200, 100, Dialect("text", 1000)).flags == ("malformed_box",)


@st.composite
def slices(draw: st.DrawFn) -> tuple[Box, int, int]:
    rows, columns = draw(st.integers(8, 2048)), draw(st.integers(8, 2048))
    x0, y0 = draw(st.integers(0, columns - 1)), draw(st.integers(0, rows - 1))
    x1, y1 = draw(st.integers(x0 + 1, columns)), draw(st.integers(y0 + 1, rows))
    return Box(x0=x0, y0=y0, x1=x1, y1=y1), rows, columns


def errors_in_bins(seen: Box, wanted: Box, rows: int, columns: int, grid: Grid) -> list[float]:
    size = (columns / grid[0], rows / grid[1]) * 2
    return [abs(a - b) / one for a, b, one in zip(seen.xyxy, wanted.xyxy, size, strict=True)]


@given(case=slices(), dialect=st.sampled_from(DIALECTS), count=st.integers(1, 3))
@example(case=(Box(x0=2047, y0=7, x1=2048, y1=8), 8, 2048), dialect=Dialect("qwen3-vl", 1000), count=1)
def test_boxes_come_back_within_one_bin(case: tuple[Box, int, int], dialect: Dialect, count: int) -> None:
    box, rows, columns = case
    text = encode_phrase("linke Niere", [box] * count, rows, columns, dialect, class_id=3)
    found = decode(f"Normal: {text}", rows, columns, dialect)
    assert (found.text.replace("Normal: ", "").strip(), found.flags) == ("linke Niere", ())
    (read,) = found.mentions
    assert (read.phrase, len(read.regions[0].boxes)) == ("linke Niere", count)
    for seen in read.regions[0].boxes:
        assert max(errors_in_bins(seen, box, rows, columns, (dialect.bins, dialect.bins))) <= 1 + 1e-9
        assert 0 <= seen.x0 < seen.x1 <= columns
        assert 0 <= seen.y0 < seen.y1 <= rows


@given(case=slices(), factor=st.sampled_from([28, 32]))
def test_pixels_of_a_picture_that_is_not_square(case: tuple[Box, int, int], factor: int) -> None:
    box, rows, columns = case
    if max(rows, columns) > 200 * min(rows, columns):
        with pytest.raises(ValueError, match="too narrow"):
            smart_size(rows, columns, factor, 3136, 1003520)
        return
    grid = smart_size(rows, columns, factor, 3136, 1003520)
    dialect = Dialect("qwen2.5-vl", 224)
    text = encode_phrase("liver", [box], rows, columns, dialect, grid=grid)
    (read,) = decode(text, rows, columns, dialect, grid=grid).mentions
    assert max(errors_in_bins(read.regions[0].boxes[0], box, rows, columns, grid)) <= 1 + 1e-9


@given(rows=st.integers(28, 3000), columns=st.integers(28, 3000), factor=st.sampled_from([28, 32]))
def test_the_resize_is_that_of_the_processor(rows: int, columns: int, factor: int) -> None:
    down, across = smart_resize(rows, columns, factor, 3136, 1003520)
    assert smart_size(rows, columns, factor, 3136, 1003520) == (across, down)


@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_mirrored_turned_or_swapped_pictures_do_not_read_the_same(dialect: Dialect) -> None:
    """The control of the round trip: a codec that mixes up left and right, top and bottom or the axes would show."""
    rows, columns = 200, 100
    text = encode_phrase("liver", [BOX], rows, columns, dialect)
    wrong = {
        "left-right": Box(x0=columns - BOX.x1, y0=BOX.y0, x1=columns - BOX.x0, y1=BOX.y1),
        "top-bottom": Box(x0=BOX.x0, y0=rows - BOX.y1, x1=BOX.x1, y1=rows - BOX.y0),
        "axes": Box(x0=BOX.y0, y0=BOX.x0, x1=BOX.y1, y1=BOX.x1),
    }
    (seen,) = decode(text, rows, columns, dialect).mentions[0].regions[0].boxes
    for name, other in wrong.items():
        assert max(errors_in_bins(seen, other, rows, columns, (dialect.bins, dialect.bins))) > 2, name
    swapped = decode(text, columns, rows, dialect).mentions[0].regions[0].boxes[0]
    assert max(errors_in_bins(swapped, BOX, rows, columns, (dialect.bins, dialect.bins))) > 2


def test_the_order_of_corners_is_the_dialects_own() -> None:
    """PaliGemma's corners read as RadGrounder's would be another box."""
    tokens = "<loc0100><loc0200><loc0300><loc0400>"
    ((x_first,),) = (m.regions[0].boxes for m in decode(f"<p>a{tokens}", 1024, 1024, Dialect("loc", 1024)).mentions)
    ((y_first,),) = (m.regions[0].boxes for m in decode(f"{tokens} a", 1024, 1024, Dialect("paligemma", 1024)).mentions)
    assert x_first.xyxy == (100.5, 200.5, 300.5, 400.5)
    assert y_first.xyxy == (200.5, 100.5, 400.5, 300.5)


@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_several_phrases_in_a_sentence(dialect: Dialect) -> None:
    lungs = encode_phrase("beide Lungen", [BOX, Box(x0=50, y0=20, x1=90, y1=80)], 200, 100, dialect)
    liver = encode_phrase("Leber", [BOX], 200, 100, dialect)
    found = decode(f"Frei: {lungs}, kein Herd: {liver}.", 200, 100, dialect)
    assert [(m.phrase, len(m.regions[0].boxes)) for m in found.mentions] == [("beide Lungen", 2), ("Leber", 1)]
    assert found.text.replace(" ", "") == "Frei:beideLungen,keinHerd:Leber."
    assert found.flags == ()


@pytest.mark.parametrize(
    ("dialect", "raw", "phrases"),
    [
        # answers as the published models give them, beyond what we write
        (Dialect("paligemma", 1024), "<loc0100><loc0200><loc0300><loc0400> cat ; "
         "<loc0001><loc0002><loc0003><loc0004> dog",
         ["cat", "dog"]),
        (Dialect("qwen3-vl", 1000), '```json\n[\n\t{"bbox_2d": [1, 2, 30, 40], "label": "cat"},\n\t{"bbox_2d": [5, 6, '
         '70, 80], "label": "dog"}\n]\n```', ["cat", "dog"]),
        (Dialect("qwen2.5-vl", 224), '{"label": "cat", "bbox_2d": [1, 2, 30, 40]}', ["cat"]),
        (Dialect("internvl", 1000), "<ref>cat</ref> <box>[[1,2,30,40]]</box>", ["cat"]),
        (Dialect("llava", 1000), "a cat [0.1, 0.2, 0.33, 0.4]", ["a cat"]),
    ],
)  # fmt: skip
def test_answers_of_published_models(dialect: Dialect, raw: str, phrases: list[str]) -> None:
    found = decode(raw, 512, 512, dialect)
    assert ([m.phrase for m in found.mentions], found.flags) == (phrases, ())


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("radgrounder", "<p bbox=<loc0001><loc0002><loc0003>>liver</p>"),
        ("radgrounder", "<p bbox=<loc0001><loc0002><loc0003><loc0004> id=<seg005>>liver"),
        ("radgrounder", "<p bbox=<loc0001><loc0002><loc0600><loc0700>>liver</p>"),
        ("radgrounder", "<p bbox=>liver</p>"),
        ("paligemma", "<loc0001><loc0002><loc0003> liver"),
        ("paligemma", "<loc0300><loc0002><loc0003><loc0004> liver"),
        ("qwen3-vl", '[{"bbox_2d": [1, 2, 3], "label": "liver"}]'),
        ("qwen3-vl", '[{"bbox_2d": [1, 2, 3, 1001], "label": "liver"}]'),
        ("qwen3-vl", '[{"bbox_2d": [1, 2, 3, 4], "label": "liv'),
        ("qwen3-vl", '{"bbox_2d": "left", "label": "liver"}'),
        ("qwen2.5-vl", '[{"bbox_2d": [1, 2, 3, 225], "label": "liver"}]'),
        ("internvl", "<ref>liver</ref><box>[[1, 2, 3]]</box>"),
        ("internvl", "<ref>liver</ref><box>[[1, 2, 3, 4"),
        ("internvl", "<ref>liver</ref><box></box>"),
        ("llava", "liver [0.1, 0.2, 1.3, 0.4]"),
        ("text", "liver [3, 2, 1, 4]"),
        ("json", 'liver {"box": [1, 2]}'),
    ],
)
def test_a_box_that_is_none_is_flagged_and_the_text_kept(kind: str, raw: str) -> None:
    dialect = next(each for each in DIALECTS if each.kind == kind)
    found = decode(raw, 512, 512, dialect)
    assert found.mentions == ()
    assert found.flags == ("malformed_box",)
    assert "liv" in found.text


@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_no_answer_however_damaged_stops_the_reader(dialect: Dialect) -> None:
    """Cut, shuffled and doubled pieces of real answers: never an error, boxes always inside of the slice."""
    rng = random.Random(3)
    whole = "Die " + encode_phrase("Leber", [BOX, BOX], 200, 100, dialect, class_id=5) + " ist groß [1e999, {}]."
    flagged = 0
    for _ in range(400):
        cuts = sorted(rng.sample(range(len(whole) + 1), 4))
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        rng.shuffle(pieces)
        found = decode("".join(pieces * rng.randint(1, 2)), 200, 100, dialect)
        flagged += bool(found.flags)
        for mention in found.mentions:
            for box in mention.regions[0].boxes:
                assert 0 <= box.x0 < box.x1 <= 100
                assert 0 <= box.y0 < box.y1 <= 200
    assert flagged > 40


@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_own_tokens_are_distinct(dialect: Dialect) -> None:
    assert len(set(dialect.tokens)) == len(dialect.tokens)
    text = encode_phrase("liver", [BOX], 200, 100, dialect, class_id=5)
    if dialect.tokens:
        assert any(token in text for token in dialect.tokens)


def test_every_dialect_has_a_grammar() -> None:
    assert set(GRAMMARS) == set(KINDS)


def test_tags_of_masks_keep_their_order_and_number() -> None:
    """The i-th closing token is the i-th mention, whatever is missing or too much before it."""
    seg = Dialect("seg")
    box = Box(x0=1, y0=1, x1=5, y1=5)
    text = f"{encode_phrase('the liver', [box, box], 64, 64, seg)}, {encode_phrase('Milz', [box], 64, 64, seg)}."
    assert text == "<seg>the liver</seg>, <seg>Milz</seg>."
    read = decode(text, 64, 64, seg)
    assert (read.text, read.flags) == ("the liver, Milz.", ())
    assert [mention.phrase for mention in read.mentions] == ["the liver", "Milz"]
    for raw, phrases in (
        ("a</seg> <seg>b</seg>", ["", "b"]),
        ("<seg>a<seg>b</seg>", ["b"]),
        ("<seg>a</seg></seg>", ["a", ""]),
        ("<seg>a", []),
    ):
        broken = decode(raw, 64, 64, seg)
        assert [mention.phrase for mention in broken.mentions] == phrases
        assert len(broken.mentions) == raw.count("</seg>")
        assert broken.flags == ("malformed_box",)
        assert "seg>" not in broken.text
