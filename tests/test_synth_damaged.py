"""synth-ground and synth-vqa on damaged streams: masks of other slices, records that come twice, strange labels."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg.codec import decode, encode
from rrg.errors import RecordError
from rrg.pipe import Group
from rrg.records import Error, Mask, Record, Report, Slice
from rrg.store import write_array
from rrg.synth import vqa
from rrg.synth.grounding import ground
from rrg.synth.grounding_options import Options
from tests.conftest import Rrg
from tests.synth_cases import a_report, a_study, counts_of, group, read, samples_of, stream


@pytest.fixture
def study() -> list[Record]:
    return a_study("st", np.random.default_rng(4), n=6)


def made(given: Group) -> tuple[list[str], dict[str, int]]:
    out = list(ground(Options(slices="all"), given))
    return sorted(sample.id for sample in samples_of(out)), dict(counts_of(out))


def masks_of(study: list[Record]) -> list[Mask]:
    return [each for each in study if isinstance(each, Mask) and each.labels]


def with_mask(study: list[Record], mask: Mask) -> list[Record]:
    return [mask if isinstance(each, Mask) and each.id == mask.id else each for each in study]


def beyond(mask: Mask) -> Mask:
    first = mask.labels[0]
    return replace(mask, labels=(replace(first, box=replace(first.box, x1=9999.0)), *mask.labels[1:]))


def test_a_mask_that_reaches_beyond_its_slice_is_that_of_another(study: list[Record]) -> None:
    damaged = with_mask(study, beyond(masks_of(study)[0]))
    for step in (
        lambda: list(ground(Options(slices="all"), group(damaged))),
        lambda: list(vqa.ask_all(vqa.Options(slices="all"), group(damaged))),
    ):
        with pytest.raises(RecordError, match=r"9999.* of a slice of 80 x 64") as raised:
            step()
        assert raised.value.code == "E_GRID"


def test_such_a_study_costs_itself_and_no_other(rrg: Rrg, tmp_path: Path, study: list[Record]) -> None:
    other = a_study("other", np.random.default_rng(5), n=3, patient="p1")
    path = tmp_path / "in.jsonl"
    path.write_bytes(stream([*with_mask(study, beyond(masks_of(study)[0])), *other]))
    done = rrg("synth-ground", path, "--slices", "all", code=3)
    errors = [each for each in read(done.stdout) if isinstance(each, Error)]
    assert [each.code for each in errors] == ["E_GRID"]
    assert b"Traceback" not in done.stderr
    assert {sample.study for sample in samples_of(read(done.stdout))} == {"other"}


def test_records_that_come_twice_count_once(study: list[Record]) -> None:
    ids, counts = made(group(study))
    doubled, again = made(group([*study, *study]))
    assert doubled == ids
    slices = sum(isinstance(each, Slice) for each in study)
    assert again.pop("slices.left_out.repeated") == slices
    assert again.pop("slices.seen") == counts.pop("slices.seen") + slices
    assert again == counts


def test_masks_of_slices_that_are_not_there_are_counted(study: list[Record]) -> None:
    one = masks_of(study)[0]
    ids, _ = made(group([each for each in study if each is not one]))
    orphan, counts = made(group(with_mask(study, replace(one, slice="gone"))))
    assert counts["masks.without_slice"] == 1
    assert orphan == ids


def test_scores_that_are_none_are_refused(rrg: Rrg, tmp_path: Path, study: list[Record]) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(stream(study).replace(b'"layer":0,', b'"layer":0,"score":7.0,', 1))
    done = rrg("synth-ground", path, code=1)
    assert b"score 7 is not within 0 and 1" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["synth-ground", "synth-vqa"])
def test_a_structure_that_is_there_a_thousand_times_is_refused(
    rrg: Rrg, tmp_path: Path, study: list[Record], command: str
) -> None:
    path, line = tmp_path / "in.jsonl", encode(masks_of(study)[0])
    mask = json.loads(line)
    repeated = mask | {"labels": mask["labels"][:1] * 1000}
    path.write_bytes(stream(study).replace(line, json.dumps(repeated).encode(), 1))
    done = rrg(command, path, code=1)
    assert b"classes and layers; each is there once" in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"area_px": 0}, "0 pixels"),
        ({"area_px": 10**12}, "1000000000000 pixels in the box"),
        ({"class_id": 300}, "class 300"),
        ({"box": {"x0": -5.0, "y0": 0.0, "x1": 60.0, "y1": 60.0}}, "pixels in the box (-5.0"),
        ({"components": [{"x0": 500.0, "y0": 0.0, "x1": 600.0, "y1": 3.0}]}, "component (500.0, 0.0, 600.0, 3.0)"),
    ],
)
def test_a_structure_that_no_mask_has_is_refused(study: list[Record], fields: dict[str, object], says: str) -> None:
    mask = json.loads(encode(masks_of(study)[0]))
    mask["labels"][0] |= fields
    with pytest.raises(RecordError, match=re.escape(says)) as raised:
        decode(json.dumps(mask).encode(), Mask)
    assert raised.value.code == "E_RECORD"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda report: report["sentences"][0].update(section=9), "section 9 of 1"),
        (lambda report: report["sentences"][0].update(section=-1), "section -1 of 1"),
        (lambda report: report["findings"][0].update(anatomy=[7]), "cyst: anatomy 7 of 1"),
        (lambda report: report["findings"][0].update(anatomy=[-1]), "cyst: anatomy -1 of 1"),
    ],
)
def test_a_report_that_points_at_nothing_is_refused(change: Callable[[Any], None], says: str) -> None:
    report = json.loads(encode(a_report("<f cyst 0>Zyste</f> der <a liver>Leber</a>.")))
    decode(json.dumps(report).encode(), Report)
    change(report)
    with pytest.raises(RecordError, match=re.escape(says)):
        decode(json.dumps(report).encode(), Report)


def test_a_mask_of_another_label_table_is_refused(study: list[Record]) -> None:
    mask = masks_of(study)[0]
    other = replace(mask, labels=(replace(mask.labels[0], class_id=254), *mask.labels[1:]))
    with pytest.raises(RecordError, match=r"is class 254, expected \d+; .* label table") as raised:
        made(group(with_mask(study, other)))
    assert raised.value.code == "E_GRID"


@pytest.mark.parametrize("family", ["density", "diameter"])
@pytest.mark.parametrize("mask", [(9, 9), (1, 9, 9), (64, 80)])
@pytest.mark.parametrize("pixels", [(64, 80), (9, 9), (1, 64, 80)])
def test_arrays_of_another_size_are_refused(
    tmp_path: Path, study: list[Record], family: str, mask: tuple[int, ...], pixels: tuple[int, ...]
) -> None:
    for each in study:
        if isinstance(each, Slice) and each.index == 0:
            write_array(tmp_path, each.pixels.partition("#")[0], np.zeros((each.count, *pixels), np.int16))
        if isinstance(each, Mask) and each.array.endswith("#0"):
            write_array(tmp_path, each.array.partition("#")[0], np.zeros((6, *mask), np.uint8))
    options = vqa.Options(slices="all", findings=12, families=(family,), pixels=True)
    with pytest.raises(RecordError, match=r"array .* is .*, its slice 64 x 80") as raised:
        list(vqa.ask_all(options, group(study), store=tmp_path))
    assert raised.value.code == "E_GRID"


@pytest.mark.parametrize("spacing", [1e300, 1e-300, 1e4])
def test_lengths_are_not_asked_where_pixels_have_no_size(study: list[Record], spacing: float) -> None:
    strange = [replace(r, spacing_mm=(spacing, spacing)) if isinstance(r, Slice) else r for r in study]
    options = vqa.Options(slices="all", findings=12, metadata=0, families=("extent", "area"))
    assert samples_of(vqa.ask_all(options, group(study)))
    assert not samples_of(vqa.ask_all(options, group(strange)))


def test_labels_that_the_table_does_not_know_are_counted_and_never_asked(study: list[Record]) -> None:
    one = masks_of(study)[0]
    strange = replace(one, labels=tuple(replace(each, label="unicorn") for each in one.labels))
    out = list(ground(Options(slices="all"), group(with_mask(study, strange))))
    assert counts_of(out)["masks.unknown_label"] == len(one.labels)
    assert not any("unicorn" in str(sample) for sample in samples_of(out))
