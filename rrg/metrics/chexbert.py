"""CheXbert (Smit et al. 2020): 14 labels of an English chest X-ray report, from a local checkpoint.

A BERT with one linear head a label on its first token: four classes (blank, positive, negative, uncertain), of the last
label two (blank, positive). The folder holds ``chexbert.pth`` (or another ``.pth``), BERT's ``config.json`` and its
tokenizer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rrg.errors import RrgError
from rrg.formats.label_rows import CHEXBERT

CLASSES, LAST_CLASSES = 4, 2
LONGEST = 512
BATCH = 16


class Labeler:
    """A loaded checkpoint. RrgError for a folder that holds none."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        path = checkpoint(folder)
        assert path is not None
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load and transformers raise what their formats raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RrgError(f"--chexbert {folder}: {reason}") from None
        sizes = [CLASSES] * (len(CHEXBERT) - 1) + [LAST_CLASSES]
        auto: Any = AutoModel
        self._bert = auto.from_config(config)
        self._heads = torch.nn.ModuleList([torch.nn.Linear(config.hidden_size, size) for size in sizes])
        bert, heads = parts(state.get("model_state_dict", state))
        try:
            self._bert.load_state_dict(bert)
            self._heads.load_state_dict(heads)
        except RuntimeError as error:
            raise RrgError(f"--chexbert {path}: not CheXbert's weights ({str(error).splitlines()[0]})") from None
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._bert.eval().to(self._device)
        self._heads.eval().to(self._device)

    def labels(self, texts: Sequence[str]) -> list[dict[str, str]]:
        """Label -> CheXbert's class (0 blank, 1 positive, 2 negative, 3 uncertain) of each text; of empty ones none."""
        import torch

        distinct = [text for text in dict.fromkeys(map(plain, texts)) if text]
        found: dict[str, dict[str, str]] = {"": {}}
        for start in range(0, len(distinct), BATCH):
            batch = distinct[start : start + BATCH]
            tokens = self._tokenizer(batch, truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
            with torch.inference_mode():
                tokens = {name: each.to(self._device) for name, each in tokens.items()}
                first = self._bert(**tokens).last_hidden_state[:, 0]  # (texts, width)
                classes = [head(first).argmax(dim=1).tolist() for head in self._heads]
            for n, text in enumerate(batch):
                found[text] = {name: str(each[n]) for name, each in zip(CHEXBERT, classes, strict=True)}
        return [found[plain(text)] for text in texts]


def plain(text: str) -> str:
    """Blanks and line breaks collapsed, as CheXbert reads reports."""
    return " ".join(text.split())


def checkpoint(folder: Path) -> Path | None:
    """The weights in a folder."""
    return next(iter(sorted(folder.glob("*.pth"))), None)


def parts(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(BERT's weights, the heads'), without the prefix of data parallel training and the buffer of old versions."""
    bare = {name.removeprefix("module."): each for name, each in state.items() if not name.endswith("position_ids")}
    return (
        {name.removeprefix("bert."): each for name, each in bare.items() if name.startswith("bert.")},
        {name.removeprefix("linear_heads."): each for name, each in bare.items() if name.startswith("linear_heads.")},
    )
