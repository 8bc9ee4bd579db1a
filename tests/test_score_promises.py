"""What holds for every task of boxes, masks and numbers: bytes, order, denominators, per-item means, unknown ids."""

import json
from pathlib import Path

import numpy as np
import pytest

from rrg.errors import RrgError
from rrg.formats.coco import encoded
from rrg.metrics.options import TaskOptions
from rrg.metrics.output import result_bytes
from rrg.metrics.protocols import PROTOCOLS
from rrg.metrics.table import Metric
from rrg.score import score
from rrg.score_options import Options

from .score_cases import write_jsonl


def square(side, at=2):
    mask = np.zeros((24, 24), bool)
    mask[at : at + side, at : at + side] = True
    return encoded(mask)


def tag(phrase, *bins):
    return "<p bbox=" + "".join(f"<loc{n:04}>" for n in bins) + f" id=<seg001>>{phrase}</p>"


def cases(task):
    """(references, predictions) as rows, with empty, wrong and right answers."""
    n = range(6)
    if task == "refer":
        wanted = [{"id": k, "bbox": [10, 10, 30, 30], "site": "ab"[k % 2]} for k in n]
        said = [{"id": k, "bbox": [10, 10, 30, 30 - 3 * k] if k < 4 else None} for k in n]
    elif task == "grounded-text":
        wanted = [{"id": k, "reference": f"Die {tag('Leber', 0, 0, 90, 90)}." if k else "Nichts."} for k in n]
        said = [{"id": k, "text": f"Die {tag('leber', 0, 0, 90, 90 - 10 * k)}." if k != 2 else "."} for k in n]
    elif task == "masks":
        wanted = [{"id": k, "segmentation": square(2 * k), "spacing": [1.0, 2.0]} for k in n]
        said = [{"id": k, "segmentation": square(k + 1, at=1 + k % 3)} for k in n]
    else:
        wanted = [{"id": k, "target": [10 + k, 5, 30, 20][: 4 if task == "box" else 2], "unit": "mm"} for k in n]
        texts = ["10, 5, 30, 20", "11,6,30,20", "large", "", "12, 4", "15 mm, 5 mm"]
        said = [{"id": k, "prediction": texts[k] if task == "box" else texts[k].removesuffix(", 30, 20")} for k in n]
    return wanted, said


def options_of(task, protocol):
    keep = PROTOCOLS[task][protocol].options
    given = {"box_format": "xyxy", "box_unit": "pixel", "syntax": "radgrounder", "penalty": 50.0}
    return TaskOptions(**{name: value for name, value in given.items() if name in keep})


TASKS = [
    (task, protocol)
    for task in ("refer", "grounded-text", "masks", "quantities")
    for protocol in PROTOCOLS[task]
    if protocol != "count"
]


def run(folder, task, protocol, wanted, said):
    paths = write_jsonl(folder / "p.jsonl", said), write_jsonl(folder / "r.jsonl", wanted)
    chosen = Options(protocol=protocol, samples=20, task=options_of(task, protocol))
    return score(task, Path(paths[0]), Path(paths[1]), chosen)


@pytest.mark.parametrize(("task", "protocol"), TASKS)
def test_promises(tmp_path, task, protocol):
    wanted, said = cases("box" if protocol == "medvision-box" else task)
    found = run(tmp_path, task, protocol, wanted, said)
    assert result_bytes(found.body) == result_bytes(run(tmp_path, task, protocol, wanted, said).body)
    metrics = found.body["metrics"]
    assert run(tmp_path, task, protocol, wanted, said[::-1]).body["metrics"] == metrics
    lines = list(found.items())
    assert [line["id"] for line in lines] == [str(row["id"]) for row in wanted]
    for name, metric in metrics.items():
        assert metric["n"] + metric["n_excluded"] == len(wanted), name
        values = [line["scores"][name] for line in lines if isinstance(line["scores"].get(name), int | float)]
        if values and metric["unit"] != "count":
            assert np.mean(values) == pytest.approx(metric["value"]), name
    short = run(tmp_path, task, protocol, wanted, said[1:])
    assert (short.missing, len(list(short.items()))) == (1, len(wanted))
    assert short.body["metrics"].keys() == metrics.keys()
    if protocol == "strict":
        for name, metric in short.body["metrics"].items():
            finite_only = name.startswith(("hd", "asd", "mae", "mre")) and name != "mae_penalised"
            assert metric["n"] >= metrics[name]["n"] or finite_only, name
    with pytest.raises(RrgError, match="no reference has the id"):
        run(tmp_path, task, protocol, wanted, [*said, {**said[0], "id": "new"}])
    with pytest.raises(RrgError, match="is there already"):
        run(tmp_path, task, protocol, wanted, [*said, said[0]])


def test_an_option_of_another_task_is_refused(rrg, tmp_path):
    wanted, said = cases("refer")
    paths = write_jsonl(tmp_path / "p.jsonl", said), write_jsonl(tmp_path / "r.jsonl", wanted)
    declared = ("--box-format", "xyxy", "--box-unit", "pixel")
    done = rrg("score", "refer", *paths, *declared, "--nsd-tau", "3", code=2)
    assert b"--nsd-tau means nothing to refer" in done.stderr
    done = rrg("score", "refer", *paths, *declared, "--cluster", "site", "--samples", 30, "--by", "site")
    body = json.loads(done.stdout)
    assert (body["bootstrap"]["unit"], body["bootstrap"]["clusters"], list(body["strata"]["site"])) == (
        "site",
        2,
        ["a", "b"],
    )


def test_metrics_have_one_name_each():
    for table in PROTOCOLS.values():
        for protocol in table.values():
            names = [metric.name for metric in protocol.metrics]
            assert len(set(names)) == len(names)
            assert all(isinstance(metric, Metric) and metric.name == metric.name.lower() for metric in protocol.metrics)
