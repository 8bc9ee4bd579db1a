"""DICOM files: one header pass that reads only the tags we need. Nothing here is guessed.

Every parser error of a hostile file becomes a RecordError with a stable code; messages hold no value of the file but
numbers.
"""

import contextlib
import dataclasses
import functools
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rrg import archives, dicom_deflated
from rrg.charset import decode
from rrg.errors import RecordError, unreadable
from rrg.files import Source, identity, open_file
from rrg.labels import TAGS, Labels, labels_of
from rrg.scan import Scanned, keys_of, scan

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
NIFTI = "nifti"
"""`Header.transfer_syntax` of what `rrg.nifti` reads."""
Floats = tuple[float, ...]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
SINGLE_FRAME = {_STORAGE + end for end in ("2", "4", "128", "1", "1.1", "1.1.1", "6.1")}
"""CT, MR, PET, CR, DX for presentation, DX for processing, ultrasound (DICOM PS3.6, Annex A)."""
MULTI_FRAME = {_STORAGE + end for end in ("2.1", "4.1", "130", "2.2", "4.4", "128.1")}
"""Enhanced CT, MR, PET, and the legacy converted ones. Everything else (SR, SEG, RTSTRUCT, ...) is E_NOT_IMAGE."""

_SYNTAX = "1.2.840.10008.1.2"
IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED = _SYNTAX, _SYNTAX + ".1", _SYNTAX + ".2", _SYNTAX + ".1.99"
LOSSY_SYNTAXES = {_SYNTAX + end for end in (".4.50", ".4.51", ".4.81")}
"""JPEG baseline and extended, JPEG-LS near-lossless. JPEG 2000 (.91) and HTJ2K (.203) may be lossy; there Lossy Image
Compression counts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What one image (a file, or one frame of it) says of itself. Absent or unusable values are None.

    Flat and small, so that an index can hold it. Originals, not pseudonyms: never leaves the process but to `private`.
    """

    path: str
    """Where the file is."""
    name: str
    """Path relative to the PATH that the user gave, ``/`` between parts."""
    study: str | None
    series: str | None
    sop: str
    """SOP Instance UID (Media Storage SOP Instance UID where the data set has none)."""
    sop_class: str
    frame_of_reference: str | None
    patient_id: str | None
    accession: str | None
    institution: str | None
    study_date: str | None
    modality: str
    image_type: tuple[str, ...]
    series_number: int | None
    instance_number: int | None
    body_part: str | None
    contrast_agent: str | None
    phase: tuple[float | None, ...]
    """Acquisition Number, Echo Time, Temporal Position, b-value, Trigger Time."""
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    spacing: tuple[float, float] | None
    position: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    slope: float | None
    intercept: float | None
    rescale_type: str | None
    modality_lut: bool
    """Modality LUT Sequence present: values are not a linear function of what is stored."""
    tilt: float
    """Gantry/Detector Tilt in degrees; 0 when absent."""
    burned_in: bool
    lossy: bool
    lossy_ratio: float | None
    """Lossy Image Compression Ratio."""
    padding: int | None
    """Pixel Padding Value, as stored (two's complement where `signed`)."""
    window: tuple[float, float] | None
    """(Window Center, Window Width): the first pair that can be used."""
    window_function: str | None
    """VOI LUT Function, where it is one of the three of the standard."""
    labels: Labels
    transfer_syntax: str
    size: int
    """Bytes of the file."""
    pixel_offset: int | None
    """Byte offset of the Pixel Data value; None in a deflated data set."""
    pixel_length: int | None
    """Its length in bytes, UNDEFINED when encapsulated; None when there is no Pixel Data."""
    frame: int | None = None
    """One-based, in a multi-frame object."""
    multi_frame: bool = False
    flags: tuple[str, ...] = ()
    """What reading found doubtful: ``charset_raw``, ``sform_qform``."""
    real: bool = False
    """Stored values are floats (NIfTI)."""
    disk: tuple[int, int] | None = None
    """`rrg.files.identity` of the file (of its archive) when it was indexed."""
    shared: bool = False
    """Its Series Instance UID is in use in another study too: then UIDs alone do not tell images apart."""

    @property
    def frame_bytes(self) -> int:
        """Size of one decoded frame."""
        return self.rows * self.columns * self.samples * max(self.bits_allocated, 8) // 8


class Rejected(NamedTuple):
    """A file that gives no image."""

    name: str
    code: str
    message: str


# --- the header pass


class _Tags:
    """The elements of one data set as plain values, from raw bytes."""

    def __init__(self, values: Mapping[int, bytes], *, little: bool) -> None:
        self._values, self._little = values, little
        self._charsets = values.get(_TAGS["charset"], b"").decode("ascii", "replace") or None
        self.has_raw_text = False
        """A text could not be decoded: its bytes stand as Latin-1."""

    def __contains__(self, tag: int) -> bool:
        return tag in self._values

    def raw(self, tag: int) -> bytes | None:
        """The bytes of an element; None when absent."""
        return self._values.get(tag)

    def texts(self, tag: int) -> tuple[str, ...]:
        """Multi-valued text, NFC."""
        raw = self._values.get(tag)
        if not raw:
            return ()
        text, is_raw = decode(raw, self._charsets)
        self.has_raw_text |= is_raw
        return tuple([part.strip(" \0\t\r\n") for part in text.split("\\")])

    def text(self, tag: int) -> str | None:
        parts = self.texts(tag)
        return parts[0] or None if parts else None

    def whole_text(self, tag: int) -> str | None:
        """Text whose backslash, if any, is not a separator to us."""
        return "\\".join(self.texts(tag)) or None

    def floats(self, tag: int) -> Floats:
        """Decimal strings; empty when one of them is not a finite number."""
        try:
            values = tuple(float(part) for part in self.texts(tag))
        except ValueError:
            return ()
        return values if all(map(math.isfinite, values)) else ()

    def number(self, tag: int) -> float | None:
        values = self.floats(tag)
        return values[0] if values else None

    def whole(self, tag: int) -> int | None:
        """Integer string."""
        value = self.number(tag)
        return int(value) if value is not None and value == int(value) and abs(value) < 2**31 else None

    def binary(self, tag: int, size: int = 2, *, real: bool = False) -> float | None:
        """US (2 bytes) or FD (8 bytes, `real`)."""
        raw = self._values.get(tag)
        if raw is None or len(raw) < size:
            return None
        if real:
            value = float(np.frombuffer(raw[:8], "<f8" if self._little else ">f8")[0])
            return value if math.isfinite(value) else None
        return int.from_bytes(raw[:size], "little" if self._little else "big")

    def short(self, tag: int, default: int = 0) -> int:
        value = self.binary(tag)
        return default if value is None else int(value)


_TAGS = {
    "charset": 0x00080005,
    "image_type": 0x00080008,
    "sop_class": 0x00080016,
    "sop": 0x00080018,
    "study_date": 0x00080020,
    "accession": 0x00080050,
    "modality": 0x00080060,
    "institution": 0x00080080,
    "patient_id": 0x00100020,
    "contrast_agent": 0x00180010,
    "body_part": 0x00180015,
    "echo_time": 0x00180081,
    "trigger_time": 0x00181060,
    "tilt": 0x00181120,
    "b_value": 0x00189087,
    "study": 0x0020000D,
    "series": 0x0020000E,
    "series_number": 0x00200011,
    "acquisition_number": 0x00200012,
    "instance_number": 0x00200013,
    "position": 0x00200032,
    "orientation": 0x00200037,
    "frame_of_reference": 0x00200052,
    "temporal_position": 0x00200100,
    "samples": 0x00280002,
    "photometric": 0x00280004,
    "frames": 0x00280008,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "spacing": 0x00280030,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "high_bit": 0x00280102,
    "signed": 0x00280103,
    "burned_in": 0x00280301,
    "intercept": 0x00281052,
    "slope": 0x00281053,
    "rescale_type": 0x00281054,
    "lossy": 0x00282110,
    "modality_lut": 0x00283000,
    "lossy_ratio": 0x00282112,
    "padding": 0x00280120,
    "window_center": 0x00281050,
    "window_width": 0x00281051,
    "window_function": 0x00281056,
}
"""What the header pass reads: names of ours -> tags."""
_WANTED = sorted({*_TAGS.values(), *TAGS.values()})
_OWN = {
    "sop", "instance_number", "temporal_position", "trigger_time", "position", "slope", "intercept", "lossy_ratio",
    "window_center", "window_width",
}  # fmt: skip
"""Those of them that differ from file to file."""
_SAME = tuple(tag for tag in _WANTED if tag not in {_TAGS[name] for name in _OWN})
_KEYS = keys_of(_WANTED)
_FUNCTIONAL_GROUPS = [0x52009229, 0x52009230]


def read_header(source: Source) -> Header | Rejected:
    """Header of one object, told by its content. Never hangs on a special file. An archive of many is E_ARCHIVE."""
    try:
        return _read_header(source)
    except RecordError as error:
        return Rejected(source.name, error.code, error.message)
    except Exception as error:  # pydicom converts some values late, and raises whatever they provoke
        return Rejected(source.name, "E_MALFORMED", _not_parsed("header", error))


def read_source(source: Source) -> list[Header | Rejected]:
    """Headers of all objects of one file: one, or those of the members of a zip archive (at least one)."""
    found = read_header(source)
    if isinstance(found, Header) or found.code != "E_ARCHIVE":
        return [found]
    try:
        if not archives.is_zip(source.path):
            return [found]
        members = archives.members(source.path)
    except RecordError as error:
        return [Rejected(source.name, error.code, error.message)]
    except OSError as error:
        return [Rejected(source.name, "E_PATH", f"file can not be read: {error.strerror}; copy it again")]
    if not members:
        return [Rejected(source.name, "E_ARCHIVE", "empty archive; leave it out")]
    return [_read_member(source, member) for member in members]


def _read_member(source: Source, member: archives.Member) -> Header | Rejected:
    inner = Source(f"{source.path}\0{member.name}", f"{source.name}/{member.name}")
    return Rejected(inner.name, "E_ARCHIVE", member.problem) if member.problem else read_header(inner)


def read_headers(sources: Sequence[Source]) -> list[Header | Rejected]:
    """Headers of all objects of several files; a unit of work for a process."""
    return [found for source in sources for found in read_source(source)]


def _read_header(source: Source) -> Header:
    try:
        with open_file(source.path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if _check_magic(file) == "nifti":
                from rrg import nifti  # nibabel is loaded only where there is such a file

                return nifti.read_header(source)
            found = scan(file, size, _KEYS) or _parsed(file)
    except OSError as error:
        raise unreadable(error) from None
    little = found.syntax != BIG_ENDIAN
    tags, t = _Tags(found.values, little=little), _TAGS
    same = _same_in_series(tuple(map(found.values.get, _SAME)), little)
    sop_class = same.sop_class or found.media_class
    sop = tags.text(t["sop"]) or found.media_sop
    if not sop_class and not sop and not same.fields["modality"]:
        raise RecordError("E_NOT_DICOM", "no DICOM data set can be read from it; leave the file out")
    header = Header(
        **same.fields,
        path=source.path,
        name=source.name,
        sop=sop,
        sop_class=sop_class,
        instance_number=tags.whole(t["instance_number"]),
        phase=(
            same.acquisition_number,
            same.echo_time,
            tags.number(t["temporal_position"]),
            same.b_value,
            tags.number(t["trigger_time"]),
        ),
        position=usable_position(tags.floats(t["position"])),
        slope=tags.number(t["slope"]),
        intercept=tags.number(t["intercept"]),
        lossy=same.lossy or found.syntax in LOSSY_SYNTAXES,
        lossy_ratio=tags.number(t["lossy_ratio"]),
        window=usable_window(tags.floats(t["window_center"]), tags.floats(t["window_width"])),
        transfer_syntax=found.syntax,
        size=size,
        pixel_offset=found.pixel_offset,
        pixel_length=found.pixel_length,
        multi_frame=sop_class in MULTI_FRAME,
        flags=("charset_raw",) if tags.has_raw_text or same.has_raw_text else (),
    )
    _check_image(header, deflated=found.syntax == DEFLATED)
    return header


class _Same(NamedTuple):
    """What the elements `_SAME` of a file say."""

    fields: Mapping[str, Any]
    """Of `Header`."""
    sop_class: str | None
    acquisition_number: float | None
    echo_time: float | None
    b_value: float | None
    lossy: bool
    has_raw_text: bool


@functools.lru_cache(maxsize=256)
def _same_in_series(values: tuple[bytes | None, ...], little: bool) -> _Same:
    """Read the elements that the files of a series have in common: once, however many files there are.

    `values`: of `_SAME`, raw, None where absent; `little`: little endian.
    """
    tags = _Tags({tag: value for tag, value in zip(_SAME, values, strict=True) if value is not None}, little=little)
    t = _TAGS
    frames = tags.whole(t["frames"])
    bits = tags.short(t["bits_allocated"])
    stored = tags.short(t["bits_stored"], bits)
    signed = tags.short(t["signed"]) == 1
    fields = {
        "study": tags.text(t["study"]),
        "series": tags.text(t["series"]),
        "frame_of_reference": tags.text(t["frame_of_reference"]),
        "patient_id": tags.whole_text(t["patient_id"]),
        "accession": tags.whole_text(t["accession"]),
        "institution": tags.whole_text(t["institution"]),
        "study_date": tags.text(t["study_date"]),
        "modality": (tags.text(t["modality"]) or "").upper(),
        "image_type": tuple(part.upper() for part in tags.texts(t["image_type"])),
        "series_number": tags.whole(t["series_number"]),
        "body_part": tags.text(t["body_part"]),
        "contrast_agent": tags.whole_text(t["contrast_agent"]),
        "rows": tags.short(t["rows"]),
        "columns": tags.short(t["columns"]),
        "frames": 1 if frames is None else frames,
        "samples": tags.short(t["samples"], 1),
        "photometric": tags.text(t["photometric"]) or "",
        "bits_allocated": bits,
        "bits_stored": stored,
        "high_bit": tags.short(t["high_bit"], stored - 1),
        "signed": signed,
        "spacing": usable_spacing(tags.floats(t["spacing"])),
        "orientation": usable_orientation(tags.floats(t["orientation"])),
        "rescale_type": tags.text(t["rescale_type"]),
        "modality_lut": t["modality_lut"] in tags,
        "tilt": tags.number(t["tilt"]) or 0.0,
        "burned_in": (tags.text(t["burned_in"]) or "").upper() == "YES",
        "padding": _padding(tags, signed=signed),
        "window_function": _window_function(tags.text(t["window_function"])),
        "labels": labels_of(tags),
    }
    return _Same(
        fields,
        sop_class=tags.text(t["sop_class"]),
        acquisition_number=tags.number(t["acquisition_number"]),
        echo_time=tags.number(t["echo_time"]),
        b_value=tags.binary(t["b_value"], 8, real=True),
        lossy=tags.text(t["lossy"]) == "01",
        has_raw_text=tags.has_raw_text,
    )


def _parsed(file: IO[bytes]) -> Scanned:
    """What pydicom reads, of a file that is not ordinary."""
    with _quiet():
        return _converted(file)


def _converted(file: IO[bytes]) -> Scanned:
    file.seek(0)
    dataset = parse(file)
    syntax, meta = _syntax(dataset), getattr(dataset, "file_meta", {})
    at = (None, None) if syntax == DEFLATED else _pixel_data_at(file, dataset)
    values = {tag: dataset.get_item(tag).value for tag in _WANTED if tag in dataset}
    values = {tag: value if isinstance(value, bytes) else b"" for tag, value in values.items()}
    media_class, media_sop = (str(meta.get(f"MediaStorageSOP{what}UID", "")) for what in ("Class", "Instance"))
    return Scanned(values, syntax, media_class, media_sop, *at)


def _check_magic(file: IO[bytes]) -> Literal["dicom", "nifti"]:
    """Who reads a file. Refuse what no parser need see: no known mark, and no element of group 2 or 8 at the start."""
    head = file.read(archives.HEAD)
    file.seek(0)
    kind = archives.kind_of(head)
    if kind == "dicom":
        return "dicom"
    if kind in ("nifti", "nifti pair", "gzip"):
        return "nifti"
    if kind is not None:
        raise RecordError("E_ARCHIVE", "archive or packed file of a kind or at a place that is not read; unpack it")
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    swapped = head[:2] in (b"\0\2", b"\0\x08")
    if len(head) < 16 or not (swapped or (group in (2, 8) and element < 0x4000)):
        raise RecordError("E_NOT_DICOM", f"not a DICOM file ({'empty' if not head else 'no DICM mark'}); leave it out")
    return "dicom"


def parse(file: IO[bytes], extra: Sequence[Any] = (), *, pixels: bool = False) -> "Dataset":
    """The wanted tags of an open file. Any failure of the parser is E_MALFORMED.

    A deflated data set is unpacked here, up to `dicom_deflated.MAX_BYTES` (E_TOO_LARGE): pydicom knows no limit.
    """
    import pydicom  # a quarter of a second that an ordinary study need not wait for
    from pydicom import config
    from pydicom.uid import UID

    config.settings.reading_validation_mode = config.IGNORE  # a bad value is ours to judge, and must not reach a log
    tags: list[Any] = [*_WANTED, *extra]
    try:
        with _quiet():
            plain = dicom_deflated.unpacked(file)
            if plain is None:
                return pydicom.dcmread(file, stop_before_pixels=not pixels, force=True, specific_tags=tags)
            found = pydicom.dcmread(plain, stop_before_pixels=not pixels, force=True, specific_tags=tags)
            found.file_meta.TransferSyntaxUID = UID(DEFLATED)
            return found
    except RecordError:
        raise
    except OSError as error:
        if error.errno is None:  # pydicom's own, of sequences that are cut
            raise RecordError("E_MALFORMED", _not_parsed("header", error)) from None
        raise
    except EOFError:
        raise RecordError("E_TRUNCATED", "file ends inside an element; copy it again from its source") from None
    except Exception as error:  # pydicom raises whatever a hostile header provokes, RecursionError too
        raise RecordError("E_MALFORMED", _not_parsed("header", error)) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warning of pydicom reaches stderr: it may quote values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _not_parsed(what: str, error: Exception) -> str:
    """A message without the values that the error may quote."""
    return f"{what} can not be parsed ({type(error).__name__}); leave the file out"


def _syntax(dataset: "Dataset") -> str:
    """Transfer Syntax UID; without file meta the encoding that was found."""
    named = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if named:
        return str(named)
    implicit, little = dataset.original_encoding
    if implicit:
        return IMPLICIT
    return EXPLICIT if little else BIG_ENDIAN


def _pixel_data_at(file: IO[bytes], dataset: "Dataset") -> tuple[int | None, int | None]:
    """(offset, length) of the Pixel Data value at the place where the parser stopped; (None, None): there is none."""
    implicit, little = dataset.original_encoding
    order = "little" if little else "big"
    head = file.read(12)
    group, element = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
    if len(head) < 8 or (group << 16 | element) != PIXEL_DATA:
        return None, None
    length_at, value_at = (4, 8) if implicit else (8, 12)
    length = int.from_bytes(head[length_at : length_at + 4], order)  # type: ignore[arg-type]
    return file.tell() - len(head) + value_at, length


def _check_image(header: Header, *, deflated: bool) -> None:
    """Refuse what is no image for us, and what claims to be one and can not be."""
    known = header.sop_class in SINGLE_FRAME or header.sop_class in MULTI_FRAME
    if not known and (header.sop_class or header.modality not in ("CT", "MR", "PT")):
        what = uid_name(header.sop_class) or "of an unknown class"
        raise RecordError("E_NOT_IMAGE", f"no CT or MR image: {what}")
    if not header.photometric:
        cut = header.pixel_length is None and not deflated
        raise RecordError(
            "E_TRUNCATED" if cut else "E_MALFORMED",
            "an image without Photometric Interpretation; copy it again from its source",
        )
    if header.samples != 1 or not header.photometric.startswith("MONOCHROME"):
        raise RecordError("E_NOT_IMAGE", f"colour image ({header.samples} samples a pixel); only grey images are read")
    if header.rows < 1 or header.columns < 1 or header.frames < 1:
        raise RecordError(
            "E_MALFORMED", f"claims {header.frames} frames of {header.rows} x {header.columns} pixels; leave it out"
        )
    bits = header.bits_allocated
    if (
        bits not in (8, 16, 32)
        or not 1 <= header.bits_stored <= bits
        or not header.bits_stored <= header.high_bit + 1 <= bits
    ):
        raise RecordError(
            "E_MALFORMED",
            f"Bits Allocated {bits}, Bits Stored {header.bits_stored}, High Bit {header.high_bit} do not fit together",
        )
    if not deflated and header.pixel_length is None:
        raise RecordError("E_TRUNCATED", "an image without pixel data; copy it again from its source")
    if header.frames > 1 and not header.multi_frame:
        raise RecordError(
            "E_GEOMETRY", f"{header.frames} frames without functional groups: their places are not known; convert it"
        )


def usable_spacing(values: Floats) -> tuple[float, float] | None:
    """Pixel Spacing, or None when it is absent, zero or negative."""
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def usable_window(centers: Floats, widths: Floats) -> tuple[float, float] | None:
    """The first (center, width) with a width of at least 1 (DICOM PS3.3 C.11.2.1.2), or None."""
    return next(((c, w) for c, w in zip(centers, widths, strict=False) if w >= 1), None)


def _window_function(text: str | None) -> str | None:
    word = (text or "LINEAR").upper()
    return word if word in ("LINEAR", "LINEAR_EXACT", "SIGMOID") else None


def _padding(tags: _Tags, *, signed: bool) -> int | None:
    value = tags.binary(_TAGS["padding"])
    if value is None:
        return None
    return int(value) - 2**16 if signed and value >= 2**15 else int(value)


def usable_position(values: Floats) -> tuple[float, float, float] | None:
    """Image Position (Patient), or None."""
    return (values[0], values[1], values[2]) if len(values) == 3 and max(map(abs, values)) < 1e6 else None


def usable_orientation(values: Floats) -> tuple[float, float, float, float, float, float] | None:
    """Image Orientation (Patient), or None when it is not two unit vectors at a right angle (to 1 %)."""
    if len(values) != 6:
        return None
    x0, y0, z0, x1, y1, z1 = values
    lengths, dot = (math.hypot(x0, y0, z0), math.hypot(x1, y1, z1)), x0 * x1 + y0 * y1 + z0 * z1
    return (x0, y0, z0, x1, y1, z1) if all(abs(n - 1) < 0.01 for n in lengths) and abs(dot) < 0.01 else None


def check_unchanged(header: Header) -> None:
    """Raise E_PATH when the file is not the one that was indexed: its header would not belong to its pixels."""
    if header.disk is None:
        return
    try:
        found = identity(header.path)
    except OSError as error:
        raise RecordError("E_PATH", f"file can not be read: {error.strerror}; index the files again") from None
    if found != header.disk:
        raise RecordError("E_PATH", "file has changed since it was indexed; index the files again")


def uid_name(value: str) -> str | None:
    """Name of a UID of the standard; None for any other, which might say more than we may repeat."""
    from pydicom import config, uid

    if not value.startswith("1.2.840.10008."):
        return None
    name = uid.UID(value, config.IGNORE).name
    return name if name != value else None


# --- multi-frame objects


def frames_of(header: Header) -> list[Header]:
    """One header per frame of an enhanced object, from its functional groups (shared, then per frame)."""
    if not header.multi_frame:
        return [header]
    check_unchanged(header)
    try:
        if header.transfer_syntax == NIFTI:
            from rrg import nifti

            return nifti.frames_of(header)
        with open_file(header.path) as file:
            dataset = parse(file, _FUNCTIONAL_GROUPS)
    except OSError as error:
        raise unreadable(error) from None
    try:
        with _quiet():
            return _frames(header, dataset)
    except RecordError:
        raise
    except Exception as error:
        raise RecordError("E_MALFORMED", _not_parsed("functional groups", error)) from None


def _frames(header: Header, dataset: "Dataset") -> list[Header]:
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or [{}]))
    per_frame = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    if len(per_frame) != header.frames:
        raise RecordError(
            "E_GEOMETRY", f"{header.frames} frames, but functional groups for {len(per_frame)}; convert it anew"
        )
    return [_frame(header, number, shared, own) for number, own in enumerate(per_frame, 1)]


def _frame(header: Header, number: int, shared: "Dataset", own: "Dataset") -> Header:
    def of(group: str, keyword: str) -> Any:
        for place in (own, shared):
            items = place.get(group)
            if items and (value := items[0].get(keyword)) is not None:
                return value
        return None

    def floats(group: str, keyword: str) -> Floats:
        value = of(group, keyword)
        values = () if value is None else tuple(map(float, value if np.ndim(value) else [value]))
        return values if all(map(math.isfinite, values)) else ()

    def first(group: str, keyword: str, default: float | None) -> float | None:
        return next(iter(floats(group, keyword)), default)

    acquisition, echo, temporal, b_value, trigger = header.phase
    kinds = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "PETFrameTypeSequence")
    types = next((value for kind in kinds if (value := of(kind, "FrameType")) is not None), header.image_type)
    slope, intercept = (
        next(iter(floats("PixelValueTransformationSequence", name)), default)
        for name, default in (("RescaleSlope", header.slope), ("RescaleIntercept", header.intercept))
    )
    agent = of("ContrastBolusUsageSequence", "ContrastBolusAgentNumber")
    return dataclasses.replace(
        header,
        frame=number,
        image_type=tuple(str(part).upper() for part in types),
        phase=(
            first("FrameContentSequence", "FrameAcquisitionNumber", acquisition),
            first("MREchoSequence", "EffectiveEchoTime", echo),
            first("FrameContentSequence", "TemporalPositionIndex", temporal),
            first("MRDiffusionSequence", "DiffusionBValue", b_value),
            first("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", trigger),
        ),
        spacing=usable_spacing(floats("PixelMeasuresSequence", "PixelSpacing")),
        position=usable_position(floats("PlanePositionSequence", "ImagePositionPatient")),
        orientation=usable_orientation(floats("PlaneOrientationSequence", "ImageOrientationPatient")),
        slope=slope,
        intercept=intercept,
        rescale_type=of("PixelValueTransformationSequence", "RescaleType") or header.rescale_type,
        body_part=of("FrameAnatomySequence", "BodyPartExamined") or header.body_part,
        contrast_agent="multi-frame" if agent is not None else header.contrast_agent,
        labels=dataclasses.replace(
            header.labels, thickness_mm=first("PixelMeasuresSequence", "SliceThickness", header.labels.thickness_mm)
        ),
        tilt=first("CTAcquisitionDetailsSequence", "GantryDetectorTilt", header.tilt) or 0.0,
    )
