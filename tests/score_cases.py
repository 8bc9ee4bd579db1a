"""Small files for the tests of score: foreign rows, and streams of our own records."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rrg.codec import encode
from rrg.provenance import make_run
from rrg.records import Box, End, ImageRef, Mention, Part, Prediction, Record, Region, Sample, Turn

Four = tuple[float, float, float, float]


def write_jsonl(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_stream(path: Path, records: Sequence[Record], *, closed: bool = True) -> Path:
    """A stream of one run."""
    run = make_run("infer", {"of": len(records)})
    lines = [encode(run), *(line.replace(b'"run":""', f'"run":"{run.id}"'.encode()) for line in map(encode, records))]
    if closed:
        lines.append(encode(End(run=run.id, counts={})))
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def mention(number: int, phrase: str, *boxes: Four, image: str = "i0") -> Mention:
    shapes = tuple(Box(x0=a, y0=b, x1=c, y1=d) for a, b, c, d in boxes)
    region = Region(label=phrase, image=image, boxes=shapes, origin="manual")
    return Mention(id=f"m{number}", phrase=phrase, regions=(region,))


def sample(id_: str, task: str = "vqa", **fields: Any) -> Sample:
    return Sample(
        id=id_,
        patient=fields.pop("patient", "p1"),
        study="s1",
        images=(ImageRef(id="i0", ref="series/a#0", rows=100, columns=100, modality=fields.pop("modality", "CT")),),
        turns=(Turn(role="user", content=(Part(type="text", text=fields.pop("question", "?")),)),),
        lang=fields.pop("lang", "de"),
        task=task,
        **fields,
    )


def prediction(id_: str, text: str = "", task: str = "vqa", **fields: Any) -> Prediction:
    raw = fields.pop("raw", text)
    return Prediction(
        id=id_, task=task, lang="de", question="?", raw=raw, text=text, model="0" * 8, backend="gguf", **fields
    )
