"""Reports and their studies: --link, several studies per order, versions in the funnel, image numbers."""

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rrg.codec import encode
from rrg.keys import pseudonym, shifted_day
from rrg.provenance import make_run
from rrg.records import End, Reference, Slice
from rrg.reports.link import Decision, Slices, Votes, resolve_all
from tests.conftest import Done, Rrg

TEXT = "Befund:\nZyste der linken Niere, 12 mm (Serie 3, Bild 2)."


class Study(NamedTuple):
    """A made-up study of three slices."""

    uid: str
    accession: str
    patient: str = "P1"
    date: str = "20240131"
    series_number: int = 3


def slices(study: Study, key: bytes, dates: str = "shift") -> list[bytes]:
    own, patient = pseudonym(key, "study", study.uid), pseudonym(key, "patient", study.patient)
    day = datetime.datetime.strptime(study.date, "%Y%m%d").date()
    return [
        encode(
            Slice(
                id=f"{own}{number}",
                patient=patient,
                study=own,
                series=f"{own}s",
                accession=pseudonym(key, "accession", study.accession),
                index=number,
                count=3,
                series_number=study.series_number,
                instance_number=number + 1,
                study_day=shifted_day(key, study.patient, study.date) if dates == "shift" else None,
                study_date=day.isoformat() if dates == "keep" else None,
                study_year=day.year if dates == "year" else None,
                pixels=f"series/{own}s#{number}",
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


def stream(key_file: Path, *studies: Study, dates: str = "shift") -> bytes:
    run = make_run("extract-slices", {})
    lines = [line for study in studies for line in slices(study, key_file.read_bytes(), dates)]
    return b"\n".join([encode(run), *lines, encode(End(run=run.id, counts={}))]) + b"\n"


def records(done: Done, schema: str = "rrg.report/1") -> list[dict[str, Any]]:
    return [each for each in map(json.loads, done.stdout.splitlines()) if each["schema"] == schema]


def counts(done: Done) -> dict[str, int]:
    found: dict[str, int] = records(done, "rrg.end/1")[-1]["counts"]
    return found


def table(path: Path, *rows: tuple[str, ...]) -> Path:
    path.write_text("\n".join(";".join(row) for row in rows) + "\n")
    return path


ONE, TWO = Study("1.2.1", "0012345"), Study("1.2.2", "A2", "P2")


def test_numbers_with_other_zeros_and_blanks_find_their_study(rrg: Rrg, key_file: Path, tmp_path: Path) -> None:
    rows = [("id", "text"), ("12345", TEXT), (" A 2 ", TEXT.replace("\n", " ")), ("123450", "fremd")]
    reports = table(tmp_path / "r.csv", *[(each[0], each[1].replace("\n", " ")) for each in rows])
    done = rrg("parse-reports", "--reports", reports, stdin=stream(key_file, ONE, TWO), code=3)
    assert [each["study"] for each in records(done)] == [
        pseudonym(key_file.read_bytes(), "study", uid) for uid in ("1.2.1", "1.2.2")
    ]
    assert (counts(done)["report.matched"], counts(done)["report.unmatched"]) == (2, 1)
    assert b"reports: 2 matched, 0 ambiguous, 1 unmatched, 0 superseded\n" in done.stderr


def test_a_number_that_fits_two_by_its_zeros_only_is_ambiguous(rrg: Rrg, key_file: Path, tmp_path: Path) -> None:
    studies = [
        Study("1.2.1", "0123"),
        Study("1.2.2", "00123", "P2"),
        Study("1.2.3", "7", "P3"),
        Study("1.2.4", "07", "P4"),
    ]
    (tmp_path / "slices.jsonl").write_bytes(stream(key_file, *studies))
    reports = table(tmp_path / "r.csv", ("id", "text"), ("123", "Leber"), ("7", "Milz"))
    done = rrg("parse-reports", tmp_path / "slices.jsonl", "--reports", reports, code=3)
    assert [each["text"] for each in records(done)] == ["Milz"]
    (error,) = records(done, "rrg.error/1")
    assert "ambiguous: 2 studies" in error["message"]
    assert counts(done)["report.ambiguous"] == 1


@pytest.mark.parametrize("dates", ["shift", "keep"])
@pytest.mark.parametrize("piped", [True, False])
def test_patient_and_date(rrg: Rrg, key_file: Path, tmp_path: Path, dates: str, piped: bool) -> None:
    studies = [
        Study("1.2.1", "1", "P1", "20240131"),
        Study("1.2.2", "2", "P1", "20240201"),
        Study("1.2.3", "3", "P2", "20240131"),
        Study("1.2.4", "4", "P2", "20240131"),
        Study("1.2.5", "5", "0042", "20240131"),
    ]
    rows = [("Pat", "Tag", "text"), ("P1", "31.01.2024", "eins"), ("P1", "2024-02-01", "zwei"),
            ("P2", "20240131", "drei"),
            ("42", "20240131", "vier"), ("P1", "03.03.2024", "fremd"), ("P1", "01/02/2024", "kein Tag")]  # fmt: skip
    reports = table(tmp_path / "r.csv", *rows)
    data = stream(key_file, *studies, dates=dates)
    (tmp_path / "slices.jsonl").write_bytes(data)
    columns = ("--column", "patient=Pat", "--column", "date=Tag", "--link", "patient+date", "--reports", reports)
    inputs = () if piped else (tmp_path / "slices.jsonl",)
    done = rrg("parse-reports", *inputs, *columns, stdin=data if piped else b"", code=3)
    assert [each["text"] for each in records(done)] == ["eins", "zwei", "vier"]
    assert len(records(done, "rrg.error/1")) == 3
    assert (counts(done)["report.ambiguous"], counts(done)["report.unreadable"]) == (1, 1)
    whole = done.stdout
    assert rrg("parse-reports", *inputs, *columns, "--workers", 2, stdin=data if piped else b"", code=3).stdout == whole
    for text in (b"P1", b"0042", b"2024-01-31", b"31.01.2024"):
        assert text not in done.stderr
    assert b'"P1"' not in b"".join(line for line in whole.splitlines() if b"rrg.slice" not in line)


def test_patient_and_date_needs_a_day(rrg: Rrg, key_file: Path, tmp_path: Path) -> None:
    reports = table(tmp_path / "r.csv", ("patient", "date", "text"), ("P1", "20240131", "x"))
    options = ("--column", "patient=patient", "--column", "date=date", "--link", "patient+date")
    done = rrg("parse-reports", "--reports", reports, *options, stdin=stream(key_file, ONE, dates="year"), code=1)
    assert b"--dates shift" in done.stderr


@pytest.mark.parametrize(
    ("link", "texts"), [((), ["uid"]), (("--link", "accession"), ["acc", "uid"]), (("--link", "study-uid"), ["uid"])]
)
def test_a_study_uid_goes_before_a_number(
    rrg: Rrg, key_file: Path, tmp_path: Path, link: Any, texts: list[str]
) -> None:
    rows = [("a", "u", "text"), ("A2", "1.2.9", "acc"), ("A2", "1.2.2", "uid")]
    reports = table(tmp_path / "r.csv", *rows)
    columns = ("--column", "accession=a", "--column", "study_uid=u", "--unmatched", "ignore")
    done = rrg("parse-reports", "--reports", reports, *columns, *link, stdin=stream(key_file, TWO))
    assert sorted(each["text"] for each in records(done)) == texts


def test_a_table_says_which_study_a_report_belongs_to(rrg: Rrg, key_file: Path, tmp_path: Path) -> None:
    for name in ("r1", "r2", "r3"):
        (tmp_path / f"{name}.txt").write_text(name)
    link = table(tmp_path / "link.csv", ("id", "study_uid", "accession"), ("r1", "", "12345"), ("r2", "1.2.2", "x"))
    arguments = ("parse-reports", "--reports", *(tmp_path / "r1.txt", "--reports", tmp_path / "r2.txt"))
    done = rrg(*arguments, "--reports", tmp_path / "r3.txt", "--link", link, stdin=stream(key_file, ONE, TWO), code=3)
    assert [each["text"] for each in records(done)] == ["r1", "r2"]
    assert counts(done)["report.unmatched"] == 1
    link.write_text("id;x\n")
    assert b"--link" in rrg(*arguments, "--link", link, code=2).stderr
    assert b"expected study-uid" in rrg(*arguments, "--link", "nearest", code=2).stderr


@pytest.mark.parametrize("second", [3, 5])
def test_an_order_of_two_studies_shares_its_report(rrg: Rrg, key_file: Path, tmp_path: Path, second: int) -> None:
    """A reference counts only where no other study of the order has a series of that number."""
    studies = [Study("1.2.1", "A"), Study("1.2.2", "A", series_number=second)]
    (tmp_path / "slices.jsonl").write_bytes(stream(key_file, *studies))
    (tmp_path / "A.txt").write_text(TEXT)
    arguments = ("parse-reports", tmp_path / "slices.jsonl", "--reports", tmp_path / "A.txt")
    done = rrg(*arguments)
    found = [each["references"][0]["status"] for each in records(done)]
    assert found == (["ambiguous", "ambiguous"] if second == 3 else ["resolved", "missing"])
    assert (counts(done)["report.matched"], counts(done)["report.shared"]) == (1, 1)
    assert rrg(*arguments, "--workers", 2).stdout == done.stdout
    parts = [rrg(*arguments, "--shard", f"{n}/2", code=None).stdout for n in (1, 2)]
    assert sum(part.count(b"rrg.report/1") for part in parts) == 2


def test_versions_in_the_funnel(rrg: Rrg, key_file: Path, tmp_path: Path) -> None:
    rows = [("id", "text", "status", "version"), ("A2", "Befund: vorläufig", "P", "1"),
            ("A2", "Befund: fertig", "F", "2"),
            ("A2", "Milz normal.", "Nachtrag", "3"), ("12345", "Befund: allein", "P", "1")]  # fmt: skip
    reports = table(tmp_path / "r.csv", *rows)
    columns = ("--column", "status=status", "--column", "version=version")
    done = rrg("parse-reports", "--reports", reports, *columns, stdin=stream(key_file, ONE, TWO))
    alone, final = records(done)
    assert (alone["status"], final["status"]) == ("preliminary", "final")
    assert [each["kind"] for each in final["sections"]] == ["findings", "addendum"]
    found = {name: n for name, n in counts(done).items() if name.startswith("report.")}
    assert found == {"report.addendum": 1, "report.matched": 2, "report.superseded": 1}
    assert b"2 matched, 0 ambiguous, 0 unmatched, 1 superseded, 1 appended as addenda" in done.stderr


def test_two_reports_in_a_file_are_two_records(rrg: Rrg, key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "A2.txt").write_text(f"{TEXT}\n=======\n{TEXT}\n")
    done = rrg("parse-reports", "--reports", tmp_path, stdin=stream(key_file, TWO))
    assert len({each["id"] for each in records(done)}) == 2
    assert counts(done)["report.split"] == 2
    (tmp_path / "A2.txt").write_text(f"{TEXT}\nBeurteilung:\nx\n\n{TEXT}\nBeurteilung:\ny\n")
    done = rrg("parse-reports", "--reports", tmp_path, stdin=stream(key_file, TWO))
    assert [each["flags"] for each in records(done)] == [["several_reports"]]


@pytest.mark.parametrize(
    ("text", "code", "outcome"),
    [
        ("Befund:\n" + "Leber normal. Zyste der linken Niere, 12 mm. " * 4500, 0, "report"),
        ("", 1, "E_REPORT"),
        (" \u200b\u2060\ufeff\n\t", 1, "E_REPORT"),
        ("Befund:\nBeurteilung:\n", 0, "report"),
    ],
    ids=["200kB", "empty", "invisible", "headings"],
)
def test_odd_texts_have_one_outcome(
    rrg: Rrg, key_file: Path, tmp_path: Path, text: str, code: int, outcome: str
) -> None:
    (tmp_path / "A2.txt").write_text(text)
    done = rrg("parse-reports", "--reports", tmp_path, stdin=stream(key_file, TWO), code=code)
    assert [each["code"] for each in records(done, "rrg.error/1")] == ([outcome] if code else [])
    assert len(records(done)) == (not code)
    if text.startswith("Befund:\nBeurteilung:"):
        assert all(not each["findings"] for each in records(done))


# --- image numbers


class Shown(NamedTuple):
    """A slice by its numbers."""

    id: str
    series: str = "s"
    series_number: int | None = 3
    instance_number: int | None = None
    frame: int | None = None
    plane: str | None = "axial"
    role: str = "primary"


def numbered(*numbers: int) -> list[Shown]:
    return [Shown(f"i{number}", instance_number=number) for number in numbers]


def references(*images: int) -> list[Reference]:
    return [Reference(span=(0, 1), sentence=0, image_numbers=(each,), series_number=3, rule="r") for each in images]


def test_instance_numbers_are_the_default() -> None:
    (found,) = resolve_all(references(12), numbered(*range(11, 41)))
    assert (found.slices, found.rule, found.status) == (("i12",), "r+instance", "resolved")


def test_places_are_taken_only_on_clear_evidence() -> None:
    shown = numbered(*range(101, 141))
    clear = resolve_all(references(1, 5, 9, 20, 40), shown)
    assert [each.slices for each in clear] == [("i101",), ("i105",), ("i109",), ("i120",), ("i140",)]
    assert {each.rule for each in clear} == {"r+index"}
    few = resolve_all(references(1, 5), shown)
    assert {each.status for each in few} == {"ambiguous"}
    assert {each.status for each in resolve_all(references(500, 600), shown)} == {"missing"}


def test_a_gap_in_a_series_does_not_change_the_reading() -> None:
    shown = numbered(*range(1, 20), *range(21, 41))
    found = resolve_all(references(*range(10, 30)), shown)
    assert [each.status for each in found] == ["resolved"] * 10 + ["missing"] + ["resolved"] * 9
    assert {each.slices for each in found} == {(f"i{n}",) for n in range(10, 30) if n != 20} | {()}


@pytest.mark.parametrize(("reading", "ids"), [("instance", ("i12",)), ("index", ("i22",)), ("frame", ("i12",))])
def test_a_reading_that_is_given_is_taken(reading: str, ids: tuple[str, ...]) -> None:
    (found,) = resolve_all(references(12), numbered(*range(11, 41)), reading)
    assert (found.slices, found.rule) == (ids, f"r+{reading}")


def test_frames_of_one_object_have_their_frame_numbers() -> None:
    shown = [Shown(f"f{n}", instance_number=1, frame=n) for n in range(1, 30)]
    assert [each.slices for each in resolve_all(references(7), shown)] == [("f7",)]
    assert resolve_all(references(1), shown, "instance")[0].status == "ambiguous"


def test_places_are_not_known_where_slices_are_missing_from_the_stream() -> None:
    made = dataclasses.make_dataclass("Counted", [*Shown.__annotations__, ("count", int)], frozen=True)
    shown = [made(*each, 60) for each in numbered(*range(11, 41))]
    assert resolve_all(references(1), shown, "index")[0].status == "missing"


def test_a_decision_is_stated_with_its_evidence() -> None:
    votes = Votes()
    Slices(numbered(*range(101, 141))).tell(references(1, 2, 3, 4, 5, 6), votes)
    decision = votes.decide()["single"]
    assert str(decision) == "single: index (instance 0, index 6; of 6 references)"
    assert decision == Decision("single", "index", True, (("instance", 0), ("index", 6)), 6)
