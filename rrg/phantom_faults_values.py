"""Rows 14 to 17: what stored values mean, and the windows of headers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset

from rrg.phantom_faults_study import AXIAL, Fault, changed, hounsfield, put, study, with_pixels

Make = Callable[[Path, int], None]
PADDING = -2000
"""Pixel Padding Value of some CT scanners: outside of the circle that was scanned."""


def _tags(modality: str = "CT", **tags: Any) -> Make:
    def make(root: Path, seed: int) -> None:
        slices = study(seed, modality="CT" if modality == "CT" else "MR")
        put(root, [changed(each, **tags) for each in slices])

    return make


def monochrome1_dx(root: Path, seed: int) -> None:
    """One radiograph, without a place in the patient."""
    gone = ("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation", "RescaleSlope", "RescaleIntercept")
    first = study(seed, modality="MR")[2]
    put(root, [changed(first, SOPClassUID=uid.DigitalXRayImageStorageForPresentation, Modality="DX",
                       PhotometricInterpretation="MONOCHROME1", **dict.fromkeys(gone))])  # fmt: skip


def slope_per_slice(modality: str) -> Make:
    """Slope n of slice n, from 1."""

    def make(root: Path, seed: int) -> None:
        sop = uid.PositronEmissionTomographyImageStorage if modality == "PT" else uid.MRImageStorage
        slices = study(seed, modality="MR")
        put(root, [changed(each, SOPClassUID=sop, Modality=modality, RescaleSlope=f"{n}", RescaleIntercept="0")
                   for n, each in enumerate(slices, 1)])  # fmt: skip

    return make


def slope_zero(root: Path, seed: int) -> None:
    """One slice of five."""
    good = study(seed)
    put(root, [*good[:-1], changed(good[-1], RescaleSlope="0")])


def _dirty(*, signed: bool) -> Make:
    """12 bits stored, an old overlay in the four bits above."""

    def make(root: Path, seed: int) -> None:
        made = []
        for number, each in enumerate(study(seed)):
            stored = each.pixel_array.astype(np.int32) - (1024 if signed else 0)
            dirt = np.indices(stored.shape).sum(axis=0) % 16 << 12
            dirty: NDArray[np.uint16] = ((stored & 0x0FFF) | dirt).astype(np.uint16)
            tags: dict[str, Any] = {"PixelRepresentation": 1, "RescaleIntercept": "0"} if signed else {}
            made.append(with_pixels(each, dirty, InstanceNumber=number + 1, **tags))
        put(root, made)

    return make


def _voi_lut(where: str) -> Dataset:
    """A VOI LUT whose first value mapped is unsigned (`where` US) or negative (SS)."""
    item = Dataset()
    item.add_new(0x00283002, "US" if where == "US" else "SS", [256, 0 if where == "US" else -1024, 16])
    item.add_new(0x00283006, "OW", np.linspace(0, 65535, 256).astype("<u2").tobytes())
    return item


def signed_lut(root: Path, seed: int) -> None:
    """Signed pixels, and a VOI LUT that says its first value as unsigned."""
    put(root, [changed(each, VOILUTSequence=[_voi_lut("US")]) for each in study(seed, signed=True)])


def padding(modality: str) -> Make:
    """Padding of -2000 outside of a circle, in signed pixels."""

    def make(root: Path, seed: int) -> None:
        x, y, _ = AXIAL.axes(AXIAL.whole())
        outside = np.broadcast_to(x**2 + y**2 > 20**2, AXIAL.shape)
        values = hounsfield(AXIAL, seed) + np.int16(0 if modality == "CT" else 1000)
        values[outside] = PADDING
        slices = study(seed, modality="CT", signed=True, values=values)
        more: dict[str, Any] = {}
        if modality == "MR":
            more = {"SOPClassUID": uid.MRImageStorage, "Modality": "MR", "RescaleSlope": None}
            more |= {"RescaleIntercept": None, "RescaleType": None}
        made = [changed(each, **more) for each in slices]
        for each in made:
            each.add_new(0x00280120, "SS", PADDING)
        put(root, made)

    return make


def window_lut(root: Path, seed: int) -> None:
    """VOI LUT Sequence instead of a window."""
    put(root, [changed(each, WindowCenter=None, WindowWidth=None, VOILUTSequence=[_voi_lut("SS")])
               for each in study(seed)])  # fmt: skip


_HU = "Values are those of fault `none`."
FAULTS = {
    "monochrome1": Fault(14, "MR with MONOCHROME1", _tags("MR", PhotometricInterpretation="MONOCHROME1"),
                         flags=("monochrome1",), notes="Stored values stay; the picture is inverted after the window."),
    "monochrome1-dx": Fault(14, "radiograph with MONOCHROME1", monochrome1_dx, flags=("monochrome1", "no_mm")),
    "slope-per-slice": Fault(15, "MR, slope n on slice n", slope_per_slice("MR"),
                             notes="Slice n is stored * n."),
    "slope-per-slice-pet": Fault(15, "PET, slope n on slice n", slope_per_slice("PT"),
                                 notes="Slice n is stored * n."),
    "slope-missing": Fault(15, "CT without slope and intercept",
                           _tags(RescaleSlope=None, RescaleIntercept=None, RescaleType=None),
                           notes="Unit is `stored`, never guessed to be HU."),
    "slope-zero": Fault(15, "slope 0 on one slice", slope_zero, {"E_RESCALE": 1}, exit=3),
    "dirty-bits": Fault(16, "12 bits stored, rubbish above", _dirty(signed=False), notes=_HU),
    "signed-dirty-bits": Fault(16, "12 bits stored, signed, rubbish above", _dirty(signed=True), notes=_HU),
    "signed-unsigned-lut": Fault(16, "signed pixels, unsigned LUT", signed_lut, notes=_HU),
    "padding": Fault(16, "padding of -2000, CT", padding("CT"), notes="Kept as value, told in the record."),
    "padding-mr": Fault(16, "padding of -2000, MR", padding("MR"),
                        notes="Told in the record; the picture's window is made without it."),
    "window-multi": Fault(17, "several windows",
                          _tags(WindowCenter=["40", "-600", "400"], WindowWidth=["350", "1500", "1800"]), notes=_HU),
    "window-width-0": Fault(17, "window of width 0", _tags(WindowCenter="40", WindowWidth="0"), notes=_HU),
    "window-width-1": Fault(17, "window of width 1", _tags(WindowCenter="40", WindowWidth="1"), notes=_HU),
    "window-not-a-number": Fault(17, "window without numbers", _tags(WindowCenter="", WindowWidth=""), notes=_HU),
    "voi-lut": Fault(17, "VOI LUT Sequence instead of a window", window_lut, notes=_HU),
    "window-sigmoid": Fault(17, "VOI LUT Function SIGMOID", _tags(VOILUTFunction="SIGMOID"), notes=_HU),
}  # fmt: skip
