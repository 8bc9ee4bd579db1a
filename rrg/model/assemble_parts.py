"""The parts of an assembled LLaVA: a language model from safetensors or GGUF, and a vision tower."""

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rrg.errors import UsageError
from rrg.model.families import OWN_TOWER
from rrg.model.family import know_tower
from rrg.model.load import MODEL
from rrg.model.settings import FILE, read_settings

TEXTS = ("llama", "qwen2")
"""``model_type`` (in GGUF ``general.architecture``) of language models."""
WHOLE = {"siglip": "siglip_vision_model", "clip": "clip_vision_model"}
"""Folders with a text side, too -> the tower inside."""
LLAVA = "llava"
SPLIT = (
    "Wo ist die Leber? Größe 3,5 x 12 cm, Segment IVa/b, BWK 11.",
    "The 1234567 mm lesion (series 4, image 123) isn't NEW, it'll DON'T.\n\n  Leber\tMilz ...",
)
"""What a tokenizer of a GGUF file is tried with."""
PREFIX_TOKENS = {"siglip_vision_model": 0, "clip_vision_model": 1, "dinov2": 1, "vit": 1, OWN_TOWER: 0}
"""``model_type`` of towers -> tokens before the patches (class token)."""


def safe_config(folder: Path, option: str) -> dict[str, Any]:
    """config.json of a folder. UsageError for a folder that has none, would run its own code, or is pickled."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{option} {folder}: no readable config.json inside; give a folder of weights") from None
    if "auto_map" in config or any(folder.glob("*.py")):
        raise UsageError(f"{option} {folder}: it brings code of its own (trust_remote_code), which is never run")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(f"{option} {folder}: no *.safetensors inside; other weights are not loaded, convert them")
    return config


def is_timm(config: Mapping[str, Any]) -> bool:
    """Whether a folder's config.json is that of a timm network, as the hub keeps them."""
    return "architecture" in config and "pretrained_cfg" in config


def language_model(path: Path) -> tuple[Any, Any]:
    """(causal language model, tokenizer) of a folder, in its own precision, or of a GGUF file, de-quantised to f32."""
    import transformers

    auto: Any = transformers
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if path.is_dir():
        kind = str(safe_config(path, "llm=").get("model_type"))
        source, given["dtype"], given["use_safetensors"] = path, "auto", True
    else:
        kind = gguf_architecture(path)
        source, given["gguf_file"], given["dtype"] = path.parent, path.name, torch.float32
    if kind not in TEXTS:
        raise UsageError(f"llm={path}: a language model of kind {kind}; expected one of {', '.join(TEXTS)}")
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a bar of its own while it reads GGUF
            model = auto.AutoModelForCausalLM.from_pretrained(source, **given)
        given = {name: value for name, value in given.items() if name not in ("dtype", "use_safetensors")}
        tokenizer = auto.AutoTokenizer.from_pretrained(source, **given)
    except (OSError, ValueError, ImportError, KeyError, NotImplementedError) as error:
        raise UsageError(f"llm={path}: {str(error).splitlines()[0]}") from None
    if not path.is_dir():
        check_tokenizer(path, tokenizer)
        _plain(model)
    if tokenizer.eos_token is None:
        raise UsageError(f"llm={path}: its tokenizer has no end token; give a model that ends its answers")
    return model.eval(), tokenizer


def _plain(model: Any) -> None:
    """Forget that weights were quantised: they are not any more, and what is marked so is not saved."""
    for owner, name in ((model, "hf_quantizer"), (model.config, "quantization_config")):
        if hasattr(owner, name):
            delattr(owner, name)


def gguf_architecture(path: Path) -> str:
    """``general.architecture`` of a GGUF file. UsageError when it is none."""
    import gguf

    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError
        field = gguf.GGUFReader(path).fields["general.architecture"]
        return str(field.contents())
    except (OSError, ValueError, KeyError, IndexError):
        raise UsageError(f"llm={path}: neither a folder nor a whole GGUF file; copy it again") from None


def check_tokenizer(path: Path, tokenizer: Any) -> None:
    """Raise UsageError where transformers splits text otherwise than llama.cpp: it knows few pre-tokenizers of GGUF."""
    import llama_cpp

    from rrg.llm_local import quiet_stderr

    with quiet_stderr():
        reader = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
        try:
            for text in SPLIT:
                ours = tokenizer.encode(text, add_special_tokens=False)
                if ours != list(reader.tokenize(text.encode(), add_bos=False, special=False)):
                    raise UsageError(
                        f"llm={path}: transformers reads its tokenizer otherwise than llama.cpp ({text[:20]!r}...); "
                        "give the model's folder of safetensors instead"
                    )
        finally:
            reader.close()


def vision_tower(folder: Path, grid: int | None = None) -> tuple[Any, Any]:
    """(tower, image processor) of a folder: SigLIP or CLIP, with or without text side, DINOv2, ViT, or a timm network.

    `grid`: tokens of a side, of a timm network only.

    A run folder of rrg train or the folder of any LLaVA gives the tower inside it, as it was trained.
    The processor only stretches to the tower's size and normalises as the folder says: nothing is cut off, so that
    boxes of the whole slice stay true.
    """
    import transformers

    auto: Any = transformers
    settings = read_settings(folder) if (folder / FILE).is_file() else None
    folder = folder / MODEL if settings is not None else folder
    rules = safe_config(folder, "vision=")
    if is_timm(rules):
        from rrg.model.timm_tower import timm_tower

        tower = timm_tower(folder, grid)
        given = tower.config.pretrained_cfg
        return tower, _stretch(tower.config, {"image_mean": given["mean"], "image_std": given["std"]})
    if grid is not None:
        raise UsageError(f"grid={grid}: only the map of a timm network is pooled; leave it out for {folder}")
    kind = str(rules.get("model_type"))
    kind = WHOLE.get(kind, kind)
    classes = {
        "siglip_vision_model": "SiglipVisionModel",
        "clip_vision_model": "CLIPVisionModel",
        "dinov2": "Dinov2Model",
        "vit": "ViTModel",
        LLAVA: "LlavaForConditionalGeneration",
    }
    if kind not in classes:
        raise UsageError(f"vision={folder}: a tower of kind {kind}; expected one of {', '.join((*WHOLE, *classes))}")
    know_tower(rules)
    try:
        tower = getattr(auto, classes[kind]).from_pretrained(
            folder, dtype="auto", use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"vision={folder}: {str(error).splitlines()[0]}") from None
    if kind == LLAVA:
        tower = tower.model.vision_tower
        if tower.config.model_type not in PREFIX_TOKENS:
            raise UsageError(f"vision={folder}: a LLaVA with a tower of kind {tower.config.model_type}; expected one "
                             f"of {', '.join(PREFIX_TOKENS)}")  # fmt: skip
    if settings is not None and settings.family == "tiny":
        return tower.eval(), _stretch(tower.config, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    return tower.eval(), _images(folder, tower.config)


def _images(folder: Path, config: Any) -> Any:
    found: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text(encoding="utf-8"))
            found = found.get("image_processor", found)
    if not {"image_mean", "image_std"} <= found.keys():
        raise UsageError(
            f"vision={folder}: no preprocessor_config.json with image_mean and image_std inside; copy it beside the "
            "weights: pictures must look as the tower knows them"
        )
    return _stretch(config, found)


def _stretch(config: Any, rules: Mapping[str, Any]) -> Any:
    from transformers import SiglipImageProcessor

    side = int(config.image_size)
    return SiglipImageProcessor(
        size={"height": side, "width": side},
        image_mean=list(rules["image_mean"]),
        image_std=list(rules["image_std"]),
        rescale_factor=rules.get("rescale_factor", 1 / 255),
    )
