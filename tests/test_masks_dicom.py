"""DICOM SEG as highdicom writes it, read by `rrg segment`: overlaps, fractions, label maps, references, refusals."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from skimage import measure

from rrg import store
from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.keys import load_key, pseudonym
from rrg.masks import Labelled
from rrg.masks_files import read_masks
from rrg.masks_grid import grid_of
from rrg.records import Slice
from tests.conftest import Rrg
from tests.mask_cases import make_slices, masks, stream

hd = pytest.importorskip("highdicom")
UID, FRAME = "1.2.826.0.1.3680043.8.498.1", "1.2.3.9"
NAMES = ("spleen", "Liver", "lesion")
LABEL_OF = dict(zip(NAMES, ("spleen", "liver", "lesion"), strict=True))
Array = np.ndarray[Any, Any]


class Case:
    """An axial CT of 6 slices and three structures in it, two of them inside each other."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder, self.store, self.key = folder, folder / "store", key
        hu = np.zeros((6, 32, 40), np.int16)
        frame = pseudonym(key, "frame-of-reference", FRAME)
        self.ct = make_slices(hu, self.store, key, UID, frame_of_reference=frame)
        other = make_slices(hu[:4], self.store, key, f"{UID}.9", origin=(0.0, 0.0, 0.0))
        self.input = stream(folder / "slices.jsonl", [*self.ct, *other])
        self.truth = {name: np.zeros(hu.shape, bool) for name in LABEL_OF.values()}
        self.truth["spleen"][2:4, 10:14, 28:36] = True
        self.truth["liver"][1:5, 8:20, 3:30] = True  # overlaps the spleen
        self.truth["lesion"][2:3, 11:13, 27:31] = True  # and this lies in both

    def pixels(self) -> Array:
        """(slices, rows, columns, segments)."""
        return np.stack([self.truth[LABEL_OF[name]] for name in NAMES], axis=-1)


@pytest.fixture
def case(tmp_path: Path, key_file: Path) -> Case:
    return Case(tmp_path, load_key(key_file))


def read(case: Case, path: Path) -> Labelled | None:
    return read_masks(case.ct, grid_of(case.ct), (path,), case.key, None, resample=False)


def source(slice_: Slice) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"{UID}.{slice_.index + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.3.4", UID, FRAME
    image.Modality, image.PatientID, image.PatientName, image.PatientBirthDate = "CT", "P", "", ""
    image.PatientSex, image.AccessionNumber, image.StudyID, image.StudyDate, image.StudyTime = "", "", "", "", ""
    image.ReferringPhysicianName = ""
    image.Rows, image.Columns, image.InstanceNumber = slice_.rows, slice_.columns, slice_.index + 1
    image.PixelSpacing, image.SliceThickness = list(slice_.spacing_mm or ()), slice_.slice_spacing_mm
    image.ImagePositionPatient = list(slice_.position_mm or ())
    image.ImageOrientationPatient = list(slice_.orientation or ())
    return image


def written(case: Case, pixels: Array, kind: str = "BINARY", **options: Any) -> Dataset:
    from pydicom.sr.codedict import codes

    def description(number: int, name: str) -> Any:
        algorithm = hd.AlgorithmIdentificationSequence("made up", codes.DCM.ArtificialIntelligence, "1")
        automatic = hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC
        return hd.seg.SegmentDescription(number, name, codes.SCT.Organ, codes.SCT.Liver, automatic, algorithm)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom on names that are empty
        made: Dataset = hd.seg.Segmentation(
            [source(slice_) for slice_ in case.ct],
            pixels,
            hd.seg.SegmentationTypeValues[kind],
            [description(number, name) for number, name in enumerate(NAMES, 1)],
            *("1.2.3.5", 1, "1.2.3.6", 1, "made up", "made up", "1", "1"),
            **options,
        )
    return made


def saved(case: Case, data: Dataset, change: Callable[[Dataset], None] | None = None) -> Path:
    path = case.folder / "segmentation"
    data.save_as(path)
    if change is not None:
        data = dcmread(path)
        change(data)
        data.save_as(path)
    return path


def volume_of(case: Case, path: Path) -> Array | None:
    labelled = read(case, path)
    return None if labelled is None else labelled.volume


def agree(case: Case, volume: Array | None) -> None:
    """The volume, (slices, layers, rows, columns), holds each structure where it was drawn."""
    assert volume is not None
    for name, truth in case.truth.items():
        assert np.array_equal((volume == LABELS[name].class_id).any(axis=1), truth), name


@pytest.mark.parametrize("omit", [True, False])
def test_overlapping_segments_lie_where_highdicom_put_them(case: Case, rrg: Rrg, omit: bool) -> None:
    path = saved(case, written(case, case.pixels(), omit_empty_frames=omit))
    done = rrg("segment", case.input, "--store", case.store, "--engine", "masks", "--masks", path)
    made = masks(done.stdout)
    stored = store.read_volume(case.store, made[0].array.partition("#")[0])
    agree(case, stored)
    assert stored.shape[1] == 3  # three structures share pixels
    assert {label.layer for label in made[2].labels} == {0, 1, 2}
    for mask in made:
        index = next(slice_.index for slice_ in case.ct if slice_.id == mask.slice)
        for label in mask.labels:
            (region,) = measure.regionprops(case.truth[label.label][index].astype(np.uint8))
            r0, c0, r1, c1 = region.bbox
            assert (label.area_px, label.box.xyxy) == (region.area, (c0, r0, c1, r1))
        assert {label.label for label in mask.labels} == {n for n, v in case.truth.items() if v[index].any()}


def test_fractions_count_from_one_half_on(case: Case) -> None:
    fractions = np.where(case.pixels(), 0.51, 0.49)
    fractions[0] = 0.0
    data = written(case, fractions, "FRACTIONAL", max_fractional_value=200, fractional_type="PROBABILITY")
    agree(case, volume_of(case, saved(case, data)))


def test_a_label_map(case: Case) -> None:
    case.truth["liver"] &= ~case.truth["spleen"] & ~case.truth["lesion"]
    case.truth["spleen"] &= ~case.truth["lesion"]
    values = sum(case.pixels()[..., k].astype(np.uint8) * (k + 1) for k in range(3))
    agree(case, volume_of(case, saved(case, written(case, values, "LABELMAP"))))


def refused(case: Case, path: Path) -> RecordError:
    with pytest.raises(RecordError) as caught:
        read(case, path)
    return caught.value


def test_another_frame_of_reference_is_refused(case: Case) -> None:
    def change(data: Dataset) -> None:
        data.FrameOfReferenceUID = "1.2.3.10"

    error = refused(case, saved(case, written(case, case.pixels()), change))
    assert error.code == "E_GRID"
    assert "frame of reference" in error.message


def only_images(data: Dataset) -> None:
    """No positions and no series: only the images that the frames were derived from are named."""
    del data.ReferencedSeriesSequence
    for item in data.PerFrameFunctionalGroupsSequence:
        del item.PlanePositionSequence
        source_image = Dataset()
        source_image.ReferencedSOPClassUID = CTImageStorage
        source_image.ReferencedSOPInstanceUID = (
            item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        )
        item.DerivationImageSequence[0].SourceImageSequence = [source_image]


def test_frames_that_name_their_images_only(case: Case) -> None:
    agree(case, volume_of(case, saved(case, written(case, case.pixels()), only_images)))


def test_frames_of_images_that_are_not_here(case: Case) -> None:
    def change(data: Dataset) -> None:
        only_images(data)
        for item in data.PerFrameFunctionalGroupsSequence:
            item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID += "0"

    assert read(case, saved(case, written(case, case.pixels()), change)) is None


def test_a_segmentation_without_segments_is_malformed(case: Case) -> None:
    def change(data: Dataset) -> None:
        del data.SegmentSequence

    assert refused(case, saved(case, written(case, case.pixels()), change)).code == "E_MALFORMED"


def test_frames_between_the_slices_are_refused(case: Case) -> None:
    def change(data: Dataset) -> None:
        for item in data.PerFrameFunctionalGroupsSequence:
            x, y, z = item.PlanePositionSequence[0].ImagePositionPatient
            item.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + 1]

    assert refused(case, saved(case, written(case, case.pixels()), change)).code == "E_GRID"
