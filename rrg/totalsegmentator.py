"""TotalSegmentator in a process of its own: checked before it starts, loaded once, stopped when it takes too long.

Masks are those of ``totalsegmentator.python_api.totalsegmentator`` to the byte. Nothing is downloaded, no statistics
are sent, nothing is printed. A volume that takes too long or crashes the process costs that volume only: the next one
starts a new process.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RecordError, RrgError, UsageError
from rrg.geometry import Array
from rrg.masks_grid import LPS_FROM_RAS
from rrg.totalsegmentator_child import OUT_OF_MEMORY
from rrg.totalsegmentator_memory import GB, check_memory
from rrg.totalsegmentator_tasks import TASK_OF, Work, check_names, check_subset, check_task, networks_of, subset_of
from rrg.totalsegmentator_weights import defects, weights_hash

Device = Literal["auto", "cpu", "gpu"]
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_START = (
    "import sys; parent, handle, weights, memory, *sys.path = sys.argv[1:]; "
    "from rrg.totalsegmentator_child import serve; serve(int(parent), int(handle), weights, int(memory))"
)
PREFIX = "rrg-totalsegmentator-"
START_SECONDS = 600.0
"""For the imports of a new process: 10 s at best, over 40 s from a cold disk."""
NEW_SECONDS = 60.0
"""A home that was touched so lately may not be locked yet."""
NO_STATISTICS = {
    "totalseg_id": "rrg",
    "send_usage_stats": False,
    "prediction_counter": 0,
    "statistics_disclaimer_shown": True,
}
"""config.json of TotalSegmentator's home."""


def check(
    weights: Path | None, task: str | None, *, fast: bool, roi_subset: Sequence[str] | None, device: Device
) -> dict[str, str]:
    """Task -> SHA-256 of its weights, of each task that can be run; UsageError when that is none.

    Without `task` these are `TASK_OF`, as far as the weights are there. All that would stop a network from being loaded
    is told, one line each.
    """
    if weights is None or not weights.is_dir():
        raise UsageError(
            "engine totalsegmentator: give --weights DIR (or TOTALSEG_WEIGHTS_PATH), the folder with the unpacked "
            f"Dataset... folders of TotalSegmentator{'' if weights is None else f'; seen: {weights}'}"
        )
    tasks = [task] if task else list(TASK_OF.values())
    for each in tasks:
        check_task(each)
    if roi_subset is not None:
        check_subset(roi_subset, tasks)
    check_names()
    usable: dict[str, str] = {}
    broken, missing = [], []
    for each in tasks:
        work = work_of(each, fast=fast, roi_subset=roi_subset)
        if work is None:
            continue
        networks = networks_of(work)
        faults = [f"weights of task {each}: {fault}" for network in networks for fault in defects(weights, network)]
        if not faults:
            usable[each] = weights_hash(weights, networks)
        elif any((weights / network.folder).parent.is_dir() for network in networks):
            broken.append(faults)
        else:  # a site without MR has no weights of total_mr
            missing.append(faults)
    if broken or not usable:
        raise UsageError("\n".join(fault for faults in (broken or missing[:1]) for fault in faults))
    _check_device(device)
    _sweep()
    return usable


def work_of(task: str, *, fast: bool, roi_subset: Sequence[str] | None) -> Work | None:
    """What is asked of `task`; None when it has none of the wanted classes."""
    subset = None if roi_subset is None else subset_of(task, roi_subset)
    return None if subset == () else Work(task, fast, subset)


def _check_device(wanted: Device) -> None:
    if wanted == "gpu":
        import torch

        if not torch.cuda.is_available():
            raise UsageError("--device gpu: this machine has no usable GPU; give --device cpu")


class _Child(NamedTuple):
    process: "subprocess.Popen[bytes]"
    connection: Connection
    weights: Path
    memory_gb: float | None = None
    has_gpu: bool = False


_child: _Child | None = None
"""Of this process; None until the first volume, and after it had to be ended."""


def predict(
    volume: NDArray[Any],
    affine: Array,
    work: Work,
    weights: Path,
    *,
    device: Device,
    timeout_s: float | None,
    memory_gb: float | None = None,
) -> NDArray[np.uint8]:
    """TotalSegmentator's values for `volume`, (slices, rows, columns), on the same grid.

    `affine` maps (slice, row, column) to (x, y, z) in mm, LPS. RecordError E_MODEL when TotalSegmentator fails, dies or
    takes longer than `timeout_s` (imports not counted); E_MEMORY when memory runs out, or its process wants more than
    `memory_gb`. RrgError when no process starts.
    """
    global _child
    weights = weights.resolve()
    check_memory(volume, affine, work, weights, limit_gb=memory_gb)
    if _child is not None and (
        (_child.weights, _child.memory_gb) != (weights, memory_gb) or _child.process.poll() is not None
    ):
        _stop()
    if _child is None:
        _child = _start(weights, memory_gb)
    try:
        with _home() as home:
            try:
                return _ask(_child, home, volume, affine, work, device, timeout_s)
            except BaseException as error:
                if not isinstance(error, RecordError):
                    _stop()  # before its folder goes away
                raise
    except _DiedError as died:
        raise died.told() from None


class _DiedError(Exception):
    """The child is gone, or had to be ended."""

    def __init__(self, exit_code: int | None, timeout_s: float | None) -> None:
        self.exit_code, self.timeout_s = exit_code, timeout_s

    def told(self) -> RecordError:
        if self.exit_code is None:
            return RecordError(
                "E_MODEL",
                f"TotalSegmentator took longer than {self.timeout_s:g} s; give a larger --timeout, --fast or a GPU",
            )
        if self.exit_code == -signal.SIGKILL:
            return RecordError(
                "E_MEMORY", "TotalSegmentator was killed, as a rule for memory; give --fast, or more memory"
            )
        if self.exit_code == OUT_OF_MEMORY:
            return RecordError("E_MEMORY", "TotalSegmentator ran out of memory; give --fast, or more memory")
        how = signal.Signals(-self.exit_code).name if self.exit_code < 0 else f"exit code {self.exit_code}"
        return RecordError("E_MODEL", f"TotalSegmentator's process died ({how}); leave the series out, or report it")


def _ask(
    child: _Child,
    home: Path,
    volume: NDArray[Any],
    affine: Array,
    work: Work,
    device: Device,
    timeout_s: float | None,
) -> NDArray[np.uint8]:
    request = {
        "home": str(home),
        "dtype": volume.dtype.str,
        "shape": volume.shape,
        "affine": (LPS_FROM_RAS @ affine[:, [2, 1, 0, 3]]).tolist(),
        "task": work.task,
        "fast": work.fast,
        "roi_subset": None if work.roi_subset is None else list(work.roi_subset),
        "device": "gpu" if child.has_gpu and device != "cpu" else "cpu",
    }
    try:
        child.connection.send_bytes(json.dumps(request).encode())
        child.connection.send_bytes(np.ascontiguousarray(volume).data.cast("B"))
        if not child.connection.poll(timeout_s):
            raise _DiedError(None, timeout_s)
        answer = json.loads(child.connection.recv_bytes())
        if not answer["ok"]:
            raise RecordError(
                answer["code"],
                f"TotalSegmentator failed on {'x'.join(map(str, volume.shape))} voxels: {answer['message']}",
            )
        values = np.empty(volume.shape, np.uint8)
        child.connection.recv_bytes_into(values.data.cast("B"))
        return values
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise _DiedError(child.process.wait(), timeout_s) from None


def _start(weights: Path, memory_gb: float | None) -> _Child:
    ours, theirs = socket.socketpair()
    # What is blocked now stays blocked until the child ignores it: a Ctrl-C during its start is not its death.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _START, str(os.getpid()), str(theirs.fileno()), str(weights)),
                *(str(int((memory_gb or 0) * GB)), *sys.path),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    except OSError as error:
        raise _no_start(str(error.strerror)) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    child = _Child(process, Connection(ours.detach()), weights, memory_gb)
    try:
        if not child.connection.poll(START_SECONDS):
            raise EOFError
        return child._replace(has_gpu=bool(json.loads(child.connection.recv_bytes())["gpu"]))
    except BaseException as error:
        _end(child)
        if isinstance(error, EOFError | OSError):
            raise _no_start(f"exit code {process.returncode}") from None
        raise


def _no_start(why: str) -> RrgError:
    return RrgError(
        f"TotalSegmentator's process can not be started ({why}); free memory, and see that "
        "python -c 'import totalsegmentator.nnunet' works",
        "E_MODEL",
    )


def _end(child: _Child) -> None:
    child.connection.close()
    child.process.kill()
    child.process.wait()


def _stop() -> None:
    """End the child, if there is one."""
    global _child
    if _child is not None:
        _end(_child)
        _child = None


# --- a private home


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """A home of TotalSegmentator for one volume, gone afterwards, also when the child was ended in the middle.

    It is locked while it is in use.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        held = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            (Path(name) / "config.json").write_text(json.dumps(NO_STATISTICS))
            yield Path(name)
        finally:
            os.close(held)


def _sweep() -> None:
    """Remove the homes of processes that were killed: they may hold an image. Those in use are locked, or new."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime < NEW_SECONDS:
                continue
            held = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)
