"""Keyed pseudonyms: HMAC-SHA256 under one secret file, so that shards join and nobody can guess."""

import datetime
import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Literal, TypedDict

from rrg.errors import UsageError

KEY_BYTES = 32
ID_HEX = 20
"""80 bits: 10^8 slices collide with probability below 1e-8."""
FEWEST_VALUES = 16
"""32 random bytes hold 30 different ones; fewer than this is no accident (probability below 1e-13)."""
FIRST_YEAR = 1895
"""Of X-rays: an earlier date (0001-01-01, 1800-01-01) stands for none."""
Dates = Literal["keep", "shift", "year"]


def default_key_file() -> Path:
    """``$RRG_KEY_FILE``, else ``rrg/key`` in the user's configuration folder."""
    if path := os.environ.get("RRG_KEY_FILE"):
        return Path(path)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "rrg" / "key"


def load_key(path: Path | None = None, *, create: bool = True) -> bytes:
    """Read the key file: 32 random bytes, or 64 hex digits that stand for them.

    Not there: it is made (mode 0600), safe when several processes start at once; without `create` UsageError. A file
    that others than owner and group may read, or that others than the owner may change, is refused, as is what does not
    look random (a text, one byte again and again): it would make pseudonyms that can be guessed.
    """
    path = path or default_key_file()
    try:
        if not path.exists():
            if not create:
                raise UsageError(
                    f"key file {path} is not there, and separate runs must share one; make it once"
                    f" (head -c {KEY_BYTES} /dev/urandom, mode 0600) or give --key-file"
                )
            _make(path)
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            held = file.read(4 * KEY_BYTES)
    except OSError as error:
        raise UsageError(f"key file {path}: {error.strerror}; give a writable --key-file") from None
    if os.name == "posix" and stat.S_ISREG(mode) and mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise UsageError(f"key file {path} is open to other users (mode {stat.S_IMODE(mode):04o}); chmod 600 it")
    return _key_in(held, path)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_new_key())
    try:
        os.link(temporary, path)  # fails if another process was first: then its key counts
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _new_key() -> bytes:
    """Random bytes that `_key_in` takes: one draw in 10^13 is drawn again."""
    while True:
        key = secrets.token_bytes(KEY_BYTES)
        if len(set(key)) >= FEWEST_VALUES and not _is_text(key):
            return key


def _is_text(key: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\n\r" for byte in key)


def _key_in(held: bytes, path: Path) -> bytes:
    """The key that a file holds; the message of a refusal says nothing of its content."""
    if re.fullmatch(rb"[0-9a-fA-F]{64}\s*", held):
        held = bytes.fromhex(held.decode("ascii"))
    elif len(held) != KEY_BYTES:
        size = f"{len(held)}" if len(held) < 4 * KEY_BYTES else f"{len(held)} or more"
        raise UsageError(
            f"key file {path} holds {size} bytes; {KEY_BYTES} random bytes or {2 * KEY_BYTES} hex digits are needed:"
            " give another --key-file"
        )
    elif _is_text(held):
        raise UsageError(
            f"key file {path} holds text; {KEY_BYTES} random bytes or {2 * KEY_BYTES} hex digits are needed:"
            " give another --key-file"
        )
    if len(set(held)) < FEWEST_VALUES:
        raise UsageError(
            f"key file {path} holds {len(set(held))} different bytes and is not random; give another --key-file"
        )
    return held


def fingerprint(key: bytes) -> str:
    """Tells two keys apart without giving either away."""
    return hmac.new(key, b"rrg fingerprint", hashlib.sha256).hexdigest()[:ID_HEX]


def pseudonym(key: bytes, kind: str, value: str) -> str:
    """20 hex digits that stand for `value`; `kind` keeps a patient and a study of the same name apart."""
    return hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()[:ID_HEX]


def sop_instance_id(key: bytes, uid: str, frame: int | None = None) -> str | None:
    """Keyed hash of a SOP Instance UID (and frame number), as other objects name an image; None without a UID."""
    return pseudonym(key, "sop", uid if frame is None else f"{uid}#{frame}") if uid else None


def date_of(text: str | None) -> datetime.date | None:
    """A DICOM date (DA, YYYYMMDD or the old YYYY.MM.DD; of a DT the date); None for none, a bad one, or a stand-in."""
    found = re.match(r"\s*(\d{4})(\.?)(\d\d)\2(\d\d)", text or "", re.ASCII)
    if not found:
        return None
    try:
        date = datetime.date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None
    return date if FIRST_YEAR <= date.year < datetime.MAXYEAR else None


def shifted_day(key: bytes, patient_id: str, date: str | None) -> int | None:
    """Day number of a DICOM date minus a secret offset of the patient (0 to 100 years); None for no or a bad date.

    The offset hangs on the key and the patient alone: days of one patient keep their distance in every run and shard.
    """
    day = date_of(date)
    if day is None:
        return None
    return day.toordinal() - int(pseudonym(key, "day-offset", patient_id), 16) % 36_500


class DateFields(TypedDict):
    """What of a study's date goes into a record: fields of `rrg.records.Slice`."""

    study_day: int | None
    study_date: str | None
    study_year: int | None


def date_fields(key: bytes, patient_id: str, date: str | None, dates: Dates) -> DateFields:
    """The field that ``--dates`` asks for, from a DICOM date; the others, and all for a missing or bad date, are None.

    The real date beside the shifted one would tell the patient's offset, and with it every other date.
    """
    found = date_of(date)
    return DateFields(
        study_day=shifted_day(key, patient_id, date) if dates == "shift" else None,
        study_date=found.isoformat() if found is not None and dates == "keep" else None,
        study_year=found.year if found is not None and dates == "year" else None,
    )
