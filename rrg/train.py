"""Train a grounded tiny model on a data set folder: options, data, model, stages, save. Read it from top to bottom."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from rrg.errors import UsageError
from rrg.model import tiny
from rrg.model.attention import use_products
from rrg.model.load import MODEL, quiet_transformers
from rrg.model.mask_head import Shape, save_head
from rrg.model.settings import Settings, read_settings
from rrg.model.tokenizer import train_tokenizer
from rrg.prompt import render
from rrg.provenance import make_run, sha256_file, sha256_files
from rrg.records import Mask, Run
from rrg.train_checkpoint import Checkpoints, stopping
from rrg.train_data import Part, Pictures, check_dataset, check_pictures, for_demonstration, read_part
from rrg.train_devices import together
from rrg.train_folder import check_target, finish, run_folder
from rrg.train_log import Log, say
from rrg.train_masks import Teaching, teaching_of
from rrg.train_options import Options, Running, check_mix
from rrg.train_siglip_stage import siglip_stage
from rrg.train_stages import Form, Going, box_tokens, sft_stage, tower_stage
from rrg.train_state import Stateful, Weights
from rrg.windows import Preset

SHAPES = 256
"""Products whose code oneDNN keeps, one for each shape, told before its first one: with bf16 tiles and batches of all
lengths its own 1,024 grow to more than two gigabytes."""


def train(
    dataset: Path, out: Path, options: Options, *, base: Path | None = None, running: Running | None = None
) -> None:
    """Train on `dataset` and write the run folder `out`, whole or not at all. `base` is a run folder to start from.

    With `running.resume` a stopped call goes on at its last checkpoint. The same options, data, threads and processes
    give the same weights, stopped or not. Raises RrgError(E_NUMERIC) when a loss is not finite.
    """
    running = running or Running()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(SHAPES))
    check_target(out)
    quiet_transformers()
    manifest = check_dataset(dataset)
    with together() as devices, run_folder(out, devices) as folder, stopping() as stop:
        run = run_record(dataset, options, base, devices.count)
        log = Log(folder / "metrics.jsonl" if folder else None)
        torch.manual_seed(options.seed)
        deterministic()
        part = read_part(dataset, "train", options.languages)
        check_mix(options.mix, part.samples)
        held_out = read_part(dataset, "val", options.languages)
        if not part.samples:
            raise UsageError(f"{dataset}: no samples in {', '.join(options.languages)} to train on")
        check_pictures(dataset, part.samples)

        form, tokenizer, model = model_of(part, options, base)
        pictures = Pictures(dataset, form.preset, form.side)
        say(f"model of {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")

        kept = Checkpoints(out, run, stop, resume=running.resume, every=running.save_every, devices=devices)
        going = Going(log, kept, devices, running.features, running.sample_every)
        tower: dict[str, Stateful] = {"weights": Weights(model.model.vision_tower), "log": log}
        if "tower" in options.stages and not kept.load("tower", tower):
            tower_stage(model, dataset, part, pictures, options, going)
        if "siglip" in options.stages and not kept.load("siglip", tower):
            siglip_stage(model, tokenizer, (part.samples, held_out.samples), pictures, options, going)
        masks = masks_of(dataset, (*part.masks, *held_out.masks), form, tokenizer, model, options, base)
        if "sft" in options.stages:
            samples = part.samples, held_out.samples
            if masks is not None:
                samples = masks.targets.learnable(samples[0]), masks.targets.learnable(samples[1])
            sft_stage(model, tokenizer, form, samples, pictures, options, going, base=base, folder=folder, masks=masks)
        if folder is None:
            return

        model.save_pretrained(folder / MODEL)
        tokenizer.save_pretrained(folder / MODEL)
        if masks is not None:
            save_head(masks.task.head, folder / MODEL)
        settings = Settings(
            family="tiny",
            side=form.side,
            preset=form.preset,
            dialect=form.dialect,
            image_tokens=form.image_tokens,
            context=form.context,
            languages=options.languages,
            tasks=tuple(sorted({sample.task for sample in part.samples})),
            dataset=sha256_file(dataset / "manifest.json"),
            run=run.id,
            demonstration=for_demonstration(manifest),
            options=run.options,
        )
        finish(folder, out, settings, manifest, log, run, sum(each.numel() for each in model.parameters()))
        kept.remove()
    say(f"done: {out}")


def deterministic() -> None:
    """The same sums in the same order every time. Memory that is about to be written is not filled first, which torch
    does beside it to find mistakes, in a tenth of the time of a tiny model's step."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def run_record(dataset: Path, options: Options, base: Path | None, processes: int) -> Run:
    """The run record: options, seed, data set and base weights."""
    values = {name: value for name, value in asdict(options).items() if name != "seed"}
    inputs = {"dataset": sha256_file(dataset / "manifest.json")}
    if base is not None:
        inputs["base"] = sha256_files(base / MODEL)
    values["threads"], values["processes"] = torch.get_num_threads(), processes if processes > 1 else None
    return make_run("train", values, seed=options.seed, inputs=inputs)


def masks_of(
    dataset: Path, masks: Sequence[Mask], form: Form, tokenizer: Any, model: Any, options: Options, base: Path | None
) -> Teaching | None:
    """The mask head to teach beside the answers; None where boxes are written as text."""
    config = model.config
    shape = Shape(config.vision_config.hidden_size, config.text_config.hidden_size, math.isqrt(form.image_tokens))
    return teaching_of(
        dataset, masks, form.dialect, shape, tokenizer, base=base / MODEL if base is not None else None,
        kind=options.mask_loss, weight=options.mask_weight, seed=options.seed,
    )  # fmt: skip


def model_of(part: Part, options: Options, base: Path | None) -> tuple[Form, Any, Any]:
    """(form, tokenizer, model): a new tiny model, or that of the run folder `base`."""
    if base is not None:
        from transformers import AutoTokenizer, LlavaForConditionalGeneration

        settings = read_settings(base)
        tokenizer = AutoTokenizer.from_pretrained(base / MODEL)
        model = LlavaForConditionalGeneration.from_pretrained(base / MODEL, dtype=torch.float32)
        preset = cast(Preset, settings.preset)
        form = Form(settings.dialect, preset, settings.side, settings.image_tokens, settings.context)
    elif options.peft != "none":
        raise UsageError("--peft lora adapts a trained model; give it with --init-from RUN")
    else:
        size = tiny.size_of(options.model)
        dialect = options.dialect
        tokenizer = train_tokenizer((render(sample, dialect).text for sample in part.samples), dialect, size.vocabulary)
        torch.manual_seed(options.seed)
        model = tiny.build(size, tokenizer)
        tiny.order_box_tokens(model, box_tokens(tokenizer, dialect))
        form = Form(dialect, options.preset, size.side, size.image_tokens, size.context)
    if options.precision == "bf16":  # in f32 the fused kernel is faster
        for each in (model.model.vision_tower, model.model.language_model):
            use_products(each)
    return form, tokenizer, model
