"""What train chooses where its options say nothing."""

import pytest
import torch

from rrg.train_options import best_precision


@pytest.mark.parametrize(
    ("has", "chosen"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel(R) Xeon(R) Processor"}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel(R) Xeon(R) Processor"}, "f32"),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC"}, "bf16"),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC"}, "f32"),
        ({}, "f32"),
    ],
)
def test_bf16_only_where_it_is_faster(has: dict[str, object], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert best_precision() == chosen
