"""LoRA adapters as GGUF: the language model of a base stays the file that it is, and a small file says what was learnt.

An adapter of peft holds A (rank x in) and B (out x rank) of each layer; llama.cpp adds alpha / rank times B A.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from rrg.errors import RrgError
from rrg.model.gguf_writer import TEXT, rotary_order
from rrg.provenance import sha256_file

ADAPTER = "lora-f32.gguf"
BASE = "base.json"
"""Beside an adapter: where its base language model lies, and the hash of that file."""
_LAYER = re.compile(r"layers\.(\d+)\.(.+)\.lora_([AB])\.weight\Z")


def write_lora(adapter: Path, config: Any, path: Path, name: str) -> None:
    """Write the adapter folder of peft as GGUF. `config`: of the text model. RrgError(E_CONVERT) for more than LoRA."""
    import gguf
    from safetensors.torch import load_file

    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(path), config.model_type)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(settings["lora_alpha"]))
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    heads = heads if config.model_type == "llama" else {}
    for key, tensor in sorted(load_file(adapter / "adapter_model.safetensors").items()):
        found = _LAYER.search(key)
        theirs = TEXT.get(found[2]) if found else None
        if found is None or theirs is None:
            raise RrgError(
                f"can not be exported as an adapter: it learnt {key}, which no adapter of llama.cpp holds (rows of new "
                "tokens); leave out --base",
                "E_CONVERT",
            )
        moved = rotary_order(tensor, heads[theirs]) if theirs in heads and found[3] == "B" else tensor
        writer.add_tensor(f"blk.{found[1]}.{theirs}.weight.lora_{found[3].lower()}", moved.float().numpy().copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_base(base: Path, folder: Path) -> None:
    """Note in `folder` the base language model `base`, by its way from the folder that `folder` lies in."""
    where = os.path.relpath(base.resolve(), folder.resolve().parent)
    text = json.dumps({"llm": where, "sha256": sha256_file(base)}, indent=1)
    (folder / BASE).write_text(text + "\n", encoding="utf-8")


def base_of(folder: Path) -> Path:
    """The base language model of an adapter's folder. RrgError(E_MODEL) when it is gone or another file."""
    try:
        noted = json.loads((folder / BASE).read_text(encoding="utf-8"))
        path = Path(folder.resolve().parent / str(noted["llm"])).resolve()
        digest = str(noted["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RrgError(f"{folder}/{BASE}: not readable; run rrg export again", "E_MODEL") from None
    if not path.is_file() or sha256_file(path) != digest:
        raise RrgError(
            f"{folder}: its base language model is not at {path}, or another file; put it there, or export again",
            "E_MODEL",
        )
    return path
