"""Header text: what the character set says, what is wrong about it, and never a wrong letter without a word."""

import contextlib
import re
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from rrg.charset import decode

GERMAN = "aeinrstuÄÖÜäöüß ,.-()0123456789"
NAMES = ("Müller^Jörg", "Größe: 12 µm", "Weiß", "Öl", "Prüfung (Fuß)", "Ärztin", "ÄÖÜ äöü ß")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("charsets", "codec"),
    [
        (None, "latin_1"),  # no charset
        ("", "latin_1"),
        ("ISO_IR 6", "latin_1"),
        ("ISO_IR 100", "latin_1"),
        ("ISO_IR 100", "utf_8"),  # fo-dicom/fo-dicom#2029
        ("ISO_IR 192", "utf_8"),
        ("ISO_IR 192", "latin_1"),  # fo-dicom/fo-dicom#1210
        ("ISO IR 192", "utf_8"),  # pydicom/pynetdicom#201
        ("ISO IR 100", "latin_1"),
        ("iso_ir 100 ", "latin_1"),
        ("ISO_IR100", "latin_1"),
        ("ISO-IR 192", "utf_8"),
        ("UTF-8", "utf_8"),
        ("ISO8859-1", "latin_1"),
        ("\\ISO 2022 IR 6", "latin_1"),
        ("\\ISO 2022 IR 6", "utf_8"),
        ("\\ISO 2022 IR 100", "latin_1"),  # without its escape sequences
        ("ISO 2022 IR 100\\ISO 2022 IR 87", "latin_1"),
        ("NO SUCH SET", "latin_1"),
        (None, "utf_8"),
    ],
)
def test_umlauts_are_right(name: str, charsets: str | None, codec: str) -> None:
    assert decode(name.encode(codec), charsets) == (name, False)


@pytest.mark.parametrize(
    ("charsets", "codec", "text"),
    [
        ("ISO_IR 144", "iso8859_5", "Люкceмбypг"),
        ("ISO_IR 144", "utf_8", "Иванов^Иван"),
        ("ISO_IR 144", "iso8859_5", "дБ и мПа"),  # also valid UTF-8, of Armenian letters
        ("ISO_IR 126", "iso8859_7", "Διονυσιος"),
        ("ISO_IR 126", "utf_8", "αβγ"),
        ("ISO_IR 101", "iso8859_2", "Wałęsa"),
        ("ISO_IR 148", "iso8859_9", "Çavuşoğlu"),
        ("ISO_IR 138", "iso8859_8", "שרון"),
        ("ISO_IR 127", "iso8859_6", "قباني"),
        ("ISO_IR 166", "iso8859_11", "นามสกุล"),
        ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("GB18030", "gb18030", "王^小东"),
        ("GBK", "gbk", "王^小东"),
        ("ISO_IR 192", "utf_8", "王^小東"),
        ("ISO_IR 100", "utf_8", "王^小東"),
        ("ISO_IR 100", "utf_8", "5 α-Blocker, Иван"),
        ("ISO_IR 100", "latin_1", "Fuß»"),  # also valid UTF-8, of N'Ko
        ("ISO_IR 100", "latin_1", "ÆØÅæøå"),
        (None, "utf_8", "Иванов"),
    ],
)
def test_sets_of_the_standard(charsets: str, codec: str, text: str) -> None:
    assert decode(text.encode(codec), charsets) == (text, False)


def test_code_extensions() -> None:
    """The examples of DICOM PS3.5 Annexes H and I."""
    japanese = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    assert decode(japanese, "\\ISO 2022 IR 87") == ("Yamada^Tarou=山田^太郎=やまだ^たろう", False)
    half = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
    assert decode(half, "ISO 2022 IR 13\\ISO 2022 IR 87") == ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", False)
    korean = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
    assert decode(korean, "\\ISO 2022 IR 149") == ("Hong^Gildong=洪^吉洞=홍^길동", False)
    chinese = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
    assert decode(chinese, "\\ISO 2022 IR 58") == ("Zhang^XiaoDong=张^小东=", False)
    mixed = b"Dionysios is \x1b-F\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2"
    assert decode(mixed, "ISO 2022 IR 100\\ISO 2022 IR 126") == ("Dionysios is Διονυσιος", False)


@pytest.mark.parametrize(
    ("raw", "charsets"),
    [
        ("Müller".encode("cp850"), None),  # ü is 81, a control of Latin-1
        ("Müller".encode("cp850"), "ISO_IR 100"),
        ("„Wirbel“".encode("cp1252"), "ISO_IR 100"),  # 84 is ä in cp850: nobody can tell
        ("Иванов".encode("cp1251"), None),
        ("Иванов".encode("koi8_r"), "ISO_IR 192"),
        ("Müller, Jö".encode()[:-1], None),  # UTF-8 cut at a field's length
        ("Müller, Jö".encode()[:-1], "ISO_IR 100"),
        ("王小".encode("gbk"), None),
        (b"\x1b%Gabc", None),  # an escape sequence of no DICOM set
        (b"\x1b$B\xff\xff", "\\ISO 2022 IR 87"),
        (b"\xff\xff", "GB18030"),
        (b"\xae\xaf\xff", "ISO_IR 127"),
    ],
)
def test_what_can_not_be_told_is_raw_and_says_so(raw: bytes, charsets: str | None) -> None:
    text, is_raw = decode(raw, charsets)
    assert is_raw
    assert text.encode("latin_1") == raw


def test_utf8_written_twice_is_read_twice() -> None:
    twice = "Müller".encode().decode("latin_1").encode()
    assert decode(twice, "ISO_IR 192") == decode(twice, None) == ("Müller", False)
    assert decode("Größe".encode().decode("cp1252").encode(), "ISO_IR 192") == ("Größe", False)


def test_text_is_composed() -> None:
    assert decode(unicodedata.normalize("NFD", "Müller").encode(), "ISO_IR 192") == ("Müller", False)


@given(st.text(alphabet=st.characters(max_codepoint=126).filter(lambda c: c != "\x1b")), st.text())
def test_ascii_is_ascii_under_any_set(text: str, charsets: str) -> None:
    assert decode(text.encode("ascii"), charsets) == (text, False)


@given(
    st.text(alphabet=GERMAN, min_size=1),
    st.sampled_from([None, "", "ISO_IR 100", "ISO_IR 192", "ISO IR 192", "\\ISO 2022 IR 6", "ISO 2022 IR 100", "odd"]),
    st.sampled_from(["latin_1", "utf_8"]),
)
def test_german_text_survives_every_mistake(text: str, charsets: str | None, codec: str) -> None:
    assert decode(text.encode(codec), charsets) == (text, False)


SETS = {
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 13": "shift_jis",
    "GB18030": "gb18030",
}


@given(st.sampled_from(sorted(SETS)), st.binary(min_size=1, max_size=12))
def test_a_declared_set_is_believed_like_pydicom_does_or_the_text_is_utf8_or_raw(charsets: str, raw: bytes) -> None:
    assume(b"\x1b" not in raw)
    text, is_raw = decode(raw, charsets)
    if is_raw or raw.isascii():
        return
    expected = [decode_bytes(raw, convert_encodings([charsets]), TEXT_VR_DELIMS)]
    for codec in (None, "latin_1", "cp1252"):  # UTF-8, and what was turned into UTF-8 twice
        with contextlib.suppress(UnicodeError):
            once = raw.decode()
            expected.append(once if codec is None else once.encode(codec).decode())
    assert text in [unicodedata.normalize("NFC", each) for each in expected]


@given(st.binary(), st.one_of(st.none(), st.text(), st.sampled_from([*SETS, "\\ISO 2022 IR 87", "ISO_IR 192"])))
def test_any_bytes_give_text_or_raw(raw: bytes, charsets: str | None) -> None:
    text, is_raw = decode(raw, charsets)
    text.encode()  # no surrogates: it can be written as UTF-8
    if is_raw:
        assert text.encode("latin_1") == raw
    else:
        assert "\ufffd" not in text
        assert unicodedata.is_normalized("NFC", text)


@given(st.binary(min_size=1, max_size=30))
def test_undeclared_single_bytes_never_become_controls(raw: bytes) -> None:
    text, is_raw = decode(raw, None)
    try:
        raw.decode()
    except UnicodeDecodeError:
        assert is_raw or not re.search("[\x80-\x9f]", text) or b"\x1b" in raw
