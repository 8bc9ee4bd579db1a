"""Load a model for answering: a run folder with torch, a GGUF folder with llama.cpp. Same answers either way."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from rrg.errors import RecordError, RrgError
from rrg.model.gguf_lora import ADAPTER
from rrg.model.settings import FILE, Generated, Model, Pictures, Settings, read_settings
from rrg.prompt import CONTROL, IMAGE, MEDIA
from rrg.provenance import sha256_files

MODEL = "model"
"""Folder of the weights and tokenizer inside a run folder."""


def load(path: Path, threads: int | None = None) -> Model:
    """The model in `path`: a folder of ``rrg train`` or ``rrg export``. Raises RrgError(E_MODEL) when it is neither."""
    if any(path.glob("llm-*.gguf")) or (path / ADAPTER).is_file():
        from rrg.model.gguf import GgufModel

        if read_settings(path).family != "tiny":
            from rrg.model.gguf_family import GgufFamily

            return GgufFamily(path, threads)
        return GgufModel(path, threads)
    if (path / MODEL / "config.json").is_file():
        settings = read_settings(path)
        if settings.family != "tiny":
            import torch

            from rrg.model.family import FamilyModel

            quiet_transformers()
            if threads:
                torch.set_num_threads(threads)
            return FamilyModel(path / MODEL, settings, model_hash(path))
        return TorchModel(path, threads)
    found = "no such folder" if not path.is_dir() else "neither llm-*.gguf nor model/config.json inside"
    raise RrgError(f"--model {path}: {found}; give a folder of rrg train or rrg export", "E_MODEL")


def model_hash(path: Path) -> str:
    """SHA-256 over the weights, tokenizer and settings of a model folder, first 16 hex digits."""
    weights = sha256_files(path, f"{MODEL}/**/*") + sha256_files(path, "*.gguf") + sha256_files(path, FILE)
    return hashlib.sha256(weights.encode()).hexdigest()[:16]


def quiet_transformers() -> None:
    """No progress bars and no advice from transformers on stderr."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]


class TorchModel:
    """Back end for run folders."""

    backend = "torch"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoTokenizer, LlavaForConditionalGeneration

        from rrg.model.tokenizer import token_id

        quiet_transformers()
        if threads:
            torch.set_num_threads(threads)
        self.settings: Settings = read_settings(path)
        self.hash = model_hash(path)
        try:
            network: Any = LlavaForConditionalGeneration.from_pretrained(path / MODEL, dtype=torch.float32)
        except (OSError, ValueError, SafetensorError):
            raise RrgError(
                f"{path}: no whole model inside; copy the run folder again, or train again", "E_MODEL"
            ) from None
        self.network = network.eval()
        self.tokenizer = AutoTokenizer.from_pretrained(path / MODEL)
        self._stop = {token_id(self.tokenizer, token) for token in CONTROL}
        self._image = token_id(self.tokenizer, IMAGE)
        self._seen: tuple[bytes, Any] = (b"", None)

    def answer(self, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
        """Greedy answer; see `Model`."""
        import torch

        with torch.inference_mode():
            tokens, scores, cache = self._read(pictures, prompt)
            written: list[int] = []
            shares: list[float] = []
            room = min(max_new_tokens, self.settings.context - len(tokens))
            while len(written) < room:
                token = int(scores[-1].argmax())
                if token in self._stop:
                    return self._generated(written, shares, cut=False)
                written.append(token)
                shares.append(float(torch.softmax(scores[-1], -1)[token]))
                inputs = self.network.get_input_embeddings()(torch.tensor([[token]]))
                scores, cache = self._step(inputs, cache)
            return self._generated(written, shares, cut=True)

    def _generated(self, written: list[int], shares: list[float], *, cut: bool) -> Generated:
        pieces = (str(self.tokenizer.decode([token])) for token in written)
        return Generated(str(self.tokenizer.decode(written)), cut, tuple(zip(pieces, shares, strict=True)))

    def prompt_tokens(self, prompt: str) -> list[int]:
        """Token ids of a prompt, begin token and image tokens included."""
        from rrg.model.tokenizer import encode_chat

        ids = encode_chat(self.tokenizer, prompt, MEDIA, self.settings.image_tokens)
        return [self.tokenizer.bos_token_id, *ids]

    def log_probabilities(self, pictures: Pictures, prompt: str) -> Any:
        """(vocabulary,) float array: log-probabilities of the answer's first token."""
        import torch

        with torch.inference_mode():
            _, scores, _ = self._read(pictures, prompt)
            return torch.log_softmax(scores[-1], -1).numpy()

    def close(self) -> None:
        """Nothing to do."""

    def _read(self, pictures: Pictures, prompt: str) -> tuple[list[int], Any, Any]:
        import torch

        from rrg.model.tiny import normalised

        tokens = self.prompt_tokens(prompt)
        check_prompt(prompt, pictures, tokens, self.settings)
        ids = torch.tensor([tokens])
        inputs = self.network.get_input_embeddings()(ids)
        if pictures:
            key = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in pictures)).digest()
            if self._seen[0] != key:
                pixels = normalised(torch.from_numpy(np.stack(pictures)))
                self._seen = key, self.network.get_image_features(pixel_values=pixels)
            features = picture_features(self._seen[1])
            inputs = inputs.masked_scatter(torch.eq(ids, self._image)[..., None], features.to(inputs.dtype))
        scores, cache = self._step(inputs, None)
        return tokens, scores, cache

    def _step(self, inputs: Any, cache: Any) -> tuple[Any, Any]:
        out = self.network.model.language_model(inputs_embeds=inputs, past_key_values=cache, use_cache=True)
        return self.network.lm_head(out.last_hidden_state[0, -1:]).float(), out.past_key_values


def picture_features(out: Any) -> Any:
    """(pictures * patches, width) from what `get_image_features` returns in this version of transformers."""
    import torch

    parts = getattr(out, "pooler_output", out)
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])


def check_prompt(prompt: str, pictures: Pictures, tokens: list[int], settings: Settings) -> None:
    """Raise RecordError when markers and pictures differ, a picture has a wrong size, or the prompt leaves no room."""
    if prompt.count(MEDIA) != len(pictures):
        raise RecordError("E_MODEL", f"prompt has {prompt.count(MEDIA)} picture markers and {len(pictures)} pictures")
    for picture in pictures:
        if picture.shape != (settings.side, settings.side, 3) or picture.dtype != np.uint8:
            wanted = (settings.side, settings.side, 3)
            raise RecordError("E_MODEL", f"picture is {picture.dtype} {picture.shape}; expected uint8 {wanted}")
    if len(tokens) >= settings.context:
        raise RecordError(
            "E_TOKENS", f"prompt has {len(tokens)} tokens, the model reads {settings.context}; ask less at a time"
        )


def default_threads(parameters: int) -> int:
    """Threads of llama.cpp: 1 below 50 M parameters (its barriers cost more than they bring), else the cores."""
    return 1 if parameters < 50_000_000 else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
