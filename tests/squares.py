"""A data set made by code in a second: slices with a bright and a dim square, masks, and questions about them."""

import dataclasses
from pathlib import Path

import numpy as np

from rrg.codec import encode
from rrg.pack import Options, pack
from rrg.provenance import make_run
from rrg.records import Box, End, ImageRef, Mask, MaskLabel, Mention, Part, Record, Region, Sample, Slice, Turn
from rrg.store import reference, sha256_pixels, write_array

SIDE = 64
NAMES = (
    ("liver", 5, 900, {"en": "the liver", "de": "die Leber"}),
    ("spleen", 1, 500, {"en": "the spleen", "de": "die Milz"}),
)
WORDS = {
    "en": ("Where is {}?", "not on this image", "Is {} visible?", "yes", "no"),
    "de": ("Wo ist {}?", "nicht auf diesem Bild", "Ist {} zu sehen?", "ja", "nein"),
}


def make(
    folder: Path,
    patients: int = 12,
    slices: int = 4,
    seed: int = 0,
    split: tuple[int, int, int] = (60, 20, 20),
    *,
    reports: bool = False,
    shuffled: bool = False,
) -> Path:
    """The data set folder ``folder/dataset``. Each structure is there on two of three slices.

    With `reports` each slice has a sentence on place and size; `shuffled`: that of another slice.
    """
    rng = np.random.default_rng(seed)
    run = make_run("squares", {"seed": seed, "patients": patients})
    studies = [_study(folder / "store", f"p{patient:03d}", slices, rng) for patient in range(patients)]
    if reports:
        _add_reports(studies, np.random.default_rng(seed + 1) if shuffled else None)
    lines: list[Record] = [run, *(line for study in studies for line in study)]
    stamped = [line if line is run else dataclasses.replace(line, run=run.id) for line in lines]  # type: ignore[type-var,call-arg]
    stream = folder / "stream.jsonl"
    stream.write_bytes(b"".join(encode(line) + b"\n" for line in [*stamped, End(run=run.id, counts={})]))
    options = Options(split=split, balance=False, made_up=True)
    pack((stream,), folder / "store", folder / "dataset", make_run("pack", options.results(), seed=0), options)
    return folder / "dataset"


def _study(store: Path, name: str, slices: int, rng: np.random.Generator) -> list[Record]:
    values = rng.normal(0, 20, (slices, SIDE, SIDE))
    labels = np.zeros((slices, 1, SIDE, SIDE), np.uint8)
    found: list[list[MaskLabel]] = []
    for index in range(slices):
        found.append([])
        for half, (label, number, brightness, _) in enumerate(NAMES):
            if rng.random() > 0.67:
                continue
            width, height = rng.integers(12, 28, 2)
            x0 = int(rng.integers(32 * half, 32 * half + 33 - width)) if width < 32 else 32 * half
            y0 = int(rng.integers(0, SIDE - height))
            x1, y1 = x0 + int(width), y0 + int(height)
            values[index, y0:y1, x0:x1] += brightness
            labels[index, 0, y0:y1, x0:x1] = number
            box = Box(x0=float(x0), y0=float(y0), x1=float(x1), y1=float(y1))
            found[-1].append(MaskLabel(label=label, class_id=number, area_px=int(width * height), box=box))
    pixels = values.round().astype(np.int16)
    write_array(store, f"series/{name}", pixels)
    write_array(store, f"masks/{name}-test", labels)
    out: list[Record] = []
    for index in range(slices):
        one = Slice(
            id=f"{name}-{index}", patient=name, study=f"s{name}", series=name, index=index, count=slices,
            pixels=reference(f"series/{name}", index), sha256=sha256_pixels(pixels[index]), rows=SIDE, columns=SIDE,
            dtype="int16", unit="stored", modality="MR",
        )  # fmt: skip
        mask = Mask(
            id=f"m{name}-{index}", patient=name, study=f"s{name}", series=name, slice=one.id, engine="test",
            array=reference(f"masks/{name}-test", index), labels=tuple(found[index]),
            looked_for=tuple(each[0] for each in NAMES), label_map="test/1",
        )  # fmt: skip
        out += [one, mask, *_samples(one, found[index])]
    return out


def _add_reports(studies: list[list[Record]], rng: np.random.Generator | None) -> None:
    masks = [(study, line) for study in studies for line in study if isinstance(line, Mask)]
    slices = {line.id: line for study in studies for line in study if isinstance(line, Slice)}
    told = range(len(masks)) if rng is None else rng.permutation(len(masks))
    for (study, mask), other in zip(masks, told, strict=True):
        one = slices[mask.slice]
        image = ImageRef(id="i0", ref=one.pixels, slice=one.id, rows=SIDE, columns=SIDE, modality="MR", unit="stored")
        for lang in WORDS:
            asked = (Part(type="image", ref="i0"), Part(type="text", text="Report."))
            answer = (Part(type="text", text=sentence(masks[other][1], lang)),)
            study.append(
                Sample(
                    id=f"{one.id}-{lang}-report", patient=one.patient, study=one.study, images=(image,), lang=lang,  # type: ignore[arg-type]
                    turns=(Turn(role="user", content=asked), Turn(role="assistant", content=answer, loss=True)),
                    task="report",
                )
            )  # fmt: skip


def sentence(mask: Mask, lang: str) -> str:
    """What a report says of a slice: height, width and breadth of each structure."""
    words = {
        "en": (("high", "midway", "low"), ("narrow", "wide"), ("flat", "tall"), "is absent"),
        "de": (("oben", "mittig", "unten"), ("schmal", "breit"), ("flach", "hoch"), "fehlt"),
    }[lang]
    found = {each.label: each.box for each in mask.labels}
    out = []
    for label, _, _, names in NAMES:
        box, name = found.get(label), names[lang][0].upper() + names[lang][1:]
        if box is None:
            out.append(f"{name} {words[3]}.")
            continue
        place = words[0][min(2, int((box.y0 + box.y1) / 2 / SIDE * 3))]
        out.append(f"{name} {place}, {words[1][box.x1 - box.x0 >= 20]}, {words[2][box.y1 - box.y0 >= 20]}.")
    return " ".join(out)


def _samples(one: Slice, found: list[MaskLabel]) -> list[Sample]:
    image = ImageRef(
        id="i0", ref=one.pixels, slice=one.id, rows=one.rows, columns=one.columns, modality="MR", unit="stored"
    )
    made = []
    for lang, (where, absent, visible, yes, no) in WORDS.items():
        for label, number, _, names in NAMES:
            here = next((each for each in found if each.label == label), None)
            word = names[lang].split()[1]
            region = Region(label=label, class_id=number, boxes=(here.box,) if here else (), origin="seg")
            mention = Mention(id="m0", phrase=word, regions=(region,))
            for task, question, answer in (
                ("detect", where, "{m0}" if here else absent),
                ("vqa", visible, yes if here else no),
            ):
                asked = (Part(type="image", ref="i0"), Part(type="text", text=question.format(names[lang])))
                made.append(
                    Sample(
                        id=f"{one.id}-{lang}-{label}-{task}", patient=one.patient, study=one.study, images=(image,),
                        turns=(
                            Turn(role="user", content=asked),
                            Turn(role="assistant", content=(Part(type="text", text=answer),), loss=True),
                        ),
                        mentions=(mention,) if task == "detect" else (), lang=lang, task=task,  # type: ignore[arg-type]
                        question_type="closed" if task == "vqa" else None, answer=answer if task == "vqa" else None,
                        facets={"label": label},
                    )
                )  # fmt: skip
    return made
