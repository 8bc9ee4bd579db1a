"""The short form of the mutation fuzz, and bugs planted to see that each of its rules can fail."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import Batch, Given, Limits, Measured, Way, culprits, fuzz, make_batch, run_batch
from tests.fuzz_mutations import elements
from tests.fuzz_seeds import Corpus, make_corpus
from tests.made_dicom import ROOT, image, save

BATCHES = [(20, number) for number in range(15)]
"""About a minute; `python -m tests.fuzz` is the long form."""
WAY = Way(indexed=False, workers=1, resample=False, phi_report=False, dates="shift")
MARKED = "file 3"
"""The only file whose slice is sagittal: planted bugs wake up on it."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("seeds"))


def test_mutants_end_in_documented_codes_and_harm_nothing(corpus: Corpus, tmp_path: Path) -> None:
    tally = fuzz(corpus, BATCHES, tmp_path / "kept")
    stories = [
        f"{each.problem.kind}: {[f.story for f in each.batch.files]} {each.problem.text}" for each in tally.found
    ]
    assert not stories, f"inputs are kept in {tmp_path / 'kept'}"
    assert tally.mutants >= 60 * len(BATCHES)
    assert tally.codes["slice"] > tally.mutants / 5, "most mutants die in the header: pixels are not tested"
    assert {"E_MALFORMED", "E_TRUNCATED", "E_NOT_DICOM", "E_NOT_IMAGE", "E_ARCHIVE", "E_PATH"} <= set(tally.codes)


def test_same_seed_makes_the_same_bytes(corpus: Corpus) -> None:
    one, other = (make_batch(corpus, 5, 0) for _ in range(2))
    assert one == other
    assert one.files != make_batch(corpus, 5, 1).files
    seeds = {each.data for each in corpus.seeds}
    assert sum(each.data in seeds for each in one.files if "disc" not in each.path) < 5, "files are changed"


def test_elements_are_found_in_every_encoding(corpus: Corpus) -> None:
    by_name = {each.name: each.data for each in corpus.seeds}
    counts = {name: len(elements(by_name[f"{name}/IM0001.dcm"])) for name in ("none", "implicit", "big-endian")}
    assert len(set(counts.values())) == 1
    assert counts["none"] > 40
    nested = elements(by_name["by hand/undefined"])
    assert max(each.depth for each in nested) == 4
    assert nested[-1].tag == 0x7FE00010
    assert nested[-1].depth == 0


# --- controls: each rule of the harness catches what breaks it

PLANT = """
import os, subprocess, sys, time
import dataclasses
from pathlib import Path
import rrg.geometry
from rrg.errors import RecordError
good = rrg.geometry.plane_of
def plane_of(orientation):
    if orientation[0] == 0:
        {}
    return good(orientation)
rrg.geometry.plane_of = plane_of
"""
ALWAYS = """
import rrg.{0}
good = rrg.{0}.{1}
rrg.{0}.{1} = lambda *given: {2}
"""
CONTROLS = {
    "traceback": PLANT.format("raise KeyError('planted')"),
    "exit code": PLANT.format("os._exit(7)"),
    "hang": PLANT.format("time.sleep(600)"),
    "memory": PLANT.format("held = b'x' * (300 << 20)"),
    "secret on stderr": PLANT.format("print('rrg extract-slices: Mustermann', file=sys.stderr)"),
    "talk": PLANT.format("print('UserWarning: planted', file=sys.stderr)"),
    "outside": PLANT.format("Path(os.environ['HOME'], 'planted').write_text('')"),
    "left over": PLANT.format(
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', 'rrg']); time.sleep(1)"
    ),
    "code E_MODEL": PLANT.format("raise RecordError('E_MODEL', 'planted by a test')"),
    "forgotten": ALWAYS.format("files", "_walk", "(each for each in good(*given) if each.name != 'file 3')"),
    "pixels": ALWAYS.format("store", "write_array", "['0' * 64 for _ in good(*given)]"),
    "store": ALWAYS.format("private", "folder", "given[0] / 'public'"),
}
"""Start of the kind of problem -> what Python runs before the command."""


@pytest.fixture
def good(tmp_path: Path) -> Batch:
    """Files with nothing wrong, one of them sagittal."""
    files = []
    for number in range(5):
        tags: dict[str, Any] = {"StudyInstanceUID": f"{ROOT}.5.{number}", "SeriesInstanceUID": f"{ROOT}.6.{number}"}
        plane = [0, 1, 0, 0, 0, -1] if f"file {number}" == MARKED else [1, 0, 0, 0, 1, 0]
        path = save(image(number, ImageOrientationPatient=plane, **tags), tmp_path / "made" / str(number))
        files.append(Given(f"file {number}", path.read_bytes(), "good"))
    return Batch("good/0", tuple(files), WAY)


def planted(code: str, folder: Path) -> Limits:
    """Limits that hold for the good files, and a command with a bug."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return Limits(wall_seconds=20, memory_bytes=300 << 20, env=(("PYTHONPATH", str(folder)),))


def test_good_files_break_no_rule(good: Batch, tmp_path: Path) -> None:
    measured = run_batch(good, planted(PLANT.format("pass"), tmp_path / "plant"))
    assert not measured.problems
    assert measured.codes == {"slice": 5}
    indexed = run_batch(
        dataclasses.replace(good, way=WAY._replace(indexed=True, workers=2)), planted("", tmp_path / "none")
    )
    assert not indexed.problems


@pytest.mark.parametrize("kind", CONTROLS)
def test_a_planted_bug_is_caught(kind: str, good: Batch, tmp_path: Path) -> None:
    limits = planted(CONTROLS[kind], tmp_path / "plant")
    measured = run_batch(good, limits._replace(wall_seconds=5) if kind == "hang" else limits)
    assert [each.kind for each in measured.problems if each.kind.startswith(kind)]


def test_the_file_that_breaks_a_rule_is_found(good: Batch, tmp_path: Path) -> None:
    limits = planted(CONTROLS["traceback"], tmp_path / "plant")
    measured: Measured = run_batch(good, limits)
    (found,) = culprits(good, measured, limits)
    assert [each.path for each in found.batch.files] == [MARKED]
    assert "planted" in found.problem.text
