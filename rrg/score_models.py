"""Metrics of reports that need a model on this machine: BERTScore, CheXbert, RadGraph. Without it they are skipped."""

import dataclasses
import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rrg.errors import UsageError
from rrg.formats.items import Item
from rrg.formats.label_rows import CHEXBERT
from rrg.metrics import bertscore, chexbert, english, graphs, labels, radgraph
from rrg.metrics.bootstrap import Array
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import FRACTION, Block, Metric, Protocol

WEIGHTS = (".safetensors", ".bin", ".pth", ".th")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Folders of the command line."""

    bertscore: Path | None = None
    bertscore_layer: int | None = None
    bertscore_idf: bool = False
    bertscore_baseline: Path | None = None
    chexbert: Path | None = None
    radgraph: Path | None = None


class Extra(NamedTuple):
    """The metrics of one model."""

    metrics: tuple[Metric, ...]
    block: Callable[[Sequence[Item]], Block]
    """Of some of the items that it was made for."""
    signature: Mapping[str, str]
    warnings: Sequence[str] = ()


BERTSCORE = tuple(Metric(f"bertscore.{name}", FRACTION, f"BERTScore {name}, mean") for name in bertscore.NAMES)
CHEXBERT_METRICS = tuple(
    Metric(f"chexbert.{size}.{how}.f1", FRACTION, f"{how} F1 of the {size} labels", note=note)
    for size in ("14", "5")
    for how, note in (("micro", None), ("macro", labels.ABSENT))
)
RADGRAPH = (
    Metric("radgraph.simple", FRACTION, "F1 of (tokens, label), mean over reports", note=graphs.EMPTY),
    Metric("radgraph.partial", FRACTION, "the same with a mark on entities with a relation", note=graphs.EMPTY),
    Metric("radgraph.complete", FRACTION, "F1 of (tokens, label, relation, target)", note=graphs.CASE),
)


def extras(items: Sequence[Item], options: ModelOptions, task_options: TaskOptions) -> list[Extra]:
    """What the models say of all items. RrgError for an English labeler and other reports without ``--force``."""
    made = []
    if options.bertscore is not None:
        made.append(_bertscore(items, options.bertscore, options))
    if options.chexbert is not None:
        made.append(_chexbert(items, options.chexbert, task_options))
    if options.radgraph is not None:
        made.append(_radgraph(items, options.radgraph, task_options))
    return made


def with_extras(protocol: Protocol, more: Sequence[Extra]) -> Protocol:
    """The protocol with the metrics of the models."""

    def block(items: Sequence[Item], options: TaskOptions) -> Block:
        blocks = [protocol.block(items, options) if protocol.block else Block(), *(each.block(items) for each in more)]
        fields = [field.name for field in dataclasses.fields(Block)]
        merged = {name: {k: v for each in blocks for k, v in getattr(each, name).items()} for name in fields}
        return Block(**merged)

    return dataclasses.replace(protocol, block=block)


def _skipped(metrics: Sequence[Metric], reason: str) -> Extra:
    return Extra(tuple(metrics), lambda _items: Block(skipped={each.name: reason for each in metrics}), {})


def _absent(folder: Path, files: Sequence[str], packages: Sequence[str]) -> str:
    """Why a model can not be used here; empty when it can."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return f"package not found: {package}"
    lacking = [name for name in files if not any(folder.glob(name))]
    return f"weights not found: {folder} has no {lacking[0]}" if lacking else ""


def _sides(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    return [item.text for item in items], [str(item.reference.value) for item in items]


def _fingerprint(folder: Path) -> str:
    """12 digits of the SHA-256 of the weights in a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _of_items(items: Sequence[Item], names: Sequence[str], values: Array) -> Callable[[Sequence[Item]], Block]:
    """A block of means from the (items, names) values of all items."""
    rows = {item.reference.id: row for item, row in zip(items, values, strict=True)}

    def block(some: Sequence[Item]) -> Block:
        own = np.array([rows[item.reference.id] for item in some]).reshape(len(some), len(names))
        return Block(means=dict(zip(names, own.T, strict=True)))

    return block


def _bertscore(items: Sequence[Item], folder: Path, options: ModelOptions) -> Extra:
    layer = options.bertscore_layer
    if layer is None:
        raise UsageError(
            "--bertscore needs --bertscore-layer: values of different layers are different metrics (bert-score takes "
            "17 of roberta-large, 9 of bert-base, 9 of bert-base-multilingual-cased, 5 of distilbert-base)"
        )
    if reason := _absent(folder, ("config.json", "tokenizer*.json"), ("torch", "transformers")):
        return _skipped(BERTSCORE, reason)
    baseline = (
        None if options.bertscore_baseline is None else bertscore.read_baseline(options.bertscore_baseline, layer)
    )
    encoder = bertscore.Encoder(folder, layer)
    said, wanted = _sides(items)
    both = encoder.encode([*said, *wanted])
    values = bertscore.scores(both[: len(items)], both[len(items) :], idf=options.bertscore_idf)
    if baseline is not None:
        values = bertscore.rescaled(values, baseline)
    how = bertscore.settings_of(folder, layer, idf=options.bertscore_idf, baseline=baseline is not None)
    told = f"{how['model']}-{_fingerprint(folder)}-{how['rule']}-transformers-{how['transformers']}".replace("|", "/")
    return Extra(BERTSCORE, _of_items(items, [each.name for each in BERTSCORE], values), {"bertscore": told})


def _chexbert(items: Sequence[Item], folder: Path, options: TaskOptions) -> Extra:
    warnings = english.check(items, options, "CheXbert")
    if reason := _absent(folder, ("config.json", "tokenizer*.json", "*.pth"), ("torch", "transformers")):
        return _skipped(CHEXBERT_METRICS, reason)
    said, wanted = _sides(items)
    codes = chexbert.Labeler(folder).labels([*said, *wanted])
    known = {
        item.reference.id: Item(reference=dataclasses.replace(item.reference, value=b), prediction=a)
        for item, a, b in zip(items, codes[: len(items)], codes[len(items) :], strict=True)
    }

    def block(some: Sequence[Item]) -> Block:
        groups = {"chexbert.14": CHEXBERT, "chexbert.5": labels.FIVE}
        made = labels.block([known[item.reference.id] for item in some], TaskOptions(), groups)
        names = {each.name for each in CHEXBERT_METRICS}
        sums = {name: each for name, each in made.sums.items() if name in names}
        return Block(sums=sums, parts=made.parts)

    return Extra(CHEXBERT_METRICS, block, {"chexbert": _fingerprint(folder), **english.signature(options)}, warnings)


def _radgraph(items: Sequence[Item], folder: Path, options: TaskOptions) -> Extra:
    warnings = english.check(items, options, "RadGraph")
    if folder.name not in radgraph.MODELS:
        raise UsageError(
            f"--radgraph {folder}: the package finds its model by the name of the folder; expected one of "
            f"{', '.join(radgraph.MODELS)}"
        )
    if reason := _absent(folder, radgraph.FILES, ("torch", "radgraph")):
        return _skipped(RADGRAPH, reason)
    said, wanted = _sides(items)
    both = radgraph.graphs([*said, *wanted], folder)
    pairs = zip(both[: len(items)], both[len(items) :], strict=True)
    values = np.array([[graphs.reward(a, b, level) for level in graphs.LEVELS] for a, b in pairs])
    told = {"radgraph": f"{folder.name}-{_fingerprint(folder)}", **english.signature(options)}
    return Extra(RADGRAPH, _of_items(items, [each.name for each in RADGRAPH], values), told, warnings)
