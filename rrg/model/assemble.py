"""A LLaVA put together from a language model and a vision tower on disk, with a new projector between them.

The parts keep their weights to the bit. The chat template is that of the language model; pictures become image tokens.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rrg.errors import UsageError
from rrg.model.assemble_parts import PREFIX_TOKENS, language_model, vision_tower
from rrg.model.load import quiet_transformers
from rrg.pipe import talk
from rrg.prompt import IMAGE

FORM = "llava:llm=FOLDER_OR_GGUF,vision=FOLDER[,grid=N]"
FLATTEN = (
    "{%- set date_string = '01 Jan 2024' -%}{%- set flat = namespace(messages=[]) -%}"
    "{%- for message in messages -%}{%- set whole = namespace(text='') -%}"
    "{%- if message.content is string -%}{%- set whole.text = message.content -%}"
    "{%- else -%}{%- for part in message.content -%}{%- set whole.text = whole.text + "
    "('" + IMAGE + "' if part.type == 'image' else part.text) -%}{%- endfor -%}{%- endif -%}"
    "{%- set flat.messages = flat.messages + [{'role': message.role, 'content': whole.text}] -%}{%- endfor -%}"
    "{%- set messages = flat.messages -%}"
)
"""Stands before the template of a language model, which knows text only: a turn's parts become one text.

Templates that tell the date get the same one always: training and answers must see the same prompt.
"""
PLAIN = (
    "{% for message in messages %}{{ message.role.upper() + ': ' + message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
"""For a language model without a chat template."""


@dataclass(frozen=True)
class Spec:
    """What to put together."""

    llm: Path
    vision: Path
    grid: int | None = None
    """Tokens of a side of a picture, for towers whose map can be pooled; None: all of the map."""


def is_spec(model: str) -> bool:
    """Whether ``--model`` asks for a model to be put together."""
    return model.startswith("llava:")


def parse_spec(model: str) -> Spec:
    """``llava:llm=FOLDER_OR_GGUF,vision=FOLDER,grid=N`` -> its parts. UsageError for anything else."""
    found = re.split(r"(?:^|,)(llm|vision|grid)=", model.removeprefix("llava:"))
    parts = dict(zip(found[1::2], found[2::2], strict=True))
    grid = parts.pop("grid", None)
    if not is_spec(model) or found[0] or parts.keys() != {"llm", "vision"} or len(found) // 2 != len(set(found[1::2])):
        raise UsageError(f"--model {model}: expected {FORM}")
    for name, value in parts.items():
        if not Path(value).exists() or not value:
            raise UsageError(f"--model {model}: {name}={value}: nothing there; expected {FORM}")
    if grid is not None and not (grid.isdecimal() and int(grid)):
        raise UsageError(f"--model {model}: grid={grid}: expected a number of tokens")
    return Spec(Path(parts["llm"]), Path(parts["vision"]), int(grid) if grid else None)


@contextlib.contextmanager
def model_folder(model: str, out: Path, seed: int) -> Iterator[Path]:
    """The model folder that ``--model`` means; of a spec it lies beside `out` for as long as it is trained."""
    if not is_spec(model):
        yield Path(model)
        return
    spec = parse_spec(model)
    quiet_transformers()
    folder = out.with_name(f".{out.name}.base{os.environ.get('RANK', '')}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        assemble(spec, folder, seed)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def assemble(spec: Spec, folder: Path, seed: int = 0) -> None:
    """Write the model folder of a LLaVA: the same parts and seed give the same files.

    The projector (two layers, GELU in its tanh form as llama.cpp computes it) is new and random. The tower is read
    before its last block, as LLaVA does, a timm network at its output. Raises UsageError for parts that do not fit.
    """
    import transformers
    from transformers import LlavaConfig, LlavaForConditionalGeneration
    from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

    auto: Any = transformers

    text, tokenizer = language_model(spec.llm)
    tower, images = vision_tower(spec.vision, spec.grid)
    talk("train", f"llava of {spec.llm.name} and {spec.vision.name}")
    add_image_token(text, tokenizer)
    extra = PREFIX_TOKENS[tower.config.model_type]
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=text.config,
        image_token_index=int(tokenizer.convert_tokens_to_ids(IMAGE)),
        projector_hidden_act="gelu_pytorch_tanh",
        vision_feature_layer=-2,
        vision_feature_select_strategy="default" if extra else "full",
        tie_word_embeddings=bool(text.config.tie_word_embeddings),
    )
    with torch.device("meta"):
        whole: Any = LlavaForConditionalGeneration(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole.model.multi_modal_projector = LlavaMultiModalProjector(config)
    whole.model.vision_tower, whole.model.language_model = tower, text.model
    whole.lm_head = text.lm_head
    ends = text.generation_config
    whole.generation_config = auto.GenerationConfig(
        bos_token_id=ends.bos_token_id,
        eos_token_id=ends.eos_token_id or tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    side = tower.config.image_size
    processor = auto.LlavaProcessor(
        images,
        tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=extra,
        chat_template=FLATTEN + (tokenizer.chat_template or PLAIN),
    )
    folder.mkdir(parents=True)
    whole.save_pretrained(folder)
    processor.save_pretrained(folder)
    patches = (side // tower.config.patch_size) ** 2
    talk(
        "train", f"{text.config.model_type} and {tower.config.model_type}, {patches} tokens a picture of {side} pixels"
    )


@torch.no_grad()
def add_image_token(text: Any, tokenizer: Any) -> None:
    """The token that pictures stand for, and padding where the tokenizer has none. Rows of other tokens stay."""
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(IMAGE, special=True, normalized=False)])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    rows = text.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        text.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for table in {text.get_input_embeddings(), text.get_output_embeddings()}:
            table.weight[rows:] = table.weight[:rows].float().mean(0)
