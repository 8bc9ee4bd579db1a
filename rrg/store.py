"""Arrays by reference: one Zarr v3 array per series, one chunk per slice, one shard per array, one writer.

The files are standard Zarr v3 (sharding_indexed, bytes, blosc), readable by any Zarr library. Writing and reading them
directly costs a tenth of the general library and needs no memory beyond one slice.
"""

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import struct
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from rrg.errors import RecordError, RrgError

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
U = TypeVar("U")
THREADS = 2
"""That compress slices while others are written."""
SMALL = 1 << 21
"""Bytes of an array that is compressed sooner than threads are started."""
OPEN_ARRAYS = 64
"""Arrays kept open per process."""
CLEVEL = 1
"""zstd level. On CT, level 3 takes twice the time of level 1 and saves 1 %."""
EMPTY = 2**64 - 1
"""Offset and size in a shard index of a chunk that is not there: all zero."""
DTYPES = ("uint8", "int16", "uint16", "float32")

_NAME = r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}"
_ARRAY = re.compile(rf"{_NAME}(?:/{_NAME})+", re.ASCII)
_REFERENCE = re.compile(rf"({_NAME}(?:/{_NAME})+)#(0|[1-9][0-9]{{0,8}})", re.ASCII)
_NAMED = re.compile(b'"(' + _ARRAY.pattern.encode() + b')#[0-9]+"')


def reference(array: str, index: int) -> str:
    """``series/<id>`` and 17 -> ``series/<id>#17``."""
    return f"{array}#{index}"


def split_reference(ref: str) -> tuple[str, int]:
    """``series/<id>#17`` -> (``series/<id>``, 17). RecordError(E_PATH) for anything else: no path leaves the store."""
    found = _REFERENCE.fullmatch(ref)
    if not found:
        raise RecordError("E_PATH", f"reference {ref[:80]!r} is not of the form series/<id>#<index>")
    return found[1], int(found[2])


def holds(store: Path, lines: bytes) -> bool:
    """True when every array that record lines refer to is in the store."""
    return all((store / os.fsdecode(array) / "zarr.json").is_file() for array in set(_NAMED.findall(lines)))


def arrays_of(store: Path) -> dict[str, int]:
    """Number of arrays in each group of a store: ``series``, ``masks``; empty for a folder that is not there."""
    groups = sorted(each for each in store.glob("*") if each.is_dir() and each.name != "private")
    return {group.name: sum(not each.name.startswith(".") for each in os.scandir(group)) for group in groups}


def sha256_pixels(pixels: "NDArray[Any]") -> str:
    """SHA-256 of the values, little-endian, C order, hex."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


# --- writing


def write_array(
    store: Path,
    array: str,
    values: "NDArray[Any]",
    places: Sequence[int] | None = None,
    count: int = 0,
    members: str | None = None,
) -> list[str]:
    """Write (slices, ...) `values` as `store`/`array`, whole or not at all; SHA-256 of each (as `sha256_pixels`).

    Write the array first, then emit the record that names it. One writer per array; a second one with other values
    replaces the array in one step. The same values give the same bytes; slices that are all zero take no space.

    With `places` only some slices of an array of `count` are known, ``values[i]`` is slice ``places[i]``: those that
    the array holds already stay; hold `locked` around it. `members` says which slices of the world these are, in which
    form. RecordError(E_GRID) when the array that is there has another shape, dtype or other `members`.
    """
    if not _ARRAY.fullmatch(array):
        raise RecordError("E_PATH", f"array name {array[:80]!r} is not of the form series/<id>")
    if values.dtype.name not in DTYPES or values.ndim < 2 or 0 in values.shape:
        raise ValueError(f"array of {values.dtype} with shape {values.shape}; expected (slices, ...) of {DTYPES}")
    shape = values.shape if places is None else (count, *values.shape[1:])
    target = store / array
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        before = None if places is None else _known_slices(store, array, shape, values.dtype, members)
        with _temporary(target) as temporary:
            shard = temporary.joinpath("c", *["0"] * values.ndim)
            shard.parent.mkdir(parents=True)
            hashes: list[str] = []
            own = range(shape[0]) if places is None else places
            _write_shard(shard, _chunks(values, own, shape[0], before, hashes))
            _write_synced(temporary / "zarr.json", _metadata(shape, values.dtype, members))
            _publish(temporary, target)
        _open.cache_clear()
        return hashes
    except OSError as error:
        raise RrgError(
            f"store: {error.strerror or error} while writing {array}; see to the folder and its free space",
            "E_IO",
        ) from None


def dtype_of(store: Path, array: str) -> "np.dtype[Any] | None":
    """Dtype of an array that is there; None when there is none."""
    return _open(str(store), array).dtype.newbyteorder("=") if (store / array / "zarr.json").exists() else None


def length_of(store: Path, array: str) -> int:
    """Number of slices of an array. RecordError(E_IO) when there is none, or it can not be read."""
    return _open(str(store), array).shape[0]


def close_arrays() -> None:
    """Let go of open arrays: what was replaced on the disk is opened anew."""
    _open.cache_clear()


@contextlib.contextmanager
def locked(store: Path, array: str) -> Iterator[None]:
    """One process at a time adds slices to an array; others wait. One lock file a group, one byte of it an array."""
    group = (store / array).parent
    try:
        group.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(group / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RrgError(f"store: {error.strerror} while locking {array}", "E_IO") from None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, int.from_bytes(hashlib.sha256(array.encode()).digest()[:6], "big"))
        _open.cache_clear()
        yield
    finally:
        os.close(descriptor)


def _known_slices(
    store: Path, array: str, shape: tuple[int, ...], dtype: "np.dtype[Any]", members: str | None
) -> "_Shard | None":
    """The array that is there, if any; E_GRID when slices of this shape and dtype can not join it."""
    if not (store / array / "zarr.json").exists():
        return None
    opened = _open(str(store), array)
    if not isinstance(opened, _Shard) or opened.shape != shape or opened.dtype != dtype:
        raise RecordError(
            "E_GRID",
            f"the store holds this series as {opened.shape} {opened.dtype}, its files now give {shape} {dtype}; "
            "extract it into a new store",
        )
    if opened.members != members:
        raise RecordError(
            "E_GRID",
            "the store holds this series with other slices, or resampled otherwise; extract it into a new store",
        )
    return opened


def _chunks(
    values: "NDArray[Any]", places: Sequence[int], count: int, before: "_Shard | None", hashes: list[str]
) -> Iterator[bytes | None]:
    """Encoded slices in order: ``values[i]`` at ``places[i]``, elsewhere what was there `before`; None: all zero.

    Fills `hashes`. In threads where `values` are not `SMALL`: compressing and hashing take longer than reading, and let
    go of the interpreter.
    """
    blosc = _blosc()
    codec = blosc.Blosc(cname="zstd", clevel=CLEVEL, shuffle=blosc.BITSHUFFLE)

    def encode(chunk: "NDArray[Any]") -> tuple[bytes | None, str]:
        little = np.ascontiguousarray(chunk, dtype=values.dtype.newbyteorder("<"))
        return (codec.encode(little) if little.any() else None), hashlib.sha256(little.data).hexdigest()

    own = frozenset(places)
    with contextlib.ExitStack() as stack:
        if values.nbytes <= SMALL:
            encoded: Iterator[tuple[bytes | None, str]] = map(encode, values)
        else:
            encoded = _ahead(stack.enter_context(ThreadPoolExecutor(THREADS)), encode, values)
        for place in range(count):
            if place in own:
                data, digest = next(encoded)
                hashes.append(digest)
                yield data
            else:
                yield before.encoded(place) if before is not None else None


@functools.cache
def _blosc() -> Any:
    """The codec, without threads of its own: for one slice they cost more than they save where other stages work."""
    from numcodecs import blosc  # type: ignore[import-untyped]

    blosc.use_threads = False
    return blosc


def _ahead(pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Results in order, a few worked out ahead."""
    waiting: deque[Future[U]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > 2 * THREADS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@functools.lru_cache(OPEN_ARRAYS)
def _metadata(shape: tuple[int, ...], dtype: "np.dtype[Any]", members: str | None) -> bytes:
    """zarr.json of the array (Zarr v3 core specification; sharding codec ZEP 2)."""
    size = dtype.itemsize
    plain: dict[str, Any] = {"name": "bytes"}
    if size > 1:
        plain["configuration"] = {"endian": "little"}
    blosc = {"typesize": size, "cname": "zstd", "clevel": CLEVEL, "shuffle": "bitshuffle", "blocksize": 0}
    sharding = {
        "chunk_shape": [1, *shape[1:]],
        "codecs": [plain, {"name": "blosc", "configuration": blosc}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    body = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {} if members is None else {"rrg_members": members},
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def _write_shard(path: Path, chunks: Iterable[bytes | None]) -> None:
    """Chunks one after the other, then the index: (offset, size) of each, and its CRC32C."""
    import google_crc32c

    index: list[tuple[int, int]] = []
    end = 0
    with path.open("wb") as file:
        for data in chunks:
            if data is None:
                index.append((EMPTY, EMPTY))
                continue
            file.write(data)
            index.append((end, len(data)))
            end += len(data)
        packed = struct.pack(f"<{2 * len(index)}Q", *(number for entry in index for number in entry))
        file.write(packed + struct.pack("<I", google_crc32c.value(packed)))
        file.flush()
        os.fsync(file.fileno())


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@functools.lru_cache(OPEN_ARRAYS)
def _clear_away(group: Path) -> None:
    """Remove what killed writers left: once in a process, for to look through a group takes longer than an array."""
    for left in group.glob(".*.tmp"):
        with contextlib.suppress(OSError):  # another writer's, or gone meanwhile
            held = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, held by a lock while its writer lives; those of killed writers are cleared away."""
    _clear_away(target.parent)
    while True:
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        temporary.mkdir()
        held = os.open(temporary, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks: then nobody clears away
            fcntl.flock(held, fcntl.LOCK_EX)
        if temporary.exists():  # nobody cleared it away between mkdir and flock
            break
        os.close(held)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(held)


def _publish(temporary: Path, target: Path) -> None:
    """Give a finished array its name. An equal one that is there already stays; another is exchanged."""
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        if _digest(target) != _digest(temporary):
            _exchange(temporary, target)


def _exchange(a: Path, b: Path) -> None:
    """Swap two folders in one step (renameat2, Linux); elsewhere in two: a reader may for a moment find none."""
    at_here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None and renameat2(at_here, os.fsencode(a), at_here, os.fsencode(b), exchange) == 0:
        return
    old = b.with_name(f".{b.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    b.rename(old)
    a.rename(b)
    old.rename(a)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)}\0".encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


# --- reading


class _Shard:
    """An open array of our own layout: its shard index, and a descriptor to read chunks by `pread`."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        import google_crc32c

        self.shape: tuple[int, ...] = tuple(meta["shape"])
        self.dtype = np.dtype(meta["data_type"]).newbyteorder("<")
        self.members: str | None = meta.get("attributes", {}).get("rrg_members")
        path = folder.joinpath("c", *["0"] * len(self.shape))
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        size = 16 * self.shape[0]
        tail = os.pread(self._descriptor, size + 4, max(os.fstat(self._descriptor).st_size - size - 4, 0))
        if len(tail) != size + 4 or struct.unpack("<I", tail[size:])[0] != google_crc32c.value(tail[:size]):
            raise ValueError("shard index damaged")
        self._index = np.frombuffer(tail, "<u8", 2 * self.shape[0]).reshape(-1, 2)

    def encoded(self, index: int) -> bytes | None:
        """The bytes of a chunk; None for one that is not there."""
        offset, size = map(int, self._index[index])
        if offset == size == EMPTY:
            return None
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size or size < 16:
            raise ValueError("chunk damaged")
        return data

    def read_into(self, index: int, out: "NDArray[Any]") -> None:
        if (data := self.encoded(index)) is None:
            out[...] = 0
            return
        if int.from_bytes(data[4:8], "little") != out.nbytes:  # Blosc 1 header
            raise ValueError("chunk damaged")
        _blosc().decompress(data, out)


class _Foreign:
    """Any other Zarr array, through the general library."""

    def __init__(self, folder: Path) -> None:
        import zarr

        self._array: Any = zarr.open_array(store=folder, mode="r")
        self.shape: tuple[int, ...] = tuple(self._array.shape)
        self.dtype: Any = self._array.dtype

    def read_into(self, index: int, out: "NDArray[Any]") -> None:
        out[...] = self._array[index]


def _is_ours(meta: dict[str, Any]) -> bool:
    """One shard, chunks of one slice, and the codecs that `_Shard` knows."""
    try:
        (sharding,) = meta["codecs"]
        inner = sharding["configuration"]
        shape = meta["shape"]
        return bool(
            sharding["name"] == "sharding_indexed"
            and meta["chunk_grid"]["configuration"]["chunk_shape"] == shape
            and inner["chunk_shape"] == [1, *shape[1:]]
            and [codec["name"] for codec in inner["codecs"]] == ["bytes", "blosc"]
            and inner["codecs"][0].get("configuration", {}).get("endian", "little") == "little"
            and [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]
            and inner.get("index_location", "end") == "end"
            and meta["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
            and meta["fill_value"] == 0
            and meta["data_type"] in DTYPES
        )
    except (KeyError, TypeError, ValueError):
        return False


@functools.lru_cache(OPEN_ARRAYS)
def _open(store: str, array: str) -> _Shard | _Foreign:
    if not _ARRAY.fullmatch(array):
        raise RecordError("E_PATH", f"array name {array[:80]!r} is not of the form series/<id>")
    folder = Path(store, array)
    try:
        meta = json.loads((folder / "zarr.json").read_bytes())
        return _Shard(folder, meta) if _is_ours(meta) else _Foreign(folder)
    except FileNotFoundError:
        message = f"store has no array {array}; give the --store that the records were made with"
    except (OSError, ValueError, KeyError) as error:
        message = f"array {array} can not be read ({type(error).__name__}); make it again"
    raise RecordError("E_IO", message)


def _read_into(opened: _Shard | _Foreign, array: str, index: int, out: "NDArray[Any]") -> None:
    try:
        opened.read_into(index, out)
    except (OSError, ValueError, RuntimeError) as error:
        message = f"{array}#{index} can not be read ({type(error).__name__}); make the array again"
        raise RecordError("E_IO", message) from None


def read(store: Path, ref: str) -> "NDArray[Any]":
    """The array that `ref` names: (rows, columns) for a slice, (layers, rows, columns) for a mask."""
    array, index = split_reference(ref)
    opened = _open(str(store), array)
    if index >= opened.shape[0]:
        raise RecordError("E_IO", f"reference {ref}: the array holds {opened.shape[0]} slices")
    out = np.empty(opened.shape[1:], opened.dtype)
    _read_into(opened, array, index, out)
    return cast("NDArray[Any]", out)


def read_volume(store: Path, array: str) -> "NDArray[Any]":
    """All slices of an array, (slices, ...)."""
    opened = _open(str(store), array)
    out = np.empty(opened.shape, opened.dtype)
    for index in range(opened.shape[0]):
        _read_into(opened, array, index, out[index])
    return cast("NDArray[Any]", out)
