"""What differs between the families of image-text-to-text models. All else is `rrg.model.family`, one code for all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rrg.boxes import Dialect

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
LINEAR = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
"""Linear layers of a block of all their language models, for LoRA."""
OWN_TOWER = "rrg_timm"
"""``model_type`` of towers of `rrg.model.timm_tower`, which transformers does not know by itself."""
EXPORTABLE = "tiny"
"""The family whose GGUF is proved against torch at every export."""


class Parts(NamedTuple):
    """Prefixes of parameter names of transformers' classes."""

    tower: tuple[str, ...]
    projector: tuple[str, ...]
    text: tuple[str, ...]
    """The language model; its output layer is `lm_head` where it is not tied."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family."""

    title: str
    parts: Parts
    side: Callable[[Any], int]
    """Side in pixels of the pictures to make for an image processor, so that its own resize does nothing."""
    dialect: Callable[[int], Dialect] = lambda side: Dialect("loc", 512)
    """Side -> how boxes are written unless the user says otherwise."""
    tower: str = ""
    """Module whose output is the features of a picture; empty where the projector is a part of the tower."""
    layers: Callable[[Any], tuple[int, ...]] = lambda config: ()
    """Config -> hidden states of the tower that are read; none: its last."""
    several_images: bool = True
    prefix: bool = False
    """The whole prompt is read both ways (token_type_ids 0), the answer causally (1); one turn, no chat template."""


def _height(processor: Any) -> int:
    crop = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None
    size = crop or processor.size
    return int(getattr(size, "height", None) or getattr(size, "shortest_edge", None) or size["height"])


def _one_tile(processor: Any) -> int:
    """No splitting: tiles have another frame than the slice, and boxes refer to the slice."""
    side = int(processor.max_image_size["longest_edge"])
    processor.do_image_splitting = False
    processor.size = {"longest_edge": side}
    return side


def _no_pan(processor: Any) -> int:
    """No pan and scan: its crops have another frame than the slice."""
    processor.do_pan_and_scan = False
    return _height(processor)


def _read_layers(config: Any) -> tuple[int, ...]:
    """LLaVA's own choice of hidden states, as numbers from 0."""
    chosen = config.vision_feature_layer
    depth = config.vision_config.num_hidden_layers + 1
    return tuple(layer % depth for layer in (chosen if isinstance(chosen, list | tuple) else [chosen]))


def _multiple(processor: Any) -> int:
    """About 448 pixels, 256 tokens of 28 pixels or 196 of 32, as far as the processor's limits go."""
    factor = processor.patch_size * processor.merge_size
    low, high = processor.size["shortest_edge"] ** 0.5, processor.size["longest_edge"] ** 0.5
    return int(min(max(448, low), high) // factor * factor) if low <= 448 else int(-(-low // factor) * factor)


_QWEN = Parts(
    ("model.visual.",), ("model.visual.merger.", "model.visual.deepstack_merger_list."), ("model.language_model.",)
)
_LLAVA = Parts(("model.vision_tower.",), ("model.multi_modal_projector.",), ("model.language_model.",))
_IDEFICS = Parts(("model.vision_model.",), ("model.connector.",), ("model.text_model.",))
FAMILIES = {
    "paligemma": Family(
        title="PaliGemma and PaliGemma 2",
        parts=_LLAVA,
        side=_height,
        tower="model.vision_tower",
        dialect=lambda side: Dialect("paligemma", 1024),
        several_images=False,
        prefix=True,
    ),
    "llava": Family(title="LLaVA 1.5", parts=_LLAVA, side=_height, tower="model.vision_tower", layers=_read_layers),
    "idefics3": Family(title="Idefics3", parts=_IDEFICS, side=_one_tile, tower="model.vision_model"),
    "smolvlm": Family(title="SmolVLM", parts=_IDEFICS, side=_one_tile, tower="model.vision_model"),
    "gemma3": Family(title="Gemma 3 and MedGemma", parts=_LLAVA, side=_no_pan, tower="model.vision_tower"),
    "qwen2_5_vl": Family(
        title="Qwen2.5-VL", parts=_QWEN, side=_multiple, dialect=lambda side: Dialect("qwen2.5-vl", side)
    ),
    "qwen3_vl": Family(title="Qwen3-VL", parts=_QWEN, side=_multiple, dialect=lambda side: Dialect("qwen3-vl", 1000)),
}
"""``model_type`` of a folder's config.json -> family."""


def part_of(family: Family, name: str) -> str:
    """``tower``, ``projector`` or ``text``: the part that a parameter belongs to. The output layer is text."""
    name = name.removeprefix("base_model.model.")
    if name.startswith(family.parts.projector):
        return "projector"
    return "tower" if name.startswith(family.parts.tower) else "text"


TRAINED = {"siglip": ("tower",), "align": ("projector",), "sft": ("projector", "text")}
"""Stage -> the parts it trains. Beside it all else stays as it is."""
