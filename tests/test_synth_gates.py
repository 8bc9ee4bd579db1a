"""synth-ground: gates (area, score, border, time, negation), negatives by quota, inferred pairs; all is counted."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.errors import UsageError
from rrg.records import Mask, Record, Report, Sample, Slice
from rrg.synth.grounding import ground
from rrg.synth.grounding_options import Options
from rrg.synth.negatives import rounded, shares_of
from rrg.synth.seen import seen_on
from tests.conftest import Rrg
from tests.synth_cases import (
    COLUMNS,
    LOOKED_FOR,
    ROWS,
    a_mask,
    a_report,
    a_slice,
    a_study,
    counts_of,
    group,
    read,
    rectangle,
    samples_of,
    stream,
)

CITED = " <r k>(Serie 3, Bild 5)</r>."


def made(text: str, drawn: dict[str, np.ndarray], **options: object) -> tuple[list[Sample], Counter[str]]:
    slice_ = a_slice("st", 4)
    report = a_report(text, slices={"k": [slice_.id]})
    out = list(ground(Options(languages=("de",), **options), group([slice_, a_mask(slice_, drawn), report])))  # type: ignore[arg-type]
    return samples_of(out), Counter(counts_of(out))


def grounded(samples: list[Sample]) -> list[str]:
    return [m.phrase for s in samples if s.task == "grounded-report" for m in s.mentions]


LIVER = {"liver": rectangle(10, 10, 40, 40)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Keine <n liver>Leber</n>läsion", "negated"),
        ("<p liver>Leber</p> damals", "prior"),
        ("<a spleen>Milz</a> frei", "not_on_slice"),
        ("<a humerus_left>Humerus</a> frei", "not_looked_for"),
        ("<a body>Rumpf</a> frei", "never_asked"),
    ],
)
def test_each_reason_to_leave_a_mention_out(text: str, reason: str) -> None:
    samples, counts = made(text + CITED, LIVER)
    assert not grounded(samples)
    assert counts["mentions.seen"] == counts[f"dropped.{reason}"] == 1


@pytest.mark.parametrize(("why", "reason"), [("resected", "resected"), ("not_imaged", "not_imaged"), (None, "absent")])
def test_what_was_removed_is_not_grounded(why: str | None, reason: str) -> None:
    slice_ = a_slice("st", 4)
    report = a_report("<a liver>Leber</a> fehlt" + CITED, slices={"k": [slice_.id]})
    gone = replace(report.anatomy[0], absent=True, absent_why=why)
    out = list(ground(Options(), group([slice_, a_mask(slice_, LIVER), replace(report, anatomy=(gone,))])))
    assert not grounded(samples_of(out))
    assert counts_of(out)[f"dropped.{reason}"] == 1


# Gates


@pytest.mark.parametrize(
    "box", [(0, 5, 9, 9), (5, 0, 9, 9), (COLUMNS - 4, 5, COLUMNS, 9), (5, ROWS - 4, 9, ROWS)], ids=str
)
def test_structures_at_the_border(box: tuple[int, int, int, int]) -> None:
    drawn = {"liver": rectangle(*box)}
    text = "<a liver>Leber</a> homogen" + CITED
    kept, counts = made(text, drawn, min_area_px=1)
    assert grounded(kept) == ["Leber"]
    assert counts["structures_used.at_border"] == 1
    dropped, counts = made(text, drawn, min_area_px=1, border="drop")
    assert not grounded(dropped)
    assert counts["dropped.border"] == counts["structures.border"] == 1
    asked = {s.facets.get("label") for s in dropped if s.task in ("detect", "box-to-phrase")}
    assert "liver" not in asked, "it is there: nobody may be told that it is not, nor be shown a box"


def test_one_pixel_from_the_border_is_inside() -> None:
    inside = {"liver": rectangle(1, 1, COLUMNS - 1, ROWS - 1)}
    samples, counts = made("<a liver>Leber</a>" + CITED, inside, border="drop")
    assert grounded(samples) == ["Leber"]
    assert "structures_used.at_border" not in counts


def judged(mask: Mask, **scores: float | None) -> Mask:
    return replace(mask, labels=tuple(replace(each, score=scores.get(each.label)) for each in mask.labels))


@pytest.mark.parametrize(("score", "kept"), [(0.4, False), (0.5, True), (0.9, True), (None, True)])
def test_a_mask_that_was_judged_badly_is_left_out(score: float | None, kept: bool) -> None:
    slice_ = a_slice("st", 4)
    report = a_report("<a liver>Leber</a> und <a spleen>Milz</a>" + CITED, slices={"k": [slice_.id]})
    mask = judged(a_mask(slice_, {**LIVER, "spleen": rectangle(50, 10, 60, 20)}), liver=score, spleen=0.8)
    out = list(ground(Options(min_score=0.5), group([slice_, mask, report])))
    samples, counts = samples_of(out), counts_of(out)
    assert set(grounded(samples)) == ({"Leber", "Milz"} if kept else {"Milz"})
    assert counts.get("dropped.low_score", 0) == counts.get("structures.low_score", 0) == (not kept)
    regions = {r.label: r.score for s in samples for m in s.mentions for r in m.regions if r.boxes}
    assert regions["spleen"] == 0.8
    assert regions.get("liver", score) == score
    if not kept:
        assert all(s.facets.get("label") != "liver" for s in samples)


def test_the_worst_part_tells_how_good_a_whole_is() -> None:
    slice_ = a_slice("st", 4)
    lobes = {"lung_upper_lobe_left": rectangle(5, 5, 20, 20), "lung_lower_lobe_left": rectangle(30, 5, 50, 20)}
    mask = judged(a_mask(slice_, lobes), lung_upper_lobe_left=0.9, lung_lower_lobe_left=0.7)
    region = seen_on(slice_, [mask], 20).region("lung_left", "seg")
    assert region is not None
    assert region.score == 0.7


def test_the_mask_of_another_engine_takes_the_place_of_a_bad_one() -> None:
    slice_ = a_slice("st", 4)
    bad = judged(a_mask(slice_, LIVER), liver=0.1)
    good = replace(judged(a_mask(slice_, {"liver": rectangle(11, 11, 39, 39)}), liver=0.9), id="good", engine="z")
    seen = seen_on(slice_, [bad, good], 20, min_score=0.5)
    assert seen.found["liver"].box.xyxy == (11, 11, 39, 39)
    assert not seen.small


@pytest.mark.parametrize("label", ["lung_nodule", "lesion"])
def test_masks_of_lesions_are_labels_like_any(label: str) -> None:
    text = f"<a {label}>Rundherd</a> in der <a liver>Leber</a>" + CITED
    samples, counts = made(text, {**LIVER, label: rectangle(15, 15, 22, 22)})
    assert grounded(samples) == ["Rundherd", "Leber"]
    assert counts["mentions.grounded"] == 2


# Everything adds up


def check_funnel(counts: dict[str, int], prefix: str = "") -> None:
    def total(start: str) -> int:
        return sum(n for name, n in counts.items() if name.startswith(prefix + start))

    def n(name: str) -> int:
        return counts.get(prefix + name, 0)

    assert n("mentions.seen") == n("mentions.grounded") + total("dropped.")
    assert n("regions.seen") == n("regions.grounded") + total("regions.dropped.")
    assert n("texts.seen") == n("texts.grounded") + n("texts.nothing_present") + n("texts.no_text")
    assert n("phrases.seen") == n("phrases.asked") + n("phrases.repeated") + n("phrases.side_not_said")
    if not prefix:
        for name in ("references", "cited", "structures", "pairing"):
            assert n(f"{name}.seen") == total(f"{name}.") - n(f"{name}.seen"), name
        assert n("slices.seen") == n("slices.chosen") + n("slices.not_chosen") + total("slices.left_out")
        assert n("sample") in (0, total("task.") + total("inferred.task."))


REPORT = (
    "<a liver>Leber</a> und <a spleen>Milz</a> <r a>(S)</r>.\nKeine <n pancreas>Pankreas</n>läsion <r a b>(S)</r>.\n"
    "<a kidney_left kidney_right>Nieren</a>, <a body>Rumpf</a>, <a heart>Herz</a> <r b>(S)</r>.\n"
    "<a liver>Leber</a> zuvor kleiner <rp>(S)</rp> <r a>(S)</r>.\n<r c>(S)</r>\n<a aorta>Aorta</a> <r none>(S)</r>.\n"
    "<a stomach>Magen</a> leer.\n<a aorta>Aorta</a> zart.\n<a humerus_left>Humerus</a> frei.\nSonst nichts."
)


def random_study(seed: int) -> list[Record]:
    rng = np.random.default_rng(seed)
    records = [
        judged(r, **{label: float(rng.random()) for label in LOOKED_FOR[::2]}) if isinstance(r, Mask) else r
        for r in a_study("st", rng, n=6, series_number=3)
    ]
    ids = [r.id for r in records if isinstance(r, Slice)]
    cited: dict[str, Sequence[str]] = {"a": ids[:2], "b": ids[1:3], "c": ids[3:4]}
    return [*records, a_report(REPORT, slices=cited), a_report(REPORT, "en", slices=cited)]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["keep", "drop"]),
    st.sampled_from([None, 0.5]),
    st.sampled_from([None, "mask"]),
)
def test_the_funnel_adds_up(seed: int, border: str, score: float | None, pair: str | None) -> None:
    options = Options(slices="3", border=border, min_score=score, pair=pair, min_area_px=30)  # type: ignore[arg-type]
    out = list(ground(options, group(random_study(seed))))
    counts = counts_of(out)
    assert counts["mentions.seen"] > 5
    check_funnel({**counts, "sample": len(samples_of(out))})
    check_funnel(counts, "inferred.")
    assert ("pairing.seen" in counts) == (pair is not None)


# Negatives


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_negatives_are_as_many_as_asked_for(share: float) -> None:
    rng = np.random.default_rng(2)
    records = a_study("st", rng, n=80)
    slices = [r for r in records if isinstance(r, Slice)]
    labels = {r.slice: [label.label for label in r.labels] for r in records if isinstance(r, Mask)}
    lines = [
        f"{', '.join(f'<a {label}>{label.title()}</a>' for label in labels[s.id][:3])} frei <r k{s.index}>(S)</r>."
        for s in slices
        if labels[s.id]
    ]
    report = a_report("\n".join(lines), slices={f"k{s.index}": [s.id] for s in slices})
    options = Options(slices="all", languages=("de",), negatives_detect=share, negatives_phrase=share, per_slice=3)
    out = list(ground(options, group([*records, report])))
    for task in ("detect", "phrase-to-box"):
        states = Counter(s.facets["state"] for s in samples_of(out) if s.task == task)
        assert states.total() > 80
        assert states["absent"] / states.total() == pytest.approx(share, abs=0.06), task
        assert counts_of(out).get(f"{task}.absent", 0) == states["absent"]
        assert counts_of(out)[f"{task}.present"] == states["present"]


def test_a_phrase_is_denied_only_where_all_it_may_mean_is_absent() -> None:
    records = random_study(4)
    slices = [r for r in records if isinstance(r, Slice)]
    there = {r.slice: {label.label for label in r.labels} for r in records if isinstance(r, Mask)}
    text = "\n".join(
        f"<a kidney_left>Niere</a>, <a kidney_right>rechte Niere</a>, <a liver>Leber</a> <r k{s.index}>(S)</r>."
        for s in slices
    )
    report = a_report(text, slices={f"k{s.index}": [s.id] for s in slices})
    found = Counter[str]()
    for seed in range(12):
        options = Options(languages=("de",), negatives_phrase=0.7, seed=seed)
        for s in samples_of(ground(options, group([*records, report]))):
            if s.task == "phrase-to-box" and s.facets["state"] == "absent":
                (mention,) = s.mentions
                shown = there[s.images[0].slice or ""]
                assert s.answer == "nicht auf diesem Bild"
                assert all(r.boxes == () and r.label not in shown for r in mention.regions)
                assert mention.phrase != "Niere" or shown.isdisjoint({"kidney_left", "kidney_right"})
                found[mention.phrase] += 1
    assert found


def test_shares() -> None:
    assert shares_of("0.3") == {"detect": 0.3, "phrase-to-box": 0.3}
    assert shares_of("phrase-to-box=0") == {"detect": 0.5, "phrase-to-box": 0.0}
    for wrong in ("1", "-0.1", "x", "detect", "detect=1", "vqa=0.1", "nan", ""):
        with pytest.raises(UsageError, match="--negatives"):
            shares_of(wrong)
    rng = np.random.default_rng(0)
    assert [rounded(n, rng) for n in (0, 1, 2.0)] == [0, 1, 2]
    assert np.mean([rounded(1.25, rng) for _ in range(4000)]) == pytest.approx(1.25, abs=0.03)


# Inferred pairs


def pair_case(text: str) -> tuple[list[Record], Report]:
    slices = [a_slice("st", index, count=6) for index in range(6)]
    other = [a_slice("st", index, series="other", count=6, role="reformat", plane="coronal") for index in range(6)]
    liver = [a_mask(s, {"liver": rectangle(10, 10, 20 + 4 * s.index, 30)}) for s in slices[:5]]
    lesion = a_mask(slices[5], {"liver": rectangle(10, 10, 21, 30), "lesion": rectangle(12, 12, 18, 18)}, None)
    larger = [a_mask(s, {"liver": rectangle(1, 1, 79, 60)}) for s in other]
    report = a_report(text, slices={"k": [slices[0].id]})
    return [*slices, *other, *liver, lesion, *larger], report


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("<a liver>Leber</a> homogen.", 4),
        ("<a liver>Leber</a> mit <a lesion>Zyste</a>.", 5),
        ("<a liver>Leber</a> homogen <r k>(S)</r>.", None),
        ("<a liver>Leber</a> homogen <r lost>(S)</r>.", None),
        ("Keine <n liver>Leber</n>läsion.", None),
        ("<a spleen>Milz</a> frei.", None),
        ("Unauffällig.", None),
    ],
)
def test_a_sentence_without_a_reference_takes_the_largest_slice(text: str, index: int | None) -> None:
    records, report = pair_case(text)
    out = list(ground(Options(languages=("de",), slices="referenced", pair="mask"), group([*records, report])))
    inferred = [s for s in samples_of(out) if s.facets.get("pairing") == "inferred"]
    counts = counts_of(out)
    assert {s.images[0].ref for s in inferred} == ({f"series/sts1#{index}"} if index is not None else set())
    assert all(s.provenance["pairing"] == "inferred" for s in inferred)
    assert counts["pairing.seen"] == 1
    assert counts.get("pairing.inferred", 0) == (index is not None)
    if index is not None:
        assert {s.task for s in inferred} == {"report", "grounded-report", "phrase-to-box"}
        assert counts["inferred.task.grounded-report"] == 1
        assert "task.grounded-report" not in counts, "counted apart"


def test_nothing_is_inferred_unless_asked_for() -> None:
    records, report = pair_case("<a liver>Leber</a> homogen.\n<a liver>Leber</a> glatt <r k>(S)</r>.")
    out = list(ground(Options(languages=("de",)), group([*records, report])))
    assert all("pairing" not in s.facets and "pairing" not in s.provenance for s in samples_of(out))
    both = list(ground(Options(languages=("de",), pair="mask"), group([*records, report])))
    cited = {s.id for s in samples_of(out) if s.facets["source"] != "mask"}
    with_pairs = {s.id for s in samples_of(both) if "pairing" not in s.facets and s.facets["source"] != "mask"}
    assert cited == with_pairs, "cited pairs stay what they were"


def test_only_findings_are_paired_and_priors_are_not() -> None:
    records, report = pair_case("<a liver>Leber</a> homogen.")
    for kind, n in (("findings", 1), ("impression", 1), ("clinical", 0), ("technique", 0), ("comparison", 0)):
        told = replace(report, sections=tuple(replace(s, kind=kind) for s in report.sections))
        out = ground(Options(languages=("de",), pair="mask"), group([*records, told]))
        assert counts_of(out).get("pairing.inferred", 0) == n, kind
    earlier = replace(report, sentences=tuple(replace(s, prior=True) for s in report.sentences))
    out = ground(Options(languages=("de",), pair="mask"), group([*records, earlier]))
    assert counts_of(out)["pairing.in_comparison"] == 1


# The command


def test_options_reach_the_samples_whatever_the_workers(rrg: Rrg) -> None:
    given = stream([*random_study(1)])
    options = ("--pair", "mask", "--border", "drop", "--min-score", 0.3, "--negatives", "0.4", "--slices", "3")
    one, two = (rrg("synth-ground", *options, "--workers", n, stdin=given).stdout for n in (1, 2))
    assert one == two
    found = read(one)
    assert any(isinstance(r, Sample) and r.facets.get("pairing") == "inferred" for r in found)
    end = json.loads(one.splitlines()[-1])
    check_funnel(end["counts"])
    run = next(json.loads(line) for line in one.splitlines() if b'"command":"synth-ground"' in line)
    assert run["options"]["border"] == "drop"
    assert run["options"]["min_score"] == 0.3
    assert b"--negatives 2: expected a share" in rrg("synth-ground", "--negatives", 2, stdin=given, code=2).stderr
