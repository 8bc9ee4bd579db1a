"""What belongs to one clause of a sentence: places behind brackets and colons, causes, earlier studies, doubts."""

import pytest

from rrg.records import Lang
from rrg.reports.parse import parse
from tests.reports_facts import facts, rows

SENTENCES = """
Zysten in der Leber (Serie 3, Bild 45) und der linken Niere.
    cyst@liver+kidney_left/left | #3/45
Metastasen in der Leber (bis 12 mm) und in der Milz.
    metastasis@liver+spleen=12
Zysten: rechte Niere 12 mm, linke Niere 9 mm.
    cyst@kidney_right+kidney_left/both=12;9
Atrophie der rechten Niere, linke Nebenniere regelrecht.
    atrophy@kidney_right/right
Zyste der rechten Niere, Leber und Milz o. B.
    cyst@kidney_right/right
Zyste der rechten Niere, linke Niere und Milz normal.
    cyst@kidney_right/right
Im Segment VI der Leber eine 14 x 11 mm große, arteriell hypervaskularisierte Raumforderung.
    mass@liver=14x11
Links frontoparietal 23 mm messende, scharf begrenzte Läsion.
    lesion/left=23
Bei Mammakarzinom links derzeit keine hepatische, pulmonale oder ossäre Metastasierung.
    carcinoma/left | -metastasis@liver..4
Ein Pneumothorax liegt nicht vor, ein Erguss ebenso wenig.
    -pneumothorax | -effusion
Keine Verhärtung tastbar, alte Narbe im Mittelbauch.
    scar
Kein Erguss abgrenzbar, beginnender Infarkt rechts.
    -effusion | infarction/right
Keine Fraktur, degenerative Veränderungen der LWS.
    -fracture | degenerative change@vertebrae_L5..5
Keine Zysten, suspekte Läsionen oder Metastasen.
    -cyst | -lesion | -metastasis
Keine Fraktur, traumatische Läsion.
    -fracture | -lesion
Einbruch in den Leberhilus.
    nothing
Einbruch der Grundplatte von BWK 8.
    compression fracture@vertebrae+vertebrae_T8
Pulmonalisstenose, parenterale Ernährung, Vorstellung im Tumor-Board.
    stenosis
Das Verhalten nach Kontrastmittel ist unspezifisch.
    nothing
Verhalt präsakral, 3 cm.
    abscess=30
Zustand nach Katheter-Entfernung, weiter Eiweißrestriktion.
    nothing
Rundherd 7 mm rechter Oberlappen und Zyste li. Niere 12 mm.
    nodule@lung_upper_lobe_right/right=7 | cyst@kidney_left/left=12
Linksbasal flächige Atelektasen.
    atelectasis/left
Rundherd, aktuell 5 mm (4:138), am 14.01.2025 8 mm.
    nodule=5 | #4/138
Herd (VU v. 09.09.2021, Serie 201 Bild 45), aktuell 12 mm.
    lesion=12 | <#201/45
Am 07.08.2024 in Serie 5, Bild 66 noch kein Herd.
    -lesion | <#5/66
Nierenkonkremente sind weder rechts noch links abgrenzbar.
    -calculus@kidney_right+kidney_left/both
Eine Fraktur lässt sich nicht sicher nachweisen.
    -?fracture
Atelektase im rechten Unterlappen bei Pleuraerguss.
    atelectasis@lung_lower_lobe_right/right | pleural effusion
Cholezystolithiasis mit fragl. Begleitcholezystitis.
    gallstone | ?cholecystitis
Leberläsion, fragl.
    ?lesion@liver
Kein Infiltrat, Pneumonie jedoch möglich.
    -infiltrate | ?pneumonia
Erguss jedoch nicht nachweisbar.
    -effusion
Pneumonie unter antiödematöser Therapie.
    pneumonia
Z. n. Schaumsklerosierung, Thrombose der Vena cava inferior.
    thrombosis@inferior_vena_cava
"""


@pytest.mark.parametrize(("sentence", "expected"), rows(SENTENCES))
def test_the_sentence_says_this(sentence: str, expected: str) -> None:
    assert facts(sentence, "de") == expected


@pytest.mark.parametrize(
    ("lang", "sentence", "expected"),
    [
        ("de", "Der im Vor-CT beschriebene Rundherd ist nicht mehr nachweisbar.", ("current", "resolved")),
        ("de", "Vgl. Voraufnahme (Serie 2, Bild 40) unveränderte Zyste.", ("current", "unchanged")),
        ("de", "Wie in der Voraufnahme (Serie 2, Bild 40) Zyste der Leber.", ("current", "unchanged")),
        ("de", "Bereits in der Voraufnahme (Serie 2, Bild 40) abgrenzbare Zyste.", ("current", None)),
        ("de", "Voraufnahme Serie 2, Bild 40: Zyste der Leber.", ("prior", None)),
        ("en", "Prior series 2, image 40 showed a nodule in the right lung.", ("prior", None)),
        ("de", "Stationärer Befund der Leberzyste.", ("current", "unchanged")),
        ("de", "Stationäre Aufnahme wegen einer Pneumonie.", ("current", None)),
        ("de", "Stationär behandelte Pneumonie.", ("current", None)),
        ("de", "Der Patient ist stationär bei Pneumonie.", ("current", None)),
    ],
)
def test_of_when_a_finding_is_and_how_it_changed(lang: Lang, sentence: str, expected: tuple[str, str | None]) -> None:
    (one,) = parse(sentence, lang).findings
    assert (one.time, one.change) == expected


@pytest.mark.parametrize("sentence", ["T3, T4 und TRH-Test unauffällig.", "TSH, T3 und T4 normwertig."])
def test_hormones_are_no_vertebrae(sentence: str) -> None:
    assert not parse(sentence, "de").anatomy
    assert parse(sentence.replace("TRH-Test", "T5").replace("TSH, ", ""), "de").anatomy


def test_a_field_of_a_form_on_earlier_studies_ends_where_the_next_field_begins() -> None:
    fields = "Voruntersuchung:\nkeine\n\nvorliegend\n\nLungenembolie:\n\nja, rechter Unterlappen"
    kinds = [each.kind for each in parse(f"Befund:\n{fields}\n\nBeurteilung:\nLungenembolie.", "de").sections]
    assert kinds == ["findings", "comparison", "findings", "impression"]
    assert [each.kind for each in parse(fields, "de").sections] == ["comparison", "body"]
    two = "Comparison:\nCT from 01/02/2020.\n\nMRI dated 03/04/2021.\n\nFindings:\nNo mass."
    assert [each.kind for each in parse(two, "en").sections] == ["comparison", "findings"]


@pytest.mark.parametrize(
    ("lang", "sentence", "sizes"),
    [
        ("de", "Rundherde von 5 und 7 mm im linken Oberlappen.", [[5], [7]]),
        ("en", "Cysts of 4, 6 and 9 mm.", [[4], [6], [9]]),
        ("de", "Herde mit 1,2 und 2,4 cm.", [[12], [24]]),
        ("de", "Zyste in Segment 5 und 7 mm großer Herd.", [[7]]),
        ("en", "Nodules on images 5 and 7 mm in size.", [[7]]),
        ("de", "Herde von 5-6 und 7 x 9 mm.", [[7, 9]]),
        ("en", "Fracture of L4/5 and 7 mm step.", [[7]]),
    ],
)
def test_sizes_of_a_list_share_the_unit(lang: Lang, sentence: str, sizes: list[list[float]]) -> None:
    assert [list(each.value_mm) for each in parse(sentence, lang).measurements] == sizes


@pytest.mark.parametrize("sentence", ["Cysts on either side.", "Small effusions on each side."])
def test_either_side_is_both(sentence: str) -> None:
    assert [each.side for each in parse(sentence, "en").findings] == ["both"]


def test_what_is_denied_is_not_counted() -> None:
    (fracture,) = parse("In 2 Ebenen keine Fraktur.", "de").findings
    assert (fracture.state, fracture.count, fracture.multiple) == ("absent", None, False)
