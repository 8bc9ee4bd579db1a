"""What the export asks of the torch side, the same for tiny run folders and those of families."""

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from rrg.boxes import Dialect
from rrg.errors import RrgError
from rrg.model.families import EXPORTABLE
from rrg.model.family import Encoded, FamilyModel, Loaded, chat_pieces, encode, model_config, turns_of
from rrg.model.gguf_writer import MEAN, STD, check_exportable
from rrg.model.load import TorchModel, load
from rrg.model.settings import Generated, Pictures, Settings
from rrg.model.tokenizer import token_id
from rrg.prompt import IMAGE, Piece


class Reference(Protocol):
    """The torch side of the self-test."""

    settings: Settings

    def answer(self, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
        """Greedy answer."""

    def tokens(self, prompt: str, pictures: Pictures) -> list[int | None]:
        """Token ids of a prompt; None for each image token."""

    def log_probabilities(self, pictures: Pictures, prompt: str) -> NDArray[Any]:
        """(vocabulary,) log-probabilities of the answer's first token."""


class TinyReference:
    """Of the tiny family."""

    def __init__(self, model: TorchModel) -> None:
        self._model, self.settings = model, model.settings
        self.answer, self.log_probabilities = model.answer, model.log_probabilities

    def tokens(self, prompt: str, pictures: Pictures) -> list[int | None]:
        """See `Reference`."""
        image = token_id(self._model.tokenizer, IMAGE)
        return [None if token == image else token for token in self._model.prompt_tokens(prompt)]


class FamilyReference:
    """Of any other family."""

    def __init__(self, model: FamilyModel) -> None:
        self._loaded, self.settings = model.loaded, model.settings
        self.answer = model.answer

    def tokens(self, prompt: str, pictures: Pictures) -> list[int | None]:
        """See `Reference`."""
        image = int(self._loaded.model.config.image_token_index)
        found = asked(self._loaded, prompt, pictures).inputs["input_ids"][0].tolist()
        return [None if token == image else token for token in found]

    def log_probabilities(self, pictures: Pictures, prompt: str) -> NDArray[Any]:
        """See `Reference`."""
        made = asked(self._loaded, prompt, pictures)
        inputs = {name: value for name, value in made.inputs.items() if name != "labels"}
        with torch.inference_mode():
            scores = self._loaded.model(**inputs, use_cache=False, logits_to_keep=1).logits[0, -1].float()
        found: NDArray[Any] = torch.log_softmax(scores, -1).numpy()
        return found


def reference_of(run: Path) -> Reference:
    """The torch side of a run folder."""
    model: Any = load(run)
    return TinyReference(model) if isinstance(model, TorchModel) else FamilyReference(model)


def asked(loaded: Loaded, prompt: str, pictures: Pictures) -> Encoded:
    """A prompt as the family's model reads it before it answers."""
    pieces, opening = chat_pieces(turns_of([Piece(prompt, False)]), loaded)
    return encode(loaded, [Piece("".join(piece.text for piece in pieces) + opening, False)], pictures)


def export_note(kind: str, folder: Path, dialect: Dialect | None) -> str:
    """One line on whether llama.cpp will run what is trained from a model folder."""
    try:
        check_exportable(model_config(folder))
    except RrgError:
        return (
            f"{kind}: no GGUF export of this family, run it with torch; --model {EXPORTABLE} makes one that llama.cpp "
            "runs, so does --model llava: from a SigLIP tower and a Llama or Qwen2"
        )
    if dialect is not None and dialect.kind == "seg":
        return f"{kind}: no GGUF export with a mask head, run it with torch; --grounding tokens can be exported"
    return f"{kind}: rrg export --to gguf will write it for llama.cpp"


def begins(folder: Path, settings: Settings) -> bool:
    """Whether every prompt of a model starts with the begin token."""
    if settings.family == "tiny":
        return True
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    first = tokenizer("a", add_special_tokens=True)["input_ids"][0]
    template = tokenizer.chat_template or ""
    return tokenizer.bos_token_id is not None and (first == tokenizer.bos_token_id or "bos_token" in template)


def colours(folder: Path, settings: Settings) -> tuple[list[float], list[float]]:
    """Mean and standard deviation by which a model's pictures are normalised."""
    if settings.family == "tiny":
        return list(MEAN), list(STD)
    found = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))["image_processor"]
    return [float(v) for v in found["image_mean"]], [float(v) for v in found["image_std"]]
