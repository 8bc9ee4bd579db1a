"""Two sides that meet: a picture's patches and a snippet's tokens as vectors, and the sigmoid loss between them.

The loss is SigLIP's (Zhai et al. 2023): each pair of a batch is asked by itself whether it belongs together. Both sides
only serve the tower, which they teach; no later stage needs them.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

LONGEST = 64
"""Tokens of a snippet, as SigLIP reads; what stands behind them is cut off."""
BLOCKS, HEADS = 2, 4


class PictureSide(nn.Module):
    """(pictures, patches, tower width) -> (pictures, width), length 1: one probe attends to all patches."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.probe = nn.Parameter(torch.randn(1, 1, features) * features**-0.5)
        self.attention = nn.MultiheadAttention(features, 1, batch_first=True)
        self.out = nn.Linear(features, width)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        seen = self.norm(features.float())
        found, _ = self.attention(self.probe.expand(len(seen), -1, -1), seen, seen, need_weights=False)
        return functional.normalize(self.out(found[:, 0]), dim=-1)


class TextSide(nn.Module):
    """(snippets, length) tokens -> (snippets, width), length 1: the mean over the tokens after two blocks.

    `table` (vocabulary, any width) are the embeddings to start from, those of the language model; they learn if `open`.
    """

    def __init__(self, table: Tensor, width: int, *, open: bool) -> None:
        super().__init__()
        weights = table.detach().float().clone()
        self.embed = nn.Embedding.from_pretrained(weights, freeze=not open)  # type: ignore[no-untyped-call]
        self.scale = 1 / max(float(table.detach().float().std()), 1e-6)
        self.inner = nn.Linear(table.shape[1], width)
        self.place = nn.Parameter(torch.randn(LONGEST, width) * 0.02)
        block = nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, BLOCKS, nn.LayerNorm(width), enable_nested_tensor=False)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """`there` (snippets, length) is False for padding."""
        words = self.inner(self.embed(tokens) * self.scale) + self.place[: tokens.shape[1]]
        read = self.blocks(words, src_key_padding_mask=~there)
        mean = (read * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        return functional.normalize(self.out(mean), dim=-1)


class Contrast(nn.Module):
    """Both sides, with the temperature and bias of the loss."""

    def __init__(self, features: int, table: Tensor, width: int, *, open: bool) -> None:
        super().__init__()
        self.picture, self.text = PictureSide(features, width), TextSide(table, width, open=open)
        self.temperature = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def scores(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """(pictures, texts) logits of belonging together."""
        return pictures @ texts.T * self.temperature.exp() + self.bias


def sigmoid_loss(scores: Tensor, same: Tensor) -> Tensor:
    """Mean over pictures of the summed loss of all pairs. `same` (pictures, texts) is True for those that belong."""
    return -functional.logsigmoid(torch.where(same, scores, -scores)).sum() / len(scores)


class Retrieval(NamedTuple):
    """How well pictures find their own snippets among `snippets` different ones."""

    snippets: int
    order: float
    """How often the own snippet scores above another one; chance is 0.5."""
    first_of_5: float
    """How often the own one is among the five best; chance is 5 / snippets."""


def retrieval(scores: Tensor) -> Retrieval:
    """Of (n, n) scores, the own snippets on the diagonal. Ties count half."""
    own = scores.diagonal()[:, None]
    others = ~torch.eye(len(scores), dtype=torch.bool)
    better = ((own > scores) + 0.5 * (own == scores))[others].float()
    above = ((scores > own) & others).sum(1)
    return Retrieval(len(scores), float(better.mean()), float((above < 5).float().mean()))
