"""A run folder as a merged model, or as GGUF files for a CPU, proved against torch before it gets its name."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from rrg.errors import RecordError, RrgError, UsageError
from rrg.export_family import begins, colours
from rrg.export_self_test import PROBES, probes_of, report, self_test
from rrg.folders import building, publish
from rrg.model.family import model_config
from rrg.model.gguf_family import PROCESSOR
from rrg.model.gguf_lora import ADAPTER as LORA
from rrg.model.gguf_lora import write_base, write_lora
from rrg.model.gguf_quantise import Precision, differences, quantise
from rrg.model.gguf_writer import Exact, State, check_exportable, write_mmproj, write_text
from rrg.model.load import MODEL, quiet_transformers
from rrg.model.settings import FILE, Settings, read_settings
from rrg.pipe import talk
from rrg.train_folder import ADAPTER
from rrg.train_log import write_manifest

Target = Literal["merged", "gguf"]
SCHEMA = "rrg.export/1"


def export(
    run: Path,
    target: Target,
    out: Path,
    *,
    precision: Precision = "f16",
    dataset: Path | None = None,
    probes: int = PROBES,
    base: Path | None = None,
) -> None:
    """Write `out` from the run folder `run`, whole or not at all.

    `base`: exported folder of the run that a LoRA run started from; the language model is then written as an adapter.

    `dataset` gives the `probes` pictures of the self-test; without it random ones are made. Raises RrgError(E_CONVERT)
    when llama.cpp would not, or does not, answer like torch.
    """
    if base is not None and (target != "gguf" or precision not in ("f16", "f32")):
        raise UsageError(
            "--base writes an adapter for the base as it is: with --to gguf, without --precision of fewer bits"
        )
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
            to_gguf(run, folder, settings, precision, None if base is None else llm_of(base))
            try:
                found = self_test(run, folder, probes_of(settings, dataset, probes))
            except RecordError as error:
                raise RrgError(f"self-test: {error.message}", error.code) from None
            report(found, folder, precision, lambda: furthest(run, folder, settings))
        more = {"target": target, "from": json.loads((run / "manifest.json").read_bytes()).get("run", {}).get("id")}
        if found is not None:
            more["self_test"] = vars(found)
        write_manifest(folder, SCHEMA, **more)
        publish(folder, out)
    talk("export", f"done: {out}")


def llm_of(base: Path) -> Path:
    """The language model of an exported folder. UsageError when there is none."""
    found = sorted(base.glob("llm-*.gguf"))
    if len(found) != 1:
        raise UsageError(
            f"--base {base}: no llm-*.gguf inside; give the exported folder of the run that LoRA started from"
        )
    return found[0]


def to_gguf(run: Path, folder: Path, settings: Settings, precision: Precision, base: Path | None = None) -> None:
    """Write ``llm-<precision>.gguf`` and ``mmproj-<f16 or f32>.gguf``: the tower is small, and boxes hang on it.

    With the language model `base` an adapter is written in place of the first.
    """
    import torch
    from transformers import LlavaForConditionalGeneration

    quiet_transformers()
    config = model_config(run / MODEL)
    check_exportable(config)
    if settings.dialect.kind == "seg":
        raise RrgError("can not be exported to GGUF: llama.cpp has no mask head; use --to merged", "E_CONVERT")
    network = LlavaForConditionalGeneration.from_pretrained(run / MODEL, dtype=torch.float32)
    state = network.state_dict()
    text = config.text_config
    exact: Exact = "f32" if precision == "f32" else "f16"
    mmproj = folder / f"mmproj-{exact}.gguf"
    write_mmproj(state, config.vision_config, text.hidden_size, mmproj, exact, *colours(run / MODEL, settings))
    if base is None:
        write_language(run, folder / f"llm-{precision}.gguf", settings, state, text, precision)
    elif not (run / ADAPTER).is_dir():
        raise UsageError(f"{run}: no adapter inside; --base is for runs of --peft lora")
    else:
        write_lora(run / ADAPTER, text, folder / LORA, f"rrg-{settings.run}")
        write_base(base, folder)
    if settings.family != "tiny":
        names = [path.name for path in (run / MODEL).iterdir() if path.is_file()]
        (folder / PROCESSOR).mkdir()
        for name in names:
            if not name.endswith(".safetensors") and not name.endswith(".index.json"):
                shutil.copyfile(run / MODEL / name, folder / PROCESSOR / name)


def write_language(run: Path, path: Path, settings: Settings, state: State, config: Any, precision: Precision) -> None:
    """Write the language model; of fewer bits by way of an f16 file beside it."""
    exact: Exact = "f32" if precision == "f32" else "f16"
    first = path if precision == exact else path.with_name(f"{exact}.partial")
    name, begin = f"rrg-{settings.run}", begins(run / MODEL, settings)
    write_text(state, config, run / MODEL, first, name, exact, begins=begin)
    if precision == "q8_0" or precision == "q4_k_m":
        quantise(first, path, precision)
        first.unlink()


def furthest(run: Path, folder: Path, settings: Settings) -> str:
    """The tensors of a written language model that are furthest from those of the run, for a message."""
    from transformers import LlavaForConditionalGeneration

    written = next(folder.glob("llm-*.gguf"), None)
    if written is None:
        return "is the base that of the run that LoRA started from, and were only adapters learnt?"
    network = LlavaForConditionalGeneration.from_pretrained(run / MODEL, dtype="float32")
    config = model_config(run / MODEL).text_config
    other = folder / "f32.partial"
    write_language(run, other, settings, network.state_dict(), config, "f32")
    found = differences(written, other)[:3]
    other.unlink()
    return "furthest tensors: " + ", ".join(f"{each.name} ({each.type}) by {each.relative:.2g}" for each in found)
