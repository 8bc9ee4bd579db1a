"""Reports from HL7 v2 and FHIR: a run that was killed in the middle and resumed has the bytes of one that was not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Rrg
from tests.test_reports_linking import Study, stream
from tests.test_reports_sources import message

STUDIES = tuple(Study(f"1.2.{number}", f"A{number}", f"P{number}") for number in range(6))
TEXTS = [f"Zyste der linken Niere, {number + 5} mm (Serie 3, Bild {number % 3 + 1})." for number in range(6)]


def hl7(folder: Path) -> Path:
    path = folder / "day.hl7"
    parts = [
        message((("FT", "59776-5^Befund^LN", text),), control=str(number), filler=study.accession)
        for number, (study, text) in enumerate(zip(STUDIES, TEXTS, strict=True))
    ]
    path.write_text("".join(parts), newline="")
    return path


def fhir(folder: Path) -> Path:
    path = folder / "bundle.json"
    kind = {"coding": [{"code": "ACSN"}]}
    reports = [
        {
            "resourceType": "DiagnosticReport",
            "id": study.accession,
            "status": "final",
            "identifier": [{"type": kind, "value": study.accession}],
            "conclusion": text,
        }
        for study, text in zip(STUDIES, TEXTS, strict=True)
    ]
    entries = [{"resource": each} for each in reports]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return path


@pytest.mark.parametrize("source", [hl7, fhir])
def test_a_killed_run_is_resumed_to_the_same_bytes(
    source: Callable[[Path], Path], rrg: Rrg, key_file: Path, tmp_path: Path
) -> None:
    slices = stream(key_file, *STUDIES)
    command = ["parse-reports", "-", "--reports", str(source(tmp_path)), "--link", "accession", "--out"]
    rrg(*command, tmp_path / "whole.jsonl", stdin=slices)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    reports = [each for each in map(json.loads, whole.splitlines()) if each["schema"] == "rrg.report/1"]
    assert [each["references"][0]["status"] for each in reports] == ["resolved"] * len(STUDIES)

    out, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal"
    process = subprocess.Popen(
        [sys.executable, "-m", "rrg", *command, str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RRG_KEY_FILE": str(key_file)},
    )
    assert process.stdin is not None
    try:
        half = slices.splitlines(keepends=True)[: 1 + 3 * 3 + 1]  # the run, three studies, a slice of the fourth
        process.stdin.write(b"".join(half))
        process.stdin.flush()
        until = time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 2) and time.monotonic() < until:
            assert process.poll() is None, "ended before it was killed"
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
    assert journal.read_bytes().count(b"\n") > 2
    assert not out.exists()

    rrg(*command, out, "--resume", stdin=slices)
    assert out.read_bytes() == whole
