"""Keyed pseudonyms: HMAC-SHA256 under one secret file, so that shards join and nobody can guess."""

import datetime
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from rrg.errors import UsageError

KEY_BYTES = 32
ID_HEX = 20
"""80 bits: 10^8 slices collide with probability below 1e-8."""


def default_key_file() -> Path:
    """``$RRG_KEY_FILE``, else ``rrg/key`` in the user's configuration folder."""
    if path := os.environ.get("RRG_KEY_FILE"):
        return Path(path)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "rrg" / "key"


def load_key(path: Path | None = None) -> bytes:
    """Read the key file; create it (mode 0600) when it is not there. Safe when several processes start at once."""
    path = path or default_key_file()
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            try:
                os.link(temporary, path)  # fails if another process was first: then its key counts
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise UsageError(f"key file {path}: {error.strerror}; give a writable --key-file") from None
    if len(key) < KEY_BYTES:
        raise UsageError(f"key file {path} holds {len(key)} bytes, {KEY_BYTES} are needed; give another --key-file")
    return key


def fingerprint(key: bytes) -> str:
    """Tells two keys apart without giving either away."""
    return hmac.new(key, b"rrg fingerprint", hashlib.sha256).hexdigest()[:ID_HEX]


def pseudonym(key: bytes, kind: str, value: str) -> str:
    """20 hex digits that stand for `value`; `kind` keeps a patient and a study of the same name apart."""
    return hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()[:ID_HEX]


def shifted_day(key: bytes, patient_id: str, date: str) -> int | None:
    """Day number of a DICOM date (YYYYMMDD) minus a secret offset of the patient; None for no or a bad date."""
    try:
        day = datetime.datetime.strptime(date.strip()[:8], "%Y%m%d").date().toordinal()
    except ValueError:
        return None
    return day - int(pseudonym(key, "day-offset", patient_id), 16) % 36_500
