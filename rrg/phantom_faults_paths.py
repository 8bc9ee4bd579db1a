"""Rows 27 to 29: names and archives that lead outside, and names that are hard to handle."""

import io
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from pydicom.fileset import FileSet
from pydicom.uid import UID

from rrg.phantom_dicom import made_up_uid
from rrg.phantom_faults_study import Fault, another, as_bytes, changed, grid, put, put_bytes, study
from rrg.seeds import rng_for

OUTSIDE = "outside/IM0001.dcm"
"""A file beside the input that nothing may read."""


# --- row 27


def dicomdir(root: Path, seed: int) -> None:
    """A DICOMDIR of five images, two of whose entries lead outside: ``..`` and an absolute path."""
    good = study(seed)
    index = FileSet()
    index.UID, index.ID = UID(made_up_uid(seed, "fault", "fileset")), "RRG"
    for each in good:
        index.add(each)
    with tempfile.TemporaryDirectory() as spare:
        index.write(Path(spare))
        for path in sorted(Path(spare).rglob("*")):
            if path.is_file():
                put_bytes(root, f"input/{path.relative_to(spare)}", path.read_bytes())
    path = root / "input/DICOMDIR"
    data = path.read_bytes()
    names = [f"PT000000\\ST000000\\SE000000\\IM00000{number}".encode() for number in range(5)]
    for old, new in ((names[3], b"..\\outside\\IM0001.dcm"), (names[4], b"\\etc\\passwd")):
        assert data.count(old) == 1
        data = data.replace(old, new.ljust(len(old)))
    path.write_bytes(data)
    for name in names[3:]:
        (root / "input" / name.decode().replace("\\", "/")).unlink()
    put_bytes(root, OUTSIDE, as_bytes(another(good[0], "outside", PatientID="P-666")))


def odd_names(root: Path, seed: int) -> None:
    """UIDs and a Patient ID that would be dangerous as names: traversal, newline, 300 characters, emoji."""
    good = study(seed)
    odd = {"StudyInstanceUID": "../../../tmp/rrg-escaped", "SeriesInstanceUID": "/tmp/rrg-escaped\nx"}
    odd |= {"PatientID": "../Ä💥\n" * 60, "FrameOfReferenceUID": "9" * 300}
    made = []
    for number, each in enumerate(study(seed, name="odd"), 1):
        sop = f"../{number}\n" + "x" * 290
        made.append(changed(each, SpecificCharacterSet="ISO_IR 192", **odd, SOPInstanceUID=sop))
    for each in made:
        each.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    put(root, good)
    for path in put(root, made, "input/odd"):
        path.write_bytes(path.read_bytes().replace(b"/tmp/rrg-escaped\nx", b"/tmp/rrg-escaped\0x"))


# --- row 28


def _zip(members: list[tuple[str | zipfile.ZipInfo, bytes]], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, data in members:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            info.compress_type = kind
            archive.writestr(info, data)
    return buffer.getvalue()


def _members(seed: int) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    return [(f"study/IM{number:04d}.dcm", as_bytes(each)) for number, each in enumerate(study(seed), 1)]


def zip_traversal(root: Path, seed: int) -> None:
    """Members that lead outside beside good ones."""
    evil = as_bytes(another(study(seed)[0], "evil"))
    outside: list[tuple[str | zipfile.ZipInfo, bytes]] = [
        ("../../rrg-escaped.dcm", evil), ("/tmp/rrg-escaped.dcm", evil), ("study/../../../rrg-escaped.dcm", evil)
    ]  # fmt: skip
    put_bytes(root, "input/study.zip", _zip([*_members(seed), *outside]))


def zip_link(root: Path, seed: int) -> None:
    """A member that is a symbolic link to a file outside."""
    link = zipfile.ZipInfo("study/link.dcm")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    put_bytes(root, "input/study.zip", _zip([*_members(seed), (link, b"/etc/passwd")]))


def zip_bomb(root: Path, seed: int) -> None:
    """A member of 64 MB that takes 64 kB: zeros behind the mark of DICOM."""
    bomb = bytes(128) + b"DICM" + bytes(64_000_000)
    put_bytes(root, "input/study.zip", _zip([*_members(seed), ("study/bomb.dcm", bomb)]))


def zip_encrypted(root: Path, seed: int) -> None:
    """One member encrypted the old way (PKWARE APPNOTE 6.1), which any reader would try."""
    secret = as_bytes(another(study(seed)[0], "secret"))
    plain = _zip([*_members(seed), ("study/secret.dcm", secret)], zipfile.ZIP_STORED)
    crypted = _encrypt(rng_for(seed, "phantom", "fault/zip").bytes(11) + bytes([zlib.crc32(secret) >> 24]) + secret)
    # The encrypted member is 12 bytes longer: write the archive with those bytes, then set flag and size.
    data = bytearray(_zip([*_members(seed), ("study/secret.dcm", crypted)], zipfile.ZIP_STORED))
    assert len(data) == len(plain) + 12
    for mark, flags_at, crc_at in ((b"PK\3\4", 6, 14), (b"PK\1\2", 8, 16)):
        at = data.rindex(mark)
        data[flags_at + at] |= 1
        data[crc_at + at : crc_at + at + 4] = zlib.crc32(secret).to_bytes(4, "little")
        data[crc_at + at + 8 : crc_at + at + 12] = len(secret).to_bytes(4, "little")
    put_bytes(root, "input/study.zip", bytes(data))


def _encrypt(data: bytes, password: bytes = b"rrg") -> bytes:
    """Traditional PKWARE encryption."""
    table = [0] * 256
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ 0xEDB88320 * (value & 1)
        table[number] = value
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = keys[0] >> 8 ^ table[(keys[0] ^ byte) & 0xFF]
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = keys[2] >> 8 ^ table[(keys[2] ^ keys[1] >> 24) & 0xFF]

    for byte in password:
        update(byte)
    out = bytearray()
    for byte in data:
        mixed = keys[2] | 2
        out.append(byte ^ (mixed * (mixed ^ 1) >> 8 & 0xFF))
        update(byte)
    return bytes(out)


def zip_nested(root: Path, seed: int) -> None:
    """An archive inside the archive."""
    inner = _zip([("IM0001.dcm", as_bytes(another(study(seed)[0], "inner")))])
    put_bytes(root, "input/study.zip", _zip([*_members(seed), ("study/more.zip", inner)]))


def tar_traversal(root: Path, seed: int) -> None:
    """A tar with a member that leads outside and a link, beside a good series on the disk."""
    put(root, study(seed))
    buffer = io.BytesIO()
    evil = as_bytes(another(study(seed)[0], "evil"))
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("../../rrg-escaped.dcm")
        info.size = len(evil)
        archive.addfile(info, io.BytesIO(evil))
        link = tarfile.TarInfo("link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    put_bytes(root, "input/study.tar", buffer.getvalue())


# --- row 29


def file_names(root: Path, seed: int) -> None:
    """Blanks, a leading ``-``, bytes that are not UTF-8, a newline, two that differ in case only, 1000 characters."""
    names = [b"a name with  blanks .dcm", b"-rf", b"\xff\xfe\xfc.dcm", b"new\nline.dcm", b"case.dcm", b"CASE.dcm",
             b"/".join([b"long" * 50] * 5 + [b"im.dcm"]), "Größe 💥".encode()]  # fmt: skip
    slices = study(seed, grid(shape=(len(names), 32, 40)))
    for name, each in zip(names, slices, strict=True):
        path = Path(os.fsdecode(os.fsencode(root / "input") + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(each))


_MEMBER = "The good members are read; nothing is written but to the store."
FAULTS = {
    "dicomdir-traversal": Fault(27, "DICOMDIR with '..' and an absolute path", dicomdir, {"E_PATH": 2}, (), 3,
                                "Three images are read, nothing outside of the folder.",
                                "rrg extract-slices input/DICOMDIR --store STORE"),
    "odd-names": Fault(27, "UIDs and PatientID with '..', NUL, newline, 300 characters, emoji", odd_names,
                       notes="Names in the store are hashes; nothing is written but to the store."),
    "zip-traversal": Fault(28, "zip members with '..' and absolute names", zip_traversal, {"E_ARCHIVE": 3}, (), 3,
                           _MEMBER),
    "zip-link": Fault(28, "zip member that is a link", zip_link, {"E_ARCHIVE": 1}, (), 3, _MEMBER),
    "zip-bomb": Fault(28, "zip member of 64 MB, 1000 : 1", zip_bomb, {"E_ARCHIVE": 1}, (), 3, _MEMBER),
    "zip-encrypted": Fault(28, "zip member that is encrypted", zip_encrypted, {"E_ARCHIVE": 1}, (), 3, _MEMBER),
    "zip-nested": Fault(28, "zip in a zip", zip_nested, {"E_ARCHIVE": 1}, (), 3, _MEMBER),
    "tar-traversal": Fault(28, "tar with '..' and a link", tar_traversal, {"E_ARCHIVE": 1}, (), 3,
                           "A tar is not read: one record for it; the series beside it is."),
    "file-names": Fault(29, "blanks, '-rf', not UTF-8, case, 1000 characters", file_names,
                        notes="`--` ends the options."),
}  # fmt: skip
