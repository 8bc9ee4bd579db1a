"""Rows 23, 25 and 26: pixel data cut off, claims that no file can keep, code streams that kill decoders."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from rrg.phantom_faults_study import Fault, another, as_bytes, changed, put, put_bytes, study
from rrg.phantom_faults_syntax import encapsulated, jpeg_lossless

Make = Callable[[Path, int], None]


def truncated(root: Path, seed: int) -> None:
    """The second of five files ends inside its pixel data."""
    cut = put(root, study(seed))[1]
    cut.write_bytes(cut.read_bytes()[:-100])


def wrong_length(root: Path, seed: int) -> None:
    """Two files whose pixel data is whole, but not rows x columns long: too short and too long."""
    good = study(seed)
    short, long = changed(good[1]), changed(good[3])
    short.PixelData, long.PixelData = short.PixelData[:-80], long.PixelData + bytes(80)
    put(root, [good[0], short, good[2], long, good[4]])


def truncated_jpeg2000(root: Path, seed: int) -> None:
    """The second of five code streams ends early; a lenient decoder fills up the rest."""
    good = study(seed)
    for each in good:
        each.compress(uid.JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    code = _code(good[1])
    good[1] = encapsulated(good[1], uid.JPEG2000Lossless, code[: len(code) // 2 // 2 * 2])
    put(root, good)


def _code(dataset: Dataset) -> bytes:
    """The code stream of a one-frame compressed object."""
    from pydicom.encaps import generate_frames

    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def huge_claim(root: Path, seed: int) -> None:
    """65535 x 65535 pixels in one file of 4 kB, the same 1000 times over in another."""
    good = study(seed)
    one = another(good[0], "one", Rows=65535, Columns=65535)
    many = another(good[0], "many", Rows=65535, Columns=65535, NumberOfFrames=1000,
                   SOPClassUID=uid.EnhancedCTImageStorage)  # fmt: skip
    put(root, [*good, one, many])


def _jpeg2000_bomb(*, hidden: bool) -> Make:
    """A code stream of some hundred bytes that says 60000 x 60000 (14 GB when it is decoded).

    `hidden`: the DICOM header says 32 x 40.
    """

    def make(root: Path, seed: int) -> None:
        good = study(seed)
        bomb = another(good[0], "bomb")
        bomb.compress(uid.JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        code = _code(bomb)
        # SIZ comes first; Xsiz and Ysiz at 8, XTsiz and YTsiz at 24 (ISO/IEC 15444-1, A.5.1).
        assert code[2:4] == b"\xff\x51"
        huge = struct.pack(">II", 60_000, 60_000)
        code = code[:8] + huge + code[16:24] + huge + code[32:]
        size = {} if hidden else {"Rows": 60_000, "Columns": 60_000}
        put(root, [*good, encapsulated(bomb, uid.JPEG2000Lossless, code, **size)])

    return make


def _broken(patch: Callable[[bytes], bytes]) -> Make:
    """A lossless JPEG (process 14) whose head is changed, beside the good ones."""

    def make(root: Path, seed: int) -> None:
        good = study(seed)
        code = patch(jpeg_lossless(np.asarray(good[0].pixel_array, np.uint16)))
        put(root, [*good, encapsulated(another(good[0], "broken"), uid.JPEGLosslessSV1, code)])

    return make


def _impossible_precision(code: bytes) -> bytes:
    """255 bits a sample (SOF3, ITU-T T.81, B.2.2): GDCM 3.2.6 dies of SIGSEGV."""
    at = code.index(b"\xff\xc3") + 4
    return code[:at] + b"\xff" + code[at + 1 :]


def _no_table(code: bytes) -> bytes:
    """Rubbish instead of the marker of the Huffman table (DHT): GDCM 3.2.6 ends in abort()."""
    return code.replace(b"\xff\xc4", b"\x50\xc4", 1)


def cut_header(root: Path, seed: int) -> None:
    """The file ends inside Image Orientation, before the pixel data."""
    good = study(seed)
    put(root, good[:-1])
    data = as_bytes(good[-1])
    put_bytes(root, "input/IM0005.dcm", data[: data.index(b"\x20\0\x37\0DS") + 12])


FAULTS = {
    "truncated": Fault(23, "file ends inside the pixel data", truncated, {"E_TRUNCATED": 1}, ("gap_mm",), 3),
    "wrong-length": Fault(23, "pixel data shorter and longer than rows x columns", wrong_length, {"E_TRUNCATED": 2},
                          (), 3, "Slices 1, 3 and 5 are left, evenly spaced."),
    "truncated-jpeg2000": Fault(23, "JPEG 2000 code stream ends early", truncated_jpeg2000, {"E_TRUNCATED": 1},
                                (), 3, "Never filled up: the slice has no record."),
    "cut-header": Fault(23, "file ends inside the header", cut_header, {"E_TRUNCATED": 1}, (), 3),
    "huge-claim": Fault(25, "header claims 65535 x 65535 (x 1000) pixels in 4 kB", huge_claim, {"E_TOO_LARGE": 2},
                        (), 3, "Before any allocation."),
    "j2k-bomb": Fault(25, "header and JPEG 2000 stream of 60000 x 60000 in 4 kB", _jpeg2000_bomb(hidden=False),
                      {"E_TOO_LARGE": 1}, (), 3, "Before any allocation."),
    "j2k-bomb-hidden": Fault(25, "JPEG 2000 stream of 60000 x 60000 behind a header of 32 x 40",
                             _jpeg2000_bomb(hidden=True), {"E_TOO_LARGE": 1}, (), 3, "Before any allocation."),
    "decoder-crash": Fault(26, "lossless JPEG that ends GDCM 3.2.6 with SIGABRT", _broken(_no_table),
                           {"E_DECODER_CRASH": 1}, (), 3, "The worker dies, the run goes on."),
    "decoder-segfault": Fault(26, "lossless JPEG of 255 bit that ends GDCM 3.2.6 with SIGSEGV",
                              _broken(_impossible_precision), {"E_MALFORMED": 1}, (), 3,
                              "Refused before a decoder sees it; E_DECODER_CRASH from a reader that asks one."),
}  # fmt: skip
