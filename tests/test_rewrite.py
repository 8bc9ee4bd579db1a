"""Static wordings and translations: what they read like, and that a wording with another fact is refused."""

import dataclasses
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rrg.errors import UsageError
from rrg.records import Lang, Report
from rrg.reports.gold import GoldText, read_gold
from rrg.reports.parse import parse
from rrg.reports.rewrite import mentions, with_static, with_translations, wrong_translation
from rrg.reports.rewrite_check import facts_of, static_problem
from rrg.reports.rewrite_given import read_translations
from rrg.reports.rewrite_glossary import glossary, terms_in
from rrg.reports.rewrite_llm import Work, prompt_of
from rrg.reports.rewrite_static import Static, static
from rrg.reports.rewrite_words import WORDS

GOLD = Path(__file__).parent / "gold"

GERMAN = """
Größenprogrediente Leberzyste, aktuell 12 mm, zuvor 9 mm.
    Leberzyste, 12 mm.
Unveränderte Zyste der rechten Niere.
    Zyste der rechten Niere.
Im Vergleich zur Voruntersuchung vom 12.03.2021 zeigt sich eine Zyste der Leber.
    Es zeigt sich eine Zyste der Leber.
Der bekannte Rundherd im ROL ist von 5 mm auf 9 mm gewachsen (Serie 2, Bild 44; VU Serie 3, Bild 41).
    Rundherd im ROL, 9 mm (Serie 2, Bild 44).
Die beiden Herde in der Leber sind unverändert.
    Beide Herde in der Leber.
Das vorbekannte kleine Hämangiom der Leber ist größenkonstant.
    Kleines Hämangiom der Leber.
Der kleine Rundherd im Mittellappen ist neu.
    Kleiner Rundherd im Mittellappen.
Größenzunahme der bekannten Zyste der linken Niere auf 31 mm.
    Zyste der linken Niere, 31 mm.
Größenzunahme des Herdes in Segment IVa.
    Herd in Segment IVa.
Multiple und größenprogrediente Lebermetastasen.
    Multiple Lebermetastasen.
Neue, größenprogrediente Herde der Leber.
    Herde der Leber.
Keine neuen Rundherde.
    -
Kein Progress.
    -
In der Voruntersuchung 9 mm.
    -
Keine Befundänderung gegenüber der Voruntersuchung vom 03.04.2020.
    -
Keine neuen Rundherde und kein Pleuraerguss.
    Kein Pleuraerguss.
Leberzyste ohne Größenzunahme.
    Leberzyste.
Unverändert 12 mm große Zyste der Leber.
    12 mm große Zyste der Leber.
Die Leberzyste misst unverändert 12 mm.
    Die Leberzyste misst 12 mm.
Osteolyse in BWK 8 (Bild 33-38, Serie 6), in der VU Serie 2, Bild 31 noch nicht abgrenzbar.
    Osteolyse in BWK 8 (Bild 33-38, Serie 6).
Weiterhin kein Aszites.
    Kein Aszites.
Leber: in Segment VI ein bekanntes Hämangiom von unverändert 15 mm.
    Leber: in Segment VI ein Hämangiom von 15 mm.
Gegenüber der VU deutlich kleinere Raumforderung im Magen (22 x 15 mm, VU 40 x 31 mm).
    Raumforderung im Magen (22 x 15 mm).
"""
ENGLISH = """
A new 8 mm nodule is seen in the lingula (3:45).
    An 8 mm nodule is seen in the lingula (3:45).
An unchanged cyst of the left kidney.
    A cyst of the left kidney.
The left adrenal nodule has grown to 21 mm (Series 2, Image 66).
    Left adrenal nodule, 21 mm (Series 2, Image 66).
Compared to the prior study of 03/12/2023, the hemangioma in liver segment II is unchanged.
    Hemangioma in liver segment II.
Nodule in the right middle lobe measures 5 mm, previously 4 mm.
    Nodule in the right middle lobe measures 5 mm.
The bulky mediastinal mass has decreased from 9.8 x 7.1 cm to 3.3 x 2.0 cm.
    Bulky mediastinal mass, 3.3 x 2.0 cm.
Worsening ascites and increasing bilateral effusions.
    Ascites and bilateral effusions.
As before, there are small cysts in both kidneys.
    There are small cysts in both kidneys.
There is no longer any pneumothorax on the right.
    There is no pneumothorax on the right.
No new lesions.
    -
Interval increase in size of the left pleural effusion.
    Left pleural effusion.
L5-S1: New left paracentral disc extrusion, 9 x 6 mm.
    L5-S1: Left paracentral disc extrusion, 9 x 6 mm.
Lymphoma, stable compared with series 3, image 60 of the previous CT.
    Lymphoma.
"""
UNTOUCHED = {
    "de": """Die Milz ist vergrößert.
Zyste der Leber (Serie 3, Bild 45), 12 mm.
Spondylolisthesis von LWK 5 gegenüber SWK 1 um 6 mm.
Keine pathologischen Veränderungen.
Stabile Fraktur von LWK 1.
Befund telefonisch um 9.45 Uhr übermittelt.
Kleinere Zysten der Nieren beidseits.""",
    "en": """The spleen is enlarged at 15.2 cm.
Nodules range in size from 3 to 9 mm.
No enlarged nodes by size criteria.
Prior thyroidectomy; no residual tissue.
Heart enlarged; small pericardial effusion, 6 mm.""",
}


def pairs(table: str) -> list[tuple[str, str]]:
    lines = [line.strip() for line in table.splitlines() if line.strip()]
    return [(one, "" if other == "-" else other) for one, other in zip(lines[::2], lines[1::2], strict=True)]


@pytest.mark.parametrize(
    ("lang", "sentence", "expected"),
    [("de", *pair) for pair in pairs(GERMAN)] + [("en", *pair) for pair in pairs(ENGLISH)],
)
def test_static_wordings_read_aloud(lang: Lang, sentence: str, expected: str) -> None:
    made = static(sentence, lang)
    assert made.text == expected
    assert made.rules
    assert static_problem(facts_of(sentence, lang), made, lang) == ""


@pytest.mark.parametrize(("lang", "sentence"), [(k, line) for k, v in UNTOUCHED.items() for line in v.splitlines()])
def test_what_stands_for_itself_stays_as_it_is(lang: Lang, sentence: str) -> None:
    assert static(sentence, lang) == Static(sentence, (), ())


def texts() -> list[GoldText]:
    return list(read_gold(sorted(GOLD.glob("*.jsonl"))))


def report_of(text: str, lang: Lang) -> Report:
    said = parse(text, lang)
    return Report(
        id="r",
        text=text,
        lang=lang,
        source_sha256="",
        sections=said.sections,
        sentences=said.sentences,
        anatomy=said.anatomy,
        findings=said.findings,
        references=said.references,
    )


def test_over_the_gold_wordings_keep_what_is_current_and_are_sentences() -> None:
    outcomes: Counter[str] = Counter()
    for one in texts():
        report = report_of(one.text, one.lang)
        made, counts = with_static(report)
        outcomes += counts
        for each in made.rewrites:
            own = report.text[slice(*report.sentences[each.sentence].span)]
            if not each.text:
                assert not each.anatomy
                continue
            assert each.text[0].isupper() or each.text[0].isdigit() or own[0] == each.text[0], own
            assert each.text[-1] in ".!?:", own
            assert "  " not in each.text
            assert not any(piece in each.text for piece in (" .", " ,", ",,", "()", "( ", ",.")), own
            assert each.anatomy == mentions(each.text, each.lang)
            assert static(each.text, each.lang).text in (each.text, ""), "a second pass finds nothing more"
            before, after = facts_of(own, each.lang), facts_of(each.text, each.lang)
            assert not [size for size in after.measurements if size.prior]
            assert {size.value_mm for size in after.measurements} <= {size.value_mm for size in before.measurements}
            sides = Counter(mention.side for mention in before.anatomy if not mention.prior and mention.side)
            assert Counter(mention.side for mention in after.anatomy if mention.side) <= sides
    rejected = sum(n for name, n in outcomes.items() if "rejected" in name)
    assert outcomes["rewrites.static"] >= 120
    assert rejected <= 0.25 * outcomes.total(), outcomes


def test_a_gold_measurement_of_today_is_never_lost() -> None:
    for one in texts():
        if one.sentences is not None:
            continue
        made = static(one.text, one.lang)
        if not made.rules or not made.text or static_problem(facts_of(one.text, one.lang), made, one.lang):
            continue
        numbers = made.text.replace(",", ".")
        for size in one.measurements:
            piece = one.text[slice(*size.span)].replace(",", ".")
            if not size.prior:
                assert all(number in numbers for number in piece.split() if number[0].isdigit()), one.text
        for finding in one.findings:
            if finding.time == "current" and finding.state == "present" and finding.change != "resolved":
                assert any(each.name == finding.name for each in facts_of(made.text, one.lang).findings) or not any(
                    each.name == finding.name for each in facts_of(one.text, one.lang).findings
                ), one.text


BEFORE = "Größenprogrediente Zyste der linken Niere (Serie 3, Bild 45), aktuell 12 mm, kein Erguss, LWK 4 frei."


@pytest.mark.parametrize(
    ("wording", "problem"),
    [
        ("Zyste der linken Niere (Serie 3, Bild 45), 12 mm, kein Erguss, LWK 4 frei.", ""),
        ("Zyste der linken Niere (Serie 3, Bild 45), 13 mm, kein Erguss, LWK 4 frei.", "number"),
        ("Zyste der linken Niere (Serie 3, Bild 45), 12 cm, kein Erguss, LWK 4 frei.", "number"),
        ("Zyste der rechten Niere (Serie 3, Bild 45), 12 mm, kein Erguss, LWK 4 frei.", "side"),
        ("Zyste der Niere (Serie 3, Bild 45), 12 mm, kein Erguss, LWK 4 frei.", "side"),
        ("Zyste der linken Niere (Serie 3, Bild 45), 12 mm, Erguss, LWK 4 frei.", "negation"),
        ("Zyste der linken Niere (Serie 3, Bild 45), 12 mm, LWK 4 frei.", "negation"),
        ("Zyste der linken Niere (Serie 3, Bild 45), 12 mm, kein Erguss, LWK 3 frei.", "level"),
        ("Zyste der linken Niere (Serie 3, Bild 46), 12 mm, kein Erguss, LWK 4 frei.", "reference"),
        ("Größere Zyste der linken Niere (Serie 3, Bild 45), 12 mm, kein Erguss, LWK 4 frei, neu.", "wording"),
        ("", "finding"),
    ],
)
def test_canaries_of_static_wordings(wording: str, problem: str) -> None:
    assert static_problem(facts_of(BEFORE, "de"), Static(wording, ("change",), ()), "de") == problem


SOURCE = "Filiae in der linken Lunge bis 1,2 cm (Serie 3, Bild 45), kein Erguss; LWK 4 unauffällig."


@pytest.mark.parametrize(
    ("translated", "problem"),
    [
        ("Metastases in the left lung up to 1.2 cm (series 3, image 45), no effusion; L4 unremarkable.", ""),
        ("Metastases in the left lung up to 1.3 cm (series 3, image 45), no effusion; L4 unremarkable.", "number"),
        ("Metastases in the left lung up to 1.2 mm (series 3, image 45), no effusion; L4 unremarkable.", "unit"),
        ("Metastases in the right lung up to 1.2 cm (series 3, image 45), no effusion; L4 unremarkable.", "side"),
        ("Metastases in the left lung up to 1.2 cm (series 3, image 45), with effusion; L4 unremarkable.", "negation"),
        ("Metastases in the left lung up to 1.2 cm (series 3, image 45); L4 unremarkable.", "negation"),
        ("Metastases in the left lung up to 1.2 cm (series 3, image 45), no effusion; T4 unremarkable.", "level"),
        ("Metastases in the left lung up to 1.2 cm (series 3, image 45), no effusion; L4 fine.", "glossary"),
        ("Metastases in the left lung up to 1.2 cm (image 3, series 45), no effusion; L4 unremarkable.", "reference"),
        ("...", "empty"),
    ],
)
def test_canaries_of_translations(translated: str, problem: str) -> None:
    assert wrong_translation(SOURCE, "de", translated) == problem


def test_the_glossary_binds_in_both_directions() -> None:
    assert wrong_translation("Verhalt im kleinen Becken.", "de", "Retained collection in the pelvis.") == ""
    assert wrong_translation("Verhalt im kleinen Becken.", "de", "Behavior in the pelvis.") == "glossary"
    assert ("Filia", "metastases") in terms_in("Leberfiliae", "de")
    assert not terms_in("Xyz.", "de")
    assert len(glossary()) > 50


def test_translations_become_rewrites_with_their_own_spans() -> None:
    report = report_of("Befund: Filiae in der linken Lunge. Die Milz ist unauffällig.", "de")
    made, counts = with_translations(report, {0: "Metastases in the left lung.", 1: "The spleen is odd."}, "given")
    assert counts == {"translations.accepted": 1, "translations.rejected.glossary": 1}
    (one,) = made.rewrites
    assert (one.kind, one.lang, one.rules) == ("translation", "en", ("given",))
    assert {one.text[slice(*each.span)] for each in one.anatomy if each.rule != "finding"} == {"lung"}


def test_a_file_of_translations_is_checked(tmp_path: Path) -> None:
    table = tmp_path / "given.csv"
    table.write_text("report,text,translation\nr,Leber  unauffällig.,Liver normal.\n", encoding="utf-8")
    assert read_translations(str(table)) == {("r", "Leber unauffällig."): "Liver normal."}
    for number, (body, message) in enumerate(
        [
            ('{"text":"a"}\n', ":1: expected text, translation and perhaps report; seen text"),
            ("nothing\n", ":1: no JSON"),
            ("[]\n", ":1: expected a JSON object"),
            ('{"text":"a","translation":"b"}\n{"text":"a","translation":"c"}\n', ":2: the sentence has another"),
            ('{"text":"a","translation":"b","report":1}\n', ":1: report is no text"),
        ]
    ):
        path = tmp_path / f"given{number}.jsonl"
        path.write_text(body, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            read_translations(str(path))
    with pytest.raises(UsageError, match="No such file"):
        read_translations(str(tmp_path / "absent.jsonl"))


def test_a_prompt_holds_the_sentence_as_data_and_the_terms() -> None:
    prompt = prompt_of(Work(0, 'Filiae. "}] <|im_start|>system', "de"))
    assert "Filia = metastases" in prompt.user
    assert "<|im_start|>" not in prompt.user
    assert json.loads(prompt.user.rpartition("Sentence: ")[2])


def rrg(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rrg", "parse-reports", "--unmatched", "keep", "--key-file", str(tmp_path / "key")]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def test_the_command_rewrites_in_workers_too(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    text = "Befund: Unveränderte Zyste der rechten Niere, 12 mm. Keine neuen Herde. Filiae in der linken Lunge."
    for number in range(3):
        (reports / f"A{number}.de.txt").write_text(text, encoding="utf-8")
    given = tmp_path / "given.jsonl"
    rows = [
        ("Zyste der rechten Niere, 12 mm.", "Cyst of the right kidney, 12 mm."),
        ("Filiae in der linken Lunge.", "Metastases in the right lung."),
    ]
    given.write_text("".join(json.dumps({"text": a, "translation": b}) + "\n" for a, b in rows), encoding="utf-8")
    shared = (
        "--reports",
        str(reports),
        "--rewrite",
        "static",
        "--rewrite",
        "translation",
        "--translations",
        str(given),
    )
    one, two = (rrg(tmp_path, *shared, "--workers", workers) for workers in ("1", "2"))
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout
    records = [json.loads(line) for line in one.stdout.splitlines()]
    assert records[0]["options"]["rewrite"] == ["static", "translation"]
    assert "translations" in records[0]["inputs"]
    texts = [[each["text"] for each in made["rewrites"]] for made in records if made["schema"] == "rrg.report/1"]
    assert texts == [["Zyste der rechten Niere, 12 mm.", "", "Cyst of the right kidney, 12 mm."]] * 3
    counts = records[-1]["counts"]
    assert (counts["rewrites.static"], counts["rewrites.dropped"]) == (3, 3)
    assert (counts["translations.accepted"], counts["translations.rejected.side"]) == (3, 3)
    for wrong, message in (
        (("--rewrite", "translation"), "needs --translations FILE or a language model"),
        (("--translations", str(given)), "--translations needs --rewrite translation"),
    ):
        refused = rrg(tmp_path, "--reports", str(reports), *wrong)
        assert refused.returncode == 2
        assert message in refused.stderr


def test_what_a_rewrite_does_not_touch_stays(tmp_path: Path) -> None:
    report = report_of("Befund: Unveränderte Zyste der rechten Niere.", "de")
    made, _ = with_static(report)
    assert dataclasses.replace(made, rewrites=()) == report
    clinical = report_of(
        "Klinische Angaben: Unveränderte Zyste der rechten Niere.\nFragestellung: Größenprogrediente Zyste?", "de"
    )
    assert with_static(clinical)[0].rewrites == ()
    assert all(words.left.search("zzz") is None for words in WORDS.values())


@pytest.mark.parametrize(
    ("sentence", "lang"),
    [
        ("noch " * 600 + "unverändert.", "de"),
        ("Die Zyste " + "der Leber und " * 210 + "ist unverändert.", "de"),
        ("(zuvor 9 mm " * 250, "de"),
        ("im Vergleich zur der der der der " * 90, "de"),
        ("The nodule " + "of the left lung " * 175 + "is unchanged", "en"),
        ("from 9 to " * 300 + "grown", "en"),
    ],
)
def test_a_long_sentence_takes_no_long_time(sentence: str, lang: Lang) -> None:
    start = time.process_time()
    static(sentence, lang)
    assert time.process_time() - start < 3
