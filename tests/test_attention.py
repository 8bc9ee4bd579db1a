"""Attention by plain products beside that of transformers: values, gradients, masks."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rrg.model.attention import products

N, HEADS, LENGTH, WIDTH = 3, 2, 17, 8


def inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(N, HEADS, LENGTH, WIDTH, generator=generator, requires_grad=True) for _ in range(3)]


def mask(seed: int = 2) -> Tensor:
    """Every token sees itself and some of those before it."""
    some = torch.rand(N, 1, LENGTH, LENGTH, generator=torch.Generator().manual_seed(seed)) > 0.5
    return (some & torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()) | torch.eye(LENGTH, dtype=torch.bool)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("seen", [None, mask()])
def test_values_and_gradients_are_those_of_the_fused_kernel(causal: bool, seen: Tensor | None) -> None:
    module = SimpleNamespace(is_causal=causal, num_key_value_groups=1)
    found = []
    for each in (products, sdpa_attention_forward):
        given = inputs()
        out, _ = each(module, *given, seen, scaling=WIDTH**-0.5)
        (out * torch.arange(out.numel()).view(out.shape)).sum().backward()
        found.append((out, *(one.grad for one in given)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.detach().abs().max().item())


def test_what_is_not_seen_changes_nothing_and_what_is_seen_does() -> None:
    module, seen = SimpleNamespace(is_causal=True), mask()
    query, key, value = inputs()
    plain, _ = products(module, query, key, value, seen, scaling=1.0)
    hidden = ~seen[0, 0, 9]
    moved = value + torch.where(hidden, 100.0, 0.0)[None, None, :, None]
    assert torch.equal(products(module, query, key, moved, seen, scaling=1.0)[0][0, 9], plain[0, 9])
    other, _ = products(module, query, key, value, mask(3), scaling=1.0)
    assert not torch.allclose(other, plain)
