"""Values that others have published, for the same protocol on the same questions only."""

import hashlib
import tomllib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from rrg.formats.items import Item
from rrg.metrics.table import Scored

TABLE = "published.toml"


def id_set(items: Sequence[Item]) -> str:
    """SHA-256 of the sorted ids, one a line."""
    return hashlib.sha256("\n".join(sorted(item.reference.id for item in items)).encode()).hexdigest()


def of(task: str, protocol: str, items: Sequence[Item], scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Systems with published values by this protocol on this very set: ids, and how many are open and closed."""
    table = tomllib.loads(files("rrg.metrics").joinpath(TABLE).read_text(encoding="utf-8"))
    ids, kinds = id_set(items), Counter(each.answer_type for each in scored)
    sets = {
        name: each["title"]
        for name, each in table["sets"].items()
        if each["task"] == task and each["ids"] == ids and each["kinds"] == dict(kinds)
    }
    return [
        {"system": each["system"], "set": sets[each["set"]], "source": each["source"], "metrics": each["metrics"]}
        for each in table["values"]
        if each["protocol"] == protocol and each["set"] in sets
    ]
