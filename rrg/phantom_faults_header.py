"""Rows 18 to 22 and 24: objects that are no images, identifying text, character sets, files that are no DICOM."""

import contextlib
import os
import stat
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid

from rrg.phantom_faults_study import CANARY, Fault, another, as_bytes, changed, put, put_bytes, study, with_pixels

Make = Callable[[Path, int], None]
UMLAUTS = "Jürgen-Größe-4711"
"""Patient ID of row 21."""


# --- row 18


def secondary_capture(root: Path, seed: int) -> None:
    """Screenshots as RGB, PALETTE COLOR and YBR_FULL beside a good series."""
    good = study(seed)
    grey = (good[0].pixel_array >> 4).astype(np.uint8)
    gone = ("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType")
    made = []
    for photometric in ("RGB", "YBR_FULL", "PALETTE COLOR"):
        each = another(good[0], photometric, SOPClassUID=uid.SecondaryCaptureImageStorage, Modality="OT",
                       PhotometricInterpretation=photometric, BitsAllocated=8, BitsStored=8, HighBit=7,
                       PixelRepresentation=0, **dict.fromkeys(gone))  # fmt: skip
        each.SeriesInstanceUID = f"{good[0].SeriesInstanceUID[:-3]}018"
        each.PixelData = grey.tobytes()
        if photometric == "PALETTE COLOR":
            for tag in (0x00281101, 0x00281102, 0x00281103):
                each.add_new(tag, "US", [256, 0, 16])
                each.add_new(tag + 0x100, "OW", (np.arange(256) * 257).astype("<u2").tobytes())
        else:
            each.SamplesPerPixel, each.PlanarConfiguration = 3, 0
            each.PixelData = np.stack([grey] * 3, axis=-1).tobytes()
        each["PixelData"].VR = "OB"
        made.append(each)
    put(root, [*good, *made])


OTHER_OBJECTS = (
    uid.XRayRadiationDoseSRStorage,
    uid.BasicTextSRStorage,
    uid.EncapsulatedPDFStorage,
    uid.KeyObjectSelectionDocumentStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.RTStructureSetStorage,
    uid.SegmentationStorage,
)


def not_images(root: Path, seed: int) -> None:
    """Dose report, SR, PDF, KO, PR, RTSTRUCT and SEG beside a good series."""
    good = study(seed)
    made = []
    for sop_class in OTHER_OBJECTS:
        each = another(good[0], sop_class, SOPClassUID=sop_class, Modality="OT")
        for element in [element.tag for element in each if element.tag.group in (0x0028, 0x7FE0)]:
            del each[element]
        if sop_class == uid.EncapsulatedPDFStorage:
            each.EncapsulatedDocument = f"%PDF-1.4 {CANARY.name} ".encode()
            each.MIMETypeOfEncapsulatedDocument = "application/pdf"
        made.append(each)
    put(root, [*good, *made])


# --- rows 19 and 20

_LETTERS = {
    "M": (5, 7, 5, 5, 5),
    "U": (5, 5, 5, 5, 7),
    "S": (7, 4, 7, 1, 7),
    "T": (7, 2, 2, 2, 2),
    "E": (7, 4, 6, 4, 7),
    "R": (7, 5, 7, 6, 5),
}
"""A font of 3 x 5 pixels, a row of three bits each."""


def _written(pixels: Any, text: str = "MUSTER") -> Any:
    """White letters in the first rows."""
    made = pixels.copy()
    for place, letter in enumerate(text):
        for row, bits in enumerate(_LETTERS[letter]):
            for column in range(3):
                if bits >> (2 - column) & 1:
                    made[1 + row, 2 + 4 * place + column] = 3000
    return made


def burned_in(root: Path, seed: int) -> None:
    """A series with a name in its pixels, which it says, beside a good one."""
    marked = [
        with_pixels(each, _written(each.pixel_array), BurnedInAnnotation="YES")
        for each in study(seed, name="marked", number=4)
    ]
    put(root, [*study(seed), *marked])


def ultrasound(root: Path, seed: int) -> None:
    """A grey ultrasound image: the machine writes into its pixels and says nothing."""
    gone = ("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "BurnedInAnnotation")
    each = study(seed, name="ultrasound", number=4)[0]
    marked = with_pixels(each, _written(each.pixel_array), SOPClassUID=uid.UltrasoundImageStorage, Modality="US",
                         **dict.fromkeys(gone))  # fmt: skip
    put(root, [*study(seed), marked])


PRIVATE = ("Klinik am See", "Tel. 0331 4711", "Pfarrer Mustermann")
"""What private elements hold."""


def private_phi(root: Path, seed: int) -> None:
    """Private elements with a name and a number; one group has a creator, one has none."""
    made = []
    for each in study(seed):
        block = each.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x08, "LO", PRIVATE[0])
        block.add_new(0x10, "OB", PRIVATE[1].encode())
        each.add_new(0x00311020, "LO", PRIVATE[2])  # no creator at (0031,0010)
        made.append(each)
    put(root, made)


# --- row 21


def _charset(declared: str | list[str] | None, stored: str, *, form: str = "NFC") -> Make:
    """Patient ID with umlauts as `stored` encodes it, under Specific Character Set `declared`."""

    def make(root: Path, seed: int) -> None:
        held = unicodedata.normalize(form, UMLAUTS).encode(stored)  # type: ignore[arg-type]
        mark = b"@" * len(held)
        for path in put(root, [
            changed(each, PatientID=mark.decode(), SpecificCharacterSet="ISO_IR 100") for each in study(seed)
        ]):  # fmt: skip
            data = path.read_bytes()
            assert data.count(mark) == 1
            data = data.replace(mark, held)
            path.write_bytes(_with_charset(data, declared))

    return make


def _with_charset(data: bytes, declared: str | list[str] | None) -> bytes:
    """Exchange the value of Specific Character Set, which pydicom would not write."""
    old = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
    assert data.count(old) == 1
    if declared is None:
        return data.replace(old, b"")
    value = "\\".join([declared] if isinstance(declared, str) else declared).encode()
    value += b" " * (len(value) % 2)
    return data.replace(old, b"\x08\x00\x05\x00CS" + struct.pack("<H", len(value)) + value)


# --- row 22


def no_preamble(root: Path, seed: int) -> None:
    """One file without preamble and mark, one without file meta too, one with implicit VR and neither."""
    slices = study(seed)
    slices[2].file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    files = [as_bytes(each) for each in slices]
    files[0] = files[0][132:]
    files[1:3] = [_without_meta(data) for data in files[1:3]]
    for number, data in enumerate(files, 1):
        put_bytes(root, f"input/IM{number:04d}.dcm", data)


def _without_meta(data: bytes) -> bytes:
    """The data set alone: behind File Meta Information Group Length (PS3.10, 7.1), 12 bytes, and what it counts."""
    return data[144 + int.from_bytes(data[140:144], "little") :]


def trailing_zeros(root: Path, seed: int) -> None:
    """4096 zero bytes behind the last element."""
    for path in put(root, study(seed)):
        path.write_bytes(path.read_bytes() + bytes(4096))


NO_DICOM = {
    "text.dcm": b"CT Abdomen. Frau Mustermann, unauff\xe4llig. " * 40,
    "zeros.dcm": bytes(4096),
    "mark.dcm": bytes(128) + b"DICM",
    "picture.dcm": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
}


def not_dicom(root: Path, seed: int) -> None:
    """Text, zeros, a bare mark and a picture, all named .dcm."""
    put(root, study(seed))
    for name, data in NO_DICOM.items():
        put_bytes(root, f"input/{name}", data)


def special_files(root: Path, seed: int) -> dict[str, Any]:
    """FIFO, socket, an empty file, a folder named x.dcm, and device nodes where they may be made."""
    put(root, study(seed)[:-1])
    put(root, study(seed)[-1:], "input/x.dcm", start=5)
    put_bytes(root, "input/empty.dcm", b"")
    put_bytes(root, "input/text.dcm", NO_DICOM["text.dcm"])
    count = 4
    os.mkfifo(root / "input/fifo.dcm")
    os.mknod(root / "input/socket.dcm", 0o600 | stat.S_IFSOCK)
    for name, device in (("tty.dcm", os.makedev(5, 0)), ("zero.dcm", os.makedev(1, 5))):
        with contextlib.suppress(OSError):  # needs the rights of root
            os.mknod(root / "input" / name, 0o600 | stat.S_IFCHR, device)
            count += 1
    return {"expect": {"codes": {"E_NOT_DICOM": count}}}


# --- row 24


def deep_nesting(root: Path, seed: int) -> None:
    """A sequence in a sequence, 400 deep, whole and closed, before the pixel data of one slice."""
    good = study(seed)
    files = [as_bytes(each) for each in good]
    opened, closed = b"", b""
    for _ in range(400):
        opened += struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
        opened += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        closed += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    at = files[-1].index(b"\xe0\x7f\x10\x00OW")
    files[-1] = files[-1][:at] + opened + closed + files[-1][at:]
    for number, data in enumerate(files, 1):
        put_bytes(root, f"input/IM{number:04d}.dcm", data)


_RIGHT = "The patient's pseudonym is that of the right text in NFC, or the flag `charset_raw` stands on each slice."
_COUNTED = "Counted, no failure."
FAULTS: dict[str, Fault] = {
    "secondary-capture": Fault(18, "RGB, YBR and PALETTE screenshots beside a series", secondary_capture,
                               {"E_NOT_IMAGE": 3}, notes=_COUNTED),
    "not-images": Fault(18, "dose report, SR, PDF, KO, PR, RTSTRUCT, SEG beside a series", not_images,
                        {"E_NOT_IMAGE": len(OTHER_OBJECTS)}, notes=_COUNTED),
    "burned-in": Fault(19, "a name in the pixels, BurnedInAnnotation YES", burned_in, flags=("burned_in",),
                       notes="Left out of synthesis, listed in the PHI report; the series beside it is not."),
    "ultrasound": Fault(19, "ultrasound: text in the pixels, no tag", ultrasound, flags=("burned_in", "no_mm"),
                        notes="Left out of synthesis, listed in the PHI report; the series beside it is not."),
    "private-phi": Fault(20, "private elements with names, one without creator", private_phi,
                         notes="No value of them in any output."),
    "charset-latin1-undeclared": Fault(21, "Latin-1 without a character set", _charset(None, "latin-1"), notes=_RIGHT),
    "charset-utf8-as-latin1": Fault(21, "ISO_IR 100 holding UTF-8", _charset("ISO_IR 100", "utf-8"), notes=_RIGHT),
    "charset-latin1-as-utf8": Fault(21, "ISO_IR 192 holding Latin-1", _charset("ISO_IR 192", "latin-1"), notes=_RIGHT),
    "charset-misspelled": Fault(21, "'ISO IR 192' holding UTF-8", _charset("ISO IR 192", "utf-8"), notes=_RIGHT),
    "charset-iso2022": Fault(21, "'\\ISO 2022 IR 6' holding Latin-1", _charset(["", "ISO 2022 IR 6"], "latin-1"),
                             notes=_RIGHT),
    "charset-nfd": Fault(21, "ISO_IR 192, umlauts of two code points", _charset("ISO_IR 192", "utf-8", form="NFD"),
                         notes=_RIGHT),
    "no-preamble": Fault(22, "files without preamble or file meta", no_preamble, notes="All slices are read."),
    "trailing-zeros": Fault(22, "zeros behind the last element", trailing_zeros, notes="All slices are read."),
    "not-dicom": Fault(22, "text, zeros and a picture named .dcm", not_dicom, {"E_NOT_DICOM": len(NO_DICOM)}, exit=3),
    "special-files": Fault(22, "FIFO, socket, devices, empty file, folder named x.dcm", special_files,
                           {"E_NOT_DICOM": 4}, exit=3, notes="No hang; the slice in the folder is read."),
    "deep-nesting": Fault(24, "sequences nested 400 deep", deep_nesting, {"E_MALFORMED": 1}, exit=3),
}  # fmt: skip
