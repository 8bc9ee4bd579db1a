"""Segment once: which volume of an acquisition is segmented, who takes its mask, and where that mask must lie."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg import segment_engines, store
from rrg.acquisitions import Gates, Plan, plan
from rrg.acquisitions_sample import covered, sampled
from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.keys import load_key
from rrg.masks_grid import Grid, grid_of
from rrg.pipe import Count, Group
from rrg.records import Error, Mask, Slice
from rrg.segment import segment_study
from rrg.segment_engines import Settings
from tests.conftest import Rrg
from tests.mask_cases import make_slices, masks, records, stream

KEY = bytes(range(32))
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def volume(tmp_path: Path, name: str, **changes: Any) -> tuple[str, list[Slice]]:
    """A CT volume of 120 x 100 x 60 mm with its lowest corner voxel at (-60, -50, 0)."""
    given: dict[str, Any] = {
        "orientation": AXIAL,
        "origin": (-60.0, -50.0, 0.0),
        "spacing": (3.0, 5.0, 5.0),
        "shape": (20, 20, 24),
        "frame_of_reference": "f",
        "acquisition": 2,
        "contrast": True,
        "contrast_phase": "portal",
        "kernel": "soft",
        "thickness_mm": 3.0,
        "series_number": 5,
    } | changes
    pixels = np.zeros(given.pop("shape"), np.int16 if given.get("modality", "CT") == "CT" else np.uint16)
    slices = make_slices(pixels, tmp_path / "store", KEY, name, **given)
    return slices[0].series, slices


def coronal(tmp_path: Path, name: str, **changes: Any) -> tuple[str, list[Slice]]:
    """A reformat within that volume; it says what reformats say, if not more."""
    where = {"orientation": CORONAL, "origin": (-60.0, -40.0, 57.0), "spacing": (5.0, 3.0, 5.0), "shape": (16, 20, 24)}
    return volume(tmp_path, name, role="reformat", series_number=9, kernel=None, thickness_mm=5.0, **(where | changes))


def planned(*volumes: tuple[str, list[Slice]], gates: Gates = Gates(), share: bool = True) -> Plan:  # noqa: B008
    found = plan(dict(volumes), gates, share=share)
    again = plan(dict(reversed(volumes)), gates, share=share)
    assert (set(again.own), again.shared, again.left_out) == (set(found.own), found.shared, found.left_out)
    return found


def test_a_reformat_takes_the_mask_of_its_acquisition(tmp_path: Path) -> None:
    axial, reformat = volume(tmp_path, "1"), coronal(tmp_path, "2")
    assert planned(reformat, axial) == Plan(own=(axial[0],), shared={reformat[0]: axial[0]})
    assert planned(reformat, axial, share=False) == Plan(own=(reformat[0], axial[0]))


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_of_reference": "g"},
        {"frame_of_reference": None},
        {"acquisition": 3},
        {"contrast": False},
        {"contrast_phase": "arterial"},
        {"modality": "MR"},
        {"origin": (-60.0, -40.0, 500.0)},  # elsewhere in the body
        {"position_mm": None},
    ],
)
def test_another_scan_is_not_its_acquisition(tmp_path: Path, changes: dict[str, Any]) -> None:
    axial, reformat = volume(tmp_path, "1"), coronal(tmp_path, "2", **changes)
    assert planned(axial, reformat) == Plan(own=(axial[0], reformat[0]))


@pytest.mark.parametrize("unknown", ["acquisition", "contrast", "contrast_phase"])
def test_what_a_reformat_does_not_say_is_no_obstacle_when_there_is_one_scan(tmp_path: Path, unknown: str) -> None:
    axial, reformat = volume(tmp_path, "1"), coronal(tmp_path, "2", **{unknown: None})
    assert planned(axial, reformat).shared == {reformat[0]: axial[0]}


def test_phases_are_told_apart_or_left_alone(tmp_path: Path) -> None:
    arterial = volume(tmp_path, "1", contrast_phase="arterial", acquisition=1)
    portal = volume(tmp_path, "2")
    named = coronal(tmp_path, "3", acquisition=None)
    numbered = coronal(tmp_path, "4", contrast_phase=None, acquisition=1)
    silent = coronal(tmp_path, "5", contrast_phase=None, acquisition=None)
    found = planned(arterial, portal, named, numbered, silent)
    assert found.shared == {named[0]: portal[0], numbered[0]: arterial[0]}
    assert found.own == (arterial[0], portal[0], silent[0])
    assert found.ambiguous == (silent[0],)


def test_a_reformat_of_two_reconstructions_takes_the_better_one_only_where_the_phase_is_known(tmp_path: Path) -> None:
    thin, thick = volume(tmp_path, "1", thickness_mm=1.0), volume(tmp_path, "2", thickness_mm=5.0)
    known = coronal(tmp_path, "3")
    assert planned(thin, thick, known).shared == {known[0]: thin[0]}
    unknown = [volume(tmp_path, str(i), thickness_mm=float(i), contrast_phase=None) for i in (4, 5)]
    silent = coronal(tmp_path, "6", contrast_phase=None)
    assert planned(*unknown, silent).ambiguous == (silent[0],)  # arterial and portal, for all that is known
    native = [(name, [dataclasses.replace(s, contrast=False) for s in slices]) for name, slices in unknown]
    assert planned(*native, coronal(tmp_path, "7", contrast=False, contrast_phase=None)).ambiguous == ()


def test_another_kernel_of_one_acquisition_takes_the_mask_of_the_best(tmp_path: Path) -> None:
    lung = volume(tmp_path, "1", kernel="lung", thickness_mm=1.0)
    soft = volume(tmp_path, "2", thickness_mm=1.0)
    thick = volume(tmp_path, "3", kernel="bone", thickness_mm=3.0)
    assert planned(lung, soft, thick) == Plan(own=(soft[0],), shared={lung[0]: soft[0], thick[0]: soft[0]})
    thinner = volume(tmp_path, "4", kernel="brain", thickness_mm=0.6)
    assert planned(lung, soft, thick, thinner).own == (thinner[0],)


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": "soft"},  # nothing says that it is no other phase
        {"kernel": None},
        {"acquisition": None},
        {"acquisition": 3},
        {"contrast_phase": None},
        {"frame_of_reference": None},
        {"origin": (-60.0, -50.0, 30.0)},  # half of it is elsewhere
        {"role": "dynamic", "time_index": 1},
        {"role": "derived"},
    ],
)
def test_volumes_that_may_be_another_scan_are_segmented(tmp_path: Path, changes: dict[str, Any]) -> None:
    one, other = volume(tmp_path, "1"), volume(tmp_path, "2", **({"kernel": "lung", "thickness_mm": 4.0} | changes))
    assert planned(one, other) == Plan(own=(one[0], other[0]))


def test_mr_shares_within_a_sequence_only(tmp_path: Path) -> None:
    t2 = volume(tmp_path, "1", modality="MR", sequence="T2", fat_suppressed=True)
    same = coronal(tmp_path, "2", modality="MR", sequence="T2", fat_suppressed=True)
    plain = coronal(tmp_path, "3", modality="MR", sequence="T2", fat_suppressed=False)
    t1 = coronal(tmp_path, "4", modality="MR", sequence="T1", fat_suppressed=True)
    found = planned(t2, same, plain, t1)
    assert (found.shared, set(found.own)) == ({same[0]: t2[0]}, {t2[0], plain[0], t1[0]})


def test_projections_and_small_volumes_are_left_out_and_named(tmp_path: Path) -> None:
    roles = {role: volume(tmp_path, role, role=role) for role in ("mip", "vrt", "localizer", "bolus")}
    few = volume(tmp_path, "few", shape=(9, 20, 24), frame_of_reference=None)
    narrow = volume(tmp_path, "narrow", shape=(20, 19, 24), frame_of_reference=None)
    fits = volume(tmp_path, "fits")
    thin = coronal(tmp_path, "thin", shape=(1, 20, 24))
    found = planned(*roles.values(), few, narrow, fits, thin, gates=Gates(10, 100.0))
    assert found.own == (fits[0],)
    assert found.shared == {thin[0]: fits[0]}  # one slice, on which a mask lies all the same
    assert found.left_out == {series: role for role, (series, _) in roles.items()} | {
        few[0]: "few_slices",
        narrow[0]: "small_fov",
    }
    assert planned(few, gates=Gates(1)).own == (few[0],)


# --- where the mask lies


def turned(angle: float) -> tuple[float, ...]:
    """Coronal, turned about z by `angle` radians."""
    return (float(np.cos(angle)), float(np.sin(angle)), 0.0, 0.0, 0.0, -1.0)


@pytest.mark.parametrize("angle", [0.0, 0.35])
def test_a_sampled_mask_is_that_of_simpleitk(tmp_path: Path, angle: float) -> None:
    import SimpleITK as sitk  # noqa: N813

    source = volume(tmp_path, "1", spacing=(3.1, 2.3, 2.7), shape=(18, 44, 40))[1]
    target = coronal(
        tmp_path,
        "2",
        orientation=turned(angle),
        origin=(-63.3, -47.9, 59.3),
        spacing=(4.7, 1.9, 2.1),
        shape=(15, 36, 55),
    )[1]
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 122, (18, 2, 44, 40)).astype(np.uint8)

    def image(slices: list[Slice], values: np.ndarray[Any, Any]) -> Any:
        first = slices[0]
        assert first.orientation is not None
        assert first.position_mm is not None
        assert first.spacing_mm is not None
        assert first.slice_spacing_mm is not None
        made = sitk.GetImageFromArray(values)
        along_row, along_column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
        axes = np.column_stack([along_row, along_column, np.cross(along_row, along_column)])
        made.SetDirection(axes.ravel().tolist())
        made.SetOrigin(first.position_mm)
        made.SetSpacing((first.spacing_mm[1], first.spacing_mm[0], first.slice_spacing_mm))
        return made

    place = image(target, np.zeros((15, 36, 55), np.uint8))
    found = sampled(labels, grid_of(source), grid_of(target))
    for layer in range(2):
        oracle = sitk.Resample(image(source, labels[:, layer]), place, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        assert np.array_equal(found[:, layer], sitk.GetArrayFromImage(oracle))
    ones = image(source, np.ones((18, 44, 40), np.uint8))
    reached = sitk.GetArrayFromImage(sitk.Resample(ones, place, sitk.Transform(), sitk.sitkNearestNeighbor, 0))
    assert np.allclose(covered(grid_of(source), grid_of(target)), reached.mean(axis=(1, 2)))
    assert 0 < reached.mean() < 1


def test_a_volume_on_its_own_grid_is_itself() -> None:
    grid = Grid((3, 4, 5), np.diag([2.0, 1.0, 1.5, 1.0]))
    labels = np.random.default_rng(0).integers(0, 9, (3, 1, 4, 5)).astype(np.uint8)
    assert np.array_equal(sampled(labels, grid, grid), labels)
    assert covered(grid, grid).tolist() == [1, 1, 1]


def test_slices_outside_of_the_field_of_view_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axial = volume(tmp_path, "1")[1]
    reformat = coronal(tmp_path, "2", origin=(-60.0, -70.0, 57.0), shape=(20, 20, 24), spacing=(5.0, 4.0, 5.0))[1]

    def looked(slices: Any, settings: Settings) -> Any:
        body = np.full((20, 1, 20, 24), 5, np.uint8)
        return segment_engines.Labelled(
            volume=body, looked_for=("liver", "spleen"), counts=segment_engines.Counter(), flags=(), fingerprint="x"
        )

    monkeypatch.setitem(segment_engines.ENGINES, "threshold", looked)  # type: ignore[arg-type]
    settings = Settings(engine="threshold", store=tmp_path / "store")
    found = list(segment_study(Group("s", (*axial, *reformat)), settings))
    taken = [each for each in found if isinstance(each, Mask) and each.series == reformat[0].series]
    assert {mask.shared_from for mask in taken} == {axial[0].series}
    # rows reach from 57 mm down to -19 mm: 16 of 20 rows meet the axial volume, which starts at y = -52.5 mm
    assert [mask.looked_for for mask in taken] == [None] * 20
    assert [bool(mask.labels) for mask in taken] == [False] * 4 + [True] * 16
    assert [mask.flags for mask in taken] == [("shared",)] * 4 + [("cut_by_fov", "shared")] * 16
    counts = {each.name: 0 for each in found if isinstance(each, Count)}
    for each in found:
        if isinstance(each, Count):
            counts[each.name] += each.n
    judged = {"quality.judged": 1, "quality.cut": 1}
    assert counts == {"series.segmented": 1, "series.shared": 1, "mask.outside_fov": 4, "mask.cut_by_fov": 16} | judged
    assert len({mask.id for mask in found if isinstance(mask, Mask)}) == 40


def test_when_the_primary_fails_the_reformat_is_looked_at_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axial, reformat, thin = (
        volume(tmp_path, "1")[1],
        coronal(tmp_path, "2")[1],
        coronal(tmp_path, "3", shape=(2, 20, 24))[1],
    )

    def looked(slices: list[Slice], settings: Settings) -> Any:
        if slices[0].role == "primary":
            raise RecordError("E_MODEL", "took too long")
        body = np.full((slices[0].count, 1, 20, 24), 5, np.uint8)
        return segment_engines.Labelled(
            volume=body, looked_for=("liver",), counts=segment_engines.Counter(), flags=(), fingerprint="x"
        )

    monkeypatch.setitem(segment_engines.ENGINES, "threshold", looked)  # type: ignore[arg-type]
    settings = Settings(engine="threshold", store=tmp_path / "store", min_slices=3)
    found = list(segment_study(Group("s", (*axial, *reformat, *thin)), settings))
    assert [each.code for each in found if isinstance(each, Error)] == ["E_MODEL"]
    own = [each for each in found if isinstance(each, Mask)]
    assert {(mask.series, mask.shared_from, mask.flags) for mask in own} == {(reformat[0].series, None, ())}
    assert Count("series.left_out.few_slices") in found


# --- as processes, on phantoms


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory, rrg: Rrg) -> Path:
    """Six CT studies; some with a coronal reformat."""
    folder = tmp_path_factory.mktemp("phantom")
    made = ["--studies", 6, "--slices", 20, "--size", 64, "--modality", "ct"]
    rrg("phantom", "--out", folder / "made", *made)
    rrg("extract-slices", folder / "made/dicom", "--store", folder / "store", "--out", folder / "slices.jsonl")
    return folder


def test_masks_on_reformats_of_phantoms_lie_on_their_own_anatomy(rrg: Rrg, phantom: Path) -> None:
    """Against the exact truth on the reformat's own grid; the engine itself fails on slices 15 mm thick."""
    common = ["segment", phantom / "slices.jsonl", "--store", phantom / "store"]
    shared = [mask for mask in masks(rrg(*common, "--engine", "threshold").stdout) if mask.shared_from]
    given = ["--engine", "masks", "--masks", phantom / "made/masks", "--labels", phantom / "made/labels.json"]
    truth = {mask.slice: mask for mask in masks(rrg(*common, *given).stdout)}
    assert len(shared) == 12
    pairs = [[store.read(phantom / "store", each.array) for each in (mask, truth[mask.slice])] for mask in shared]
    sides = {
        side: [label.class_id for name, label in LABELS.items() if name.startswith("lung_") and name.endswith(side)]
        for side in ("_left", "_right")
    }

    def dice(shift: int) -> float:
        """Of each lung on its own side, after a shift along the columns."""
        found = [
            (np.isin(np.roll(a, shift, 2), values).any(0), np.isin(b, values).any(0))
            for a, b in pairs
            for values in sides.values()
        ]
        return 2 * sum(int((a & b).sum()) for a, b in found) / sum(int(a.sum() + b.sum()) for a, b in found)

    assert dice(0) > 0.9
    assert dice(0) > max(dice(1), dice(-1)) + 0.01


def test_other_rules_for_reports_leave_masks_untouched(rrg: Rrg, phantom: Path) -> None:
    """Reports by another lexicon: the same mask lines, the same run, no array written again."""
    rules = phantom / "clinic.toml"
    rules.write_text('[structures.de]\nspleen = ["Milzloge"]\n')
    texts, results = [], []
    for number, options in enumerate(([], ["--rules", rules])):
        text = rrg("parse-reports", phantom / "slices.jsonl", "--reports", phantom / "made/reports", *options).stdout
        out = phantom / "masks.jsonl"
        common = ["segment", "-", "--store", phantom / "store", "--engine", "threshold", "--tee", out, "--name", "once"]
        before = {path: path.stat().st_mtime_ns for path in (phantom / "store/masks").rglob("*") if number}
        rrg(*common, "--resume", stdin=text)
        texts.append(text)
        results.append(
            [line for line in out.read_bytes().splitlines() if b'"rrg.mask/1"' in line or b'"segment"' in line]
        )
        assert {path: path.stat().st_mtime_ns for path in before} == before
    assert texts[0] != texts[1]
    assert results[0] == results[1]
    assert len(results[0]) > 100


def test_gates_are_options_and_part_of_the_run(rrg: Rrg, phantom: Path) -> None:
    common = ["segment", phantom / "slices.jsonl", "--store", phantom / "store", "--engine", "threshold"]
    done = rrg(*common, "--min-slices", 21, "--name", "gated")
    end = records(done.stdout)[-1]
    assert not masks(done.stdout)
    assert end.counts["series.left_out.few_slices"] >= 6  # type: ignore[union-attr]
    assert b"few_slices" in done.stderr
    runs = {records(rrg(*common, "--min-fov-mm", mm, "--name", f"fov{mm}").stdout)[-1].run for mm in (1, 900)}  # type: ignore[union-attr]
    assert len(runs) == 2


def test_the_frame_of_reference_is_a_keyed_hash(phantom: Path, key_file: Path) -> None:
    import pydicom

    from rrg.keys import pseudonym

    uids = {
        str(pydicom.dcmread(path, specific_tags=["FrameOfReferenceUID"]).FrameOfReferenceUID)
        for path in (phantom / "made/dicom").rglob("*.dcm")
    }
    text = (phantom / "slices.jsonl").read_bytes()
    assert not [uid for uid in uids if uid.encode() in text]
    key = load_key(key_file)
    found = {record.frame_of_reference for record in records(text) if isinstance(record, Slice)}
    assert found == {pseudonym(key, "frame-of-reference", uid) for uid in uids}
    assert {record.acquisition for record in records(text) if isinstance(record, Slice)} == {1}


def test_a_stream_without_frames_of_reference_is_segmented_volume_by_volume(rrg: Rrg, phantom: Path) -> None:
    slices = [record for record in records((phantom / "slices.jsonl").read_bytes()) if isinstance(record, Slice)]
    old = [dataclasses.replace(slice_, frame_of_reference=None, acquisition=None) for slice_ in slices]
    source = stream(phantom / "old.jsonl", old)
    done = rrg("segment", source, "--store", phantom / "store", "--engine", "threshold", "--name", "old")
    assert not [mask for mask in masks(done.stdout) if mask.shared_from]
