"""Both sides of a score whose files are not rows of an id and one value."""

from dataclasses import dataclass
from typing import Any

from rrg.formats.items import Item

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Both files, joined, in the order of the references."""

    items: list[Item]
    inputs: Json
    """``predictions`` and ``references``: path, sha256, n."""
    notes: list[str]
