"""The header index: what it holds is what the files say, known files are not opened again, one process writes it."""

import dataclasses
import fcntl
import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rrg import index
from rrg.dicom import Header, read_header
from rrg.errors import RrgError
from rrg.files import Source, files_under, identity
from tests.conftest import Rrg
from tests.made_dicom import ROOT, image, save, series


def headers(folder: Path) -> list[Header]:
    opened = index.open_index(folder)
    found = [header for row in opened.studies() for header in opened.study(row).headers]
    assert all(header.disk == identity(header.path) for header in found if Path(header.path).exists())
    return [dataclasses.replace(header, disk=None) for header in found]


def test_it_gives_back_every_field_of_every_header(tmp_path: Path) -> None:
    series(tmp_path / "in" / "a", range(1, 4), WindowCenter=[40, 300], WindowWidth=[400, 1500])
    save(
        image(
            9, PatientID="Müller\\x", StudyInstanceUID=f"{ROOT}.9", SeriesInstanceUID=f"{ROOT}.8", PixelPaddingValue=7
        ),
        tmp_path / "in" / "ü b" / "-rf",
    )
    index.update(tmp_path / "index", [tmp_path / "in"])
    read = [read_header(source) for source in files_under([tmp_path / "in"])]
    expected = sorted((each for each in read if isinstance(each, Header)), key=lambda each: each.name)
    assert len(expected) == 4
    assert sorted(headers(tmp_path / "index"), key=lambda each: each.name) == expected


def test_every_real_header_survives(data: Path, tmp_path: Path) -> None:
    folders = [data / "dicom-edge-cases", data / "prostatex-0000-mr", data / "totalsegmentator-ct-mr"]
    index.update(tmp_path / "index", folders)
    read = [read_header(source) for source in files_under(folders)]
    expected = [each for each in read if isinstance(each, Header)]
    found = headers(tmp_path / "index")
    assert len(expected) > 100

    def identity(header: Header) -> tuple[str, str]:
        return header.path, header.name

    assert sorted(found, key=identity) == sorted(expected, key=identity)


def test_known_files_are_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series(tmp_path / "in", range(1, 6))
    (tmp_path / "in" / "notes.txt").write_text("no DICOM at all")
    assert index.update(tmp_path / "index", [tmp_path / "in"]) == (0, 6, 0)
    opened: list[str] = []
    real = index.read_source

    def watched(source: Source) -> list[Header | index.Rejected]:
        opened.append(source.name)
        return real(source)

    monkeypatch.setattr(index, "read_source", watched)
    assert index.update(tmp_path / "index", [tmp_path / "in"]) == (6, 0, 0)
    assert opened == []
    save(image(7), tmp_path / "in" / "new")
    os.utime(tmp_path / "in" / "notes.txt", ns=(1, 1))
    assert index.update(tmp_path / "index", [tmp_path / "in"]) == (5, 2, 0)
    assert sorted(opened) == ["new", "notes.txt"]
    assert len(headers(tmp_path / "index")) == 6


def test_a_changed_file_replaces_what_was_known(tmp_path: Path) -> None:
    series(tmp_path / "in", range(1, 3))
    index.update(tmp_path / "index", [tmp_path / "in"])
    for number in (1, 2):  # the wrong patient was corrected in the archive
        path = tmp_path / "in" / f"{900 - number}"
        save(image(number, PatientID="another"), path)
        os.utime(path, ns=(5, 5))
    index.update(tmp_path / "index", [tmp_path / "in"])
    opened = index.open_index(tmp_path / "index")
    (row,) = opened.studies()
    assert row.patients == {"another"}
    assert opened.study(row).problem is None


def test_gone_files_are_forgotten_but_a_dead_mount_is_not_believed(tmp_path: Path) -> None:
    series(tmp_path / "in" / "a", range(1, 4))
    series(tmp_path / "in" / "b", range(11, 14), SeriesInstanceUID=f"{ROOT}.33")
    series(tmp_path / "in-other", range(21, 24), SeriesInstanceUID=f"{ROOT}.44")
    index.update(tmp_path / "index", [tmp_path / "in", tmp_path / "in-other"])
    for path in (tmp_path / "in" / "b").iterdir():
        path.unlink()
    assert index.update(tmp_path / "index", [tmp_path / "in"]).gone == 3
    assert len(headers(tmp_path / "index")) == 6  # those of in-other too, whose name begins alike
    for path in (tmp_path / "in" / "a").iterdir():
        path.unlink()
    with pytest.raises(RrgError, match="is it mounted"):
        index.update(tmp_path / "index", [tmp_path / "in"])
    assert len(headers(tmp_path / "index")) == 6


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    series(tmp_path / "in")
    index.update(tmp_path / "index", [tmp_path / "in"])
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "index" / index.FILE_NAME).stat().st_mode) == 0o600


def test_one_process_writes_it(tmp_path: Path) -> None:
    series(tmp_path / "in")
    (tmp_path / "index").mkdir()
    with (tmp_path / "index" / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RrgError, match=r"another rrg writes it.*E_LOCKED"):
            index.update(tmp_path / "index", [tmp_path / "in"])


def test_what_is_no_index_and_what_is_another_versions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RrgError, match="no index there"):
        index.open_index(tmp_path)
    (tmp_path / index.FILE_NAME).write_bytes(b"not a database, but long enough to be looked at" * 30)
    with pytest.raises(RrgError, match="no index of rrg"):
        index.open_index(tmp_path)
    series(tmp_path / "in")
    index.update(tmp_path / "other", [tmp_path / "in"])
    with sqlite3.connect(tmp_path / "other" / index.FILE_NAME) as database:
        database.execute("UPDATE meta SET value = 'older'")
    with pytest.raises(RrgError, match="another version"):
        index.open_index(tmp_path / "other")


def test_the_layout_names_every_field_once() -> None:
    names = [*index.OWN, *index.COMMON, "path", "name", "frame", "disk", "shared", "labels"]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(Header))


def test_workers_do_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "FEW_FILES", 4)
    monkeypatch.setattr(index, "FILES_PER_TASK", 3)
    series(tmp_path / "in", range(1, 20))
    index.update(tmp_path / "one", [tmp_path / "in"])
    index.update(tmp_path / "two", [tmp_path / "in"], workers=2)
    assert len(headers(tmp_path / "one")) == 19
    assert headers(tmp_path / "one") == headers(tmp_path / "two")


def test_one_dead_path_of_several_keeps_its_files(tmp_path: Path) -> None:
    for place in ("a", "b"):
        series(tmp_path / place, SeriesInstanceUID=f"{ROOT}.{ord(place)}.7")
    paths = [tmp_path / "a", tmp_path / "b"]
    index.update(tmp_path / "index", paths)
    (tmp_path / "a").rename(tmp_path / "gone")
    (tmp_path / "a").mkdir()
    with pytest.raises(RrgError, match="is it mounted"):
        index.update(tmp_path / "index", paths)
    assert len(headers_known(tmp_path / "index")) == 8
    assert index.forget(tmp_path / "index", [tmp_path / "a"]) == 4
    assert len(headers_known(tmp_path / "index")) == 4


def headers_known(folder: Path) -> list[str]:
    opened = index.open_index(folder)
    return [header.path for row in opened.studies() for header in opened.study(row).headers]


def test_the_same_file_twice_is_one(tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    index.update(tmp_path / "index", [folder, folder / "897", folder / "897"])
    assert len(headers(tmp_path / "index")) == 4


def test_links_that_lead_nowhere_and_our_own_folders_are_no_input(tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    (folder / "loop").symlink_to("loop")
    index.update(folder / "index", [folder])
    assert index.update(folder / "index", [folder]) == (5, 0, 0)
    assert [each.code for each in index.open_index(folder / "index").rejected()] == ["E_PATH"]


def test_an_interrupted_writer_leaves_a_readable_index(tmp_path: Path) -> None:
    """A hot journal: a reader that may not write could not roll it back."""
    series(tmp_path / "in")
    index.update(tmp_path / "index", [tmp_path / "in"])
    kill = (
        "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('PRAGMA cache_size = 1');"
        "d.execute('BEGIN'); d.execute('DELETE FROM object');"
        "d.executemany('INSERT INTO study(value) VALUES (?)', ((str(n) * 300,) for n in range(3000))); os._exit(9)"
    )
    path = tmp_path / "index" / index.FILE_NAME
    assert subprocess.run([sys.executable, "-c", kill, path], check=False).returncode == 9
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0
    assert len(headers(tmp_path / "index")) == 4


def test_a_damaged_index_is_one_line(rrg: Rrg, tmp_path: Path) -> None:
    series(tmp_path / "in", range(1, 200))
    rrg("extract-slices", "in", "--index", "index", cwd=tmp_path)
    path = tmp_path / "index" / index.FILE_NAME
    raw = bytearray(path.read_bytes())
    raw[4096 * 3 :] = b"\xff" * (len(raw) - 4096 * 3)
    path.write_bytes(raw)
    done = rrg("extract-slices", "--index", "index", "--list", cwd=tmp_path, code=1)
    assert b"damaged" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_signal_keeps_what_was_read(tmp_path: Path, key_file: Path) -> None:
    for number in range(60):
        series(tmp_path / "in" / str(number), range(100), SeriesInstanceUID=f"{ROOT}.9.{number}")
    command = [sys.executable, "-m", "rrg", "extract-slices", "in", "--index", "index"]
    env = {**os.environ, "RRG_KEY_FILE": str(key_file)}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not (tmp_path / "index" / index.FILE_NAME).exists():
        time.sleep(0.01)
    time.sleep(0.4)
    process.terminate()
    said = process.communicate()[1]
    assert process.returncode in (75, 0), said
    assert b"Traceback" not in said
    known = len(headers_known(tmp_path / "index"))
    assert index.update(tmp_path / "index", [tmp_path / "in"]) == (known, 6000 - known, 0)


def test_a_reader_does_not_keep_the_writer_out(tmp_path: Path) -> None:
    series(tmp_path / "in")
    (tmp_path / "in" / "note").write_text("no DICOM")
    index.update(tmp_path / "index", [tmp_path / "in"])
    opened = index.open_index(tmp_path / "index")
    reading = opened.rejected_in(lambda _: "x")
    next(reading)
    save(image(9), tmp_path / "in" / "new")
    assert index.update(tmp_path / "index", [tmp_path / "in"]).read == 1


# --- as a user


def lines(raw: bytes, kind: str) -> list[dict[str, object]]:
    return [each for each in map(json.loads, raw.splitlines()) if each["schema"] == f"rrg.{kind}/1"]


def test_index_then_all_is_extraction_without_an_index(rrg: Rrg, tmp_path: Path) -> None:
    series(tmp_path / "in" / "a")
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    plain = rrg("extract-slices", "in", "--store", "s1", cwd=tmp_path, code=3).stdout
    made = rrg("extract-slices", "in", "--index", "index", cwd=tmp_path, code=3)
    assert [each["code"] for each in lines(made.stdout, "error")] == ["E_NOT_DICOM"]
    assert lines(made.stdout, "end")[0]["counts"] == {
        "error.E_NOT_DICOM": 1,
        "file": 5,
        "image": 4,
        "series": 1,
        "study": 1,
    }
    assert b"0 files known, 5 read" in made.stderr
    again = rrg("extract-slices", "in", "--index", "index", cwd=tmp_path, code=3)
    assert again.stdout == made.stdout
    assert b"5 files known, 0 read" in again.stderr
    assert rrg("extract-slices", "--index", "index", "--all", "--store", "s2", cwd=tmp_path, code=3).stdout == plain


def test_shards_read_the_index_and_never_the_files_of_others(rrg: Rrg, tmp_path: Path) -> None:
    for patient in range(6):
        numbers = range(10 * patient + 1, 10 * patient + 4)
        tags = {"PatientID": f"P{patient}", "StudyInstanceUID": f"{ROOT}.5.{patient}"}
        series(tmp_path / "in" / str(patient), numbers, SeriesInstanceUID=f"{ROOT}.6.{patient}", **tags)
    rrg("extract-slices", "in", "--index", "index", cwd=tmp_path)
    whole = rrg("extract-slices", "--index", "index", "--all", "--store", "s", cwd=tmp_path).stdout
    parts = [
        rrg(
            "extract-slices",
            "--index",
            "index",
            "--all",
            "--store",
            "s",
            "--shard",
            f"{part}/2",
            cwd=tmp_path,
            code=None,
        )
        for part in (1, 2)
    ]
    union = [line for part in parts for line in part.stdout.splitlines() if b"rrg.slice/1" in line]
    assert sorted(union) == sorted(line for line in whole.splitlines() if b"rrg.slice/1" in line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in", "--index", "i", "--shard", "1/2"), "an index has one writer"),
        (("--index", "i"), "say what to extract"),
        (("in", "--index", "i", "--store", "s"), "say what to extract"),
        (("in", "--all", "--store", "s"), "--all needs --index"),
        (("--only-referenced", "--store", "s"), "--only-referenced needs --index"),
        (("in",), "no place for the pixels"),
        ((), "no input"),
        (("in", "--store", "s", "--context", "2"), "--context needs --only-referenced"),
    ],
)
def test_options_that_contradict_each_other(rrg: Rrg, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    series(tmp_path / "in")
    done = rrg("extract-slices", *arguments, cwd=tmp_path, code=2)
    assert message in done.stderr.decode()
    assert done.stdout == b""


def test_a_file_that_a_signal_cut_short_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal acts between any two steps: what it interrupts must not be known without its header."""

    class Signal(BaseException):
        pass

    series(tmp_path / "in")
    calls = iter(range(100))
    whole = index._Writer._common

    def cut(self: index._Writer, header: Header) -> int:
        if next(calls) == 2:
            raise Signal
        return whole(self, header)

    monkeypatch.setattr(index._Writer, "_common", cut)
    with pytest.raises(Signal):
        index.update(tmp_path / "index", [tmp_path / "in"])
    monkeypatch.undo()
    assert index.update(tmp_path / "index", [tmp_path / "in"]) == (2, 2, 0)
    assert len(headers_known(tmp_path / "index")) == 4
