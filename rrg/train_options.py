"""Options of training the tiny family, and what follows from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from rrg.boxes import Dialect
from rrg.boxes import Kind as BoxFormat
from rrg.errors import UsageError
from rrg.model.mask_head import Loss
from rrg.prompt_context import Prefix
from rrg.records import Sample
from rrg.train_text import Question, kinds_of
from rrg.windows import Preset

STAGES = ("tower", "siglip", "sft")
DEFAULT = ("tower", "sft")
"""Stages unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train and how long. All of it changes the result."""

    model: str = "tiny"
    """``tiny`` or ``tiny:SIZE``; ignored with `base`."""
    stages: tuple[str, ...] = DEFAULT
    tower_steps: int = 3000
    tower_batch: int = 16
    tower_rate: float = 1e-3
    siglip_steps: int = 1000
    siglip_batch: int = 64
    siglip_rate: float = 1e-3
    sft_steps: int = 1500
    sft_batch: int = 16
    """Pictures (or groups of pictures) per step."""
    sft_tokens: int = 224
    """Tokens of a sequence: the pictures and as many of their questions as fit."""
    sft_rate: float = 1e-3
    peft: Literal["none", "lora"] = "none"
    lora_rank: int = 16
    lora_targets: tuple[str, ...] = ()
    """Empty: all linear layers of the language model."""
    lora_dropout: float = 0.0
    box_format: BoxFormat = "loc"
    bins: int = 64
    preset: Preset = "radgrounder"
    languages: tuple[str, ...] = ("de", "en")
    mix: tuple[tuple[str, float], ...] = ()
    """(task or kind of question, how often it is drawn relative to the others); 1 where nothing is said."""
    shares: tuple[tuple[str, float], ...] = ()
    """(task, its part of all questions); tasks that are not named are not learnt. Empty: by weights alone."""
    prefix: Prefix = "none"
    """Clinical information and question before the task."""
    findings_noise: float = 0.0
    """How often a finding that the prompt lists is missing, and a wrong one is put in."""
    precision: Literal["f32", "bf16"] = "f32"
    """Of the large products; weights, sums and the optimiser are f32 always."""
    mask_loss: Loss = "bce"
    """Of the mask head, with Dice; where the dialect is ``seg``."""
    mask_weight: float = 1.0
    """Of the mask head's loss beside that of the answers."""
    seed: int = 0

    @property
    def dialect(self) -> Dialect:
        """How a new model writes boxes."""
        return Dialect(self.box_format, self.bins)

    def __post_init__(self) -> None:
        """Refuse unknown stages and stages out of order."""
        if not self.stages or list(self.stages) != [stage for stage in STAGES if stage in self.stages]:
            raise UsageError(f"--stages {','.join(self.stages)}: expected some of {','.join(STAGES)}, in this order")


class Running(NamedTuple):
    """How a run is run. None of it changes the result."""

    resume: bool = False
    save_every: int = 0
    """Steps between two checkpoints; 0: ten minutes."""
    features: Path | None = None
    """Folder for features of frozen towers."""
    sample_every: int = 0
    """Steps between two looks at the validation split; 0: a quarter of the stage. It does decide which weights are
    kept where the best ones are; then it is a part of the run id."""
    fsdp: bool = False
    """Each of several processes holds a part of every weight."""


def parse_mix(text: str, option: str = "--mix") -> tuple[tuple[str, float], ...]:
    """``which=3,detect=0.5`` -> pairs in order of their names."""
    pairs: dict[str, float] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, number = part.partition("=")
        try:
            pairs[name] = float(number)
        except ValueError:
            pairs[name] = math.nan
        if not 0 <= pairs[name] < math.inf:
            raise UsageError(f"{option} {part}: expected NAME=WEIGHT with a weight of 0 or more")
    return tuple(sorted(pairs.items()))


def check_mix(mix: Sequence[tuple[str, float]], samples: Sequence[Sample]) -> None:
    """UsageError for a name that no sample goes by: a slip of the pen would change nothing and say nothing."""
    known = sorted({kind for sample in samples for kind in kinds_of(sample)})
    for name, _ in mix:
        if name not in known:
            raise UsageError(f"--mix {name}: no such task or question in the data set; it has {', '.join(known)}")


def check_shares(shares: Sequence[tuple[str, float]], questions: Sequence[Question]) -> None:
    """UsageError for a task without questions, or when nothing would be drawn."""
    known = sorted({question.task for question in questions})
    for task, share in shares:
        if share > 0 and task not in known:
            raise UsageError(f"--shares {task}: no such task to draw; the data set has {', '.join(known)}")
    if shares and not sum(share for _, share in shares) > 0:
        raise UsageError("--shares: all are 0; give at least one task a part")


def best_precision(gpu: bool = False) -> Literal["f32", "bf16"]:
    """bf16 where the processor is faster with it, else f32. `gpu`: asked for the GPU, where there is one.

    That is one with tiles (AMX) or of AMD's with avx512_bf16. Products of the size of tiny models ran in bf16 and
    in f32 at 489 and 108 GFLOP/s a core on an EPYC of family 26, but at 75 and 130 on an Intel Xeon with avx512_bf16
    and no tiles (torch 2.14.1).
    """
    if gpu and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "f32"
    has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = has.get("amx_bf16") or (has.get("avx512_bf16") and "AMD" in has.get("cpu_name", ""))
    return "bf16" if fast else "f32"


def words(text: str) -> tuple[str, ...]:
    """``a,b`` -> words."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
