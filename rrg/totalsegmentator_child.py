"""The process behind `rrg.totalsegmentator`: runs its own function on volumes, keeps networks loaded.

The one file that imports TotalSegmentator's code (its tables are read by `rrg.totalsegmentator_tasks`).
"""

import errno
import json
import os
import re
import resource
import tempfile
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.parallel import start_worker

OUT_OF_MEMORY = 12
"""Exit code of a process that can not go on for want of memory."""


def serve(parent: int, handle: int, weights: str, memory_bytes: int = 0) -> None:
    """Answer until the other end of the socket `handle` is closed. `parent` is the process id of who started this one.
    `memory_bytes` is what it may take; 0: what there is.

    The first message tells whether there is a GPU; then comes one answer for each volume. A request is a JSON head
    (`rrg.totalsegmentator.predict`) and the pixels; an answer ``{"ok": true}`` and the values, or
    ``{"ok": false, "code": ..., "message": ...}``.
    """
    start_worker()
    threading.excepthook = _lost_thread
    if os.getppid() != parent:  # it died before it could take us along
        return
    connection = Connection(handle)
    os.environ.pop("nnUNet_compile", None)  # compiled networks give other values
    for name in ("TOTALSEG_WEIGHTS_PATH", "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = weights  # read when nnU-Net is imported
    api = _load()
    if memory_bytes:  # not before: a limit that is too small fails volumes, not the start
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    _tell(connection, {"gpu": _gpu()})
    while True:
        try:
            request = json.loads(connection.recv_bytes())
            pixels = connection.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            values = _segment(api, request, pixels)
        except (Exception, SystemExit) as error:
            if _for_memory(error):
                _tell(connection, {"ok": False, "code": "E_MEMORY", "message": "ran out of memory"})
            else:
                _tell(connection, {"ok": False, "code": "E_MODEL", "message": _where(error)})
        else:
            _tell(connection, {"ok": True})
            connection.send_bytes(values.data.cast("B"))
        del pixels


def _tell(connection: Connection, what: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(what).encode())


def _for_memory(error: BaseException | None) -> bool:
    """Memory ran out in `error`, or in what came before it: cleaning up fails for the same reason.

    PyTorch tells of memory on the CPU in the text of a RuntimeError, of that on a GPU by a type.
    """
    if error is None:
        return False
    told = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    of_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    found = isinstance(error, MemoryError) or of_system or (isinstance(error, RuntimeError) and told)
    return found or _for_memory(error.__cause__ or error.__context__)


def _lost_thread(args: threading.ExceptHookArgs) -> None:
    """nnU-Net waits for its threads for ever, also for one that has failed: end the process instead."""
    os._exit(OUT_OF_MEMORY if _for_memory(args.exc_value) or "new thread" in str(args.exc_value) else 1)


def _where(error: BaseException) -> str:
    """Type of an error and the line that raised it; never its text, which may quote the image."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _load() -> Any:
    """``totalsegmentator.python_api``, whose networks stay loaded and whose downloads do nothing.

    Its own function for downloads also deletes folders of older releases from the weights folder.
    """
    from totalsegmentator import nnunet, python_api

    nnunet.nnUNetPredictor = _keeping(nnunet.nnUNetPredictor)
    python_api.download_pretrained_weights = lambda task_id: None
    return python_api


def _keeping(predictor: Any) -> Any:
    """A form of nnU-Net's predictor that loads each network once per process and predicts in this process.

    nnU-Net's usual way starts two processes per network and volume, each of which imports everything anew; its own
    sequential way does the same computation.
    """
    loaded: dict[tuple[str, tuple[Any, ...] | None, str], dict[str, Any]] = {}

    class Keeping(predictor):  # type: ignore[misc]
        def initialize_from_trained_model_folder(
            self, model_training_output_dir: str, use_folds: Any, checkpoint_name: str = "checkpoint_final.pth"
        ) -> None:
            folds = None if use_folds is None else tuple(use_folds)
            key = (model_training_output_dir, folds, checkpoint_name)
            if key in loaded:
                self.__dict__.update(loaded[key])
                return
            before = dict(vars(self))
            super().initialize_from_trained_model_folder(model_training_output_dir, use_folds, checkpoint_name)
            loaded[key] = {name: value for name, value in vars(self).items() if before.get(name) is not value}

        def predict_from_files(
            self,
            list_of_lists_or_source_folder: Any,
            output_folder_or_list_of_truncated_output_files: Any,
            save_probabilities: bool = False,
            overwrite: bool = True,
            num_processes_preprocessing: int = 1,
            num_processes_segmentation_export: int = 1,
            folder_with_segs_from_prev_stage: Any = None,
            num_parts: int = 1,
            part_id: int = 0,
        ) -> Any:
            cases = list_of_lists_or_source_folder
            if isinstance(cases, str):  # nnU-Net would start twelve processes to list them
                cases = _cases(Path(cases), self.dataset_json["file_ending"])
            return self.predict_from_files_sequential(
                cases,
                output_folder_or_list_of_truncated_output_files,
                save_probabilities,
                overwrite,
                folder_with_segs_from_prev_stage,
            )

    return Keeping


def _cases(folder: Path, ending: str) -> list[list[str]]:
    """The channels of each case in a folder of nnU-Net inputs, ``CASE_0000.nii.gz``, in order."""
    cases: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if found := re.fullmatch(rf"(.+)_\d{{4}}{re.escape(ending)}", path.name):
            cases.setdefault(found[1], []).append(str(path))
    return list(cases.values())


def _segment(api: Any, request: dict[str, Any], pixels: bytes) -> NDArray[np.uint8]:
    """TotalSegmentator's values on the grid of `pixels`, (slices, rows, columns)."""
    import nibabel

    os.environ["TOTALSEG_HOME_DIR"] = request["home"]
    tempfile.tempdir = request["home"]
    volume = np.frombuffer(pixels, request["dtype"]).reshape(request["shape"]).transpose(2, 1, 0)
    affine = np.asarray(request["affine"], float)
    found = api.totalsegmentator(
        nibabel.Nifti1Image(volume, affine),  # type: ignore[no-untyped-call]
        None,
        ml=True,
        task=request["task"],
        fast=request["fast"],
        roi_subset=request["roi_subset"],
        device=request["device"],
        quiet=True,
        nr_thr_resamp=1,
        nr_thr_saving=1,
    )
    values = np.asarray(found.dataobj, np.uint8)
    if values.shape != volume.shape or not np.allclose(found.affine, affine, atol=1e-3):
        raise ValueError("answer on another grid")
    return np.ascontiguousarray(values.transpose(2, 1, 0))
