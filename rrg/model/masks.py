"""Masks of an answer that a model wrote: the chat is read once more, and the head is asked at each ``</seg>``."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rrg.model.load import TorchModel
from rrg.model.mask_head import CLOSE, MaskHead
from rrg.model.settings import Pictures
from rrg.model.taps import taps_of
from rrg.prompt import END, IMAGE, Piece


class Found(NamedTuple):
    """The masks of an answer's tags, in their order."""

    logits: Tensor
    """(tags, side, side) of the whole picture."""
    overlap: tuple[float, ...]
    """What the head expects of each mask's overlap with the truth, 0..1."""

    def on(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """(tags, rows, columns): the masks on the grid of the slice."""
        if not len(self.logits):
            return np.zeros((0, rows, columns), np.bool_)
        share = self.logits.sigmoid()[:, None]
        full = functional.interpolate(share, (rows, columns), mode="bilinear", align_corners=False)
        found: NDArray[np.bool_] = (full[:, 0] > 0.5).numpy()
        return found


def masks_of_answer(model: Any, head: MaskHead, pictures: Pictures, prompt: str, raw: str, picture: int = 0) -> Found:
    """The masks that a model means by what it wrote (`raw`) to a prompt; all speak of the `picture`-th picture.

    `model`: a loaded run folder, of the tiny family or of any other whose projector reads one row per patch.
    """
    count = raw.count(CLOSE)
    if not count:
        return Found(torch.zeros(0, head.shape.side, head.shape.side), ())
    read = _tiny if isinstance(model, TorchModel) else _family
    with torch.inference_mode():
        features, states, tokens, close = read(model, pictures, prompt, raw)
        places = (tokens == close).nonzero()[-count:, 0]
        made = head(features, states[places], torch.full((len(places),), picture))
    return Found(made.logits.float(), tuple(made.overlap.clamp(0, 1).tolist()))


def _tiny(model: TorchModel, pictures: Pictures, prompt: str, raw: str) -> tuple[Tensor, Tensor, Tensor, int]:
    """(features of the pictures, states (length, width), tokens (length,), id of the tag) of prompt and answer."""
    from rrg.model.tiny import normalised

    network: Any = model.network
    tokenizer: Any = model.tokenizer
    tokens = torch.tensor([*model.prompt_tokens(prompt), *tokenizer.encode(raw, add_special_tokens=False)])
    inputs = network.get_input_embeddings()(tokens[None])
    with taps_of(network) as taps:
        network.get_image_features(pixel_values=normalised(torch.from_numpy(np.stack(pictures))))
        features = taps.features
        seen = network.model.multi_modal_projector(features).flatten(0, 1)
        image = tokens.eq(tokenizer.convert_tokens_to_ids(IMAGE))
        network.model.language_model(inputs_embeds=inputs.masked_scatter(image[None, :, None], seen), use_cache=False)
    return features, taps.states[0], tokens, int(tokenizer.convert_tokens_to_ids(CLOSE))


def _family(model: Any, pictures: Pictures, prompt: str, raw: str) -> tuple[Tensor, Tensor, Tensor, int]:
    """As `_tiny`, through the family's own forward pass."""
    from rrg.model.family import chat_pieces, encode, turns_of

    loaded = model.loaded
    pieces, _ = chat_pieces(turns_of([Piece(prompt, False), Piece(raw + END, True)]), loaded)
    made = encode(loaded, pieces, pictures)
    parts = loaded.family.parts
    with taps_of(loaded.model, parts.projector[0].rstrip("."), parts.text[0].rstrip(".")) as taps:
        inputs = {name: value for name, value in made.inputs.items() if name != "labels"}
        loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    close = int(loaded.tokenizer.convert_tokens_to_ids(CLOSE))
    return taps.features, taps.states[0], made.inputs["input_ids"][0], close
