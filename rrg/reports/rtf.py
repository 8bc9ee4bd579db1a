"""Rich Text Format -> the text that a reader sees (RTF specification 1.9.1)."""

import re
from typing import NamedTuple

from rrg.reports.words import word_set

_TOKEN = re.compile(r"\\'([0-9a-fA-F]{2})|\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\([^a-zA-Z])|([{}])|([^\\{}]+)", re.DOTALL)
_HIDDEN = word_set(
    """colortbl stylesheet info pict header headerl headerr headerf footer footerl footerr footerf generator object
    listtable listoverridetable revtbl rsidtbl xmlnstbl themedata datastore fldinst filetbl bkmkstart bkmkend
    footnote annotation"""
)
"""Destinations that are no body text. Footnotes and comments of the editor are none of the report."""
_WORDS = {
    **dict.fromkeys(("par", "line", "row", "nestrow", "sect", "page", "column"), "\n"),
    **dict.fromkeys(("tab", "cell", "nestcell", "emspace", "enspace", "qmspace"), " "),
    "emdash": "—",
    "endash": "–",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
    "bullet": "•",
}
_CHARSETS = {
    0: "cp1252",
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    134: "gbk",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    255: "cp850",
}
"""``\\fcharset`` -> code page."""
_PAGES = {
    437: "cp437",
    850: "cp850",
    852: "cp852",
    932: "cp932",
    936: "gbk",
    949: "cp949",
    950: "cp950",
    65001: "utf-8",
}


class _State(NamedTuple):
    """What a group inherits and gives back at its end."""

    hidden: bool = False
    skip: int = 1
    """Characters after ``\\u`` that stand for it (``\\uc``)."""
    font: int | None = None
    in_fonts: bool = False
    unseen: bool = False
    """Hidden (``\\v``) or deleted text."""


class _Reader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.bytes = bytearray()
        self.state = _State()
        self.stack: list[_State] = []
        self.page = "cp1252"
        self.fonts: dict[int, str] = {}
        self.left = 0
        """Characters that are still to be skipped after ``\\u``."""

    def write(self, text: str) -> None:
        self.flush()
        if not (self.state.hidden or self.state.unseen):
            self.parts.append(text)

    def flush(self) -> None:
        """Bytes of one code page are decoded together: a character may have two."""
        if self.bytes:
            page = self.fonts.get(self.state.font, self.page) if self.state.font is not None else self.page
            text, self.bytes = bytes(self.bytes).decode(page, "replace"), bytearray()
            if not (self.state.hidden or self.state.unseen):
                self.parts.append(text)

    def brace(self, sign: str) -> None:
        self.flush()
        self.left = 0
        if sign == "{":
            self.stack.append(self.state)
        elif self.stack:
            self.state = self.stack.pop()

    def word(self, name: str, value: int | None) -> None:
        state = self.state
        if name == "u" and value is not None:
            self.write(chr(value % 0x10000))
            self.left = state.skip
            return
        self.flush()
        if name == "fonttbl":
            self.state = state._replace(hidden=True, in_fonts=True)
        elif name in _HIDDEN:
            self.state = state._replace(hidden=True)
        elif name == "uc" and value is not None:
            self.state = state._replace(skip=max(0, min(value, 100)))
        elif name == "f" and value is not None:
            self.state = state._replace(font=value)
        elif name == "plain":
            self.state = state._replace(font=None, unseen=False)
        elif name in ("v", "deleted"):
            self.state = state._replace(unseen=value != 0)
        elif name == "fcharset" and state.in_fonts and state.font is not None and value is not None:
            if value not in (0, 1):  # ANSI and default: the code page of the document
                self.fonts[state.font] = _CHARSETS.get(value, self.page)
        elif name == "ansicpg" and value is not None:
            self.page = _PAGES.get(value, f"cp{value}" if 1250 <= value <= 1258 or value == 874 else "cp1252")
        elif name in ("mac", "pc", "pca"):
            self.page = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[name]
        elif name in _WORDS:
            self.write(_WORDS[name])


def rtf_text(text: str) -> str:
    """The visible text. Damaged input gives what can be read; time grows with its length only."""
    reader = _Reader()
    at = 0
    while match := _TOKEN.search(text, at):
        code, name, value, sign, brace, plain = match.groups()
        at = match.end()
        if brace:
            reader.brace(brace)
        elif name == "bin" and value is not None:
            at += max(0, int(value))
        elif name:
            reader.word(name, int(value) if value is not None else None)
        elif sign == "*":
            reader.state = reader.state._replace(hidden=True)
        elif reader.left and (code or sign):
            reader.left -= 1
        elif code:
            reader.bytes += bytes.fromhex(code)
        elif sign:
            reader.write({"~": " ", "_": "-", "\n": "\n", "\r": "\n"}.get(sign, sign if sign in "\\{}" else ""))
        else:
            plain = plain.replace("\r", "").replace("\n", "")
            dropped = min(reader.left, len(plain))
            reader.left -= dropped
            if plain[dropped:]:
                reader.write(plain[dropped:])
    reader.flush()
    joined = "".join(reader.parts)
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # \u gives surrogates one by one
