"""Sentences as they are dictated: verbs in front, insertions, relative clauses, sides behind sizes, rows of tables."""

import pytest

from rrg.reports.parse import parse
from tests.reports_facts import facts, rows

GERMAN = """
Nicht erkennbar sind Zysten im Pankreas.
    -cyst@pancreas
Ein Abszess, wie sonographisch angenommen, findet sich nicht.
    -abscess
Thromben sind nirgends sichtbar.
    -thrombosis
Kalzifikationen ließen sich in keiner der Serien erkennen.
    -calcification
Kein Herd, der an ein Karzinom denken lässt.
    -lesion | -carcinoma
Kein Erguss, die Leber mit Zyste.
    -effusion | cyst@liver
Keine Blutung in das bekannte Meningeom.
    -hemorrhage | meningioma
Fraktur von 4 mm links und zwei Zysten von 3 mm und 5 mm rechts.
    fracture/left=4 | cyst/right=3;5
Sowohl die linke als auch die rechte Niere zeigen Zysten.
    cyst@kidney_right+kidney_left/both
Ab Bild 30 der Serie 2 Thrombus.
    thrombosis | #2/30+
Abszess auf Bild 30 der Serie 2.
    abscess | #2/30
Die im Vorbefund erwähnte Zyste (damals Serie 4, Bild 12 und Bild 18) liegt auf Bild 20 der Serie 3.
    cyst | <#4/12 | <#4/18 | #3/20
Karzinom 6 cm gegenüber 4 cm.
    carcinoma=60
Zyste 9 mm, Nadir 6 mm.
    cyst=9
Nekrose beidseits, links stärker als rechts.
    necrosis/both
Auszuschließen ist ein Hämatom nicht.
    ?hematoma
Mit Sicherheit ausschließen lassen sich Metastasen der Leber nicht.
    ?metastasis@liver
Auszuschließen ist ein Hämatom. Zysten sieht man nicht.
    hematoma | -cyst | !2
Ausgeschlossen ist eine Fraktur.
    -fracture
Sicher ausgeschlossen wurden Metastasen der Leber, es besteht ein Erguss.
    -metastasis@liver | effusion
Nicht ausgeschlossen ist eine Thrombose.
    ?thrombosis
Emphysem, die dorsalen Unterlappen frei.
    emphysema
Hämangiom der Leber, 31 x 12 mm, 4/77.
    hemangioma@liver=31x12 | #4/77
Lymphknoten 12 mm, 3/24.
    nothing
Hämangiom, Bildreferenzen 4/77 und 3/12.
    hemangioma | #4/77 | #3/12
Schlüsselbilder: 4/77; 3/12
    #4/77 | #3/12
Tumor 30 mm (S. 4, B. 20), (S. 2, B. 11 VU: 40 mm).
    tumor=30 | #4/20 | <#2/11
"""
ENGLISH = """
Cysts are seen on neither side.
    -cyst/both
Nowhere in the liver is an abscess seen.
    -abscess@liver
Hematoma, as assumed on ultrasound, is not seen.
    -hematoma
Thrombus is found in neither the aorta nor the portal vein.
    -thrombosis@aorta+portal_vein_and_splenic_vein
Several cysts, none of which shows hemorrhage.
    cyst | -hemorrhage
No edema around the known meningioma.
    -edema | meningioma
Stone of 4 mm on the left and cyst of 6 mm on the right.
    calculus/left=4 | cyst/right=6
Lungs: nodule in the right lower lobe.
    nodule@lung_left+lung_right+lung_lower_lobe_right/right
The hernia (then series 2, image 11 and image 14) is on image 15 of series 4.
    hernia | <#2/11 | <#2/14 | #4/15
Key images: 4/77, 3/12.
    #4/77 | #3/12
"""


@pytest.mark.parametrize(("sentence", "expected"), rows(GERMAN))
def test_the_german_sentence_says_this(sentence: str, expected: str) -> None:
    assert facts(sentence, "de") == expected


@pytest.mark.parametrize(("sentence", "expected"), rows(ENGLISH))
def test_the_english_sentence_says_this(sentence: str, expected: str) -> None:
    assert facts(sentence, "en") == expected


@pytest.mark.parametrize(
    ("sentence", "multiple"),
    [
        ("Hämangiome, mehrere, in der Leber.", True),
        ("Leberzysten zahlreich.", True),
        ("Leberzysten, mehrere Ergüsse.", False),
        ("Fraktur, mehrere Tage alt.", False),
    ],
)
def test_a_word_of_number_may_stand_behind(sentence: str, multiple: bool) -> None:
    assert parse(sentence, "de").findings[0].multiple == multiple


@pytest.mark.parametrize(
    ("sentence", "side"),
    [
        ("Die Oberlappen sind frei.", "both"),
        ("Die basalen Unterlappen frei.", "both"),
        ("Die Unterlappen links frei.", "left"),
        ("Der Oberlappen ist frei.", None),
        ("Die Zyste im Oberlappen.", None),
    ],
)
def test_the_article_tells_both_lobes(sentence: str, side: str | None) -> None:
    assert [each.side for each in parse(sentence, "de").anatomy if "lobe" in each.classes[0]] == [side]


def test_rows_of_a_table_are_sentences_and_their_second_size_is_the_earlier_one() -> None:
    said = parse("A | Milz | 21 mm | Se 5 Im 40 | Vorwert 30 mm\nB | Leber | 9 mm\nKeine Herde.", "de")
    assert len(said.sentences) == 3
    assert [(each.value_mm, each.prior) for each in said.measurements] == [((21,), False), ((30,), True), ((9,), False)]
    assert [each.classes for each in said.anatomy if each.negated] == [("lesion",)]


@pytest.mark.parametrize(
    ("sentence", "prior"),
    [
        ("Karzinom 6 cm gegenüber 4 cm.", [False, True]),
        ("Karzinom 6 cm, Zyste 4 cm.", [False, False]),
        ("Zyste 9 mm, Nadir 6 mm.", [False, True]),
        ("Herd bei Aufnahme 9 mm.", [False]),
        ("Herd 7 mm, 9 mm bei Aufnahme.", [False, True]),
    ],
)
def test_which_size_is_the_earlier_one(sentence: str, prior: list[bool]) -> None:
    assert [each.prior for each in parse(sentence, "de").measurements] == prior


def test_the_thickness_of_slices_in_brackets_is_no_size() -> None:
    assert not parse("Bei anderer Schichtdicke (2 mm versus 5 mm) unveränderter Herd.", "de").measurements
    assert len(parse("Unveränderter Herd (2 mm versus 5 mm).", "de").measurements) == 2
