"""Fine-tune a model folder of any family on a data set: options, data, model, stages, save. One way for all."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from rrg.boxes import Dialect
from rrg.errors import RecordError, RrgError, UsageError
from rrg.folders import building, publish
from rrg.model.families import EXPORTABLE, LINEAR, TRAINED, part_of
from rrg.model.family import (
    Encoded,
    Loaded,
    answer_loss,
    chat_pieces,
    check_folder,
    collate,
    encode,
    load_family,
    turns_of,
)
from rrg.model.load import MODEL, quiet_transformers
from rrg.model.settings import Settings, write_settings
from rrg.optimise import warm_cosine
from rrg.prompt import render
from rrg.provenance import make_run, sha256_file, sha256_files
from rrg.records import Sample
from rrg.train_data import Pictures, check_dataset, check_pictures, read_part
from rrg.train_log import Log, card, say, write_manifest
from rrg.windows import Preset

ADAPTER = "adapter"
SCHEMA = "rrg.model/1"
VALIDATION = 32
"""Samples of the validation split behind ``val_loss``."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train and how long. All of it changes the result."""

    stages: tuple[str, ...] = ("sft",)
    steps: int = 1500
    """Of each stage."""
    batch: int = 16
    """Samples per step."""
    micro: int = 1
    """Samples of the step that pass the model together; they have equally many pictures."""
    rate: float = 5e-5
    optimiser: Literal["adamw", "adafactor"] = "adamw"
    peft: Literal["none", "lora"] = "none"
    lora_rank: int = 16
    lora_targets: tuple[str, ...] = LINEAR
    lora_dropout: float = 0.0
    dialect: Dialect | None = None
    """None: the family's own."""
    preset: Preset = "radgrounder"
    languages: tuple[str, ...] = ("de", "en")
    context: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown stages and stages out of order."""
        if not self.stages or list(self.stages) != [stage for stage in TRAINED if stage in self.stages]:
            raise UsageError(
                f"--stages {','.join(self.stages)}: of a model folder expected some of align,sft, in this order"
            )


def train_family(dataset: Path, out: Path, base: Path, options: Options) -> None:
    """Train the model folder `base` on `dataset` and write the run folder `out`, whole or not at all.

    Raises UsageError for folders that can not be loaded, RrgError(E_NUMERIC) when a loss is not finite.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there already; choose another folder")
    quiet_transformers()
    kind = check_folder(base)
    say(f"{kind}: no GGUF export of this family, run it with torch; --model {EXPORTABLE} makes one that llama.cpp runs")
    manifest = check_dataset(dataset)
    values = {name: value for name, value in asdict(options).items() if name != "seed"}
    inputs = {"dataset": sha256_file(dataset / "manifest.json"), "base": sha256_files(base)}
    run = make_run("train", {**values, "threads": torch.get_num_threads()}, seed=options.seed, inputs=inputs)
    torch.manual_seed(options.seed)
    loaded = load_family(base, options.dialect)
    learn, check = (read_part(dataset, split, options.languages).samples for split in ("train", "val"))
    check_pictures(dataset, learn)
    pictures = Pictures(dataset, options.preset, loaded.side)
    first = check_samples(learn, loaded, pictures, options.context)
    say(f"model of {sum(p.numel() for p in loaded.model.parameters()):,} parameters, pictures of {loaded.side} pixels")
    with building(out) as folder:
        log = Log(folder / "metrics.jsonl")
        model = loaded.model
        for stage in options.stages:
            model = trainable(loaded, stage, options)
            stage_steps(model, stage, learn, loaded, pictures, options, log)
        if check:
            log.write("sft", options.steps, {"val_loss": validation_loss(model, check, loaded, pictures, options)})
        if options.peft == "lora" and "sft" in options.stages:
            model.save_pretrained(folder / ADAPTER)
            model = model.merge_and_unload()
        model.save_pretrained(folder / MODEL)
        loaded.processor.save_pretrained(folder / MODEL)
        settings = Settings(
            family=kind,
            side=loaded.side,
            preset=options.preset,
            dialect=loaded.dialect,
            image_tokens=first,
            context=options.context,
            languages=options.languages,
            tasks=tuple(sorted({sample.task for sample in learn})),
            dataset=inputs["dataset"],
            run=run.id,
            demonstration=bool(manifest["run"]["options"].get("made_up")),
            options=run.options,
        )
        write_settings(folder, settings)
        size = sum(each.numel() for each in model.parameters())
        (folder / "card.md").write_text(card(settings, manifest, log.last, size), encoding="utf-8")
        write_manifest(folder, SCHEMA, run)
        publish(folder, out)
    say(f"done: {out}")


def encoded(sample: Sample, loaded: Loaded, pictures: Pictures) -> Encoded:
    """A sample as the model reads it. RrgError names the sample that can not be."""
    try:
        chat = render(sample, loaded.dialect)
        pieces, _ = chat_pieces(turns_of(chat.pieces), loaded)
        images = {image.id: image for image in sample.images}
        numbers = [pictures.add(images[name]) for name in chat.images]
        return encode(loaded, pieces, [pictures.picture(number) for number in numbers])
    except RecordError as error:
        raise RrgError(f"sample {sample.id}: {error.message}", error.code) from None


def check_samples(samples: Sequence[Sample], loaded: Loaded, pictures: Pictures, context: int) -> int:
    """Tokens of a picture in the first sample; before step 1 it must have answers to learn, and fit."""
    if not samples:
        raise UsageError("no samples to train on in these languages")
    first = next((sample for sample in samples if sample.images), samples[0])
    made = encoded(first, loaded, pictures)
    if not bool((made.inputs["labels"] >= 0).any()):
        raise RrgError(f"sample {first.id}: no token to learn", "E_MODEL")
    if made.length > context:
        raise UsageError(f"sample {first.id} has {made.length} tokens; raise --context, now {context}")
    return image_tokens(loaded, made)


def image_tokens(loaded: Loaded, made: Encoded) -> int:
    """Tokens per picture of an encoded sample; 0 without pictures."""
    config = loaded.model.config
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    return made.inputs["input_ids"][0].tolist().count(token) // max(1, made.pictures)


def trainable(loaded: Loaded, stage: str, options: Options) -> Any:
    """The model with exactly the parameters of a stage open, wrapped by peft for LoRA. New rows of box tokens learn."""
    model = loaded.model
    model.requires_grad_(False)
    if stage == "sft" and options.peft == "lora":
        return with_lora(loaded, options)
    parts = TRAINED[stage]
    for name, weight in model.named_parameters():
        weight.requires_grad_(part_of(loaded.family, name) in parts)
    return model


def with_lora(loaded: Loaded, options: Options) -> Any:
    """LoRA on linear layers of the language model; of embeddings only the rows of box tokens learn, in full."""
    from peft import LoraConfig, get_peft_model

    model = loaded.model
    targets = [
        name
        for name, module in model.named_modules()
        if name.startswith(loaded.family.parts.text)
        and isinstance(module, torch.nn.Linear)
        and name.rpartition(".")[2] in options.lora_targets
    ]
    if not targets:
        raise UsageError(f"--lora-targets {','.join(options.lora_targets)}: no such layer in the language model")
    rows: dict[str, list[int]] | None = None
    if ids := [loaded.tokenizer.convert_tokens_to_ids(token) for token in loaded.dialect.tokens]:
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        names = {name for name, module in model.named_modules() if module in ends}
        tied = ends[0].weight is ends[1].weight
        rows = {name: ids for name in sorted(names) if not tied or not name.endswith("lm_head")}
    wanted = LoraConfig(
        r=options.lora_rank,
        lora_alpha=2 * options.lora_rank,
        lora_dropout=options.lora_dropout,
        target_modules=targets,
        trainable_token_indices=rows,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers for a name that it will drop
        return get_peft_model(model, wanted)


def order(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    """Without end: the samples by their weights, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor([sample.weight for sample in samples], dtype=torch.float64)
    while True:
        for number in torch.multinomial(weights, min(len(samples), 1024), True, generator=generator).tolist():
            yield samples[number]


def stage_steps(
    model: Any, stage: str, samples: Sequence[Sample], loaded: Loaded, pictures: Pictures, options: Options, log: Log
) -> None:
    """All steps of one stage. Chats that are longer than the context are passed over and counted."""
    weights = [each for each in model.parameters() if each.requires_grad]
    if options.optimiser == "adafactor":
        from transformers import optimization

        adafactor: Any = optimization.Adafactor
        descent: Any = adafactor(weights, lr=options.rate, relative_step=False, scale_parameter=False)
    else:
        descent = torch.optim.AdamW(weights, lr=options.rate, weight_decay=0.01)
    report = log.stage(stage, options.steps)
    stream, passed = order(samples, options.seed), 0
    model.train()
    for step in range(options.steps):
        drawn: list[tuple[str, Encoded]] = []
        while len(drawn) < options.batch:
            sample = next(stream)
            made = encoded(sample, loaded, pictures)
            if made.length <= options.context and bool((made.inputs["labels"] >= 0).any()):
                drawn.append((sample.id, made))
                continue
            passed += 1
            if passed > 1000 and not step:
                raise UsageError(f"no sample fits into {options.context} tokens; raise --context")
        for group in descent.param_groups:
            group["lr"] = options.rate * warm_cosine(step, options.steps)
        descent.zero_grad()
        total = 0.0
        for part in micro_batches([made for _, made in drawn], options.micro):
            loss = answer_loss(model, collate(part, loaded.tokenizer.pad_token_id or 0)) * (len(part) / options.batch)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        report(step, {"loss": total}, [name for name, _ in drawn])
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        descent.step()
    model.eval()
    if passed:
        say(f"{stage}: {passed} draws passed over: more than {options.context} tokens, or nothing to learn")


def micro_batches(chats: Sequence[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Chats with equally many pictures in batches of at most `size`, those of like length together."""
    ordered = sorted(chats, key=lambda each: (each.pictures, -each.length))
    while ordered:
        part = [each for each in ordered[:size] if each.pictures == ordered[0].pictures]
        yield part
        ordered = ordered[len(part) :]


def validation_loss(
    model: Any, samples: Sequence[Sample], loaded: Loaded, pictures: Pictures, options: Options
) -> float:
    """Mean loss of the first samples of the validation split that fit."""
    model.eval()
    losses = []
    with torch.inference_mode():
        for sample in samples[:VALIDATION]:
            made = encoded(sample, loaded, pictures)
            if made.length <= options.context and bool((made.inputs["labels"] >= 0).any()):
                losses.append(answer_loss(model, made.inputs).item())
    return sum(losses) / max(1, len(losses))
