"""What `synth-ground` makes: its options, and what is made on one slice in one language."""

from dataclasses import dataclass, field
from typing import Literal

from numpy.random import Generator

from rrg.records import Lang, Sample
from rrg.synth import templates
from rrg.synth.negatives import SHARES, Asked
from rrg.synth.seen import Seen

COMMAND = "synth-ground"
TASKS = ("report", "grounded-report", "phrase-to-box", "detect", "box-to-phrase")


@dataclass(frozen=True)
class Options:
    """What to make."""

    languages: tuple[Lang, ...] = ("de", "en")
    tasks: tuple[str, ...] = TASKS
    slices: str = "40"
    per_slice: int = 4
    """Detect questions per slice and language."""
    negatives_detect: float = SHARES["detect"]
    """Share of them that ask for absent structures."""
    negatives_phrase: float = SHARES["phrase-to-box"]
    """The same for phrase-to-box questions."""
    min_area_px: int = 20
    min_score: float | None = None
    """Structures whose masks were judged worse are left out."""
    border: Literal["keep", "drop"] = "keep"
    """What to do with structures that reach the border of the image."""
    components: bool = False
    """One box per connected component instead of the union box."""
    pair: Literal["mask"] | None = None
    """Give sentences that cite no slice the one where the structure that they name is largest."""
    paraphrase: bool = False
    seed: int = 0


@dataclass
class Part:
    """What is made on one slice in one language."""

    seen: Seen
    lang: Lang
    rng: Generator
    samples: list[Sample] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    denied: list[Asked] = field(default_factory=list)


def form_of(family: str, lang: Lang, options: Options, rng: Generator) -> int:
    """Which wording of a prompt: the canonical one, or any, with ``--paraphrase``."""
    return int(rng.integers(templates.forms(family, lang))) if options.paraphrase else 0
