"""From bytes to sentences: encodings, markup, sections, sentence ends, language."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.records import Lang, Report
from rrg.reports.language import detect
from rrg.reports.lexicon import expand, forms, lexicon, lexicon_version, rows
from rrg.reports.measurements import measurements_of
from rrg.reports.parse import parse
from rrg.reports.sections import sections_of
from rrg.reports.sentences import sentences_of
from rrg.reports.text import clean, decode


def kinds(text: str, lang: Lang = "de") -> list[tuple[str, str]]:
    return [(section.kind, text[slice(*section.span)]) for section in sections_of(text, lang)]


def sentences(text: str, lang: Lang = "de") -> list[str]:
    return [text[start:end] for start, end in sentences_of(text, (0, len(text)), lang)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(encoding: str) -> None:
    text = "Größe der Läsion: 6 mm – unverändert"
    assert decode(text.encode(encoding)) == text


def test_undecodable_bytes_do_not_fail() -> None:
    assert "Leber" in clean(decode(b"Leber \x81\x8d gro\xdf"))


def test_cleaning() -> None:
    assert clean("Le\u00adber\u200b 6\u00a0mm\r\n\r\n\r\n\r\nMilz\t\x84 ") == "Leber 6 mm\n\nMilz „"
    assert clean("O\u0308dem") == unicodedata.normalize("NFC", "O\u0308dem") == "Ödem"
    assert clean(" \n\u200b\x00 ") == ""
    assert clean("Größe 6,5 cm bei 3.5 mm") == "Größe 6,5 cm bei 3.5 mm"


def test_html_and_rtf_become_text() -> None:
    page = (
        "<!DOCTYPE html><html><head><title>x</title></head><body><h1>Befund</h1><p>Leber &amp; Milz</p></body></html>"
    )
    assert clean(page) == "Befund\n\nLeber & Milz"
    rtf = r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 Befund:\par Gr\'f6\'dfe der L\u228?sion 6 mm\par}"
    assert clean(rtf) == "Befund:\nGröße der Läsion 6 mm"


GERMAN = """Klinische Angaben: Husten.
Fragestellung: Pneumonie?
Technik:
CT Thorax nativ.
Befund:
Leber: unauffällig.
Befundet wurde die Lunge.
Beurteilung
Kein Infiltrat.
Empfehlung: Kontrolle.
Nachtrag: Keiner."""


def test_german_sections() -> None:
    assert kinds(GERMAN) == [
        ("clinical", "Husten."),
        ("question", "Pneumonie?"),
        ("technique", "CT Thorax nativ."),
        ("findings", "Leber: unauffällig.\nBefundet wurde die Lunge."),
        ("impression", "Kein Infiltrat."),
        ("recommendation", "Kontrolle."),
        ("addendum", "Keiner."),
    ]


def test_english_sections_and_one_line_reports() -> None:
    text = "HISTORY: Cough. COMPARISON: None. FINDINGS: Clear lungs. IMPRESSION: Normal."
    assert [kind for kind, _ in kinds(text, "en")] == ["clinical", "comparison", "findings", "impression"]


def test_no_heading_is_one_body_and_text_before_a_heading_too() -> None:
    assert kinds("Leber unauffällig.") == [("body", "Leber unauffällig.")]
    assert [kind for kind, _ in kinds("Kopfzeile\nBefund:\nLeber.")] == ["body", "findings"]
    assert kinds("Der Befund ist unauffällig.\nBefund der Leber unverändert.")[0][0] == "body"


def test_headings_only() -> None:
    assert kinds("Befund:\nBeurteilung:") == [("findings", ""), ("impression", "")]


@pytest.mark.parametrize(
    "sentence",
    [
        "V. a. Metastase, z. B. im Segment IVa, a.e. bei Z. n. OP, DD Zyste.",
        "Die A. carotis int. re. ist ca. 1,2 cm lang, i.v. KM.",
        "Fraktur der 3. Rippe li. vom 12. März.",
        "Zyste der re. Niere (s. Serie 3, Bild 45), vgl. Nr. 5, bds. Ergüsse.",
        "Größe 6.5 cm, früher 1.2 cm am 12.03.2021 gemessen.",
        "Läsion (Se. 3 Im. 45) im Segment II.",
        "Z.n. Splenektomie mit Dr. Muster bzw. Prof. Muster.",
    ],
)
def test_no_sentence_ends_here(sentence: str) -> None:
    assert sentences(sentence) == [sentence]


def test_sentence_ends() -> None:
    assert sentences("Leber normal. Milz normal! Erguss? Nein.") == [
        "Leber normal.",
        "Milz normal!",
        "Erguss?",
        "Nein.",
    ]
    assert sentences("Zyste in Bild 45. Leber normal.") == ["Zyste in Bild 45.", "Leber normal."]
    assert sentences("Erguss bds. Herz normal.") == ["Erguss bds.", "Herz normal."]
    assert sentences("- Leber normal\n2. Milz normal") == ["Leber normal", "Milz normal"]
    assert sentences("Zyste der Niere li. Kein Erguss.") == ["Zyste der Niere li.", "Kein Erguss."]


def test_wrapped_lines_are_joined_and_short_lines_are_not() -> None:
    wrapped = "Die Leber zeigt im rechten Lappen eine glatt begrenzte hypodense\nLäsion ohne KM-Anreicherung."
    assert sentences(wrapped) == [wrapped]
    assert sentences("Leber normal\nMilz normal") == ["Leber normal", "Milz normal"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 mm", [(6.0,)]),
        ("1,2 x 0,9 cm", [(12.0, 9.0)]),
        ("1.2 cm x 0.9 cm x 8 mm", [(12.0, 9.0, 8.0)]),
        ("12×9mm", [(12.0, 9.0)]),
        ("5-mm nodule", [(5.0,)]),
        ("bis 14 mm KAD", [(14.0,)]),
        ("3-4 mm", [(3.0, 4.0)]),
        ("10 mmHg, 5 mm/h, 12 mm²", []),
        ("3 cm rechts, 12 mm links", [(30.0,), (12.0,)]),
        ("Serie 3, Bild 45", []),
        ("3 m", []),
    ],
)
def test_measurements(text: str, expected: list[tuple[float, ...]]) -> None:
    assert [each.mm for each in measurements_of(text, 0, len(text))] == expected


def test_languages() -> None:
    assert detect("Die Leber ist unauffällig, kein Nachweis einer Läsion.") == "de"
    assert detect("The liver is normal, there is no lesion.") == "en"
    mixed = (
        "Befund:\nDie Leber ist unauffällig und ohne Läsion.\nImpression:\nThe liver is normal and without any lesion."
    )
    assert [section.lang for section in sections_of(mixed, "de")] == ["de", "en"]


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("Mild cardiomegaly.", "en"),
        ("Mild cardiomegaly. No effusion.", "en"),
        ("Hepatic cyst, 2.1 cm (4:38).", "en"),
        ("Bibasal atelectasis.", "en"),
        ("Zysten mehrere in beiden Nieren.", "de"),
        ("Metastase in Th 11.", "de"),
        ("Lebermetastase 4 cm.", "de"),
        ("Osteochondrose.", "de"),
    ],
)
def test_a_phrase_without_small_words_is_of_the_language_that_knows_its_words(text: str, lang: Lang) -> None:
    assert detect(text) == lang
    assert detect("345") == "de"
    assert detect("345", otherwise="en") == "en"


def test_notation_of_the_lists() -> None:
    assert expand("Niere(n)") == ["Niere", "Nieren"]
    assert expand("metastas[is|es]") == ["metastasis", "metastases"]
    assert expand("renal~") == ["renal", "renale", "renaler", "renales", "renalen", "renalem"]
    assert list(forms("a; b ;")) == ["a", "b"]


@pytest.mark.parametrize("lang", ["de", "en"])
def test_lists_are_large_enough_and_well_formed(lang: Lang) -> None:
    lex = lexicon(lang)
    assert len({row[0] for row in rows(f"findings.{lang}.tsv")}) >= 60
    assert len(lex.structures) > 200
    assert all(len(row) == 3 for name in ("forms", "findings", "context") for row in rows(f"{name}.{lang}.tsv"))
    assert lexicon_version().startswith("rrg-lexicon/1:")


def test_both_languages_know_the_same_findings() -> None:
    german, english = ({row[0] for row in rows(f"findings.{lang}.tsv")} for lang in ("de", "en"))
    assert german == english


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_a_valid_record(text: str) -> None:
    stored = clean(text)
    said = parse(stored)
    Report(
        id="x",
        text=stored,
        lang=said.lang,
        source_sha256="0",
        sections=said.sections,
        sentences=said.sentences,
        anatomy=said.anatomy,
        findings=said.findings,
        references=said.references,
    )
    inside = [said.sections[sentence.section].span for sentence in said.sentences]
    for sentence, span in zip(said.sentences, inside, strict=True):
        assert span[0] <= sentence.span[0] < sentence.span[1] <= span[1]


@pytest.mark.parametrize(
    "unit",
    ["Metastase ", "(Serie 3, Bild 45) ", "z. B. ", "kein Erguss, ", "Bild 3 und ", "1 x ", "(", "a", "L4/", "1"],
)
def test_time_grows_with_the_text_only(unit: str) -> None:
    start = time.process_time()
    parse(clean(unit * (100_000 // len(unit))), "de")
    assert time.process_time() - start < 15
