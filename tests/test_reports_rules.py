"""What a finding's words say beyond its place: change, number, whose it is, why a structure is gone; odd texts."""

import time

import pytest

from rrg.records import Lang
from rrg.reports.parse import parse
from rrg.reports.text import clean


@pytest.mark.parametrize(
    ("lang", "text", "change"),
    [
        ("de", "Neuer Rundherd im linken Oberlappen.", "new"),
        ("de", "Größenprogrediente Leberzyste.", "larger"),
        ("de", "Die Leberzyste ist regredient.", "smaller"),
        ("de", "Zyste der Milz, unverändert.", "unchanged"),
        ("de", "Keine Größenzunahme der Leberzyste.", "unchanged"),
        ("de", "Der Pleuraerguss ist nicht mehr nachweisbar.", "resolved"),
        ("de", "Kleiner Erguss links.", None),
        ("de", "Keine neuen Metastasen.", None),
        ("en", "The nodule has increased in size.", "larger"),
        ("en", "Stable nodule in the left lung.", "unchanged"),
        ("en", "New nodule.", "new"),
        ("en", "The effusion has resolved.", "resolved"),
        ("en", "Interval decrease in size of the mass.", "smaller"),
    ],
)
def test_change(lang: Lang, text: str, change: str | None) -> None:
    assert parse(text, lang).findings[0].change == change


@pytest.mark.parametrize(
    ("lang", "text", "number", "multiple"),
    [
        ("de", "Zwei Zysten der Leber.", 2, True),
        ("de", "3 Rundherde im Oberlappen.", 3, True),
        ("de", "Multiple kleine Zysten.", None, True),
        ("de", "Solitärer Rundherd.", 1, False),
        ("de", "Zyste in Segment 4.", None, False),
        ("de", "Kontrolle in drei Monaten wegen Zyste.", None, False),
        ("en", "Three enhancing lesions.", 3, True),
        ("en", "Several cysts.", None, True),
        ("en", "A cyst.", None, False),
    ],
)
def test_number(lang: Lang, text: str, number: int | None, *, multiple: bool) -> None:
    finding = parse(text, lang).findings[-1]
    assert (finding.count, finding.multiple) == (number, multiple)


@pytest.mark.parametrize(
    ("lang", "text", "whose"),
    [
        ("de", "Mutter mit Mammakarzinom.", ["other"]),
        ("de", "Mammakarzinom der Mutter, Patientin mit Leberzyste.", ["other", "patient"]),
        ("en", "Family history of aneurysm.", ["other"]),
        ("en", "Known aneurysm.", ["patient"]),
    ],
)
def test_whose_it_is(lang: Lang, text: str, whose: list[str]) -> None:
    assert [finding.experiencer for finding in parse(text, lang).findings] == whose


@pytest.mark.parametrize(
    ("lang", "text", "why"),
    [
        ("de", "Z. n. Cholezystektomie.", "resected"),
        ("de", "Die Milz wurde entfernt.", "resected"),
        ("de", "Die Milz ist nicht abgebildet.", "not_imaged"),
        ("en", "The spleen is not included in the field of view.", "not_imaged"),
        ("en", "The gallbladder has been removed.", "resected"),
        ("en", "The gallbladder is normal.", None),
    ],
)
def test_why_it_is_not_there(lang: Lang, text: str, why: str | None) -> None:
    mention = parse(text, lang).anatomy[0]
    assert (mention.absent_why, mention.absent) == (why, why is not None)


def test_every_size_is_kept_with_its_time() -> None:
    said = parse("Milz 11 cm. Zyste 12 mm, zuvor 9 mm; Herd von 5 mm auf 8 mm gewachsen. Schichtdicke 3 mm.", "de")
    assert [(each.value_mm, each.sentence, each.prior) for each in said.measurements] == [
        ((110.0,), 0, False),
        ((12.0,), 1, False),
        ((9.0,), 1, True),
        ((5.0,), 1, True),
        ((8.0,), 1, False),
    ]


@pytest.mark.parametrize(
    ("text", "state", "certainty"),
    [
        ("Ergussfrei.", "absent", "certain"),
        ("Die Leber ist metastasenfrei.", "absent", "certain"),
        ("Metastasenverdächtiger Befund.", "present", "uncertain"),
        ("Pneumonie vs. Atelektase.", "present", "uncertain"),
        ("Frakturen sind nicht sicher nachgewiesen.", "absent", "certain"),
        ("Fraktur?", "present", "uncertain"),
        ("Pleura- oder Perikarderguss besteht nicht.", "absent", "certain"),
    ],
)
def test_denial_and_doubt(text: str, state: str, certainty: str) -> None:
    assert {(finding.state, finding.certainty) for finding in parse(text, "de").findings} == {(state, certainty)}


REPORT = """Befund:
Leber: Zyste in Segment IVa, 12 mm (Serie 3, Bild 45), unverändert. Keine Lebermetastasen.
Lunge: Rundherd im linken Unterlappen, 6 mm.
Beurteilung:
1. Leberzyste.
2. Kein Erguss.
"""


def test_a_text_without_words_says_nothing() -> None:
    said = parse(clean(" \n\u200b "))
    assert said.sections == said.sentences == said.findings == said.measurements == ()


def test_headings_alone_are_empty_sections() -> None:
    said = parse("Befund:\nBeurteilung:\n", "de")
    assert [section.kind for section in said.sections] == ["findings", "impression"]
    assert said.sentences == ()


def test_two_reports_in_one_text_follow_each_other() -> None:
    once, twice = parse(REPORT, "de"), parse(REPORT + "\n" + REPORT, "de")
    assert [each.kind for each in twice.sections] == 2 * [each.kind for each in once.sections]
    assert [each.name for each in twice.findings] == 2 * [each.name for each in once.findings]


def test_invisible_characters_change_nothing() -> None:
    dirty = REPORT.replace("Leber", "Le\u00adber").replace("Zyste", "Zy\u200bste").replace(" mm", "\u00a0mm")
    assert parse(clean(dirty), "de") == parse(clean(REPORT), "de")


@pytest.mark.parametrize(
    "unit", [REPORT, "Zyste ", "kein Erguss, ", "Bild 3 und ", "links rechts ", "Leber Niere ", "("]
)
def test_time_is_linear(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        best = []
        for _ in range(2):
            start = time.process_time()
            parse(text, "de")
            best.append(time.process_time() - start)
        return min(best)

    seconds(2000)
    assert seconds(60_000) < 3.5 * seconds(30_000) + 0.5


def test_a_large_report_is_whole() -> None:
    said = parse(REPORT * (200_000 // len(REPORT)), "de")
    assert len(said.findings) == (200_000 // len(REPORT)) * len(parse(REPORT, "de").findings)
