"""Labelers that were made for English reports: other languages are refused, unless it is said that they are meant."""

from collections.abc import Sequence

from rrg.errors import RrgError
from rrg.formats.items import Item
from rrg.metrics.options import TaskOptions


def check(items: Sequence[Item], options: TaskOptions, labeler: str) -> list[str]:
    """A warning with ``--force``; RrgError without it, where references declare a language that is not English."""
    langs = sorted({item.reference.lang for item in items if item.reference.lang} - {"en"})
    if not langs:
        return []
    if not options.force:
        raise RrgError(
            f"{labeler} reads English; references are in {', '.join(langs)}; score English ones (--where lang=en), "
            "labels of another labeler (labels --protocol multilabel), or give --force"
        )
    return [f"{labeler} reads English; references in {', '.join(langs)} are scored because of --force"]


def signature(options: TaskOptions) -> dict[str, str]:
    """What the signature says about ``--force``."""
    return {"force": "yes"} if options.force else {}
