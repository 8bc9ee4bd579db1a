"""Options of the models of `rrg score report`; they reach the command as one ``models``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rrg.errors import UsageError

from ._bundle import bundled


def _folder(text: str) -> Any:
    return Annotated[Path | None, typer.Option(metavar="DIR", help=text)]


_OPTIONS: dict[str, Any] = {
    "bertscore": _folder("report: also BERTScore, by the encoder in this folder."),
    "bertscore_layer": Annotated[int | None, typer.Option(min=1, help="Its layer, from 1.")],
    "bertscore_idf": Annotated[bool | None, typer.Option("--bertscore-idf", help="Weigh rare tokens more.")],
    "bertscore_baseline": Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rescale by this table: LAYER,P,R,F.")
    ],
    "chexbert": _folder("report: also CheXbert F1, by the checkpoint in this folder; English."),
    "radgraph": _folder("report: also RadGraph F1, by the package radgraph and the weights in this folder; English."),
}
"""Option -> its type and help."""


def _models(given: dict[str, Any]) -> Any:
    """`ModelOptions`, or None without a model."""
    if given["bertscore"] is None and any(value for name, value in given.items() if name.startswith("bertscore_")):
        raise UsageError("--bertscore-layer, --bertscore-idf and --bertscore-baseline need --bertscore")
    named = {name: value for name, value in given.items() if value is not None}
    if not named:
        return None
    from rrg.score_models import ModelOptions

    return ModelOptions(**named)


with_models = bundled("models", _OPTIONS, _models)
"""Gives a command the options of the models."""
