"""Bytes of a report -> the text that is stored: decoded, without markup, NFC. All spans refer to that text."""

import codecs
import re
import unicodedata
from html.parser import HTMLParser

from rrg.reports.rtf import rtf_text
from rrg.reports.words import word_set

_BLOCKS = word_set(
    """address article aside blockquote body dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 header hr html
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


_MARKS = ((b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_DOS_LETTERS = re.compile(rb"(?<=[A-Za-z])[\x81\x84\x94\xe1](?=[a-z])|(?<![\x80-\xff])[\x8e\x99\x9a](?=[a-z]{2})")
"""German letters of code page 850 inside words; in Windows-1252 the same bytes are quotes or no letters of German."""
_WINDOWS_LETTERS = re.compile(rb"[\xe4\xf6\xfc\xc4\xd6\xdc\xdf]")


def encoding_of(data: bytes) -> str:
    """UTF-8, UTF-16 or UTF-32 (by mark, UTF-16 also by its zero bytes), else DOS (850), else Windows-1252."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    head = data[:4096]
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) >= 4 and head[start::2].count(0) > 0.7 * len(head) / 2 and 0 not in head[1 - start :: 2][:2]:
            return encoding
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) - error.start < 4 and error.reason == "unexpected end of data":
            return "utf-8"  # cut off within a character
        is_dos = _DOS_LETTERS.search(data) and not _WINDOWS_LETTERS.search(data)
        return "cp850" if is_dos else "cp1252"
    return "utf-8"


_OTHER_FILES = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a ZIP archive or an Office file",
    b"\xd0\xcf\x11\xe0": "an Office file",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"\x1f\x8b": "a gzip file",
}
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x7f]")
_MOST_CONTROLS = 0.05
"""Share of control characters above which bytes are no text; terminals and printers leave a few."""


def no_text(data: bytes) -> str | None:
    """What `data` is when it is not the text of a report, else None."""
    for mark, what in _OTHER_FILES.items():
        if data.startswith(mark):
            return what
    head = decode(data[:4096])
    return "binary data" if len(_CONTROLS.findall(head)) > _MOST_CONTROLS * len(head) else None


def decode(data: bytes, encoding: str | None = None) -> str:
    """Text of `data`, by what the source says where that fits, else by `encoding_of`. Never fails."""
    if encoding is not None:
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            pass
    encoding = encoding_of(data)
    if encoding == "cp1252":
        return data.decode("cp1252", "cp1252_or_latin1")
    return data.decode(encoding, "replace")


def _latin1(error: UnicodeError) -> tuple[str, int]:
    """The five bytes that Windows-1252 does not have."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("cp1252_or_latin1", _latin1)


def clean(text: str) -> str:
    """Markup and control characters out, line ends ``\\n``, odd spaces to spaces, NFC. Empty when nothing is left."""
    head = text[:2000].lstrip("\ufeff \r\n\t")
    if head.startswith("{\\rtf"):
        text = rtf_text(text)
    elif re.match(r"(?i)<(!doctype html|html|\?xml|body|p>|div|section)", head):
        text = _from_html(text)
    text = repaired(text).replace("\r\n", "\n").replace("\r", "\n").translate(_REPAIR)
    text = unicodedata.normalize("NFC", text)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


_HIGH = {bytes([code]).decode("cp1252", "cp1252_or_latin1"): code for code in range(0x80, 0x100)}
_HIGH |= {chr(code): code for code in range(0x80, 0xA0)}
"""What the bytes of UTF-8 become when they are read as Windows-1252 or Latin-1."""
_TAIL = "[" + re.escape("".join(char for char, code in _HIGH.items() if code < 0xC0)) + "]"
_MOJIBAKE = re.compile(rf"[ÂÃ]{_TAIL}|â{_TAIL}{_TAIL}")
"""UTF-8 of Latin letters and of typographic signs. Only what begins with a letter that neither language has in front of
such a sign: "Ä“" may be a German quotation."""


def repaired(text: str) -> str:
    """ "Ã¼" back to "ü", also where it happened twice; what is no UTF-8 stays."""
    for _ in range(2):
        again = _MOJIBAKE.sub(_original, text)
        if again == text:
            break
        text = again
    return text


def _original(match: re.Match[str]) -> str:
    try:
        found = bytes(_HIGH[char] for char in match[0]).decode("utf-8")
    except UnicodeDecodeError:
        return match[0]
    return found if found < "\u0100" or "\u2010" <= found <= "\u22ff" else match[0]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag == "br":
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(re.sub(r"\s+", " ", data))


def _from_html(text: str) -> str:
    parser = _Text()
    parser.feed(text)
    parser.close()
    lines = (line.strip() for line in "".join(parser.parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
