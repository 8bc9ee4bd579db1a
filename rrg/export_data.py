"""A data set of ours in the format of another program, which ``pack --from`` reads back.

LLaVA, ms-swift, RadGrounder and COCO: `rrg.formats` knows their rows.

Pictures are PNG files at the size of the slice, rendered by the code that training uses (`rrg.windows.look`): in the
window that an image of a sample asks for, else in `preset`.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal, get_args

from rrg.datasets import class_ids
from rrg.errors import RecordError, RrgError, UsageError
from rrg.export_data_coco import labels_in, write_coco
from rrg.export_data_readme import readme
from rrg.folders import building, publish
from rrg.formats import llava, ms_swift, radgrounder
from rrg.infer_pixels import pixels_of
from rrg.pack_split import SPLITS, Split
from rrg.pipe import check_closed, read_records, talk
from rrg.provenance import make_run
from rrg.records import End, ImageRef, Mask, Record, Run, Sample, Slice
from rrg.train_data import check_dataset
from rrg.train_log import write_manifest
from rrg.windows import Preset, look

To = Literal["llava", "ms-swift", "radgrounder", "coco"]
FORMATS: tuple[To, ...] = get_args(To)
SCHEMA = "rrg.export-data/1"
IMAGES = "images"
Files = Mapping[tuple[str, str | None], str]
_ROWS: Mapping[str, Callable[[Sample, Files], dict[str, Any]]] = {
    "llava": llava.row_of,
    "ms-swift": ms_swift.row_of,
    "radgrounder": radgrounder.row_of,
}
_SUFFIX = {"llava": ".json", "ms-swift": ".jsonl", "radgrounder": ".jsonl"}


class Pictures:
    """PNG files of the images of samples, each written once."""

    def __init__(self, dataset: Path, folder: Path, preset: Preset) -> None:
        self.store, self._folder, self._preset = dataset / "store", folder, preset
        self._done: set[str] = set()

    def __len__(self) -> int:
        return len(self._done)

    def name(self, image: ImageRef) -> str:
        """The path of an image's picture in the export; the same whatever else is exported."""
        key = f"rrg picture\0{image.ref}\0{image.preset or self._preset}"
        return f"{IMAGES}/{hashlib.sha256(key.encode()).hexdigest()[:20]}.png"

    def write(self, image: ImageRef) -> str:
        """Render it, when it is new."""
        from PIL import Image

        name = self.name(image)
        if name in self._done:
            return name
        try:
            pixels = pixels_of(image, store=self.store, held={})
        except RecordError as error:
            raise RrgError(f"data set: {error.message}", error.code) from None
        shown = look(image, pixels, self._preset, None)[0]
        grey = shown[..., 0]
        target = self._folder / name
        target.parent.mkdir(exist_ok=True)
        same = bool((shown == grey[..., None]).all())
        Image.fromarray(grey if same else shown).save(target, format="PNG", compress_level=6)
        self._done.add(name)
        return name


def export_data(dataset: Path, to: To, out: Path, *, preset: Preset = "radgrounder") -> dict[str, Any]:
    """Write the folder `out`, whole or not at all; its manifest. Splits stay as they are.

    What a format can not say is left out and counted by reason. Memory: one study's records; for COCO those of a split.
    """
    before = check_dataset(dataset)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there already; choose another folder")
    run = make_run("export", {"to": to, "preset": preset}, inputs={"dataset": str(before.get("id"))})
    with building(out) as folder:
        pictures = Pictures(dataset, folder, preset)
        counts: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
        numbers = coco_numbers(dataset) if to == "coco" else {}
        for split in SPLITS:
            records = closed(dataset, split)
            if to == "coco":
                write_coco(folder, split, records, numbers, pictures, counts[split])
            else:
                _write_rows(folder / f"{split}{_SUFFIX[to]}", to, records, pictures, counts[split])
        told: dict[str, Any] = {
            "format": to,
            "preset": preset,
            "dataset": before.get("id"),
            "counts": {split: dict(sorted(counts[split].items())) for split in SPLITS},
        }
        (folder / "README.md").write_text(readme(told), encoding="utf-8")
        shutil.copyfile(dataset / "card.md", folder / "card.md")
        write_manifest(folder, SCHEMA, run, **told)
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        publish(folder, out)
    for split in SPLITS:
        gone = {why: number for why, number in told["counts"][split].items() if why.startswith("left_out.")}
        left = f"; left out: {', '.join(f'{number} {why[9:]}' for why, number in gone.items())}" if gone else ""
        talk("export", f"{split}: {told['counts'][split].get('sample', 0)} samples{left}")
    talk("export", f"done: {out}, {len(pictures)} pictures")
    return manifest


def coco_numbers(dataset: Path) -> dict[str, int]:
    """Label -> category number, the same in all splits."""
    return class_ids(label for split in SPLITS for record in closed(dataset, split) for label in labels_in(record))


def closed(dataset: Path, split: Split) -> Iterator[Record]:
    """The slices, masks and samples of a split; RrgError at the end when its file is cut short."""
    brackets: list[Record] = []
    for record in read_records([dataset / f"{split}.jsonl"], (Slice, Mask, Sample)):
        if isinstance(record, Run | End):
            brackets.append(record)
        else:
            yield record
    check_closed(brackets, f"{split}.jsonl")


def _write_rows(path: Path, to: To, records: Iterator[Record], pictures: Pictures, counts: Counter[str]) -> None:
    """One JSON object a sample: a list in a .json file, lines in a .jsonl file."""
    listed = path.suffix == ".json"
    with ExitStack() as stack:
        file: IO[str] = stack.enter_context(path.open("w", encoding="utf-8"))
        file.write("[" if listed else "")
        written = 0
        for sample in records:
            if not isinstance(sample, Sample):
                continue
            names = {(image.ref, image.preset): pictures.name(image) for image in sample.images}
            try:
                row = _ROWS[to](sample, names)
            except RecordError as error:
                counts[f"left_out.{error.message}"] += 1
                continue
            for image in sample.images:
                pictures.write(image)
            counts["sample"] += 1
            counts[f"task.{sample.task}"] += 1
            file.write((("," if written else "") + "\n") if listed else "")
            file.write(json.dumps(row, ensure_ascii=False) + ("" if listed else "\n"))
            written += 1
        file.write("\n]\n" if listed else "")
