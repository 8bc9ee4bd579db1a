"""rrg train: train or fine-tune a grounded model on a data set."""

import os
from pathlib import Path

from rrg.boxes import BINS, Dialect
from rrg.errors import UsageError

from . import _options as shared
from . import _train_options as opt


def command(
    dataset: opt.Dataset,
    out: opt.Out,
    model: opt.Model = "tiny",
    init_from: opt.InitFrom = None,
    stages: opt.Stages = "",
    tower_steps: opt.TowerSteps = 3000,
    siglip_steps: opt.SiglipSteps = 1000,
    siglip_batch: opt.SiglipBatch = 64,
    sft_steps: opt.SftSteps = 1500,
    rate: opt.Rate = None,
    batch: opt.Batch = 16,
    micro_batch: opt.MicroBatch = 1,
    optimiser: opt.Optimiser = "adamw",
    context: opt.Context = 2048,
    peft: opt.Peft = "none",
    lora_rank: opt.LoraRank = 16,
    lora_targets: opt.LoraTargets = "",
    lora_dropout: opt.LoraDropout = 0.0,
    also: opt.Also = "",
    keep: opt.Keep = "last",
    patience: opt.Patience = 0,
    box_format: opt.BoxFormat = None,
    bins: opt.Bins = None,
    preset: opt.Windows = "radgrounder",
    lang: opt.Lang = "de,en",
    mix: opt.Mix = "",
    shares: opt.Shares = "",
    prefix: opt.Prefix = "none",
    lower_answers: opt.LowerAnswers = False,
    findings_noise: opt.FindingsNoise = 0.0,
    augment: opt.Augment = "",
    no_image: opt.NoImage = False,
    grounding: opt.Grounding = None,
    mask_loss: opt.MaskLoss = "bce",
    mask_weight: opt.MaskWeight = 1.0,
    precision: opt.Precision = "auto",
    gradient_checkpointing: opt.Checkpointing = False,
    attention: opt.Attention = "auto",
    feature_cache: opt.FeatureCache = None,
    save_every: opt.SaveEvery = 0,
    sample_every: opt.SampleEvery = 0,
    fsdp: opt.Fsdp = False,
    threads: opt.Threads = None,
    seed: shared.Seed = 0,
    resume: opt.Resume = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train a grounded model on a data set.

    Example:  rrg train dataset --model tiny --out run
    """
    if quiet:
        os.environ["RRG_QUIET"] = "1"
    languages = tuple(sorted(word.strip() for word in lang.split(",")))
    if not set(languages) <= {"de", "en"}:
        raise UsageError(f"--lang {lang}: expected de, en or de,en")
    if grounding == "mask" and box_format not in (None, "seg"):
        raise UsageError(f"--grounding mask writes tags, not --box-format {box_format}; leave one of them out")
    box_format = "seg" if grounding == "mask" else box_format
    import torch

    from rrg.model.settings import read_settings
    from rrg.train_options import Options, Running, best_precision, parse_mix, words

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    base = init_from if init_from is not None and read_settings(init_from).family != "tiny" else None
    folder = base is not None or model.startswith("llava:")
    folder = folder or (model.partition(":")[0] != "tiny" and Path(model).is_dir())
    running = Running(resume, save_every, feature_cache, sample_every, fsdp)
    both = {
        "peft": peft,
        "lora_rank": lora_rank,
        "lora_dropout": lora_dropout,
        "preset": preset,
        "languages": languages,
        "mix": parse_mix(mix),
        "shares": parse_mix(shares, "--shares"),
        "prefix": prefix,
        "findings_noise": findings_noise,
        "precision": best_precision(gpu=folder) if precision == "auto" else precision,
        "mask_loss": mask_loss,
        "mask_weight": mask_weight,
        "seed": seed,
    }
    if folder:
        from rrg.model.assemble import model_folder
        from rrg.model.families import LINEAR
        from rrg.model.load import MODEL
        from rrg.train_family import train_family
        from rrg.train_family_options import Options as FamilyOptions

        kept = read_settings(base).dialect if base is not None else None
        chosen = FamilyOptions(
            stages=words(stages or "sft"),
            steps=sft_steps,
            batch=batch,
            micro=micro_batch,
            rate=5e-5 if rate is None else rate,
            optimiser=optimiser,
            lora_targets=words(lora_targets) or LINEAR,
            opened=words(also),
            keep=keep,
            patience=patience,
            no_image=no_image,
            lower_answers=lower_answers,
            dialect=Dialect(box_format, bins or BINS.get(box_format, 512)) if box_format else kept,
            context=context,
            augment=words(augment),  # type: ignore[arg-type]
            checkpointing=gradient_checkpointing,
            attention=attention,
            **both,  # type: ignore[arg-type]
        )
        with model_folder(model, out, seed) as start:
            train_family(dataset, out, start if base is None else base / MODEL, chosen, running)
        return
    foreign = {"--batch": batch != 16, "--micro-batch": micro_batch != 1, "--optimiser": optimiser != "adamw"}
    foreign |= {"--context": context != 2048, "--augment": augment, "--attn": attention != "auto"}
    foreign |= {"--gradient-checkpointing": gradient_checkpointing, "--fsdp": fsdp, "--patience": patience}
    foreign |= {"--also": also, "--keep": keep != "last", "--lower-answers": lower_answers, "--no-image": no_image}
    if named := ", ".join(name for name, given in foreign.items() if given):
        raise UsageError(f"{named}: for a model folder (--model FOLDER); leave it out with --model tiny")
    from rrg.train import train

    options = Options(
        model=model,
        stages=words(stages or "tower,sft"),
        tower_steps=tower_steps,
        siglip_steps=siglip_steps,
        siglip_batch=siglip_batch,
        sft_steps=sft_steps,
        sft_rate=1e-3 if rate is None else rate,
        lora_targets=words(lora_targets),
        box_format=box_format or "loc",
        bins=bins or 64,
        **both,  # type: ignore[arg-type]
    )
    train(dataset, out, options, base=init_from, running=running)
