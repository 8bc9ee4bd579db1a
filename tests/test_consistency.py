"""Report-to-image consistency: planted rates of wrong slices and sides come back; what may not count does not."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrg.anatomy import other_side
from rrg.metrics.agreement import Tally, tallies, told
from rrg.records import End, Mask, Report, Slice
from rrg.synth import consistency
from rrg.synth.consistency import PREFIX, agreement
from rrg.synth.facts import Study, read_study
from tests.conftest import Rrg
from tests.synth_cases import a_mask, a_report, a_slice, group, read, rectangle

EXTENT = {
    "liver": range(6, 17),
    "spleen": range(8, 13),
    "kidney_left": range(3, 11),
    "kidney_right": range(8, 16),
    "aorta": range(22),
    "stomach": range(2, 4),
}
"""Structure -> slices of a series of 24 that show it."""
OTHER = {"kidney_left": "kidney_right", "kidney_right": "kidney_left"}
SLICES = [a_slice("st", index, count=24) for index in range(24)]
MASKS = [
    a_mask(s, {name: rectangle(5 * k, 5, 5 * k + 4, 12) for k, name in enumerate(EXTENT) if s.index in EXTENT[name]})
    for s in SLICES
]


SENTENCES, REPORTS = 150, 60


def study_of(report: Report, slices: list[Slice] = SLICES, masks: list[Mask] = MASKS) -> Study:
    return read_study(group([*slices, *masks, report]), "referenced", 20)


def with_errors(slice_: float, side: float, seed: int, longest: int = 1) -> tuple[Study, float, float]:
    """A study with many reports and errors of both kinds, and the rates that were planted in them.

    A sentence cites a run of up to `longest` slices; a wrong one goes to slices that are none of them.
    """
    rng = np.random.default_rng(seed)
    wrong = Counter[str]()
    reports = [
        replace(_report_with_errors(slice_, side, rng, wrong, longest), id=f"r{number}") for number in range(REPORTS)
    ]
    study = read_study(group([*SLICES, *MASKS, *reports]), "referenced", 20)
    return study, wrong["slice"] / (SENTENCES * REPORTS), wrong["side"] / wrong["sides"]


def _report_with_errors(
    slice_: float, side: float, rng: np.random.Generator, wrong: Counter[str], longest: int
) -> Report:
    lines, cited = [], {}
    for number in range(SENTENCES):
        name = str(rng.choice(list(EXTENT)))
        at = _run(EXTENT[name], longest, rng)
        if name in OTHER:
            wrong["sides"] += 1
            if rng.random() < side:
                wrong["side"] += 1
                name = OTHER[name]
        if rng.random() < slice_:
            wrong["slice"] += 1
            places = [range(start, start + len(at)) for start in range(25 - len(at))]
            places = [place for place in places if set(place).isdisjoint(at)]
            at = places[int(rng.integers(len(places)))]
        lines.append(f"<a {name}>Organ</a> normal <r k{number}>(Serie 3, Bild {at[0] + 1})</r>.")
        cited[f"k{number}"] = [SLICES[index].id for index in at]
    return a_report("\n".join(lines), slices=cited)


def _run(extent: range, longest: int, rng: np.random.Generator) -> range:
    """Up to `longest` neighbours among the slices of a structure."""
    n = min(int(rng.integers(1, longest + 1)), len(extent))
    start = extent[0] + int(rng.integers(len(extent) - n + 1))
    return range(start, start + n)


def tally_of(study: Study) -> Tally:
    (tally,) = tallies(agreement(study)).values()
    return tally


@pytest.mark.parametrize(
    ("slice_", "side"), [(0, 0), (0.02, 0.01), (0.05, 0.03), (0.1, 0.1), (0.2, 0.05), (0.4, 0), (0, 0.3)]
)
def test_the_planted_rates_come_back(slice_: float, side: float) -> None:
    study, wrong_slices, wrong_sides = with_errors(slice_, side, seed=round(1000 * slice_ + 10 * side))
    tally = tally_of(study)
    slices, sides = tally.slices(), tally.sides()
    assert tally.pairs == SENTENCES * REPORTS
    assert tally.pairs == tally.agree + tally.neither + tally.other_alone
    assert slices.value is not None
    assert sides.value is not None
    assert slices.value == pytest.approx(wrong_slices, abs=0.01)
    assert sides.value == pytest.approx(wrong_sides, abs=0.015)
    assert slices.low is not None and slices.high is not None  # noqa: PT018
    assert slices.low <= wrong_slices <= slices.high
    if not slice_ and not side:
        assert (slices.value, sides.value, tally.agree) == (0, 0, tally.pairs)


def test_on_average_the_estimates_are_right_for_runs_of_slices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over draws, so that no draw's luck hides a lean. The control: one slice is left out for each run."""
    monkeypatch.setitem(globals(), "REPORTS", 12)
    drawn = [with_errors(0.2, 0.1, seed, longest=4) for seed in range(12)]

    def leans() -> tuple[float, float]:
        found = [(tally_of(study), slices, sides) for study, slices, sides in drawn]
        assert all(tally.pairs > 12 * SENTENCES for tally, _, _ in found)
        return (
            float(np.mean([(tally.slices().value or 0) - slices for tally, slices, _ in found])),
            float(np.mean([(tally.sides().value or 0) - sides for tally, _, sides in found])),
        )

    slices, sides = leans()
    assert abs(slices) < 0.006
    assert abs(sides) < 0.012
    chance = consistency._chance
    monkeypatch.setattr(consistency, "_chance", lambda said, twins, own, shown: chance(said, twins, min(own, 1), shown))
    assert leans()[0] > 0.006


def test_without_what_chance_shows_the_rate_would_be_wrong() -> None:
    """The control: disagreement alone is far from the planted rate."""
    study, wrong_slices, wrong_sides = with_errors(0.2, 0.05, seed=5)
    tally = tally_of(study)
    assert 1 - tally.agree / tally.pairs < wrong_slices - 0.04
    assert tally.other_alone / (tally.other_alone + tally.said_alone) > wrong_sides + 0.02


def test_sides_and_slices_are_told_apart() -> None:
    slices_only = tally_of(with_errors(0.2, 0, seed=1)[0])
    sides_only = tally_of(with_errors(0, 0.2, seed=2)[0])
    assert slices_only.other_alone > 50, "wrong slices look like wrong sides at times"
    assert slices_only.sides().value == pytest.approx(0, abs=0.02)
    assert sides_only.slices().value == 0


@pytest.mark.parametrize(
    ("text", "pairs", "agree"),
    [
        ("<a liver>Leber</a> <r in>(S)</r>.", 1, 1),
        ("<a liver>Leber</a> <r out>(S)</r>.", 1, 0),
        ("<a liver>Leber</a> <r in out>(S)</r>.", 1, 1),
        ("<a liver>Leber</a> <r in>(S)</r> <r out>(S)</r>.", 2, 1),
        ("<a liver>Leber</a>, <a spleen>Milz</a> <r in>(S)</r>.", 2, 2),
        ("<a liver>Leber</a>, <a liver>Leber</a> <r in>(S)</r>.", 1, 1),
        ("<n liver>Leber</n> <r out>(S)</r>.", 0, 0),
        ("<p liver>Leber</p> <r out>(S)</r>.", 0, 0),
        ("<a liver>Leber</a> <rp>(S)</rp> <r out>(S)</r>.", 0, 0),
        ("<a liver>Leber</a>.", 0, 0),
        ("<a humerus_left>Humerus</a> <r out>(S)</r>.", 0, 0),
        ("<a body>Rumpf</a> <r out>(S)</r>.", 0, 0),
        ("<a kidney_left kidney_right>Nieren</a> <r one>(S)</r>.", 1, 1),
        ("<a kidney_left kidney_right>Nieren</a> <r out>(S)</r>.", 1, 0),
    ],
)
def test_what_counts_as_a_pair(text: str, pairs: int, agree: int) -> None:
    cited = {"in": [SLICES[9].id], "out": [SLICES[23].id], "one": [SLICES[4].id]}
    counts = agreement(study_of(a_report(text, slices=cited)))
    source = f"{PREFIX}de/rules/masks."
    assert counts[f"{source}pairs"] == pairs
    assert counts[f"{source}agree"] == agree
    assert counts[f"{source}not_looked_for"] == ("humerus" in text)


def test_a_structure_too_small_for_a_box_still_agrees() -> None:
    study = study_of(a_report("<a liver>Leber</a> <r in>(S)</r>.", slices={"in": [SLICES[9].id]}))
    strict = read_study(group([*SLICES, *MASKS, study.said[SLICES[9].id][0].report]), "referenced", 10_000)
    assert not strict.seen[0].found
    assert tally_of(strict).agree == tally_of(study).agree == 1


def test_lobes_tell_of_their_lung_but_a_lung_not_of_its_lobes() -> None:
    lobes = ("lung_upper_lobe_left", "lung_lower_lobe_left")
    report = a_report(
        "<a lung_left>Lunge</a> <r in>(S)</r>.\n<a lung_upper_lobe_left>Lappen</a> <r in>(S)</r>.",
        slices={"in": [SLICES[1].id]},
    )
    by_lobe = [a_mask(s, {lobes[1]: rectangle(0, 0, 9, 9)} if s.index < 2 else {}, lobes) for s in SLICES[:4]]
    tally = tally_of(study_of(report, SLICES[:4], by_lobe))
    assert (tally.pairs, tally.agree, tally.neither) == (2, 1, 1)
    drawn = {"lung_left": rectangle(0, 0, 9, 9)}
    whole = [a_mask(s, drawn if s.index < 2 else {}, (*lobes, "lung_left")) for s in SLICES[:4]]
    tally = tally_of(study_of(report, SLICES[:4], whole))
    assert (tally.pairs, tally.agree, tally.not_looked_for) == (1, 1, 1)


def test_nothing_is_judged_without_masks_or_with_one_slice_only() -> None:
    report = a_report("<a liver>Leber</a> <r in>(S)</r>.", slices={"in": [SLICES[9].id]})
    assert agreement(study_of(report, masks=[])) == {f"{PREFIX}de/rules/no mask.not_looked_for": 1}
    assert agreement(study_of(report, SLICES[9:10], MASKS[9:10])) == {f"{PREFIX}de/rules/masks.one_slice_only": 1}
    assert told({f"{PREFIX}de/rules/masks.one_slice_only": 1}) == []


def test_each_source_has_its_own_line() -> None:
    cited = {"in": [SLICES[9].id]}
    both = [a_report("<a liver>L</a> <r in>(S)</r>.", lang, slices=cited) for lang in ("de", "en")]
    counts = dict(agreement(read_study(group([*SLICES, *MASKS, *both]), "referenced", 20)))
    lines = told(counts | {"sample": 3})
    assert [line.partition(":")[0] for line in lines] == [f"report and mask ({x}/rules/masks)" for x in ("de", "en")]
    assert "1 of 1 pairs agree, 1.000 [0.207, 1.000]" in lines[0]
    assert "wrong sides unknown of 0 that tell" in lines[0]


# The whole pipe


@pytest.fixture(scope="module")
def noisy(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noisy")
    rrg(
        "phantom",
        "--out",
        folder / "p",
        "--studies",
        80,
        "--slices",
        12,
        "--size",
        40,
        "--noise",
        "slice=0.08,side=0.2",
    )
    rrg("extract-slices", folder / "p/dicom", "--store", folder / "store", "--out", folder / "slices.jsonl")
    rrg("parse-reports", folder / "slices.jsonl", "--reports", folder / "p/reports", "--out", folder / "reports.jsonl")
    masks = ("--masks", folder / "p/masks", "--labels", folder / "p/labels.json", "--store", folder / "store")
    rrg("segment", folder / "reports.jsonl", "--engine", "masks", *masks, "--out", folder / "masks.jsonl")
    return folder


def planted(folder: Path) -> tuple[float, float]:
    """By the truth files: the share of cited slices that are wrong on purpose, and of wrong sides where they show.

    A wrong side shows where the slice holds one side of a pair alone and was not moved.
    """
    images = (json.loads(line) for line in (folder / "p/truth.jsonl").read_text().splitlines())
    there = {image["sop_uid"]: {each["label"] for each in image["classes"] or ()} for image in images}
    slices: list[bool] = []
    sides: list[bool] = []
    for line in (folder / "p/report_truth.jsonl").read_text().splitlines():
        for fact in (fact for sentence in json.loads(line)["sentences"] for fact in sentence["facts"]):
            for reference in (each for each in fact["references"] if not each["prior"]):
                slices += ["meant" in reference] * len(reference["sop_uids"])
                if len(fact["classes"]) == 1 and (other := other_side(fact["classes"][0])) and "meant" not in reference:
                    shown = [len({fact["classes"][0], other} & there[uid]) for uid in reference["sop_uids"]]
                    sides += ["meant_classes" in fact] * shown.count(1)
    return sum(slices) / len(slices), sum(sides) / len(sides)


def test_phantoms_through_the_pipe_give_back_what_was_planted(rrg: Rrg, noisy: Path) -> None:
    tasks = ("--tasks", "report", "--slices", "referenced")
    done = rrg("synth-ground", noisy / "masks.jsonl", *tasks)
    (end,) = [r for r in read(done.stdout.splitlines()[-1]) if isinstance(r, End)]
    found = tallies(end.counts)
    assert set(found) == {"de/rules/masks", "en/rules/masks"}
    wrong_slices, wrong_sides = planted(noisy)
    for source, tally in found.items():
        slices, sides = tally.slices(), tally.sides()
        assert slices.value == pytest.approx(wrong_slices, abs=0.01), source
        assert sides.value == pytest.approx(wrong_sides, abs=0.08), f"{sides.n} pairs tell: make bench-consistency"
        assert tally.pairs == tally.agree + tally.neither + tally.other_alone
        assert f"({source}): {tally.agree} of {tally.pairs} pairs agree".encode() in done.stderr
    assert PREFIX.encode() not in done.stderr
    parts: Counter[str] = Counter()
    for shard in ("1/2", "2/2"):
        out = rrg("synth-ground", noisy / "masks.jsonl", *tasks, "--shard", shard, "--workers", 2).stdout
        parts.update(next(r.counts for r in read(out.splitlines()[-1]) if isinstance(r, End)))
    assert parts == end.counts, "shards add up"
