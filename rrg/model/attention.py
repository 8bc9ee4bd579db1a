"""Attention by plain products, for the many short sequences of a tiny model in bf16 on a CPU."""

from typing import Any

import torch
from torch import Tensor

NAME = "rrg_products"
"""What transformers knows it by."""
LONGEST = 512
"""Tokens."""


def products(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[Tensor, None]:
    """(n, heads, length, width) query, key, value -> (n, length, heads, width), as `sdpa_attention_forward` of
    transformers, which is called where there is no mask but that of time, for groups of heads with one key, for
    dropout, and for sequences over `LONGEST`, as the memory of products grows with the square of the length.

    `attention_mask` (n, 1, length, length) is True where a token is seen. In bf16 the gradient of the fused kernel is
    slow for short sequences: with 16 x 4 heads of 224 x 32, forward and back take 40 ms, these products 15 ms, on one
    core of an Intel Xeon with tiles; in f32 the kernel is the faster one, 19 ms to 33 ms (torch 2.14.1).
    """
    n, heads, length, width = query.shape
    unmasked = attention_mask is None and module.is_causal
    if unmasked or dropout or key.shape[1] != heads or key.shape[2] > LONGEST:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **more)
    scores = (query.reshape(n * heads, length, width) * scaling) @ key.reshape(n * heads, -1, width).mT
    scores = scores.view(n, heads, length, -1)
    if attention_mask is not None:
        low = torch.finfo(scores.dtype).min / 2  # a token of padding that sees nothing makes no NaN
        unseen = torch.zeros_like(attention_mask, dtype=scores.dtype).masked_fill_(~attention_mask, low)
        scores = scores + unseen
    return (torch.softmax(scores, -1) @ value).transpose(1, 2), None


def use_products(part: Any) -> None:
    """Let a tower or language model of transformers compute its attention so; what it saves does not change."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, products)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    part.config._attn_implementation = NAME
