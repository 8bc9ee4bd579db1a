"""pack: whole or absent, split by patient, balanced, the same whatever the order; truncated streams refused."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.balance import YES_NO, Asked, Balance, cap
from rrg.codec import encode
from rrg.errors import RrgError
from rrg.pack_arrays import AHEAD, Arrays
from rrg.pack_facts import answered_by
from rrg.pack_split import SPLITS, split_of
from rrg.pipe import check_closed
from rrg.provenance import sha256_file, sha256_files
from rrg.records import Mask, Record, Run, Sample, Slice
from rrg.store import write_array
from rrg.synth import grounding, grounding_options, vqa
from tests.conftest import Rrg
from tests.synth_cases import RUN, a_report, a_study, group, read, samples_of, stream, write_arrays

PATIENTS = 24


def samples(records: list[Record], study: str) -> list[Record]:
    """Samples of a study, stamped as the run of the test."""
    made = [
        *samples_of(vqa.ask_all(vqa.Options(slices="all"), group(records, study))),
        *samples_of(grounding.ground(grounding_options.Options(slices="all"), group(records, study))),
    ]
    return [replace(sample, run=RUN.id) for sample in made]


@pytest.fixture(scope="module")
def studies() -> list[list[Record]]:
    rng = np.random.default_rng(1)
    found = []
    for number in range(PATIENTS + 3):
        study, patient = f"study{number}", f"p{number % PATIENTS}"  # three patients have two studies
        records = a_study(study, rng, n=6, patient=patient)
        report = a_report(
            "<a liver>Leber</a> homogen <r k>(Serie 3, Bild 2)</r>.",
            study=study, patient=patient, slices={"k": [f"{study}s1i1"]},
        )  # fmt: skip
        found.append([*records, report, *samples([*records, report], study)])
    return found


@pytest.fixture(scope="module")
def store(studies: list[list[Record]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    write_arrays(folder, [record for study in studies for record in study])
    (folder / "private").mkdir()
    (folder / "private" / "uids.jsonl").write_text("secret\n")
    return folder


@pytest.fixture(scope="module")
def given_stream(studies: list[list[Record]]) -> bytes:
    return stream([record for study in studies for record in study])


@pytest.fixture(scope="module")
def packed(rrg: Rrg, given_stream: bytes, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "dataset"
    done = rrg("pack", "--store", store, "--out", out, stdin=given_stream)
    assert done.stdout == b"", "pack is a sink"
    assert done.stderr.count(b"rrg pack: done: train ") == 1
    return out


def manifest_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "manifest.json").read_bytes())  # type: ignore[no-any-return]


def split_records(folder: Path) -> dict[str, list[Record]]:
    return {split: read(folder / f"{split}.jsonl") for split in SPLITS}


def tree(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_no_patient_is_in_two_splits(packed: Path) -> None:
    patients = {
        split: {r.patient for r in records if isinstance(r, Sample | Slice | Mask)}
        for split, records in split_records(packed).items()
    }
    assert all(patients.values())
    assert sum(len(found) for found in patients.values()) == len(set().union(*patients.values())) == PATIENTS


def test_each_file_is_a_closed_stream_of_its_split(packed: Path) -> None:
    for split, records in split_records(packed).items():
        check_closed(records, split)
        assert {r.schema for r in records} == {"rrg.run/1", "rrg.slice/1", "rrg.mask/1", "rrg.sample/1", "rrg.end/1"}
        assert {r.split for r in records if isinstance(r, Sample)} == {split}
        studies = [r.study for r in records if isinstance(r, Slice | Mask | Sample)]
        assert len([s for i, s in enumerate(studies) if i == 0 or studies[i - 1] != s]) == len(set(studies))


def test_all_slices_and_masks_are_there_and_samples_but_the_surplus(packed: Path, given_stream: bytes) -> None:
    after = [r for records in split_records(packed).values() for r in records]
    for kind in (Slice, Mask):
        assert {r.id for r in after if isinstance(r, kind)} == {r.id for r in read(given_stream) if isinstance(r, kind)}
    before = {r.id: r for r in read(given_stream) if isinstance(r, Sample)}
    kept = {r.id: r for r in after if isinstance(r, Sample)}
    funnel = manifest_of(packed)["funnel"]
    assert len(kept) + funnel["dropped.balance"] == len(before)  # type: ignore[index]
    for name, sample in kept.items():
        assert replace(sample, split=None, blind=None) == before[name]
    left_out = [before[name] for name in set(before) - set(kept)]
    assert all(answered_by(sample, 0) for sample in left_out)


def test_yes_and_no_are_even_for_each_structure(packed: Path, given_stream: bytes) -> None:
    """Measured on the files, with a control: before packing they are not."""

    def worst(found: list[Sample]) -> float:
        counts: dict[tuple[object, ...], Counter[str]] = {}
        for s in found:
            if s.question_type == "closed":
                key = (split_of(s.patient, (80, 10, 10)), s.lang, s.facets["label"], s.facets["question"])
                counts.setdefault(key, Counter())[str(s.answer)] += 1
        return max(max(c.values()) / sum(c.values()) for c in counts.values())

    after = [r for records in split_records(packed).values() for r in records if isinstance(r, Sample)]
    assert worst(after) <= 0.52
    assert worst([r for r in read(given_stream) if isinstance(r, Sample)]) > 0.6
    rows = manifest_of(packed)["balance"]
    said = {(r["split"], r["lang"], r["label"]): r["after"] for r in rows if r["question"] == YES_NO}  # type: ignore[index,attr-defined]
    measured: dict[tuple[str, str, str], list[int]] = {}
    for s in after:
        if s.question_type == "closed":
            about = f"{s.facets['question']}: {s.facets['label']}"
            measured.setdefault((str(s.split), s.lang, about), [0, 0])[s.answer in ("no", "nein")] += 1
    assert {key: value for key, value in said.items() if sum(value)} == measured


def test_the_manifest_tells_the_truth(packed: Path) -> None:
    manifest = manifest_of(packed)
    for name, told in manifest["files"].items():  # type: ignore[attr-defined]
        assert told == {"bytes": (packed / name).stat().st_size, "sha256": sha256_file(packed / name)}
    arrays = manifest["arrays"]
    on_disk = {f"{p.parent.name}/{p.name}" for kind in ("series", "masks") for p in (packed / "store" / kind).iterdir()}
    assert on_disk == set(arrays)  # type: ignore[call-overload]
    for name, digest in arrays.items():  # type: ignore[attr-defined]
        assert sha256_files(packed / "store" / name) == digest
    for split, records in split_records(packed).items():
        told = manifest["counts"][split]  # type: ignore[index]
        assert told["sample"] == sum(isinstance(r, Sample) for r in records)
        assert told["slice"] == sum(isinstance(r, Slice) for r in records)
        for field in ("task", "task_lang"):
            assert sum(manifest["strata"][split][field].values()) == told["sample"]  # type: ignore[index]


def test_private_things_stay_where_they_are(packed: Path) -> None:
    assert not (packed / "store" / "private").exists()
    assert {p.name for p in packed.iterdir()} == {*(f"{s}.jsonl" for s in SPLITS), "store", "card.md", "manifest.json"}


def test_the_card(packed: Path, rrg: Rrg, given_stream: bytes, store: Path, tmp_path: Path) -> None:
    card = (packed / "card.md").read_text()
    assert "Pseudonymised, still personal data" in card
    assert "made up" not in card
    assert "| GPU | **never run** |" in card
    for word in ("grounded-report", "| de |", "| CT |", "## Balance", "Shared between", "not a medical device"):
        assert word in card
    shared = manifest_of(packed)["leaks"]["texts"]  # type: ignore[index]
    both = {(row["a"], row["b"]): row["both"] for row in shared}
    assert both["train", "test"] == 1, "the one sentence of all reports is in train and test"
    rrg("pack", "--store", store, "--out", tmp_path / "d", "--phantom", stdin=given_stream)
    assert "made up" in (tmp_path / "d" / "card.md").read_text()


def test_same_data_set_whatever_the_order(
    rrg: Rrg, studies: list[list[Record]], packed: Path, store: Path, tmp_path: Path
) -> None:
    records = [record for study in reversed(studies) for record in reversed(study)]
    rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=stream(records))
    assert tree(tmp_path / "d") == tree(packed)


def test_files_of_shards_are_merged(
    rrg: Rrg, studies: list[list[Record]], packed: Path, store: Path, tmp_path: Path
) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    records = [record for study in studies for record in study]
    a.write_bytes(stream([r for r in records if not isinstance(r, Sample)]))
    b.write_bytes(stream([r for r in records if isinstance(r, Sample)]))
    rrg("pack", b, a, "--store", store, "--out", tmp_path / "d")
    assert tree(tmp_path / "d") == tree(packed)


def test_what_is_there_twice_is_packed_once(
    rrg: Rrg, given_stream: bytes, packed: Path, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(given_stream)
    (tmp_path / "b.jsonl").write_bytes(given_stream)
    rrg("pack", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--store", store, "--out", tmp_path / "d")
    assert manifest_of(tmp_path / "d")["counts"] == manifest_of(packed)["counts"]
    lines = given_stream.splitlines(keepends=True)
    twice = b"".join(line * (1 + (b"rrg.slice/1" in line)) for line in lines)
    rrg("pack", "--store", store, "--out", tmp_path / "e", stdin=twice)
    assert manifest_of(tmp_path / "e")["counts"] == manifest_of(packed)["counts"]
    assert manifest_of(tmp_path / "e")["funnel"]["dropped.duplicate_slice"] == 6 * (PATIENTS + 3)  # type: ignore[index]


@pytest.mark.parametrize("hostile", ["../../../../etc/passwd#0", "series/nobody#0", "series/../x#0", "series/a"])
def test_a_sample_that_points_at_nothing_is_refused(
    rrg: Rrg, given_stream: bytes, store: Path, tmp_path: Path, hostile: str
) -> None:
    lines = given_stream.splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b"rrg.sample/1" in line)
    record = json.loads(lines[at])
    record["images"][0] |= {"ref": hostile}
    lines[at] = json.dumps(record).encode() + b"\n"
    done = rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=b"".join(lines), code=1)
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert not (tmp_path / "d").exists()


def test_links_lead_to_the_same_arrays(
    rrg: Rrg, given_stream: bytes, store: Path, packed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "dataset"
    rrg(
        "pack",
        "--store",
        os.path.relpath(store, tmp_path),
        "--out",
        "deep/dataset",
        "--pixels",
        "link",
        stdin=given_stream,
        cwd=tmp_path,
    )
    assert manifest_of(out)["arrays"] == manifest_of(packed)["arrays"]
    for link in (out / "store").glob("*/*"):
        assert link.is_symlink()
        assert not link.readlink().is_absolute()
        assert (link / "zarr.json").is_file()


def test_a_split_can_be_packed_again(rrg: Rrg, packed: Path, tmp_path: Path) -> None:
    rrg("pack", packed / "train.jsonl", "--store", packed / "store", "--out", tmp_path / "d")
    again = read(tmp_path / "d" / "train.jsonl")
    assert len({r.id for r in again if isinstance(r, Run)}) == sum(isinstance(r, Run) for r in again)
    before = {r.id for r in read(packed / "train.jsonl") if isinstance(r, Sample)}
    assert {r.id for r in again if isinstance(r, Sample)} == before


def test_packed_again_the_scores_without_the_image_are_the_same(
    rrg: Rrg, given_stream: bytes, store: Path, tmp_path: Path
) -> None:
    """The scores of the first packing are no answers of a model."""
    first, again = tmp_path / "first", tmp_path / "again"
    rrg("pack", "--no-balance", "--store", store, "--out", first, stdin=given_stream)
    files = [first / f"{split}.jsonl" for split in SPLITS]
    rrg("pack", *files, "--no-balance", "--store", first / "store", "--out", again)
    for split in SPLITS:
        scores = [
            {r.id: r.blind for r in read(folder / f"{split}.jsonl") if isinstance(r, Sample)}
            for folder in (first, again)
        ]
        assert scores[0] == scores[1]
    assert len({*scores[0].values()}) > 5


# What must be refused


def test_a_truncated_stream_is_refused(rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path) -> None:
    cut = stream(studies[0], close=False)
    (tmp_path / "empty").mkdir()
    for each in (store, tmp_path / "empty"):  # what is wrong with the stream is told before what is wrong with arrays
        done = rrg("pack", "--store", each, "--out", tmp_path / "d", stdin=cut, code=1)
        assert b"cut short" in done.stderr
    assert b"--partial" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["empty"]
    rrg("pack", "--store", store, "--out", tmp_path / "d", "--partial", stdin=cut)
    for split, records in split_records(tmp_path / "d").items():
        check_closed(records, split)
    assert manifest_of(tmp_path / "d")["partial"] is True


def test_records_without_their_run_are_refused(
    rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path
) -> None:
    bare = b"".join(encode(record) + b"\n" for record in studies[0])
    assert (
        b"without its run record" in rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=bare, code=1).stderr
    )
    rrg("pack", "--store", store, "--out", tmp_path / "d", "--partial", stdin=bare)


def test_a_study_in_pieces_names_sort(rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path) -> None:
    pieces = [*studies[0][:2], *studies[1], *studies[0][2:]]
    done = rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=stream(pieces), code=1)
    assert b"rrg sort" in done.stderr


def test_references_behind_the_end_of_an_array_are_named(
    rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path
) -> None:
    records = [
        replace(each, array=each.array.partition("#")[0] + "#999") if isinstance(each, Mask) else each
        for each in studies[0]
    ]
    done = rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=stream(records), code=1)
    assert b"a record names masks/study0s1-masks#999, but the array holds" in done.stderr
    assert not list(tmp_path.iterdir())


def test_missing_arrays_are_named(rrg: Rrg, studies: list[list[Record]], tmp_path: Path) -> None:
    done = rrg("pack", "--store", tmp_path / "none", "--out", tmp_path / "d", stdin=stream(studies[0]), code=1)
    assert b"store has no array series/study0s1" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pixels", ["copy", "link"])
def test_a_missing_array_is_told_while_records_still_come(pixels: Literal["copy", "link"], tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in range(AHEAD + 1):
        write_array(store, f"series/{number}", np.ones((1, 2, 2), np.int16))
    with Arrays(store, tmp_path / "made", tmp_path / "d", pixels) as arrays:
        arrays.take("series/none", 0)
        for number in range(AHEAD - 1):
            arrays.take(f"series/{number}", 0)
        with pytest.raises(RrgError, match="store has no array series/none"):
            arrays.take(f"series/{AHEAD}", 0)


def test_a_study_of_two_patients_is_refused(rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path) -> None:
    first = studies[0][0]
    assert isinstance(first, Slice)
    mixed = [replace(first, patient="other"), *studies[0][1:]]
    assert (
        b"E_MIXED_PATIENT" in rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=stream(mixed), code=1).stderr
    )


def test_two_samples_of_one_id_are_refused(rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path) -> None:
    last = studies[0][-1]
    assert isinstance(last, Sample)
    other = replace(last, answer="something else")
    done = rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=stream([*studies[0], other]), code=1)
    assert f"have the id {last.id}".encode() in done.stderr


def test_bad_options(rrg: Rrg, tmp_path: Path) -> None:
    for split in ("80,20", "a,b,c", "0,0,0"):
        assert b"three whole numbers" in rrg("pack", "--split", split, "--out", tmp_path / "d", code=2).stderr


def test_existing_folders(rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    first, second = stream(studies[0]), stream([*studies[0], *studies[1]])
    pack = ("pack", "--store", store, "--out", out)
    rrg(*pack, stdin=first)
    before = tree(out)
    assert b"is there already" in rrg(*pack, stdin=first, code=2).stderr
    rrg(*pack, "--resume", stdin=first)
    assert b"another data set" in rrg(*pack, "--resume", stdin=second, code=1).stderr
    assert tree(out) == before
    rrg(*pack, "--overwrite", stdin=second)
    assert tree(out) != before
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    done = rrg("pack", "--store", store, "--out", tmp_path / "mine", "--overwrite", stdin=first, code=2)
    assert b"not a data set of rrg" in done.stderr
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"


def test_no_input_makes_no_data_set(rrg: Rrg, store: Path, tmp_path: Path) -> None:
    """Otherwise a pipe whose first stage died at its start would end as a finished data set."""
    (tmp_path / "empty.jsonl").write_bytes(b"")
    for source in ([], [tmp_path / "empty.jsonl"]):
        done = rrg("pack", *source, "--store", store, "--out", tmp_path / "d", code=1)
        assert b"no slices and no samples" in done.stderr
        assert not (tmp_path / "d").exists()


def test_an_empty_split_is_warned_of(rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path) -> None:
    done = rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=stream(studies[0]))
    assert done.stderr.count(b"no patient fell into") == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_killed_it_leaves_no_data_set(
    rrg: Rrg, given_stream: bytes, store: Path, packed: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "rrg", "pack", "--store", str(store), "--out", str(tmp_path / "d")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(given_stream[: len(given_stream) // 2])
        process.stdin.flush()
        until = time.monotonic() + 20
        while not (tmp_path / ".d.partial").exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(number)
        process.wait(20)
        process.stdin.close()
        assert process.returncode == code
    assert not (tmp_path / "d").exists()
    rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=given_stream)
    assert tree(tmp_path / "d") == tree(packed)
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


# Splitting and balancing


@given(st.text(min_size=1, max_size=20))
def test_a_patient_stays_in_its_split(patient: str) -> None:
    assert split_of(patient, (80, 10, 10)) == split_of(patient, (8, 1, 1))
    assert split_of(patient, (1, 0, 0)) == "train"
    assert split_of(patient, (0, 0, 1)) == "test"


def test_shares_of_the_splits() -> None:
    counts = Counter(split_of(hashlib.sha256(str(n).encode()).hexdigest(), (80, 10, 10)) for n in range(20_000))
    assert counts["train"] / 20_000 == pytest.approx(0.8, abs=0.01)
    assert counts["val"] / 20_000 == pytest.approx(0.1, abs=0.01)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=5))
def test_cap_is_the_largest_that_is_even_enough(counts: list[int]) -> None:
    most = 1 / len(counts) + 0.02

    def even(limit: int) -> bool:
        kept = [min(n, limit) for n in counts]
        return sum(kept) > 0 and max(kept) <= most * sum(kept)

    limit = cap(counts)
    assert limit == max([n for n in range(max(counts) + 1) if even(n)], default=0)


def test_balance_does_not_depend_on_the_order() -> None:
    answers = np.asarray([n % 5 == 0 for n in range(500)], np.int32)
    orders = np.asarray([int(hashlib.sha256(str(n).encode()).hexdigest()[:16], 16) for n in range(500)], np.uint64)
    kept = []
    for order in (slice(None), slice(None, None, -1)):
        balance = Balance()
        balance.add("train", answers[order], orders[order])
        balance.settle({Asked("en", YES_NO, "liver"): (0, 2)})
        kept.append(balance.keeps("train", answers, orders))
        assert balance.rows == ((("train", "en", YES_NO, "liver"), (400, 100), (108, 100)),)
    assert kept[0].tolist() == kept[1].tolist()
    assert kept[0].sum() == 208
    assert orders[(answers == 0) & kept[0]].max() < orders[(answers == 0) & ~kept[0]].min()


def test_questions_with_one_answer_only_go() -> None:
    balance, orders = Balance(), np.arange(5, dtype=np.uint64)
    yes, first = np.zeros(5, np.int32), np.full(5, 2, np.int32)
    for answers in (yes, first):
        balance.add("train", answers, orders)
    balance.settle({Asked("en", YES_NO, "x"): (0, 2), Asked("en", "4 choices", ""): (2, 4)})
    assert not balance.keeps("train", yes, orders).any()
    assert balance.keeps("train", first, orders).all(), "too few to balance"
    assert not balance.keeps("val", yes, orders).any()


def test_a_split_without_samples_counts_none(
    rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path
) -> None:
    records = [each for each in studies[0] if isinstance(each, Slice | Mask)]
    rrg("pack", "--store", store, "--out", tmp_path / "d", stdin=stream(records))
    counts = manifest_of(tmp_path / "d")["counts"]
    assert sorted(map(sorted, counts.values())) == [[], [], ["mask", "slice", "study"]]  # type: ignore[attr-defined]


def test_copied_folders_are_for_the_same_persons(
    rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path
) -> None:
    shutil.copytree(store, tmp_path / "store")
    (first,) = {each.pixels.partition("#")[0] for each in studies[0][:1] if isinstance(each, Slice)}
    folder = tmp_path / "store" / first
    folder.chmod(0o700)
    (folder / "c").chmod(0o555)
    rrg("pack", "--store", tmp_path / "store", "--out", tmp_path / "d", stdin=stream(studies[0]))
    assert (tmp_path / "d" / "store" / first).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "d" / "store" / first / "c").stat().st_mode & 0o777 == 0o755
    (folder / "c").chmod(0o755)


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_file_in_an_array_is_named(
    rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path, kind: str
) -> None:
    """A named pipe would be waited for until the end of days."""
    shutil.copytree(store, tmp_path / "store")
    (first,) = {each.pixels.partition("#")[0] for each in studies[0][:1] if isinstance(each, Slice)}
    odd = tmp_path / "store" / first / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("nothing")
    done = rrg("pack", "--store", tmp_path / "store", "--out", tmp_path / "d", stdin=stream(studies[0]), code=1)
    assert f"array {first}" in done.stderr.decode()
    assert "odd: no file and no folder" in done.stderr.decode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 names only")
def test_a_file_name_of_any_bytes_is_copied(rrg: Rrg, studies: list[list[Record]], store: Path, tmp_path: Path) -> None:
    """A Latin-1 note that somebody left in an array."""
    shutil.copytree(store, tmp_path / "store")
    (first,) = {each.pixels.partition("#")[0] for each in studies[0][:1] if isinstance(each, Slice)}
    name = b"l\xf6schen.txt"
    (tmp_path / "store" / first / os.fsdecode(name)).write_text("nothing")
    rrg("pack", "--store", tmp_path / "store", "--out", tmp_path / "d", stdin=stream(studies[0]))
    assert name in [os.fsencode(each.name) for each in (tmp_path / "d" / "store" / first).iterdir()]
    rrg("verify", tmp_path / "d")
