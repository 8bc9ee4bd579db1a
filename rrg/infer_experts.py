"""What other models say of the slices: put before the task, and shown with the question.

An expert is a file of JSON lines: mask records of ``rrg segment`` (the structures of a slice), or what a classifier
found, ``{"slice": ID, "findings": ["pleural effusion"]}`` or ``{"study": ID, ...}``, findings as words or as ``{"de":
..., "en": ...}``. A slice of which an expert says nothing gets no line; one where it found nothing gets that.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rrg.anatomy import LABELS, display
from rrg.errors import UsageError
from rrg.records import ImageRef, Lang
from rrg.synth.dialogue_templates import NOTHING

Found = Mapping[str, str]
"""Language -> the words for a finding."""
Experts = Mapping[str, tuple[Found, ...]]
"""Slice or study id -> what was found there, in the order of the files."""


def read_experts(paths: Sequence[Path]) -> Experts:
    """What the files say. UsageError names the file and line that is neither of the two forms."""
    said: dict[str, dict[str, Found]] = {}
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"--experts {path}: not readable; give JSON lines in UTF-8") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                for place, found in _of_line(json.loads(line)):
                    said.setdefault(place, {}).update({each["en"]: each for each in found})
            except (ValueError, KeyError, TypeError, AttributeError):
                raise UsageError(
                    f'--experts {path}, line {number}: expected a mask record or {{"slice": ID, "findings": [...]}}, '
                    'or "study" in place of "slice"'
                ) from None
    return {place: tuple(found.values()) for place, found in said.items()}


def told(experts: Experts, image: ImageRef, study: str, lang: Lang) -> str | None:
    """The list for the prompt about an image, as `rrg train` writes it; None where no expert looked."""
    places = [place for place in (image.slice, study) if place in experts]
    if not places:
        return None
    words = dict.fromkeys(found[lang] for place in places for found in experts[place or ""])
    return ("; ".join(words) or NOTHING[lang]) + "."


def _of_line(line: Mapping[str, Any]) -> Iterator[tuple[str, list[Found]]]:
    schema = str(line.get("schema", ""))
    if schema.startswith("rrg.mask/"):
        names = [str(each["label"]) for each in line["labels"]]
        yield str(line["slice"]), [_structure(name) for name in names]
    elif not schema:
        place = line["slice"] if "slice" in line else line["study"]
        if not isinstance(place, str) or not isinstance(line["findings"], list):
            raise ValueError
        yield place, [_finding(each) for each in line["findings"]]


def _structure(label: str) -> Found:
    return {lang: display(label, lang) if label in LABELS else label for lang in ("de", "en")}


def _finding(said: Any) -> Found:
    found = {"de": said, "en": said} if isinstance(said, str) else {"de": said["de"], "en": said["en"]}
    if not all(isinstance(words, str) and words.strip() for words in found.values()):
        raise ValueError
    return found
