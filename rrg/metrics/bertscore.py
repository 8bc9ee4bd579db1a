"""BERTScore (Zhang et al. 2020) over a local encoder: greedy matching of token states by cosine.

As bert-score 0.3.13 counts: the first and the last token of a text ([CLS], [SEP]) can be matched but have no weight; a
text that is nothing but these scores 0; idf is ln((N + 1) / (df + 1)) over the references; a rescaled value is
(x - b) / (1 - b) with the b of P, R and F of the layer. Values move with the version of transformers.
"""

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError, UsageError

Array = NDArray[np.float64]
BATCH = 32
NAMES = ("precision", "recall", "f1")


class Encoded(NamedTuple):
    """One text: its tokens, special ones included, and their states."""

    ids: tuple[int, ...]
    states: Array
    """(tokens, width), each of length 1."""


class Encoder:
    """A local model and its tokenizer. RrgError for a folder that transformers can not read."""

    def __init__(self, folder: Path, layer: int) -> None:
        """`layer` counts from 1, as bert-score's ``num_layers``."""
        import torch
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise RrgError(f"--bertscore {folder}: {_first_line(error)}") from None
        layers = int(self._model.config.num_hidden_layers)
        if not 1 <= layer <= layers:
            raise UsageError(f"--bertscore-layer {layer}: the model has layers 1 to {layers}")
        self._layer = layer
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Each distinct text once, in batches of similar length."""
        import torch

        # some tokenizers say 1e30; no known encoder of this kind reads more than its positions
        longest = min(self._tokenizer.model_max_length, int(self._model.config.max_position_embeddings))
        distinct = list(dict.fromkeys(text.strip() for text in texts))
        ids = [tuple(self._tokenizer(text, truncation=True, max_length=longest)["input_ids"]) for text in distinct]
        made: dict[str, Encoded] = {}
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            width = max(len(ids[n]) for n in batch)
            padded = [[*ids[n], *[self._tokenizer.pad_token_id or 0] * (width - len(ids[n]))] for n in batch]
            mask = [[1] * len(ids[n]) + [0] * (width - len(ids[n])) for n in batch]
            with torch.inference_mode():
                states = self._model(
                    input_ids=torch.tensor(padded, device=self._device),
                    attention_mask=torch.tensor(mask, device=self._device),
                    output_hidden_states=True,
                ).hidden_states[self._layer]
            for n, each in zip(batch, states.double().cpu().numpy(), strict=True):
                own = each[: len(ids[n])]
                made[distinct[n]] = Encoded(ids[n], own / np.linalg.norm(own, axis=1, keepdims=True))
        return [made[text.strip()] for text in texts]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def idf_of(references: Sequence[Encoded]) -> dict[int, float]:
    """Token -> ln((N + 1) / (df + 1)) over the references; a token that none has: ln(N + 1), which `weights` gives."""
    frequency = Counter(token for each in references for token in set(each.ids))
    return {token: math.log((len(references) + 1) / (count + 1)) for token, count in frequency.items()}


def weights(text: Encoded, idf: Mapping[int, float] | None, references: int) -> Array:
    """(tokens,) weight of each token; the first and the last one have none."""
    found = [1.0 if idf is None else idf.get(token, math.log(references + 1)) for token in text.ids]
    return np.array([0.0, *found[1:-1], 0.0])


def score(said: Encoded, wanted: Encoded, said_weights: Array, wanted_weights: Array) -> tuple[float, float, float]:
    """Precision, recall, F1 of one pair; 0 where a side has no token or no weight."""
    if not said_weights.sum() or not wanted_weights.sum():
        return 0.0, 0.0, 0.0
    similar = said.states @ wanted.states.T  # (tokens said, tokens wanted)
    precision = float(similar.max(axis=1) @ said_weights / said_weights.sum())
    recall = float(similar.max(axis=0) @ wanted_weights / wanted_weights.sum())
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def scores(said: Sequence[Encoded], wanted: Sequence[Encoded], *, idf: bool) -> Array:
    """(pairs, 3) precision, recall, F1 of each pair."""
    known, n = (idf_of(wanted) if idf else None), len(wanted)
    return np.array(
        [score(a, b, weights(a, known, n), weights(b, known, n)) for a, b in zip(said, wanted, strict=True)]
    ).reshape(n, 3)


def read_baseline(path: Path, layer: int) -> Array:
    """(3,) baselines of P, R, F of a layer, from bert-score's own tables (``LAYER,P,R,F``)."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
        row = next(each for each in rows if int(each["LAYER"]) == layer)
        found = np.array([float(row[name]) for name in "PRF"])
    except OSError as error:
        raise RrgError(f"--bertscore-baseline {path}: {error.strerror}", "E_IO") from None
    except (StopIteration, KeyError, TypeError, ValueError):
        raise RrgError(
            f"--bertscore-baseline {path}: no line for layer {layer}; expected a CSV with the columns LAYER, P, R, F"
        ) from None
    if not (found < 1).all():
        raise RrgError(f"--bertscore-baseline {path}: a baseline of 1 or more at layer {layer}; expected less")
    return found


def rescaled(values: Array, baseline: Array) -> Array:
    """(pairs, 3) values that are 0 at the baseline and 1 at the best."""
    return (values - baseline) / (1 - baseline)


def settings_of(folder: Path, layer: int, *, idf: bool, baseline: bool) -> dict[str, Any]:
    """What the signature says of it."""
    import transformers

    rule = f"L{layer}{'-idf' if idf else ''}{'-rescaled' if baseline else ''}"
    return {"model": folder.name, "rule": rule, "transformers": transformers.__version__}
