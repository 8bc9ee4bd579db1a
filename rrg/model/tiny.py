"""The tiny LLaVA: a SigLIP tower, two projector layers and a Llama, all small, random at the start."""

import math
from typing import Any, NamedTuple

import torch

from rrg.errors import UsageError


class Size(NamedTuple):
    """Sizes of a tiny model. Intermediate sizes are not hidden sizes: llama.cpp would swap projections."""

    width: int
    """Hidden size of tower and language model."""
    tower_blocks: int
    """Blocks that are used; one more is there, as LLaVA reads the last but one, and stays as it was made."""
    text_blocks: int
    heads: int
    side: int = 112
    patch: int = 14
    vocabulary: int = 2048
    """Most entries of the tokenizer, box tokens not counted."""
    context: int = 2048

    @property
    def image_tokens(self) -> int:
        """Tokens per picture."""
        return (self.side // self.patch) ** 2


SIZES = {
    "test": Size(width=32, tower_blocks=1, text_blocks=2, heads=2, side=56, vocabulary=400, context=512),
    "s": Size(width=128, tower_blocks=4, text_blocks=4, heads=4),
    "m": Size(width=256, tower_blocks=6, text_blocks=6, heads=8),
    "l": Size(width=512, tower_blocks=8, text_blocks=8, heads=8, side=224, vocabulary=4096, context=4096),
}
"""Name -> size. ``tiny`` alone is ``tiny:s``: about 2 M parameters, learns the phantom in minutes on two cores."""


def size_of(model: str) -> Size:
    """``tiny`` or ``tiny:m`` -> its size. Raises UsageError for anything else."""
    family, _, name = model.partition(":")
    if family != "tiny" or (name or "s") not in SIZES:
        raise UsageError(f"--model {model}: expected tiny or one of {', '.join(f'tiny:{size}' for size in SIZES)}")
    return SIZES[name or "s"]


def build(size: Size, tokenizer: Any) -> Any:
    """A random `LlavaForConditionalGeneration` for a tokenizer of `train_tokenizer`."""
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

    from rrg.prompt import BEGIN, END, IMAGE, PAD

    begin, end, pad, image = tokenizer.convert_tokens_to_ids([BEGIN, END, PAD, IMAGE])
    vision = SiglipVisionConfig(
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.tower_blocks + 1,
        num_attention_heads=size.heads,
        image_size=size.side,
        patch_size=size.patch,
        hidden_act="gelu_pytorch_tanh",
        vision_use_head=False,
    )
    text = LlamaConfig(
        hidden_size=size.width,
        intermediate_size=5 * size.width // 2,
        num_hidden_layers=size.text_blocks,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        vocab_size=len(tokenizer),
        max_position_embeddings=size.context,
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=pad,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image,
        projector_hidden_act="gelu_pytorch_tanh",
        vision_feature_layer=-2,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    model: Any = LlavaForConditionalGeneration(config)
    return model.float()


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """(n, side, side, 3) uint8 -> (n, 3, side, side) float in [-1, 1], as llama.cpp does with mean = std = 0.5."""
    return pictures.permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.5)


def tower_features(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """(n, 3, side, side) -> (n, patches, width): the last block's input, what the projector sees."""
    hidden = tower.embeddings(pixels)
    for block in tower.encoder.layers[:-1]:
        hidden = block(hidden, attention_mask=None)
    return hidden  # type: ignore[no-any-return]


def order_embedding(bins: int, width: int, scale: float) -> torch.Tensor:
    """(bins, width) start values for box tokens: neighbouring bins are alike, so that order need not be learnt."""
    place = torch.linspace(0, 1, bins)[:, None]
    rate = torch.exp(torch.linspace(math.log(0.5), math.log(bins / 4), width // 2))[None]
    waves = torch.cat([torch.sin(math.pi * place * rate), torch.cos(math.pi * place * rate)], 1)
    return waves * scale


@torch.no_grad()
def order_box_tokens(model: Any, boxes: range) -> None:
    """Give the box tokens' embeddings and output rows their order, at the size of the other start values."""
    if boxes:
        table, head = model.get_input_embeddings().weight, model.lm_head.weight
        waves = order_embedding(len(boxes), table.shape[1], 1.4 * model.config.text_config.initializer_range)
        table[boxes.start : boxes.stop] = waves
        head[boxes.start : boxes.stop] = waves
