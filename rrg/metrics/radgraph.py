"""Entity graphs of English reports by the package radgraph with local weights."""

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rrg.formats.graph_rows import Graph, of_entities

MODELS = ("radgraph", "radgraph-xl", "modern-radgraph-xl", "echograph")
"""Names that a folder of weights can have: the package finds its model by the name of its folder."""
FILES = ("config.json", "weights.th", "vocabulary")


def graphs(texts: Sequence[str], folder: Path) -> list[Graph]:
    """The graph of each text; an empty text has none. Nothing is downloaded."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    with contextlib.redirect_stdout(sys.stderr):  # the package prints
        package: Any = importlib.import_module("radgraph")
        model = package.RadGraph(model_type=folder.name, model_cache_dir=str(folder.parent))
        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        said = model(distinct) if distinct else {}
    found = {text: of_entities("radgraph", said[str(n)]["entities"]) for n, text in enumerate(distinct)}
    return [found.get(text, ()) for text in texts]
