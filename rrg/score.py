"""Predictions against references: join by id, filter, score, strata, intervals, one result."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rrg.errors import UsageError
from rrg.formats.items import Item
from rrg.metrics import english, published
from rrg.metrics.laterality import confusion
from rrg.metrics.options import flag
from rrg.metrics.output import Result, item_lines
from rrg.metrics.protocols import ALSO, PROTOCOLS
from rrg.metrics.table import Block, Metric, Protocol, Scored
from rrg.metrics.tags import strip_tags
from rrg.provenance import rrg_version
from rrg.score_join import joined
from rrg.score_judge import GREEN, judged
from rrg.score_measure import measure, parts, tabulated
from rrg.score_models import extras, with_extras
from rrg.score_options import Json, Options
from rrg.score_sanity import table as sanity_table
from rrg.score_strata import cluster_names, few_clusters, strata_of, where

TEXT_TASKS = ("vqa", "report")


def protocol_of(task: str, name: str | None) -> tuple[str, Protocol]:
    """A protocol by name, the default without one. UsageError lists what there is."""
    if task not in PROTOCOLS:
        raise UsageError(f"no task {task!r}; one of {', '.join((*PROTOCOLS, 'compare'))}")
    table = PROTOCOLS[task]
    name = ALSO.get((task, name or ""), name or next(iter(table)))
    if name not in table:
        raise UsageError(f"{task} has no protocol {name!r}; one of {', '.join(table)}")
    return name, table[name]


def score(task: str, predictions: Path, references: Path | None, options: Options) -> Result:
    """Score a prediction file. RrgError on anything that can not be read or joined; nothing is written here."""
    name, protocol = protocol_of(task, options.protocol)
    wanted = chosen_metrics(protocol, options)
    labelers = options.models is not None or (options.judge is not None and options.judge.rubric == GREEN)
    for unknown in sorted(options.given - protocol.options - ({"force"} if labelers else set())):
        raise UsageError(f"{flag(unknown)} means nothing to {task} --protocol {name}")
    both = joined(task, protocol.rows or task, predictions, references, options)
    task_options = protocol.declared(options.task, both.native)
    items = where(both.items, options.where)
    warnings = protocol.check(items, task_options)
    bare = [_bare(item) for item in items] if task in TEXT_TASKS and not task_options.keep_tags else items
    scored = protocol.score(bare, task_options)
    more = protocol.signature(task_options)
    full = _with_models_and_judge(task, name, protocol, bare, scored, options)
    wanted, more, warnings = (*wanted, *full.metrics), {**more, **full.signature}, [*warnings, *full.warnings]
    clusters = cluster_names(items, options.cluster)
    columns = tabulated(wanted, bare, full.scored)
    whole, block = measure(full.protocol, wanted, bare, columns, clusters, options, task_options)
    strata = {
        facet: {
            value: measure(full.protocol, wanted, bare, columns, clusters, options, task_options, chosen)[0]
            if len(chosen) < len(items)
            else whole
            for value, chosen in values.items()
        }
        for facet, values in strata_of(items, scored, own_facets(options.by, block)).items()
    } | {
        facet: members
        for facet, members in parts(block, columns, clusters, options).items()
        if options.by is None or facet in options.by
    }
    if full.judge is not None:
        count_failed(full.judge, [whole, *(each for values in strata.values() for each in values.values())])
    missing = sum(item.missing for item in items)
    warnings += few_clusters(clusters)
    if missing:
        warnings.append(f"{missing} of {len(items)} references have no prediction; they score as empty")
    body: Json = {
        "task": task,
        "protocol": name,
        "version": rrg_version(),
        "signature": signature(task, name, items, options, more),
        "inputs": both.inputs,
        "metrics": whole,
        "strata": strata,
        "bootstrap": {
            "samples": options.samples,
            "seed": options.seed,
            "unit": options.cluster or "item",
            "clusters": None if clusters is None else len(np.unique(clusters)),
        },
        "warnings": warnings,
        "notes": [*both.notes, *protocol.notes, *protocol.remarks(items, scored)],
    }
    if options.sanity or options.baselines:

        def row(others: Sequence[Item]) -> Json:
            bared = [_bare(item) for item in others] if bare is not items else others
            plain = chosen_metrics(protocol, options)
            found = tabulated(plain, bared, protocol.score(bared, task_options))
            return measure(protocol, plain, bared, found, clusters, options, task_options)[0]

        body["sanity"] = sanity_table(task, protocol, both, bare, scored, options, row)
    if options.sanity and task == "vqa" and (sides := confusion(bare)):
        body["laterality"] = sides
    if others := published.of(task, name, items, scored):
        body["published"] = others
    return Result(body, lambda: item_lines(items, full.scored, block), missing, items)


class _Full(NamedTuple):
    """A protocol with the metrics of models and of a judge."""

    protocol: Protocol
    scored: Sequence[Scored]
    metrics: tuple[Metric, ...] = ()
    """Those that were added."""
    signature: Mapping[str, str] = {}
    warnings: Sequence[str] = ()
    judge: str | None = None
    """Name of the judge's metric."""


def _with_models_and_judge(
    task: str, name: str, protocol: Protocol, items: Sequence[Item], scored: Sequence[Scored], options: Options
) -> _Full:
    full = _Full(protocol, scored)
    if options.models is not None:
        if task != "report" or protocol.rows is not None:
            raise UsageError(f"--bertscore, --chexbert and --radgraph mean nothing to {task} --protocol {name}")
        found = extras(items, options.models, options.task)
        full = full._replace(
            protocol=with_extras(protocol, found),
            metrics=tuple(metric for each in found for metric in each.metrics),
            signature={part: text for each in found for part, text in each.signature.items()},
            warnings=[warning for each in found for warning in each.warnings],
        )
    if options.judge is not None:
        if task not in TEXT_TASKS or protocol.rows is not None:
            raise UsageError(f"--judge-url means nothing to {task} --protocol {name}")
        english_only = options.judge.rubric == GREEN
        warnings = english.check(items, options.task, "GREEN") if english_only else []
        made, metric, how = judged(items, scored, options.judge)
        full = full._replace(
            scored=made,
            metrics=(*full.metrics, metric),
            signature={**full.signature, "judge": how},
            warnings=[*full.warnings, *warnings],
            judge=metric.name,
        )
    return full


def own_facets(by: Sequence[str] | None, block: Block) -> Sequence[str] | None:
    """The facets of ``--by`` that are fields of the references, not the block's own strata."""
    return by if by is None else [facet for facet in by if facet not in block.parts]


def count_failed(name: str, blocks: Sequence[Json]) -> None:
    """Say at each value of the judge how many verdicts failed: nothing else is left out of it."""
    for each in blocks:
        if name in each:
            each[name]["n_judge_failed"] = each[name]["n_excluded"]


def _bare(item: Item) -> Item:
    """The item with inline box and mask tags taken out of both texts."""
    value, said = item.reference.value, item.prediction
    if not (isinstance(value, str) and "<" in value) and not (isinstance(said, str) and "<" in said):
        return item
    reference = (
        dataclasses.replace(item.reference, value=strip_tags(value)) if isinstance(value, str) else item.reference
    )
    said = strip_tags(said) if isinstance(said, str) else said
    return dataclasses.replace(item, reference=reference, prediction=said)


def chosen_metrics(protocol: Protocol, options: Options) -> tuple[Metric, ...]:
    """The metrics asked for, in the protocol's order."""
    metrics, names = protocol.metrics_of(options.task) if protocol.metrics_of else protocol.metrics, options.metrics
    known = {metric.name: metric for metric in metrics}
    if protocol.metrics_name_scores and not known.keys() & set(names or ()):
        return metrics
    for name in names or ():
        if name not in known:
            raise UsageError(f"no metric {name!r}; one of {', '.join(known)}")
    return tuple(metric for metric in metrics if names is None or metric.name in names)


def signature(task: str, protocol: str, items: Sequence[Item], options: Options, parts: Mapping[str, str]) -> str:
    """One line that says how the numbers were made, in the manner of sacrebleu."""
    langs = sorted({item.reference.lang for item in items if item.reference.lang})
    known: dict[str, Any] = {"proto": protocol, "lang": "+".join(langs) or "none", **parts}
    if task == "report" and options.reference_field:
        known["section"] = options.reference_field.replace(",", "+")
    if options.where:
        known["where"] = "+".join(f"{name}={value}" for name, value in sorted(options.where))
    known |= {"n": len(items), "samples": options.samples, "seed": options.seed}
    if options.cluster:
        known["cluster"] = options.cluster
    return "|".join(["rrg", task, *(f"{name}:{value}" for name, value in known.items()), f"v:{rrg_version()}"])
