"""What the rules do not know: counted over masked texts, frequent strings only, the same with any workers."""

import dataclasses
import subprocess
import sys
from pathlib import Path

from rrg.records import Lang, Report
from rrg.reports.coverage import LEAST, Seen, merged, note, unknown
from rrg.reports.parse import parse

TEXT = (
    "Befund:\nDie Leber mit Wabbelosis im Segment II (Bnr 4/5/6 Ebene). Kleine Zyste, Stapel 7/88. Das Pfl. ist "
    "regelrecht. Unklarer Quarkherd der Milz (Serie 3, Bild 45).\nSonderrubrik:\nKeine Auffälligkeiten."
)


def report(text: str, number: int = 0, lang: Lang = "de") -> Report:
    said = parse(text, lang)
    return Report(
        id=f"r{number}",
        text=text,
        lang=lang,
        source_sha256="",
        sections=said.sections,
        sentences=said.sentences,
        anatomy=said.anatomy,
        findings=said.findings,
        references=said.references,
        phi={},
    )


def test_what_is_unknown_is_seen_and_what_is_known_is_not() -> None:
    found = unknown(report(TEXT))
    assert found[Seen("heading", "Sonderrubrik")] == 1
    assert found[Seen("abbreviation", "Pfl.")] == 1
    assert found[Seen("reference", "Stapel #/#")] == 1
    assert found[Seen("word", "Wabbelosis")] == 1
    texts = {each.text for each in found}
    assert not texts & {"Befund", "Leber", "Zyste", "Milz", "Serie #, Bild #", "Segment"}
    assert not any(char.isdigit() for text in texts for char in text)


def test_rare_strings_and_texts_that_are_not_masked_are_never_written(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.touch()
    for number in range(LEAST):
        note(report(TEXT, number), str(spool))
    note(report(TEXT.replace("Wabbelosis", "Meierosis"), 9), str(spool))
    often = "Befund: Die Leber mit Schulzosis, eine Schulzosis, weitere Schulzosis, und Schulzosis."
    note(report(often, 10), str(spool))  # often, but of one patient only
    bare = dataclasses.replace(report(TEXT.replace("Wabbelosis", "Bloss"), 11), phi=None)
    note(bare, str(spool))
    table = merged(spool.read_bytes().splitlines())
    assert table.startswith(f"# {LEAST + 2} reports; 1 were not masked and are not counted\n")
    assert f"word\tWabbelosis\t{LEAST}\t{LEAST}\n" in table
    assert f"heading\tSonderrubrik\t{LEAST + 1}\t{LEAST + 1}\n" in table
    assert not any(word in table for word in ("Meierosis", "Schulzosis", "Bloss"))


def test_the_table_does_not_depend_on_who_saw_what_first(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    two.touch()
    for number in range(6):
        note(report(TEXT, number), str(one))
    for number in (5, 3, 4, 0, 1, 2, 3):  # one of them done twice, counted once
        note(report(TEXT, number), str(two))
    assert merged(one.read_bytes().splitlines()) == merged(two.read_bytes().splitlines())


def test_a_long_line_takes_no_long_time() -> None:
    unknown(report("Befund: " + "A-b " * 2_000 + "."))
    unknown(report("Befund: " + "Serie " * 2_000 + "(1" * 2_000))


def rrg(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rrg", "parse-reports", "--unmatched", "keep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    for number in range(6):
        (reports / f"A{number}.de.txt").write_text(TEXT, encoding="utf-8")
    shared = ("--reports", str(reports), "--key-file", str(tmp_path / "key"))
    tables = []
    for workers in ("1", "2"):
        table = tmp_path / f"coverage-{workers}.tsv"
        done = rrg(*shared, "--coverage", str(table), "--workers", workers)
        assert done.returncode == 0, done.stderr
        tables.append(table.read_text(encoding="utf-8"))
    assert tables[0] == tables[1]
    assert tables[0].splitlines()[1] == "kind\ttext\tplaces\treports"
    assert tables[0] in rrg(*shared, "--coverage", "-").stderr
    refused = rrg(*shared, "--coverage", "-", "--resume", "--out", str(tmp_path / "out.jsonl"))
    assert refused.returncode == 2
    assert "--coverage and --resume" in refused.stderr
