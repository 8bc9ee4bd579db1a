"""Good and faulty inputs made by code (and small real files, where there are any): what the fuzzer changes."""

import gzip
import io
import os
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

from numcodecs import zstd  # type: ignore[import-untyped]
from pydicom.dataset import Dataset

from rrg.phantom_faults import FAULTS, make_fault
from tests.made_dicom import enhanced, image, magnetic, save

MAX_BYTES = 64_000
"""Largest file of code: mutations shall hit headers."""
MAX_REAL_BYTES = 150_000
PER_FAULT = 3
LEFT_OUT = ("mask-other-grid", "mask-edges", "file-names", "special-files", "zip-bomb")
"""Faults that are no matter of bytes, and one that costs a second a piece."""


class Seed(NamedTuple):
    """One file."""

    name: str
    data: bytes
    weight: int
    """How often it is taken, relative to the others: inputs that reach the pixels count more."""


class Disc(NamedTuple):
    """A DICOMDIR and the files that it refers to, by relative path."""

    directory: bytes
    files: dict[str, bytes]


class Corpus(NamedTuple):
    """All seeds, in an order that depends on nothing but the code (and the real files)."""

    seeds: tuple[Seed, ...]
    disc: Disc


def make_corpus(folder: Path, real: Path | None = None) -> Corpus:
    """Write the faults of `rrg phantom` below `folder` and gather them; `real`: folder of small real files."""
    seeds: list[Seed] = []
    for name, fault in FAULTS.items():
        if name in LEFT_OUT:
            continue
        make_fault(folder / name, name)
        paths = sorted(path for path in (folder / name / "input").rglob("*") if path.is_file())
        found = [path for path in paths if path.stat().st_size <= MAX_BYTES and path.name != "DICOMDIR"]
        chosen = [*found[: PER_FAULT - 1], *found[PER_FAULT - 1 :][-1:]]
        weight = 3 if fault.row <= 17 else 1
        seeds += [Seed(f"{name}/{path.name}", path.read_bytes(), weight) for path in chosen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom: odd values are meant
        seeds += _by_hand(folder / "by hand")
    seeds += _packed(seeds)
    if real is not None:
        paths = sorted(path for path in real.rglob("*") if path.is_file() and path.suffix in (".dcm", ".gz", ""))
        small = [path for path in paths if path.stat().st_size <= MAX_REAL_BYTES]
        seeds += [Seed(f"real/{path.relative_to(real)}", path.read_bytes(), 1) for path in small]
    return Corpus(tuple(seeds), _disc(folder / "dicomdir-traversal" / "input"))


def _by_hand(folder: Path) -> list[Seed]:
    item, inner = Dataset(), Dataset()
    inner.CodeValue, inner.CodeMeaning = "121327", "geheim"
    item.PurposeOfReferenceCodeSequence = [inner, inner]
    item.ReferencedSOPInstanceUID = "1.2.3"
    nested = image(7, SourceImageSequence=[item, item], DerivationCodeSequence=[inner])
    undefined = image(8, SourceImageSequence=[item, item])
    undefined["SourceImageSequence"].is_undefined_length = True
    for each in undefined.SourceImageSequence:
        each.is_undefined_length_sequence_item = True
    made = {
        "ct": image(1),
        "mr": magnetic(2, EchoTime=90.0, RepetitionTime=4000.0, MagneticFieldStrength=1.5),
        "nested": nested,
        "undefined": undefined,
        "enhanced": enhanced([2, 0, 1]),
    }
    return [Seed(f"by hand/{name}", save(each, folder / name).read_bytes(), 3) for name, each in made.items()]


def _packed(seeds: list[Seed]) -> list[Seed]:
    """Some of the seeds in archives and compressed; the bytes depend on the seeds only."""
    by_name = {seed.name: seed.data for seed in seeds}
    plain, packed = by_name["none/IM0001.dcm"], by_name["jpeg2000/IM0001.dcm"]
    nifti = next(seed.data for seed in seeds if seed.name.startswith("nifti"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, data in enumerate((plain, packed)):
            info = zipfile.ZipInfo(f"study/IM{number}.dcm")
            info.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number]
            archive.writestr(info, data)
    return [
        Seed("packed/zip", buffer.getvalue(), 6),
        Seed("packed/dcm.zst", bytes(zstd.compress(plain, 3)), 6),
        Seed("packed/j2k.zst", bytes(zstd.compress(packed, 3)), 3),
        Seed("packed/nii.gz", gzip.compress(nifti, 6, mtime=0), 6),
        Seed("packed/gz", gzip.compress(plain, 6, mtime=0), 1),
    ]


def _disc(folder: Path) -> Disc:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    held = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return Disc((folder / "DICOMDIR").read_bytes(), held)


def real_files() -> Path | None:
    """The folder of small real files, where there is one."""
    data = os.environ.get("RRG_TEST_DATA")
    return Path(data, "dicom-edge-cases") if data else None
