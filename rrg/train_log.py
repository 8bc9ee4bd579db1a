"""What a training run leaves behind besides weights: metrics, finished stages, a card, a manifest."""

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rrg.errors import RrgError
from rrg.model.settings import Settings
from rrg.pipe import talk
from rrg.provenance import sha256_file
from rrg.records import Run

EVERY = 25
"""Steps between two lines of metrics.jsonl."""
KEEP = 0.95
"""Weight of the past in the running means that are shown."""

Report = Callable[[int, Mapping[str, float], Sequence[str]], None]
"""Takes step, values and the ids of what the step saw."""


class Log:
    """``metrics.jsonl`` (no clock in it) and progress on stderr."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last: dict[str, dict[str, float]] = {}
        """Stage -> last running means."""

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """One line."""
        self.last.setdefault(stage, {}).update(values)
        rounded = {name: round(value, 5) for name, value in values.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, "step": step, **rounded}) + "\n")

    def stage(self, stage: str, steps: int) -> Report:
        """The reporter of a stage. It raises RrgError(E_NUMERIC) when a value is not finite."""
        means: dict[str, float] = {}
        bar = tqdm(total=steps, desc=f"rrg train: {stage}", unit=" steps", disable=None)
        said = time.monotonic()

        def report(step: int, values: Mapping[str, float], ids: Sequence[str]) -> None:
            nonlocal said
            for name, value in values.items():
                if not math.isfinite(value):
                    raise RrgError(
                        f"stage {stage}, step {step}: {name} is {value}; lower its learning rate or look at "
                        f"{', '.join(list(ids)[:8])}",
                        "E_NUMERIC",
                    )
                means[name] = KEEP * means.get(name, value) + (1 - KEEP) * value
            bar.update()
            if (step + 1) % EVERY == 0 or step + 1 == steps:
                self.write(stage, step + 1, means)
                bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
            if bar.disable and time.monotonic() - said > 30:
                said = time.monotonic()
                say(f"{stage} {step + 1}/{steps}, " + ", ".join(f"{name} {value:.3f}" for name, value in means.items()))
            if step + 1 == steps:
                bar.close()

        return report


def say(text: str) -> None:
    """One line on stderr, unless ``--quiet``."""
    talk("train", text)
    sys.stderr.flush()


class StageFolder:
    """Weights of finished stages beside the run folder, kept until the run is whole."""

    def __init__(self, out: Path, run: Run, resume: bool) -> None:
        self._folder = out.with_name(f".{out.name}.stages")
        self._run = run.id
        if not resume:
            self.remove()

    def load(self, stage: str, module: Any) -> bool:
        """Put the weights of a finished stage of the same run into `module`; False when there are none."""
        from safetensors.torch import load_file

        path = self._path(stage)
        if not path.is_file():
            return False
        module.load_state_dict(load_file(path))
        say(f"{stage}: finished before, not trained again")
        return True

    def save(self, stage: str, module: Any) -> None:
        """Keep the weights of a stage; written whole or not at all."""
        from safetensors.torch import save_file

        path = self._path(stage)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".partial")
        save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, temporary)
        temporary.replace(path)

    def remove(self) -> None:
        """Forget all stages."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, stage: str) -> Path:
        return self._folder / f"{stage}-{self._run}.safetensors"


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
    studies = "made-up studies (phantoms) only" if settings.demonstration else "the studies of one data set"
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
        ]
    )


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
