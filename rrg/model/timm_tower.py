"""A vision tower of timm inside a LLaVA: any of its networks that keeps a square map of features to the end.

transformers gives the map of such a network as (pictures, channels, rows, columns); a LLaVA reads (pictures, patches,
channels). This class says the second of the first, and is known to transformers under a name of its own.
"""

import warnings
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # timm's own, of a part of torch that it still asks for
    from transformers import AutoConfig, AutoModel, TimmWrapperConfig, TimmWrapperModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from rrg.errors import UsageError
from rrg.model.families import OWN_TOWER


class TimmTowerConfig(TimmWrapperConfig):  # type: ignore[no-untyped-call]
    """A timm network, and what a LLaVA asks of a tower."""

    model_type = OWN_TOWER
    hidden_size: int = 0
    """Channels of the map."""
    image_size: int = 224
    patch_size: int = 32
    """Pixels of a side of what one token shows."""
    grid: int = 7
    """Tokens of a side. A finer map is pooled to it."""
    num_hidden_layers: int = 1


class TimmTower(TimmWrapperModel):  # type: ignore[no-untyped-call]
    """Pictures (n, 3, side, side) -> hidden states (n, grid * grid, channels); there is one, however it is asked for.

    Batch normalisation keeps the statistics it came with: batches are small, and pictures of few patients.
    """

    config_class = TimmTowerConfig

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Features of pictures; further words of transformers change nothing."""
        found = feature_map(self.timm_model, pixel_values)
        if found.shape[-1] != self.config.grid:
            found = nn.functional.adaptive_avg_pool2d(found, self.config.grid)
        patches = found.flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(last_hidden_state=patches, hidden_states=(patches, patches))

    def train(self, mode: bool = True) -> Self:
        """See `torch.nn.Module.train`."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def feature_map(network: Any, pictures: Tensor) -> Tensor:
    """(pictures, channels, rows, columns): what a timm network makes of pictures, before it is pooled.

    Its output where that is such a map; else (rows of tokens, channels last) its last block as a map.
    """
    out, maps = network.forward_intermediates(pictures, indices=1, output_fmt="NCHW")
    last: Tensor = maps[-1]
    return out if out.ndim == 4 and out.shape[2:] == last.shape[2:] else last


def timm_tower(folder: Path, grid: int | None) -> TimmTower:
    """The tower of a folder of config.json and safetensors. `grid`: tokens of a side, at most those of its map.

    Raises UsageError for a network that timm does not have, whose weights do not fit, or that has no square map.
    """
    try:
        plain: Any = TimmWrapperModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        rules = plain.config.pretrained_cfg
        side, _, _ = int(rules["input_size"][-1]), rules["mean"], rules["std"]
        with torch.inference_mode():
            shape = feature_map(plain.eval().timm_model, torch.zeros(1, 3, side, side)).shape
    except KeyError as error:
        raise UsageError(
            f"vision={folder}: its pretrained_cfg has no {error.args[0]}; copy its config.json again"
        ) from None
    except (OSError, ValueError, RuntimeError, ImportError, AttributeError, AssertionError) as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UsageError(f"vision={folder}: {said[0] if said else type(error).__name__}") from None
    own = int(shape[-1])
    grid = grid or own
    if len(shape) != 4 or shape[2] != own or not 1 <= grid <= own or side // (side // grid) != grid:
        raise UsageError(
            f"vision={folder}: a map of {' x '.join(map(str, shape[2:]))} for pictures of {side} pixels can not give "
            f"{grid} x {grid} tokens; expected a square map, and grid= of at most its side"
        )
    values = plain.config.to_dict() | {"hidden_size": int(shape[1]), "image_size": side, "patch_size": side // grid}
    values = {name: value for name, value in values.items() if name not in ("model_type", "architectures")}
    tower: Any = TimmTower(TimmTowerConfig(**values, grid=grid))
    tower.timm_model.load_state_dict(plain.timm_model.state_dict())
    return tower.eval()  # type: ignore[no-any-return]


def register() -> None:
    """Let transformers know the class. Any number of times."""
    AutoConfig.register(OWN_TOWER, TimmTowerConfig, exist_ok=True)
    AutoModel.register(TimmTowerConfig, TimmTower, exist_ok=True)


register()
