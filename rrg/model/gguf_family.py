"""The llama.cpp back end for LLaVA folders of others: prompts in the chat template of their language model."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rrg.errors import RrgError
from rrg.model.families import FAMILIES
from rrg.model.family import Loaded, chat_pieces, turns_of
from rrg.model.gguf import GgufModel
from rrg.model.settings import Generated, Pictures
from rrg.prompt import MEDIA, Piece

PROCESSOR = "processor"
"""Folder of tokenizer, chat template and processor inside of an exported folder."""


class GgufFamily(GgufModel):
    """As `GgufModel`; prompts are told in the family's own form."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import transformers

        auto: Any = transformers
        super().__init__(path, threads)
        try:
            processor = auto.AutoProcessor.from_pretrained(
                path / PROCESSOR, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError):
            raise RrgError(f"{path}: no whole {PROCESSOR}/ inside; run rrg export again", "E_MODEL") from None
        name = self.settings.family
        self._told_by = Loaded(name, FAMILIES[name], None, processor, self.settings.side, self.settings.dialect)

    def answer(self, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
        """Greedy answer; see `Model`."""
        return super().answer(pictures, self._told(prompt), max_new_tokens)

    def prompt_tokens(self, prompt: str, pictures: Pictures) -> list[int | None]:
        """As of `GgufModel`."""
        return super().prompt_tokens(self._told(prompt), pictures)

    def log_probabilities(self, pictures: Pictures, prompt: str) -> NDArray[Any]:
        """As of `GgufModel`."""
        return super().log_probabilities(pictures, self._told(prompt))

    def _told(self, prompt: str) -> str:
        """A prompt of `rrg.prompt` as the family reads it; llama.cpp puts the begin token before it."""
        loaded = self._told_by
        pieces, opening = chat_pieces(turns_of([Piece(prompt, False)]), loaded)
        text = "".join(piece.text for piece in pieces) + opening
        begin = str(loaded.tokenizer.bos_token or "")
        return (text.removeprefix(begin) if begin else text).replace(loaded.processor.image_token, MEDIA)
