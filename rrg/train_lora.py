"""Which weights of a family's model learn in a stage: parts of it, or adapters."""

import warnings
from typing import Any

import torch

from rrg.errors import UsageError
from rrg.model.families import TRAINED, part_of
from rrg.model.family import Loaded
from rrg.train_family_options import Options


def trainable(loaded: Loaded, stage: str, options: Options) -> Any:
    """The model with exactly the parameters of a stage open, wrapped by peft for LoRA. New rows of box tokens learn.

    Parts that `options.opened` names learn in sft beside the adapters, in full.
    """
    model = loaded.model
    model.requires_grad_(False)
    opened = options.opened if stage == "sft" else ()
    if stage == "sft" and options.peft == "lora":
        model, parts = with_lora(loaded, options), opened
    else:
        parts = (*TRAINED[stage], *opened)
    for name, weight in model.named_parameters():
        if part_of(loaded.family, name) in parts:
            weight.requires_grad_(True)
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
