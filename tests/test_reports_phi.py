"""Masking by rules: what goes, what stays, and that the parser reads the same facts before and after."""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rrg.reports.parse import parse
from rrg.reports.phi import mask
from rrg.reports.phi_map import original_span
from rrg.reports.phi_spans import PLACEHOLDER

GOLD = sorted((Path(__file__).parent / "gold").glob("*.jsonl"))


@pytest.fixture
def grascco() -> Path:
    root = os.environ.get("RRG_TEST_DATA")
    folder = Path(root or "/") / "grascco-de" / "raw"
    if root is None or not folder.is_dir():
        pytest.skip("RRG_TEST_DATA is not set, or has no grascco-de: no letters on this machine")
    return folder


GOES = [
    ("VU vom 12.03.2021.", "VU vom [DATE]."),
    ("VU vom 12.3.21, Serie 3, Bild 40.", "VU vom [DATE], Serie 3, Bild 40."),
    ("In der VU vom 12.03. Die Leber ist frei.", "In der VU vom [DATE]. Die Leber ist frei."),
    ("Vom 2. bis zum 7.10.2021 stationär.", "Vom [DATE] bis zum [DATE] stationär."),
    ("Vom 19.3. bis 7.5.2029.", "Vom [DATE] bis [DATE]."),
    ("Zuletzt im März 2021.", "Zuletzt im [DATE]."),
    ("Am 3. Mai 2021 um 14:38 Uhr.", "Am [DATE] um 14:38 Uhr."),
    ("ED 06/2022, OP 9/23.", "ED [DATE], OP [DATE]."),
    ("CT from March 12, 2021 at 14:38.", "CT from [DATE] at 14:38."),
    ("Compared to 12 March 2021 and 03/12/2021.", "Compared to [DATE] and [DATE]."),
    ("Aufnahme 2021-03-12T08:15.", "Aufnahme [DATE]T08:15."),
    ("geb. 01.02.1950, * 3.4.1951, DOB: 04/03/1951", "geb. [DATE], * [DATE], DOB: [DATE]"),
    ("93-jähriger Patient", "[AGE]-jähriger Patient"),
    ("A 91-year-old woman, aged 95", "A [AGE]-year-old woman, aged [AGE]"),
    ("Fall-Nr. 4711-22, ID: 998877", "Fall-Nr. [ID], ID: [ID]"),
    ("Patienten-ID 0815, Accession: 12AB34", "Patienten-ID [ID], Accession: [ID]"),
    ("MRN 0012345; Versichertennummer A123456789", "MRN [ID]; Versichertennummer [ID]"),
    ("Histologie H25440/51", "Histologie [ID]"),
    ("1.2.840.113619.2.55.3", "[ID]"),
    ("Tel. 030 110-2612, Fax: 030/1234", "Tel. [PHONE], Fax: [PHONE]"),
    ("Phone (555) 123-4567", "Phone [PHONE]"),
    ("Mail an a.b-c@klinik.example.org, www.klinik.example", "Mail an [EMAIL], [URL]"),
    ("wohnhaft Lindenstraße 5a, 12345 Musterdorf", "wohnhaft [ADDRESS]"),
    ("12 Oak Tree Lane, Springfield, IL 62704", "[ADDRESS], [ADDRESS]"),
    ("Klinikum Bremen-Mitte", "[INSTITUTION]"),
    ("Überweisung aus dem Marienhospital Osnabrück.", "Überweisung aus dem [INSTITUTION]."),
    ("Seen at St. Mary's Hospital.", "Seen at [INSTITUTION]."),
    ("Frau Dr. med. Müller-Lüdenscheid", "Frau Dr. med. [NAME]"),
    ("Fr. Dr. Mueller hat befundet.", "Fr. Dr. [NAME] hat befundet."),
    ("Pat. Müller, Hans klagt.", "Pat. [NAME] klagt."),
    ("OA Dr. Wiesler Franz / Ass. Dr. Leber Ronny", "OA Dr. [NAME] / Ass. Dr. [NAME]"),
    ("Sehr geehrter Herr Kollege Meyer,", "Sehr geehrter Herr Kollege [NAME],"),
    ("Dear Dr. Brown, Ms. O'Neill was seen.", "Dear Dr. [NAME], Ms. [NAME] was seen."),
    ("Referring physician: John Q. Public, MD", "Referring physician: [NAME], MD"),
    ("Electronically signed by: Jane Doe", "Electronically signed by: [NAME]"),
    ("Name: Konstantin Tupolev", "Name: [NAME]"),
    ("gez. X. Quöckelbrand", "gez. [NAME]"),
    ("Bei Herrn K. Die Leber ist groß.", "Bei Herrn [NAME]. Die Leber ist groß."),
    ("Quöckelbrand, Xaverine, geb. 3.5.1931", "[NAME], geb. [DATE]"),
]

STAYS = [
    "Rundherd 12 x 9 mm, zuvor 8 mm, um 14:38 Uhr (Serie 3, Bild 45).",
    "Fraktur von BWK 11/12, L4/5 und Th 11; 4. Rippe; HWK 3/4/5.",
    "Leber Segment 4/5, IVa; Bosniak III; Weber B; BI-RADS 4; PI-RADS 3; ASPECTS 7; Gleason 3+4.",
    "Morbus Crohn, M. Parkinson, Hill-Sachs-Delle, Baker-Zyste, Smith-Fraktur, Müller-Gang.",
    "Pantoprazol 40 mg 1-0-1, Insulin 18-0-12, 10-10-10, RR 120/80 mmHg.",
    "Hb 10.12. Das CRP war 12.5. Lipase 122.",
    "Serie 201, Bild 112; (4:38); S4 B123; IMA 12; Se. 3 Im. 45-52.",
    "Seen on series 4, image 38: 7.3 mm. Dose 12.5 mGy, kV 120, b 800.",
    "Klinik: Schmerzen im Oberbauch. Vorstellung in der Klinik für Neurochirurgie empfohlen.",
    "Gallenwege 3 mm, Beckenring 2 Frakturen, Vorhof 3 cm.",
    "Pat. Zustand nach Sturz. Patient Raucher. Patientin: Unauffällig.",
    "CA 19-9 erhöht, OA Grad 2, MS bekannt, PD FS, FA für Neurologie, Prof. empfiehlt Kontrolle.",
    "65-jähriger Patient, seit 2007 bekannt, 90 mm, 95 HE.",
    "Die Frau ist schwanger. The patient, a man of 45, fell.",
    "Kein Nachweis. Milz normal. Herz groß.",
    "Leukozyten 11000, 25000 Thrombozyten, 370000 Zellen.",
]


@pytest.mark.parametrize(("text", "masked"), GOES)
def test_this_goes(text: str, masked: str) -> None:
    assert mask(text).text == masked


@pytest.mark.parametrize("text", STAYS)
def test_this_stays(text: str) -> None:
    assert mask(text).text == text


def test_a_name_is_found_again_in_the_same_text() -> None:
    masked = mask(
        "Patientin Quöckelbrand, Xaverine, geb. 3.5.1931.\nHeute war Xaverine wach; Quöckelbrands Milz ist groß."
    )
    assert masked.text == "Patientin [NAME], geb. [DATE].\nHeute war [NAME] wach; [NAME] Milz ist groß."


def test_a_surname_built_like_a_word_goes_everywhere() -> None:
    text = "Patient: Quastenfloss, Zebulon\nHerr Quastenfloss hat Husten.\nQuastenfloss kommt wieder."
    assert "Quastenfloss" not in mask(text).text
    assert mask("Patient: Husten, Fieber seit 3 Tagen.").text == "Patient: Husten, Fieber seit 3 Tagen."
    assert mask("Patientin: Leberzirrhose, Aszites.").text == "Patientin: Leberzirrhose, Aszites."


def test_people_sign_at_the_end() -> None:
    text = (
        "Kein Erguss.\n\nMit freundlichen Grüßen\n\n"
        "PD Dr. Hauser Chefarzt\nAlma Hecht     Urs Mühlbacher\nDirektor der Klinik"
    )
    assert mask(text).text.endswith("PD Dr. [NAME] Chefarzt\n[NAME]     [NAME]\nDirektor der Klinik")


def test_placeholders_of_the_source_stay_whole() -> None:
    text = "Herr [NAME] kam am [DATE], Fall-Nr. [ID], ID: [ID]."
    assert mask(text).text == text


def test_spans_go_back_to_the_text_before() -> None:
    text = "Frau Müller, geb. 1.2.1950: VU vom 12.03.2021 Serie 3, Bild 40, 6 mm. gez. Dr. Meyer"
    masked = mask(text)
    for place in masked.places:
        assert PLACEHOLDER.fullmatch(masked.text[place.start : place.end])
    for piece in ("Serie 3, Bild 40", "6 mm", "VU vom", "gez."):
        at = masked.text.index(piece)
        start, end = original_span(masked.places, (at, at + len(piece)))
        assert text[start:end] == piece
    at = masked.text.index("[DATE] Serie")
    start, end = original_span(masked.places, (at + 2, at + 8))
    assert text[start:end] == "12.03.2021 S"


@pytest.mark.parametrize("path", GOLD, ids=lambda path: path.name)
def test_nothing_but_dates_goes_from_gold_texts_and_the_parser_reads_the_same(path: Path) -> None:
    """The texts hold a made-up telephone number and a made-up "Dr Smith"; all else that is masked in them is a date."""
    touched = 0
    for line in path.read_text("utf-8").splitlines():
        gold = json.loads(line)
        text = gold["text"]
        masked = mask(text)
        taken = [place for place in masked.places if not place.rule.startswith(("date.", "phone.", "name.title"))]
        assert not taken, (gold["id"], [text[place.original_start : place.original_end] for place in taken])
        if masked.places:
            touched += 1
            before, after = parse(text, gold.get("lang")), parse(masked.text, gold.get("lang"))
            assert _facts(before, ()) == _facts(after, masked.places), gold["id"]
    assert touched > 0


def _facts(parsed: Any, places: Any) -> Counter[str]:
    """Every fact with its spans in the text before, without the names of rules."""
    found: Counter[str] = Counter()
    for name in parsed._fields:
        value = getattr(parsed, name)
        for each in value if isinstance(value, tuple) else ():
            own = {field: getattr(each, field) for field in each.__slots__ if field not in ("rule", "rules")}
            for field in ("span", "heading"):
                if own.get(field) is not None:
                    own[field] = original_span(places, own[field])
            if own.get("measurements"):
                own["measurements"] = [original_span(places, one.span) for one in own["measurements"]]
            found[f"{name} {own}"] += 1
    return found


def test_a_prior_study_is_still_one_behind_a_masked_date() -> None:
    text = mask(
        "Osteolyse in BWK 11 (Bild 45, Serie 6), in der VU vom 12.03.2021 Serie 3, Bild 40 noch nicht abgrenzbar."
    ).text
    assert "vom [DATE] Serie 3" in text
    assert [(one.series_number, one.prior) for one in parse(text, "de").references] == [(6, False), (3, True)]


@pytest.mark.parametrize(
    "piece", ["Müller-", "a@", "Dr. ", "1.2.", "Hans, ", "0 ", "(", "Klinik Aa ", "geb. ", "x.", "[NAME]"]
)
def test_time_grows_with_the_text_only(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        start = time.process_time()
        mask(text)
        return time.process_time() - start

    seconds(1000)
    assert seconds(20_000) < 10 * seconds(4000) + 0.3  # five times the text


def test_noise_breaks_nothing() -> None:
    signs = random.Random(3)
    alphabet = "Aaäß 19.,:-/\n()[]@*+#Dr.Hm\u0301\ud83d\x00"
    for _ in range(200):
        text = "".join(signs.choice(alphabet) for _ in range(200))
        masked = mask(text)
        assert original_span(masked.places, (0, len(masked.text))) == (0, len(text))


def test_the_second_look_sees_what_the_rules_left() -> None:
    left = mask("Zugang 12345678901234567890123 und 1O.03.2021, Herr mit Quöckelbrand").left
    assert left.get("title") == 1
    assert sum(left.values()) >= 2
    assert mask("Kein Erguss. Die Leber ist normal groß.").left == {}


def test_made_up_letters_lose_most_names_and_keep_their_medicine(grascco: Path) -> None:
    """62 synthetic letters with invented people (a part of them here). Only totals: no text of them stands here."""
    kinds: Counter[str] = Counter()
    letters = left = 0
    for path in sorted(grascco.glob("*.txt")):
        masked = mask(path.read_text("utf-8-sig"))
        letters += 1
        left += masked.ledger["residual"]
        kinds.update(place.rule.partition(".")[0] for place in masked.places)
        assert sum(place.original_end - place.original_start for place in masked.places) < 0.2 * len(masked.text)
    assert kinds["name"] > 3 * letters
    assert kinds["date"] > 6 * letters
    assert left < 8 * letters
