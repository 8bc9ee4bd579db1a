"""What the command line says about a score."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrg.errors import UsageError
from rrg.metrics.options import TaskOptions
from rrg.score_judge import JudgeOptions
from rrg.score_models import ModelOptions

SAMPLES, SEED = 10_000, 12_345
DRAWN_SAMPLES = 1000
"""Draws where a value must be computed anew for each."""
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command that change the result."""

    protocol: str | None = None
    metrics: tuple[str, ...] | None = None
    where: tuple[tuple[str, str], ...] = ()
    by: tuple[str, ...] | None = None
    """None: the default strata; empty: none."""
    cluster: str | None = None
    samples: int = SAMPLES
    drawn_samples: int | None = None
    """Of values that are computed anew for each draw; None: at most `DRAWN_SAMPLES`."""
    seed: int = SEED
    format: str | None = None
    id_field: str | None = None
    prediction_field: str | None = None
    reference_field: str | None = None
    partial: bool = False
    sanity: bool = False
    baselines: tuple[tuple[str, Path], ...] = ()
    """Name and prediction file of each."""
    judge: JudgeOptions | None = None
    models: ModelOptions | None = None
    task: TaskOptions = field(default_factory=TaskOptions)
    given: frozenset[str] = frozenset()
    """Names of `TaskOptions` that were given on the command line."""


def condition(text: str) -> tuple[str, str]:
    """``FIELD=VALUE`` of ``--where``."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--where {text}: expected FIELD=VALUE")
    return name, value.strip()


def baseline_of(text: str) -> tuple[str, Path]:
    """``NAME=FILE`` of ``--baseline``."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"--baseline {text}: expected NAME=FILE, for instance no-image=answers.jsonl")
    return name, Path(path)


def names(text: str | None) -> tuple[str, ...] | None:
    """``A,B`` as its parts; ``none`` is no part, None is not said."""
    return None if text is None else () if text == "none" else tuple(text.split(","))
