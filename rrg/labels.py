"""What the header of an image says of it, in closed words. Free text is read here and does not leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Hint = Literal["localizer", "mip", "vrt", "reformat", "bolus", "dynamic", "derived"]
"""What the texts of a header say of the role of its series."""


class Tags(Protocol):
    """The tags of one data set, by number ``0xGGGGEEEE``."""

    def texts(self, tag: int) -> tuple[str, ...]:
        """All values of a text element; empty when absent."""

    def text(self, tag: int) -> str | None:
        """First value."""

    def whole_text(self, tag: int) -> str | None:
        """Text whose backslash is no separator."""

    def number(self, tag: int) -> float | None:
        """First value of a decimal string."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Closed words about one image. None: not known."""

    hints: tuple[Hint, ...] = ()
    thickness_mm: float | None = None
    kernel: str | None = None
    contrast_phase: str | None = None
    sequence: str | None = None
    fat_suppressed: bool | None = None
    scanner: str | None = None
    field_strength_t: float | None = None
    sex: str | None = None
    age_band: str | None = None


TAGS: Mapping[str, int] = {}
"""What `labels_of` reads."""


def labels_of(tags: Tags) -> Labels:
    """Labels of an image from its header."""
    return Labels()
