"""The two stages of the tiny family: masks teach the tower, questions teach projector and language model."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrg.boxes import Dialect
from rrg.errors import UsageError
from rrg.model.taps import taps_of
from rrg.model.tokenizer import encode_chat
from rrg.optimise import Optimiser, split_matrices
from rrg.prompt import IMAGE, MEDIA, PAD
from rrg.prompt_context import STYLES, findings_in, findings_known, with_context, with_noisy_findings
from rrg.records import Sample, Turn
from rrg.seeds import rng_for
from rrg.train_cache import Features
from rrg.train_check import check_questions
from rrg.train_checkpoint import Checkpoints
from rrg.train_data import Part, Pictures, dense_arrays, image_of, structures
from rrg.train_devices import Devices
from rrg.train_folder import save_adapter
from rrg.train_log import Log, finite, say
from rrg.train_masks import Teaching
from rrg.train_options import Options, check_shares
from rrg.train_samples import Look, chosen, every, greedy, look, quiet_model
from rrg.train_speed import Meter, forecast, timed, within_memory
from rrg.train_state import Stateful, Weights
from rrg.train_text import Batches, Question, answer_loss, collate, pack_questions, questions_of, tokens_of
from rrg.train_tower import Dense, cached_features, channel_statistics, fold, train_tower, unfold
from rrg.windows import Preset

VALIDATION_BATCHES = 8
"""Batches of the validation split behind ``val_loss``."""
ADVICE = "take a smaller --model tiny:SIZE, or train on a machine with more memory"


@dataclass(frozen=True)
class Form:
    """What pictures and text look like to the model."""

    dialect: Dialect
    preset: Preset
    side: int
    image_tokens: int
    context: int


def box_tokens(tokenizer: Any, dialect: Dialect) -> range:
    """Ids of the bins' tokens; empty for dialects of plain text."""
    if dialect.kind != "loc":
        return range(0)
    first = tokenizer.convert_tokens_to_ids(dialect.loc(0))
    return range(first, first + dialect.bins)


class Going(NamedTuple):
    """What stages of one run share."""

    log: Log
    kept: Checkpoints
    devices: Devices
    features: Path | None = None
    """Folder for features of frozen towers."""
    sample_every: int = 0
    """Steps between two looks at the validation split; 0: a quarter of the stage."""
    fsdp: bool = False
    """Each of several processes holds a part of every weight."""


def tower_stage(model: Any, dataset: Path, part: Part, pictures: Pictures, options: Options, going: Going) -> None:
    """Masks teach the tower. Its unused last block stays as it is."""
    classes = structures(part.masks)
    if not classes:
        raise UsageError(f"{dataset}: no masks for the tower stage; run rrg segment before rrg pack, or --stages sft")
    tower = model.model.vision_tower
    arrays = dense_arrays(dataset, part, classes, tower.config.image_size)
    rows = [pictures.add(image_of(part.slices[name])) for name in arrays.ids]
    dense = Dense(
        torch.from_numpy(pictures.stacked())[rows],
        torch.from_numpy(arrays.maps),
        torch.from_numpy(arrays.boxes),
        torch.from_numpy(arrays.known),
    )
    held = sum(each.numel() * each.element_size() for each in dense) >> 20
    say(f"tower: {len(rows)} slices, {len(classes)} structures, {options.tower_steps} steps, {held} MB of pictures")
    report = going.log.stage("tower", options.tower_steps)
    train_tower(
        tower,
        dense,
        patch=tower.config.patch_size,
        steps=options.tower_steps,
        batch=options.tower_batch,
        rate=options.tower_rate,
        precision=options.precision,
        generator=torch.Generator().manual_seed(options.seed),
        report=lambda step, values, pick: report(step, values, [arrays.ids[number] for number in pick]),
        going=lambda parts: going.kept.steps("tower", options.tower_steps, {**parts, "log": going.log}),
        devices=going.devices,
    )


def sft_stage(
    model: Any,
    tokenizer: Any,
    form: Form,
    samples: tuple[Sequence[Sample], Sequence[Sample]],
    pictures: Pictures,
    options: Options,
    going: Going,
    *,
    base: Path | None,
    folder: Path | None,
    masks: Teaching | None = None,
) -> Meter:
    """Questions teach projector and language model, or a LoRA of the latter alone. `samples`: to learn, to check.

    The tower is frozen and its features are computed once. While the projector learns, features are standardised per
    channel; this is folded into its first layer at the end, so that the model stays a stock LLaVA. Returns how fast
    it was.
    """
    log, devices = going.log, going.devices
    projector = model.model.multi_modal_projector
    learn, check = questions_to(learn=samples, form=form, tokenizer=tokenizer, pictures=pictures, options=options)
    image, pad = tokenizer.convert_tokens_to_ids([IMAGE, PAD])
    boxes = box_tokens(tokenizer, form.dialect)
    check_questions(learn, image, form.image_tokens, boxes)
    keep = Features(going.features, model.model.vision_tower)
    features = cached_features(model.model.vision_tower, torch.from_numpy(pictures.stacked()), keep)
    shown = sorted({number for question in learn for number in question.pictures})
    say(
        f"sft: {len(learn)} questions on {len(shown)} pictures, {options.sft_steps} steps, "
        f"{features.numel() * 2 >> 20} MB of features"
        + (f" ({keep.found} of them read from --feature-cache)" if going.features else "")
    )
    lora = options.peft == "lora"
    mean, std = (torch.zeros(()), torch.ones(())) if lora else channel_statistics(features[shown])
    if not lora and base is not None:
        unfold(projector.linear_1, mean, std)
    if masks is not None and masks.continued and not lora:
        unfold(masks.task.head.neck, mean, std)
    optimiser = open_text(model, options, masks.task.matrices() if masks is not None else ([], []))
    taps = taps_of(model) if masks is not None else None

    def loss_of(groups: Sequence[Sequence[Question]]) -> tuple[Tensor, float, int]:
        """(mean loss of the learnt tokens, their weight, all tokens)."""
        batch = collate([pack_questions(group) for group in groups], pad)
        numbers = [number for group in groups for number in group[0].pictures]
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"), taps or nullcontext():
            loss = answer_loss(model, batch, image, (features[numbers].float() - mean) / std, boxes)
        if masks is not None and taps is not None:
            ids = [question.id for group in groups for question in group]
            loss = loss + masks.loss(taps, batch.tokens, ids, first_pictures(groups))
        return loss, float(batch.weights[:, 1:].sum()), sum(map(tokens_of, groups))

    def answer(shown: Sequence[NDArray[np.uint8]], prompt: str) -> str:
        seen = cached_features(model.model.vision_tower, torch.from_numpy(np.stack(shown)))
        tokens = [tokenizer.bos_token_id, *encode_chat(tokenizer, prompt, MEDIA, form.image_tokens)]
        return greedy(model, tokenizer, tokens, (seen.float() - mean) / std)

    def validate(step: int) -> None:
        if not check or not devices.first:
            return
        order = Batches(check, options.sft_batch, options.sft_tokens, torch.Generator().manual_seed(0))
        with quiet_model(model):
            losses = [loss_of(groups)[0].item() for groups, _ in zip(order, range(VALIDATION_BATCHES), strict=False)]
            log.write("sft", step, {"val_loss": sum(losses) / len(losses)})
            look(log, "sft", step, shown_samples, answer)

    shown_samples = Look(
        chosen(samples[1]),
        lambda sample: [pictures.picture(pictures.add(image)) for image in sample.images],
        form.dialect,
    )
    look_every = every(options.sft_steps, going.sample_every)
    draws = torch.Generator().manual_seed(options.seed)
    stream = Batches(learn, options.sft_batch, options.sft_tokens, draws, dict(options.shares))
    report, meter = log.stage("sft", options.sft_steps), Meter("sft")
    with within_memory("sft", ADVICE):
        seconds = timed(lambda: optimiser.backward(loss_of(devices.own(stream.longest()))[0]))
    say(forecast("sft", options.sft_steps, seconds, optimiser.weights, "muon"))
    parts: dict[str, Stateful] = {"weights": Weights(model), "optimiser": optimiser, "order": stream, "log": log}
    if masks is not None:
        parts["mask_head"] = masks.task.head
    for step in going.kept.steps("sft", options.sft_steps, parts):
        with meter.time("data"):
            groups = next(stream)
            ids = [question.id for group in groups for question in group]
        with within_memory("sft", ADVICE, ids), meter.time("model"):
            loss, weight, tokens = loss_of(devices.own(groups))
            loss = loss * devices.share(weight)
            report(step, {"loss": devices.total(loss.item())}, ids)
            optimiser.backward(loss)
        with meter.time("optimiser"):
            devices.add_gradients(optimiser.weights)
            finite("sft", step, {"gradient": optimiser.clip()}, ids)
            optimiser.update(step)
        meter.step(tokens * devices.count)

        if (step + 1) % look_every == 0 and step + 1 < options.sft_steps:
            validate(step + 1)
    validate(options.sft_steps)
    if lora:
        if folder is not None:
            save_adapter(model.model.language_model, folder)
        model.model.language_model = model.model.language_model.merge_and_unload()
    else:
        fold(projector.linear_1, mean, std)
    if masks is not None and not lora:
        fold(masks.task.head.neck, mean, std)
    return meter


def first_pictures(groups: Sequence[Sequence[Question]]) -> list[int]:
    """Of each question of a batch, the number of its group's first picture among all pictures of the batch."""
    before = itertools.accumulate((len(group[0].pictures) for group in groups), initial=0)
    return [first for first, group in zip(before, groups, strict=False) for _ in group]


def questions_to(
    *,
    learn: tuple[Sequence[Sample], Sequence[Sample]],
    form: Form,
    tokenizer: Any,
    pictures: Pictures,
    options: Options,
) -> list[list[Question]]:
    """Questions to learn and to check. UsageError when there is nothing to learn."""
    mix = dict(options.mix)
    known = findings_known(learn[0]) if options.findings_noise else {}
    split = [[made for sample in each for made in variants(sample, options, known)] for each in learn]
    found = [
        list(questions_of(each, form.dialect, tokenizer, form.image_tokens, form.context, pictures, mix))
        for each in split
    ]
    if left_out := sum(map(len, split)) - sum(map(len, found)):
        say(f"sft: {left_out} samples left out: no turn to learn, or more than {form.context} tokens")
    if not found[0]:
        raise UsageError("no sample of the data set can be learnt; nothing to do in stage sft")
    check_shares(options.shares, found[0])
    return found


def variants(sample: Sample, options: Options, known: Mapping[str, tuple[str, ...]]) -> Iterator[Sample]:
    """A sample in all its styles of context and, where its prompt lists findings, in four lists with other mistakes.

    Together they weigh what the sample weighs.
    """
    if options.prefix == "none" and not options.findings_noise:
        yield sample
        return
    styles = STYLES if options.prefix == "random" else (options.prefix,)
    lists = 4 if options.findings_noise and findings_in(sample) is not None else 1
    made: dict[tuple[Turn, ...], int] = {}
    for style in styles:
        for number in range(lists):
            rng = rng_for(options.seed, "train", f"noise/{sample.id}/{number}")
            turns = with_noisy_findings(with_context(sample, style), options.findings_noise, known, rng).turns
            made[turns] = made.get(turns, 0) + 1
    for turns, count in made.items():
        yield replace(sample, turns=turns, weight=sample.weight * count / (len(styles) * lists))


def open_text(
    model: Any,
    options: Options,
    beside: tuple[Sequence[torch.nn.Parameter], Sequence[torch.nn.Parameter]] = ((), ()),
) -> Optimiser:
    """Let projector and language model learn, or a LoRA of the latter; the optimiser of these weights.

    `beside`: (matrices, others) that learn, too.
    """
    model.requires_grad_(False)
    if options.peft == "lora":
        from peft import LoraConfig, get_peft_model

        wanted = LoraConfig(
            r=options.lora_rank,
            lora_alpha=2 * options.lora_rank,
            lora_dropout=options.lora_dropout,
            target_modules=list(options.lora_targets) or "all-linear",
        )
        model.model.language_model = get_peft_model(model.model.language_model, wanted)
        adapters = [each for each in model.model.language_model.parameters() if each.requires_grad]
        return Optimiser([*beside[0]], [*adapters, *beside[1]], options.sft_rate, options.sft_steps, options.precision)
    text, projector = model.model.language_model, model.model.multi_modal_projector
    for module in (text, projector, model.lm_head):
        module.requires_grad_(True)
    matrices, others = split_matrices([*text.layers.parameters(), *projector.parameters()])
    others += [*text.embed_tokens.parameters(), *text.norm.parameters(), *model.lm_head.parameters()]
    return Optimiser(
        [*matrices, *beside[0]], [*others, *beside[1]], options.sft_rate, options.sft_steps, options.precision
    )
