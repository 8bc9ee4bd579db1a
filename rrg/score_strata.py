"""Which items count: the filter, the strata, the clusters; all by facets of the references."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.errors import RrgError, UsageError
from rrg.formats.items import Item, Scalar
from rrg.metrics.sizes import quarters
from rrg.metrics.table import Scored

STRATA = ("lang", "modality", "content_type", "anatomy", "location", "image_organ")
"""Facets that are strata by default, where they exist."""
FEW_CLUSTERS = 10


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


def strata_of(
    items: Sequence[Item], scored: Sequence[Scored], by: Sequence[str] | None
) -> dict[str, dict[str, NDArray[np.int64]]]:
    """Field -> value -> indices of its items, values sorted. Fields that nothing has are left out.

    ``size``, where no reference has such a field, is a quarter by the size of the reference mask or box.
    """
    found: dict[str, dict[str, NDArray[np.int64]]] = {}
    facets = [item.reference.facets for item in items]
    for facet in STRATA if by is None else by:
        values: dict[str, list[int]] = {}
        for number, own in enumerate(facets):
            if facet in own:
                values.setdefault(facet_text(own[facet]), []).append(number)
        if values:
            found[facet] = {value: np.array(values[value]) for value in sorted(values)}
        elif facet == "size" and (parts := quarters([_size(each) for each in scored])):
            found[facet] = parts
        elif by is not None:
            raise UsageError(f"--by {facet}: no reference has this field")
    return found


def _size(scored: Scored) -> float:
    """Of the reference; nan without one."""
    return float(scored.extra.get("pixels", {}).get("reference", np.nan))


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
