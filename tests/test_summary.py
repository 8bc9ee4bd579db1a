"""The study summary: same statements are one sentence, findings outlive denials, contradictions are told."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.infer_summary import summary_of
from rrg.outputs.cards import of_prediction
from rrg.outputs.draft import draft_fragment
from rrg.outputs.page import fragments
from rrg.records import Box, ImageRef, Lang, Mention, Prediction, Region, Slice
from rrg.reports.parse import parse
from rrg.summary import merge, reference, statements_of, written
from tests.test_page import pictures

BOX = Box(x0=1, y0=2, x1=9, y1=8)


def slice_at(index: int, series: int = 3, image: int | None = None) -> Slice:
    return Slice(
        id=f"s{series}-{index}", patient="p", study="t", series=f"v{series}", index=index, count=90,
        series_number=series, instance_number=index + 1 if image is None else image, pixels=f"series/abc#{index}",
        sha256="", rows=40, columns=60, dtype="int16", unit="HU", modality="CT",
    )  # fmt: skip


def answer(slice_: Slice, text: str, *phrases: str, lang: Lang = "de") -> Prediction:
    image = ImageRef(id="i0", ref=slice_.pixels, slice=slice_.id, rows=40, columns=60, unit="HU", modality="CT")
    mentions = tuple(
        Mention(id=f"m{n}", phrase=p, regions=(Region(label=p, boxes=(BOX,), origin="model", score=0.9),))
        for n, p in enumerate(phrases)
    )
    return Prediction(
        id=f"a{slice_.id}", patient="p", study="t", images=(image,), task="grounded-report", lang=lang, question="?",
        raw=text, text=text, mentions=mentions, confidence=0.8, model="m", backend="torch", notice="n",
    )  # fmt: skip


def draft(*texts: str, lang: Lang = "de"):  # type: ignore[no-untyped-def]
    """Of slices 10, 11, 12, ..."""
    slices = [slice_at(10 + n) for n in range(len(texts))]
    told = [
        s
        for slice_, text in zip(slices, texts, strict=True)
        for s in statements_of(answer(slice_, text, lang=lang), slice_)
    ]
    return merge(told)


def test_the_same_statement_is_one_sentence_with_all_its_images() -> None:
    made = draft("Leber unauffällig. Leberzyste von 12 mm.", "Leberzyste von 14 mm.", "Milz normal.")
    text = written(made, "de").text.splitlines()
    assert text == ["Leberzyste von 14 mm (Serie 3, Bild 11, 12).", "Milz normal (Serie 3, Bild 13).", "",
                    "Widersprüche:", "- Leberzyste von 12 mm (Serie 3, Bild 11), aber: Leber unauffällig "
                    "(Serie 3, Bild 11) - auf demselben Bild verneint."]  # fmt: skip
    assert made.given == 4


def test_a_finding_outlives_slices_that_do_not_show_it() -> None:
    made = draft("Leber unauffällig.", "Metastase der Leber.", "Leber unauffällig.")
    assert [each.best.text for each in made.sentences] == ["Metastase der Leber."]
    assert made.contradictions == ()


def test_a_denial_between_two_slices_that_show_it_is_a_contradiction() -> None:
    made = draft("Metastase der Leber.", "Keine Metastase der Leber.", "Metastase der Leber.", "Leber unauffällig.")
    (found,) = made.contradictions
    assert (found.kind, found.stated.slice.index, found.denied.slice.index) == ("between", 10, 11)


def test_sides_and_other_structures_do_not_contradict() -> None:
    made = draft(
        "Zyste der linken Niere. Rechte Niere unauffällig.", "Zyste der linken Niere. Keine Zyste der rechten Niere."
    )
    assert made.contradictions == ()
    assert len(made.sentences) == 3


@pytest.mark.parametrize(
    ("texts", "lang"),
    [(("There is a cyst in the liver.", "The liver is normal.", "There is a cyst in the liver, 12 mm."), "en"),
     (("Es besteht ein Pleuraerguss links.", "Kein Pleuraerguss.", "Pleuraerguss links."), "de")],
)  # fmt: skip
def test_both_languages(texts: tuple[str, ...], lang: Lang) -> None:
    made = draft(*texts, lang=lang)
    assert len(made.contradictions) == 1
    assert len(made.sentences) == 1


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 60)), min_size=1, max_size=9, unique=True),
    st.sampled_from(["de", "en"]),
)
def test_our_own_parser_reads_the_references(places: list[tuple[int, int]], lang: Lang) -> None:
    text = f"Leber {reference([slice_at(image - 1, series) for series, image in places], lang)}."
    if "weitere" in text or "more" in text:
        return
    found = {(r.series_number, image) for r in parse(text, lang).references for image in r.image_numbers}
    assert found == set(places), text


@given(
    st.permutations(["Leberzyste von 12 mm.", "Leber unauffällig.", "Milz normal.", "Kein Aszites."]), st.integers(2, 4)
)
def test_every_statement_is_kept_dropped_for_a_finding_or_told(order: list[str], count: int) -> None:
    made = draft(*order[:count])
    shown = {each.text for one in made.sentences for each in one.statements}
    lost = set(order[:count]) - shown
    assert lost <= {"Leber unauffällig."}
    assert not lost or "Leberzyste von 12 mm." in shown


def summary(*texts: str) -> tuple[Prediction, list[Prediction]]:
    slices = [slice_at(10 + n) for n in range(len(texts))]
    answers = [answer(s, t, "Leberzyste") for s, t in zip(slices, texts, strict=True)]
    made = summary_of(answers, slices, "de")
    assert made is not None
    return made, answers


def test_the_record_links_sentences_to_slices_and_boxes() -> None:
    made, answers = summary("Leberzyste von 12 mm.", "Leberzyste von 15 mm.")
    assert (made.task, made.from_, made.study) == ("study-report", tuple(each.id for each in answers), "t")
    (mention,) = made.mentions
    assert [(region.image, region.boxes) for region in mention.regions] == [("i0", (BOX,)), ("i1", (BOX,))]
    assert [image.slice for image in made.images] == ["s3-10", "s3-11"]
    extra = dict(made.extra or {})
    (told,) = extra["sentences"]  # type: ignore[misc]
    start, end = told["span"]  # type: ignore[index,misc]
    assert made.text[start:end] == "Leberzyste von 15 mm (Serie 3, Bild 11, 12)."  # type: ignore[misc]
    assert [cite["from"] for cite in told["cites"]] == [each.id for each in answers]  # type: ignore[index,union-attr,call-overload]


def test_one_slice_has_no_summary_and_order_does_not_matter() -> None:
    one = answer(slice_at(1), "Milz normal.")
    assert summary_of([one], [slice_at(1)], "de") is None
    slices = [slice_at(n) for n in (1, 2, 3)]
    answers = [answer(s, t) for s, t in zip(slices, ("Milz normal.", "Leberzyste.", "Milz normal."), strict=True)]
    made = [summary_of(order, slices, "de") for order in itertools.permutations(answers)]
    assert len({each.text for each in made if each}) == 1


def test_the_page_links_the_draft_to_sections_and_marks() -> None:
    made, answers = summary("Leberzyste von 12 mm.", "Leberzyste von 15 mm.")
    cards = [of_prediction(each) for each in answers]
    shown = draft_fragment(made, answers, cards).section
    sections = [part.section for part in fragments(cards, pictures("series/abc#10", "series/abc#11"))]
    ids = [section.split('id="')[1].split('"')[0] for section in sections]
    assert f'data-slices="{ids[0]} {ids[1]}"' in shown
    assert f'data-cites="{ids[0]}:0a0 {ids[1]}:0a0"' in shown
    assert all('data-m="0a0"' in section for section in sections)
    bad = dataclasses.replace(made, text=made.text.replace("Leber", "<b>er"))
    assert "<b>" not in draft_fragment(bad, answers, cards).section
