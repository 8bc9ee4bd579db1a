"""The run folder: made whole or not at all, by the first of several processes."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rrg.errors import UsageError
from rrg.folders import building, publish
from rrg.model.settings import Settings, write_settings
from rrg.records import Run
from rrg.train_curve import curves
from rrg.train_devices import Devices
from rrg.train_log import Log, card, write_manifest

SCHEMA = "rrg.model/1"
ADAPTER = "adapter"
"""Folder of a LoRA adapter inside a run folder. The weights in ``model/`` have it merged."""


def check_target(out: Path) -> None:
    """Raise UsageError when the run folder is there and not empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there already; choose another folder")


@contextmanager
def run_folder(out: Path, devices: Devices) -> Iterator[Path | None]:
    """The folder that becomes `out` with `finish`; None in all processes but the first."""
    if devices.first:
        with building(out) as folder:
            yield folder
    else:
        yield None


def finish(
    folder: Path, out: Path, settings: Settings, manifest: Mapping[str, Any], log: Log, run: Run, parameters: int
) -> None:
    """Settings, card and manifest into a folder that has its weights; then it gets its name."""
    write_settings(folder, settings)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "curve.svg").write_text(curves(lines), encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(environment(), indent=1) + "\n", encoding="utf-8")
    (folder / "card.md").write_text(card(settings, manifest, log.last, parameters), encoding="utf-8")
    write_manifest(folder, SCHEMA, run)
    publish(folder, out)


def save_adapter(model: Any, folder: Path) -> None:
    """A peft model's adapters into a run folder; the same bytes each time, for peft writes a set in any order."""
    for config in model.peft_config.values():
        if isinstance(config.target_modules, set):
            config.target_modules = sorted(config.target_modules)
    model.save_pretrained(folder / ADAPTER)


def environment() -> dict[str, Any]:
    """Versions and hardware that can change results; no host, path or clock."""
    import torch

    names = ("transformers", "peft", "tokenizers", "safetensors", "numpy", "accelerate")
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "cuda": torch.version.cuda if gpus else None,
        **{name: version(name) for name in names},
    }
