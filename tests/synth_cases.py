"""Hand-made slices, masks and reports for the tests of synth-vqa, synth-ground and pack."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rrg.anatomy import LABELS, label_map_version
from rrg.codec import decode, encode
from rrg.geometry import box_of, component_boxes
from rrg.pipe import Count, Group, Made
from rrg.records import (
    KINDS,
    Anatomy,
    End,
    Error,
    Finding,
    Mask,
    MaskLabel,
    Measurement,
    Record,
    Reference,
    Report,
    Run,
    Sample,
    Section,
    Sentence,
    Slice,
)

ROWS, COLUMNS = 64, 80
LOOKED_FOR = ("spleen", "kidney_right", "kidney_left", "liver", "pancreas", "stomach", "aorta", "heart")
RUN = Run(id="run-of-the-test", command="segment", version="0", options={})


def a_slice(study: str, index: int, patient: str = "p0", series: str | None = None, **fields: object) -> Slice:
    series = series or f"{study}s1"
    given = {
        "id": f"{series}i{index}",
        "run": RUN.id,
        "patient": patient,
        "study": study,
        "series": series,
        "index": index,
        "count": 400,
        "series_number": 3,
        "instance_number": index + 1,
        "pixels": f"series/{series}#{index}",
        "sha256": hashlib.sha256(f"{series}#{index}".encode()).hexdigest(),
        "rows": ROWS,
        "columns": COLUMNS,
        "dtype": "int16",
        "unit": "HU",
        "modality": "CT",
        "body_part": "ABDOMEN",
        "contrast": True,
        "plane": "axial",
        "spacing_mm": (0.8, 0.8),
        "position_mm": (-32.0, -25.0, 3.0 * index),
        "orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    }
    return Slice(**{**given, **fields})  # type: ignore[arg-type]


def a_mask(slice_: Slice, drawn: dict[str, np.ndarray], looked_for: Sequence[str] | None = LOOKED_FOR) -> Mask:
    """A mask record of boolean pictures."""
    labels = []
    for label, pixels in sorted(drawn.items(), key=lambda item: LABELS[item[0]].class_id):
        box = box_of(pixels)
        assert box is not None
        labels.append(
            MaskLabel(
                label=label,
                class_id=LABELS[label].class_id,
                area_px=int(pixels.sum()),
                box=box,
                components=component_boxes(pixels),
            )
        )
    return Mask(
        id=f"m-{slice_.id}",
        run=RUN.id,
        from_=(slice_.id,),
        patient=slice_.patient,
        study=slice_.study,
        series=slice_.series,
        slice=slice_.id,
        engine="masks",
        array=f"masks/{slice_.series}-masks#{slice_.index}",
        labels=tuple(labels),
        looked_for=tuple(looked_for) if looked_for is not None else None,
        label_map=label_map_version(),
    )


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    pixels = np.zeros((ROWS, COLUMNS), bool)
    pixels[y0:y1, x0:x1] = True
    return pixels


def draw(rng: np.random.Generator, labels: Sequence[str]) -> dict[str, np.ndarray]:
    """Random rectangles, one per label, that do not overlap; some very small."""
    taken = np.zeros((ROWS, COLUMNS), bool)
    drawn = {}
    for label in labels:
        width, height = (int(n) for n in rng.integers(2, 26, 2))
        x0, y0 = int(rng.integers(COLUMNS - width)), int(rng.integers(ROWS - height))
        pixels = rectangle(x0, y0, x0 + width, y0 + height) & ~taken
        if pixels.any():
            drawn[label] = pixels
            taken |= pixels
    return drawn


def a_study(study: str, rng: np.random.Generator, n: int = 12, patient: str = "p0", **fields: object) -> list[Record]:
    """Slices and masks of a random study; one organ is missing throughout."""
    owned = [label for label in LOOKED_FOR if label != LOOKED_FOR[int(rng.integers(len(LOOKED_FOR)))]]
    slices = [a_slice(study, index, patient, **fields) for index in range(n)]
    masks = [a_mask(s, draw(rng, [label for label in owned if rng.random() < 0.5])) for s in slices]
    return [*slices, *masks]


MARK = re.compile(r"<(\w+)(?: ([^<>]*))?>([^<>]*)</\1>")


def a_report(
    marked: str,
    lang: str = "de",
    study: str = "st",
    patient: str = "p0",
    slices: dict[str, Sequence[str]] | None = None,
    clinical: str | None = None,
) -> Report:
    """A report from marked text, one sentence a line.

    ``<a liver>Leber</a>`` structure, ``<n liver>`` negated, ``<p liver>`` prior,
    ``<f cyst 0>Zyste</f>`` finding at anatomy 0, ``<d cyst 0>`` denied, ``<mm 12>12 mm</mm>`` of the last finding,
    ``<r KEY>(Serie 3, Bild 4)</r>`` reference to ``slices[KEY]``, ``<rp>...</rp>`` to an earlier study.
    """
    text = ""
    sections: list[Section] = []
    if clinical:
        heading = "Klinische Angaben: "
        text = f"{heading}{clinical}\n"
        sections.append(
            Section(kind="clinical", span=(len(heading), len(text) - 1), heading=(0, len(heading) - 1), lang=lang)  # type: ignore[arg-type]
        )
    start_of_findings = len(text)
    sentences: list[Sentence] = []
    anatomy: list[Anatomy] = []
    findings: list[Finding] = []
    references: list[Reference] = []
    for number, line in enumerate(marked.strip().split("\n")):
        start = len(text)
        at = 0
        for match in MARK.finditer(line):
            text += line[at : match.start()]
            at = match.end()
            span = (len(text), len(text) + len(match.group(3)))
            text += match.group(3)
            mark, given = match.group(1), (match.group(2) or "").split()
            if mark in ("a", "n", "p"):
                anatomy.append(
                    Anatomy(span=span, sentence=number, classes=tuple(given), negated=mark == "n", prior=mark == "p")
                )
            elif mark in ("f", "d"):
                findings.append(
                    Finding(
                        span=span,
                        sentence=number,
                        name=given[0],
                        state="present" if mark == "f" else "absent",
                        anatomy=tuple(map(int, given[1:])),
                    )
                )
            elif mark == "mm":
                last = findings.pop()
                measured = Measurement(span=span, value_mm=tuple(map(float, given)))
                findings.append(
                    Finding(
                        span=last.span, sentence=number, name=last.name, state=last.state, anatomy=last.anatomy,
                        measurements=(measured,),
                    )
                )  # fmt: skip
            else:
                hit = tuple((slices or {}).get(given[0], ())) if given else ()
                references.append(
                    Reference(
                        span=span,
                        sentence=number,
                        series_number=3,
                        image_numbers=(1,),
                        prior=mark == "rp",
                        status="prior" if mark == "rp" else "resolved" if hit else "missing",
                        slices=hit,
                    )
                )
        text += line[at:]
        sentences.append(Sentence(span=(start, len(text)), section=len(sections), lang=lang))  # type: ignore[arg-type]
        text += "\n"
    sections.append(Section(kind="findings", span=(start_of_findings, len(text) - 1), lang=lang))  # type: ignore[arg-type]
    return Report(
        id=f"report-{lang}-{study}",
        run=RUN.id,
        patient=patient,
        study=study,
        text=text,
        lang=lang,  # type: ignore[arg-type]
        source_sha256="0" * 64,
        sections=tuple(sections),
        sentences=tuple(sentences),
        anatomy=tuple(anatomy),
        findings=tuple(findings),
        references=tuple(references),
    )


def group(records: Iterable[Record], study: str = "st") -> Group:
    return Group(study, tuple(records))


def samples_of(made: Iterable[Made]) -> list[Sample]:
    """The samples, each with the id that it is written with: a hash of its line without id and run."""
    samples = [each for each in made if isinstance(each, Sample)]
    return [each if each.id else replace(each, id=hashlib.sha256(encode(each)).hexdigest()[:20]) for each in samples]


def counts_of(made: Iterable[Made]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in made:
        if isinstance(each, Count):
            counts[each.name] = counts.get(each.name, 0) + each.n
    return counts


def stream(records: Iterable[Record], *, close: bool = True) -> bytes:
    """A closed stream of one upstream run."""
    end: list[Record] = [End(run=RUN.id, counts={})] if close else []
    return b"".join(encode(record) + b"\n" for record in (RUN, *records, *end))


def read(data: bytes | Path) -> list[Record]:
    raw = data.read_bytes() if isinstance(data, Path) else data
    return [decode(line, KINDS[json.loads(line)["schema"]]) for line in raw.splitlines()]


def write_arrays(store: Path, records: Iterable[Record]) -> None:
    """Arrays for all series and masks that the records name, small and all alike."""
    from rrg.store import split_reference, write_array

    lengths: dict[str, int] = {}
    for record in records:
        if isinstance(record, Slice | Mask):
            name, index = split_reference(record.pixels if isinstance(record, Slice) else record.array)
            lengths[name] = max(index + 1, lengths.get(name, 0))
    for name, length in sorted(lengths.items()):
        write_array(store, name, np.zeros((length, 4, 4), np.int16))


__all__ = ["COLUMNS", "LOOKED_FOR", "ROWS", "RUN", "Error"]
