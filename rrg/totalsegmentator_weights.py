"""The weights folder of TotalSegmentator, looked through before anything starts. Nothing is ever downloaded."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rrg.provenance import sha256_file
from rrg.totalsegmentator_tasks import Network

CHECKPOINT = "checkpoint_final.pth"


def defects(weights: Path, network: Network) -> Iterator[str]:
    """One line for each thing that would stop `network` from being loaded; none: it is whole."""
    dataset = Path(network.folder).parent
    if not (weights / dataset).is_dir():
        yield f"{dataset}: missing; unpack it there (totalseg_import_weights), or give another --weights"
        return
    folder = weights / network.folder
    if not folder.is_dir():
        seen = sorted(path.name for path in (weights / dataset).iterdir() if path.is_dir())
        yield f"{network.folder}: missing; seen in its place: {', '.join(seen) or 'nothing'}; unpack the weights again"
        return
    for name in ("plans.json", "dataset.json"):
        yield from _defects_of_json(folder / name, network)
    folds = _folds(folder, network)
    if not folds:
        yield f"{network.folder}: no fold_.../{CHECKPOINT} in it; unpack the weights again"
    for fold in folds:
        yield from _defects_of_checkpoint(folder / f"fold_{fold}" / CHECKPOINT, f"{network.folder}/fold_{fold}")


def _defects_of_json(path: Path, network: Network) -> Iterator[str]:
    name = f"{network.folder}/{path.name}"
    try:
        said: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        yield f"{name}: missing; unpack the weights again"
        return
    except (OSError, ValueError):
        yield f"{name}: no JSON (cut off?); unpack the weights again"
        return
    if path.name == "dataset.json" and not (isinstance(said, dict) and isinstance(said.get("labels"), dict)):
        yield f"{name}: no labels in it; expected nnU-Net's description of a data set"
    if path.name == "plans.json":
        known = said.get("configurations") if isinstance(said, dict) else None
        if not isinstance(known, dict) or network.configuration not in known:
            seen = ", ".join(sorted(known)) if isinstance(known, dict) else "none"
            yield f"{name}: no configuration {network.configuration} (seen: {seen}); expected nnU-Net's plans"


def _defects_of_checkpoint(path: Path, place: str) -> Iterator[str]:
    """PyTorch writes a zip archive, whose table stands at the end: a file that was cut off has none."""
    if not path.is_file():
        yield f"{place}/{CHECKPOINT}: missing; unpack the weights again"
    elif not zipfile.is_zipfile(path):
        yield f"{place}/{CHECKPOINT}: no PyTorch checkpoint ({path.stat().st_size} bytes, cut off?); unpack it again"


def _folds(folder: Path, network: Network) -> tuple[int, ...]:
    if network.folds is not None:
        return network.folds
    names = [path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{CHECKPOINT}")]
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def weights_hash(weights: Path, networks: Iterable[Network]) -> str:
    """SHA-256 over names and contents of the files that are read, hex; what lies beside them does not count."""
    digest = hashlib.sha256()
    for network in networks:
        folder = weights / network.folder
        folds = [f"fold_{fold}/{CHECKPOINT}" for fold in _folds(folder, network)]
        for name in ("plans.json", "dataset.json", *folds):
            digest.update(f"{network.folder}/{name}\0{sha256_file(folder / name)}\n".encode())
    return digest.hexdigest()
