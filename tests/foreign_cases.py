"""A small data set with all that an export has to say, and what of it must come back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.pack import Options, pack
from rrg.prompt import template_text
from rrg.provenance import make_run
from rrg.records import (
    Box,
    ImageRef,
    Mask,
    MaskLabel,
    Mention,
    Part,
    Record,
    Region,
    Sample,
    Slice,
    Turn,
)
from rrg.store import read, write_array
from rrg.train_data import image_of
from tests.synth_cases import RUN, a_slice, stream
from tests.synth_cases import read as records_of

ROWS, COLUMNS = 61, 83
SPLITS = {"0" * 20: "train", "1" * 20: "train", "2" * 20: "val", "3" * 20: "test"}
LAYERS = ({5: (slice(10, 40), slice(8, 50))}, {200: (slice(20, 31), slice(30, 44)), 3: (slice(50, 55), slice(60, 70))})
"""Class number -> rows and columns; the lesion (200) lies on the liver (5)."""
NAMES = {5: "liver", 200: "lesion", 3: "kidney_left"}


def dataset(folder: Path) -> Path:
    """The data set, made by pack; four patients with two slices, the last one MR."""
    records: list[Record] = []
    store = folder / "store"
    for number, patient in enumerate(SPLITS):
        records += _study(store, number, patient)
    (folder / "stream.jsonl").write_bytes(stream(records))
    (folder / "split.jsonl").write_text(
        "".join(json.dumps({"patient": patient, "split": split}) + "\n" for patient, split in SPLITS.items())
    )
    options = Options(split_by=str(folder / "split.jsonl"), balance=False)
    run = make_run("pack", options.results(), seed=0)
    pack((folder / "stream.jsonl",), store, folder / "dataset", run, options)
    return folder / "dataset"


def _study(store: Path, number: int, patient: str) -> list[Record]:
    rng = np.random.default_rng(number)
    study = f"{number:x}" * 20
    series = f"{number:x}" * 19 + "s"
    values = rng.integers(-1200, 1500, (2, ROWS, COLUMNS)).astype(np.int16)
    hashes = write_array(store, f"series/{series}", values)
    layers = np.zeros((2, 2, ROWS, COLUMNS), np.uint8)
    for layer, places in enumerate(LAYERS):
        for class_id, place in places.items():
            layers[(slice(None), layer, *(slice(p.start + number, p.stop + number) for p in place))] = class_id
    write_array(store, f"masks/{series}", layers)
    more = {"modality": "MR", "unit": "stored"} if number == 3 else {}
    made: list[Record] = []
    slices = []
    for index in range(2):
        one = a_slice(study, index, patient, series, count=2, rows=ROWS, columns=COLUMNS, sha256=hashes[index], **more)
        slices.append(one)
        made += [one, _mask(one, layers[index], series)]
    return [*made, *_samples(slices, series, number)]


def _mask(one: Slice, layers: NDArray[np.uint8], series: str) -> Mask:
    labels = tuple(
        MaskLabel(
            label=NAMES[class_id], class_id=class_id, layer=layer, area_px=int((layers[layer] == class_id).sum()),
            box=_box(layers[layer] == class_id),
        )
        for layer, places in enumerate(LAYERS)
        for class_id in places
    )  # fmt: skip
    return Mask(
        id=f"m{one.id}", run=RUN.id, patient=one.patient, study=one.study, series=series, slice=one.id, engine="masks",
        array=f"masks/{series}#{one.index}", labels=labels, label_map="test/1:0",
    )  # fmt: skip


def _box(there: NDArray[np.bool_]) -> Box:
    rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
    return Box(x0=float(columns[0]), y0=float(rows[0]), x1=float(columns[-1] + 1), y1=float(rows[-1] + 1))


def _samples(slices: list[Slice], series: str, number: int) -> list[Sample]:
    one, two = (image_of(each) for each in slices)
    d = float(number)
    liver = Region(label="liver", class_id=5, boxes=(Box(x0=8 + d, y0=10 + d, x1=50 + d, y1=40 + d),), origin="seg",
                   mask=f"masks/{series}#0")  # fmt: skip
    cysts = Region(
        label="lesion", class_id=200, origin="report+seg",
        boxes=(Box(x0=30 + d, y0=20 + d, x1=44 + d, y1=31 + d), Box(x0=0, y0=59, x1=1, y1=61)),
    )  # fmt: skip
    lungs = [
        Region(label=f"lung_{side}", class_id=class_id, boxes=(box,), origin="seg")
        for side, class_id, box in (
            ("left", 118, Box(x0=50.25, y0=3.5, x1=COLUMNS, y1=30)),
            ("right", 119, Box(x0=0, y0=0, x1=20, y1=ROWS)),
        )
    ]
    absent = Region(label="spleen", class_id=1, boxes=(), origin="seg")

    def sample(name: str, turns: tuple[Turn, ...], mentions: tuple[Mention, ...] = (), **more: Any) -> Sample:
        given = {"images": (one,), "task": "vqa", "lang": "en", **more}
        id_ = (f"{number:x}" + "".join(f"{ord(sign):02x}" for sign in name)).ljust(20, "0")[:20]
        return Sample(id=id_, run=RUN.id, patient=slices[0].patient, study=slices[0].study, turns=turns,
                      mentions=mentions, **given)  # fmt: skip

    def m(name: str, phrase: str, *regions: Region) -> Mention:
        return Mention(id=name, phrase=phrase, regions=regions)

    silent = Turn(role="assistant", content=(Part(type="text", text="Not sure: {{a, b}}."),))
    second = replace(liver, image="i1", mask=None)
    return [
        sample("a", _turns("Beschreibe dieses Bild.", "{m0}{m1} von 3,0 cm {{\"so\"}}\n\nKeine Ergüsse; {m2}."),
               (m("m0", "Leber", liver), m("m1", "zyste", cysts), m("m2", "beide Lungen", *lungs)),
               task="grounded-report", lang="de", answer="Leberzyste von 3,0 cm", context={"clinical": "Schmerz"}),
        sample("b", _turns("Describe this image.", "Normal liver."), task="report", answer="Normal liver."),
        sample("c", _turns("Where is the spleen?", "not on this image"), (m("m0", "spleen", absent),), task="detect",
               answer="not on this image", facets={"state": "absent"}),
        sample("d", _turns("What lies at {m0}?", "liver"), (m("m0", "", liver),), question_type="open", answer="liver"),
        sample("e", _turns("Which window?\nlung\nsoft", "lung"), images=(replace(one, preset="lung"),),
               question_type="single", choices=("lung", "soft"), answer="lung"),
        sample("f", (*_turns("Is it?", "")[:1], silent, Turn(role="user", content=(Part(type="text", text="Sure?"),)),
                     Turn(role="assistant", content=(Part(type="text", text="{m0}, yes"),), loss=True)),
               (m("m0", "Liver", liver),), task="region"),
        sample("g", _turns("And before?", "{m0} as before", 2), (m("m0", "liver", second),),
               images=(one, replace(two, id="i1", role="prior"))),
        sample("h", _turns("Where?", "at [0.1, 0.2, 0.3, 0.4]"), answer="x"),
        sample("i", _turns("Where?", "at <bbox>"), answer="x"),
        sample("j", _turns("Where?", "<p bbox=here"), answer="x"),
    ]  # fmt: skip


def _turns(asked: str, answered: str, images: int = 1) -> tuple[Turn, ...]:
    shown = tuple(Part(type="image", ref=f"i{number}") for number in range(images))
    return (
        Turn(role="user", content=(*shown, Part(type="text", text=asked))),
        Turn(role="assistant", content=(Part(type="text", text=answered),), loss=True),
    )


# --- what must come back


def samples_of(folder: Path) -> dict[str, Sample]:
    """All samples of a data set, by id."""
    found = [each for split in ("train", "val", "test") for each in records_of(folder / f"{split}.jsonl")]
    return {each.id: each for each in found if isinstance(each, Sample)}


def told(sample: Sample) -> list[Any]:
    """All of a sample but boxes, its arrays, and how mentions are counted."""
    turns = []
    for turn in sample.turns:
        texts = [template_text(part.text, sample.mentions) if part.text else part.ref for part in turn.content]
        turns.append([turn.role, turn.loss, *texts])
    mentions = [
        [mention.phrase, [[r.label, r.class_id, r.image, len(r.boxes)] for r in mention.regions]]
        for mention in sample.mentions
    ]
    return [sample.split, sample.patient, sample.lang, sample.task, sample.question_type, sample.choices, turns,
            mentions, dict(sample.context), [image.id for image in sample.images]]  # fmt: skip


def boxes_of(sample: Sample) -> list[tuple[float, float, float, float]]:
    """All boxes, in text order."""
    return [box.xyxy for mention in sample.mentions for region in mention.regions for box in region.boxes]


def worst(before: Sample, after: Sample, bins: float) -> float:
    """The largest difference of two numbers of boxes, in bins of the slice."""
    a, b = np.array(boxes_of(before)).reshape(-1, 4), np.array(boxes_of(after)).reshape(-1, 4)
    assert a.shape == b.shape
    return float((np.abs(a - b) * bins / np.array([COLUMNS, ROWS, COLUMNS, ROWS])).max(initial=0))


def masks_of(folder: Path) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """(patient, label, place) -> the mask of every slice, in an order of its pixels."""
    found: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for split in ("train", "val", "test"):
        for mask in (each for each in records_of(folder / f"{split}.jsonl") if isinstance(each, Mask)):
            layers = read(folder / "store", mask.array)
            for label in mask.labels:
                key = (f"{split} {mask.patient}", label.label)
                there = layers[label.layer] == label.class_id
                assert key not in found or (found[key] == there).all()
                found[key] = there
    return found


def picture(image: ImageRef, folder: Path) -> NDArray[Any]:
    """The stored values of an image."""
    return read(folder / "store", image.ref)
