"""What a training run leaves behind besides weights: metrics, finished stages, a card, a manifest."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rrg.errors import RrgError
from rrg.model.settings import Settings
from rrg.pipe import talk
from rrg.provenance import sha256_file
from rrg.records import Run
from rrg.states import section
from rrg.train_events import NAME, head, scalars

EVERY = 25
"""Steps between two lines of metrics.jsonl."""
KEEP = 0.95
"""Weight of the past in the running means that are shown."""

BETWEEN_LINES = 60
"""Seconds between two lines of progress where there is no terminal."""

Report = Callable[[int, Mapping[str, float], Sequence[str]], None]
"""Takes step, values and the ids of what the step saw."""


class Log:
    """``metrics.jsonl`` and events for TensorBoard (no clock in them), and progress on stderr.

    Without a path nothing is written or shown.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.last: dict[str, dict[str, float]] = {}
        """Stage -> last running means."""
        self._means: dict[str, dict[str, float]] = {}
        self._files: dict[str, bytes] = {}
        if path is not None:
            (path.parent / NAME).write_bytes(head())

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """One line."""
        self.last.setdefault(stage, {}).update(values)
        if self._path is not None:
            rounded = {name: round(value, 5) for name, value in values.items()}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"stage": stage, "step": step, **rounded}) + "\n")
            with (self._path.parent / NAME).open("ab") as events:
                events.write(scalars(stage, step, rounded))

    def keep(self, name: str, data: bytes) -> None:
        """A file of the run folder that is made while a stage runs."""
        self._files[name] = data
        if self._path is not None:
            target = self._path.parent / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)

    def state_dict(self) -> dict[str, Any]:
        """All lines so far and the running means."""
        lines = self._path.read_text(encoding="utf-8") if self._path is not None and self._path.exists() else ""
        files = {name: torch.frombuffer(bytearray(data), dtype=torch.uint8) for name, data in self._files.items()}
        return {"lines": lines, "last": self.last, "means": self._means, "files": files}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`: lines that were written since are gone."""
        self.last = {stage: dict(values) for stage, values in state["last"].items()}
        for stage, values in state["means"].items():
            self._means.setdefault(stage, {}).update(values)
        for name, data in state["files"].items():
            self.keep(name, data.numpy().tobytes())
        if self._path is not None:
            self._path.write_text(state["lines"], encoding="utf-8")
            lines = map(json.loads, state["lines"].splitlines())
            events = [scalars(each.pop("stage"), each.pop("step"), each) for each in lines]
            (self._path.parent / NAME).write_bytes(head() + b"".join(events))

    def stage(self, stage: str, steps: int) -> Report:
        """The reporter of a stage. It raises RrgError(E_NUMERIC) when a value is not finite."""
        means = self._means.setdefault(stage, {})
        hidden = True if self._path is None else None  # None: shown on a terminal only
        bar = tqdm(total=steps, desc=f"rrg train: {stage}", unit=" steps", disable=hidden)
        said = time.monotonic()

        def report(step: int, values: Mapping[str, float], ids: Sequence[str]) -> None:
            nonlocal said
            finite(stage, step, values, ids)
            for name, value in values.items():
                means[name] = KEEP * means.get(name, value) + (1 - KEEP) * value
            bar.update(step + 1 - bar.n)
            if (step + 1) % EVERY == 0 or step + 1 == steps:
                self.write(stage, step + 1, means)
                bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
            if bar.disable and time.monotonic() - said > BETWEEN_LINES:
                said = time.monotonic()
                say(f"{stage} {step + 1}/{steps}, " + ", ".join(f"{name} {value:.3f}" for name, value in means.items()))
            if step + 1 == steps:
                bar.close()

        return report


def finite(stage: str, step: int, values: Mapping[str, float], ids: Sequence[str]) -> None:
    """Raise RrgError(E_NUMERIC) with the ids of what a step saw when a value is not finite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise RrgError(
                f"stage {stage}, step {step}: {name} is {value}; lower its learning rate or look at "
                f"{', '.join(list(ids)[:8])}",
                "E_NUMERIC",
            )


def say(text: str) -> None:
    """One line on stderr, unless ``--quiet``."""
    talk("train", text)
    sys.stderr.flush()


def write_manifest(folder: Path, schema: str, run: Run | None = None, **more: Any) -> None:
    """``manifest.json`` with size and SHA-256 of every file of a folder; the last file to be written."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
        for name in names
        if name != "manifest.json"
    }
    head: dict[str, Any] = {"schema": schema, **more}
    if run is not None:
        head["run"] = {
            "id": run.id,
            "command": run.command,
            "version": run.version,
            "options": dict(run.options),
            "seed": run.seed,
            "inputs": dict(run.inputs),
        }
    (folder / "manifest.json").write_text(json.dumps({**head, "files": files}, indent=1) + "\n", encoding="utf-8")


def card(
    settings: Settings, manifest: Mapping[str, Any], measures: Mapping[str, Mapping[str, float]], size: int
) -> str:
    """The model card of a run, in Markdown."""
    made_up = manifest["run"]["options"].get("made_up")
    studies = "made-up studies (phantoms) only" if made_up else "the studies of one data set"
    counts, patients = manifest["counts"]["train"], manifest["patients"]["train"]
    rows = [
        f"| {stage} | {name.replace('_', ' ')} | {value:.4g} |"
        for stage, values in measures.items()
        for name, value in values.items()
    ]
    options = [f"| {name.replace('_', ' ')} | {_shown(value)} |" for name, value in sorted(settings.options.items())]
    kind = "**A demonstration model.** It knows nothing about patients." if settings.demonstration else ""
    return "\n".join(
        [
            f"# Model of run {settings.run}",
            "",
            "**Not a medical device.** For research only; every sentence and box needs a radiologist's look.",
            kind,
            "",
            f"A LLaVA (SigLIP tower, two projector layers, Llama) of {size:,} parameters, trained on {studies}: "
            f"{patients} patients, {counts.get('slice', 0)} slices, {counts.get('sample', 0)} samples "
            f"in {', '.join(settings.languages)}; tasks {', '.join(settings.tasks)}.",
            f"Pictures of {settings.side} x {settings.side} pixels, window preset `{settings.preset}`, "
            f"box dialect `{settings.dialect.kind}` with {settings.bins} bins.",
            f"Data set manifest sha256 `{settings.dataset}`.",
            "",
            "Running means at the end of training (no measure of quality; see `rrg score` for that):",
            "",
            "| stage | value | |",
            "|---|---|---|",
            *rows,
            "",
            "| option | value |",
            "|---|---|",
            *options,
            "",
            section(),
            "",
        ]
    )


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
