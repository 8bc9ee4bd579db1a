"""Predictions against references: join by id, filter, score, strata, intervals, one result."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError, UsageError
from rrg.formats import foreign, native
from rrg.formats.fields import FORMATS, Fields
from rrg.formats.items import Answer, Item, Reference, Scalar
from rrg.formats.read import Source, read_source
from rrg.metrics import bootstrap, boxes
from rrg.metrics.grounded import SYNTAXES
from rrg.metrics.output import Result, item_lines
from rrg.metrics.protocols import PROTOCOLS
from rrg.metrics.table import Block, Metric, Protocol, Scored, TextOptions
from rrg.metrics.tags import strip_tags
from rrg.provenance import rrg_version

STRATA = ("lang", "modality", "content_type", "anatomy", "location", "image_organ")
"""Facets that are strata by default, where they exist."""
SAMPLES, SEED = 10_000, 12_345
FEW_CLUSTERS = 10
TEXT_TASKS = ("vqa", "report")
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command that change the result."""

    protocol: str | None = None
    metrics: tuple[str, ...] | None = None
    where: tuple[tuple[str, str], ...] = ()
    by: tuple[str, ...] | None = None
    """None: the default strata; empty: none."""
    cluster: str | None = None
    samples: int = SAMPLES
    seed: int = SEED
    format: str | None = None
    id_field: str | None = None
    prediction_field: str | None = None
    reference_field: str | None = None
    partial: bool = False
    text: TextOptions = field(default_factory=TextOptions)
    given: frozenset[str] = frozenset()
    """Names of `TextOptions` that were given on the command line."""


@dataclass(frozen=True)
class Joined:
    """Both sides, joined, before the filter."""

    items: list[Item]
    inputs: Json
    notes: list[str]
    native: bool


def protocol_of(task: str, name: str | None) -> tuple[str, Protocol]:
    """A protocol by name, the default without one. UsageError lists what there is."""
    if task not in PROTOCOLS:
        raise UsageError(f"no task {task!r}; one of {', '.join((*PROTOCOLS, 'compare'))}")
    table = PROTOCOLS[task]
    name = name or next(iter(table))
    if name not in table:
        raise UsageError(f"{task} has no protocol {name!r}; one of {', '.join(table)}")
    return name, table[name]


def score(task: str, predictions: Path, references: Path | None, options: Options) -> Result:
    """Score a prediction file. RrgError on anything that can not be read or joined; nothing is written here."""
    name, protocol = protocol_of(task, options.protocol)
    wanted = chosen_metrics(protocol, options.metrics)
    for unknown in sorted(options.given - protocol.options):
        raise UsageError(f"--{unknown.replace('_', '-')} means nothing to {task} --protocol {name}")
    joined = join(task, predictions, references, options)
    text = declared(task, options.text, own=joined.native)
    items = where(joined.items, options.where)
    warnings = boxes.check_range(items, text) if task == "refer" else []
    notes = [*joined.notes, *protocol.notes]
    bare = [_bare(item) for item in items] if task in TEXT_TASKS and not text.keep_tags else items
    scored = protocol.score(bare, text)
    clusters = cluster_names(items, options.cluster)
    whole, block = measure(protocol, wanted, bare, scored, clusters, options, text)
    strata = {
        facet: {
            value: measure(protocol, wanted, bare, scored, clusters, options, text, chosen)[0]
            if len(chosen) < len(items)
            else whole
            for value, chosen in values.items()
        }
        for facet, values in strata_of(items, options.by).items()
    }
    if task == "refer":
        notes += boxes.absent_note(scored)
    missing = sum(item.missing for item in items)
    warnings += few_clusters(clusters)
    if missing:
        warnings.append(f"{missing} of {len(items)} references have no prediction; they score as empty")
    body: Json = {
        "task": task,
        "protocol": name,
        "version": rrg_version(),
        "signature": signature(task, name, items, options, protocol.signature(text)),
        "inputs": joined.inputs,
        "metrics": whole,
        "strata": strata,
        "bootstrap": {
            "samples": options.samples,
            "seed": options.seed,
            "unit": options.cluster or "item",
            "clusters": None if clusters is None else len(np.unique(clusters)),
        },
        "warnings": warnings,
        "notes": notes,
    }
    return Result(body, lambda: item_lines(items, scored, block), missing)


def _bare(item: Item) -> Item:
    """The item with inline box and mask tags taken out of both texts."""
    if "<" not in item.text and "<" not in item.reference.value:
        return item
    reference = dataclasses.replace(item.reference, value=strip_tags(item.reference.value))
    said = strip_tags(item.prediction) if isinstance(item.prediction, str) else item.prediction
    return dataclasses.replace(item, reference=reference, prediction=said)


def chosen_metrics(protocol: Protocol, names: Sequence[str] | None) -> tuple[Metric, ...]:
    """The metrics asked for, in the protocol's order."""
    known = {metric.name: metric for metric in protocol.metrics}
    for name in names or ():
        if name not in known:
            raise UsageError(f"no metric {name!r}; one of {', '.join(known)}")
    return tuple(metric for metric in protocol.metrics if names is None or metric.name in names)


def declared(task: str, text: TextOptions, *, own: bool) -> TextOptions:
    """Units and syntax: our records say them; of other files they must be declared, never guessed."""
    if task == "refer":
        if own:
            if (text.box_format or "xyxy", text.box_unit or "pixel") != ("xyxy", "pixel"):
                raise UsageError("records of rrg hold boxes as xyxy, pixel; leave --box-format and --box-unit out")
            return dataclasses.replace(text, box_format="xyxy", box_unit="pixel")
        if text.box_format is None or text.box_unit is None:
            raise UsageError(
                f"refer needs --box-format ({', '.join(boxes.FORMATS)}) and --box-unit ({', '.join(boxes.UNITS)}): "
                "the files do not say what their four numbers are"
            )
    if task == "grounded-text" and not own and text.syntax is None:
        raise UsageError(f"grounded-text needs --syntax ({', '.join(SYNTAXES)}): the files do not say it")
    return text


# ---- both sides -----------------------------------------------------------------------------------------------------


def join(task: str, predictions: Path, references: Path | None, options: Options) -> Joined:
    """Read both sides and join them by id, in the order of the references."""
    left = read_source(predictions, partial=options.partial)
    right = left if references is None else read_source(references, partial=options.partial)
    inputs: Json = {"predictions": input_of(left)}
    if references is not None:
        inputs["references"] = input_of(right)
    for source in (left, right):
        if options.format == "rrg" and not source.native:
            raise RrgError(f"{source.path}: not a stream of rrg records, as --format rrg says")
    fields = fields_of(options)
    notes: list[str] = []
    if right.native:
        wanted = native.references(right, task)
        asked = {sample.id: sample for _, sample in native.samples(right)}
    else:
        right = foreign.flat(right)
        wanted, notes = foreign.references(
            right, task, fields, both_sides=references is None, predictions=fields.prediction
        )
        asked = {}
    if left.native:
        if task in ("refer", "grounded-text") and not right.native:
            raise RrgError(f"{right.path}: predictions of rrg hold pixel boxes; references must be rrg samples too")
        given = native.answers(left, task, asked)
    else:
        if task in ("refer", "grounded-text") and right.native:
            raise RrgError(f"{left.path}: samples of rrg hold pixel boxes; predictions must be rrg records")
        given = foreign.answers(foreign.flat(left), task, fields, both_sides=references is None)
    if not wanted:
        raise RrgError(f"{right.path}: no references for {task}; is it the right file?")
    return Joined(by_id(left, given, right, wanted, set(asked)), inputs, notes, left.native and right.native)


def input_of(source: Source) -> Json:
    """What the result says about a file that was read."""
    return {"path": source.path, "sha256": source.sha256, "n": len(source.rows)}


def fields_of(options: Options) -> Fields:
    """Which fields to look in: those of the named format, or all known names; named ones before."""
    if options.format is not None and options.format not in FORMATS:
        raise UsageError(f"no format {options.format!r}; one of {', '.join(FORMATS)}")
    fields = FORMATS[options.format or "jsonl"] or Fields()
    if options.id_field:
        fields = dataclasses.replace(fields, id=(options.id_field,))
    if options.prediction_field:
        fields = dataclasses.replace(fields, prediction=(options.prediction_field,))
    if options.reference_field:
        names = tuple(options.reference_field.split(","))
        fields = dataclasses.replace(fields, reference=names, joined=names if len(names) > 1 else ())
    return fields


def by_id(
    left: Source, answers: Sequence[Answer], right: Source, references: Sequence[Reference], also: set[str]
) -> list[Item]:
    """One item for each reference. `also` are ids that exist but are not scored here (samples of other tasks)."""
    wanted = _unique(right, references)
    given = _unique(left, answers)
    for answer in answers:
        if answer.id not in wanted and answer.id not in also:
            raise RrgError(
                f"{left.where(answer.line)}: no reference has the id {answer.id!r}; are these the right two files?",
                "E_PREDICTION",
            )
    return [
        Item(reference=each, prediction=given[each.id].value)
        if each.id in given
        else Item(reference=each, missing=True)
        for each in references
    ]


def _unique(source: Source, rows: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        if row.id in found:
            raise RrgError(
                f"{source.where(row.line)}: id {row.id!r} is there already ({source.where(found[row.id].line)}); "
                "ids must be unique",
                "E_PREDICTION",
            )
        found[row.id] = row
    return found


def facet_text(value: Scalar) -> str:
    """A facet as it is written on the command line and as a stratum."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value).strip()


def where(items: Sequence[Item], conditions: Sequence[tuple[str, str]]) -> list[Item]:
    """Items whose references have all the facets."""
    kept = [
        item
        for item in items
        if all(
            name in item.reference.facets and facet_text(item.reference.facets[name]) == value
            for name, value in conditions
        )
    ]
    if not kept:
        words = " and ".join(f"{name}={value}" for name, value in conditions)
        name = conditions[0][0]
        seen = sorted({facet_text(i.reference.facets[name]) for i in items if name in i.reference.facets})
        known = f"{name} is one of {', '.join(seen[:8])}" if seen else f"no reference has the field {name}"
        raise RrgError(f"no references left with {words}; {known}")
    return kept


def strata_of(items: Sequence[Item], by: Sequence[str] | None) -> dict[str, dict[str, NDArray[np.int64]]]:
    """Field -> value -> indices of its items, values sorted. Fields that nothing has are left out."""
    found: dict[str, dict[str, NDArray[np.int64]]] = {}
    for facet in STRATA if by is None else by:
        values: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            if facet in item.reference.facets:
                values.setdefault(facet_text(item.reference.facets[facet]), []).append(number)
        if values:
            found[facet] = {value: np.array(values[value]) for value in sorted(values)}
        elif by is not None:
            raise UsageError(f"--by {facet}: no reference has this field")
    return found


def cluster_names(items: Sequence[Item], field: str | None) -> NDArray[Any] | None:
    """(items,) names of the clusters; None without ``--cluster``."""
    if field is None:
        return None
    for item in items:
        if field not in item.reference.facets:
            raise UsageError(f"--cluster {field}: reference {item.reference.id!r} has no such field")
    return np.array([facet_text(item.reference.facets[field]) for item in items])


def few_clusters(clusters: NDArray[Any] | None) -> list[str]:
    """A warning when there are too few clusters to draw from."""
    n = FEW_CLUSTERS if clusters is None else len(np.unique(clusters))
    return [f"only {n} clusters: the intervals mean little (one cluster has none)"] if n < FEW_CLUSTERS else []


# ---- values and intervals -------------------------------------------------------------------------------------------


def measure(
    protocol: Protocol,
    wanted: Sequence[Metric],
    items: Sequence[Item],
    scored: Sequence[Scored],
    clusters: NDArray[Any] | None,
    options: Options,
    text: TextOptions,
    chosen: NDArray[np.int64] | None = None,
) -> tuple[Json, Block]:
    """Metric objects of a set of items (all, or those at `chosen`), and what depends on that set."""
    if chosen is not None:
        items, scored = [items[n] for n in chosen], [scored[n] for n in chosen]
        clusters = None if clusters is None else clusters[chosen]
    block = protocol.block(items, text) if protocol.block else Block()
    missing = np.array([item.missing for item in items], bool)
    unparsed = np.array([each.unparsed for each in scored], bool)
    columns = {metric.name: column(metric.name, scored, block) for metric in wanted if metric.name not in block.sums}
    intervals = mean_intervals(columns, clusters, options)
    from_sums = sums_values(block, wanted, clusters, options)
    made: Json = {}
    for metric in wanted:
        extra: Json = {}
        if (sums := block.sums.get(metric.name)) is not None:
            counted = np.ones(len(items), bool) if sums.counted is None else sums.counted
            of_kind = counted
            value, interval = from_sums[metric.name]
            extra = {"signature": sums.signature} if sums.signature else {}
        else:
            values, of_kind = columns[metric.name]
            counted = ~np.isnan(values)
            value = float(values[counted].mean()) if counted.any() else None
            interval = intervals[metric.name]
            if metric.name in block.signatures:
                extra["signature"] = block.signatures[metric.name]
            if metric.hit and counted.any():
                hits, n = round(float(values[counted].sum())), int(counted.sum())
                extra |= {
                    "wilson95": list(bootstrap.wilson(hits, n)),
                    "exact95": list(bootstrap.clopper_pearson(hits, n)),
                }
        made[metric.name] = {
            "value": value,
            "unit": metric.unit,
            "n": int(counted.sum()),
            "n_missing": int((counted & missing).sum()),
            "n_unparsed": int((counted & unparsed).sum()),
            "n_excluded": int((of_kind & ~counted).sum()),
            "ci95": None if interval is None else list(interval),
            **extra,
            **({"note": metric.note} if metric.note else {}),
        }
    return made, block


Column = tuple[NDArray[np.float64], NDArray[np.bool_]]


def column(name: str, scored: Sequence[Scored], block: Block) -> Column:
    """(items,) scores of a metric, nan where there is none, and which items are of its kind."""
    if name in block.means:
        return block.means[name], ~np.isnan(block.means[name])
    values = np.full(len(scored), np.nan)
    of_kind = np.zeros(len(scored), bool)
    for number, each in enumerate(scored):
        if name in each.scores:
            of_kind[number] = True
            if (score := each.scores[name]) is not None:
                values[number] = score
    return values, of_kind


def mean_intervals(
    columns: Mapping[str, Column], clusters: NDArray[Any] | None, options: Options
) -> dict[str, bootstrap.Interval | None]:
    """Intervals of all means. Scores of the same items share their draws; other sets are drawn in parallel."""
    groups: dict[bytes, list[str]] = {}
    for name, (values, _) in columns.items():
        groups.setdefault(np.isnan(values).tobytes(), []).append(name)

    def work(names: list[str]) -> list[bootstrap.Interval | None]:
        there = ~np.isnan(columns[names[0]][0])
        chosen = [columns[name][0][there] for name in names]
        if clusters is None:
            return bootstrap.mean_intervals(chosen, options.samples, options.seed)
        return bootstrap.cluster_mean_intervals(chosen, options.samples, options.seed, clusters[there])

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        found = list(pool.map(work, groups.values()))
    return {
        name: interval
        for names, intervals in zip(groups.values(), found, strict=True)
        for name, interval in zip(names, intervals, strict=True)
    }


def sums_values(
    block: Block, wanted: Sequence[Metric], clusters: NDArray[Any] | None, options: Options
) -> dict[str, tuple[float | None, bootstrap.Interval | None]]:
    """Values and intervals of what is computed from sums; metrics of the same items share their draws."""
    groups: dict[bytes, list[str]] = {}
    for metric in wanted:
        if (sums := block.sums.get(metric.name)) is not None:
            groups.setdefault(b"" if sums.counted is None else sums.counted.tobytes(), []).append(metric.name)
    made: dict[str, tuple[float | None, bootstrap.Interval | None]] = {}
    for names in groups.values():
        counted = block.sums[names[0]].counted
        chosen = clusters if clusters is None or counted is None else clusters[counted]
        parts = [
            (sums.stats if counted is None else sums.stats[counted], sums.value)
            for sums in (block.sums[name] for name in names)
        ]
        intervals = bootstrap.sums_intervals(parts, options.samples, options.seed, chosen)
        for name, (stats, value), interval in zip(names, parts, intervals, strict=True):
            made[name] = _whole(block.sums[name].exact, stats, value), interval
    return made


def _whole(exact: float | None, stats: NDArray[np.float64], value: bootstrap.Value) -> float | None:
    """The value on all items; a count is an integer, an undefined value None."""
    if not len(stats):
        return None
    found = exact if exact is not None else float(value(stats.sum(axis=0)[None, :])[0])
    if np.isnan(found):
        return None
    return int(found) if stats.shape[1] == 1 else found


def signature(task: str, protocol: str, items: Sequence[Item], options: Options, parts: Mapping[str, str]) -> str:
    """One line that says how the numbers were made, in the manner of sacrebleu."""
    langs = sorted({item.reference.lang for item in items if item.reference.lang})
    known: dict[str, Any] = {"proto": protocol, "lang": "+".join(langs) or "none", **parts}
    if options.where:
        known["where"] = "+".join(f"{name}={value}" for name, value in sorted(options.where))
    known |= {"n": len(items), "samples": options.samples, "seed": options.seed}
    if options.cluster:
        known["cluster"] = options.cluster
    return "|".join(["rrg", task, *(f"{name}:{value}" for name, value in known.items()), f"v:{rrg_version()}"])
