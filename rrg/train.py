"""Train a grounded model on a data set folder: options, data, model, stages, save. Read it from top to bottom."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from rrg.boxes import Dialect
from rrg.boxes import Kind as BoxFormat
from rrg.errors import UsageError
from rrg.folders import building, publish
from rrg.model import tiny
from rrg.model.load import MODEL, quiet_transformers
from rrg.model.settings import Settings, read_settings, write_settings
from rrg.model.tokenizer import train_tokenizer
from rrg.optimise import Optimiser, split_matrices
from rrg.prompt import IMAGE, PAD, render
from rrg.provenance import make_run, sha256_file, sha256_files
from rrg.records import Run, Sample
from rrg.train_data import Part, Pictures, check_dataset, check_pictures, dense_arrays, image_of, read_part, structures
from rrg.train_log import Log, StageFolder, card, say, write_manifest
from rrg.train_text import Question, answer_loss, batches, collate, kinds_of, pack_questions, questions_of
from rrg.train_tower import Dense, cached_features, channel_statistics, fold, train_tower, unfold
from rrg.windows import Preset

STAGES = ("tower", "sft")
VALIDATION_BATCHES = 8
"""Batches of the validation split behind ``val_loss``."""
ADAPTER = "adapter"
"""Folder of a LoRA adapter inside a run folder. The weights in ``model/`` have it merged."""
SCHEMA = "rrg.model/1"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train and how long. All of it changes the result."""

    model: str = "tiny"
    """``tiny`` or ``tiny:SIZE``; ignored with `base`."""
    stages: tuple[str, ...] = STAGES
    tower_steps: int = 3000
    tower_batch: int = 16
    tower_rate: float = 1e-3
    sft_steps: int = 1500
    sft_batch: int = 16
    """Pictures (or groups of pictures) per step."""
    sft_tokens: int = 224
    """Tokens of a sequence: the pictures and as many of their questions as fit."""
    sft_rate: float = 1e-3
    peft: Literal["none", "lora"] = "none"
    lora_rank: int = 16
    box_format: BoxFormat = "loc"
    bins: int = 64
    preset: Preset = "radgrounder"
    languages: tuple[str, ...] = ("de", "en")
    mix: tuple[tuple[str, float], ...] = ()
    """(task or kind of question, how often it is drawn relative to the others); 1 where nothing is said."""
    precision: Literal["f32", "bf16"] = "f32"
    """Of the large products; weights, sums and the optimiser are f32 always."""
    seed: int = 0

    @property
    def dialect(self) -> Dialect:
        """How a new model writes boxes."""
        return Dialect(self.box_format, self.bins)

    def __post_init__(self) -> None:
        """Refuse unknown stages and stages out of order."""
        if not self.stages or list(self.stages) != [stage for stage in STAGES if stage in self.stages]:
            raise UsageError(f"--stages {','.join(self.stages)}: expected some of {','.join(STAGES)}, in this order")


@dataclass(frozen=True)
class Form:
    """What pictures and text look like to the model."""

    dialect: Dialect
    preset: Preset
    side: int
    image_tokens: int
    context: int


def train(dataset: Path, out: Path, options: Options, *, base: Path | None = None, resume: bool = False) -> None:
    """Train on `dataset` and write the run folder `out`, whole or not at all. `base` is a run folder to start from.

    With `resume` a stage that an interrupted call finished is not trained again. The same options, data and number of
    threads give the same weights. Raises RrgError(E_NUMERIC) when a loss is not finite.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there already; choose another folder")
    quiet_transformers()
    manifest = check_dataset(dataset)
    run = run_record(dataset, options, base)
    with building(out) as folder:
        log = Log(folder / "metrics.jsonl")
        torch.manual_seed(options.seed)
        torch.use_deterministic_algorithms(True)
        part = read_part(dataset, "train", options.languages)
        check_mix(options.mix, part.samples)
        held_out = read_part(dataset, "val", options.languages)
        if not part.samples:
            raise UsageError(f"{dataset}: no samples in {', '.join(options.languages)} to train on")
        check_pictures(dataset, part.samples)

        form, tokenizer, model = model_of(part, options, base)
        pictures = Pictures(dataset, form.preset, form.side)
        say(f"model of {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")

        kept = StageFolder(out, run, resume)
        if "tower" in options.stages and not kept.load("tower", model.model.vision_tower):
            tower_stage(model, dataset, part, pictures, options, log)
            kept.save("tower", model.model.vision_tower)
        if "sft" in options.stages:
            samples = part.samples, held_out.samples
            sft_stage(model, tokenizer, form, samples, pictures, options, log, base=base, folder=folder)

        model.save_pretrained(folder / MODEL)
        tokenizer.save_pretrained(folder / MODEL)
        made_up = bool(manifest["run"]["options"].get("made_up"))
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
            demonstration=made_up,
            options=run.options,
        )
        write_settings(folder, settings)
        parameters = sum(each.numel() for each in model.parameters())
        (folder / "card.md").write_text(card(settings, manifest, log.last, parameters), encoding="utf-8")
        write_manifest(folder, SCHEMA, run)
        publish(folder, out)
        kept.remove()
    say(f"done: {out}")


def parse_mix(text: str) -> tuple[tuple[str, float], ...]:
    """``which=3,detect=0.5`` -> pairs in order of their names."""
    pairs: dict[str, float] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, number = part.partition("=")
        try:
            pairs[name] = float(number)
        except ValueError:
            pairs[name] = math.nan
        if not 0 <= pairs[name] < math.inf:
            raise UsageError(f"--mix {part}: expected NAME=WEIGHT with a weight of 0 or more")
    return tuple(sorted(pairs.items()))


def check_mix(mix: Sequence[tuple[str, float]], samples: Sequence[Sample]) -> None:
    """UsageError for a name that no sample goes by: a slip of the pen would change nothing and say nothing."""
    known = sorted({kind for sample in samples for kind in kinds_of(sample)})
    for name, _ in mix:
        if name not in known:
            raise UsageError(f"--mix {name}: no such task or question in the data set; it has {', '.join(known)}")


def best_precision() -> Literal["f32", "bf16"]:
    """bf16 where the processor has tiles for it, else f32.

    Without tiles it may lose: on an Intel Xeon with avx512_bf16 but no tiles, products of the size of tiny models ran
    at 75 GFLOP/s a core in bf16 and at 130 in f32 (torch 2.14.1).
    """
    has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if has.get("amx_bf16") else "f32"


def run_record(dataset: Path, options: Options, base: Path | None) -> Run:
    """The run record: options, seed, data set and base weights."""
    values = {name: value for name, value in asdict(options).items() if name != "seed"}
    inputs = {"dataset": sha256_file(dataset / "manifest.json")}
    if base is not None:
        inputs["base"] = sha256_files(base / MODEL)
    return make_run("train", {**values, "threads": torch.get_num_threads()}, seed=options.seed, inputs=inputs)


def model_of(part: Part, options: Options, base: Path | None) -> tuple[Form, Any, Any]:
    """(form, tokenizer, model): a new tiny model, or that of the run folder `base`."""
    if base is not None:
        from transformers import AutoTokenizer, LlavaForConditionalGeneration

        settings = read_settings(base)
        tokenizer = AutoTokenizer.from_pretrained(base / MODEL)
        model = LlavaForConditionalGeneration.from_pretrained(base / MODEL, dtype=torch.float32)
        preset = cast(Preset, settings.preset)
        form = Form(settings.dialect, preset, settings.side, settings.image_tokens, settings.context)
        return form, tokenizer, model
    if options.peft != "none":
        raise UsageError("--peft lora adapts a trained model; give it with --init-from RUN")
    size = tiny.size_of(options.model)
    dialect = options.dialect
    tokenizer = train_tokenizer((render(sample, dialect).text for sample in part.samples), dialect, size.vocabulary)
    torch.manual_seed(options.seed)
    model = tiny.build(size, tokenizer)
    tiny.order_box_tokens(model, box_tokens(tokenizer, dialect))
    return Form(dialect, options.preset, size.side, size.image_tokens, size.context), tokenizer, model


def box_tokens(tokenizer: Any, dialect: Dialect) -> range:
    """Ids of the bins' tokens; empty for dialects of plain text."""
    if dialect.kind != "loc":
        return range(0)
    first = tokenizer.convert_tokens_to_ids(dialect.loc(0))
    return range(first, first + dialect.bins)


def tower_stage(model: Any, dataset: Path, part: Part, pictures: Pictures, options: Options, log: Log) -> None:
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
    report = log.stage("tower", options.tower_steps)
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
    )


def sft_stage(
    model: Any,
    tokenizer: Any,
    form: Form,
    samples: tuple[Sequence[Sample], Sequence[Sample]],
    pictures: Pictures,
    options: Options,
    log: Log,
    *,
    base: Path | None,
    folder: Path,
) -> None:
    """Questions teach projector and language model, or a LoRA of the latter alone. `samples`: to learn, to check.

    The tower is frozen and its features are computed once. While the projector learns, features are standardised per
    channel; this is folded into its first layer at the end, so that the model stays a stock LLaVA.
    """
    tower, projector = model.model.vision_tower, model.model.multi_modal_projector
    mix = dict(options.mix)
    learn, check = (
        list(questions_of(each, form.dialect, tokenizer, form.image_tokens, form.context, pictures, mix))
        for each in samples
    )
    if left_out := sum(map(len, samples)) - len(learn) - len(check):
        say(f"sft: {left_out} samples left out: no turn to learn, or more than {form.context} tokens")
    if not learn:
        raise UsageError("no sample of the data set can be learnt; nothing to do in stage sft")
    features = cached_features(tower, torch.from_numpy(pictures.stacked()))
    shown = sorted({number for question in learn for number in question.pictures})
    say(
        f"sft: {len(learn)} questions on {len(shown)} pictures, {options.sft_steps} steps, "
        f"{features.numel() * 2 >> 20} MB of features"
    )
    lora = options.peft == "lora"
    mean, std = (torch.zeros(()), torch.ones(())) if lora else channel_statistics(features[shown])
    model.requires_grad_(False)
    if lora:
        from peft import LoraConfig, get_peft_model

        wanted = LoraConfig(r=options.lora_rank, lora_alpha=2 * options.lora_rank, target_modules="all-linear")
        model.model.language_model = get_peft_model(model.model.language_model, wanted)
        adapters = [each for each in model.model.language_model.parameters() if each.requires_grad]
        optimiser = Optimiser([], adapters, options.sft_rate, options.sft_steps)
    else:
        if base is not None:
            unfold(projector.linear_1, mean, std)
        text = model.model.language_model
        for module in (text, projector, model.lm_head):
            module.requires_grad_(True)
        matrices, others = split_matrices([*text.layers.parameters(), *projector.parameters()])
        others += [*text.embed_tokens.parameters(), *text.norm.parameters(), *model.lm_head.parameters()]
        optimiser = Optimiser(matrices, others, options.sft_rate, options.sft_steps)

    image, pad = tokenizer.convert_tokens_to_ids([IMAGE, PAD])
    boxes = box_tokens(tokenizer, form.dialect)

    def loss_of(groups: Sequence[Sequence[Question]]) -> Tensor:
        batch = collate([pack_questions(group) for group in groups], pad)
        numbers = [number for group in groups for number in group[0].pictures]
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            return answer_loss(model, batch, image, (features[numbers].float() - mean) / std, boxes)

    stream = batches(learn, options.sft_batch, options.sft_tokens, torch.Generator().manual_seed(options.seed))
    report = log.stage("sft", options.sft_steps)
    for step, groups in zip(range(options.sft_steps), stream, strict=False):
        loss = loss_of(groups)
        report(step, {"loss": loss.item()}, [question.id for group in groups for question in group])
        optimiser.step(loss, step)

    if check:
        stream = batches(check, options.sft_batch, options.sft_tokens, torch.Generator().manual_seed(0))
        with torch.inference_mode():
            losses = [loss_of(groups).item() for groups, _ in zip(stream, range(VALIDATION_BATCHES), strict=False)]
        log.write("sft", options.sft_steps, {"val_loss": sum(losses) / len(losses)})
    if lora:
        model.model.language_model.save_pretrained(folder / ADAPTER)
        model.model.language_model = model.model.language_model.merge_and_unload()
    else:
        fold(projector.linear_1, mean, std)
