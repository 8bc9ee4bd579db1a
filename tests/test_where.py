"""rrg where: from any record to DICOM UIDs, millimetres and phrases, and back again."""

import dataclasses
import json
import math
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rrg import private, store
from rrg.codec import encode
from rrg.passport import Asked, at_point, corners_mm, passports, place_of
from rrg.passport_draw import ONE_SIDE, draw
from rrg.records import (
    Box,
    Error,
    ImageRef,
    Mask,
    MaskLabel,
    Mention,
    Part,
    Prediction,
    Record,
    Reference,
    Region,
    Report,
    Sample,
    Section,
    Sentence,
    Series,
    Slice,
    TextSource,
    Turn,
)
from tests.conftest import Rrg
from tests.made_dicom import ROOT, series

settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
TEXT = "Im linken Unterlappen ein Herd (Bild 3). Sonst unauffällig."


def a_slice(index: int, count: int = 4, **fields: Any) -> Slice:
    base: dict[str, Any] = {
        "id": f"slice{index}", "patient": "pat", "study": "stu", "series": "ser", "index": index, "count": count,
        "pixels": f"series/ser#{index}", "sha256": "0", "rows": 6, "columns": 8, "dtype": "int16", "unit": "HU",
        "modality": "CT", "spacing_mm": (0.5, 0.8), "slice_spacing_mm": 5.0, "orientation": AXIAL,
        "position_mm": (-10.0, -20.0, 5.0 * index),
    }  # fmt: skip
    return Slice(**{**base, **fields})


def remembered(folder: Path, slices: list[Slice]) -> Path:
    """A store that knows the slices as `extract-slices` would tell it."""
    entry = private.series_entry("1.2.3.30", "1.2.840.10008.5.1.4.1.1.2", "1.2.3.40")
    for each in slices:
        private.add_slice(entry, each, sop=f"1.2.3.100.{each.index}", frame=None, file=f"in/{90 - each.index}")
    private.remember_study(folder, "stu", "1.2.3.20", {"ser": entry}, {"file/aa": "in/bad"}, patient="pat")
    return folder


@pytest.fixture
def known(tmp_path: Path) -> Path:
    folder = remembered(tmp_path / "store", [a_slice(index) for index in range(4)])
    values = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    store.write_array(folder, "series/ser", values)
    return folder


def told(folder: Path, asked: str | Record, *records: Record) -> list[dict[str, Any]]:
    """Passports of an id or a record; `records` stand in a file."""
    with tempfile.TemporaryDirectory() as own:
        file = Path(own, "records.jsonl")
        file.write_bytes(b"".join(encode(record) + b"\n" for record in records))
        given = Asked(asked) if isinstance(asked, str) else Asked(asked.id, asked)  # type: ignore[union-attr]
        ((_, lines),) = passports([given], folder, [file] if records else [])
    return json.loads(json.dumps(lines))  # type: ignore[no-any-return]


def image_ref(index: int) -> ImageRef:
    return ImageRef(id="i0", ref=f"series/ser#{index}", slice=f"slice{index}", rows=6, columns=8, unit="HU")


def mention(box: Box, source: TextSource | None = None) -> Mention:
    region = Region(label="lung_lower_lobe_left", boxes=(box,), origin="report+seg")
    return Mention(id="m0", phrase="Unterlappen", source=source, regions=(region,))


def sample(index: int = 2, source: TextSource | None = None) -> Sample:
    content = (Part(type="image", ref="i0"), Part(type="text", text="Wo? {m0}"))
    return Sample(
        id="sample1", patient="pat", study="stu", images=(image_ref(index),), lang="de", task="detect",
        turns=(Turn(role="user", content=content),), mentions=(mention(Box(x0=2, y0=1, x1=5, y1=4), source),),
    )  # fmt: skip


def report() -> Report:
    end = TEXT.index("Sonst") - 1
    reference = Reference(
        span=(TEXT.index("(Bild"), end - 1), sentence=0, image_numbers=(3,), status="resolved", slices=("slice2",)
    )
    return Report(
        id="report1", patient="pat", study="stu", text=TEXT, lang="de", source_sha256="0",
        sections=(Section(kind="body", span=(0, len(TEXT))),),
        sentences=(Sentence(span=(0, end), section=0, lang="de"),
                   Sentence(span=(end + 1, len(TEXT)), section=0, lang="de")),
        references=(reference,),
    )  # fmt: skip


# --- what an id leads to


@pytest.mark.parametrize("name", ["slice2", "series/ser#2", "1.2.3.100.2"])
def test_the_passport_of_a_slice(known: Path, name: str) -> None:
    (line,) = told(known, name)
    expected = {
        "id": name, "kind": "slice", "slice": "slice2", "series": "ser", "study": "stu", "pixels": "series/ser#2",
        "sop_instance_uid": "1.2.3.100.2", "series_instance_uid": "1.2.3.30", "study_instance_uid": "1.2.3.20",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "frame_of_reference_uid": "1.2.3.40", "frame": None,
        "file": "in/88", "index": 2, "count": 4, "rows": 6, "columns": 8, "position_mm": [-10, -20, 10],
        "spacing_mm": [0.5, 0.8], "plane": "axial", "edges": {"left": "R", "right": "L", "top": "A", "bottom": "P"},
        # 2.5 rows of 0.5 mm and 3.5 columns of 0.8 mm from the first pixel
        "centre_mm": [-7.2, -18.75, 10],
    }  # fmt: skip
    assert {key: line[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["ser", "series/ser", "1.2.3.30"])
def test_a_series_a_study_a_patient_and_a_file(known: Path, name: str) -> None:
    (line,) = told(known, name)
    assert (line["kind"], line["slices"], line["series_instance_uid"], line["rows"]) == ("series", 4, "1.2.3.30", 6)
    for study in ("stu", "1.2.3.20"):
        (line,) = told(known, study)
        assert (line["kind"], line["series"], line["study_instance_uid"]) == ("study", ["ser"], "1.2.3.20")
    (line,) = told(known, "pat")
    assert (line["kind"], line["study"]) == ("patient", "stu")
    (line,) = told(known, "file/aa")
    assert (line["kind"], line["file"]) == ("file", "in/bad")


def test_a_sample_by_hand(known: Path) -> None:
    """Box (2, 1, 5, 4): corners are half a pixel from centres; 0.8 mm columns along x, 0.5 mm rows along y."""
    (line,) = told(known, sample())
    assert (line["id"], line["kind"], line["sop_instance_uid"], line["index"]) == (
        "sample1", "sample", "1.2.3.100.2", 2,
    )  # fmt: skip
    (phrase,) = line["phrases"]
    assert (phrase["phrase"], phrase["label"], phrase["box"]) == (
        "Unterlappen", "lung_lower_lobe_left", [2, 1, 5, 4],
    )  # fmt: skip
    left, right, top, bottom = -10 + 1.5 * 0.8, -10 + 4.5 * 0.8, -20 + 0.5 * 0.5, -20 + 3.5 * 0.5
    corners = [[left, top, 10], [right, top, 10], [right, bottom, 10], [left, bottom, 10]]
    np.testing.assert_allclose(phrase["corners_mm"], corners, atol=1e-4)
    np.testing.assert_allclose(phrase["centre_mm"], [(left + right) / 2, (top + bottom) / 2, 10], atol=1e-4)


def test_a_report_leads_to_its_slices_with_its_words(known: Path) -> None:
    for asked in ("report1", report()):
        (line,) = told(known, asked, report())
        assert (line["kind"], line["slice"], line["sop_instance_uid"]) == ("report", "slice2", "1.2.3.100.2")
        assert line["phrases"] == [
            {"phrase": "(Bild 3)", "sentence": TEXT[:40], "report": "report1", "span": [31, 39]}
        ]  # fmt: skip
    bare = Report(id="none", study="stu", text="Ohne Befund.", lang="de", source_sha256="0")
    assert told(known, bare) == [{"id": "none", "kind": "report", "study": "stu", "phrases": []}]


def test_the_words_behind_a_phrase(known: Path) -> None:
    quoted = sample(source=TextSource(report="report1", span=(10, 21)))
    (phrase,) = told(known, "sample1", quoted, report())[0]["phrases"]
    assert (phrase["report"], phrase["span"], phrase["report_phrase"]) == ("report1", [10, 21], "Unterlappen")


def test_a_mask_and_its_reference(known: Path) -> None:
    label = MaskLabel(label="liver", class_id=5, area_px=4, box=Box(x0=0, y0=0, x1=2, y1=2))
    mask = Mask(
        id="mask1", patient="pat", study="stu", series="ser", slice="slice1", engine="masks", array="masks/ser#1",
        labels=(label,), label_map="1",
    )  # fmt: skip
    for asked in ("mask1", "masks/ser#1"):
        (line,) = told(known, asked, mask)
        assert (line["kind"], line["index"], line["phrases"][0]["label"]) == ("mask", 1, "liver")
        np.testing.assert_allclose(line["phrases"][0]["corners_mm"][0], [-10.4, -20.25, 5], atol=1e-4)


def test_a_prediction_and_its_sample_share_an_id(known: Path) -> None:
    answer = Prediction(
        id="sample1", images=(image_ref(3),), task="detect", lang="de", question="Wo?", raw="", text="",
        mentions=(mention(Box(x0=0, y0=0, x1=1, y1=1)),), model="m", backend="torch",
    )  # fmt: skip
    lines = told(known, "sample1", sample(), answer)
    assert [(line["kind"], line["index"]) for line in lines] == [("sample", 2), ("prediction", 3)]
    bare = Prediction(
        id="other", from_=("sample1",), task="detect", lang="de", question="Wo?", raw="", text="", model="m",
        backend="torch",
    )  # fmt: skip
    (line,) = told(known, "other", sample(), bare)
    assert (line["kind"], line["index"]) == ("prediction", 2)


def test_a_series_that_was_not_taken_and_an_error(known: Path) -> None:
    series_record = Series(
        id="ser", patient="pat", study="stu", count=4, rows=6, columns=8, modality="CT", role="primary", taken=True,
        reason="all",
    )  # fmt: skip
    (line,) = told(known, "ser", series_record)
    assert (line["kind"], line["slices"], line["taken"], line["reason"]) == ("series", 4, True, "all")
    (line,) = told(known, dataclasses.replace(series_record, id="left out", taken=False, reason="twin"))
    assert (line["kind"], line["taken"], line["reason"]) == ("series", False, "twin")
    error = Error(id="e", code="E_CODEC", command="extract-slices", message="no decoder", source="file/aa", study="stu")
    (line,) = told(known, error)
    assert (line["kind"], line["file"], line["code"]) == ("file", "in/bad", "E_CODEC")


def test_records_say_where_slices_lie_that_the_store_does_not_know(tmp_path: Path) -> None:
    """And a store of an older version, whose private folder has UIDs without places, is completed by them."""
    (line,) = told(tmp_path / "empty", "series/ser#1", a_slice(1))
    assert (line["slice"], line["index"], line["position_mm"]) == ("slice1", 1, [-10, -20, 5])
    entry = private.series_entry("1.2.3.30", "1.2", None)
    entry["slices"]["slice1"] = private.slice_entry("1.2.3.100.1", None, "in/89")
    private.remember_study(tmp_path / "old", "stu", "1.2.3.20", {"ser": entry}, {})
    (line,) = told(tmp_path / "old", "slice1", a_slice(1))
    assert (line["sop_instance_uid"], line["index"], line["centre_mm"]) == ("1.2.3.100.1", 1, [-7.2, -18.75, 5])
    (line,) = told(tmp_path / "old", "series/ser#1")
    assert (line["kind"], line["slices"]) == ("series", 1)


def test_a_patient_is_found_by_records_too(known: Path) -> None:
    path = known / "private" / "studies" / "stu.json"
    body = json.loads(path.read_bytes())
    del body["patient"]
    path.write_text(json.dumps(body))
    (line,) = told(known, "pat", a_slice(0), a_slice(1))
    assert (line["kind"], line["study"], line["series"]) == ("patient", "stu", ["ser"])


def test_what_differs_between_slices_is_kept(tmp_path: Path) -> None:
    slices = [a_slice(0), a_slice(1, flags=("lossy",))]
    folder = remembered(tmp_path, slices)
    assert [told(folder, f"slice{i}")[0]["flags"] for i in (0, 1)] == [[], ["lossy"]]


# --- UID <-> index <-> millimetres


@st.composite
def volumes(draw: st.DrawFn) -> list[Slice]:
    """Slices of any orientation and spacing, sheared or not, evenly spaced or not."""
    a, b, c = (draw(st.floats(-math.pi, math.pi)) for _ in range(3))
    rz = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    ry = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    rx = np.array([[1, 0, 0], [0, math.cos(c), -math.sin(c)], [0, math.sin(c), math.cos(c)]])
    turn = rz @ ry @ rx
    shear = draw(st.one_of(st.just((0.0, 0.0)), st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))))
    gaps = draw(st.lists(st.floats(0.3, 9), min_size=1, max_size=6))
    spacing = draw(st.floats(0.1, 5)), draw(st.floats(0.1, 5))
    origin = np.array([draw(st.floats(-500, 500)) for _ in range(3)])
    places = np.concatenate([[0], np.cumsum(gaps)])
    step = turn @ [*shear, 1.0]
    orientation = tuple(map(float, (*turn[:, 0], *turn[:, 1])))
    return [
        a_slice(k, len(places), orientation=orientation, spacing_mm=spacing, slice_spacing_mm=None,
                position_mm=tuple(map(float, origin + place * step)))
        for k, place in enumerate(places)
    ]  # fmt: skip


@settings(max_examples=60)
@given(volumes(), st.floats(-1, 6), st.floats(-1, 8))
def test_uid_index_millimetres_and_back(slices: list[Slice], row: float, column: float) -> None:
    """Every SOP Instance UID has one index, every index one UID, and a point of a slice leads to that slice alone."""
    with tempfile.TemporaryDirectory() as own:
        folder = remembered(Path(own), slices)
        uids = [f"1.2.3.100.{each.index}" for each in slices]
        lines = [line for _, (line,) in passports([Asked(uid) for uid in uids], folder)]
        assert [line["index"] for line in lines] == [each.index for each in slices]
        for line, each in zip(lines, slices, strict=True):
            assert each.orientation is not None
            assert each.spacing_mm is not None
            x, y = np.array(each.orientation[:3]), np.array(each.orientation[3:])
            # DICOM PS3.3 C.7.6.2.1.1, worked out here without the code under test
            point = np.array(each.position_mm) + x * each.spacing_mm[1] * column + y * each.spacing_mm[0] * row
            (back,) = at_point([line], folder, list(point))
            assert (back["sop_instance_uid"], back["index"]) == (line["sop_instance_uid"], each.index)
            np.testing.assert_allclose([back["at"]["row"], back["at"]["column"]], [row, column], atol=2e-3)
            assert abs(back["at"]["off_mm"]) < 1e-3
            place = place_of(line)
            assert place is not None
            np.testing.assert_allclose(place.patient_from_pixel(np.array([[row, column]]))[0], point, atol=1e-6)
        ((_, (by_reference,)),) = passports([Asked(f"series/ser#{len(slices) - 1}")], folder)
        assert by_reference["sop_instance_uid"] == uids[-1]


@given(volumes())
def test_a_box_has_the_size_of_its_pixels_in_millimetres(slices: list[Slice]) -> None:
    line = {"position_mm": slices[0].position_mm, "orientation": slices[0].orientation}
    place = place_of(line | {"spacing_mm": slices[0].spacing_mm})
    assert place is not None
    corners = corners_mm(Box(x0=1, y0=2, x1=4, y1=6), place)
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    between_rows, between_columns = slices[0].spacing_mm or (0, 0)
    np.testing.assert_allclose(sides, [3 * between_columns, 4 * between_rows] * 2, rtol=1e-6)


def test_a_point_between_slices_leads_to_the_nearer_one(known: Path) -> None:
    (line,) = at_point(told(known, "ser"), known, [-8.4, -19.5, 7.6])
    assert (line["index"], line["at"]) == (2, {"row": 1.0, "column": 2.0, "off_mm": -2.4})


# --- the command


def test_the_command_from_dicom_to_passport_and_back(rrg: Rrg, tmp_path: Path) -> None:
    made = rrg("extract-slices", series(tmp_path / "in"), "--store", tmp_path / "store").stdout
    slices = [json.loads(line) for line in made.splitlines() if json.loads(line)["schema"] == "rrg.slice/1"]
    named = re.search(rb"series/[0-9a-f]{20}", made)  # as the example in the help does
    assert named is not None
    assert json.loads(rrg("where", named[0].decode(), "--store", tmp_path / "store").stdout)["slices"] == 4
    asked = [f"{ROOT}.1.{number}" for number in (1, 2, 3, 4)]
    lines = [json.loads(line) for line in rrg("where", *asked, "--store", tmp_path / "store").stdout.splitlines()]
    assert [line["slice"] for line in lines] == [each["id"] for each in slices]
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert [line["position_mm"] for line in lines] == [each["position_mm"] for each in slices]
    assert [line["patient"] for line in lines if "patient" in line] in ([], [slices[0]["patient"]] * 4)
    (back,) = rrg("where", asked[0], "--at", "-8.4,-19.5,15", "--store", tmp_path / "store").stdout.splitlines()
    assert json.loads(back)["sop_instance_uid"] == asked[2]
    assert json.loads(back)["at"] == {"row": 1.0, "column": 2.0, "off_mm": 0.0}
    (line,) = rrg("where", slices[0]["patient"], "--store", tmp_path / "store").stdout.splitlines()
    assert json.loads(line)["study_instance_uid"] == f"{ROOT}.2"


def test_records_from_stdin_argument_and_files(rrg: Rrg, known: Path, tmp_path: Path) -> None:
    line = encode(sample())
    stream = b'{"schema":"rrg.run/1","id":"r","command":"c","version":"0","options":{}}\n' + line + b"\n"
    by_stdin = rrg("where", "-", "--store", known, stdin=stream).stdout
    assert rrg("where", line.decode(), "--store", known).stdout == by_stdin
    (tmp_path / "records.jsonl").write_bytes(stream)
    assert rrg("where", "sample1", "--store", known, "--records", tmp_path / "records.jsonl").stdout == by_stdin
    assert json.loads(by_stdin)["sop_instance_uid"] == "1.2.3.100.2"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nobody"], 1, "does not know it"),
        (["series/ser#4"], 1, "does not know it"),
        (["series/nobody#0"], 1, "does not know it"),
        (["{not json"], 1, "not JSON"),
        (['{"schema":"mine/1","id":"x"}'], 1, "not a record of rrg"),
        (['{"schema":"rrg.slice/1","id":"x"}'], 1, "E_RECORD"),
        (["ser", "--at", "1,2"], 2, "X,Y,Z"),
        (["file/aa", "--at", "1,2,3"], 1, "needs the id of a series"),
        (["file/aa", "--draw", "x.png"], 1, "nothing to draw"),
        (["ser", "--records", "nowhere.jsonl"], 2, "No such file"),
    ],
)
def test_what_can_not_be_told_is_one_line(
    rrg: Rrg, known: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    done = rrg("where", *words, "--store", known, code=code, cwd=tmp_path)
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.glob("*.png")) == []


def test_the_drawing_is_that_of_training_in_true_shape_with_boxes_and_sides(known: Path, tmp_path: Path) -> None:
    """6 x 8 pixels of 0.5 x 0.8 mm are 3 x 6.4 mm; the box is where the record says."""
    (line,) = told(known, sample())
    assert draw([line], known, tmp_path / "one.png") == 1
    with Image.open(tmp_path / "one.png") as opened:
        drawn = np.array(opened)
    assert drawn.shape == (round(ONE_SIDE * 3 / 6.4), ONE_SIDE, 3)
    frame = (drawn == [0xFF, 0xD4, 0x00]).all(axis=2)
    rows, columns = np.flatnonzero(frame.sum(axis=1) > 100), np.flatnonzero(frame.sum(axis=0) > 100)
    by_row, by_column = drawn.shape[0] / 6, drawn.shape[1] / 8
    np.testing.assert_allclose([columns[0], columns[-1] + 1], [2 * by_column, 5 * by_column], atol=1.5)
    np.testing.assert_allclose([rows[0], rows[-1] + 1], [1 * by_row, 4 * by_row], atol=1.5)
    letters = (drawn == [0x7E, 0xE0, 0xA8]).all(axis=2)
    width = letters.shape[1]
    for part in (letters[:, :30], letters[:, -30:], letters[-40:, width // 3 : -width // 3]):
        assert part.any(), "a letter at each edge"
    # a pixel that nothing is drawn on: HU 2 * 48 + 0 * 8 + 5 in the windows of training
    value = 2 * 48 + 5
    expected = [min(max((value - low) / size * 255, 0), 255) for low, size in ((-1225, 2250), (-135, 350), (0, 80))]
    seen = drawn[round(0.5 * by_row), round(5.5 * by_column)]
    np.testing.assert_allclose(seen, expected, atol=2)


def test_a_series_is_drawn_as_a_sheet(rrg: Rrg, known: Path, tmp_path: Path) -> None:
    done = rrg("where", "ser", "--store", known, "--draw", tmp_path / "sheet.png", "--window", "lung")
    assert b"4 slices" in done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * 384 + 3 * 3, 180)
    assert json.loads(done.stdout)["kind"] == "series"
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["sheet.png"]


def test_a_drawing_never_replaces_a_folder(rrg: Rrg, known: Path, tmp_path: Path) -> None:
    done = rrg("where", "slice0", "--store", known, "--draw", tmp_path, code=2)
    assert b"no plain file" in done.stderr
