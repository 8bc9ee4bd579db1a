"""The state of a training run as one file of safetensors: tensors as they are, all else as JSON in its head. No pickle.

A file is written beside, synced and renamed: the name stands for a whole file, whenever the process is killed.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from rrg.errors import RrgError

Tree = Any
"""Nested dicts, lists and tuples of tensors, numbers, text, True, False and None."""


class Stateful(Protocol):
    """What can be saved and put back."""

    def state_dict(self) -> Tree:
        """Everything that the next step depends on."""

    def load_state_dict(self, state: Tree) -> None:
        """Inverse of `state_dict`."""


class Weights:
    """The weights of a module that learn, by name; a weight under two names is kept once."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    def state_dict(self) -> dict[str, Tensor]:
        """Name -> whole weight. Where weights are in parts, all processes must ask."""
        named = {name: value.detach() for name, value in self._module.named_parameters() if value.requires_grad}
        return {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in named.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy the values. RrgError when a name or shape is another."""
        named = dict(self._module.named_parameters())
        for name, value in state.items():
            if name not in named or named[name].shape != value.shape:
                raise RrgError(f"checkpoint has weight {name}, which this model has not; train again", "E_CHECKPOINT")
            held = named[name]
            if isinstance(held, DTensor):
                value = distribute_tensor(value.to(held.device), held.device_mesh, held.placements)
            held.copy_(value)


class Draws:
    """The state of a random generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def state_dict(self) -> Tensor:
        """(bytes,) uint8."""
        return self._generator.get_state()

    def load_state_dict(self, state: Tensor) -> None:
        """Inverse of `state_dict`."""
        self._generator.set_state(state)


def write_state(path: Path, state: Tree) -> None:
    """Write `state`, whole or not at all. RrgError(E_IO) when the disk does not take it."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    head = json.dumps(_flat(state, tensors))
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata={"state": head})
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except Exception as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise RrgError(f"checkpoint {path.name}: {reason}; free space, then --resume", "E_IO") from None
        raise


def read_state(path: Path) -> Tree:
    """Inverse of `write_state`. RrgError(E_CHECKPOINT) for a damaged file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _built(head, tensors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        raise RrgError(f"checkpoint {path.name} is damaged", "E_CHECKPOINT") from None


def _flat(value: Tree, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        whole = value.detach().cpu().contiguous()
        tensors[name] = whole if whole.untyped_storage().nbytes() == whole.nbytes else whole.clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[key, _flat(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple | list):
        return {type(value).__name__ if type(value) in (tuple, list) else "tuple": [_flat(e, tensors) for e in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} can not be saved in a checkpoint")


def _built(value: Any, tensors: Mapping[str, Tensor]) -> Tree:
    if not isinstance(value, dict):
        return value
    ((kind, body),) = value.items()
    if kind == "tensor":
        return tensors[body]
    if kind == "dict":
        return {key: _built(each, tensors) for key, each in body}
    made = [_built(each, tensors) for each in body]
    return tuple(made) if kind == "tuple" else made


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
