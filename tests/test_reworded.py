"""Grounded samples from static wordings and translations; without rewrites nothing changes."""

import dataclasses

import pytest

from rrg.pipe import Count
from rrg.records import Anatomy, Mask, Report, Rewrite, Sample, Slice
from rrg.reports.rewrite import with_static, with_translations
from rrg.synth.facts import Said
from rrg.synth.grounding import ground
from rrg.synth.grounding_options import Options
from rrg.synth.reworded import said_in, worded
from tests.synth_cases import a_mask, a_report, a_slice, counts_of, group, rectangle, samples_of

TEXT = (
    "Größenprogrediente Zyste im rechten <a liver>Leberlappen</a> <r k>(Serie 3, Bild 5)</r>, aktuell 12 mm, "
    "zuvor 9 mm.\n"
    "Die <a aorta>Aorta</a> ist normal weit <r k>(Serie 3, Bild 5)</r>.\n"
    "Keine neuen Herde der <n spleen>Milz</n> <r k>(Serie 3, Bild 5)</r>."
)
TRANSLATIONS = {
    0: "Cyst in the right hepatic lobe (series 3, image 5), 12 mm.",
    1: "The aorta is of normal caliber (series 3, image 5).",
}


@pytest.fixture
def case() -> tuple[Slice, Mask]:
    slice_ = a_slice("st", 4)
    drawn = {"liver": rectangle(2, 3, 40, 33), "aorta": rectangle(45, 40, 60, 52), "spleen": rectangle(60, 5, 75, 20)}
    return slice_, a_mask(slice_, drawn)


def plain(case: tuple[Slice, Mask]) -> Report:
    return a_report(TEXT, "de", slices={"k": [case[0].id]})


def translated(report: Report) -> Report:
    made, counts = with_translations(report, TRANSLATIONS, "given")
    assert counts == {"translations.accepted": 2}
    return made


def made(case: tuple[Slice, Mask], report: Report, *tasks: str) -> list[Sample]:
    return samples_of(ground(Options(tasks=tasks or ("grounded-report", "phrase-to-box")), group([*case, report])))


def answers(samples: list[Sample]) -> dict[tuple[str, str], str | None]:
    return {(each.task, each.lang): each.answer for each in samples if each.task == "grounded-report"}


def test_the_static_wording_is_what_a_sample_says(case: tuple[Slice, Mask]) -> None:
    report, counts = with_static(plain(case))
    assert counts == {"rewrites.static": 1, "rewrites.dropped": 1}
    samples = made(case, report)
    assert answers(samples) == {
        ("grounded-report", "de"): "Zyste im rechten Leberlappen, 12 mm. Die Aorta ist normal weit."
    }
    (whole,) = [each for each in samples if each.task == "grounded-report"]
    assert whole.turns[-1].content[0].text == "Zyste im rechten {m0}, 12 mm. Die {m1} ist normal weit."
    assert whole.facets["wording"] == "static"
    liver, aorta = whole.mentions
    assert liver.phrase == "Leberlappen"
    assert liver.source is None, "these words do not stand in the report"
    assert aorta.source is not None
    assert report.text[slice(*aorta.source.span)] == "Aorta"
    phrases = {each.answer: each.mentions[0].source for each in samples if each.task == "phrase-to-box"}
    assert phrases["Aorta"] == aorta.source


def test_without_rewrites_samples_and_bytes_stay(case: tuple[Slice, Mask]) -> None:
    report = plain(case)
    told = worded(report, (0, 1), "de")
    assert told.report is report
    assert (told.numbers, told.kept, told.wording) == ((0, 1), (0, 1), None)
    (whole,) = [each for each in made(case, report) if each.task == "grounded-report"]
    assert "wording" not in whole.facets
    assert all(each.source is not None for each in whole.mentions)
    assert "Größenprogrediente" in (whole.answer or "")


def test_translations_are_samples_of_the_other_language(case: tuple[Slice, Mask]) -> None:
    report = translated(with_static(plain(case))[0])
    samples = made(case, report)
    assert answers(samples) == {
        ("grounded-report", "de"): "Zyste im rechten Leberlappen, 12 mm. Die Aorta ist normal weit.",
        ("grounded-report", "en"): "Cyst in the right hepatic lobe, 12 mm. The aorta is of normal caliber.",
    }
    english = next(each for each in samples if each.task == "grounded-report" and each.lang == "en")
    assert english.facets["wording"] == "translation"
    assert [each.source for each in english.mentions] == [None, None]
    assert [[region.label for region in each.regions] for each in english.mentions] == [["liver"], ["aorta"]]
    assert english.from_[-1] == report.id


def test_a_report_in_the_language_comes_before_a_translation(case: tuple[Slice, Mask]) -> None:
    german = translated(with_static(plain(case))[0])
    english = a_report("Normal <a aorta>aorta</a> <r k>(series 3, image 5)</r>.", "en", slices={"k": [case[0].id]})
    said = [Said(german, 0), Said(english, 0)]
    assert list(said_in(said, "en")) == [Said(english, 0)]
    assert list(said_in(said[:1], "en")) == [Said(german, 0)]
    assert list(said_in([Said(german, 2)], "en")) == []


def test_a_sentence_that_compares_counts_once_it_is_worded_anew(case: tuple[Slice, Mask]) -> None:
    marked = "Zyste der <a liver>Leber</a> <r k>(Serie 3, Bild 5)</r>, zuvor kleiner <rp>(Serie 2, Bild 4)</rp>."
    report = a_report(marked, "de", slices={"k": [case[0].id]})
    before = counts_of(ground(Options(), group([*case, report])))
    assert before["references.in_comparison"] == 1
    anatomy = (Anatomy(span=(10, 15), sentence=0, classes=("liver",)),)
    rewrite = Rewrite(
        sentence=0,
        kind="static",
        lang="de",
        text="Zyste der Leber (Serie 3, Bild 5).",
        anatomy=anatomy,
        rules=("prior",),
    )
    anew = dataclasses.replace(report, rewrites=(rewrite,))
    items = list(ground(Options(tasks=("grounded-report",)), group([*case, anew])))
    assert "references.in_comparison" not in counts_of(items)
    (sample,) = samples_of(items)
    assert sample.answer == "Zyste der Leber."
    assert any(isinstance(each, Count) for each in items)


def test_a_sentence_that_only_compares_makes_no_sample(case: tuple[Slice, Mask]) -> None:
    report = a_report(
        "Keine neuen Herde der <n spleen>Milz</n> <r k>(Serie 3, Bild 5)</r>.", "de", slices={"k": [case[0].id]}
    )
    anew, counts = with_static(report)
    assert counts == {"rewrites.dropped": 1}
    assert not made(case, anew, "report")
    assert made(case, report, "report")
