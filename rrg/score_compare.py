"""Two systems item by item: reads two per-item files, writes one result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg import score_compare_texts
from rrg.errors import RrgError, UsageError
from rrg.formats import item_scores
from rrg.formats.read import read_source
from rrg.metrics import bootstrap, compare_texts
from rrg.metrics import compare as pairs
from rrg.metrics.options import flag
from rrg.metrics.output import Result
from rrg.metrics.protocols import PROTOCOLS
from rrg.provenance import rrg_version
from rrg.score_join import input_of
from rrg.score_options import Json, Options
from rrg.score_strata import FEW_CLUSTERS, facet_text


def compare(first: Path, second: Path | None, options: Options) -> Result:
    """Compare two per-item files, item by item. RrgError when their ids differ (but for relative-robustness)."""
    name = options.protocol or next(iter(pairs.PROTOCOLS))
    if name not in pairs.PROTOCOLS:
        raise UsageError(f"compare has no protocol {name!r}; one of {', '.join(pairs.PROTOCOLS)}")
    if second is None:
        raise UsageError("compare needs two per-item files")
    texts = name in compare_texts.TESTS
    for unknown in sorted(options.given - ({"reference_texts"} if texts else set())):
        raise UsageError(f"{flag(unknown)} means nothing to compare --protocol {name}")
    if texts:
        return score_compare_texts.compare(name, first, second, options)
    paired = name == "strict"
    sources = read_source(first), read_source(second)
    (a, runs_a), (b, runs_b) = (item_scores.read(source, options.id_field) for source in sources)
    if paired and a.keys() != b.keys():
        only = sorted(a.keys() ^ b.keys())
        raise RrgError(
            f"the two files have different ids: {len(only)} are in one only, the first is {only[0]!r}; "
            "score both systems on the same references",
            "E_PREDICTION",
        )
    a, b = (_kept(side, options.where) for side in (a, b))
    if paired:
        b = {id_: b[id_] for id_ in a}
    shared = [each for each in item_scores.names(a) if each in set(item_scores.names(b))]
    for each in options.metrics or ():
        if each not in shared:
            raise UsageError(f"--metrics {each}: not a score of both files; they share {', '.join(shared) or 'none'}")
    wanted = [each for each in shared if options.metrics is None or each in options.metrics]
    if not wanted:
        raise RrgError("the two files share no item score; give two --per-item files of the same task")
    body: Json = {
        "task": "compare",
        "protocol": name,
        "version": rrg_version(),
        "signature": "",
        "inputs": {"predictions": input_of(sources[0]), "references": input_of(sources[1])},
        "metrics": {},
        "strata": {},
        "bootstrap": {
            "samples": options.samples,
            "seed": options.seed,
            "unit": options.cluster or "item",
            "clusters": None,
        },
        "warnings": [],
        "notes": [],
    }
    for source, runs in zip(sources, (runs_a, runs_b), strict=True):
        if runs > 1:
            body["notes"].append(f"{source.path}: each item has the mean of {runs} runs; intervals are over items")
    for each in wanted:
        made, count = _pair(each, a, b, options) if paired else (_shift(each, a, b, options), None)
        body["metrics"] |= made
        body["bootstrap"]["clusters"] = count or body["bootstrap"]["clusters"]
        if count is not None and count < FEW_CLUSTERS:
            body["warnings"].append(f"{each}: only {count} clusters: the intervals mean little")
    if paired and len(wanted) > 1 and options.samples:
        tested = [each for each in wanted if body["metrics"][f"{each}.p_sign_flip"]["value"] is not None]
        adjusted = pairs.holm([body["metrics"][f"{each}.p_sign_flip"]["value"] for each in tested])
        for each, value in zip(tested, adjusted, strict=True):
            n = body["metrics"][f"{each}.p_sign_flip"]["n"]
            body["metrics"][f"{each}.p_sign_flip_holm"] = plain(value, "p", n)
    parts: Json = {"proto": name, "metrics": "+".join(wanted), "n": len(a), "samples": options.samples}
    parts |= {"seed": options.seed} | ({"cluster": options.cluster} if options.cluster else {})
    words = [f"{key}:{value}" for key, value in parts.items()]
    body["signature"] = "|".join(["rrg", "compare", *words, f"v:{rrg_version()}"])
    return Result(body, list, 0)


def unit_of(name: str) -> str:
    """The unit of an item score that one of our protocols makes; a fraction otherwise."""
    for table in PROTOCOLS.values():
        for protocol in table.values():
            for metric in protocol.metrics:
                if metric.name == name:
                    return metric.unit
    return "fraction"


def _kept(side: dict[str, item_scores.ItemScores], conditions: Sequence[tuple[str, str]]) -> dict[str, Any]:
    kept = {
        id_: each
        for id_, each in side.items()
        if all(name in each.facets and facet_text(each.facets[name]) == value for name, value in conditions)
    }
    if not kept:
        raise RrgError("no items left after --where")
    return kept


def plain(value: float | int | None, unit: str, n: int, excluded: int = 0, interval: Any = None) -> Json:
    """A metric object of a comparison."""
    return {
        "value": value,
        "unit": unit,
        "n": n,
        "n_missing": 0,
        "n_unparsed": 0,
        "n_excluded": excluded,
        "ci95": None if interval is None else list(interval),
    }


def _mean(values: NDArray[np.float64], unit: str, excluded: int, hits: bool, interval: Any) -> Json:
    made = plain(float(values.mean()) if len(values) else None, unit, len(values), excluded, interval)
    if hits and len(values):
        count = round(float(values.sum()))
        made["wilson95"] = list(bootstrap.wilson(count, len(values)))
        made["exact95"] = list(bootstrap.clopper_pearson(count, len(values)))
    return made


def _pair(name: str, a: Any, b: Any, options: Options) -> tuple[Json, int | None]:
    """All results of one item score of two systems, and the number of clusters."""
    of_kind = [id_ for id_ in a if name in a[id_].scores or name in b[id_].scores]
    both = [id_ for id_ in of_kind if a[id_].scores.get(name) is not None and b[id_].scores.get(name) is not None]
    left = np.array([a[id_].scores[name] for id_ in both], float)
    right = np.array([b[id_].scores[name] for id_ in both], float)
    n, excluded, unit = len(both), len(of_kind) - len(both), unit_of(name)
    clusters = item_scores.clusters([a[id_] for id_ in both], options.cluster) if options.cluster else None
    columns = [left, right, right - left]
    if clusters is None:
        intervals = bootstrap.mean_intervals(columns, options.samples, options.seed)
    else:
        intervals = bootstrap.cluster_mean_intervals(columns, options.samples, options.seed, clusters)
    hits = pairs.is_hits(left, right)
    difference = float((right - left).mean()) if n else None
    p = pairs.sign_flip_p(right - left, options.samples, options.seed, clusters)
    made = {
        f"{name}.a": _mean(left, unit, excluded, hits, intervals[0]),
        f"{name}.b": _mean(right, unit, excluded, hits, intervals[1]),
        f"{name}.diff": plain(difference, unit, n, excluded, intervals[2]),
        f"{name}.p_sign_flip": plain(p, "p", n, excluded),
    }
    if hits:
        only_a, only_b = int(((left == 1) & (right == 0)).sum()), int(((left == 0) & (right == 1)).sum())
        made[f"{name}.only_a"] = plain(only_a, "count", n, excluded)
        made[f"{name}.only_b"] = plain(only_b, "count", n, excluded)
        made[f"{name}.p_mcnemar"] = plain(pairs.mcnemar_p(only_a, only_b), "p", n, excluded)
    else:
        statistic, p_value = pairs.wilcoxon(left, right) or (None, None)
        made[f"{name}.wilcoxon"] = plain(statistic, "statistic", n, excluded)
        made[f"{name}.p_wilcoxon"] = plain(p_value, "p", n, excluded)
    return made, None if clusters is None else len(np.unique(clusters))


def _shift(name: str, a: Any, b: Any, options: Options) -> Json:
    """Relative robustness of one item score: A in distribution, B shifted, other ids."""
    made, means = {}, []
    for side, rows in (("a", a), ("b", b)):
        of_kind = [each.scores[name] for each in rows.values() if name in each.scores]
        values = np.array([value for value in of_kind if value is not None], float)
        interval = bootstrap.mean_intervals([values], options.samples, options.seed)[0]
        hits = pairs.is_hits(values)
        made[f"{name}.{side}"] = _mean(values, unit_of(name), len(of_kind) - len(values), hits, interval)
        means.append(made[f"{name}.{side}"]["value"])
    defined = None not in means and means[0] != 0
    rr = 1 - (means[0] - means[1]) / means[0] if defined else None
    made[f"{name}.rr"] = plain(rr, "fraction", made[f"{name}.b"]["n"])
    return made
