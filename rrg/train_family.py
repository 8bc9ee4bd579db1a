"""Fine-tune a model folder of any family on a data set: options, data, model, stages, save. One way for all."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rrg.errors import UsageError
from rrg.export_family import export_note
from rrg.model.family import Loaded, check_folder, collate, load_family, mean_losses
from rrg.model.load import MODEL, quiet_transformers
from rrg.model.mask_head import save_head
from rrg.model.settings import Settings
from rrg.model.taps import taps_of
from rrg.optimise import warm_cosine
from rrg.provenance import make_run, sha256_file, sha256_files
from rrg.records import Run, Sample
from rrg.train_attention import choose_attention
from rrg.train_cache import Features, keep_features
from rrg.train_check import check_source
from rrg.train_checkpoint import Checkpoints, stopping
from rrg.train_data import Pictures, check_dataset, check_pictures, for_demonstration, read_part
from rrg.train_devices import together
from rrg.train_family_data import (
    Ahead,
    Drawn,
    Source,
    drawn,
    longest,
    lower_answers,
    micro_batches,
    on,
    source_of,
)
from rrg.train_family_options import Options
from rrg.train_folder import check_target, finish, run_folder, save_adapter
from rrg.train_log import Log, finite, say
from rrg.train_lora import trainable
from rrg.train_masks import Teaching
from rrg.train_masks_family import drawn_loss, family_parts, family_teaching
from rrg.train_options import Running, check_mix
from rrg.train_order import Order, draw_weights
from rrg.train_samples import every
from rrg.train_shard import Descent, check_shard, padded, shard, whole
from rrg.train_siglip_family import family_siglip
from rrg.train_speed import Meter, forecast, timed, within_memory
from rrg.train_stages import Going
from rrg.train_state import Stateful, Weights
from rrg.train_validate import Best, validate


def train_family(dataset: Path, out: Path, base: Path, options: Options, running: Running | None = None) -> None:
    """Train the model folder `base` on `dataset` and write the run folder `out`, whole or not at all.

    Raises UsageError for folders that can not be loaded, RrgError(E_NUMERIC) when a loss is not finite, and
    RrgError(E_MEMORY) when memory is out.
    """
    running = running or Running()
    check_target(out)
    quiet_transformers()
    kind = check_folder(base)
    manifest = check_dataset(dataset)
    with together() as devices, run_folder(out, devices) as folder, stopping() as stop:
        say(export_note(kind, base, options.dialect))
        run = run_record(dataset, base, options, devices.count, running.sample_every)
        torch.manual_seed(options.seed)
        loaded = load_family(base, options.dialect)
        model = loaded.model.to(devices.device())
        parts = [read_part(dataset, split, options.languages) for split in ("train", "val")]
        learn, check = (part.samples for part in parts)
        if options.lower_answers:
            learn, check = (tuple(map(lower_answers, each)) for each in (learn, check))
        if not learn:
            raise UsageError("no samples to train on in these languages")
        check_pictures(dataset, learn)
        check_mix(options.mix, learn)
        pictures = Pictures(dataset, options.preset, loaded.side, grey=options.no_image)
        masks = family_teaching(dataset, parts, loaded, pictures, options, base)
        if options.keep == "best" and not check:
            raise UsageError("--keep best: no samples in the val split to tell by; leave it out")
        if masks is not None:
            learn, check = masks.targets.learnable(learn), masks.targets.known(check)
        order = Order(learn, draw_weights(learn, dict(options.mix), dict(options.shares)), options.seed)
        source = source_of(learn, order, loaded, pictures, options)
        first = check_source(source)
        say(f"model of {sum(p.numel() for p in model.parameters()):,} parameters, pictures of {loaded.side} pixels")
        batch = longest(source, 1)
        if not batch:
            raise UsageError(f"no sample fits into {options.context} tokens; raise --context")
        choose_attention(model, options.attention, on(devices.device(), batch[0].encoded.inputs), options.precision)
        if options.checkpointing:
            model.activation_checkpointing_enable()
        keep = kept_features(loaded, options, running)

        log = Log(folder / "metrics.jsonl" if folder else None)
        kept = Checkpoints(out, run, stop, resume=running.resume, every=running.save_every, devices=devices)
        going = Going(log, kept, devices, running.features, running.sample_every, running.fsdp)
        if running.fsdp:
            check_shard(options.stages, devices)
        for stage in options.stages:
            model = trainable(loaded, stage, options)
            if running.fsdp:
                shard(model, devices)
            head = {"mask_head": masks.task.head} if masks is not None else {}
            if not kept.load(stage, {"weights": Weights(model), "log": log, **head}):
                if stage == "siglip":
                    family_siglip(model, loaded, (learn, check), pictures, options, going)
                else:
                    stage_steps(model, stage, source, check, going, masks if stage == "sft" else None)
            if options.keep == "last":
                validate(model, stage, options.steps, check, source, going)
        if keep is not None and keep.made + keep.found:
            say(f"features of pictures: {keep.found} read, {keep.made} computed")
        learnt = Weights(model).state_dict() if running.fsdp else None
        if folder is None:
            return
        if learnt is not None:
            loaded, model = put_together(base, options, learnt)

        if options.peft == "lora" and "sft" in options.stages:
            save_adapter(model, folder)
            model = model.merge_and_unload()
        model.save_pretrained(folder / MODEL)
        loaded.processor.save_pretrained(folder / MODEL)
        if masks is not None:
            save_head(masks.task.head, folder / MODEL)
        settings = Settings(
            family=kind,
            side=loaded.side,
            preset=options.preset,
            dialect=loaded.dialect,
            image_tokens=first,
            context=options.context,
            languages=options.languages,
            tasks=tuple(sorted({sample.task for sample in learn})),
            dataset=run.inputs["dataset"],
            run=run.id,
            demonstration=for_demonstration(manifest),
            options=run.options,
        )
        finish(folder, out, settings, manifest, log, run, sum(each.numel() for each in model.parameters()))
        kept.remove()
    say(f"done: {out}")


def run_record(dataset: Path, base: Path, options: Options, processes: int, looks: int = 0) -> Run:
    """The run record: options, seed, data set and base weights. `looks` decide where the best weights are kept."""
    values: dict[str, Any] = {name: value for name, value in asdict(options).items() if name != "seed"}
    values["looks"] = looks if options.keep == "best" else None
    values["threads"], values["processes"] = torch.get_num_threads(), processes if processes > 1 else None
    inputs = {"dataset": sha256_file(dataset / "manifest.json"), "base": sha256_files(base)}
    return make_run("train", values, seed=options.seed, inputs=inputs)


def kept_features(loaded: Loaded, options: Options, running: Running) -> Features | None:
    """Let the tower read its features from the folder for them. None without one, or where pictures are moved."""
    if running.features is None:
        return None
    if options.augment:
        raise UsageError("--feature-cache: with --augment every picture is new; leave one of them out")
    if "tower" in options.opened:
        raise UsageError("--feature-cache: with --also tower its features change; leave one of them out")
    if not loaded.family.tower:
        raise UsageError(f"--feature-cache: not for {loaded.family.title}, whose projector is inside of the tower")
    tower = loaded.model.get_submodule(loaded.family.tower)
    features = Features(running.features, tower)
    keep_features(tower, features, loaded.family.layers(loaded.model.config))
    return features


def put_together(base: Path, options: Options, learnt: Mapping[str, Tensor]) -> tuple[Loaded, Any]:
    """The model whose weights were in parts, whole again in one process."""
    torch.manual_seed(options.seed)  # rows of added tokens start as they did
    loaded = load_family(base, options.dialect)
    model = trainable(loaded, options.stages[0], options)
    Weights(model).load_state_dict(learnt)
    return loaded, model


def stage_steps(
    model: Any, stage: str, source: Source, check: Sequence[Sample], going: Going, masks: Teaching | None = None
) -> None:
    """All steps of one stage that are left. Chats that are longer than the context are passed over and counted."""
    options, devices, loaded = source.options, going.devices, source.loaded
    weights = [each for each in model.parameters() if each.requires_grad]
    weights += [*masks.task.head.parameters()] if masks is not None else []
    taps = taps_of(model, *family_parts(loaded)) if masks is not None else None
    descent = optimiser_of(weights, options)
    best = Best(model, *([masks.task.head] if masks is not None else [])) if options.keep == "best" else None
    report, meter, passed = going.log.stage(stage, options.steps), Meter(stage), 0
    advice = f"lower --micro-batch (now {options.micro}) or --context (now {options.context})" + (
        "" if options.checkpointing else ", or give --gradient-checkpointing"
    )

    def draws(step: int) -> list[tuple[Drawn, int]]:
        return [
            drawn(source, stage, n) for n in devices.own([*range(step * options.batch, (step + 1) * options.batch)])
        ]

    def learn(part: Sequence[Drawn], weight: float = 1.0) -> float:
        batch = on(devices.device(), collate([each.encoded for each in part], loaded.tokenizer.pad_token_id or 0))
        with (
            torch.autocast(devices.device().type, torch.bfloat16, enabled=options.precision == "bf16"),
            taps or nullcontext(),
        ):
            loss = mean_losses(model, batch).sum() / options.batch
        if masks is not None and taps is not None:
            loss = loss + drawn_loss(masks, taps, batch["input_ids"], part) * len(part) / options.batch
        loss = loss * weight
        whole = loss * devices.count if going.fsdp else loss  # FSDP takes the mean over processes
        whole.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    look_every = every(options.steps, going.sample_every)
    model.train()
    with within_memory(stage, advice):
        seconds = trial(source, learn, weights)
    say(forecast(stage, options.steps, seconds / devices.count, weights, options.optimiser))
    parts: dict[str, Stateful] = {"weights": Weights(model), "optimiser": Descent(descent), "log": going.log}
    if masks is not None:
        parts["mask_head"] = masks.task.head
    if best is not None:
        parts["best"] = best
    with Ahead(draws, options.steps) as batches:
        for step in going.kept.steps(stage, options.steps, parts):
            with meter.time("data"):
                made = batches.get(step)
            passed += sum(again for _, again in made)
            ids = [each.sample.id for each, _ in made]
            with within_memory(stage, advice, ids), meter.time("model"):
                descent.zero_grad()
                chats = micro_batches([each for each, _ in made], options.micro)
                total = sum(learn(*each) for each in padded(chats, devices, going.fsdp))
            report(step, {"loss": devices.total(total)}, ids)
            with meter.time("optimiser"):
                if not going.fsdp:
                    devices.add_gradients(weights)
                finite(stage, step, {"gradient": float(whole(torch.nn.utils.clip_grad_norm_(weights, 1.0)))}, ids)
                for group in descent.param_groups:
                    group["lr"] = options.rate * warm_cosine(step, options.steps)
                descent.step()
            meter.step(sum(each.encoded.length for each, _ in made) * devices.count)
            last = step + 1 == options.steps
            if best is not None if last else (step + 1) % look_every == 0:
                batches.settle()
                loss = validate(model, stage, step + 1, check, source, going)
                if best is not None:
                    best.look(step + 1, devices.total(loss if devices.first else 0.0))
                    last |= 0 < options.patience <= best.no_better
            if last and best is not None:
                say(f"{stage}: {best.restore()}" + ("" if step + 1 == options.steps else f"; ended at step {step + 1}"))
                going.kept.end()
    model.eval()
    if passed:
        say(f"{stage}: {passed} draws passed over: more than {options.context} tokens, or nothing to learn")


def optimiser_of(weights: Sequence[torch.nn.Parameter], options: Options) -> Any:
    """AdamW, or Adafactor with a rate of its own."""
    if options.optimiser == "adafactor":
        from transformers import optimization

        adafactor: Any = optimization.Adafactor
        return adafactor(weights, lr=options.rate, relative_step=False, scale_parameter=False)
    return torch.optim.AdamW(weights, lr=options.rate, weight_decay=0.01)


def trial(source: Source, learn: Any, weights: Sequence[torch.nn.Parameter]) -> float:
    """Seconds of a step of the longest chats: they come first, so that memory is out now or never."""
    options = source.options
    part = longest(source, options.micro)
    seconds = timed(lambda: learn(part)) * options.batch / options.micro
    for weight in weights:
        weight.grad = None
    return seconds
