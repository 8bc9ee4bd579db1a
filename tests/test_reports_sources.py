"""Sources of reports: HL7 v2, FHIR, DICOM SR, tables with columns, encodings, RTF. All texts are made up."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest

from rrg.errors import RecordError, UsageError
from rrg.reports.hl7 import is_hl7
from rrg.reports.named import day_of, order_of
from rrg.reports.sources import Index, Where, index, read_whole
from rrg.reports.sources_columns import columns_of
from rrg.reports.sources_keys import spellings
from rrg.reports.text import clean, decode

KEY = bytes(range(100, 132))


def where_of(*paths: Path, link: str = "", columns: tuple[str, ...] = ()) -> Where:
    index.cache_clear()
    return Where(tuple(map(str, paths)), columns_of(columns), KEY, link)


def texts(where: Where) -> list[str]:
    """The texts of all reports that count; E_REPORT in place of one that can not be read."""
    found = []
    for at in counted(index(where)):
        try:
            found.append(read_whole(at, where)[0])
        except RecordError as error:
            found.append(error.code)
    return found


def counted(table: Index) -> list[int]:
    added = {at for each in table.addenda.values() for at in each}
    return [at for at in range(len(table.entries)) if at not in table.superseded and at not in added]


# --- HL7 v2

ROWS = tuple[tuple[str, str, str], ...]


def message(
    rows: ROWS,
    *,
    control: str = "1",
    status: str = "F",
    filler: str = "A0",
    stamp: str = "20240131101500",
    charset: str = "UNICODE UTF-8",
    more: tuple[str, ...] = (),
    kind: str = "ORU^R01^ORU_R01",
    seen: str = "F",
) -> str:
    segments = [
        rf"MSH|^~\&|RIS|H|X|Y|{stamp}||{kind}|{control}|P|2.5.1||||||{charset}",
        "PID|1||999^^^X^SS~000123^^^H^MR||Muster^Eva",
        f"ORC|RE||{filler}^RIS",
        f"OBR|1|P1|{filler}^RIS|CT^CT Abdomen|||20240131090000{'|' * 15}{stamp}|||{status}",
        *(f"OBX|{n}|{type_}|{code}||{value}||||||{seen}" for n, (type_, code, value) in enumerate(rows, 1)),
        *more,
    ]
    return "\r".join(segments) + "\r"


LIVER: ROWS = (("FT", "59776-5^Befund^LN", "Leber normal."), ("FT", "19005-8^Beurteilung^LN", "Kein Tumor."))


def test_hl7_segments_become_sections_and_escapes_their_signs(tmp_path: Path) -> None:
    rows: ROWS = (
        ("FT", "59776-5^Befund^LN", r"Zyste\.br\12 x 8 mm \T\ mehr~\XC3A4\u\F\v\S\w\R\x\E\y \H\fett\N\ "),
        ("TX", "59776-5^Befund^LN", "Läsion"),
        ("NM", "x^Dosis", "12"),
        ("FT", "&IMP", "Kein Tumor."),
    )
    (tmp_path / "a.hl7").write_bytes(message(rows).encode())
    (text,) = texts(where_of(tmp_path))
    assert (
        text == "Befund:\nZyste\n12 x 8 mm & mehr\näu|v^w~x\\y fett\nLäsion\n\nDosis: 12\n\nBeurteilung:\nKein Tumor."
    )


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("frame", [False, True])
def test_hl7_messages_are_found_in_frames_and_batches(tmp_path: Path, end: str, frame: bool) -> None:
    each = [message(LIVER, control=str(n), filler=f"A{n}").replace("\r", end) for n in range(3)]
    each.insert(1, message((), kind="ADT^A08").replace("\r", end))
    body = "".join(f"\x0b{one}\x1c\r" if frame else one for one in each)
    (tmp_path / "day.dat").write_text(
        body if frame else f"FHS|^~\\&|a{end}BHS|^~\\&|a{end}{body}BTS|3{end}", newline=""
    )
    where = where_of(tmp_path)
    assert texts(where) == ["Befund:\nLeber normal.\n\nBeurteilung:\nKein Tumor."] * 3
    assert len(index(where).by_name) == 3


@pytest.mark.parametrize(
    ("charset", "codec"), [("8859/1", "latin-1"), ("8859/1", "cp1252"), ("8859/15", "iso8859_15"), ("", "utf-8"),
                           ("ASCII", "cp1252"), ("UNICODE UTF-8", "cp1252")],
)  # fmt: skip
def test_hl7_character_sets_also_where_they_are_wrong(tmp_path: Path, charset: str, codec: str) -> None:
    text = "Läsion groß" if codec != "cp1252" else "Läsion „groß“"
    (tmp_path / "a.hl7").write_bytes(message((("TX", "x", text),), charset=charset).encode(codec))
    assert texts(where_of(tmp_path)) == [text]


def test_hl7_other_signs_and_lines_inside_of_a_field(tmp_path: Path) -> None:
    plain = message((("TX", "x", "Leber\nnormal, groß"),))
    other = plain.translate(str.maketrans("|^~\\&", "$*!?@")).replace("MSH", "MSH", 1)
    (tmp_path / "a.hl7").write_bytes(other.encode())
    assert texts(where_of(tmp_path)) == ["Leber\nnormal, groß"]


def test_hl7_the_latest_final_counts_and_an_addendum_follows_it(tmp_path: Path) -> None:
    def row(text: str, code: str = "x") -> ROWS:
        return (("TX", code, text),)

    parts = [
        message(row("Befund:~vorläufig"), control="1", status="P", stamp="20240131080000"),
        message(row("Befund:~endgültig neu"), control="3", status="F", stamp="20240131100000"),
        message(row("Befund:~endgültig"), control="2", status="F", stamp="20240131090000"),
        message(row("Milz normal.", "&ADT"), control="4", status="", stamp="20240201"),
        message(row("anderer Auftrag"), control="5", status="P", filler="B"),
    ]
    (tmp_path / "a.hl7").write_text("".join(parts), newline="")
    where = where_of(tmp_path)
    assert texts(where) == ["Befund:\nendgültig neu\n\nNachtrag:\nMilz normal.", "anderer Auftrag"]
    assert [index(where).entries[at].standing for at in counted(index(where))] == ["final", "preliminary"]
    (tmp_path / "b.hl7").write_text(message(row("Befund:~korrigiert"), status="C", stamp="2024013108"), newline="")
    assert texts(where_of(tmp_path / "a.hl7", tmp_path / "b.hl7"))[-1].startswith("Befund:\nkorrigiert\n\nNachtrag:")
    (tmp_path / "c.hl7").write_text(message(row("x"), status="X", stamp="20250101"), newline="")
    assert texts(where_of(tmp_path))[-1] == "E_REPORT"


def test_hl7_two_orders_in_a_message_and_the_study_they_name(tmp_path: Path) -> None:
    more = ("OBR|2|P2|A9^RIS|CT2^CT Thorax", "OBX|1|TX|x||Lunge frei.||||||P", "ZDS|1.2.3.4^RIS^Application^DICOM")
    (tmp_path / "a.hl7").write_text(message(LIVER, more=more), newline="")
    where = where_of(tmp_path)
    assert texts(where)[1] == "Lunge frei."
    assert [each.standing for each in index(where).entries] == ["final", "preliminary"]
    assert [len(at) for at in index(where).by_name.values()] == [2], "both go by the UID"
    assert len(index(where_of(tmp_path, link="accession")).by_name) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("^TEXT^RTF^Base64^" + base64.b64encode(rb"{\rtf1\ansi Leber gro\'df\par}").decode(), "Leber groß"),
        ("^TEXT^HTML^Base64^" + base64.b64encode("<p>Leber groß</p>".encode()).decode(), "Leber groß"),
        ("^TEXT^plain^A^Leber normal", "Leber normal"),
        ("^Application^PDF^Base64^" + base64.b64encode(b"%PDF-1.4").decode(), "E_REPORT"),
        ("^TEXT^RTF^Base64^&&&", "E_REPORT"),
        ("", "E_REPORT"),
    ],
)
def test_hl7_documents_in_a_message(tmp_path: Path, value: str, text: str) -> None:
    (tmp_path / "a.hl7").write_text(message((("ED", "x", value),)), newline="")
    assert texts(where_of(tmp_path)) == [text]


def test_hl7_damaged_messages_never_stop_the_others(tmp_path: Path) -> None:
    good = message(LIVER)
    rng = random.Random(5)
    for n in range(300):
        data = bytearray(good.encode())
        for _ in range(rng.randint(1, 12)):
            data[rng.randrange(4, len(data))] = rng.choice(b"|^~\\&\r\n\x0b\x1c\x00\xff\xe4A")
        (tmp_path / "a.hl7").write_bytes(bytes(data[: rng.randint(9, len(data))]) + b"\r" + good.encode())
        where = where_of(tmp_path / "a.hl7")
        if is_hl7(bytes(data)):
            assert texts(where), n


def test_a_long_message_takes_linear_time(tmp_path: Path) -> None:
    rows = tuple(("TX", "x", rf"Zeile {n}\.br\mit \X41\ und \unknown\ Text") for n in range(20_000))
    (tmp_path / "a.hl7").write_text(message(rows), newline="")
    (text,) = texts(where_of(tmp_path))
    assert text.count("\n") == 39_999


# --- FHIR


def report(**more: Any) -> dict[str, Any]:
    return {"resourceType": "DiagnosticReport", "id": "r", "status": "final", **more}


def form(kind: str, data: bytes) -> dict[str, str]:
    return {"contentType": kind, "data": base64.b64encode(data).decode()}


ACSN = {"type": {"coding": [{"code": "ACSN"}]}, "value": "A0"}
UID = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"conclusion": "Kein Tumor der Leber."}, "Beurteilung:\nKein Tumor der Leber."),
        ({"text": {"div": "<div><p>Befund:</p><p>Leber groß.</p></div>"}}, "Befund:\n\nLeber groß."),
        ({"presentedForm": [form("text/plain; charset=iso-8859-1", "Leber groß.".encode("latin-1"))]}, "Leber groß."),
        ({"presentedForm": [form("text/html", "<p>Leber groß.</p>".encode())], "conclusion": "Leber  groß."},
         "Leber groß."),
        ({"presentedForm": [form("application/pdf", b"%PDF-1"), form("application/rtf", rb"{\rtf1 Leber}")]}, "Leber"),
        ({"presentedForm": [form("application/pdf", b"%PDF-1")]}, "E_REPORT"),
        ({"presentedForm": [{"contentType": "text/plain", "data": "%%%"}]}, "E_REPORT"),
        ({}, "E_REPORT"),
    ],
)  # fmt: skip
def test_fhir_the_issued_form_the_narrative_the_conclusion(tmp_path: Path, fields: Any, text: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(report(**fields)))
    assert texts(where_of(tmp_path)) == [text]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("pointer", ["imagingStudy", "study"])
def test_fhir_identifiers_of_the_report_and_of_what_it_points_at(tmp_path: Path, lines: bool, pointer: str) -> None:
    study = {"resourceType": "ImagingStudy", "id": "s", "identifier": [UID]}
    mine = report(identifier=[ACSN], conclusion="x y", **{pointer: [{"reference": "ImagingStudy/s"}]})
    if lines:
        (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, (mine, study))))
    else:
        entry = [{"fullUrl": "urn:uuid:1", "resource": each} for each in (study, mine)]
        (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entry}, indent=1))
    (tmp_path / "uid.txt").write_text("x")
    (tmp_path / "uid.txt").rename(tmp_path / "1.2.3.txt")
    by_uid = index(where_of(tmp_path, link="study-uid"))
    assert (0, 1) in by_uid.by_name.values() or (1, 0) in by_uid.by_name.values(), "text file and report: one study"
    assert len(index(where_of(tmp_path, link="accession")).by_name) == 2


def test_fhir_an_amended_report_replaces_the_final_one(tmp_path: Path) -> None:
    first = report(issued="2024-01-31T10:00:00+01:00", conclusion="alt")
    later = report(issued="2024-01-31T09:30:00Z", conclusion="neu", status="amended")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, (later, first))))
    where = where_of(tmp_path)
    assert texts(where) == ["Impression:\nneu"] or texts(where) == ["Beurteilung:\nneu"]
    assert len(index(where).superseded) == 1


def test_fhir_a_form_is_read_as_text(tmp_path: Path) -> None:
    answers = [{"valueString": "normal"}, {"valueCoding": {"display": "groß"}}]
    item = [{"text": "Leber", "item": [{"linkId": "2", "text": "Größe", "answerOption": answers}]}]
    (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Questionnaire", "item": item}))
    assert texts(where_of(tmp_path)) == ["Leber:\nGröße: normal, groß"]


# --- DICOM SR


def sr_file(path: Path, **flags: str) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    def coded(keyword: str, value: str, meaning: str, scheme: str = "LN") -> dict[str, list[Dataset]]:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
        return {keyword: [code]}

    def item(kind: str, relation: str = "CONTAINS", **values: Any) -> Dataset:
        made = Dataset()
        made.ValueType, made.RelationshipType = kind, relation
        for name, value in values.items():
            setattr(made, name, value)
        return made

    name = "ConceptNameCodeSequence"
    measured = Dataset()
    measured.NumericValue = "12.5"
    measured.MeasurementUnitsCodeSequence = coded("x", "mm", "millimeter", "UCUM")["x"]
    findings = item("CONTAINER", **coded(name, "121070", "Findings", "DCM"))
    findings.ContentSequence = [
        item("TEXT", **coded(name, "121071", "Finding", "DCM"), TextValue="Zyste der linken Niere, groß."),
        item("NUM", **coded(name, "x", "Durchmesser"), MeasuredValueSequence=[measured]),
        item("CODE", **coded(name, "y", "Organ"), **coded("ConceptCodeSequence", "k", "Niere")),
    ]
    impression = item("CONTAINER", **coded(name, "19005-8", "Impression"))
    impression.ContentSequence = [item("TEXT", **coded(name, "121073", "Impression", "DCM"), TextValue="Keine Läsion.")]
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SpecificCharacterSet = "ISO_IR 100"
    found.SOPClassUID, found.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.22", "1.2.3.9"
    found.StudyInstanceUID, found.AccessionNumber, found.PatientID = "1.2.3", "A0", "P"
    found.StudyDate, found.ContentDate, found.ContentTime = "20240131", "20240131", "101500.5"
    found.ValueType = "CONTAINER"
    found.ConceptNameCodeSequence = coded("x", "18748-4", "Diagnostic Imaging Report")["x"]
    found.ContentSequence = [
        item("CODE", "HAS CONCEPT MOD", **coded(name, "121049", "Language", "DCM"),
             **coded("ConceptCodeSequence", "de-DE", "German", "RFC5646")),
        item("PNAME", "HAS OBS CONTEXT", **coded(name, "121008", "Person Observer Name", "DCM"), PersonName="Geheim^X"),
        findings,
        impression,
    ]  # fmt: skip
    for keyword, value in {"CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED", **flags}.items():
        setattr(found, keyword, value)
    found.save_as(path, enforce_file_format=True)


def test_sr_containers_are_headings_and_persons_are_left_out(tmp_path: Path) -> None:
    sr_file(tmp_path / "IM0001")
    where = where_of(tmp_path)
    assert texts(where) == [
        "Befund:\nZyste der linken Niere, groß.\nDurchmesser: 12.5 mm\nOrgan: Niere\n\nBeurteilung:\nKeine Läsion."
    ]
    assert index(where).entries[0].standing == "final"


@pytest.mark.parametrize(
    ("flags", "standing"),
    [
        ({"VerificationFlag": "UNVERIFIED"}, "preliminary"),
        ({"VerificationFlag": "UNVERIFIED", "PreliminaryFlag": "FINAL"}, "final"),
        ({"PreliminaryFlag": "PRELIMINARY"}, "preliminary"),
        ({"CompletionFlag": "PARTIAL"}, "preliminary"),
    ],
)
def test_sr_flags_are_the_status(tmp_path: Path, flags: dict[str, str], standing: str) -> None:
    sr_file(tmp_path / "a.dcm", **flags)
    assert index(where_of(tmp_path)).entries[0].standing == standing


def test_sr_other_objects_are_passed_over_in_a_folder_and_named_alone(tmp_path: Path) -> None:
    sr_file(tmp_path / "a.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    (tmp_path / "A1.txt").write_text("Leber")
    assert texts(where_of(tmp_path)) == ["Leber"]
    assert texts(where_of(tmp_path / "a.dcm")) == ["E_REPORT"]
    (tmp_path / "broken").write_bytes((tmp_path / "a.dcm").read_bytes()[:140])
    assert sorted(texts(where_of(tmp_path))) == ["E_REPORT", "Leber"]


# --- tables


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_columns_are_joined_under_headings(tmp_path: Path, encoding: str, delimiter: str) -> None:
    rows = [
        ("Nr", "Befund", "Beurteilung", "Stand"),
        ("A0", '"Läsion\n""groß"" Ċ"', "Kein Tumor", "F"),
        ("A1", "Milz", "", ""),
    ]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    if encoding == "cp1252":
        text = text.replace("Ċ", "")
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    columns = ("id=Nr", "findings=Befund", "impression=Beurteilung", "status=Stand")
    found = texts(where_of(tmp_path, columns=columns))
    assert [each.replace(" Ċ", "").replace('" ', '"') for each in found] == [
        'Befund:\nLäsion\n"groß"\n\nBeurteilung:\nKein Tumor',
        "Befund:\nMilz",
    ]


def test_versions_of_a_table(tmp_path: Path) -> None:
    rows = "id;text;v;s\n1;alt;9;final\n1;neu;10;final\n1;vorher;11;vorläufig\n2;nur vorläufig;1;P\n3;x;1;erledigt\n"
    (tmp_path / "a.csv").write_text(rows)
    where = where_of(tmp_path, columns=("version=v", "status=s"))
    assert texts(where) == ["neu", "nur vorläufig", "E_REPORT"]


@pytest.mark.parametrize("given", ["findings", "organ=x", "text=", "text=a text=b"])
def test_columns_that_can_not_be_meant(given: str) -> None:
    with pytest.raises(UsageError, match="--column"):
        columns_of(given.split(" "))


# --- words of the sources


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20240131", "20240131"), ("2024-01-31T10:00", "20240131"), ("31.1.2024", "20240131"),
        ("20240131101500", "20240131"), ("01/02/2024", None),
        ("20241331", None), ("", None), ("00010101", None), ("2024", None),
    ],
)  # fmt: skip
def test_days(text: str, day: str | None) -> None:
    assert day_of(text) == day


def test_versions_are_in_order() -> None:
    stamps = [
        "20240131",
        "202401311000",
        "2024-01-31T10:00:01",
        "20240131100002.5",
        "31.01.2024 10:00:03",
        "2024-02-01",
    ]
    order = [order_of(each) for each in stamps]
    assert None not in order
    assert order == sorted(order, key=lambda each: each or 0)
    assert order_of("2024-01-31T10:00:00+01:00") == order_of("2024-01-31T09:00:00Z")
    assert [order_of(each) for each in ("2", "v10", "x", "")] == [2, 10, None, None]


def test_spellings_of_a_number() -> None:
    assert "123" in spellings("000123")
    assert "0000000000000123" in spellings("123")
    assert "A123" in spellings("A 123")
    assert spellings("A123") == ()


# --- text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Läsion".encode("utf-16"), "Läsion"),
        ("Läsion, gross".encode("utf-16-le"), "Läsion, gross"),
        ("Läsion, gross".encode("utf-16-be"), "Läsion, gross"),
        ("Läsion größer".encode("cp850"), "Läsion größer"),
        ("„Läsion“ – groß".encode("cp1252"), "„Läsion“ – groß"),
        ("LÃ¤sion grÃ¶ÃŸer â€“ 5 Âµm".encode(), "Läsion größer – 5 µm"),
        ("LÃƒÂ¤sion".encode(), "Läsion"),
        ("„Ä“ Ã bleibt".encode(), "„Ä“ Ã bleibt"),
        ("La\u0308sion".encode(), "Läsion"),
        (b"L\xc3\xa4sion und L\xe4sion", "Läsion und Läsion"),
        ("Lä\u200bsi\u00adon\u2028x".encode(), "Läsion x"),
    ],
)
def test_encodings_are_found_and_repaired(data: bytes, text: str) -> None:
    assert clean(decode(data)) == text


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (r"{\rtf1\ansi\ansicpg1252 L\'e4sion\par gro\'df}", "Läsion\ngroß"),
        (r"{\rtf1\ansi\uc1 \u8805?5 mm, {\uc2\u228 xxsion} \u228\'e4}", "≥5 mm, äsion ä"),
        (r"{\rtf1\uc0\u228 x\u-10179 \u-8704 }", "äx😀"),
        (r"{\rtf1\ansicpg1250 \'e6{\fonttbl{\f0 A;}{\f1\fcharset204 B;}}\f1 \'cf\plain  x}", "ćП x"),
        (r"{\rtf1 {\*\generator x;}{\stylesheet{\s1 y;}}{\info{\author z}}a{\v b}\v0 c{\deleted d}}", "ac"),
        (r"{\rtf1\trowd Organ\cell Gr\'f6\'dfe\cell\row\trowd Leber\cell 12 cm\cell\row}", "Organ Größe\nLeber 12 cm"),
        (r"{\rtf1 a\bin3 }}}b \{c\} \\ d\~e\_f\-g}", "ab {c} \\ d e-fg"),
        (r"{\rtf1 {\field{\*\fldinst HYPERLINK x}{\fldrslt Bild}} {\pict 0102}x", "Bild x"),
    ],
)
def test_rtf(rtf: str, text: str) -> None:
    assert clean(rtf) == text


@pytest.mark.parametrize(
    "text", ["{\\rtf1 " + "{" * 100_000, "{\\rtf1 " + "\\u228?" * 50_000, "Ã" * 200_000, "<p>" * 60_000]
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    clean(text)


def test_files_are_told_by_content(tmp_path: Path) -> None:
    (tmp_path / "A0.txt").write_text(message(LIVER), newline="")
    (tmp_path / "export").write_text(json.dumps(report(conclusion="Leber")))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert len(texts(where_of(tmp_path))) == 2


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"%PDF-1.4\n1 0 obj", "a PDF"),
        (b"PK\x03\x04\x14\x00", "a ZIP archive or an Office file"),
        (bytes(range(256)) * 8, "binary data"),
    ],
)
def test_a_file_that_is_no_text_is_an_error_that_says_what_it_is(tmp_path: Path, data: bytes, named: str) -> None:
    (tmp_path / "A0.txt").write_bytes(data)
    (tmp_path / "A1.txt").write_bytes("Leber groß.\x0cMilz\x1b[0m groß.".encode("utf-16"))
    where = where_of(tmp_path)
    assert texts(where)[0] == "E_REPORT"
    with pytest.raises(RecordError, match=f"report file is {named}; expected text"):
        read_whole(0, where)
    assert read_whole(1, where)[0].startswith("Leber groß.")


def test_json_that_is_cut_off_is_told_from_json_without_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "Leber", ')
    (tmp_path / "b.json").write_text('{"note": "Leber"}')
    problems = [entry.problem or "" for entry in index(where_of(tmp_path)).entries]
    assert ["no JSON" in problem for problem in problems] == [True, False]
    assert "expected an object with 'text'" in problems[1]


def test_a_line_break_of_html_is_a_line_and_a_paragraph_a_paragraph() -> None:
    assert clean("<p>Großer Herd im rechten<br/>Oberlappen.</p><p>Milz<br>groß.</p>") == (
        "Großer Herd im rechten\nOberlappen.\n\nMilz\ngroß."
    )
