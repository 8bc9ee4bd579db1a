"""rrg score masks: five definitions on the same masks, files of every kind, spacing, empty masks, lesions."""

import json
import warnings

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from rrg.formats.coco import encoded
from rrg.metrics import mask_distances, mask_instances

from .score_cases import write_jsonl


def blobs(rng, shape):
    noise = gaussian_filter(rng.normal(size=shape), 1.5)
    return noise > 0.1, noise + gaussian_filter(rng.normal(size=shape), 1.5) > 0.15


def square(at, size=10, shape=(40, 40)):
    mask = np.zeros(shape, bool)
    mask[at[0] : at[0] + size, at[1] : at[1] + size] = True
    return mask


NOTHING = np.zeros((40, 40), bool)


def run(rrg, tmp_path, pairs, *options, code=0, **fields):
    """`pairs` are (reference, prediction, or None for a missing one) arrays, written as RLE."""
    wanted = [{"id": n, "segmentation": encoded(a), **fields} for n, (a, _) in enumerate(pairs)]
    said = [{"id": n, "segmentation": encoded(b)} for n, (_, b) in enumerate(pairs) if b is not None]
    paths = write_jsonl(tmp_path / "p.jsonl", said), write_jsonl(tmp_path / "r.jsonl", wanted)
    done = rrg("score", "masks", *paths, "--samples", 20, "--per-item", tmp_path / "i.jsonl", *options, code=code)
    return json.loads(done.stdout)


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "i.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("shape", [(30, 26), (9, 12, 10)])
def test_distances_are_those_of_medpy_and_surface_distance(shape):
    medpy = pytest.importorskip("medpy.metric.binary")
    import surface_distance

    rng = np.random.default_rng(len(shape))
    for _ in range(8):
        wanted, said = blobs(rng, shape)
        spacing = rng.uniform(0.4, 3, len(shape))
        ours = mask_distances.pooled(wanted, said, spacing)
        theirs = [function(said, wanted, spacing) for function in (medpy.hd95, medpy.hd, medpy.assd)]
        assert [ours[name] for name in ("hd95", "hd100", "assd")] == pytest.approx(theirs, rel=1e-12)
        ours = mask_distances.deepmind(wanted, said, spacing, (0.5, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = surface_distance.compute_surface_distances(wanted, said, spacing)
        assert ours["hd95"] == surface_distance.compute_robust_hausdorff(found, 95)
        assert ours["nsd_0.5mm"] == surface_distance.compute_surface_dice_at_tolerance(found, 0.5)
        there, back = surface_distance.compute_average_surface_distance(found)
        assert (ours["asd.reference_to_prediction"], ours["asd.prediction_to_reference"]) == (there, back)


def test_a_worked_example(rrg, tmp_path):
    """10 x 10 against the same moved by 4 columns of 2 mm: 60 of 140 pixels."""
    body = run(rrg, tmp_path, [(square((5, 5)), square((5, 9)))], spacing=[1.0, 2.0])
    value = {name: each["value"] for name, each in body["metrics"].items()}
    assert (value["iou"], value["dice"], value["ciou"]) == pytest.approx((60 / 140, 120 / 200, 60 / 140))
    assert (value["hd95"], value["hd100"]) == (8, 8)
    assert value["nsd_1mm"] < value["nsd_2mm"] < 1
    assert lines(tmp_path)[0]["pixels"] == {"prediction": 100, "reference": 100}
    turned = run(rrg, tmp_path, [(square((5, 5)), square((5, 9)))], "--spacing", "2,1")
    assert turned["metrics"]["hd95"]["value"] == 4  # spacing follows the order of the axes
    assert "spacing:2x1" in turned["signature"]


EMPTY_CASES = [
    (square((0, 0)), square((0, 0))),
    (NOTHING, NOTHING),
    (square((0, 0)), NOTHING),
    (NOTHING, square((0, 0))),
    (NOTHING, None),
]


def test_empty_masks_by_protocol(rrg, tmp_path):
    """Undefined, 0 or 1: three published rules for two empty masks, and never more than 0 for a missing one."""
    body = run(rrg, tmp_path, EMPTY_CASES, "--spacing", "1,1", code=3)
    metrics = body["metrics"]
    assert [line["scores"]["dice"] for line in lines(tmp_path)] == [1, None, 0, 0, 0]
    assert [line["scores"]["hd95"] for line in lines(tmp_path)] == [0, *["inf"] * 4]
    assert [line["scores"]["asd.reference_to_prediction"] for line in lines(tmp_path)] == [0, None, "inf", None, None]
    assert [line["scores"]["asd.prediction_to_reference"] for line in lines(tmp_path)] == [0, None, None, "inf", None]
    assert [line["scores"]["nsd_1mm"] for line in lines(tmp_path)] == [1, None, 0, 0, 0]
    assert (metrics["dice"]["value"], metrics["dice"]["n"], metrics["dice"]["n_excluded"]) == (0.25, 4, 1)
    assert (metrics["hd95"]["value"], metrics["hd95"]["n"], metrics["hd95"]["n_excluded"]) == (0, 1, 4)
    assert [metrics[f"empty.{name}"]["value"] for name in ("both", "prediction", "reference")] == [2, 1, 1]
    expected = {"medpy": (2 / 5, 5), "medplib": (1 / 5, 5), "radgrounder": (2 / 5, 5)}
    for protocol, (value, n) in expected.items():
        found = run(rrg, tmp_path, EMPTY_CASES, "--protocol", protocol, code=3)["metrics"]["iou"]
        assert (found["value"], found["n"]) == (pytest.approx(value), n)
    forced = run(rrg, tmp_path, EMPTY_CASES, "--both-empty", "1", code=3)
    assert forced["metrics"]["iou"]["value"] == pytest.approx(2 / 5)
    assert "empty:1" in forced["signature"]


def test_without_a_spacing_distances_are_skipped(rrg, tmp_path):
    metrics = run(rrg, tmp_path, [(square((5, 5)), square((5, 9)))])["metrics"]
    assert metrics["dice"]["value"] == pytest.approx(0.6)
    assert (metrics["hd95"]["value"], "spacing" in metrics["hd95"]["skipped"]) == (None, True)
    assert lines(tmp_path)[0]["scores"]["nsd_2mm"] is None
    named = run(rrg, tmp_path, [(square((5, 5)), square((5, 9)))], "--spacing", "1,1", "--nsd-tau", "0.5,4")["metrics"]
    assert (named["nsd_4mm"]["value"], "nsd_1mm" in named) == (1, False)


def test_medpy_pools_both_directions(rrg, tmp_path):
    """A far speck in the prediction: 5 % of one direction, less of both together."""
    said = square((5, 5)) | square((30, 30), 2)
    strict = run(rrg, tmp_path, [(square((5, 5)), said)], "--spacing", "1,1")["metrics"]["hd95"]
    pooled = run(rrg, tmp_path, [(square((5, 5)), said)], "--spacing", "1,1", "--protocol", "medpy")["metrics"]["hd95"]
    assert strict["value"] > pooled["value"] + 2
    assert "pools both directions" in pooled["note"]


def test_medplib_computes_dice_from_iou(rrg, tmp_path):
    pairs = [(square((5, 5)), square((5, 9))), (NOTHING, NOTHING)]
    metrics = run(rrg, tmp_path, pairs, "--protocol", "medplib")["metrics"]
    iou = 60 / 140
    assert metrics["dice"]["value"] == pytest.approx(2 * iou / (1 + iou) / 2)


def test_lesions(rrg, tmp_path):
    wanted = square((0, 0)) | square((20, 20)) | square((30, 0), 4)
    said = square((0, 2)) | square((20, 27)) | square((10, 30), 3)
    body = run(rrg, tmp_path, [(wanted, said), (NOTHING, said)], "--protocol", "panoptic")
    value = {name: each["value"] for name, each in body["metrics"].items()}
    assert (value["tp"], value["fp"], value["fn"]) == (1, 5, 2)
    assert value["rq"] == pytest.approx(1 / (1 + 2.5 + 1))
    assert value["sq"] == pytest.approx(80 / 120)
    assert value["pq"] == pytest.approx(value["rq"] * value["sq"])
    assert [line["scores"] for line in lines(tmp_path)] == [{"tp": 1, "fp": 2, "fn": 2}, {"tp": 0, "fp": 3, "fn": 0}]
    assert "connectivity:4+26" in body["signature"]


def test_corners_join_lesions_by_connectivity():
    mask = np.array([[1, 0], [0, 1]], bool)
    assert [mask_instances.components(mask, n)[1] for n in (None, 4, 8)] == [2, 2, 1]
    volume = np.zeros((2, 2, 2), bool)
    volume[0, 0, 0] = volume[1, 1, 1] = True
    assert [mask_instances.components(volume, n)[1] for n in (None, 6, 18, 26)] == [1, 2, 2, 1]


@pytest.mark.parametrize("shape", [(40, 44), (14, 16, 15)])
def test_lesions_are_those_of_panoptica(shape):
    panoptica = pytest.importorskip("panoptica")
    judge = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.SEMANTIC,
        instance_approximator=panoptica.ConnectedComponentsInstanceApproximator(),
        instance_matcher=panoptica.NaiveThresholdMatching(),
    )
    rng = np.random.default_rng(1)
    for _ in range(5):
        wanted = gaussian_filter(rng.normal(size=shape), 1.2) > 0.25
        said = wanted ^ (rng.random(shape) < 0.08)
        ours = mask_instances.instances(wanted, said, None)
        theirs = judge.evaluate(said.astype(np.uint8), wanted.astype(np.uint8))["ungrouped"]
        assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn)
        assert ours.iou_sum / ours.tp == pytest.approx(theirs.sq)


def test_files_of_every_kind_hold_the_same_mask(rrg, tmp_path):
    mask = square((3, 7), 9).astype(np.uint8)
    Image.fromarray(mask * 255).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", mask.astype(float))
    np.savez(tmp_path / "a.npz", liver=mask, spleen=1 - mask)
    nibabel.save(nibabel.Nifti1Image(mask, np.diag([2.0, 3.0, 1.0, 1.0])), tmp_path / "a.nii.gz")
    names = ["a.png", "a.npy", "a.npz#liver", "a.nii.gz"]
    counts = np.flatnonzero(np.diff(np.r_[0, mask.T.ravel(), 0]))
    runs = np.diff(np.r_[0, counts, mask.size]).tolist()
    said = [{"id": n, "mask": name} for n, name in enumerate(names)]
    said.append({"id": 4, "segmentation": {"size": [40, 40], "counts": runs}})
    wanted = [{"id": n, "mask": "a.nii.gz"} for n in range(5)]
    paths = write_jsonl(tmp_path / "p.jsonl", said), write_jsonl(tmp_path / "r.jsonl", wanted)
    body = json.loads(rrg("score", "masks", *paths, "--samples", 0, cwd=tmp_path.parent).stdout)
    assert (body["metrics"]["dice"]["value"], body["metrics"]["dice"]["n"]) == (1, 5)
    assert body["metrics"]["hd95"]["value"] == 0
    moved = np.roll(mask, 2, axis=0)
    nibabel.save(nibabel.Nifti1Image(moved, np.diag([2.0, 3.0, 1.0, 1.0])), tmp_path / "a.nii.gz")
    shifted = json.loads(rrg("score", "masks", *paths, "--samples", 0).stdout)["metrics"]["hd100"]
    assert shifted["value"] == pytest.approx(3.2)  # two rows of 2 mm, from the header; the NIfTI pair is equal again


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"mask": "none.png"}, b"p.jsonl, line 1: no file"),
        ({"mask": "rgb.png"}, b"mode RGB"),
        ({"mask": "half.npy"}, b"threshold it first"),
        ({"mask": "two.npz"}, b"needs #KEY"),
        ({"mask": "two.npz#c"}, b"there are a, b"),
        ({"mask": "bad.nii.gz"}, b"can not be read"),
        ({"mask": "wide.npy"}, b"(40, 41)"),
        ({"segmentation": {"size": [40, 40], "counts": [3, 4]}}, b"do not add up"),
        ({}, b"no mask; expected"),
    ],
)
def test_masks_that_can_not_be_read(rrg, tmp_path, row, words):
    Image.new("RGB", (40, 40)).save(tmp_path / "rgb.png")
    np.save(tmp_path / "half.npy", np.full((40, 40), 0.3))
    np.save(tmp_path / "wide.npy", np.ones((40, 41)))
    np.savez(tmp_path / "two.npz", a=NOTHING, b=NOTHING)
    (tmp_path / "bad.nii.gz").write_bytes(b"no")
    wanted = write_jsonl(tmp_path / "r.jsonl", [{"id": 1, "segmentation": encoded(square((1, 1)))}])
    said = write_jsonl(tmp_path / "p.jsonl", [{"id": 1, **row}])
    done = rrg("score", "masks", said, wanted, code=1)
    assert words in done.stderr
    assert done.stderr.count(b"\n") == 1
