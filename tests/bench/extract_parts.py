"""What `tests.bench.extract` runs in processes of their own: making inputs, and timing loops inside one process.

python -m tests.bench.extract_parts large SOURCE TARGET COPIES
python -m tests.bench.extract_parts small TARGET STUDIES FILES SIDE
python -m tests.bench.extract_parts read|headers FOLDER REPEATS WHO...
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UID_DIGITS = 40
"""Length of every UID of the small files, so that one template serves all."""


def large(source: Path, target: Path, copies: int) -> None:
    """One series of `copies` times the slices of the series in `source`, stacked along the normal (axial)."""
    import pydicom
    from pydicom.uid import generate_uid

    target.mkdir()
    slices = sorted((pydicom.dcmread(path) for path in source.rglob("*.dcm")), key=lambda each: each.SliceLocation)
    places = [float(each.ImagePositionPatient[2]) for each in slices]
    step = places[1] - places[0]
    for copy in range(copies):
        for number, dataset in enumerate(slices):
            index = copy * len(slices) + number
            dataset.SOPInstanceUID = generate_uid(None, [f"large {index}"])
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.InstanceNumber = index + 1
            dataset.ImagePositionPatient[2] = f"{places[0] + index * step:.4f}"
            dataset.SliceLocation = dataset.ImagePositionPatient[2]
            dataset.save_as(target / f"{index:05}.dcm")


def small(target: Path, studies: int, files: int, side: int) -> None:
    """Studies of one MR series with `files` images of `side` x `side`, each with a header as scanners write it."""
    import io

    buffer = io.BytesIO()
    _template(side).save_as(buffer, enforce_file_format=True)
    template = buffer.getvalue()
    target.mkdir()
    for study in range(studies):
        folder = target / f"{study:05}"
        folder.mkdir()
        for number in range(files):
            data = template
            values = {"study": study, "series": study, "sop": study * files + number, "frame": study}
            for place, (kind, value) in enumerate(values.items()):
                data = data.replace(_uid(place, 0).encode(), _uid(place, value + 1).encode())
                assert kind != "sop" or data.count(_uid(place, value + 1).encode()) == 2  # file meta and data set
            data = data.replace(b"87654321", f"{number + 1:<8}".encode())
            data = data.replace(b"-7654.25", f"{number * 3.0:<8.2f}".encode())
            data = data.replace(b"PATIENTX", f"P{study:07}".encode())
            (folder / f"{number:05}.dcm").write_bytes(data)


def _uid(kind: int, value: int) -> str:
    head = f"2.25.{kind + 1}"
    return head + str(value).zfill(UID_DIGITS - len(head))


def _template(side: int) -> "Dataset":
    """An MR image whose header has about 150 elements: 24 private ones, and 3 sequences of undefined length with 12
    items, as MR scanners write them."""
    import numpy as np
    from pydicom.dataelem import RawDataElement
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence as Items
    from pydicom.tag import Tag
    from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

    dataset = Dataset()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, UID(_uid(2, 0))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    texts: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"],
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": _uid(2, 0),
        "StudyInstanceUID": _uid(0, 0),
        "SeriesInstanceUID": _uid(1, 0),
        "FrameOfReferenceUID": _uid(3, 0),
        "StudyDate": "20200101",
        "AccessionNumber": "PATIENTX",
        "PatientID": "PATIENTX",
        "PatientName": "Bench^Mark",
        "PatientSex": "F",
        "PatientAge": "050Y",
        "Modality": "MR",
        "Manufacturer": "bench",
        "SeriesDescription": "t2_tse_tra",
        "ProtocolName": "t2_tse_tra",
        "BodyPartExamined": "PROSTATE",
        "ScanningSequence": "SE",
        "SequenceVariant": ["SK", "SP", "OSP"],
        "MRAcquisitionType": "2D",
        "SeriesNumber": 4,
        "AcquisitionNumber": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    numbers: dict[str, Any] = {
        "SliceThickness": "3",
        "RepetitionTime": "5660",
        "EchoTime": "104",
        "MagneticFieldStrength": "3",
        "FlipAngle": "160",
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "PixelSpacing": ["0.5", "0.5"],
        "WindowCenter": "500",
        "WindowWidth": "1000",
        "SamplesPerPixel": 1,
        "Rows": side,
        "Columns": side,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    for keyword, value in {**texts, **numbers}.items():
        setattr(dataset, keyword, value)
    raw = {0x00200013: ("IS", b"87654321"), 0x00200032: ("DS", b"-20.0000\\-30.0000\\-7654.25")}
    for number in range(45):  # what nobody asks for
        raw[0x00181400 + number] = ("LO", b"a value of some length  ")
    raw[0x00290010] = ("LO", b"BENCH HEADER")
    for number in range(24):
        raw[0x00291000 + number] = ("OB", bytes(range(128)))
    for tag, (vr, value) in raw.items():
        dataset[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    for keyword in ("ReferencedImageSequence", "SourceImageSequence", "RequestAttributesSequence"):
        items = []
        for _ in range(4):
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MRImageStorage, _uid(4, 0)
            item.is_undefined_length_sequence_item = True
            items.append(item)
        setattr(dataset, keyword, Items(items))
        dataset[keyword].is_undefined_length = True
    noise = np.random.default_rng(0).normal(600, 120, (side, side))
    dataset.PixelData = noise.clip(0, 4095).astype("<u2").tobytes()
    return dataset


# --- timing loops


def _in_turn(sides: Mapping[str, Callable[[], object]], who: Sequence[str], repeats: int) -> None:
    """Print the wall times of each side, in turn, after one unmeasured round."""
    found: dict[str, list[float]] = {name: [] for name in who}
    for each in range(repeats + 1):
        for name in who:
            started = time.perf_counter()
            sides[name]()
            if each:
                found[name].append(time.perf_counter() - started)
    Path(sys.argv[-1]).write_text(json.dumps(found))


def read(folder: Path, repeats: int, who: Sequence[str]) -> None:
    """One uncompressed series into one array, its headers read before.

    `floor` reads the same bytes, file by file, into one array whose memory is already in place.
    """
    import numpy as np

    from rrg.dicom import Header, read_headers
    from rrg.files import files_under
    from rrg.pixels import read_volume

    headers = [found for found in read_headers(list(files_under([folder]))) if isinstance(found, Header)]
    headers.sort(key=lambda header: header.instance_number or 0)
    shape = (len(headers), headers[0].rows, headers[0].columns)
    place = np.zeros(shape if "floor" in who else (1, 1, 1), np.int16)
    place.fill(1)

    def floor() -> None:
        for header, out in zip(headers, place, strict=True):
            with Path(header.path).open("rb") as file:
                file.seek(header.pixel_offset or 0)
                assert file.readinto(out.data) == header.frame_bytes

    def by_rrg() -> None:
        assert read_volume(headers).values.shape == shape

    def by_pydicom() -> None:
        import pydicom

        stored = [pydicom.dcmread(header.path) for header in headers]
        stored.sort(key=lambda dataset: dataset.InstanceNumber)
        values = np.empty(shape, np.int16)
        for dataset, out in zip(stored, values, strict=True):
            out[...] = dataset.pixel_array
            out += np.int16(dataset.RescaleIntercept)

    def by_simpleitk() -> None:
        import SimpleITK

        itk: Any = SimpleITK
        reader = itk.ImageSeriesReader()
        reader.SetFileNames([header.path for header in headers])
        assert itk.GetArrayViewFromImage(reader.Execute()).shape == shape

    _in_turn({"floor": floor, "rrg": by_rrg, "pydicom": by_pydicom, "simpleitk": by_simpleitk}, who, repeats)


def headers(folder: Path, repeats: int, who: Sequence[str]) -> None:
    """The headers of all files of a folder, in this process."""
    from rrg.dicom import Header, read_headers
    from rrg.files import files_under

    sources = list(files_under([folder]))

    def by_rrg() -> None:
        assert all(isinstance(found, Header) for found in read_headers(sources))

    def by_pydicom() -> None:
        import pydicom

        for source in sources:
            pydicom.dcmread(source.path, stop_before_pixels=True)

    _in_turn({"rrg": by_rrg, "pydicom": by_pydicom}, who, repeats)


def main() -> None:
    command, *rest = sys.argv[1:]
    if command == "large":
        large(Path(rest[0]), Path(rest[1]), int(rest[2]))
    elif command == "small":
        small(Path(rest[0]), *map(int, rest[1:4]))
    elif command in ("read", "headers"):
        (read if command == "read" else headers)(Path(rest[0]), int(rest[1]), rest[2:-1])
    else:
        sys.exit(f"unknown part {command}")


if __name__ == "__main__":
    main()
