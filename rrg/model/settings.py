"""What a model folder says about its model: ``rrg.json``, the same in run folders and GGUF folders."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rrg.boxes import Dialect
from rrg.errors import RrgError

FILE = "rrg.json"
Pictures = Sequence[NDArray[np.uint8]]
"""(side, side, 3) each, made by `rrg.windows.picture`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How to make the pictures and prompts that the model was trained with, and where it comes from."""

    family: str
    """``tiny``, or the name of a real family."""
    side: int
    """Pictures are `side` x `side` pixels."""
    preset: str
    """CT window preset of `rrg.windows`."""
    dialect: Dialect
    image_tokens: int
    """Tokens per picture."""
    context: int
    """Longest sequence in tokens, pictures included."""
    languages: tuple[str, ...]
    tasks: tuple[str, ...]
    dataset: str
    """SHA-256 of the data set's manifest."""
    run: str
    """Id of the training run."""
    demonstration: bool = False
    """Trained on made-up studies only."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Options of the training run that change results."""

    @property
    def bins(self) -> int:
        """Bins of the box dialect."""
        return self.dialect.bins


class Generated(NamedTuple):
    """What a model wrote."""

    raw: str
    """Box tokens included, control tokens not."""
    cut: bool
    """The token limit was reached before the end."""
    tokens: tuple[tuple[str, float], ...] = ()
    """(text of the token, its probability 0..1) in order; empty where the back end does not tell."""


class Model(Protocol):
    """A loaded model. Both back ends give the same text for the same pictures and prompt."""

    settings: Settings
    hash: str
    """SHA-256 of the weights and settings, first 16 hex digits."""
    backend: str
    """``torch`` or ``gguf``."""

    def answer(self, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
        """Greedy answer. `prompt` is made by `rrg.prompt` and holds one media marker per picture."""

    def close(self) -> None:
        """Free memory. Needed before the process ends."""


def write_settings(folder: Path, settings: Settings) -> None:
    """Write ``rrg.json``."""
    text = json.dumps(dataclasses.asdict(settings), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_settings(folder: Path) -> Settings:
    """Read ``rrg.json``. Raises RrgError(E_MODEL) when there is none or it is not ours."""
    try:
        values = cast(dict[str, Any], json.loads((folder / FILE).read_text(encoding="utf-8")))
        values["dialect"] = Dialect(**values["dialect"])
        for name in ("languages", "tasks"):
            values[name] = tuple(values[name])
        return Settings(**values)
    except OSError:
        raise RrgError(f"{folder}: no {FILE} inside; give a folder of rrg train or rrg export", "E_MODEL") from None
    except (ValueError, TypeError, KeyError) as error:
        raise RrgError(f"{folder}/{FILE}: {error}; made by another version? run rrg export again", "E_MODEL") from None
