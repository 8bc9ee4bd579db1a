"""A LLaVA with a SigLIP tower and a Llama or Qwen2 as two GGUF files that llama.cpp reads: language model, and mmproj.

Written with the published ``gguf`` package alone. Architectures ``llama`` or ``qwen2``, and ``clip`` with projector
``mlp``, which runs all blocks of the tower but the last (as ``vision_feature_layer=-2``) and no final norm.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError

Exact = Literal["f16", "f32"]
State = Mapping[str, Any]
"""Parameter name -> tensor."""

TEXT = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
TOWER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
"""Names of transformers -> names of llama.cpp, inside a block."""
TEXTS = ("llama", "qwen2")
"""Architectures of language models that are written here, under the same names in both worlds."""
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen 2 and Llama 3 cut text; they differ in how many digits stay together."""
PROJECTOR = {"linear_1": "mm.0", "linear_2": "mm.2"}
MEAN = STD = (0.5, 0.5, 0.5)
"""Normalisation of pictures, as in `rrg.model.tiny.normalised`."""


def check_exportable(config: Any) -> None:
    """Raise RrgError(E_CONVERT) for a model that llama.cpp would run differently from torch."""
    if config.model_type != "llava":
        raise RrgError(
            f"can not be exported to GGUF: family {config.model_type}; expected llava; use --to merged", "E_CONVERT"
        )
    tower, text = config.vision_config, config.text_config
    if tower.model_type != "siglip_vision_model":
        raise RrgError(
            f"can not be exported to GGUF: tower {tower.model_type} (a class token would shift all patches, maps of "
            "convolutions are unknown to it); expected siglip_vision_model; use --to merged",
            "E_CONVERT",
        )
    wrong = [
        (text.model_type not in TEXTS, f"language model {text.model_type}", " or ".join(TEXTS)),
        (config.vision_feature_layer != -2, f"vision_feature_layer {config.vision_feature_layer}", "-2"),
        (
            config.vision_feature_select_strategy != "full",
            f"vision_feature_select_strategy {config.vision_feature_select_strategy}",
            "full",
        ),
        (
            {tower.hidden_act, config.projector_hidden_act} != {"gelu_pytorch_tanh"},
            f"activations {tower.hidden_act}, {config.projector_hidden_act}",
            "gelu_pytorch_tanh",
        ),
        (
            tower.hidden_size == tower.intermediate_size,
            "a tower with equal hidden and intermediate size (its projections would be swapped)",
            "different sizes",
        ),
    ]
    for bad, seen, expected in wrong:
        if bad:
            raise RrgError(f"can not be exported to GGUF: {seen}; expected {expected}; use --to merged", "E_CONVERT")


def write_text(
    state: State,
    config: Any,
    tokenizer_folder: Path,
    path: Path,
    name: str,
    precision: Exact,
    *,
    begins: bool = True,
) -> None:
    """Write the language model. `state` is that of the whole LLaVA, `config` its text config.

    `begins`: every prompt starts with the begin token, which llama.cpp then puts before it.
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), config.model_type)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    kinds = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16}
    writer.add_file_type(kinds[precision])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, tokenizer_folder, config)
    writer.add_add_bos_token(begins)
    prefix = _before(state, "embed_tokens.weight")

    def add(name: str, tensor: Any) -> None:
        writer.add_tensor(name, _array(tensor, precision if tensor.ndim > 1 else "f32"))

    add("token_embd.weight", state[prefix + "embed_tokens.weight"])
    add("output_norm.weight", state[prefix + "norm.weight"])
    if not config.tie_word_embeddings:
        add("output.weight", state[_before(state, "lm_head.weight") + "lm_head.weight"])
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    heads = heads if config.model_type == "llama" else {}  # qwen2 is read as transformers has it
    for block in range(config.num_hidden_layers):
        for ours, theirs in TEXT.items():
            for part in ("weight", "bias"):
                tensor = state.get(f"{prefix}layers.{block}.{ours}.{part}")
                if tensor is not None:
                    moved = rotary_order(tensor, heads[theirs]) if theirs in heads else tensor
                    add(f"blk.{block}.{theirs}.{part}", moved)
    _finish(writer)


def write_mmproj(
    state: State,
    config: Any,
    text_width: int,
    path: Path,
    precision: Exact,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> None:
    """Write tower and projector. `state` is that of the whole LLaVA, `config` its vision config.

    `mean`, `std`: of the channels of pictures in 0..1.
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), "clip")
    writer.add_type("mmproj")
    writer.add_file_type(1 if precision == "f16" else 0)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    for key, value in {
        "projection_dim": text_width,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "block_count": config.num_hidden_layers,
        "attention.head_count": config.num_attention_heads,
    }.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", config.layer_norm_eps)
    writer.add_array("clip.vision.image_mean", list(mean))
    writer.add_array("clip.vision.image_std", list(std))
    prefix = _before(state, "embeddings.patch_embedding.weight")
    projector = _before(state, "linear_1.weight")

    def add(name: str, tensor: Any) -> None:
        writer.add_tensor(name, _array(tensor, precision if tensor.ndim > 1 and "position" not in name else "f32"))

    for part in ("weight", "bias"):
        add(f"v.patch_embd.{part}", state[f"{prefix}embeddings.patch_embedding.{part}"])
        for block in range(config.num_hidden_layers):
            for ours, theirs in TOWER.items():
                add(f"v.blk.{block}.{theirs}.{part}", state[f"{prefix}encoder.layers.{block}.{ours}.{part}"])
        for ours, theirs in PROJECTOR.items():
            add(f"{theirs}.{part}", state[f"{projector}{ours}.{part}"])
    add("v.position_embd.weight", state[f"{prefix}embeddings.position_embedding.weight"])
    _finish(writer)


def rotary_order(weight: Any, heads: int) -> Any:
    """Rows of q or k from the half-split rotary layout of transformers to the interleaved one of ``llama``."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def pre_tokenizer(saved: Mapping[str, Any]) -> str:
    """llama.cpp's name for how a ``tokenizer.json`` cuts text before BPE. RrgError(E_CONVERT) for unknown ways."""
    found = saved.get("pre_tokenizer") or {}
    steps = found.get("pretokenizers", [found])
    kinds = tuple(step.get("type") for step in steps)
    if kinds == ("ByteLevel",) and not steps[0]["add_prefix_space"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ("Digits", "ByteLevel") and steps[0]["individual_digits"] and steps[1].get("use_regex", True):
        return "smollm"
    if kinds == ("Split", "ByteLevel") and not steps[1].get("use_regex", True):
        pattern = str(steps[0]["pattern"].get("Regex", ""))
        for digits, name in ((r"|\p{N}|", "qwen2"), (r"|\p{N}{1,3}|", "llama-bpe")):
            if pattern == SPLIT.replace("|DIGITS|", digits):
                return name
    raise RrgError(
        f"can not be exported to GGUF: the tokenizer cuts text by {', '.join(map(str, kinds))}; expected the way of "
        "GPT-2, SmolLM, Qwen 2 or Llama 3; use --to merged",
        "E_CONVERT",
    )


def _add_tokenizer(writer: Any, folder: Path, config: Any) -> None:
    """Byte-level BPE of ``tokenizer.json``: special tokens are CONTROL, other added tokens USER_DEFINED."""
    import gguf

    saved = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    words = {number: word for word, number in saved["model"]["vocab"].items()}
    added = {token["id"]: token for token in saved["added_tokens"]}
    tokens, types = [], []
    for number in range(config.vocab_size):
        if number in added:
            tokens.append(added[number]["content"])
            types.append(gguf.TokenType.CONTROL if added[number]["special"] else gguf.TokenType.USER_DEFINED)
        elif number in words:
            tokens.append(words[number])
            types.append(gguf.TokenType.NORMAL)
        else:
            tokens.append(f"[unused{number}]")
            types.append(gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(saved))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in saved["model"]["merges"]])
    for add, number in (
        (writer.add_bos_token_id, config.bos_token_id),
        (writer.add_eos_token_id, config.eos_token_id),
        (writer.add_pad_token_id, config.pad_token_id),
    ):
        if number is not None:
            add(number[0] if isinstance(number, list) else number)
    if (template := folder / "chat_template.jinja").is_file():
        writer.add_chat_template(template.read_text(encoding="utf-8"))


def _before(state: State, tail: str) -> str:
    """What stands before `tail` in the one name that ends with it."""
    found = [name for name in state if name.endswith(tail)]
    if len(found) != 1:
        raise RrgError(f"weights: {len(found)} tensors end with {tail}; expected one", "E_CONVERT")
    return found[0][: -len(tail)]


def _array(tensor: Any, precision: Exact) -> NDArray[Any]:
    values = tensor.detach().float().numpy()
    return np.ascontiguousarray(values.astype(np.float16) if precision == "f16" else values)


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
