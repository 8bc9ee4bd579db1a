"""Questions on a real CT: every answer from the mask is worked out again from the NIfTI and DICOM files, in mm."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from rrg.anatomy import LABELS
from tests.conftest import Rrg
from tests.vqa_oracle import DIRECTIONS, EXTENTS, label_of, read_question


class Image(NamedTuple):
    classes: NDArray[np.int64]
    values: NDArray[np.float64]
    points: NDArray[np.float64]
    """(rows, columns, 3) patient x, y, z in mm, LPS."""
    spacing: tuple[float, float]


@pytest.fixture(scope="module")
def images(data: Path) -> dict[str, Image]:
    import nibabel

    folder = data / "totalsegmentator-ct-mr"
    mask = nibabel.load(folder / "example_seg_dicom.nii.gz")
    labels = np.asarray(mask.dataobj).astype(np.int64)
    from_patient = np.linalg.inv(mask.affine)
    found: dict[str, Image] = {}
    for path in sorted((folder / "example_ct_dicom").iterdir()):
        header = pydicom.dcmread(path)
        values = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
        rows, columns = np.mgrid[0 : header.Rows, 0 : header.Columns]
        spacing = tuple(map(float, header.PixelSpacing))
        direction = np.array(header.ImageOrientationPatient, float)
        points = (
            np.array(header.ImagePositionPatient, float)
            + columns[..., None] * spacing[1] * direction[:3]
            + rows[..., None] * spacing[0] * direction[3:]
        )
        voxel = np.rint((points * [-1, -1, 1]) @ from_patient[:3, :3].T + from_patient[:3, 3]).astype(int)
        key = hashlib.sha256(values.astype(np.int16).tobytes()).hexdigest()
        found[key] = Image(labels[tuple(np.moveaxis(voxel, -1, 0))], values, points, spacing)  # type: ignore[arg-type]
    return found


def _number(answer: str) -> float:
    return float(answer.split()[0].replace(",", ".")) * (100 if answer.endswith("cm²") else 1)


def right(sample: dict[str, Any], image: Image) -> bool | None:
    """None for what the mask does not answer."""
    lang, answer = sample["lang"], sample["answer"]
    read = read_question(sample["turns"][0]["content"][1]["text"].split("\n")[0], lang)

    def where(label: str) -> NDArray[np.bool_]:
        return image.classes == LABELS[label].class_id

    def best(measure: Callable[[NDArray[np.bool_]], float]) -> bool:
        by_choice = {choice: measure(where(label_of(choice, lang))) for choice in sample["choices"]}
        return max(by_choice, key=lambda choice: by_choice[choice]) == answer

    match read.meaning:
        case "presence":
            return bool(where(label_of(read.about[0], lang)).any()) == (answer in ("ja", "yes"))
        case "which":
            return best(lambda mask: float(mask.any()))
        case "count":
            return sum(bool(where(label_of(each, lang)).any()) for each in read.about[0].split(", ")) == int(answer)
        case "larger":
            return best(lambda mask: float(mask.sum()))
        case "denser":
            return best(lambda mask: float(image.values[mask].mean()))
        case "position":
            axis, sign = DIRECTIONS[read.about[0]]
            return best(lambda mask: float(sign * image.points[mask][:, axis].mean()))
        case "area":
            mm2 = where(label_of(read.about[0], lang)).sum() * image.spacing[0] * image.spacing[1]
            return bool(abs(_number(answer) - mm2) <= max(0.5, 0.005 * mm2))
        case "density":
            return bool(abs(_number(answer) - image.values[where(label_of(read.about[0], lang))].mean()) <= 0.51)
        case "extent":
            along = image.points[where(label_of(read.about[0], lang))][:, EXTENTS[read.about[1]]]
            return bool(abs(_number(answer) - (np.ptp(along) + image.spacing[0])) <= 0.51)
    return None


def test_every_answer_of_a_real_ct(rrg: Rrg, data: Path, images: dict[str, Image], tmp_path: Path) -> None:
    folder, store = data / "totalsegmentator-ct-mr", tmp_path / "store"
    slices = rrg("extract-slices", folder / "example_ct_dicom", "--store", store).stdout
    masks = rrg(
        *("segment", "--engine", "masks", "--masks", folder / "example_seg_dicom.nii.gz"),
        *("--labels", folder / "labels.json", "--store", store),
        stdin=slices,
    ).stdout
    made = rrg("synth-vqa", "--slices", "all", "--findings", 12, "--store", store, stdin=masks).stdout
    records = [json.loads(line) for line in made.splitlines()]
    shas = {each["id"]: each["sha256"] for each in records if each["schema"] == "rrg.slice/1"}
    judged: Counter[str] = Counter()
    for sample in records:
        if sample["schema"] == "rrg.sample/1":
            verdict = right(sample, images[shas[sample["images"][0]["slice"]]])
            assert verdict is not False, (sample["turns"][0]["content"][1]["text"], sample["answer"])
            judged[sample["facets"]["question"]] += verdict is True
    assert sum(judged.values()) > 300
    for family in ("presence", "which", "count", "position", "area", "density", "denser", "extent"):
        assert judged[family] > 5, (family, judged)
