"""What every reader hands to the scores: one item per reference, with the prediction that was joined to it by id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Scalar = str | int | float | bool
AnswerType = Literal["open", "closed"]
Numbers4 = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseBox:
    """One phrase and one box of it: x0, y0, x1, y1 in the frame that its file declares."""

    phrase: str
    box: Numbers4
    image: str = "i0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference. `value` is a text, a box (four numbers, None or a text that holds one) or phrases with boxes."""

    id: str
    line: int
    value: Any
    facets: Mapping[str, Scalar] = field(default_factory=dict)
    lang: str | None = None
    answer_type: AnswerType | None = None
    question: str = ""
    choices: tuple[str, ...] = ()
    frame: tuple[float, float] | None = None
    """(columns, rows): the range of pixel boxes; None when the file does not say."""
    image: Any = None
    """What it is about: an `ImageRef`, or the name of a picture as the row gives it; None: the file does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One prediction, before the join."""

    id: str
    line: int
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A reference and its prediction."""

    reference: Reference
    prediction: Any = None
    """As `Reference.value`; for boxes None means "no box"."""
    missing: bool = False
    """No prediction has this id; `prediction` is then None."""

    @property
    def text(self) -> str:
        """The prediction as a text; the empty text when it is missing."""
        return self.prediction if isinstance(self.prediction, str) else ""
