"""The phantom is the ground truth of other tests: here it is checked with libraries that had no part in making it."""

import collections
import hashlib
import json
import os
import re
import signal
import string
import subprocess
import sys
import time

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg import phantom_phrases
from rrg.anatomy import BY_ID, LABELS
from rrg.phantom_body import LESION, REMOVABLE, Grid, class_of_tissue, draw_body, paint, place_lesions
from rrg.phantom_dicom import made_up_uid
from rrg.phantom_report import SENTENCES, date_text, size_text
from rrg.seeds import rng_for

OPTIONS = ["--studies", "12", "--slices", "30", "--size", "96", "--seed", "5"]


def rrg(*arguments, **more):
    command = [sys.executable, "-m", "rrg", "phantom", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False, **more)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def hashes(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom") / "demo"
    done = rrg("--out", root, "--workers", 2, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    return root


@pytest.fixture(scope="module")
def truth(demo):
    return lines(demo / "truth.jsonl")


@pytest.fixture(scope="module")
def series(demo, truth):
    """Series UID -> its truth lines by index, for series with one grid."""
    found = collections.defaultdict(list)
    for line in truth:
        if line["role"] != "localizer":
            found[line["series_uid"]].append(line)
    return {uid: sorted(group, key=lambda line: line["index"]) for uid, group in found.items()}


@pytest.fixture(scope="module")
def masks(demo, series):
    """Series UID -> (slice, row, column) labels, read by nibabel."""
    out = {}
    for uid in series:
        image = nibabel.load(demo / "masks" / f"{uid}.nii.gz")
        out[uid] = np.asarray(image.dataobj).transpose(2, 1, 0)
    return out


def hounsfield(dataset):
    return dataset.pixel_array * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))


def test_same_bytes_with_one_worker(demo, tmp_path):
    assert rrg("--out", tmp_path / "again", "--workers", 1, *OPTIONS).returncode == 0
    assert hashes(tmp_path / "again") == hashes(demo)


def test_another_seed_gives_other_patients(demo, tmp_path):
    options = [*OPTIONS[:-1], "6", "--quiet"]
    assert rrg("--out", tmp_path / "other", *options).returncode == 0
    one, other = (
        {n: h for n, h in hashes(folder).items() if n != "labels.json"} for folder in (demo, tmp_path / "other")
    )
    assert not set(one.values()) & set(other.values())


def test_the_listing_holds_every_file(demo):
    listed = {}
    for line in (demo / "files.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        listed[name] = digest
    made = hashes(demo)
    for name in ("files.sha256", "manifest.json", "labels.json", "truth.jsonl", "report_truth.jsonl"):
        made.pop(name)
    assert listed == made
    manifest = json.loads((demo / "manifest.json").read_bytes())
    assert manifest["counts"]["studies"] == 12
    assert manifest["counts"]["images"] == len(list(demo.glob("dicom/*/*/*.dcm")))


def test_every_image_is_as_its_line_says(demo, truth):
    assert {line["file"] for line in truth} == {str(p.relative_to(demo)) for p in demo.glob("dicom/*/*/*.dcm")}
    assert len({line["sop_uid"] for line in truth}) == len(truth)
    for line in truth:
        dataset = pydicom.dcmread(demo / line["file"])
        assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == line["sop_uid"]
        assert pydicom.uid.UID(line["sop_uid"]).is_valid
        assert dataset.SOPClassUID.name == f"{line['modality']} Image Storage"
        assert (dataset.PatientID, dataset.AccessionNumber) == (line["patient_id"], line["accession"])
        assert (dataset.SeriesNumber, dataset.InstanceNumber) == (line["series_number"], line["instance_number"])
        assert str(dataset.PatientName).startswith("Phantom^P")
        assert dataset.pixel_array.shape == (line["rows"], line["columns"])


def test_index_follows_the_slice_normal(demo, series):
    for group in series.values():
        datasets = [pydicom.dcmread(demo / line["file"], stop_before_pixels=True) for line in group]
        orientation = np.array(datasets[0].ImageOrientationPatient, float)
        normal = np.cross(orientation[:3], orientation[3:])
        places = [float(normal @ np.array(dataset.ImagePositionPatient, float)) for dataset in datasets]
        gaps = np.diff(places)
        assert (gaps > 0).all()
        assert np.ptp(gaps) < 1e-3
        assert gaps[0] == pytest.approx(float(datasets[0].SliceThickness), abs=0.01)
        assert np.linalg.norm(orientation[:3]) == pytest.approx(1)
        assert orientation[:3] @ orientation[3:] == pytest.approx(0, abs=1e-9)


def test_simpleitk_sees_images_and_masks_on_one_grid(demo, series):
    for uid, group in series.items():
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str((demo / group[0]["file"]).parent), uid))
        image, mask = reader.Execute(), SimpleITK.ReadImage(demo / "masks" / f"{uid}.nii.gz")
        assert image.GetSize() == mask.GetSize()
        for index in ((0, 0, 0), (5, 11, 1), tuple(size - 1 for size in image.GetSize())):
            assert image.TransformIndexToPhysicalPoint(index) == pytest.approx(
                mask.TransformIndexToPhysicalPoint(index), abs=0.01
            )


def test_truth_is_what_the_masks_show(series, masks):
    seen = set()
    for uid, group in series.items():
        assert masks[uid].shape[0] == len(group)
        for line, labels in zip(group, masks[uid], strict=True):
            assert {c["class_id"] for c in line["classes"]} == set(np.unique(labels)) - {0}
            for entry in line["classes"]:
                rows, columns = np.nonzero(labels == entry["class_id"])
                assert BY_ID[entry["class_id"]].name == entry["label"]
                assert entry["area_px"] == rows.size
                assert entry["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                seen.add(entry["label"])
            assert sum(lesion["area_px"] for lesion in line["lesions"]) == (labels == LESION).sum()
    assert len(seen) > 15


def test_voxels_have_the_values_of_their_tissue(demo, series, masks):
    """Median HU of inner voxels; the bounds are textbook values, with and without contrast agent."""
    bounds = {
        "liver": (40, 130),
        "spleen": (35, 145),
        "urinary_bladder": (-10, 25),
        "gallbladder": (-5, 30),
        "lung_lower_lobe_left": (-900, -700),
        "vertebrae_L1": (150, 500),
        "aorta": (25, 195),
    }
    checked = collections.Counter()
    for uid, group in series.items():
        if group[0]["modality"] != "CT" or group[0]["plane"] != "axial":
            continue
        volume = np.stack([hounsfield(pydicom.dcmread(demo / line["file"])) for line in group])
        assert volume[:, :2, :2].max() < -900, "air around the body"
        for name, (low, high) in bounds.items():
            inside = masks[uid] == LABELS[name].class_id
            if inside.sum() > 300:
                assert low < np.median(volume[inside]) < high, name
                checked[name] += 1
    assert all(checked[name] >= 3 for name in bounds)


def centre_ras(demo, uid, name):
    image = nibabel.load(demo / "masks" / f"{uid}.nii.gz")
    voxels = np.argwhere(np.asarray(image.dataobj) == LABELS[name].class_id)
    return nibabel.affines.apply_affine(image.affine, voxels).mean(0) if len(voxels) else None


def test_left_is_the_patients_left(demo, series):
    """RAS: x grows to the right. Also the picture: the liver lies on the left of an axial image."""
    pairs = 0
    for uid, group in series.items():
        centre = {n: centre_ras(demo, uid, n) for n in ("liver", "spleen", "kidney_left", "kidney_right")}
        if centre["spleen"] is not None and centre["liver"] is not None:
            assert centre["liver"][0] > centre["spleen"][0]
        if centre["kidney_left"] is not None and centre["kidney_right"] is not None:
            assert centre["kidney_right"][0] > centre["kidney_left"][0] + 60
            pairs += 1
        if group[0]["plane"] == "axial":
            boxes = [c["box"] for line in group for c in line["classes"] if c["label"] == "liver"]
            assert np.mean([(box[0] + box[2]) / 2 for box in boxes]) < group[0]["columns"] / 2
    assert pairs >= 3


def test_lesions_have_their_size_and_lie_in_their_organ(demo, series, masks):
    checked = 0
    for uid, group in series.items():
        image = nibabel.load(demo / "masks" / f"{uid}.nii.gz")
        per_name = collections.defaultdict(list)
        for line in group:
            for lesion in line["lesions"]:
                per_name[lesion["lesion"]].append((line["index"], lesion))
        for found in per_name.values():
            index, biggest = max(found, key=lambda pair: pair[1]["area_px"])
            x0, y0, x1, y1 = biggest["box"]
            pixel = np.linalg.norm(image.affine[:3, :2], axis=0)  # (along a row, along a column) in mm
            diameter = biggest["diameter_mm"]
            assert (x1 - x0) * pixel[0] <= diameter + 1.5 * pixel[0]
            assert (y1 - y0) * pixel[1] <= diameter + 1.5 * pixel[1]
            thickness = np.linalg.norm(image.affine[:3, 2])
            if thickness < diameter / 2:
                assert (x1 - x0) * pixel[0] >= 0.8 * diameter - 2 * pixel[0]
            around = masks[uid][index, max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2]
            others = np.unique(around[(around != LESION) & (around != 0)])
            assert LABELS[biggest["organ"]].class_id in others
            assert LABELS[biggest["organ"]].side == biggest["side"]
            checked += 1
    assert checked >= 4


@pytest.fixture(scope="module")
def reports(demo):
    return lines(demo / "report_truth.jsonl")


def untrue(report, by_image, missing):
    """References and absences of a report that the masks contradict."""
    wrong = []
    for sentence in report["sentences"]:
        for fact in sentence["facts"]:
            for pointer in fact["references"]:
                for number, sop in zip(pointer["instance_numbers"], pointer["sop_uids"], strict=True):
                    line = by_image[pointer["series_uid"], number]
                    shown = {c["label"] for c in line["classes"]}
                    lesions = {lesion["lesion"]: lesion for lesion in line["lesions"]}
                    good = line["sop_uid"] == sop and line["series_number"] == pointer["series_number"]
                    if fact["lesion"]:
                        size = fact["prior_size_mm"] if pointer["prior"] else fact["size_mm"]
                        lesion = lesions.get(fact["lesion"])
                        good &= lesion is not None and lesion["organ"] in fact["classes"]
                        good &= lesion is not None and size in (None, lesion["diameter_mm"])
                    else:
                        good &= shown >= set(fact["classes"])
                    study = report["prior_study_uid"] if pointer["prior"] else report["study_uid"]
                    if not (good and line["study_uid"] == study):
                        wrong.append(sentence["text"])
            if fact["kind"] == "absent" and not set(fact["classes"]) <= missing[report["study_uid"]]:
                wrong.append(sentence["text"])
    return wrong


@pytest.fixture(scope="module")
def by_image(truth):
    return {(line["series_uid"], line["instance_number"]): line for line in truth}


@pytest.fixture(scope="module")
def missing(truth):
    """Study UID -> classes that no slice shows."""
    out = {line["study_uid"]: set(LABELS) for line in truth}
    for line in truth:
        out[line["study_uid"]] -= {c["label"] for c in line["classes"] or ()}
    return out


def test_reports_are_true(reports, by_image, missing):
    assert len(reports) == 24
    assert [text for report in reports for text in untrue(report, by_image, missing)] == []
    kinds = collections.Counter(f["kind"] for r in reports for s in r["sentences"] for f in s["facts"])
    assert kinds.keys() == {"normal", "absent", "lesion", "change", "denied"}


def test_the_check_of_reports_can_fail(reports, by_image, missing):
    """Control: pointed at the slice on the other side of the volume, most references are false."""
    turned = {}
    for (uid, number), line in by_image.items():
        if line["role"] != "localizer":
            opposite = by_image[uid, line["count"] + 1 - number]
            turned[uid, number] = line | {"classes": opposite["classes"], "lesions": opposite["lesions"]}
    swapped = {study: set() for study in missing}
    found = sum(len(untrue(report, turned, swapped)) for report in reports)
    assert found > 100


def findings_of(report):
    return [sentence for sentence in report["sentences"] if sentence["section"] == "findings"]


def test_sentences_lie_where_they_are_said_to(demo, reports):
    for report in reports:
        text = (demo / report["file"]).read_text(encoding="utf-8")
        for sentence in report["sentences"]:
            assert text[sentence["start"] : sentence["end"]] == sentence["text"]
            assert sentence["text"][0] == sentence["text"][0].upper()
            assert "{" not in text
        said = [(f["kind"], *f["classes"], f["lesion"], f["finding"]) for s in findings_of(report) for f in s["facts"]]
        assert len(set(said)) == len(said)
        covered = "".join(sentence["text"] for sentence in report["sentences"])
        headings = 6
        rest = len(re.sub(r"\s", "", text)) - len(re.sub(r"\s", "", covered))
        assert 0 < rest < headings * 40
        assert SENTENCES[0] <= len(findings_of(report)) <= SENTENCES[1]
        assert not re.search(r"PHANTOM|Phantom\^", text)


def test_numbers_in_the_text_are_those_of_the_facts(reports):
    for report in reports:
        for sentence in report["sentences"]:
            words = re.findall(r"\d+", re.sub(r"\d+[.,]\d+|\d\d\.\d\d\.\d{4}", " ", sentence["text"]))
            for fact in sentence["facts"]:
                for pointer in fact["references"]:
                    assert {str(n) for n in (pointer["instance_numbers"][0], pointer["instance_numbers"][-1])} <= {
                        *words
                    }
                if fact["size_mm"] and fact["kind"] == "lesion":
                    forms = {size_text(fact["size_mm"], report["lang"], cm) for cm in (True, False)}
                    assert any(form in sentence["text"] for form in forms)
                if fact["prior_date"]:
                    assert date_text(fact["prior_date"], report["lang"]) in sentence["text"]


def test_twins_tell_the_same(reports):
    twins = collections.defaultdict(dict)
    for report in reports:
        twins[report["accession"]][report["lang"]] = report
    for pair in twins.values():
        keys = ("kind", "classes", "side", "finding", "state", "lesion", "change", "references")
        told = {
            lang: [[[f[k] for k in keys] for f in s["facts"]] for s in r["sentences"] if s["section"] == "findings"]
            for lang, r in pair.items()
        }
        assert told["de"] == told["en"]
    german = " ".join(s["text"] for r in reports if r["lang"] == "de" for s in r["sentences"])
    assert re.search("[äöüß]", german)
    assert not re.search(r"\d\.\d cm", german)


def test_a_comparison_speaks_of_the_patients_own_earlier_study(demo, reports, truth):
    patient = {line["study_uid"]: line["patient_id"] for line in truth}
    with_prior = [report for report in reports if report["prior_study_uid"]]
    assert with_prior
    for report in with_prior:
        assert patient[report["prior_study_uid"]] == patient[report["study_uid"]]
        dates = []
        for study in (report["prior_study_uid"], report["study_uid"]):
            file = next(line["file"] for line in truth if line["study_uid"] == study)
            dates.append(pydicom.dcmread(demo / file, stop_before_pixels=True).StudyDate)
        assert dates[0] < dates[1]
        assert date_text(dates[0], report["lang"]) in (demo / report["file"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("syntax", ["rle", "j2k"])
def test_compressed_pixels_are_the_same(syntax, tmp_path):
    small = ["--studies", "1", "--slices", "4", "--size", "64", "--quiet"]
    assert rrg("--out", tmp_path / "raw", *small).returncode == 0
    assert rrg("--out", tmp_path / syntax, "--transfer-syntax", syntax, *small).returncode == 0
    for path in (tmp_path / "raw").glob("dicom/*/*/*.dcm"):
        plain = pydicom.dcmread(path)
        packed = pydicom.dcmread(tmp_path / syntax / path.relative_to(tmp_path / "raw"))
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        assert packed.SOPInstanceUID == plain.SOPInstanceUID
        assert (packed.pixel_array == plain.pixel_array).all()


def test_refuses_a_folder_that_holds_something_else(demo, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = rrg("--out", tmp_path, *OPTIONS)
    assert (done.returncode, (tmp_path / "notes.txt").read_text()) == (2, "mine")
    assert "holds something else" in done.stderr
    assert rrg("--out", demo, "--seed", 1).returncode == 2
    before = (demo / "manifest.json").stat().st_mtime_ns
    assert rrg("--out", demo, *OPTIONS).returncode == 0
    assert (demo / "manifest.json").stat().st_mtime_ns == before


def test_a_signal_leaves_nothing_and_asks_to_come_back(tmp_path):
    command = [sys.executable, "-m", "rrg", "phantom", "--out", str(tmp_path / "d"), "--studies", "500"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if list(tmp_path.rglob("*.dcm")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert list(tmp_path.iterdir()) == []


def test_modality_and_noise(tmp_path):
    small = ["--studies", "4", "--slices", "5", "--size", "48", "--modality", "mr", "--noise", "0"]
    done = rrg("--out", tmp_path / "mr", *small)
    assert done.returncode == 0
    for line in lines(tmp_path / "mr" / "truth.jsonl"):
        assert line["modality"] == "MR"
        names = {c["label"] for c in line["classes"]}
        assert all(LABELS[name].mr_class_id for name in names - {"lesion"}), names


@given(
    number=st.integers(0, 50),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(4, 14)] * 3),
)
@settings(max_examples=15, deadline=None)
def test_paint_is_the_same_voxel_by_voxel(number, angles, spacing):
    """Painting by windows on any oblique grid equals painting each voxel alone."""
    rng = rng_for(0, "test", str(number))
    body = place_lesions(draw_body(rng), "CT", 2, rng)
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles)):
        step = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    affine, shape = np.eye(4), (9, 17, 21)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    whole = paint(body, Grid(affine, shape), "CT")
    differing = 0
    picks = rng.integers(0, shape, (60, 3))
    for voxel in picks:
        single = affine.copy()
        single[:3, 3] = affine[:3, 3] + affine[:3, :3] @ voxel
        differing += int(paint(body, Grid(single, (1, 1, 1)), "CT")[0, 0, 0] != whole[tuple(voxel)])
    assert differing <= 1  # a voxel within a rounding error of a border


def test_missing_organs_can_not_be_guessed():
    bodies = [draw_body(rng_for(1, "test", str(number))) for number in range(400)]
    for organ in REMOVABLE:
        share = np.mean([organ in body.missing for body in bodies])
        low, high = (0.05, 0.15) if organ.startswith("lung") else (0.14, 0.30)
        assert low < share < high, organ
        affected = next(body for body in bodies if organ in body.missing)
        axes = np.zeros((4, 4))
        axes[[2, 1, 0], [0, 1, 2]], axes[:3, 3], axes[3, 3] = 8, -150, 1
        labels = class_of_tissue("MR")[paint(affected, Grid(axes, (38, 38, 38)), "MR")]
        assert LABELS[organ].class_id not in labels
    assert not any({"kidney_left", "kidney_right"} <= set(body.missing) for body in bodies)


def test_every_phrase_exists_in_both_languages_and_names_what_it_needs():
    for table in (phantom_phrases.NORMAL, phantom_phrases.ABSENT, phantom_phrases.LESION, phantom_phrases.CHANGE):
        for key, by_language in table.items():
            assert by_language.keys() == {"de", "en"}, key
            for lang, phrases in by_language.items():
                assert len(phrases) >= 2
                for phrase in phrases:
                    fields = {name for _, name, _, _ in string.Formatter().parse(phrase.text) if name}
                    sides = set(phantom_phrases.SIDE_WORDS[lang]["left"])
                    assert fields <= sides | {"ref", "size", "lobe", "noun", "date", "old", "oldref"}
                    assert phrase.text.endswith(".")
                    if table is phantom_phrases.LESION:
                        assert {"ref", "size"} <= fields
                    if table is phantom_phrases.CHANGE:
                        assert {"noun", "date", "oldref"} <= fields


def test_uids_depend_on_seed_and_names_only():
    uids = {made_up_uid(seed, "study", number) for seed in range(20) for number in range(20)}
    assert len(uids) == 400
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids)
    assert made_up_uid(0, "a", 1) == made_up_uid(0, "a", 1) != made_up_uid(0, "a1")


def test_sizes_and_dates_are_written_as_in_the_language():
    assert size_text(12, "de", True) == "1,2 cm"
    assert size_text(12, "en", True) == "1.2 cm"
    assert size_text(9, "de", False) == "9 mm"
    assert date_text("20210312", "de") == "12.03.2021"
    assert date_text("20210302", "en") == "2 March 2021"


def test_faults_are_listed_made_and_the_same_again(tmp_path):
    listed = rrg("--list-faults")
    assert listed.returncode == 0, listed.stderr
    table = [line.split("\t") for line in listed.stdout.splitlines()]
    assert table[0] == ["name", "row", "what", "expected"]
    assert {int(row[1]) for row in table[1:]} == set(range(34))
    assert all(len(row) == 4 and row[3].startswith("exit ") for row in table[1:])
    assert rrg("--fault", "list").stdout == listed.stdout
    for folder, seed in (("one", 0), ("again", 0), ("other", 1)):
        done = rrg("--fault", "slope-zero", "--out", tmp_path / folder, "--seed", seed)
        assert done.returncode == 0, done.stderr
    one, again, other = (hashes(tmp_path / folder) for folder in ("one", "again", "other"))
    assert one == again
    assert not set(one.values()) & set(other.values())
    told = json.loads((tmp_path / "one" / "fault.json").read_bytes())
    assert (told["name"], told["row"], told["expect"]["codes"]) == ("slope-zero", 15, {"E_RESCALE": 1})
    assert "complete already" in rrg("--fault", "slope-zero", "--out", tmp_path / "one").stderr
    for wrong in (["slope-zero", "--out", tmp_path / "other"], ["nothing", "--out", tmp_path / "new"], ["rle"]):
        assert rrg("--fault", *wrong).returncode == 2
    assert hashes(tmp_path / "other") == other
