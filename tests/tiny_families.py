"""Model folders of every family, tiny and random, with processor, tokenizer and chat template: made here, no hub."""

from pathlib import Path
from typing import Any

import torch
import transformers as t
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

WIDTH = 32
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'image' %}IMAGE"
    "{% else %}{{ p.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% for p in m.content %}{% if p.type == 'image' %}<start_of_image>{% else %}{{ p.text }}{% endif %}{% endfor %}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAVA = (
    "{% for m in messages %}{{ m.role.upper() + ': ' }}{% for p in m.content %}{% if p.type == 'image' %}<image>\n"
    "{% else %}{{ p.text }} {% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
SMOL = (
    "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}:{% for p in m.content %}{% if p.type == 'image' %}"
    "<image>{% else %} {{ p.text }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def tokenizer_of(special: list[str], eos: str, **named: str) -> Any:
    """A byte-level BPE with the special tokens of a family."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokens = list(dict.fromkeys(["<pad>", "<bos>", eos, *special, *named.values()]))
    trainer = trainers.BpeTrainer(
        vocab_size=300 + len(tokens), special_tokens=tokens, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    bpe.train_from_iterator(["Wo ist die Leber? Where is the liver?"], trainer)
    return t.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<bos>", eos_token=eos, pad_token="<pad>",
        additional_special_tokens=special, extra_special_tokens=named or None, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def text_sizes(tokenizer: Any) -> dict[str, Any]:
    """Sizes that all text configs share."""
    return {
        "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": len(tokenizer), "head_dim": 8, "max_position_embeddings": 1024,
        "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip


def siglip(side: int) -> dict[str, Any]:
    """Sizes of a SigLIP tower."""
    return {
        "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": side, "patch_size": 14, "vision_use_head": False,
    }  # fmt: skip


def paligemma() -> tuple[Any, Any]:
    tok = tokenizer_of([], "<eos>", image_token="<image>")
    image = t.SiglipImageProcessor(size={"height": 56, "width": 56}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    image.image_seq_length = 16
    processor = t.PaliGemmaProcessor(image, tok)  # adds its location and segment tokens
    config = t.PaliGemmaConfig(
        text_config={"model_type": "gemma2", "sliding_window": 64, "query_pre_attn_scalar": 8, **text_sizes(tok)},
        vision_config={"model_type": "siglip_vision_model", "projection_dim": WIDTH, **siglip(56)},
        image_token_index=tok.convert_tokens_to_ids("<image>"), projection_dim=WIDTH, hidden_size=WIDTH,
    )  # fmt: skip
    return t.PaliGemmaForConditionalGeneration(config), processor


def llava() -> tuple[Any, Any]:
    tok = tokenizer_of([], "</s>", image_token="<image>")
    image = t.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    vision = {k: v for k, v in siglip(56).items() if k != "vision_use_head"}
    config = t.LlavaConfig(
        text_config={"model_type": "llama", **text_sizes(tok)},
        vision_config={"model_type": "clip_vision_model", **vision},
        image_token_index=tok.convert_tokens_to_ids("<image>"),
    )
    processor = t.LlavaProcessor(
        image, tok, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=LLAVA,
    )  # fmt: skip
    return t.LlavaForConditionalGeneration(config), processor


def _smol(config_class: Any, model_class: Any, processor: Any, tok: Any) -> tuple[Any, Any]:
    vision = {k: v for k, v in siglip(56).items() if k != "vision_use_head"}
    config = config_class(
        text_config={"model_type": "llama", **text_sizes(tok)},
        vision_config=vision, scale_factor=2, image_token_id=tok.convert_tokens_to_ids("<image>"),
        pad_token_id=tok.pad_token_id,
    )  # fmt: skip
    return model_class(config), processor


SMOL_TOKENS = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<|im_start|>"]


def idefics3() -> tuple[Any, Any]:
    tok = tokenizer_of(SMOL_TOKENS, "<end_of_utterance>")
    image = t.Idefics3ImageProcessor(size={"longest_edge": 224}, max_image_size={"longest_edge": 56})
    processor = t.Idefics3Processor(image, tok, image_seq_len=4, chat_template=SMOL)
    return _smol(t.Idefics3Config, t.Idefics3ForConditionalGeneration, processor, tok)


def smolvlm() -> tuple[Any, Any]:
    tok = tokenizer_of(SMOL_TOKENS, "<end_of_utterance>")
    image = t.SmolVLMImageProcessor(size={"longest_edge": 224}, max_image_size={"longest_edge": 56})
    processor = t.SmolVLMProcessor(image, tok, SmolVLMVideoProcessor(), image_seq_len=4, chat_template=SMOL)
    return _smol(t.SmolVLMConfig, t.SmolVLMForConditionalGeneration, processor, tok)


def gemma3() -> tuple[Any, Any]:
    tok = tokenizer_of(
        ["<start_of_turn>", "<end_of_turn>"], "<eos>", image_token="<image_soft_token>",
        boi_token="<start_of_image>", eoi_token="<end_of_image>",
    )  # fmt: skip
    image = t.Gemma3ImageProcessor(size={"height": 56, "width": 56}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    ids = [tok.convert_tokens_to_ids(each) for each in ("<image_soft_token>", "<start_of_image>", "<end_of_image>")]
    config = t.Gemma3Config(
        text_config={"sliding_window": 64, "query_pre_attn_scalar": 8, **text_sizes(tok)},
        vision_config={"model_type": "siglip_vision_model", **siglip(56)},
        mm_tokens_per_image=4, image_token_index=ids[0], boi_token_index=ids[1], eoi_token_index=ids[2],
    )  # fmt: skip
    return t.Gemma3ForConditionalGeneration(config), t.Gemma3Processor(
        image, tok, chat_template=GEMMA, image_seq_length=4
    )


QWEN_TOKENS = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def _qwen_ids(tok: Any) -> dict[str, int]:
    names = ("vision_start", "vision_end", "image_pad", "video_pad")
    start, end, image, video = (tok.convert_tokens_to_ids(f"<|{name}|>") for name in names)
    return {
        "vision_start_token_id": start,
        "vision_end_token_id": end,
        "image_token_id": image,
        "video_token_id": video,
    }


QWEN_CHAT = CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")


def qwen2_5_vl() -> tuple[Any, Any]:
    tok = tokenizer_of(QWEN_TOKENS, "<|im_end|>")
    image = t.Qwen2VLImageProcessor(patch_size=14, merge_size=2, min_pixels=28 * 28, max_pixels=56 * 56)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = t.Qwen2_5_VLConfig(
        text_config={**text_sizes(tok), "rope_parameters": rope},
        vision_config={"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 40, "out_hidden_size": WIDTH,
                       "patch_size": 14, "spatial_merge_size": 2, "fullatt_block_indexes": [1], "window_size": 56},
        **_qwen_ids(tok), tie_word_embeddings=True,
    )  # fmt: skip
    processor = t.Qwen2_5_VLProcessor(image, tok, Qwen2VLVideoProcessor(), chat_template=QWEN_CHAT)
    return t.Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl() -> tuple[Any, Any]:
    tok = tokenizer_of(QWEN_TOKENS, "<|im_end|>")
    image = t.Qwen2VLImageProcessor(patch_size=16, merge_size=2, min_pixels=32 * 32, max_pixels=64 * 64)
    config = t.Qwen3VLConfig(
        text_config={**text_sizes(tok), "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1],
                                                            "mrope_interleaved": True, "rope_theta": 1e4}},
        vision_config={"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 40, "out_hidden_size": WIDTH,
                       "patch_size": 16, "spatial_merge_size": 2, "deepstack_visual_indexes": [0],
                       "num_position_embeddings": 16},
        **_qwen_ids(tok), tie_word_embeddings=True,
    )  # fmt: skip
    processor = t.Qwen3VLProcessor(image, tok, Qwen3VLVideoProcessor(), chat_template=QWEN_CHAT)
    return t.Qwen3VLForConditionalGeneration(config), processor


MAKERS = {f.__name__: f for f in (paligemma, llava, idefics3, smolvlm, gemma3, qwen2_5_vl, qwen3_vl)}


def make(name: str, folder: Path) -> Path:
    """Write the folder of a tiny model with random weights of unlike size, so that answers hang on the picture."""
    torch.manual_seed(0)
    model, processor = MAKERS[name]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, weight[0].numel() ** -0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
