"""Rows 1 and 2: the same slices in every transfer syntax, and with loss.

What pydicom encodes is encoded by it; JPEG lossless is written here; JPEG-LS, HTJ2K and 12-bit JPEG by imagecodecs.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from rrg.errors import RrgError
from rrg.phantom_faults_study import Fault, as_bytes, changed, put, put_bytes, study

Pixels = NDArray[np.uint16]


def none(root: Path, seed: int) -> None:
    """The good study as it is."""
    put(root, study(seed))


def _stored(dataset: Dataset) -> Pixels:
    return np.asarray(dataset.pixel_array, np.uint16)


def _native(syntax: str) -> Callable[[Path, int], None]:
    def make(root: Path, seed: int) -> None:
        for number, dataset in enumerate(study(seed), 1):
            made = changed(dataset)
            if syntax == uid.ExplicitVRBigEndian:
                made.PixelData = _stored(dataset).astype(">u2").tobytes()
            made.file_meta.TransferSyntaxUID = uid.UID(syntax)
            put_bytes(root, f"input/IM{number:04d}.dcm", as_bytes(made))

    return make


def encapsulated(dataset: Dataset, syntax: str, code: bytes, **tags: Any) -> Dataset:
    """A copy whose pixel data is one compressed frame."""
    made = changed(dataset, **tags)
    made.PixelData = encapsulate([code])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = uid.UID(syntax)
    return made


def _by(syntax: str, encode: Callable[[Pixels], bytes], *, lossy: str = "") -> Callable[[Path, int], None]:
    def make(root: Path, seed: int) -> None:
        made = []
        for dataset in study(seed):
            pixels = _stored(dataset)
            code = encode(pixels)
            tags: dict[str, Any] = {}
            if lossy:
                ratio = pixels.nbytes / len(code)
                tags = {"LossyImageCompression": "01", "LossyImageCompressionRatio": f"{ratio:.4f}"}
                tags |= {"LossyImageCompressionMethod": lossy}
            made.append(encapsulated(dataset, syntax, code, **tags))
        put(root, made)

    return make


def _pydicom(syntax: str) -> Callable[[Path, int], None]:
    def make(root: Path, seed: int) -> None:
        made = study(seed)
        for dataset in made:
            dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        put(root, made)

    return make


def _imagecodecs() -> Any:
    try:
        return importlib.import_module("imagecodecs")
    except ImportError:
        raise RrgError("this fault is written by imagecodecs, which is not there: pip install imagecodecs") from None


def htj2k(pixels: Pixels) -> bytes:
    """High-throughput JPEG 2000, lossless."""
    return bytes(_imagecodecs().htj2k_encode(pixels, reversible=True))


def jpeg_ls(pixels: Pixels) -> bytes:
    """JPEG-LS, lossless."""
    return bytes(_imagecodecs().jpegls_encode(pixels))


def jpeg_12_bit(pixels: Pixels) -> bytes:
    """Lossy JPEG of 12 bit (extended sequential)."""
    return bytes(_imagecodecs().jpeg8_encode(pixels, level=92, bitspersample=12))


def jpeg2000_lossy(pixels: Pixels) -> bytes:
    """JPEG 2000 at about 8:1, irreversible."""
    return bytes(_imagecodecs().jpeg2k_encode(pixels, level=50, reversible=False, codecformat="j2k", bitspersample=12))


def jpeg_lossless(pixels: Pixels, bits: int = 12) -> bytes:
    """Lossless JPEG, process 14, first-order prediction (ITU-T T.81, Annex H), one Huffman code of 5 bits a category.

    `pixels` are (rows, columns) of at most `bits` bits.
    """
    rows, columns = pixels.shape
    wide = pixels.astype(np.int64)
    left = np.empty_like(wide)
    left[:, 1:] = wide[:, :-1]
    left[1:, 0] = wide[:-1, 0]  # first column: from above (H.1.2.1)
    left[0, 0] = 1 << (bits - 1)
    code = []
    for difference in (wide - left).ravel().tolist():
        size = abs(difference).bit_length()
        value = difference if difference >= 0 else difference + (1 << size) - 1
        code.append(f"{size:05b}" + (f"{value:0{size}b}" if size else ""))
    stream = "".join(code)
    stream += "1" * (-len(stream) % 8)
    entropy = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\0")
    sizes = bytes([0, 0, 0, 0, 17, *[0] * 11])  # 17 codes of 5 bits: 00000 is size 0, 10000 is size 16
    segments = (
        (0xC3, bytes([bits]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\1\1\x11\0"),
        (0xC4, b"\0" + sizes + bytes(range(17))),
        (0xDA, b"\1\1\0\1\0\0"),
    )
    head = b"".join(bytes([0xFF, kind]) + (len(body) + 2).to_bytes(2, "big") + body for kind, body in segments)
    return b"\xff\xd8" + head + entropy + b"\xff\xd9"


def no_codec(root: Path, seed: int) -> None:
    """One slice as a film, which nothing decodes to pixels of CT."""
    good = study(seed)
    put(root, [*good[:-1], encapsulated(good[-1], uid.MPEG2MPML, b"\0\0\1\xb3 no film  ")])


_SAME = "The arrays are those of fault `none`, byte for byte."
FAULTS = {
    "none": Fault(0, "the study without a fault, to compare with", none),
    "implicit": Fault(1, "implicit VR little endian", _native(uid.ImplicitVRLittleEndian), notes=_SAME),
    "big-endian": Fault(1, "explicit VR big endian", _native(uid.ExplicitVRBigEndian), notes=_SAME),
    "deflated": Fault(1, "deflated data set", _native(uid.DeflatedExplicitVRLittleEndian), notes=_SAME),
    "rle": Fault(1, "RLE lossless", _pydicom(uid.RLELossless), notes=_SAME),
    "jpeg-lossless": Fault(1, "lossless JPEG, process 14", _by(uid.JPEGLosslessSV1, jpeg_lossless), notes=_SAME),
    "jpeg-ls": Fault(1, "JPEG-LS, lossless", _by(uid.JPEGLSLossless, jpeg_ls), notes=_SAME),
    "jpeg2000": Fault(1, "JPEG 2000, lossless", _pydicom(uid.JPEG2000Lossless), notes=_SAME),
    "htj2k": Fault(1, "high-throughput JPEG 2000, lossless", _by(uid.HTJ2KLossless, htj2k), notes=_SAME),
    "no-codec": Fault(1, "one slice as MPEG-2", no_codec, {"E_CODEC": 1}, exit=3),
    "lossy": Fault(2, "JPEG with loss, 12 bit", _by(uid.JPEGExtended12Bit, jpeg_12_bit, lossy="ISO_10918_1"),
                   flags=("lossy",), notes="The ratio is kept."),
    "lossy-jpeg2000": Fault(2, "JPEG 2000 with loss", _by(uid.JPEG2000, jpeg2000_lossy, lossy="ISO_15444_1"),
                            flags=("lossy",), notes="The ratio is kept."),
}  # fmt: skip
