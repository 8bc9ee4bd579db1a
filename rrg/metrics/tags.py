"""Inline boxes and masks in a text: take them out before text is compared, or read them."""

import re

_SPOT = re.compile(r"<(?:loc|seg)\d+>\s?")
_TAG = re.compile(r"</?(?:p|seg)(?:\s[^<>]*)?>")


def strip_tags(text: str) -> str:
    """The text without ``<p bbox=... id=...>``, ``<seg>``, ``<loc0100>``; a text without tags stays as it is."""
    if "<" not in text:
        return text
    bare = _TAG.sub("", _SPOT.sub("", text))
    return text if bare == text else re.sub(r" {2,}", " ", bare).strip()
