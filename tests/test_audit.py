"""synth-ground --audit: a draw over all strata, a page that loads nothing, a CSV that comes back as precision."""

import csv
import hashlib
import io
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rrg.metrics.bootstrap import wilson
from rrg.outputs.audit import COLUMNS, outline_path, precision, read_verdicts
from rrg.outputs.audit_draw import SIZES
from rrg.records import Sample
from tests.conftest import Rrg
from tests.synth_cases import read


@pytest.fixture(scope="module")
def side(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    rrg("phantom", "--out", folder / "p", "--studies", 8, "--slices", 8, "--size", 64)
    rrg("extract-slices", folder / "p/dicom", "--store", folder / "store", "--out", folder / "slices.jsonl")
    rrg("parse-reports", folder / "slices.jsonl", "--reports", folder / "p/reports", "--out", folder / "reports.jsonl")
    masks = ("--masks", folder / "p/masks", "--labels", folder / "p/labels.json", "--store", folder / "store")
    rrg("segment", folder / "reports.jsonl", "--engine", "masks", *masks, "--out", folder / "masks.jsonl")
    return folder


def audit(rrg: Rrg, side: Path, out: Path, n: int, *more: object) -> list[dict[str, str]]:
    done = rrg(
        *("synth-ground", side / "masks.jsonl", "--pair", "mask", "--audit", n, "--store", side / "store"),
        *("--audit-out", out, "--out", out.with_suffix(".jsonl"), *more),
    )
    assert b" labels to judge: " in done.stderr
    return list(csv.DictReader(io.StringIO((out / "audit.csv").read_text())))


@pytest.fixture(scope="module")
def drawn(rrg: Rrg, side: Path) -> list[dict[str, str]]:
    return audit(rrg, side, side / "one", 60)


def strata(side: Path) -> Counter[tuple[str, ...]]:
    """All labels of the output, counted anew."""
    found: Counter[tuple[str, ...]] = Counter()
    for s in (r for r in read(side / "one.jsonl") if isinstance(r, Sample)):
        source = s.facets["source"] + ("+inferred" if "pairing" in s.facets else "")
        for mention in s.mentions:
            boxes = [box for region in mention.regions for box in region.boxes]
            share = sum((b.x1 - b.x0) * (b.y1 - b.y0) for b in boxes) / (s.images[0].rows * s.images[0].columns)
            size = next((name for limit, name in SIZES if share <= limit), "large") if boxes else "absent"
            found[source, s.task, s.lang, size] += 1
    return found


def key(row: dict[str, str]) -> tuple[str, ...]:
    return row["source"], row["task"], row["lang"], row["size"]


def test_the_draw_takes_as_many_of_each_stratum(side: Path, drawn: list[dict[str, str]]) -> None:
    assert len(drawn) == 60
    all_, taken = strata(side), Counter(map(key, drawn))
    assert {key(row): int(row["of"]) for row in drawn} == {k: all_[k] for k in taken}
    assert set(taken) == set(all_), "every stratum is looked at"
    most = max(taken.values())
    assert all(n >= most - 1 or n == all_[k] for k, n in taken.items())
    assert len({row["item"] for row in drawn}) == 60
    assert {row["verdict"] for row in drawn} == {""}
    ids = {r.id for r in read(side / "one.jsonl") if isinstance(r, Sample)}
    assert {row["sample"] for row in drawn} <= ids


def test_the_same_draw_whatever_the_workers_and_after_a_resume(
    rrg: Rrg, side: Path, drawn: list[dict[str, str]]
) -> None:
    plain = rrg("synth-ground", side / "masks.jsonl", "--pair", "mask").stdout
    assert (side / "one.jsonl").read_bytes() == plain, "an audit changes no record"
    page = hashlib.sha256((side / "one/audit.html").read_bytes()).digest()
    assert audit(rrg, side, side / "two", 60, "--workers", 2) == drawn
    assert hashlib.sha256((side / "two/audit.html").read_bytes()).digest() == page
    assert audit(rrg, side, side / "two", 60, "--resume") == drawn
    assert {row["item"] for row in audit(rrg, side, side / "three", 60, "--seed", 5)} != {r["item"] for r in drawn}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.buttons: list[str] = []
        self.outside: list[str] = []
        self.outlines = self.marks = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("class") == "verdict":
            self.rows.append(given["data-row"] or "")
            assert given["role"] == "group"
            assert given["data-head"] == ",".join(COLUMNS)
        if "data-verdict" in given:
            self.buttons.append(given["data-verdict"] or "")
            assert given["aria-pressed"] == "false"
        self.outlines += tag == "path"
        self.marks += tag == "mark"
        for name in ("src", "href"):
            if (value := given.get(name)) and not value.startswith(("data:", "#")):
                self.outside.append(value)


def test_the_page_shows_each_item_and_loads_nothing(side: Path, drawn: list[dict[str, str]]) -> None:
    text = (side / "one/audit.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.outside == []
    assert "://" not in re.sub(r'href="data:[^"]*"', "", text)
    shown = [next(csv.reader([row])) for row in page.rows]
    assert shown == [list(row.values())[:-1] for row in drawn]
    assert page.buttons == ["right", "wrong", "unclear"] * 60
    there = sum(row["size"] != "absent" for row in drawn)
    assert page.outlines == page.marks == there, "one phrase is marked and outlined on each, none where it is absent"
    for letter in ("left", "right"):
        assert text.count(f'class="edge {letter}"') == 60
    lines = (side / "one/audit.csv").read_text()
    report = next((side / "p/reports").glob("*.de.txt")).read_text().split("\n")[1]
    assert report not in lines
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_the_outline_is_every_edge_of_the_mask_once(mask: np.ndarray) -> None:
    edges: Counter[tuple[str, int, int]] = Counter()
    for x, y, way, end in re.findall(r"M(\d+) (\d+)([HV])(\d+)", outline_path(mask)):
        for at in range(int(x if way == "H" else y), int(end)):
            edges[way, *((at, int(y)) if way == "H" else (int(x), at))] += 1
    expected: Counter[tuple[str, int, int]] = Counter()
    for y, x in np.argwhere(mask).tolist():
        sides = (("H", x, y, y - 1, x), ("H", x, y + 1, y + 1, x), ("V", x, y, y, x - 1), ("V", x + 1, y, y, x + 1))
        for way, at_x, at_y, row, column in sides:
            if not (0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column]):
                expected[way, at_x, at_y] += 1
    assert edges == expected


def judged(verdicts: list[tuple[str, str, int, str]]) -> str:
    """A CSV of (source, size, of, verdict)."""
    lines = [",".join(COLUMNS)]
    lines += [
        f"i{n},{source},detect,de,{size},{of},liver,,s,m0,{verdict}"
        for n, (source, size, of, verdict) in enumerate(verdicts)
    ]
    return "\n".join(lines) + "\n"


def test_precision_per_source(rrg: Rrg, tmp_path: Path) -> None:
    verdicts = [("mask", "large", 90, "right")] * 9 + [("mask", "large", 90, "wrong")]
    verdicts += [("mask", "small", 10, "wrong")] * 2 + [("mask", "small", 10, "Unclear")]
    verdicts += [("report+mask", "large", 50, " right ")] * 3 + [("report+mask", "large", 50, "")]
    path = tmp_path / "a.csv"
    path.write_text(judged(verdicts))
    out = rrg("synth-ground", "--audit-read", path).stdout.decode().splitlines()
    rows = {line.split("  ")[0]: line.split() for line in out[1:]}
    low, high = wilson(9, 12)
    assert rows["mask"][1:] == ["13", "9", "3", "1", "0", "0.750", f"{low:.3f}", "..", f"{high:.3f}", "0.810"]
    assert rows["report+mask"][1:7] == ["3", "3", "0", "0", "1", "1.000"]
    assert rows["all"][1:7] == ["16", "12", "3", "1", "1", "0.800"]
    path.write_text("\ufeff" + path.read_text().replace(",", ";"), encoding="utf-8")
    assert rrg("synth-ground", "--audit-read", path).stdout.decode().splitlines() == out, "as Excel saves it"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (judged([("mask", "large", 9, "maybe")]), 1, "line 2: verdict 'maybe'; expected right, wrong, unclear"),
        (judged([("mask", "large", 9, "")]).replace(",9,", ",x,"), 1, "line 2: of 'x'; expected a whole number"),
        (
            judged([("mask", "large", 9, "")]) + judged([("mask", "large", 9, "")]).split("\n")[1],
            1,
            "stands there twice",
        ),
        ("a,b\n1,2\n", 2, "expected the columns item, source"),
        (",".join(COLUMNS) + "\n", 2, "at least one line"),
    ],
)
def test_a_csv_that_can_not_be_read_back(rrg: Rrg, tmp_path: Path, text: str, code: int, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    done = rrg("synth-ground", "--audit-read", tmp_path / "a.csv", code=code)
    assert said in done.stderr.decode()
    assert done.stdout == b""


def test_nothing_judged_is_no_precision(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(judged([("mask", "large", 9, ""), ("mask", "small", 9, "unclear")]))
    assert precision(read_verdicts(tmp_path / "a.csv")).splitlines()[1].split() == [
        "mask",
        "1",
        "0",
        "0",
        "1",
        "1",
        *"---",
    ]


def test_what_an_audit_needs(rrg: Rrg, side: Path, tmp_path: Path) -> None:
    done = rrg("synth-ground", side / "masks.jsonl", "--audit", 5, code=2)
    assert b"--audit needs --store" in done.stderr
    options = ("--audit", 5, "--audit-out", tmp_path / "a", "--store", tmp_path / "none", "--out", tmp_path / "o.jsonl")
    done = rrg("synth-ground", side / "masks.jsonl", *options, code=1)
    assert b"nothing to judge" in done.stderr
    assert not (tmp_path / "a/audit.html").exists()
    assert (tmp_path / "o.jsonl").exists(), "the samples are whole all the same"
