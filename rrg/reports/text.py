"""Bytes of a report -> the text that is stored: decoded, without markup, NFC. All spans refer to that text."""

import re
import unicodedata
from html.parser import HTMLParser

from rrg.reports.words import word_set

_BLOCKS = word_set(
    """address article aside blockquote body br dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 header hr html
    label legend li main nav ol option p pre section select table tbody td textarea tfoot th thead tr ul"""
)
_HIDDEN = frozenset(("script", "style", "head", "template"))
_VANISH = dict.fromkeys(
    [0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""Soft hyphen, zero-width characters and direction marks: seen by no reader, in the way of every word list."""
_SPACES = dict.fromkeys(
    [0x00A0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000, 0x000B, 0x000C, 0x0009, 0x2028, 0x2029, 0x0085],
    " ",
)
_C1 = {code: bytes([code]).decode("cp1252", "ignore") or None for code in range(0x80, 0xA0)}
"""Windows characters that were read as Latin-1."""
_C0 = dict.fromkeys([*range(0x00, 0x09), *range(0x0E, 0x20), 0x7F])
_REPAIR = {**_C1, **_C0, **_VANISH, **_SPACES, 0x0085: "…"}


def decode(data: bytes) -> str:
    """UTF-8 (with or without mark), UTF-16 with mark, else Windows-1252, else Latin-1. Never fails."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def clean(text: str) -> str:
    """Markup and control characters out, line ends ``\\n``, odd spaces to spaces, NFC. Empty when nothing is left."""
    head = text[:2000].lstrip("\ufeff \r\n\t")
    if head.startswith("{\\rtf"):
        text = _from_rtf(text)
    elif re.match(r"(?i)<(!doctype html|html|\?xml|body|p>|div|section)", head):
        text = _from_html(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_REPAIR)
    text = unicodedata.normalize("NFC", text)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(re.sub(r"\s+", " ", data))


def _from_html(text: str) -> str:
    parser = _Text()
    parser.feed(text)
    parser.close()
    lines = (line.strip() for line in "".join(parser.parts).split("\n"))
    return re.sub(r"\n{2,}", "\n\n", "\n\n".join(lines))


_RTF = re.compile(r"\\'([0-9a-fA-F]{2})|\\u(-?\d+) ?\??|\\([a-zA-Z]+)(-?\d+)? ?|\\([^a-zA-Z])|([{}])|([^\\{}]+)")
_RTF_HIDDEN = frozenset(
    ("fonttbl", "colortbl", "stylesheet", "info", "pict", "header", "footer", "generator", "object")
)
_RTF_BREAKS = {"par": "\n", "line": "\n", "tab": " ", "cell": " ", "row": "\n", "sect": "\n", "page": "\n"}
_RTF_SIGNS = {"emdash": "–", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”"}


def _from_rtf(text: str) -> str:
    """The visible text of Rich Text Format, code page 1252 (RTF specification 1.9)."""
    parts: list[str] = []
    stack: list[bool] = []
    hidden = False
    for code, number, word, _, sign, brace, plain in _RTF.findall(text):
        if brace == "{":
            stack.append(hidden)
        elif brace == "}":
            hidden = stack.pop() if stack else False
        elif word in _RTF_HIDDEN or sign == "*":
            hidden = True
        elif hidden:
            continue
        elif code:
            parts.append(bytes.fromhex(code).decode("cp1252", "replace"))
        elif number:
            parts.append(chr(int(number) % 0x10000))
        elif word:
            parts.append(_RTF_BREAKS.get(word, _RTF_SIGNS.get(word, "")))
        elif sign:
            parts.append({"~": " ", "_": "-", "-": ""}.get(sign, sign if sign in "\\{}" else ""))
        else:
            parts.append(plain.replace("\r", "").replace("\n", ""))
    return "".join(parts)
