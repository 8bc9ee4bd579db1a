"""README.md of an exported data set: in which frame and form its boxes are."""

from collections.abc import Mapping
from typing import Any

_BOXES = {
    "llava": (
        "`train.json`, `val.json`, `test.json`: lists of `{id, image, conversations}`. Boxes stand in the text behind "
        "their phrase as `[x0, y0, x1, y1]`: shares of width and height of the whole picture, origin top left, three "
        "decimals. Several boxes of a phrase follow each other. `phrases` lists the phrases that boxes follow, in "
        "order, so that they can be read back."
    ),
    "ms-swift": (
        "`train.jsonl`, `val.jsonl`, `test.jsonl`: `{messages, images, objects}`. `objects.bbox` are pixels of the "
        "picture, x0, y0, x1, y1, the last two exclusive, origin top left, not rounded (`bbox_type` real); "
        "`objects.image_id` is the picture of each. Start ms-swift with `ROOT_IMAGE_DIR` set to this folder."
    ),
    "radgrounder": (
        "`train.jsonl`, `val.jsonl`, `test.jsonl`: `{id, image, question, target}`. Boxes are tags in the text, "
        "`<p bbox=<loc0100><loc0120><loc0300><loc0310> id=<seg005>>liver</p>`: x0, y0, x1, y1 in 512 bins of width and "
        "height of the whole picture (bin = min(int(share * 512), 511)), and the class number where it is below 128. "
        "A phrase with several boxes is preceded by tags without a text, one for each further box."
    ),
    "coco": (
        "`annotations/instances_SPLIT.json`: every slice, with boxes `[x, y, width, height]` in pixels of the picture, "
        "origin top left, not rounded, and masks as compressed RLE (pycocotools), one annotation for each structure. "
        "Annotations without `segmentation` are boxes that no mask is known for. `annotations/captions_SPLIT.json`: "
        "texts on whole slices; `phrases` (not part of COCO) gives the spans of phrases and their boxes."
    ),
}
_MASKS = "Masks are not in this format; export to coco for them."


def readme(told: Mapping[str, Any]) -> str:
    """The page, from what the manifest says."""
    rows = "".join(
        f"| {split} | {name} | {number} |\n"
        for split, counts in told["counts"].items()
        for name, number in counts.items()
    )
    return (
        f"# Data set {told['dataset']} as {told['format']}\n\n{_BOXES[told['format']]}\n\n"
        + ("" if told["format"] == "coco" else f"{_MASKS}\n\n")
        + f"Pictures are PNG files of the whole slice at its own size: CT in the window `{told['preset']}`, unless a "
        "question needs its own; all else scaled between percentiles. `rrg pack --from "
        f"{told['format']} FOLDER` reads all of this back. `card.md` is the card of the data set, with its terms."
        f"\n\n| split | | number |\n| --- | --- | --- |\n{rows}"
    )
