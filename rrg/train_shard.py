"""Weights in parts: each process holds a part of every weight, gradient and optimiser state (FSDP2 of torch).

Torch's own `fully_shard` and not accelerate's wrapper of it, which refuses processes without GPUs: so it can be tested.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter

from rrg.errors import UsageError
from rrg.train_devices import Devices


def check_shard(stages: Sequence[str], devices: Devices) -> None:
    """UsageError where weights can not be in parts."""
    if devices.count == 1:
        raise UsageError("--fsdp: there is one process; start several with torchrun or srun, or leave it out")
    if len(stages) > 1:
        raise UsageError(f"--fsdp: one stage at a time, not {','.join(stages)}; go on with --init-from RUN")


def shard(model: Any, devices: Devices) -> None:
    """Put the weights of all blocks, and of what is left, in parts: one block is whole at a time."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(devices.device().type, (devices.count,))
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def in_parts(weights: Sequence[Parameter]) -> bool:
    """They are."""
    return any(isinstance(each, DTensor) for each in weights)


def whole(tree: Any) -> Any:
    """A nested state with whole tensors. All processes must ask."""
    if isinstance(tree, DTensor):
        return tree.full_tensor()
    if isinstance(tree, Mapping):
        return {key: whole(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(whole(value) for value in tree)
    return tree


def placed(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor in parts as those of `like`, or as it is. All processes must ask."""
    if isinstance(like, DTensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value


class Descent:
    """The state of an optimiser of torch, whole in checkpoints and in parts in memory."""

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser = optimiser

    def state_dict(self) -> Any:
        """With whole tensors."""
        return whole(self._optimiser.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        weights = [weight for group in self._optimiser.param_groups for weight in group["params"]]
        held = {
            number: {
                name: placed(value, weights[number]) if isinstance(value, Tensor) else value
                for name, value in values.items()
            }
            for number, values in state["state"].items()
        }
        self._optimiser.load_state_dict({**state, "state": held})


def padded(parts: Iterator[Any], devices: Devices, sharded: bool) -> Iterator[tuple[Any, float]]:
    """(part, 1) and, where another process has more, the last part again with 0: in parts all must run as often."""
    held = list(parts)
    most = max(devices.gathered(len(held))) if sharded else len(held)
    for number in range(most):
        yield held[min(number, len(held) - 1)], float(number < len(held))
