"""--phi-known: names in any spelling, ordinary words only as names, rows of one patient; the map; the command."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrg.errors import UsageError
from rrg.keys import pseudonym
from rrg.reports.phi import mask
from rrg.reports.phi_known import Known, Report, digest, load
from rrg.reports.phi_map import folder_of, original_span, read_map, write_map

KEY = bytes(range(32))
Rrg = Callable[..., Any]


def table(tmp_path: Path, text: str) -> Known:
    path = tmp_path / "known.csv"
    path.write_text(text, "utf-8")
    return load(str(path), KEY, digest(str(path), KEY))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("heute Müller da", "heute [NAME] da"),
        ("heute MUELLER da", "heute [NAME] da"),
        ("heute müller da", "heute [NAME] da"),
        ("heute Muller da", "heute [NAME] da"),
        ("Müllers Leber", "[NAME] Leber"),
        ("Hans Müller-Lüdenscheidt kam", "[NAME] kam"),
        ("Lüdenscheidt, Hans", "[NAME]"),
        ("Müller-Gang und Müller'sche Gänge", "Müller-Gang und Müller'sche Gänge"),
        ("Nr. 88 1234 567 gesehen", "Nr. 88 1234 567 gesehen"),
        ("Akte 88-1234-56 gesehen", "Akte [ID] gesehen"),
        ("am 03051931 geboren", "am [DATE] geboren"),
        ("12.34 mm, 1234 Zellen", "12.34 mm, 1234 Zellen"),
        ("Zum Alten Torfstich 7a hinaus", "[ADDRESS] hinaus"),
    ],
)
def test_known_names_go_whatever_their_spelling(tmp_path: Path, text: str, masked: str) -> None:
    known = table(
        tmp_path,
        "Vorname;Nachname;ID;Geburtsdatum;Adresse\n"
        "Hans;Müller-Lüdenscheidt;88123456;03.05.1931;Zum Alten Torfstich 7a\n",
    )
    assert mask(text, known).text == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Herz und Milz sind normal groß.", "Herz und Milz sind normal groß."),
        ("Morbus Crohn, Bosniak III.", "Morbus Crohn, Bosniak III."),
        ("Das Herz, Milz und Leber.", "Das Herz, Milz und Leber."),
        ("Quirin Herz kam.", "[NAME] kam."),
        ("Herz, Quirin", "[NAME]"),
        ("H. Herz hat unterschrieben.", "H. [NAME] hat unterschrieben."),
        ("Frau Milz ist hier.", "Frau [NAME] ist hier."),
        ("Befunder: Crohn", "Befunder: [NAME]"),
    ],
)
def test_ordinary_words_go_only_as_names(tmp_path: Path, text: str, masked: str) -> None:
    known = table(tmp_path, 'name,staff\n"Herz, Quirin",Milz\n,Crohn\n,Bosniak\n')
    assert mask(text, known).text == masked


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_row_may_be_limited(tmp_path: Path, delimiter: str) -> None:
    rows = [["patient", "accession", "name"], ["P1", "", "Zwirbelmann"], ["", "A7", "Quaxenberg"], ["", "", "Allstein"]]
    known = table(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    text = "Zwirbelmann, dann Quaxenberg, dann Allstein"
    first, second = pseudonym(KEY, "patient", "P1"), pseudonym(KEY, "accession", "A7")
    assert mask(text, known, Report(frozenset((first,)))).text == "[NAME], dann Quaxenberg, dann [NAME]"
    assert mask(text, known, Report(frozenset((second,)))).text == "Zwirbelmann, dann [NAME], dann [NAME]"
    assert mask(text, known).text == "Zwirbelmann, dann Quaxenberg, dann [NAME]"


def test_a_table_without_known_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column is known"):
        table(tmp_path, "colour;shape\nred;round\n")
    with pytest.raises(UsageError, match="empty"):
        table(tmp_path, "")


def test_the_digest_hangs_on_the_key(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text("name\nMeyer\n")
    assert digest(str(path), KEY) != digest(str(path), KEY[::-1])
    with pytest.raises(UsageError, match="changed"):
        load(str(path), KEY, "another")


def test_maps_are_whole_private_and_the_same_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "key")
    masked = mask("Frau Meyer kam am 1.2.2021.")
    for _ in range(2):
        write_map(folder, "ab12", masked.places, source_sha256="00")
    found = read_map(folder, "ab12")
    assert found == masked.places
    assert read_map(folder, "cd34") is None
    assert original_span(found or (), (5, 11)) == (5, 10)
    for path in (tmp_path / "key.d").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


LETTER = """Klinikum Quöckelstadt, Quöckelstraße 5, 12345 Quöckelstadt
Tel. 0123 456789, Fall-Nr. 9988776655
Patientin: Quöckelbrand, Xaverine, geb. 03.05.1931

Befund: Leber normal groß. In der VU vom 12.03.2021 Serie 3, Bild 40 Rundherd 6 mm.{anywhere}

Mit freundlichen Grüßen
Dr. med. Xaverine Quöckelbrand
"""
SECRETS = ("quöckel", "quoeckel", "xaverine", "9988776655", "03.05.1931", "12.03.2021", "456789")


def secrets_in(folder: Path) -> list[str]:
    """Names of files with a secret, in any case, also as JSON escapes."""
    bad = []
    for path in folder.rglob("*"):
        if path.is_file():
            held = path.read_bytes().decode("utf-8", "ignore").lower()
            held += held.encode("ascii", "ignore").decode().replace("\\u00f6", "ö")
            bad += [f"{path.name}: {secret}" for secret in SECRETS if secret in held]
    return bad


def chain(rrg: Rrg, tmp_path: Path, anywhere: str, *options: object) -> Path:
    """Made-up studies with a named letter each through all stages, the outputs in one folder."""
    made, out = tmp_path / "made", tmp_path / "out"
    out.mkdir()
    rrg("phantom", "--out", made, "--studies", 2, "--seed", 5)
    for path in (made / "reports").glob("*.txt"):
        path.write_text(LETTER.format(anywhere=anywhere) + path.read_text("utf-8"), "utf-8")
    store = out / "ct.zarr"
    logs = []
    for name, command in {
        "slices": ("extract-slices", made / "dicom", "--store", store),
        "facts": ("parse-reports", out / "slices", "--reports", made / "reports", *options),
        "masked": ("segment", out / "facts", "--store", store, "--engine", "threshold"),
        "vqa": ("synth-vqa", out / "masked"),
        "ground": ("synth-ground", out / "vqa"),
    }.items():
        logs.append(rrg(*command, "--out", out / name).stderr)
    rrg("pack", out / "ground", "--store", store, "--out", out / "pack")
    (out / "log").write_text("\n".join(each if isinstance(each, str) else each.decode() for each in logs))
    return out


def test_a_planted_name_reaches_no_output(rrg: Rrg, tmp_path: Path) -> None:
    """By rules alone, where titles and labels tell."""
    out = chain(rrg, tmp_path, "")
    assert secrets_in(out) == []
    reports = [
        line for line in (out / "facts").read_bytes().splitlines() if line.startswith(b'{"schema":"rrg.report/1"')
    ]
    assert reports
    assert all(json.loads(line)["phi"]["name.birth"] == 1 for line in reports)
    assert any(reference["prior"] for reference in json.loads(reports[0])["references"])


def test_a_planted_name_anywhere_is_masked_by_the_table(rrg: Rrg, tmp_path: Path) -> None:
    known = tmp_path / "known.csv"
    known.write_text("name;id\nQuöckelbrand, Xaverine;9988776655\n", "utf-8")
    out = chain(rrg, tmp_path, " quoeckelbrands Werte; sie, XAVERINE, und Akte 9988-776655.", "--phi-known", known)
    assert secrets_in(out) == []


def test_fail_names_rules_and_counts_only(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "A1.txt").write_text(LETTER.format(anywhere=""), "utf-8")
    at = ("parse-reports", "--reports", tmp_path / "reports", "--unmatched", "keep")
    done = rrg(*at, "--phi", "fail", code=1)
    errors = [json.loads(line) for line in done.stdout.splitlines() if b"rrg.error/1" in line]
    assert [each["code"] for each in errors] == ["E_PHI"]
    assert "name.birth 1" in errors[0]["message"]
    assert not [secret for secret in SECRETS if secret in done.stdout.decode().lower()]
    off = rrg(*at, "--phi", "off")
    report = next(json.loads(line) for line in off.stdout.splitlines() if b"rrg.report/1" in line)
    assert report.get("phi") is None
    assert "Xaverine" in report["text"]


def test_workers_write_the_same_maps(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    for number in range(4):
        (tmp_path / "reports" / f"A{number}.txt").write_text(LETTER.format(anywhere=f" Nr {number}."), "utf-8")
    kept = []
    for name, workers in (("one", 1), ("two", 2)):
        key = tmp_path / name / "key"
        key.parent.mkdir()
        key.write_bytes(KEY)
        key.chmod(0o600)
        at = ("parse-reports", "--reports", tmp_path / "reports", "--unmatched", "keep", "--key-file", key)
        out = rrg(*at, "--workers", workers).stdout
        files = sorted(path for path in (tmp_path / name / "key.d").rglob("*.map"))
        kept.append((out, [(path.name, path.read_bytes()) for path in files]))
    assert kept[0] == kept[1]
    assert len(kept[0][1]) == 4
