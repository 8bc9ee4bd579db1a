"""Inputs: Zstandard, zip, DICOMDIR and odd names give what plain files give; what could do harm is refused."""

import gzip
import io
import os
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numcodecs import zstd  # type: ignore[import-untyped]
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, MediaStorageDirectoryStorage

from rrg import archives, archives_inflate, archives_zstd
from rrg.dicom import Header, Rejected, frames_of, read_header, read_headers, read_source
from rrg.errors import RecordError, UsageError
from rrg.files import Source, files_under, identity, open_file
from rrg.pixels import read_volume
from tests.made_dicom import enhanced, gradient, image, save


def dicom_bytes(number: int = 1, **tags: Any) -> bytes:
    made, held = image(number, **tags), io.BytesIO()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(held, enforce_file_format=True)
    return held.getvalue()


def found(path: Path) -> list[Header | Rejected]:
    return read_source(Source(str(path), path.name))


def only(path: Path) -> Header:
    (header,) = found(path)
    assert isinstance(header, Header), header
    return header


def codes(path: Path) -> list[str]:
    return [each.code if isinstance(each, Rejected) else "ok" for each in found(path)]


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# --- Zstandard


def streamed(content: bytes) -> bytes:
    """A Zstandard frame of raw blocks that does not tell its size, as a pipe makes it (RFC 8878)."""
    pieces = [content[at : at + 100_000] for at in range(0, len(content), 100_000)] or [b""]
    blocks = [
        (len(piece) << 3 | (number == len(pieces) - 1)).to_bytes(3, "little") + piece
        for number, piece in enumerate(pieces)
    ]
    return archives_zstd.MAGIC + b"\0\x58" + b"".join(blocks)


def repeated(blocks: int) -> bytes:
    """A Zstandard frame of blocks of 128 KiB zeros, 4 bytes each."""
    size = 1 << 17
    made = [(size << 3 | 1 << 1 | (number == blocks - 1)).to_bytes(3, "little") + b"\0" for number in range(blocks)]
    return archives_zstd.MAGIC + b"\0\x58" + b"".join(made)


@pytest.mark.parametrize("pack", [lambda b: zstd.compress(b, 3), streamed], ids=["size-told", "streamed"])
@pytest.mark.parametrize("name", ["one.dcm.zst", "no extension"])
def test_zstandard_gives_the_plain_file(tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    plain = dicom_bytes()
    packed = only(written(tmp_path / name, pack(plain)))
    other = only(written(tmp_path / "plain", plain))
    assert (packed.sop, packed.position, packed.size, packed.pixel_offset) == (
        other.sop,
        other.position,
        other.size,
        other.pixel_offset,
    )
    assert np.array_equal(read_volume([packed]).values, read_volume([other]).values)
    assert np.array_equal(read_volume([packed]).values[0], gradient(1).astype(np.int16) - 1024)


def test_zstandard_of_several_frames_and_a_skipped_one(tmp_path: Path) -> None:
    plain = dicom_bytes()
    skipped = struct.pack("<II", 0x184D2A51, 5) + b"notes"
    path = written(tmp_path / "x", zstd.compress(plain[:300]) + skipped + streamed(plain[300:]) + streamed(b""))
    with open_file(str(path)) as file:
        assert file.read() == plain
    assert np.array_equal(read_volume([only(path)]).values[0], gradient(1).astype(np.int16) - 1024)


def test_zstandard_holding_an_enhanced_object(tmp_path: Path) -> None:
    plain = save(enhanced([2, 0, 1]), tmp_path / "plain")
    packed = written(tmp_path / "packed", zstd.compress(plain.read_bytes()))
    one, other = (read_volume(frames_of(only(path))).values for path in (packed, plain))
    assert one.shape[0] == 3
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (repeated(10_000), "E_TOO_LARGE"),
        (repeated(100), "E_ARCHIVE"),
        (archives_zstd.MAGIC + b"\xe0" + struct.pack("<Q", 1 << 40) + b"\x09\0\0a", "E_ARCHIVE"),
        (archives_zstd.MAGIC + b"\0\x58\x0f\0\0a", "E_ARCHIVE"),
        (zstd.compress(dicom_bytes())[:-7], "E_TRUNCATED"),
        (archives_zstd.MAGIC, "E_TRUNCATED"),
        (zstd.compress(dicom_bytes()) + b"garbage", "E_ARCHIVE"),
        (archives_zstd.MAGIC + b"\0\x58" + (40 << 3 | 2 << 1 | 1).to_bytes(3, "little") + b"\xff" * 40, "E_ARCHIVE"),
        (zstd.compress(b"hello, this is no image at all"), "E_NOT_DICOM"),
        (zstd.compress(zstd.compress(dicom_bytes())), "E_ARCHIVE"),
    ],
    ids=["bomb", "ratio", "claim", "reserved", "cut", "magic", "garbage", "damaged", "text", "nested"],
)
def test_zstandard_that_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = written(tmp_path / "x.dcm.zst", content)
    tracemalloc.start()
    assert codes(path) == [code]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000, "refused before it is unpacked"


# --- zip


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED], ids=["deflated", "stored"])
def test_members_of_a_zip_give_the_plain_files(tmp_path: Path, method: int) -> None:
    names = ["a/1.dcm", "a/b ü/2", "-rf", "notes.txt"]
    contents = [dicom_bytes(1), dicom_bytes(2), dicom_bytes(3), b"not an image, but long enough to look at"]
    path = zipped(tmp_path / "study", dict(zip(names, contents, strict=True)), method)
    read = found(path)
    assert [each.name for each in read] == [f"study/{name}" for name in names]
    assert isinstance(read[3], Rejected)
    assert read[3].code == "E_NOT_DICOM"
    headers = [each for each in read if isinstance(each, Header)]
    for number, (header, content) in enumerate(zip(headers, contents, strict=False), 1):
        assert header.path == f"{path}\0{names[number - 1]}"
        assert header.size == len(content)
        with open_file(header.path) as file:
            assert file.read() == content
            assert file.seek(-5, os.SEEK_END) == len(content) - 5
            assert file.read() == content[-5:]
        assert identity(header.path) == identity(str(path)) == (path.stat().st_size, path.stat().st_mtime_ns)
        assert read_header(Source(header.path, header.name)) == header
    volume = read_volume(headers).values
    assert np.array_equal(volume, np.stack([gradient(n).astype(np.int16) - 1024 for n in (1, 2, 3)]))


def test_an_enhanced_object_and_a_compressed_image_in_a_zip(tmp_path: Path) -> None:
    many = save(enhanced([2, 0, 1]), tmp_path / "many")
    pixels = gradient(5, 64, 64)
    made = image(5, pixels=pixels)
    save(made, tmp_path / "plain")
    made.compress(JPEG2000Lossless)
    made.save_as(tmp_path / "packed")
    path = zipped(tmp_path / "x.zip", {"1": many.read_bytes(), "2": (tmp_path / "packed").read_bytes()})
    first, second = (each for each in found(path) if isinstance(each, Header))
    frames = frames_of(first)
    assert np.array_equal(read_volume(frames).values, read_volume(frames_of(only(many))).values)
    assert np.array_equal(read_volume([second]).values[0], pixels.astype(np.int32) - 1024)


def with_info(path: Path, change: Callable[[zipfile.ZipInfo], None], content: bytes | None = None) -> Path:
    """A zip of one changed member, then a good one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("bad")
        info.compress_type = zipfile.ZIP_DEFLATED
        change(info)
        archive.writestr(info, dicom_bytes(1) if content is None else content)
        archive.writestr("good", dicom_bytes(2))
    return path


def named(name: str) -> Callable[[zipfile.ZipInfo], None]:
    def change(info: zipfile.ZipInfo) -> None:
        info.filename = name

    return change


def link(info: zipfile.ZipInfo) -> None:
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16


def fifo(info: zipfile.ZipInfo) -> None:
    info.create_system, info.external_attr = 3, (stat.S_IFIFO | 0o666) << 16


def bzip2(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_BZIP2


def same(info: zipfile.ZipInfo) -> None:
    """As it is."""


def inner_zip() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("x", dicom_bytes(1))
    return held.getvalue()


@pytest.mark.parametrize(
    ("change", "content"),
    [
        (named("../../etc/passwd"), None),
        (named("a/../../x"), None),
        (named("..\\x"), None),
        (named("/etc/passwd"), None),
        (named("C:\\x"), None),
        (named("c:x"), None),
        (link, b"/etc/passwd"),
        (fifo, None),
        (bzip2, None),
        (same, inner_zip()),
        (same, zstd.compress(dicom_bytes(1))),
        (same, bytes(20_000_000)),
    ],
    ids=["up", "inner-up", "backslash", "absolute", "drive", "drive2", "link", "fifo", "bzip2", "zip", "zst", "ratio"],
)
def test_a_bad_member_is_refused_and_the_others_go_on(
    tmp_path: Path, change: Callable[[zipfile.ZipInfo], None], content: bytes | None
) -> None:
    path = with_info(tmp_path / "x.zip", change, content)
    assert codes(path) == ["E_ARCHIVE", "ok"]
    refused = found(path)[0]
    assert isinstance(refused, Rejected)
    assert "passwd" not in refused.message
    with pytest.raises(RecordError, match="member"):
        open_file(f"{path}\0../../etc/passwd")


def patched(path: Path, at: bytes, offset: int, new: bytes) -> Path:
    """Overwrite bytes of the first record that starts with `at`."""
    content = bytearray(path.read_bytes())
    start = content.index(at) + offset
    content[start : start + len(new)] = new
    path.write_bytes(content)
    return path


def test_encrypted_members_by_either_header(tmp_path: Path) -> None:
    both = zipped(tmp_path / "x.zip", {"bad": dicom_bytes(1), "good": dicom_bytes(2)})
    assert codes(patched(both, b"PK\1\2", 8, b"\1\0")) == ["E_ARCHIVE", "ok"]
    local = zipped(tmp_path / "y.zip", {"bad": dicom_bytes(1), "good": dicom_bytes(2)})
    assert codes(patched(local, b"PK\3\4", 6, b"\1\0")) == ["E_ARCHIVE", "ok"]


@pytest.mark.parametrize("name", [b"a\0b", b"\0ab", b"\0\0/"])
def test_a_nul_in_the_name_of_a_member(tmp_path: Path, name: bytes) -> None:
    path = zipped(tmp_path / "x.zip", {"aXb": dicom_bytes(1), "good": dicom_bytes(2)})
    path.write_bytes(path.read_bytes().replace(b"aXb", name))
    assert codes(path) == ["E_ARCHIVE", "ok"]


def test_folders_in_a_zip_are_no_files(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a/": b"", "a/one": dicom_bytes(1)})
    assert [each.name for each in found(path)] == ["x.zip/a/one"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_and_members_that_share_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("same", dicom_bytes(1))
        archive.writestr("same", dicom_bytes(2))
    assert codes(tmp_path / "x.zip") == ["ok", "E_ARCHIVE"]
    path = zipped(tmp_path / "y.zip", {"one": dicom_bytes(1), "two": dicom_bytes(2)})
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\1\2")
    content[second + 42 : second + 46] = bytes(4)  # where the first member lies
    path.write_bytes(content)
    assert codes(path) == ["ok", "E_ARCHIVE"]


@pytest.mark.parametrize(
    ("field", "add"), [(16, 1), (24, -10), (24, 10), (24, 70_000)], ids=["checksum", "more", "less", "much-less"]
)
def test_sizes_and_checksums_that_lie(tmp_path: Path, field: int, add: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (300, 300)).astype(np.uint16)
    path = zipped(tmp_path / "x.zip", {"x": dicom_bytes(1, pixels=pixels)})
    told = path.read_bytes().index(b"PK\1\2") + field
    value = int.from_bytes(path.read_bytes()[told : told + 4], "little") + add
    patched(path, b"PK\1\2", field, (value % 2**32).to_bytes(4, "little"))
    with open_file(only(path).path) as file, pytest.raises(RecordError) as caught:
        file.read()
    assert caught.value.code == "E_ARCHIVE"
    if add < 2:
        assert [error.code for _, error in read_volume([only(path)]).rejected] == ["E_ARCHIVE"]


def test_damage_inside_a_member(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (300, 300)).astype(np.uint16)
    path = zipped(tmp_path / "x.zip", {"x": dicom_bytes(1, pixels=pixels), "good": dicom_bytes(2)})
    content = bytearray(path.read_bytes())
    content[90_000:90_100] = bytes(100)
    path.write_bytes(content)
    headers = [each for each in found(path) if isinstance(each, Header)]
    assert [error.code for _, error in read_volume(headers[:1]).rejected] == ["E_ARCHIVE"]
    assert not read_volume(headers[1:]).rejected


@pytest.mark.parametrize("keep", [10, 600, -1, -30])
def test_a_broken_zip_is_one_record(tmp_path: Path, keep: int) -> None:
    whole = zipped(tmp_path / "x.zip", {"a": dicom_bytes(1), "b": dicom_bytes(2)}).read_bytes()
    assert codes(written(tmp_path / "cut.zip", whole[:keep])) == ["E_ARCHIVE"]
    assert codes(zipped(tmp_path / "empty.zip", {})) == ["E_ARCHIVE"]


def test_caps_of_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"{n}": dicom_bytes(n) for n in (1, 2, 3)}
    size = len(dicom_bytes(1))
    monkeypatch.setattr(archives, "MAX_TOTAL", 2 * size + 20)
    assert codes(zipped(tmp_path / "total.zip", members)) == ["ok", "ok", "E_ARCHIVE"]
    monkeypatch.setattr(archives, "MAX_TOTAL", 1 << 40)
    monkeypatch.setattr(archives, "MAX_MEMBER", size + 10)
    assert codes(zipped(tmp_path / "member.zip", {**members, "4": dicom_bytes(4) + bytes(11)})) == [
        "ok",
        "ok",
        "ok",
        "E_ARCHIVE",
    ]
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 100)
    assert codes(zipped(tmp_path / "directory.zip", members)) == ["E_ARCHIVE"]


def test_the_list_of_members_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "x.zip", {f"{n}": dicom_bytes(n) for n in range(1, 60)})
    opened = 0
    original = zipfile.ZipFile

    def counting(path: str) -> zipfile.ZipFile:
        nonlocal opened
        opened += 1
        return original(path)

    monkeypatch.setattr(zipfile, "ZipFile", counting)
    headers = [each for each in found(path) if isinstance(each, Header)]
    assert len(headers) == 59
    assert read_volume(headers).values.shape[0] == 59
    assert opened == 1
    monkeypatch.undo()
    time.sleep(0.01)  # another time of change
    zipped(path, {"new": dicom_bytes(1)})
    assert [each.name for each in found(path)] == ["x.zip/new"], "an archive that changed is read anew"


def test_a_large_member_is_read_in_bounded_memory_and_in_any_order(tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 4, 9 * archives_inflate.BLOCK // 2 + 17, np.uint8).tobytes()
    path = zipped(tmp_path / "x.zip", {"large": content})
    with open_file(f"{path}\0large") as file:
        tracemalloc.start()
        step = 1 << 20
        for start in [*range(0, len(content), step), *range(len(content) - step, 0, -step), 5]:
            file.seek(start)
            assert file.read(step) == content[start : start + step]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert file.seek(len(content) + 5) == len(content) + 5
        assert file.read(1) == b""
    assert peak < 3 * archives_inflate.BLOCK


def test_the_header_of_a_member_is_read_without_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (1000, 1000)).astype(np.uint16)
    path = zipped(tmp_path / "x.zip", {"large": dicom_bytes(1, pixels=pixels)})
    read = 0
    original = archives_inflate.FilePart.read_at

    def counting(self: archives_inflate.FilePart, position: int, count: int) -> bytes:
        nonlocal read
        made = original(self, position, count)
        read += len(made)
        return made

    archives.members(str(path))
    monkeypatch.setattr(archives_inflate.FilePart, "read_at", counting)
    only(path)
    assert read < 100_000 < path.stat().st_size


def test_other_archives_are_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(written(tmp_path / "one.dcm", dicom_bytes()), "one.dcm")
    written(tmp_path / "one.dcm.gz", gzip.compress(dicom_bytes()))
    written(tmp_path / "x.7z", b"7z\xbc\xaf\x27\x1c" + bytes(400))
    written(tmp_path / "x.rar", b"Rar!\x1a\x07\1\0" + bytes(400))
    for name in ("x.tar", "one.dcm.gz", "x.7z", "x.rar"):
        (refused,) = found(tmp_path / name)
        assert isinstance(refused, Rejected)
        assert (refused.code, "unpack it" in refused.message) == ("E_ARCHIVE", True), name


# --- DICOMDIR


def dicomdir(path: Path, *references: list[str] | str) -> Path:
    made = Dataset()
    made.FileSetID = "DISK"
    made.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    made.DirectoryRecordSequence = []
    for reference in references:
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 0xFFFF
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", reference
        made.DirectoryRecordSequence.append(record)
    upper = Dataset()
    upper.RecordInUseFlag, upper.DirectoryRecordType, upper.PatientID = 0xFFFF, "PATIENT", "P-1"
    made.DirectoryRecordSequence.append(upper)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"  # type: ignore[assignment]
    made.save_as(path, enforce_file_format=True)
    return path


def undefined_length(path: Path) -> bytes:
    """The same directory with a Directory Record Sequence that ends by a delimiter."""
    made = pydicom.dcmread(path)
    made["DirectoryRecordSequence"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def listed(path: Path) -> dict[str, str]:
    """Name -> code of what a DICOMDIR given as PATH leads to."""
    read = read_headers(list(files_under([path])))
    return {each.name: each.code if isinstance(each, Rejected) else "ok" for each in read}


def test_a_dicomdir_stands_for_its_files(tmp_path: Path) -> None:
    media = tmp_path / "media"
    for number, name in enumerate(["DICOM/IM1", "dicom2/im2", "IM3", "not referred to"], 1):
        written(media / name, dicom_bytes(number))
    path = dicomdir(media / "DICOMDIR", ["DICOM", "IM1"], ["DICOM2", "IM2"], "IM3", ["DICOM", "IM1"])
    assert listed(path) == {"DICOM/IM1": "ok", "dicom2/im2": "ok", "IM3": "ok"}
    sources = list(files_under([path]))
    assert [source.path for source in sources] == [str(media / name) for name in ("DICOM/IM1", "dicom2/im2", "IM3")]
    walked = {each.name: each for each in read_headers(list(files_under([media])))}
    assert len(walked) == 5
    refused = walked["DICOMDIR"]
    assert isinstance(refused, Rejected)
    assert refused.code == "E_NOT_IMAGE"


def test_a_dicomdir_named_without_its_folder(tmp_path: Path) -> None:
    written(tmp_path / "IM1", dicom_bytes())
    dicomdir(tmp_path / "DICOMDIR", "IM1")
    code = (
        "from pathlib import Path; from rrg.files import files_under; from rrg.dicom import read_headers\n"
        "print([type(h).__name__ for h in read_headers(list(files_under([Path('DICOMDIR')])))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['Header']"


def test_references_that_lead_out_or_nowhere(tmp_path: Path) -> None:
    media = tmp_path / "media"
    secret = written(tmp_path / "secret", dicom_bytes(9))
    written(media / "IM1", dicom_bytes(1))
    (media / "OUT").symlink_to(secret)
    (media / "UP").symlink_to(tmp_path)
    (media / "IN").symlink_to(media / "IM1")
    (media / "FOLDER").mkdir()
    os.mkfifo(media / "PIPE")
    path = dicomdir(
        media / "DICOMDIR",
        ["..", "secret"],
        str(secret),
        ["", "etc", "passwd"],
        ["C:", "x"],
        "OUT",
        ["UP", "SECRET"],
        "MISSING",
        "FOLDER",
        "PIPE",
        "IM1",
        "IN",
    )
    assert sorted(listed(path).values()) == ["E_PATH"] * 9 + ["ok"] * 2


def test_a_dicomdir_that_is_broken_or_empty(tmp_path: Path) -> None:
    assert listed(dicomdir(tmp_path / "empty")) == {"empty": "E_NOT_IMAGE"}
    path = dicomdir(tmp_path / "DICOMDIR", "IM1", "IM2")
    for whole in (path.read_bytes(), undefined_length(path)):
        assert set(listed(written(tmp_path / "whole", whole)).values()) == {"E_PATH"}
        for keep in (len(whole) - 2, len(whole) - 20, len(whole) - 60, 400):
            made = listed(written(tmp_path / "cut", whole[:keep]))
            assert list(made.values()) in (["E_MALFORMED"], ["E_TRUNCATED"]), keep


# --- names and special files


def test_odd_names_and_special_files(tmp_path: Path) -> None:
    root = tmp_path / "in"
    names = [b"-rf", b" ", b"a b\n", b"\xfc\xe4.dcm", b"x" * 250, "\U0001f600".encode(), b"dir.dcm/x.zip/y.nii.gz"]
    for number, name in enumerate(names, 1):
        target = os.fsencode(root) + b"/" + name
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        Path(os.fsdecode(target)).write_bytes(dicom_bytes(number))
    os.mkfifo(root / "pipe.dcm")
    (root / "zero").symlink_to("/dev/zero")
    (root / "empty.zip").touch()
    (root / "dangling").symlink_to(root / "nothing")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(root)  # names of sockets are short
    listening.bind("socket")
    os.chdir(here)
    read = read_headers(list(files_under([root])))
    listening.close()
    refused = {each.name: each.code for each in read if isinstance(each, Rejected)}
    assert refused == {
        "pipe.dcm": "E_NOT_DICOM",
        "zero": "E_NOT_DICOM",
        "socket": "E_NOT_DICOM",
        "empty.zip": "E_NOT_DICOM",
        "dangling": "E_PATH",
    }
    headers = [each for each in read if isinstance(each, Header)]
    assert len(headers) == len(names)
    assert read_volume(headers).values.shape[0] == len(names)
    assert all(identity(header.path)[0] == header.size for header in headers)
    assert "\\xfc\\xe4.dcm" in {header.name for header in headers}


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        list(files_under([tmp_path / "none"]))
    assert list(files_under([tmp_path])) == []
