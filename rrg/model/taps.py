"""What passes through a model in the middle: the tower's features before the projector, the text's last states."""

from types import TracebackType
from typing import Any

from torch import Tensor

from rrg.errors import UsageError


class Taps:
    """Within ``with``: the tensors of the latest forward pass. Gradients flow through them.

    Works for every family whose projector takes one row of features per patch, with or without LoRA around.
    """

    def __init__(self, projector: Any, text: Any) -> None:
        self._projector, self._text = projector, text
        self._handles: list[Any] = []
        self.features: Tensor
        """(pictures, patches, tower width)."""
        self.states: Tensor
        """(sequences, length, text width), after the last norm."""

    def __enter__(self) -> "Taps":
        self._handles = [
            self._projector.register_forward_pre_hook(self._keep_features),
            self._text.register_forward_hook(self._keep_states),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _keep_features(self, module: Any, inputs: tuple[Any, ...]) -> None:
        self.features = inputs[0]

    def _keep_states(self, module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        self.states = output.last_hidden_state


def taps_of(model: Any, projector: str = "model.multi_modal_projector", text: str = "model.language_model") -> Taps:
    """The taps of a model by the names of its parts. UsageError where the projector does not take one row per patch."""
    inner = model.base_model.model if hasattr(model, "peft_config") else model
    if projector.startswith("model.visual."):
        raise UsageError(
            "--grounding mask: this family merges patches inside of its tower; take --grounding tokens, or tiny, "
            "LLaVA, PaliGemma, Gemma 3, Idefics3 or SmolVLM"
        )
    return Taps(inner.get_submodule(projector), inner.get_submodule(text))
