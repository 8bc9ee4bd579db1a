"""The grammar of slice references: what is one, what is none, and which slices it means."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.records import Lang, Reference, Slice
from rrg.reports.link import resolve_all
from rrg.reports.parse import parse
from rrg.reports.references import references_of
from rrg.reports.references_words import numbers

Found = list[tuple[int | None, list[int], bool]]


def found(text: str, lang: Lang = "de") -> Found:
    return [(each.series_number, list(each.image_numbers), each.prior) for each in parse(text, lang).references]


@pytest.mark.parametrize(
    ("lang", "sentence", "expected"),
    [
        ("de", "Neu abgrenzbarer Rundherd im linken Unterlappen, 6 mm (Serie 4, Bild 123).", [(4, [123], False)]),
        ("de", "Leberläsion in Segment IVa, 12 mm (Se. 3 Im. 45).", [(3, [45], False)]),
        ("de", "Aneurysma, 41 mm (Bild 133; Vorbefund 38 mm, Bild 120).", [(None, [133], False), (None, [120], True)]),
        ("de", "Zyste (Serie 3, Bild 12; VU: Serie 2, Bild 10).", [(3, [12], False), (2, [10], True)]),
        ("en", "Nodules (3/101, 3/115, and 3/120).", [(3, [101], False), (3, [115], False), (3, [120], False)]),
        ("en", "Mass (prior: series 12, image 81; now: series 9, image 78).", [(12, [81], True), (9, [78], False)]),
        ("en", "Ground-glass nodule in the right lung (S3/45).", [(3, [45], False)]),
        ("en", "Nodules in both lungs (4:123/88/45).", [(4, [123, 88, 45], False)]),
        ("de", "Vergrößerte Lymphknoten (3/45) mediastinal.", [(3, [45], False)]),
        ("en", "Enlarged nodes (3/45).", [(3, [45], False)]),
        ("de", "Subpleuraler Herd (S 4:112).", [(4, [112], False)]),
        ("en", "Mass has shrunk, formerly 3.8 cm (then series 1, image 5).", [(1, [5], True)]),
        ("de", "Herd kleiner, damals 3,8 cm (dort Serie 1, Bild 5).", [(1, [5], True)]),
        ("de", "Lymphknoten paraaortal bis 14 mm KAD (IMA 12).", [(None, [12], False)]),
        (
            "de",
            "Osteolyse in BWK 11 (Bild 45-52, Serie 6), in der VU vom 12.03.2021 Serie 3, Bild 40 noch nicht "
            "abgrenzbar.",
            [(6, list(range(45, 53)), False), (3, [40], True)],
        ),
        ("de", "Bandscheibenvorfall L4/5, s. Serie 7/Bild 9.", [(7, [9], False)]),
        ("de", "Noduläre Verdichtung rechts apikal (4:38).", [(4, [38], False)]),
        ("de", "Aufnahme um 14:38 Uhr.", []),
        (
            "de",
            "Zwei Zysten der rechten Niere (Serie 3, Bild 45; Serie 5, Bild 12).",
            [(3, [45], False), (5, [12], False)],
        ),
        ("de", "Pleuraerguss beidseits, exemplarisch Bilder 45, 47 und 50 der Serie 2.", [(2, [45, 47, 50], False)]),
        ("en", "Hypodense lesion in the spleen, see series 4, image 38.", [(4, [38], False)]),
        ("en", "Scattered nodules (images 12, 47 and 88 of series 3).", [(3, [12, 47, 88], False)]),
        (
            "en",
            "Nodule in the right upper lobe (3:12-14), on prior series 2 image 30.",
            [(3, [12, 13, 14], False), (2, [30], True)],
        ),
        ("de", "Zyste (S4 B123).", [(4, [123], False)]),
        ("de", "Zyste, Ser. 4 B. 12.", [(4, [12], False)]),
        ("de", "Zyste (4/123).", [(4, [123], False)]),
        ("de", "Zyste (Bild 45ff, Serie 2).", [(2, [45], False)]),
        ("de", "Zyste (Bilder 45 bis 48 der Serie 2).", [(2, [45, 46, 47, 48], False)]),
        ("de", "Zyste, vgl. Serie 3 (Bild 45).", [(3, [45], False)]),
        ("de", "Zyste (Serie 3, Bild 45, zuvor Serie 2, Bild 40).", [(3, [45], False), (2, [40], True)]),
        ("de", "Zyste (Serie 3, Bild 45 vom 12.03.2021).", [(3, [45], True)]),
        ("en", "Cyst (series 3: axial images 12, 47).", [(3, [12, 47], False)]),
        ("en", "Cyst (images 12-14 series 3).", [(3, [12, 13, 14], False)]),
        ("en", "Cyst (3; 47).", [(3, [47], False)]),
        ("en", "Cyst (3.47).", [(3, [47], False)]),
        ("en", "Cyst (3, 47).", [(3, [47], False)]),
        ("de", "Os sacrum (1:37), Lunge (101:1).", [(1, [37], False), (101, [1], False)]),
        ("en", "Cysts (3:12, 47 and 88).", [(3, [12, 47, 88], False)]),
        ("de", "Im Bild 3 Zyste in der rechten Niere, 12 mm.", [(None, [3], False)]),
        ("de", "Auf Bild 5 Raumforderung der Milz.", [(None, [5], False)]),
        ("en", "Cyst (se 3 im 45).", [(3, [45], False)]),
        ("en", "Cyst, images 145-52 of series 3.", [(3, list(range(145, 153)), False)]),
        ("en", "Cyst (image 12*, series 3).", [(3, [12], False)]),
        ("de", "Leberläsion (Bild 12/210).", [(None, [12], False)]),
        ("de", "Leberläsion (Serie 4, Bild 12/210).", [(4, [12], False)]),
        ("de", "Leberläsion (Bild 12 von 210, Serie 4).", [(4, [12], False)]),
        ("de", "Leberläsion (Bilder 12/13, Serie 4).", [(4, [12, 13], False)]),
        ("de", "Leberläsion (Bild 45/46).", [(None, [45, 46], False)]),
        ("en", "Cyst on series 3/45.", [(3, [45], False)]),
        ("en", "Cysts (series 4: 12, 15 and 18).", [(4, [12, 15, 18], False)]),
        ("en", "Cysts (se 4, im 12-14 and 20).", [(4, [12, 13, 14, 20], False)]),
        ("en", "Cyst (image no. 45, series number 3).", [(3, [45], False)]),
        ("en", "Cyst (series 3, frame 12).", [(3, [12], False)]),
        ("en", "Cysts on images 45 and 46 of the axial series (series 3).", [(3, [45, 46], False)]),
        ("en", "Cyst on im 71/120, series 3.", [(3, [71], False)]),
        ("en", "Cyst (image 71 of 120, series 3).", [(3, [71], False)]),
        ("en", "From image 45 onwards multiple cysts.", [(None, [45], False)]),
        ("en", "Cysts on image 45 and following.", [(None, [45], False)]),
        ("en", "Cyst (S: 3, I: 45).", [(3, [45], False)]),
        ("en", "Cyst (series/image 3/45).", [(3, [45], False)]),
        ("en", "Cyst on image 3:45.", [(3, [45], False)]),
        ("en", "Cysts (3:45 and 5:12).", [(3, [45], False), (5, [12], False)]),
        ("en", "Cyst (3:45, previously 2:40).", [(3, [45], False), (2, [40], True)]),
        ("en", "Cysts from image 45 through image 47 of series 3.", [(3, [45, 46, 47], False)]),
        ("en", "Cysts between images 45 and 47.", [(None, [45, 46, 47], False)]),
        ("en", "Cysts on images 45 thru 47.", [(None, [45, 46, 47], False)]),
        ("en", "Cyst on image 45 measuring 5 mm.", [(None, [45], False)]),
        ("en", "Cyst on image 45 which is new.", [(None, [45], False)]),
        ("en", "Cyst on image 45 unchanged.", [(None, [45], False)]),
        ("en", "On slice 12 a cyst is seen.", [(None, [12], False)]),
        ("en", "On image 12, 3 cysts are seen.", [(None, [12], False)]),
        ("en", "Cysts (series 3, images 45,46,47).", [(3, [45, 46, 47], False)]),
        ("en", "Cysts (images 45 and 47 on series 3, image 12 on series 4).", [(3, [45, 47], False), (4, [12], False)]),
        ("en", "Cyst on image 77 (prev img 70).", [(None, [77], False), (None, [70], True)]),
        (
            "en",
            "Cyst 5 mm (series 3, image 45), 4 mm at baseline (series 2, image 40).",
            [(3, [45], False), (2, [40], True)],
        ),
        (
            "en",
            "Cyst (series 3, image 45), corresponding to image 40 of the CT of 3 January 2020.",
            [(3, [45], False), (None, [40], True)],
        ),
        ("en", "Aneurysm, 54 mm, increased from 51 mm (series 2, image 120).", [(2, [120], False)]),
        ("en", "Cyst (8 mm, 4:12).", [(4, [12], False)]),
        ("en", "Cyst (4:12, 8 mm).", [(4, [12], False)]),
        ("en", "Cyst (seen best on 3:45).", [(3, [45], False)]),
        ("en", "Cyst (3, im 45).", [(3, [45], False)]),
        ("en", "Cyst, best seen on 3:45.", [(3, [45], False)]),
        ("en", "Cyst (3:45; arrow).", [(3, [45], False)]),
        ("en", "Cyst (axial 3:45, coronal 5:30).", [(3, [45], False), (5, [30], False)]),
        ("de", "Zyste (B45 S3).", [(3, [45], False)]),
        ("de", "Zyste (Schnittbild 45, Serie 3).", [(3, [45], False)]),
        ("de", "Die Zyste auf Bild 45 misst 12 mm.", [(None, [45], False)]),
        ("de", "Auf Bild 45 kleine Zyste.", [(None, [45], False)]),
        ("de", "Zyste (Bild 45 bis einschließlich 47).", [(None, [45, 46, 47], False)]),
        ("en", "Cyst (3-45).", [(3, [45], False)]),
        ("de", "Zyste rechts (3-45).", [(3, [45], False)]),
        ("en", "Cysts on images 45 (series 3) and 12 (series 4).", [(3, [45], False), (4, [12], False)]),
        ("de", "Zysten auf den Bildern 45 (Serie 3) und 12 (Serie 4).", [(3, [45], False), (4, [12], False)]),
        ("en", "Cysts in series 3 (image 45) and 4 (image 12).", [(3, [45], False), (4, [12], False)]),
        ("en", "Cyst (series 4 #12).", [(4, [12], False)]),
        ("de", "Zyste (Serie 4 Nr. 12).", [(4, [12], False)]),
        ("en", "Cyst (2/18).", [(2, [18], False)]),
        ("en", "Cyst, 8 mm (2/18).", [(2, [18], False)]),
        ("de", "Zyste im linken Leberlappen (2/18).", [(2, [18], False)]),
        ("en", "Cysts (3/45, 5/30).", [(3, [45], False), (5, [30], False)]),
        ("de", "Zyste, Bild 3/145.", [(3, [145], False)]),
        ("en", "Cyst (image 3/145).", [(3, [145], False)]),
        ("en", "Cyst (slice 3/145).", [(None, [3], False)]),
        ("de", "Zyste (301/45).", [(301, [45], False)]),
        ("en", "Cyst (s3i45).", [(3, [45], False)]),
        ("en", "Cyst (s3, i45).", [(3, [45], False)]),
        ("de", "Zyste (S. 3, B. 45).", [(3, [45], False)]),
        ("en", "Cyst (sequence 3, image 45).", [(3, [45], False)]),
        ("de", "Zyste in Sequenz 7, Bild 45.", [(7, [45], False)]),
        ("en", "Cyst (image 21 on T2 axial series 5).", [(5, [21], False)]),
        ("en", "Cyst on image 45 in the liver and series 5 image 30.", [(None, [45], False), (5, [30], False)]),
        ("en", "Cyst on image 12 of the prior CT series 4.", [(4, [12], True)]),
        ("de", "Zyste im CT vom 12.03.2020 auf Bild 40, aktuell Bild 45.", [(None, [40], True), (None, [45], False)]),
        ("de", "Im aktuellen CT vom 12.03.2020 auf Bild 40 Zyste.", [(None, [40], False)]),
        ("de", "Die Zyste ist auf Serie 4 Bild 12 bis 14 dokumentiert.", [(4, [12, 13, 14], False)]),
        ("de", "Zyste (Bild 45 axial, Serie 3).", [(3, [45], False)]),
        ("de", "Zyste, in Serie 3, Bild 45 markiert.", [(3, [45], False)]),
        ("de", "Zyste (Ser.-Nr. 3, Bild 45).", [(3, [45], False)]),
        ("de", "Zysten in Serie 3 auf den Bildern 45, 47 und 52.", [(3, [45, 47, 52], False)]),
    ],
)
def test_references(lang: Lang, sentence: str, expected: Found) -> None:
    assert found(sentence, lang) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "Aufnahme um 3:45 Uhr.",
        "Untersuchung vom 15.03.2025.",
        "Bandscheibenvorfall L4/5.",
        "Fraktur BWK 11/12.",
        "Verhältnis 2:1.",
        "Verhältnis (2:1).",
        "Zyste 1,2 x 0,9 cm.",
        "Herd in Segment 4/5.",
        "Herd in Segment (4/5).",
        "Tumor pT2 pN1 M0 (T2, N1).",
        "BI-RADS 3, PI-RADS (4).",
        "T2-gewichtete Aufnahmen.",
        "Eine Serie von Aufnahmen.",
        "Serie von 12 Bildern.",
        "Läsion (Serie 3, Bild 0).",
        "Im 3. Ventrikel kein Blut.",
        "Im 4. Segment der Leber.",
        "Kraftgrad (4/5).",
        "Pain (7/10).",
        "Visual acuity (20/40).",
        "Grade 3 (4/10).",
        "Slices 3 mm thick.",
        "Time frame 12 months.",
        "Axial images of 5 mm thickness.",
        "Schicht 5 mm, Schichtdicke 3 mm.",
        "Score (3/5).",
        "Um 14:38 Uhr (14:38).",
        "Dosis 3,5 mg (1,25).",
        "Rektumkarzinom (04/2018), Chemotherapie ab (2/18).",
        "Blutdruck normal (120/80).",
        "Rektumkarzinom (2/18).",
        "Kreatinin (1.20).",
        "Window (400/40).",
        "TR/TE (500/15).",
        "Slices 3/0.3 mm.",
        "Left kidney length (10, 11).",
        "Auf Bild 3 Wochen nach OP.",
        "Seen at 10:45.",
        "Z. n. Nephrektomie rechts wegen Karzinom (4/18).",
        "Lymphknoten positiv (2/18).",
        "Vergrößerte Lymphknoten (2/18).",
        "Letzte Bildgebung der Leber (11/22).",
        "Sentinel nodes (2/18).",
        "Cyst (3/5).",
        "Tear (2/3).",
        "Follow-up of the cyst in 3-24 months (3-24).",
        "Lipase normal (13-60).",
        "Fractures of the ribs (3-10).",
        "Schichten 3-5 mm.",
        "Bild 2019.",
        "Buntes Bild mit Zysten.",
        "Klinisches Bild 3 Wochen alt.",
        "Sonographisches Bild 2 Wochen nach Trauma.",
        "Imaging 2 weeks ago.",
        "A series of 3 radiographs.",
        "Series 1 of 3.",
        "On images 2 weeks ago.",
        "50 mg 1-0-1.",
        "The proliferation index was low (Ki-67 (20/30)).",
        "Impaired renal function, eGFR (45/60).",
        "Contrast was given as a dilution (1:20).",
        "Kontrastmittel in Verdünnung (1:20).",
        "Image 3 Tesla quality is limited.",
        "Fracture of the sacrum (S1/2).",
        "Nodes (3/45).",
        "Axillary nodes (3/45) were negative.",
        "Entfernte Lymphknoten (3/45) befallen.",
    ],
)
def test_what_is_no_reference(sentence: str) -> None:
    assert found(sentence) == []


def test_series_is_carried_over_in_the_sentence_then_in_the_section_only() -> None:
    text = (
        "Befund:\nZyste (Serie 3, Bild 45), weitere (Bild 47).\nKonkrement (Bild 50).\nBeurteilung:\nZyste (Bild 45)."
    )
    assert found(text) == [(3, [45], False), (3, [47], False), (3, [50], False), (None, [45], False)]


def test_the_series_of_an_earlier_study_is_not_carried_over() -> None:
    assert found("Zyste (Serie 3, Bild 45), zuvor (Serie 2, Bild 40); Konkrement (Bild 50).")[-1] == (3, [50], False)


def test_comparison_section_points_at_earlier_studies() -> None:
    assert found("Voruntersuchung:\nCT vom 01.02.2020, Serie 2, Bild 30.\nBefund:\nZyste (Serie 3, Bild 4).") == [
        (2, [30], True),
        (3, [4], False),
    ]


@given(series=st.integers(1, 99_999), images=st.lists(st.integers(1, 999), min_size=1, max_size=4, unique=True))
def test_written_references_are_read_back(series: int, images: list[int]) -> None:
    *first, last = map(str, images)
    listed = f"{', '.join(first)} und {last}" if first else last
    for text in (f"Zyste (Serie {series}, Bild {listed}).", f"Zyste, Bilder {listed} der Serie {series}."):
        assert found(text) == [(series, images, False)], text


@given(st.text(alphabet="SerieBildIm. 0123456789,;:/()-–undff", max_size=80))
def test_spans_are_inside_and_do_not_overlap(text: str) -> None:
    spans = [each.span for each in references_of(text, 0, len(text))]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_ranges_are_bounded() -> None:
    assert numbers("1-1999")[0] == tuple(range(1, 2000))
    assert numbers("1-9999")[0] == (1, 9999)


def slice_(number: int, series: int = 3, name: str = "s", *, frame: int | None = None, plane: str = "axial") -> Slice:
    return Slice(
        id=f"{name}{series}-{number}",
        patient="p",
        study="t",
        series=f"{name}{series}",
        index=number - 1,
        count=200,
        series_number=series,
        instance_number=1 if frame else number,
        frame=frame,
        pixels="series/x#0",
        sha256="0",
        rows=4,
        columns=4,
        dtype="int16",
        unit="HU",
        modality="CT",
        plane=plane,  # type: ignore[arg-type]
    )


def status(text: str, *slices: Slice) -> tuple[str, tuple[str, ...]]:
    reference: Reference = resolve_all(parse(text, "de").references, slices)[0]
    return reference.status, reference.slices


def test_resolution_never_takes_the_nearest() -> None:
    study = [slice_(number) for number in range(1, 91)]
    assert status("Zyste (Serie 3, Bild 45).", *study) == ("resolved", ("s3-45",))
    assert status("Zyste (Serie 3, Bild 112).", *study) == ("missing", ())
    assert status("Zyste (Serie 4, Bild 45).", *study) == ("missing", ())
    assert status("Zyste (Serie 3, Bild 89-92).", *study) == ("resolved", ("s3-89", "s3-90"))
    assert status("Zyste, in der VU Serie 3, Bild 45.", *study) == ("prior", ())


def test_a_month_behind_a_finding_of_the_history_is_no_reference() -> None:
    assert found("Klinische Angaben:\nZyste der Leber (2/18).\nBefund:\nZyste der Leber (2/18).") == [(2, [18], False)]


def test_two_numbers_behind_an_image_word_are_read_as_the_study_has_them() -> None:
    text = "Zyste (Bild 3/45)."
    (written,) = parse(text, "de").references
    assert (written.series_number, written.image_numbers) == (3, (45,))

    def read(*slices: Slice) -> tuple[int | None, tuple[int, ...], tuple[str, ...]]:
        (one,) = resolve_all([written], slices, text=text)
        return one.series_number, one.image_numbers, one.slices

    of_45 = [slice_(number, 2) for number in range(1, 46)]
    of_90 = [slice_(number, 3) for number in range(1, 91)]
    assert read(*of_90) == (3, (45,), ("s3-45",))
    assert read(*of_45) == (None, (3,), ("s2-3",))
    assert read(*of_45, *of_90) == (3, (45,), ("s3-45",))
    assert read(*of_45[:20]) == (3, (45,), ())


def test_two_series_of_one_number_are_ambiguous() -> None:
    assert status("Zyste (Serie 3, Bild 45).", slice_(45), slice_(45, name="other")) == ("ambiguous", ())


def test_without_a_series_the_only_axial_one_is_meant() -> None:
    axial, coronal = slice_(12, 3), slice_(12, 4, plane="coronal")
    assert status("Zyste (IMA 12).", axial, coronal) == ("resolved", ("s3-12",))
    assert status("Zyste (IMA 12).", axial, slice_(12, 5)) == ("ambiguous", ())


def test_frames_count_in_multi_frame_objects() -> None:
    study = [slice_(number, frame=number) for number in range(1, 21)]
    assert status("Zyste (Serie 3, Bild 12).", *study) == ("resolved", ("s3-12",))
