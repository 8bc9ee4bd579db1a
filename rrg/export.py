"""A run folder as a merged model, or as GGUF files for a CPU, proved against torch before it gets its name."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rrg.boxes import decode
from rrg.errors import RecordError, RrgError, UsageError
from rrg.export_family import Reference, begins, colours, reference_of
from rrg.folders import building, publish
from rrg.model.gguf import GgufModel
from rrg.model.gguf_family import PROCESSOR
from rrg.model.gguf_writer import Precision, check_exportable, write_mmproj, write_text
from rrg.model.load import MODEL, load, quiet_transformers
from rrg.model.settings import FILE, Settings, read_settings
from rrg.pipe import talk
from rrg.prompt import MEDIA, free_prompt, user_prompt
from rrg.records import ImageRef, Sample
from rrg.seeds import rng_for
from rrg.train_data import Pictures, check_dataset, read_part
from rrg.train_log import write_manifest

Target = Literal["merged", "gguf"]
SCHEMA = "rrg.export/1"
PROBES = 8
"""Pictures of the self-test."""
LOG_PROBABILITY = 0.05
"""Largest difference of log-probabilities at the first token, over tokens that torch gives at least 1 %."""
DIFFERENT = 1
"""Answers that may differ: at half precision two tokens may be equally likely."""
MAX_NEW_TOKENS = 64
ROWS = COLUMNS = 512
"""Size of the slice that boxes of the self-test refer to."""


@dataclass(frozen=True)
class Probe:
    """One question of the self-test."""

    pictures: tuple[NDArray[np.uint8], ...]
    prompt: str


@dataclass(frozen=True)
class Agreement:
    """What the self-test found."""

    probes: int
    texts: int
    """Probes with the same text, boxes included."""
    boxes: int
    """Probes with the same boxes, flags included."""
    log_probability: float
    """Largest difference at the first token of an answer."""


def export(run: Path, target: Target, out: Path, *, precision: Precision = "f16", dataset: Path | None = None) -> None:
    """Write `out` from the run folder `run`, whole or not at all.

    `dataset` gives the pictures of the self-test; without it random ones are made. Raises RrgError(E_CONVERT) when
    llama.cpp would not, or does not, answer like torch.
    """
    settings = read_settings(run)
    if not (run / "manifest.json").is_file():
        raise UsageError(f"{run}: no manifest.json inside; give a run folder that rrg train finished")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there already; choose another folder")
    with building(out) as folder:
        for name in (FILE, "card.md"):
            shutil.copyfile(run / name, folder / name)
        if target == "merged":
            shutil.copytree(run / MODEL, folder / MODEL)
            found = None
        else:
            to_gguf(run, folder, settings, precision)
            try:
                found = self_test(run, folder, probes_of(settings, dataset))
            except RecordError as error:
                raise RrgError(f"self-test: {error.message}", error.code) from None
            report(found, folder)
        more = {"target": target, "from": json.loads((run / "manifest.json").read_bytes()).get("run", {}).get("id")}
        if found is not None:
            more["self_test"] = vars(found)
        write_manifest(folder, SCHEMA, **more)
        publish(folder, out)
    talk("export", f"done: {out}")


def to_gguf(run: Path, folder: Path, settings: Settings, precision: Precision) -> None:
    """Write ``llm-<precision>.gguf`` and ``mmproj-<precision>.gguf``."""
    import torch
    from transformers import AutoConfig, LlavaForConditionalGeneration

    quiet_transformers()
    config = AutoConfig.from_pretrained(run / MODEL)
    check_exportable(config)
    if settings.dialect.kind == "seg":
        raise RrgError("can not be exported to GGUF: llama.cpp has no mask head; use --to merged", "E_CONVERT")
    network = LlavaForConditionalGeneration.from_pretrained(run / MODEL, dtype=torch.float32)
    state = network.state_dict()
    text = config.text_config
    told = f"rrg-{settings.run}"
    llm, mmproj = folder / f"llm-{precision}.gguf", folder / f"mmproj-{precision}.gguf"
    write_text(state, text, run / MODEL, llm, told, precision, begins=begins(run / MODEL, settings))
    write_mmproj(state, config.vision_config, text.hidden_size, mmproj, precision, *colours(run / MODEL, settings))
    if settings.family != "tiny":
        names = [path.name for path in (run / MODEL).iterdir() if path.is_file()]
        (folder / PROCESSOR).mkdir()
        for name in names:
            if not name.endswith(".safetensors") and not name.endswith(".index.json"):
                shutil.copyfile(run / MODEL / name, folder / PROCESSOR / name)


def probes_of(settings: Settings, dataset: Path | None, count: int = PROBES) -> list[Probe]:
    """Questions on `count` pictures: of the test split of a data set, or on random pictures."""
    if dataset is None:
        rng = rng_for(0, "export", settings.run)
        size = (settings.side, settings.side, 3)
        made = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(count)]
        ask = "Wo ist die Leber?" if "de" in settings.languages else "Where is the liver?"
        return [Probe((each,), free_prompt(f"{ask} {number}")) for number, each in enumerate(made)]
    check_dataset(dataset)
    samples = read_part(dataset, "test", settings.languages).samples
    pictures = Pictures(dataset, settings.preset, settings.side)  # type: ignore[arg-type]
    probes = []
    for sample in spread(samples, count):
        chat = user_prompt(sample, settings.dialect)
        images: dict[str, ImageRef] = {each.id: each for each in sample.images}
        numbers = [pictures.add(images[name]) for name in chat.images]
        probes.append(Probe(tuple(pictures.stacked()[number] for number in numbers), chat.text))
    if not probes:
        raise UsageError(f"{dataset}: no samples in its test split; leave --dataset out to test on random pictures")
    return probes


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """`count` samples on different pictures, tasks in turn, in a random order that is always the same."""
    rng = rng_for(0, "export", "probes")
    by_task: dict[str, list[Sample]] = {}
    for number in rng.permutation(len(samples)):
        by_task.setdefault(samples[number].task, []).append(samples[number])
    chosen: list[Sample] = []
    shown: set[str] = set()
    queues = [by_task[task] for task in sorted(by_task)]
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue and len(chosen) < count:
                sample = queue.pop()
                if not shown & {image.ref for image in sample.images}:
                    chosen.append(sample)
                    shown |= {image.ref for image in sample.images}
                    break
    return chosen


def self_test(run: Path, folder: Path, probes: Sequence[Probe]) -> Agreement:
    """Ask both back ends the same. Raises RrgError(E_CONVERT) at once when they split a prompt differently."""
    reference: Reference = reference_of(run)
    exported = load(folder)
    assert isinstance(exported, GgufModel)
    texts = boxes = 0
    largest = 0.0
    try:
        for probe in probes:
            wanted = reference.tokens(probe.prompt, probe.pictures)
            if (seen := exported.prompt_tokens(probe.prompt, probe.pictures)) != wanted:
                place = next((i for i, (a, b) in enumerate(zip(wanted, seen, strict=False)) if a != b), len(wanted))
                raise RrgError(
                    f"self-test: llama.cpp splits a prompt of {probe.prompt.count(MEDIA)} pictures differently from "
                    f"token {place} on ({len(seen)} tokens, expected {len(wanted)})",
                    "E_CONVERT",
                )
            a, b = (model.answer(probe.pictures, probe.prompt, MAX_NEW_TOKENS) for model in (reference, exported))
            texts += a[:2] == b[:2]
            dialect = reference.settings.dialect
            boxes += decode(a.raw, ROWS, COLUMNS, dialect)[1:] == decode(b.raw, ROWS, COLUMNS, dialect)[1:]
            ours, theirs = (model.log_probabilities(probe.pictures, probe.prompt) for model in (reference, exported))
            likely = ours > np.log(0.01)
            largest = max(largest, float(np.abs(ours - theirs)[likely].max(initial=0)))
    finally:
        exported.close()
    return Agreement(len(probes), texts, boxes, round(largest, 5))


def report(found: Agreement, folder: Path) -> None:
    """Say what the self-test found, add it to the card, and raise RrgError(E_CONVERT) when it is not good enough."""
    line = (
        f"self-test on {found.probes} pictures: {found.texts} answers and {found.boxes} sets of boxes equal, "
        f"log-probabilities within {found.log_probability:.4f}"
    )
    talk("export", line)
    limit = found.probes - DIFFERENT
    if found.texts < limit or found.boxes < limit or not found.log_probability <= LOG_PROBABILITY:
        raise RrgError(
            f"{line}; expected at least {limit} and at most {LOG_PROBABILITY}: the export is refused, use --to merged",
            "E_CONVERT",
        )
    with (folder / "card.md").open("a", encoding="utf-8") as file:
        file.write(f"\nGGUF export, {line}.\n")
