"""Bytes of a DICOM header -> text, by Specific Character Set, with repair of what scanners and gateways get wrong.

DICOM PS3.3 C.12.1.1.2 and PS3.5 6.1 name the sets; the repairs are the usual faults: no set at all, UTF-8 under ISO_IR
100, Latin-1 under ISO_IR 192, names misspelt. What can not be read with confidence is handed back raw and says so.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator

_SINGLE = {
    "13": "shift_jis",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "166": "iso8859_11",
    "203": "iso8859_15",
}
"""Number of an ISO_IR (or ISO 2022 IR) set -> codec: PS3.3 tables C.12-2 and C.12-3."""
_MULTI = {"58": "gb2312", "87": "iso2022_jp", "149": "euc_kr", "159": "iso2022_jp_2", "192": "utf_8"}
"""The same for tables C.12-4 and C.12-5."""
_NAMED = {
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 GBK": "gbk",
    "ISO 2022 58": "gb2312",
    "UTF-8": "utf_8",
    "UTF8": "utf_8",
    "LATIN1": "latin_1",
    "LATIN-1": "latin_1",
}
_ESCAPES = {
    b"(B": "ascii",
    b"(J": "shift_jis",
    b")I": "shift_jis",
    b"-A": "latin_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-F": "iso8859_7",
    b"-G": "iso8859_6",
    b"-H": "iso8859_8",
    b"-L": "iso8859_5",
    b"-M": "iso8859_9",
    b"-T": "iso8859_11",
    b"-b": "iso8859_15",
    b"$B": "iso2022_jp",
    b"$@": "iso2022_jp",
    b"$(D": "iso2022_jp_2",
    b"$)C": "euc_kr",
    b"$)A": "gb2312",
}
"""What follows ESC -> codec of the text after it."""
_KEEPS_ESCAPE = ("iso2022_jp", "iso2022_jp_2")
_SCRIPTS = {
    "iso8859_7": (0x0370, 0x03FF),
    "iso8859_6": (0x0600, 0x06FF),
    "iso8859_8": (0x0590, 0x05FF),
    "iso8859_5": (0x0400, 0x04FF),
    "iso8859_11": (0x0E00, 0x0E7F),
}
_LATIN_END = 0x0180
_THREE_BYTES = 0x0800
"""From here on UTF-8 takes three bytes: a letter and two signs in Latin-1, which is no text."""
_GREEK_CYRILLIC = (0x0370, 0x04FF)
_DELIMITERS = re.compile(rb"[\t\n\f\r\\^=]")
_C1 = re.compile(rb"[\x80-\x9f]")
_PAIR = re.compile(rb"[\xc2-\xdf][\x80-\xbf]")
_SET = re.compile(r"ISO(?:[ _-]*2022)?[ _-]*IR[ _-]*(\d+)")
_ISO_8859 = re.compile(r"ISO[ _-]*8859[ _-](\d+)")
_GERMAN = frozenset("ÄÖÜäöüß")
_LONGEST_RUN = 2
"""Accented letters in a row: more are no word of a language that Latin-1 was made for."""


def decode(raw: bytes, charsets: str | None) -> tuple[str, bool]:
    r"""Text (NFC) of a header value, and whether it is raw.

    `charsets` is Specific Character Set as it stands in the file, values joined by a backslash; None or empty: absent.
    Raw text holds each byte as the character of that number (``text.encode("latin-1")`` gives the bytes back); the
    flag is ``charset_raw``. Multi-byte sets may hold 0x5C inside of a character: split at backslashes afterwards.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii"), False
    text = _read(raw, _codecs(charsets or ""))
    if text is None or "\ufffd" in text:
        return raw.decode("latin-1"), True
    return unicodedata.normalize("NFC", text), False


@functools.lru_cache(maxsize=256)
def _codecs(charsets: str) -> tuple[str | None, ...]:
    """Codec of each value of Specific Character Set: ``ascii`` for none, None for one that is not known."""
    return tuple(_codec(term) for term in charsets.split("\\"))


def _codec(term: str) -> str | None:
    word = " ".join(term.strip(" \0").upper().split())
    if word in _NAMED:
        return _NAMED[word]
    if found := _SET.fullmatch(word):
        return "ascii" if found[1] == "6" else _SINGLE.get(found[1]) or _MULTI.get(found[1])
    if found := _ISO_8859.fullmatch(word):
        return f"iso8859_{found[1]}" if 2 <= int(found[1]) <= 15 and found[1] != "12" else "latin_1"
    return "ascii" if word in ("", "ASCII", "US-ASCII") else None


def _read(raw: bytes, codecs: tuple[str | None, ...]) -> str | None:
    """Text, or None when no reading is sure."""
    declared = [codec for codec in codecs if codec not in (None, "ascii")]
    if b"\x1b" in raw:
        return _escaped(raw, next(iter(codecs)) or "ascii")
    first = declared[0] if declared else None
    if first is None:
        return _utf8(raw, "latin_1") or _guessed_latin(raw)
    if first == "utf_8":
        return _strict(raw, "utf_8", doubled=True) or _guessed_latin(raw)
    if first in _SINGLE.values() and first != "shift_jis":
        return _utf8(raw, first) or _single(raw, first)
    return _strict(raw, first)


def _strict(raw: bytes, codec: str, *, doubled: bool = False) -> str | None:
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        return None
    return _once(text) if doubled else text


def _once(text: str) -> str:
    """Text that was turned into UTF-8 twice, read twice."""
    for codec in ("latin_1", "cp1252"):
        try:
            inner = text.encode(codec)
        except UnicodeEncodeError:
            continue
        if _PAIR.search(inner) and (again := _utf8(inner, "latin_1")) is not None:
            return again
    return text


def _utf8(raw: bytes, declared: str) -> str | None:
    """`raw` as UTF-8, where that is what it must be: bytes that `declared` has no letter for, or letters of its own.

    Without the second look ``Fuß»`` in Latin-1 would become a letter of N'Ko, and ``дБ`` in ISO 8859-5 one of Armenian.
    """
    text = _strict(raw, "utf_8")
    if text is None:
        return None
    if _C1.search(raw) or all(ord(character) < 128 or _belongs(character, declared) for character in text):
        return _once(text)
    return None


def _belongs(character: str, declared: str) -> bool:
    first, last = _SCRIPTS.get(declared, _GREEK_CYRILLIC if declared == "latin_1" else (1, 0))
    code = ord(character)
    return first <= code <= last or (declared not in _SCRIPTS and (code < _LATIN_END or code >= _THREE_BYTES))


def _single(raw: bytes, codec: str) -> str | None:
    """A single-byte set as declared. Bytes 80 to 9F are no letters there: a page of DOS or Windows, not told which."""
    return None if _C1.search(raw) or _cut_utf8(raw, codec) else _strict(raw, codec)


def _cut_utf8(raw: bytes, declared: str) -> bool:
    """Pieces of UTF-8 in something that is no UTF-8 as a whole: cut at a field's length, or mixed."""
    pairs = (pair[0].decode("utf_8") for pair in _PAIR.finditer(raw))
    return any(_belongs(character, declared) for character in pairs)


def _guessed_latin(raw: bytes) -> str | None:
    """Latin-1 that nobody declared, if it reads like a language that is written with it."""
    text = _single(raw, "latin_1")
    if text is None:
        return None
    high = [character for character in text if ord(character) > 127 and character.isalpha()]
    if set(high) <= _GERMAN:
        return text
    plain = sum(character.isascii() and character.isalpha() for character in text)
    runs = re.findall(rf"[^\W\d_a-zA-Z]{{{_LONGEST_RUN + 1},}}", text)
    return None if runs or len(high) > plain else text


def _escaped(raw: bytes, first: str) -> str | None:
    """Text with code extensions: each ESC names the set of what follows, up to a delimiter (PS3.5 6.1.2.5)."""
    try:
        return "".join(_pieces(raw, first))
    except (UnicodeDecodeError, LookupError):
        return None


def _pieces(raw: bytes, first: str) -> Iterator[str]:
    start, *rest = raw.split(b"\x1b")
    yield start.decode(first)
    for piece in rest:
        escape = next((code for code in sorted(_ESCAPES, key=len, reverse=True) if piece.startswith(code)), None)
        if escape is None:
            raise LookupError("escape sequence of no set of DICOM")
        codec = _ESCAPES[escape]
        if codec in _KEEPS_ESCAPE:
            yield (b"\x1b" + piece).decode(codec)
            continue
        body = piece[len(escape) :]
        delimiter = _DELIMITERS.search(body) if codec != "ascii" else None
        end = delimiter.start() if delimiter else len(body)
        yield body[:end].decode(codec) + body[end:].decode(first)
