"""Attention by plain products beside that of transformers: values, gradients, masks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from transformers.integrations import sdpa_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from rrg.boxes import LOC64
from rrg.model import tiny
from rrg.model.attention import LONGEST, NAME, products, use_products
from rrg.model.tokenizer import train_tokenizer

N, HEADS, LENGTH, WIDTH = 3, 2, 17, 8


def inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(N, HEADS, LENGTH, WIDTH, generator=generator, requires_grad=True) for _ in range(3)]


def mask(seed: int = 2) -> Tensor:
    """Every token sees itself and some of those before it."""
    some = torch.rand(N, 1, LENGTH, LENGTH, generator=torch.Generator().manual_seed(seed)) > 0.5
    return (some & torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()) | torch.eye(LENGTH, dtype=torch.bool)


@pytest.mark.parametrize(("causal", "seen"), [(False, None), (False, mask()), (True, mask())])
@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_values_and_gradients_are_those_of_the_fused_kernel(
    causal: bool, seen: Tensor | None, dtype: torch.dtype, apart: float
) -> None:
    """The kernel's are of f32 always; in bf16 the products, their softmax too, are rounded."""
    module = SimpleNamespace(is_causal=causal, num_key_value_groups=1)
    found = []
    for each, kind in ((products, dtype), (sdpa_attention_forward, torch.float32)):
        given = inputs()
        out, _ = each(module, *(one.to(kind) for one in given), seen, scaling=WIDTH**-0.5)
        (out.float() * torch.arange(out.numel()).view(out.shape)).sum().backward()
        found.append((out.float(), *(one.grad for one in given)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=apart, atol=apart * theirs.detach().abs().max().item())


@pytest.mark.parametrize("length", [LENGTH, LONGEST + 1])
def test_long_sequences_and_dropout_are_left_to_the_fused_kernel(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(sdpa_attention, "sdpa_attention_forward", lambda *words, **_: asked.append(words))
    given = torch.zeros(1, HEADS, length, WIDTH)
    seen = torch.ones(1, 1, length, length, dtype=torch.bool)
    products(SimpleNamespace(is_causal=True), given, given, given, seen, 1.0)
    assert len(asked) == (length > LONGEST)
    products(SimpleNamespace(is_causal=True), given, given, given, seen, 1.0, dropout=0.1)
    products(SimpleNamespace(is_causal=True), given, given[:, :1], given[:, :1], seen, 1.0)
    products(SimpleNamespace(is_causal=True), given, given, given, None, 1.0)
    assert len(asked) == 3 + (length > LONGEST)


def test_a_model_computes_so_and_its_folder_does_not_say_so(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["Where is the liver?"] * 3, LOC64, 400)
    model = tiny.build(tiny.SIZES["test"], tokenizer).eval()
    tokens = torch.arange(40).view(2, 20)
    padded = torch.ones(2, 20, dtype=torch.long)
    padded[1, :7] = 0
    plain = model.model.language_model(tokens, attention_mask=padded).last_hidden_state[1, 7:]
    use_products(model.model.language_model)
    assert model.model.language_model.config._attn_implementation == NAME
    torch.testing.assert_close(
        model.model.language_model(tokens, attention_mask=padded).last_hidden_state[1, 7:], plain, rtol=1e-4, atol=1e-5
    )
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()


def test_what_is_not_seen_changes_nothing_and_what_is_seen_does() -> None:
    module, seen = SimpleNamespace(is_causal=True), mask()
    query, key, value = inputs()
    plain, _ = products(module, query, key, value, seen, scaling=1.0)
    hidden = ~seen[0, 0, 9]
    moved = value + torch.where(hidden, 100.0, 0.0)[None, None, :, None]
    assert torch.equal(products(module, query, key, moved, seen, scaling=1.0)[0][0, 9], plain[0, 9])
    other, _ = products(module, query, key, value, mask(3), scaling=1.0)
    assert not torch.allclose(other, plain)
