"""Arrays by reference: one Zarr v3 array per series, one chunk per slice, one shard per array, one writer."""

import functools
import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rrg.errors import RecordError, RrgError

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPEN_ARRAYS = 32
"""Arrays kept open per process."""


def reference(array: str, index: int) -> str:
    """``series/<id>`` and 17 -> ``series/<id>#17``."""
    return f"{array}#{index}"


def split_reference(ref: str) -> tuple[str, int]:
    """``series/<id>#17`` -> (``series/<id>``, 17). Raises RecordError for anything else, ``..`` included."""
    array, hash_, index = ref.rpartition("#")
    parts = array.split("/")
    if not hash_ or not index.isdigit() or len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise RecordError("E_PATH", f"reference {ref!r} is not of the form series/<id>#<index>")
    return array, int(index)


def write_array(store: Path, array: str, values: "NDArray[Any]") -> None:
    """Write (slices, ...) `values` as `store`/`array`, whole or not at all; the same values give the same bytes.

    Write the array first, then emit the record that names it. One writer per array.
    """
    import zarr
    from zarr.codecs import BloscCodec

    target = store / array
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        whole = zarr.create_array(
            store=temporary,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(1, *values.shape[1:]),
            shards=values.shape,
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            fill_value=0,
        )
        whole[...] = values
        _publish(temporary, target)
    except OSError as error:
        raise RrgError(
            f"store: {error.strerror or error} while writing {array}; free space and run again", "E_IO"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, target: Path) -> None:
    """Give a finished array its name. An equal one that is there already stays."""
    for file in temporary.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        if _digest(target) != _digest(temporary):
            old = target.with_name(f".{target.name}.old.{secrets.token_hex(4)}")
            target.rename(old)
            temporary.rename(target)
            shutil.rmtree(old, ignore_errors=True)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


@functools.lru_cache(OPEN_ARRAYS)
def _open(store: str, array: str) -> Any:
    import zarr

    try:
        return zarr.open_array(store=f"{store}/{array}", mode="r")
    except (OSError, ValueError, KeyError):
        raise RecordError(
            "E_IO", f"store has no array {array}; give the --store that the records were made with"
        ) from None


def read(store: Path, ref: str) -> "NDArray[Any]":
    """The array that `ref` names: (rows, columns) for a slice, (layers, rows, columns) for a mask."""
    array, index = split_reference(ref)
    opened = _open(str(store), array)
    if index >= opened.shape[0]:
        raise RecordError("E_IO", f"reference {ref}: the array holds {opened.shape[0]} slices")
    return np.asarray(opened[index])


def read_volume(store: Path, array: str) -> "NDArray[Any]":
    """All slices of an array, (slices, ...)."""
    return np.asarray(_open(str(store), array)[...])


def sha256_pixels(pixels: "NDArray[Any]") -> str:
    """SHA-256 of the values, little-endian, C order, hex."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()
