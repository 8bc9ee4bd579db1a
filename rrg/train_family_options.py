"""Options of fine-tuning a model folder."""

from dataclasses import dataclass
from typing import Literal

from rrg.boxes import Dialect
from rrg.errors import UsageError
from rrg.model.families import LINEAR, TRAINED
from rrg.model.mask_head import Loss
from rrg.prompt_context import Prefix
from rrg.train_augment import KINDS, Kind
from rrg.windows import Preset

OPENED = ("projector", "tower")
Attention = Literal["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train and how long. All of it changes the result."""

    stages: tuple[str, ...] = ("sft",)
    steps: int = 1500
    """Of each stage."""
    batch: int = 16
    """Samples per step, whatever passes the model at once and on however many devices (the effective batch)."""
    micro: int = 1
    """Samples of the step that pass the model together; they have equally many pictures and like lengths."""
    rate: float = 5e-5
    optimiser: Literal["adamw", "adafactor"] = "adamw"
    peft: Literal["none", "lora"] = "none"
    lora_rank: int = 16
    lora_targets: tuple[str, ...] = LINEAR
    lora_dropout: float = 0.0
    opened: tuple[str, ...] = ()
    """Parts that learn in sft beside what learns there anyway: ``projector`` (with adapters), ``tower``."""
    keep: Literal["last", "best"] = "last"
    """best: the weights at the look with the lowest validation loss."""
    patience: int = 0
    """Looks in a row without a lower validation loss after which a stage ends; 0: it has all its steps."""
    dialect: Dialect | None = None
    """None: the family's own."""
    preset: Preset = "radgrounder"
    languages: tuple[str, ...] = ("de", "en")
    context: int = 2048
    mix: tuple[tuple[str, float], ...] = ()
    """(task or kind of question, how often it is drawn relative to the others); 1 where nothing is said."""
    shares: tuple[tuple[str, float], ...] = ()
    """(task, its part of all draws); tasks that are not named are not drawn. Empty: by weights alone."""
    prefix: Prefix = "none"
    """Clinical information and question before the task."""
    lower_answers: bool = False
    """Answers of vqa are learnt in lower case: data sets write Yes and yes."""
    findings_noise: float = 0.0
    """How often a finding that the prompt lists is missing, and a wrong one is put in."""
    no_image: bool = False
    """Control: every picture is grey, so that only words can be learnt."""
    augment: tuple[Kind, ...] = ()
    precision: Literal["f32", "bf16"] = "f32"
    """Of the large products; weights, sums and the optimiser are f32 always."""
    checkpointing: bool = False
    """Compute activations twice instead of keeping them."""
    attention: Attention = "auto"
    """auto: what transformers takes."""
    mask_loss: Loss = "bce"
    """Of the mask head, with Dice; where the dialect is ``seg``."""
    mask_weight: float = 1.0
    """Of the mask head's loss beside that of the answers."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown stages and stages out of order, and unknown kinds of augmentation."""
        if not self.stages or list(self.stages) != [stage for stage in TRAINED if stage in self.stages]:
            known = ",".join(TRAINED)
            raise UsageError(
                f"--stages {','.join(self.stages)}: of a model folder expected some of {known}, in this order"
            )
        if "siglip" in self.stages and (self.no_image or self.keep == "best"):
            raise UsageError("--no-image and --keep best: not with the stage siglip; train it by a command of its own")
        if self.patience and self.keep != "best":
            raise UsageError("--patience ends at the lowest validation loss; give --keep best with it")
        if unknown := [each for each in self.opened if each not in OPENED]:
            raise UsageError(f"--also {unknown[0]}: expected some of {','.join(OPENED)}")
        if unknown := [each for each in self.augment if each not in KINDS]:
            raise UsageError(f"--augment {unknown[0]}: expected some of {','.join(KINDS)}")
