"""Two systems by sacrebleu's paired tests: reads two files of texts and their references, writes one result."""

import hashlib
from pathlib import Path

from rrg.errors import RrgError, UsageError
from rrg.formats import foreign
from rrg.formats.read import BOM, read_source
from rrg.metrics import compare_texts
from rrg.metrics.output import Result
from rrg.provenance import rrg_version
from rrg.score_join import fields_of, input_of
from rrg.score_options import SAMPLES, Json, Options

SIDES = {"predictions": "A", "references": "B", "texts": "the references"}
"""Name in ``inputs`` -> what it is."""


def compare(name: str, first: Path, second: Path, options: Options) -> Result:
    """Compare two files of texts. RrgError when they are not equally long, or their ids differ."""
    if options.task.reference_texts is None:
        raise UsageError(f"compare --protocol {name} needs --references FILE: the texts that both are scored against")
    if options.where or options.cluster or options.metrics:
        raise UsageError(f"--where, --cluster and --metrics mean nothing to compare --protocol {name}")
    inputs: Json = {}
    texts: dict[str, dict[str, str]] = {}
    for side, path in zip(SIDES, (first, second, Path(options.task.reference_texts)), strict=True):
        texts[side], inputs[side] = _read(path, side, options)
    order = list(texts["texts"])
    for side in ("predictions", "references"):
        if texts[side].keys() != texts["texts"].keys():
            raise RrgError(
                f"{inputs[side]['path']} has {len(texts[side])} texts, {inputs['texts']['path']} has {len(order)}, or "
                "their ids differ; give the texts of the same reports"
            )
    test = compare_texts.TESTS[name]
    draws = options.samples if options.samples != SAMPLES else compare_texts.DRAWS[test]
    a, b, wanted = ([texts[side][id_] for id_ in order] for side in SIDES)
    found = compare_texts.paired((a, b), wanted, test, draws, options.seed)
    counts = {"n": len(order), "n_missing": 0, "n_unparsed": 0, "n_excluded": 0, "ci95": None}
    keys = ("value", "unit")
    metrics = {
        key: {**{k: each[k] for k in keys}, **counts, **{k: v for k, v in each.items() if k not in keys}}
        for key, each in found.items()
    }
    parts = (f"proto:{name}", f"n:{len(order)}", f"samples:{draws}", f"seed:{options.seed}")
    body: Json = {
        "task": "compare",
        "protocol": name,
        "version": rrg_version(),
        "signature": "|".join(["rrg", "compare", *parts, f"v:{rrg_version()}"]),
        "inputs": inputs,
        "metrics": metrics,
        "strata": {},
        "bootstrap": {"samples": draws, "seed": options.seed, "unit": "item", "clusters": None},
        "warnings": [],
        "notes": [compare_texts.STRICT_ONLY] if test == "ar" else [],
    }
    return Result(body, list, 0)


def _read(path: Path, side: str, options: Options) -> tuple[dict[str, str], Json]:
    """(id -> text, what the result says of the file): rows with ids, or one text a line, whose number is the id."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RrgError(f"{path}: {error.strerror}", "E_IO") from None
    if data.removeprefix(BOM).lstrip()[:1] in (b"{", b"[") or path.name.endswith((".gz", ".csv")):
        source = read_source(path)
        rows = source.rows
        if source.native:
            raise RrgError(f"{path}: give the texts as JSONL, CSV or one a line")
        fields = fields_of(options)
        if side == "texts":
            items, _ = foreign.references(source, "report", fields, both_sides=False)
            pairs = [(each.id, str(each.value)) for each in items]
        else:
            pairs = [(each.id, str(each.value)) for each in foreign.answers(source, "report", fields, both_sides=False)]
        if len({id_ for id_, _ in pairs}) < len(rows):
            raise RrgError(f"{path}: an id is there twice; ids must be unique")
        return dict(pairs), input_of(source)
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise RrgError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    lines = [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    if not lines:
        raise RrgError(f"{path}: no texts")
    said = {"path": str(path), "sha256": hashlib.sha256(data).hexdigest(), "n": len(lines)}
    return {str(number): line for number, line in enumerate(lines, 1)}, said
