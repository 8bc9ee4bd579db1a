"""export of a data set to other programs' formats, and pack --from: what goes out comes back, in the right place."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrg.datasets_kinds import read_foreign
from rrg.errors import RrgError, UsageError
from rrg.export_data import FORMATS, export_data
from rrg.pack import Options
from rrg.pack_from import Choices, pack_from
from tests import foreign_cases as cases
from tests.conftest import Rrg

QUIET = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
TEXT_FORMATS = {"llava": (1000, ".json"), "ms-swift": (0, ".jsonl"), "radgrounder": (512, ".jsonl")}
"""Format -> steps that boxes are rounded to (0: none), file name."""
CAN_NOT = {"llava": "gh", "ms-swift": "i", "radgrounder": "fgj"}
"""Samples (of each patient) that a format can not say."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cases.dataset(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def exported(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    for name in FORMATS:
        export_data(dataset, name, folder / name)
    return folder


def back(kind: str, folder: Path, out: Path) -> Path:
    _, rejected = pack_from(read_foreign(kind, folder), out, Options(), Choices())
    assert not rejected
    return out


def name_of(sample_id: str) -> str:
    return chr(int(sample_id[1:3], 16))


@pytest.mark.parametrize("kind", TEXT_FORMATS)
def test_texts_boxes_and_splits_come_back(kind: str, dataset: Path, exported: Path, tmp_path: Path) -> None:
    before, after = cases.samples_of(dataset), cases.samples_of(back(kind, exported / kind, tmp_path / "back"))
    assert {name_of(each) for each in before.keys() - after.keys()} == set(CAN_NOT[kind])
    assert len(after) == 4 * (10 - len(CAN_NOT[kind]))
    bins = TEXT_FORMATS[kind][0]
    for name, sample in after.items():
        assert cases.told(sample) == cases.told(before[name])
        assert sample.answer == before[name].answer or before[name].answer is None
        assert cases.worst(before[name], sample, bins or 1) <= (1 if bins else 0)
    counts = json.loads((exported / kind / "manifest.json").read_text())["counts"]
    left_out = sum(n for split in counts.values() for name, n in split.items() if name.startswith("left_out."))
    assert left_out == 4 * len(CAN_NOT[kind])


def swapped(kind: str, text: str) -> str:
    """x and y in each other's place."""
    if kind == "llava":
        return re.sub(r"\[([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\]", r"[\2, \1, \4, \3]", text)
    if kind == "radgrounder":
        return re.sub(r"(<loc\d+>)(<loc\d+>)(<loc\d+>)(<loc\d+>)", r"\2\1\4\3", text)
    return re.sub(r"\[([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\]", lambda f: _ms(f, (1, 0, 3, 2), 0), text)


def shifted(kind: str, text: str) -> str:
    """Everything two steps to the left, where there is room."""
    if kind == "llava":
        return re.sub(r"\d\.\d{3}", lambda f: f"{max(float(f[0]) - 0.002, 0):.3f}", text)
    if kind == "radgrounder":
        return re.sub(r"<loc(\d+)>", lambda f: f"<loc{max(int(f[1]) - 2, 0):04}>", text)
    return re.sub(r"\[([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\]", lambda f: _ms(f, (0, 1, 2, 3), 0.125), text)


def _ms(found: re.Match[str], order: tuple[int, ...], shift: float) -> str:
    numbers = [min(float(found[k + 1]), 60.5) for k in order]
    return str([max(number - shift, 0) for number in numbers])


@pytest.mark.parametrize("change", [swapped, shifted])
@pytest.mark.parametrize("kind", TEXT_FORMATS)
def test_controls_boxes_in_another_order_or_place_are_seen(
    kind: str, change: Callable[[str, str], str], dataset: Path, exported: Path, tmp_path: Path
) -> None:
    bins, suffix = TEXT_FORMATS[kind]
    shutil.copytree(exported / kind, tmp_path / "changed")
    for file in (tmp_path / "changed").glob(f"t*{suffix}"):
        file.write_text(change(kind, file.read_text()))
    manifest, _ = pack_from(read_foreign(kind, tmp_path / "changed"), tmp_path / "out", Options(), Choices())
    before, after = cases.samples_of(dataset), cases.samples_of(tmp_path / "out")
    errors = [cases.worst(before[name], after[name], bins or 1) for name in after if name_of(name) == "d"]
    assert manifest["counts"]["val"]
    assert len(errors) == 4
    assert sum(error > (1 if bins else 0) for error in errors) == 3  # val was left as it is


def test_coco_comes_back_exactly(dataset: Path, exported: Path, tmp_path: Path) -> None:
    after = back("coco", exported / "coco", tmp_path / "back")
    masks, again = cases.masks_of(dataset), cases.masks_of(after)
    assert masks.keys() == again.keys()
    assert len(masks) == 12
    for key, mask in masks.items():
        assert (mask == again[key]).all()
    before, found = cases.samples_of(dataset), cases.samples_of(after)
    texts = [name for name in before if name_of(name) in "ab"]
    assert texts
    for name in texts:
        assert cases.told(found[name])[:8] == cases.told(before[name])[:8]
        assert cases.boxes_of(found[name]) == cases.boxes_of(before[name])
        assert found[name].answer
    asked = [sample for sample in found.values() if sample.task == "detect" and sample.facets["label"] == "lesion"]
    assert {cases.boxes_of(each)[0] for each in asked} == {(30 + n, 20 + n, 44 + n, 31 + n) for n in range(4)}


@QUIET
def test_control_masks_one_row_lower_are_seen(dataset: Path, exported: Path, tmp_path: Path) -> None:
    from pycocotools import mask as coco_mask

    shutil.copytree(exported / "coco", tmp_path / "coco")
    for file in (tmp_path / "coco/annotations").glob("instances*"):
        document = json.loads(file.read_text())
        for each in document["annotations"]:
            if "segmentation" in each:
                lower = np.roll(coco_mask.decode(each["segmentation"]), 1, axis=0)
                each["segmentation"]["counts"] = coco_mask.encode(np.asfortranarray(lower))["counts"].decode()
        file.write_text(json.dumps(document))
    masks, again = cases.masks_of(dataset), cases.masks_of(back("coco", tmp_path / "coco", tmp_path / "back"))
    assert not any((mask == again[key]).all() for key, mask in masks.items())


@QUIET
def test_pycocotools_reads_the_export(dataset: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    masks = cases.masks_of(dataset)
    seen = 0
    for split in ("train", "val", "test"):
        coco = COCO(str(exported / f"coco/annotations/instances_{split}.json"))
        for annotation in coco.loadAnns(coco.getAnnIds()):
            image, category = coco.imgs[annotation["image_id"]], coco.cats[annotation["category_id"]]
            if "segmentation" not in annotation:
                continue
            mask = coco.annToMask(annotation).astype(bool)
            assert (mask == masks[f"{split} {image['patient']}", category["name"]]).all()
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation["bbox"]
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
            assert annotation["area"] == mask.sum()
            seen += 1
        with Image.open(exported / "coco/images" / next(iter(coco.imgs.values()))["file_name"]) as picture:
            assert picture.size == (cases.COLUMNS, cases.ROWS)
        for kind in ("bbox", "segm"):
            whole = [a for a in coco.dataset["annotations"] if "segmentation" in a]
            said = [{**a, "score": 1.0} for a in whole]
            truth = COCO()
            truth.dataset = {**coco.dataset, "annotations": whole}
            truth.createIndex()
            judged = COCOeval(truth, truth.loadRes(said), kind)
            judged.evaluate(), judged.accumulate(), judged.summarize()
            assert judged.stats[0] == pytest.approx(1)
        assert COCO(str(exported / f"coco/annotations/captions_{split}.json")).getAnnIds()
    assert seen == 24
    capsys.readouterr()


def test_pictures_are_those_that_training_sees(dataset: Path, exported: Path) -> None:
    """By hand: lung is -600 +- 750 HU; another window makes another picture of the same slice."""
    rows = json.loads((exported / "llava/train.json").read_text())
    of = {row["id"]: row["image"] for row in rows if isinstance(row["image"], str)}
    samples = cases.samples_of(dataset)
    for name in (each for each in of if name_of(each) == "e"):
        values = cases.picture(samples[name].images[0], dataset).astype(float)
        wanted = np.clip(np.rint((np.maximum(values, -1000) + 1350) / 1500 * 255), 0, 255)
        with Image.open(exported / "llava" / of[name]) as picture:
            assert picture.mode == "L"
            assert np.abs(np.asarray(picture) - wanted).max() <= 1
        other = next(of[each] for each in of if each[0] == name[0] and name_of(each) == "b")
        assert other != of[name]
        with Image.open(exported / "llava" / other) as picture:
            assert picture.mode == "RGB"


@pytest.mark.parametrize("kind", FORMATS)
def test_same_bytes_again_and_manifest_names_every_file(
    kind: str, dataset: Path, exported: Path, tmp_path: Path
) -> None:
    export_data(dataset, kind, tmp_path / "again")  # type: ignore[arg-type]
    files = {p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*") if p.is_file()}
    first = {p.relative_to(exported / kind): p.read_bytes() for p in (exported / kind).rglob("*") if p.is_file()}
    assert files == first
    manifest = json.loads(first.pop(Path("manifest.json")))
    assert set(manifest["files"]) == {path.as_posix() for path in first}
    assert b"x0, y0, x1, y1" in first[Path("README.md")] or kind == "coco"
    assert (
        back(kind, exported / kind, tmp_path / "a").joinpath("manifest.json").read_bytes()
        == back(kind, tmp_path / "again", tmp_path / "b").joinpath("manifest.json").read_bytes()
    )


def test_as_processes(rrg: Rrg, dataset: Path, tmp_path: Path) -> None:
    rrg("export", dataset, "--to", "radgrounder", "--out", tmp_path / "x")
    done = rrg("pack", "--from", "radgrounder", tmp_path / "x", "--out", tmp_path / "d")
    assert b"28 samples came in" in done.stderr
    assert rrg("export", dataset, "--to", "llava", "--out", tmp_path / "x", code=2).stderr.count(b"\n") == 1
    assert b"--to gguf takes a run" in rrg("export", dataset, "--out", tmp_path / "y", code=2).stderr
    assert b"2 were given" in rrg("pack", "--from", "coco", "a", "b", "--out", tmp_path / "z", code=2).stderr
    assert not (tmp_path / "z").exists()
    rrg("export", tmp_path / "d", "--to", "ms-swift", "--out", tmp_path / "y")  # what came in can go out again


def test_a_data_set_that_is_cut_short_is_refused(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "cut")
    lines = (tmp_path / "cut/val.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut/val.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(RrgError, match="cut short"):
        export_data(tmp_path / "cut", "llava", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="no manifest"):
        export_data(tmp_path, "llava", tmp_path / "out")
