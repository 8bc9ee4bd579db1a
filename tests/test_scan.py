"""The header scanner reads what pydicom reads, and leaves to it what is not ordinary."""

import io
import random
from pathlib import Path

import pydicom
import pytest
from pydicom import uid

from rrg import dicom
from rrg.dicom import Header, Rejected, read_header
from rrg.files import Source, files_under
from rrg.scan import keys_of, scan
from tests.made_dicom import enhanced, image, magnetic, save, series


def with_pydicom(source: Source, monkeypatch: pytest.MonkeyPatch) -> Header | Rejected:
    with monkeypatch.context() as patch:
        patch.setattr(dicom, "scan", lambda *_: None)
        return read_header(source)


def nested() -> pydicom.Dataset:
    """Sequences of defined and undefined length, empty items, private elements."""
    made = image(3)
    inner, outer = pydicom.Dataset(), pydicom.Dataset()
    inner.CodeValue, outer.CodeMeaning = "x", "y" * 60
    outer.PurposeOfReferenceCodeSequence = [inner, pydicom.Dataset()]
    made.SourceImageSequence = [outer, pydicom.Dataset()]
    made["SourceImageSequence"].is_undefined_length = True
    made.ReferencedImageSequence = []
    made.private_block(0x0009, "MAKER", create=True).add_new(1, "UN", b"\\1\\2")
    return made


def test_every_syntax_and_nesting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [
        image(1),
        magnetic(2),
        nested(),
        enhanced([2, 0, 1]),
        image(5, PatientID="M\u00fcller", SpecificCharacterSet="ISO_IR 192"),
    ]
    syntaxes = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian]
    for number, each in enumerate(made):
        for syntax in syntaxes:
            source = Source(str(save(each, tmp_path / f"{number}-{syntax}", syntax)), "name")
            found = read_header(source)
            assert isinstance(found, Header), found
            assert found == with_pydicom(source, monkeypatch)


def test_ordinary_files_need_no_pydicom(tmp_path: Path) -> None:
    wanted = keys_of([0x00100020, 0x00280010])
    for syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian):
        path = save(nested(), tmp_path / "file", syntax)
        with path.open("rb") as file:
            found = scan(file, path.stat().st_size, wanted)
        assert found is not None
        assert found.values == {0x00100020: b"P-4711", 0x00280010: (6).to_bytes(2, "little")}
        assert found.syntax == syntax


def test_what_is_not_ordinary_is_left_alone() -> None:
    for raw in (b"", b"DICM", bytes(200), bytes(128) + b"DICM", bytes(128) + b"DICM" + bytes(40)):
        assert scan(io.BytesIO(raw), len(raw), keys_of([0x00100020])) is None


def test_a_header_longer_than_the_first_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = image(1, ImageComments="c" * 9000, DerivationDescription="d" * 900)
    long.private_block(0x0009, "MAKER", create=True).add_new(1, "OB", bytes(300_000))
    source = Source(str(save(long, tmp_path / "file")), "name")
    assert read_header(source) == with_pydicom(source, monkeypatch)
    assert isinstance(read_header(source), Header)


def test_damaged_headers_are_judged_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flipped, cut and removed bytes: the same header, or a rejection by both."""
    rng = random.Random(7)
    whole = [
        save(each, tmp_path / f"{n}").read_bytes() for n, each in enumerate((image(1), nested(), enhanced([0, 1])))
    ]
    differ = 0
    for number in range(600):
        raw = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(132, min(len(raw), 1500))
            raw[at : at + rng.choice((0, 1, 2))] = rng.randbytes(rng.choice((1, 1, 1, 0)))
        path = tmp_path / "damaged"
        path.write_bytes(raw if number % 5 else raw[: rng.randrange(140, len(raw))])
        source = Source(str(path), "name")
        one, other = read_header(source), with_pydicom(source, monkeypatch)
        if isinstance(one, Header) and isinstance(other, Header):
            differ += one != other
        else:
            differ += isinstance(one, Header) is not isinstance(other, Header)
    assert differ <= 3  # a character set with a NUL inside: pydicom gives up


def test_every_real_header(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = list(
        files_under([data / "lidc-idri-0314-chest-ct", data / "prostatex-0000-mr", data / "dicom-edge-cases"])
    )
    assert len(sources) > 150
    for source in sources:
        assert read_header(source) == with_pydicom(source, monkeypatch)


def test_a_series_is_still_what_it_was(tmp_path: Path) -> None:
    found = [read_header(source) for source in files_under([series(tmp_path / "in")])]
    assert sorted(header.instance_number or 0 for header in found if isinstance(header, Header)) == [1, 2, 3, 4]
