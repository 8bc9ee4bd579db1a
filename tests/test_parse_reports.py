"""rrg parse-reports as a process: matching, tables, unmatched reports, shards, workers, real reports."""

import json
from pathlib import Path
from typing import Any

import pytest

from rrg.codec import encode
from rrg.keys import pseudonym
from rrg.provenance import make_run
from rrg.records import End, Slice
from tests.conftest import Rrg

GERMAN = "Befund:\nZyste der linken Niere, 12 mm (Serie 3, Bild 2).\nMilz ohne Läsion (Serie 3, Bild 99).\n"
ENGLISH = "Findings:\nCyst of the left kidney, 12 mm (series 3, image 2).\n"


def made(name: str, key: bytes, patient: str) -> list[bytes]:
    study = pseudonym(key, "study", f"1.2.{name}")
    accession = pseudonym(key, "accession", f"A{name}")
    return [
        encode(
            Slice(
                id=f"{study}{number}",
                patient=patient,
                study=study,
                series=f"{study}s",
                accession=accession,
                index=number,
                count=3,
                series_number=3,
                instance_number=number + 1,
                pixels=f"series/{study}s#{number}",
                sha256="0",
                rows=4,
                columns=4,
                dtype="int16",
                unit="HU",
                modality="CT",
                plane="axial",
            )
        )
        for number in range(3)
    ]


@pytest.fixture(scope="module")
def stream(key_file: Path) -> bytes:
    key = key_file.read_bytes()
    run = make_run("extract-slices", {})
    lines = [encode(run)]
    for number in range(6):
        lines += made(str(number), key, f"patient{number // 2}")
    return b"\n".join([*lines, encode(End(run=run.id, counts={}))]) + b"\n"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    for number in range(5):
        (folder / f"A{number}.de.txt").write_text(GERMAN)
        (folder / f"A{number}.en.txt").write_text(ENGLISH)
    (folder / "1.2.5.txt").write_bytes(GERMAN.replace("Läsion", "Läsion").encode("cp1252"))
    (folder / "A99.txt").write_text(GERMAN)
    (folder / "notes.pdf").write_bytes(b"%PDF")
    return folder


def records(out: bytes, schema: str = "") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in out.splitlines()]
    return [each for each in found if not schema or each["schema"] == schema]


def test_reports_reach_their_study_and_slices(rrg: Rrg, stream: bytes, reports: Path) -> None:
    done = rrg("parse-reports", "--reports", reports, stdin=stream, code=3)
    found = records(done.stdout, "rrg.report/1")
    assert len(found) == 11
    assert [each["lang"] for each in found[:4]] == ["de", "en", "de", "en"]
    first = found[0]
    assert first["patient"] == "patient0"
    resolved, missing = first["references"]
    assert (resolved["status"], missing["status"], missing["slices"]) == ("resolved", "missing", [])
    assert resolved["slices"] == [f"{first['study']}1"] == first["from"]
    assert first["text"][slice(*first["findings"][0]["span"])] == "Zyste"
    assert first["findings"][0]["measurements"][0]["value_mm"] == [12.0]
    by_uid = found[-1]
    assert by_uid["study"] == records(stream, "rrg.slice/1")[-1]["study"]
    (error,) = records(done.stdout, "rrg.error/1")
    assert error["code"] == "E_REPORT"
    assert error["source"].startswith("report/")
    assert "A99" not in done.stdout.decode() + done.stderr.decode()
    counts = records(done.stdout, "rrg.end/1")[-1]["counts"]
    assert counts["references.resolved"] == 11
    assert counts["references.missing"] == 6
    assert counts["error.E_REPORT"] == 1


def test_input_lines_pass_unchanged(rrg: Rrg, stream: bytes, reports: Path) -> None:
    out = rrg("parse-reports", "--reports", reports, stdin=stream, code=3).stdout
    assert [line for line in out.splitlines() if b"rrg.slice/1" in line] == [
        line for line in stream.splitlines() if b"rrg.slice/1" in line
    ]


def test_workers_and_shards_give_the_same(rrg: Rrg, stream: bytes, reports: Path) -> None:
    arguments = ("parse-reports", "--reports", reports, "--unmatched", "keep")
    whole = rrg(*arguments, stdin=stream).stdout
    assert rrg(*arguments, "--workers", 2, stdin=stream).stdout == whole
    parts = [rrg(*arguments, "--shard", f"{number}/3", stdin=stream).stdout for number in (1, 2, 3)]
    names = [each["id"] for part in parts for each in records(part, "rrg.report/1")]
    assert sorted(names) == sorted(each["id"] for each in records(whole, "rrg.report/1"))
    assert len(names) == len(set(names)) == 12


def test_unmatched_reports_come_once_over_all_shards(rrg: Rrg, stream: bytes, reports: Path) -> None:
    errors = [
        each
        for number in (1, 2)
        for each in records(
            rrg("parse-reports", "--reports", reports, "--shard", f"{number}/2", stdin=stream, code=None).stdout,
            "rrg.error/1",
        )
    ]
    assert len(errors) == 1


def test_resume_gives_the_same_and_changed_reports_do_not_come_from_the_journal(
    rrg: Rrg, stream: bytes, tmp_path: Path
) -> None:
    report = tmp_path / "reports" / "A0.txt"
    report.parent.mkdir()
    report.write_text(GERMAN)
    tee = tmp_path / "kept.jsonl"
    arguments = ("parse-reports", "--reports", report, "--tee", tee, "--resume")
    first = rrg(*arguments, stdin=stream).stdout
    assert rrg(*arguments, stdin=stream).stdout == first == tee.read_bytes()
    report.write_text("Befund:\nLeber normal.\n")
    assert b"Leber normal" in rrg(*arguments, stdin=stream).stdout


def test_reports_alone(rrg: Rrg, reports: Path) -> None:
    done = rrg("parse-reports", "--reports", reports, "--unmatched", "keep")
    found = records(done.stdout, "rrg.report/1")
    assert len(found) == 12
    assert {reference["status"] for each in found for reference in each["references"]} == {"unresolved"}
    assert all("study" not in each for each in found)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [";", ","])
def test_tables(rrg: Rrg, stream: bytes, tmp_path: Path, delimiter: str, encoding: str) -> None:
    table = tmp_path / "reports.csv"
    quoted = GERMAN.replace('"', '""')
    rows = [
        delimiter.join(("Nr", "Text", "x")),
        delimiter.join(("A0", f'"{quoted}"', "1")),
        "",
        f"A1{delimiter}Läsion{delimiter}2",
    ]
    table.write_bytes("\r\n".join(rows).encode(encoding))
    done = rrg("parse-reports", "--reports", table, "--id-column", "Nr", "--text-column", "Text", stdin=stream)
    found = records(done.stdout, "rrg.report/1")
    assert [each["text"] for each in found] == [GERMAN.strip(), "Läsion"]


def test_a_table_without_the_columns_is_a_usage_error(rrg: Rrg, stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("a;b\n1;2\n")
    done = rrg("parse-reports", "--reports", tmp_path, stdin=stream, code=2)
    assert done.stderr.count(b"\n") == 1
    assert b"--id-column" in done.stderr


@pytest.mark.parametrize("name", ["reports.json", "reports.jsonl"])
def test_json(rrg: Rrg, stream: bytes, tmp_path: Path, name: str) -> None:
    items: list[Any] = [{"id": "A0", "text": GERMAN}, {"id": "A1", "text": ENGLISH, "lang": "en"}, {"no": "report"}]
    text = json.dumps(items) if name.endswith("json") else "\n".join(map(json.dumps, items))
    (tmp_path / name).write_text(text)
    done = rrg("parse-reports", "--reports", tmp_path / name, stdin=stream, code=3)
    assert [each["lang"] for each in records(done.stdout, "rrg.report/1")] == ["de", "en"]
    (error,) = records(done.stdout, "rrg.error/1")
    assert "no report" in error["message"]


def test_an_empty_report_is_an_error_record_of_its_study(rrg: Rrg, stream: bytes, tmp_path: Path) -> None:
    (tmp_path / "A0.txt").write_text(" \n\u200b\n--\n")
    done = rrg("parse-reports", "--reports", tmp_path, stdin=stream, code=1)
    (error,) = records(done.stdout, "rrg.error/1")
    assert (error["code"], error["patient"]) == ("E_REPORT", "patient0")


def test_no_report_at_all_fails(rrg: Rrg, stream: bytes, tmp_path: Path) -> None:
    assert b"no report found" in rrg("parse-reports", "--reports", tmp_path, stdin=stream, code=1).stderr
    assert rrg("parse-reports", "--reports", tmp_path / "absent", stdin=stream, code=2).stderr.count(b"\n") == 1


def test_another_key_finds_no_study(rrg: Rrg, stream: bytes, reports: Path, tmp_path: Path) -> None:
    other = tmp_path / "key"
    other.write_bytes(bytes(range(130, 162)))
    other.chmod(0o600)
    out = rrg("parse-reports", "--reports", reports, "--key-file", other, stdin=stream, code=1).stdout
    assert records(out, "rrg.report/1") == []


def test_real_german_texts(rrg: Rrg, data: Path) -> None:
    folders = ("grascco-de/raw", 20), ("drg-befundvorlagen-de/templates_final", 26), ("drg-befundvorlagen-de", 28)
    for folder, least in folders:
        done = rrg("parse-reports", "--reports", data / folder, "--unmatched", "keep")
        found = records(done.stdout, "rrg.report/1")
        assert len(found) >= least
        assert sum(each["lang"] != "de" for each in found) <= (2 if folder == "drg-befundvorlagen-de" else 0)
        assert not records(done.stdout, "rrg.error/1")
        assert not [reference for each in found for reference in each["references"]], "these texts point at no image"


def test_phantom_reports_say_what_their_truth_says(rrg: Rrg, tmp_path: Path) -> None:
    """Precision and recall of references, and recall of stated and denied findings, against the phantom's truth."""
    rrg("phantom", "--out", tmp_path / "made", "--studies", 8, "--seed", 11)
    made = tmp_path / "made" / "reports"
    out = rrg("parse-reports", "--reports", made, "--unmatched", "keep", "--phi", "off").stdout  # the truth has spans
    parsed = {each["text"]: each for each in records(out, "rrg.report/1")}
    wanted = found = right = facts = met = 0
    for line in (tmp_path / "made" / "report_truth.jsonl").read_text().splitlines():
        truth = json.loads(line)
        text = (tmp_path / "made" / truth["file"]).read_text().strip()
        report = parsed[text]
        assert report["lang"] == truth["lang"]
        spans = {tuple(each["span"]): number for number, each in enumerate(report["sentences"])}
        for sentence in truth["sentences"]:
            at = spans[sentence["start"], sentence["end"]]
            assert report["sections"][report["sentences"][at]["section"]]["kind"] == sentence["section"]
            has = {
                (each.get("series_number"), tuple(each["image_numbers"]), each["prior"])
                for each in report["references"]
                if each["sentence"] == at
            }
            needs = {
                (each["series_number"], tuple(each["instance_numbers"]), each["prior"])
                for fact in sentence["facts"]
                for each in fact["references"]
            }
            wanted, found, right = wanted + len(needs), found + len(has), right + len(has & needs)
            said = {(each["name"], each["state"]) for each in report["findings"] if each["sentence"] == at}
            for fact in sentence["facts"]:
                due = {(name, "absent") for name in fact.get("denies", [])}
                due |= {(fact["finding"], fact["state"])} if fact["finding"] else set()
                facts, met = facts + len(due), met + len(due & said)
    assert wanted > 100
    assert right / found >= 0.99
    assert right / wanted >= 0.9
    assert met / facts >= 0.97
