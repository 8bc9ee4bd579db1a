"""VQA-RAD: ``images/synpic*.jpg`` and one file for each split (RadGrounder's, no image in two), or the public one.

The public file has 2,248 questions, of which ``phrase_type`` test_freeform and test_para are the test; its splits share
images, which is counted. 3,515 in the paper counts rephrased questions one by one.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rrg.datasets import Count, Foreign, Item, Picture, Said, Sizes, safe_name
from rrg.errors import RecordError, UsageError
from rrg.formats.questions import question
from rrg.formats.rows import files_of, split_of_name
from rrg.pack_split import Split

TITLE = "VQA-RAD (Lau et al., Scientific Data 5, 2018, 180251)"
LICENCE = (
    "CC0 1.0 by a third party's data set card, not checked at the authors'; images from MedPix of the US National "
    "Library of Medicine"
)
QUESTIONS, IMAGES = 2248, 315
SPLIT_QUESTIONS: Mapping[Split, int] = {"train": 785, "val": 728, "test": 735}
SPLIT_IMAGES: Mapping[Split, int] = {"train": 109, "val": 102, "test": 103}
"""Of the split without shared images."""
ORGANS: Mapping[str, tuple[str, str]] = {"CHEST": ("CR", "CHEST"), "ABD": ("CT", "ABDOMEN"), "HEAD": ("OT", "HEAD")}
"""``image_organ`` -> DICOM modality (heads are CT or MR) and body part."""
PUBLIC = "vqa_rad_public"


def read(path: Path) -> Foreign:
    """The data set at `path`: a folder, or one of its files."""
    root = path.parent if path.is_file() else path
    foreign = Foreign("vqa-rad", TITLE, LICENCE, root)
    files = files_of(path)
    organs = _organs(foreign, root)
    questions: dict[Split | None, int] = {}
    for file, split in files:
        source = foreign.rows(file)
        questions[split] = questions.get(split, 0) + len(source.rows)
        for row in source.rows:
            _add(foreign, row.value, split or _public_split(row.value), file.name, row.line, organs)
    by_split = {s: {name for each in foreign.items if each.split == s for name in each.images} for s in questions if s}
    for known, seen in by_split.items():
        assert known is not None
        foreign.counts += [
            Count(f"questions in {known}", questions[known], SPLIT_QUESTIONS[known]),
            Count(f"images in {known}", len(seen), SPLIT_IMAGES[known]),
        ]
    if None in questions:
        foreign.counts.append(Count("questions", questions[None], QUESTIONS))
        foreign.counts.append(Count("images", sum(1 for _ in (root / "images").glob("*.jpg")), IMAGES))
    return foreign


def _organs(foreign: Foreign, root: Path) -> dict[str, str]:
    """Image -> organ, of the public file where it lies beside the splits. Its questions are not read."""
    for file in sorted(root.glob("*.json")):
        if split_of_name(file.name) is None and "public" in file.name.lower():
            rows = foreign.rows(file).rows
            return {str(row.value.get("image_name")): str(row.value.get("image_organ")) for row in rows}
    return {}


def _public_split(row: Mapping[str, Any]) -> Split:
    phrase_type = row.get("phrase_type")
    if not isinstance(phrase_type, str):
        raise UsageError("VQA-RAD: no phrase_type in a file that is not named after a split; name it train.json, ...")
    return "test" if phrase_type.strip().startswith("test") else "train"


def _add(
    foreign: Foreign, row: Mapping[str, Any], split: Split, file: str, line: int, organs: Mapping[str, str]
) -> None:
    where = f"{file}, row {line}"
    images: tuple[str, ...] = ()
    failed = None
    try:
        images = (safe_name(f"images/{safe_name(row.get('image_name'))}"),)
        organ = str(row.get("image_organ") or organs.get(str(row.get("image_name"))) or "")
        modality, body_part = ORGANS.get(organ.strip().upper(), ("OT", None))
        foreign.pictures.setdefault(images[0], Picture(images[0], images[0], modality, body_part))
    except RecordError as error:
        failed = error
    foreign.items.append(Item(f"{file}#{line}", split, images, partial(_say, row, failed), where))


def _say(row: Mapping[str, Any], failed: RecordError | None, _sizes: Sizes) -> Said:
    if failed:
        raise failed
    content = row.get("question_type")
    return question(row, facets={"content": content.strip()} if isinstance(content, str) and content.strip() else {})
