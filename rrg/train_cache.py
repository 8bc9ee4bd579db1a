"""Features of towers that do not change, kept on disk: computed once for all epochs, runs and processes.

A file per picture, named by a hash of what the tower reads; a folder per tower, named by a hash of its weights. So a
stale feature can not be found. Several processes may share the folder: files are written whole.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rrg.errors import RrgError


def tower_hash(tower: torch.nn.Module) -> str:
    """SHA-256 over class, network, tokens a side, names, types and values of weights, first 16 hex digits."""
    config = getattr(tower, "config", None)
    kind = (type(tower).__name__, getattr(config, "architecture", ""), getattr(config, "grid", ""))
    digest = hashlib.sha256("".join(map(str, kind)).encode())
    for name, value in sorted(tower.state_dict().items()):
        digest.update(f"\0{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(_bytes(value))
    return digest.hexdigest()[:16]


def pixel_hash(pixels: Tensor, *more: Tensor) -> str:
    """SHA-256 over what a tower reads of one picture."""
    digest = hashlib.sha256()
    for each in (pixels, *more):
        digest.update(f"{each.dtype}{tuple(each.shape)}".encode())
        digest.update(_bytes(each))
    return digest.hexdigest()


class Features:
    """The kept features of one tower. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, tower: torch.nn.Module) -> None:
        self._folder = folder / tower_hash(tower) if folder is not None else None
        self.made = self.found = 0
        """Pictures that were computed and that were read."""

    def of(self, keys: Sequence[str], compute: Callable[[], Tensor]) -> Tensor:
        """(pictures, ...) features of some pictures: read when all are there, else computed together and kept."""
        held = [self._read(key) for key in keys]
        if held and all(each is not None for each in held):
            self.found += len(keys)
            return torch.stack([each for each in held if each is not None])
        made = compute()
        self.made += len(keys)
        for key, feature, known in zip(keys, made, held, strict=True):
            if known is None:
                self._write(key, feature)
        return made

    def _path(self, key: str) -> Path | None:
        return self._folder / key[:2] / f"{key}.safetensors" if self._folder is not None else None

    def _read(self, key: str) -> Tensor | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            return load_file(path)["features"]
        except (OSError, SafetensorError, KeyError):  # damaged: made again
            path.unlink(missing_ok=True)
            return None

    def _write(self, key: str, feature: Tensor) -> None:
        if (path := self._path(key)) is None:
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"features": feature.detach().cpu().clone()}, temporary)
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RrgError(f"--feature-cache {self._folder}: {reason}; free space, or leave it out", "E_IO") from None


def keep_features(tower: Any, features: Features, layers: Sequence[int]) -> None:
    """Let a frozen tower of transformers read its features from disk. `layers` of its hidden states; none: its output.

    The output holds only what is read of it: asking for anything else fails, and is not silently wrong. Features have
    the precision of the tower's weights, whatever that of the step that reads them first: others read the same.
    """
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    plain = tower.forward
    depth = int(tower.config.num_hidden_layers) + 1

    def forward(pixel_values: Tensor, **given: Any) -> Any:
        rows = [value for value in given.values() if isinstance(value, Tensor) and len(value) == len(pixel_values)]
        keys = [pixel_hash(pixels, *(row[n] for row in rows)) for n, pixels in enumerate(pixel_values)]

        def compute() -> Tensor:
            with torch.no_grad(), torch.autocast(pixel_values.device.type, enabled=False):
                out = plain(pixel_values, **given)
            return torch.stack([out.hidden_states[n] for n in layers], 1) if layers else out.last_hidden_state

        found = features.of(keys, compute).to(pixel_values.device)
        if not layers:
            return BaseModelOutputWithPooling(last_hidden_state=found)
        states: list[Any] = [None] * depth
        for place, layer in enumerate(layers):
            states[layer] = found[:, place]
        return BaseModelOutputWithPooling(last_hidden_state=None, hidden_states=tuple(states))

    tower.forward = forward


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
