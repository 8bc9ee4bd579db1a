"""Language models in fewer bits: GGUF files quantised by llama.cpp itself, and what that did to their tensors."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from rrg.errors import RrgError

Quantised = Literal["q8_0", "q4_k_m"]
Precision = Literal["f16", "f32", "q8_0", "q4_k_m"]
TYPES = {"q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0", "q4_k_m": "LLAMA_FTYPE_MOSTLY_Q4_K_M"}
"""Ours -> llama.cpp's. Rows that are no multiple of its blocks (32, 256) get a type of more bits by its own rules."""


class Difference(NamedTuple):
    """How far a tensor is from the one of the same name in another file."""

    name: str
    type: str
    relative: float
    """Root of the mean square of the difference, of that of the other tensor."""


def quantise(source: Path, target: Path, kind: Quantised) -> None:
    """Write the language model `source` (GGUF, f16 or f32) in fewer bits. RrgError(E_CONVERT) when llama.cpp fails."""
    import llama_cpp

    from rrg.llm_local import quiet_stderr

    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, TYPES[kind])
    options.nthread = 1
    with quiet_stderr():
        failed = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), options)
    if failed or not target.is_file():
        raise RrgError(f"{target.name}: llama.cpp could not quantise the language model; use f16", "E_CONVERT")


def differences(file: Path, other: Path) -> list[Difference]:
    """Of each tensor of `file`, how far it is from that of `other`, the furthest first. Both are GGUF."""
    import gguf
    from gguf.quants import dequantize

    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(other).tensors}
    found = []
    for tensor in gguf.GGUFReader(file).tensors:
        ours = dequantize(tensor.data, tensor.tensor_type).astype(np.float64).ravel()
        wanted = dequantize(theirs[tensor.name].data, theirs[tensor.name].tensor_type).astype(np.float64).ravel()
        error, size = (float(np.sqrt(np.mean(each**2))) for each in (ours - wanted, wanted))
        found.append(Difference(tensor.name, tensor.tensor_type.name, error / (size or 1.0)))
    return sorted(found, key=lambda each: -each.relative)
