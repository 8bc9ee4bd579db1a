"""pack: who is in which split; merged ids; what splits share; what is left out of val and test."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.errors import RrgError
from rrg.keys import pseudonym
from rrg.pack_split import SPLITS, Visit, joined, merges, split_of, splits
from rrg.records import Record, Sample, Slice
from tests.conftest import Rrg
from tests.synth_cases import a_report, a_study, read, stream, write_arrays
from tests.test_pack import manifest_of, samples

KEY = bytes(range(32))
ids = st.text("0123456789abcdef", min_size=20, max_size=20)
Pack = Callable[..., Path]


def cohort(patients: int = 20) -> list[list[Record]]:
    """Studies of as many patients, one a year from 2001 on, in four institutions."""
    rng = np.random.default_rng(7)
    found = []
    for number in range(patients):
        study, patient = f"study{number}", f"p{number}"
        records: list[Record] = [
            replace(each, study_year=2001 + number, site=f"site{number % 4}") if isinstance(each, Slice) else each
            for each in a_study(study, rng, n=2, patient=patient)
        ]
        report = a_report(
            f"<a liver>Leber</a> mit Herd von {number} mm <r k>(Serie 3, Bild 2)</r>.",
            study=study, patient=patient, slices={"k": [f"{study}s1i1"]},
        )  # fmt: skip
        found.append([*records, report, *samples([*records, report], study)])
    return found


@pytest.fixture(scope="module")
def studies() -> list[list[Record]]:
    return cohort()


@pytest.fixture
def pack(rrg: Rrg, tmp_path: Path) -> Pack:
    """Packs studies with options; the number in the name of the folder counts the calls."""

    def run(studies: Iterable[list[Record]], *options: object, code: int = 0, line: str = "") -> Path:
        records = [record for study in studies for record in study]
        out = tmp_path / f"dataset{len(list(tmp_path.iterdir()))}"
        write_arrays(tmp_path / "store", records)
        done = rrg("pack", "--store", tmp_path / "store", "--out", out, *options, stdin=stream(records), code=code)
        if code:
            assert done.stderr.decode().count("\n") == 1, done.stderr
        assert line in done.stderr.decode()
        return out

    return run


def members(out: Path) -> dict[str, str]:
    """Patient -> split; fails where one is in two."""
    found: dict[str, str] = {}
    for split in SPLITS:
        for record in read(out / f"{split}.jsonl"):
            if isinstance(record, Slice | Sample):
                assert found.setdefault(record.patient, split) == split
    return found


def test_more_patients_never_move_one(pack: Pack) -> None:
    few, many = members(pack(cohort(20))), members(pack(cohort(40)))
    assert few.items() < many.items()
    assert set(many.values()) == set(SPLITS)


def test_the_latest_patients_are_the_test(pack: Pack, studies: list[list[Record]]) -> None:
    out = pack(studies, "--split-by", "date", "--split", "50,25,25")
    assert members(out) == {
        f"p{number}": "train" if number < 10 else "val" if number < 15 else "test" for number in range(20)
    }
    assert "the latest are the test" in (out / "card.md").read_text()


def test_a_patient_counts_by_the_last_study() -> None:
    visits = [Visit(f"s{n}", f"p{n}", frozenset({f"20{n:02}"})) for n in range(10)]
    back = Visit("late", "p0", frozenset({"2030"}))
    for order in ([*visits, back], [back, *visits]):
        assert splits(order, "date", (80, 10, 10), 0, None)["p0"] == "test"


def test_shifted_dates_can_not_split(pack: Pack, studies: list[list[Record]]) -> None:
    untold = [[replace(r, study_year=None) if isinstance(r, Slice) else r for r in study] for study in studies]
    pack(untold, "--split-by", "date", code=1, line="not comparable between patients")
    mixed = [Visit("a", "p", frozenset({"2020"})), Visit("b", "q", frozenset({"2020-01-01"}))]
    with pytest.raises(RrgError, match="others a year"):
        splits(mixed, "date", (80, 10, 10), 0, None)


def test_sites_stay_whole(pack: Pack, studies: list[list[Record]]) -> None:
    found = members(pack(studies, "--split-by", "site", "--split", "50,25,25", "--seed", "3"))
    of_site = [{found[f"p{number}"] for number in range(20) if number % 4 == site} for site in range(4)]
    assert all(len(where) == 1 for where in of_site)
    assert len(set().union(*of_site)) > 1, "a control: not all sites are in one split"


def test_sites_that_share_a_patient_stay_together() -> None:
    visits = [Visit(f"s{n}", f"p{n}", sites=frozenset({f"site{n}"})) for n in range(30)]
    apart = splits(visits, "site", (50, 25, 25), 0, None)
    one, other = next((a, b) for a in range(30) for b in range(30) if apart[f"p{a}"] != apart[f"p{b}"])
    bridge = Visit("bridge", "guest", sites=frozenset({f"site{one}", f"site{other}"}))
    together = splits([*visits, bridge], "site", (50, 25, 25), 0, None)
    assert together[f"p{one}"] == together[f"p{other}"] == together["guest"]


def test_a_study_without_site_is_refused(pack: Pack, studies: list[list[Record]]) -> None:
    untold = [[replace(r, site=None) if isinstance(r, Slice) else r for r in study] for study in studies]
    pack(untold, "--split-by", "site", code=1, line="20 of 20 studies name no institution")


def test_a_file_says_who_is_where(pack: Pack, studies: list[list[Record]], tmp_path: Path) -> None:
    told = {f"p{number}": SPLITS[number % 3] for number in range(20)}
    table = tmp_path / "split.csv"
    table.write_text("patient,split\n" + "".join(f"{patient},{split}\n" for patient, split in told.items()))
    assert members(pack(studies, "--split-by", table)) == told
    lines = tmp_path / "split.jsonl"
    lines.write_text("".join(json.dumps({"study": f"study{n}", "split": told[f"p{n}"]}) + "\n" for n in range(20)))
    assert members(pack(studies, "--split-by", lines)) == told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("patient,split\np0,train\n", "does not name 19 of 20 patients"),
        ("patient,split\np0,dev\n", "row 1 needs patient or study, and split"),
        ("patient,split\np0,train\np0,test\n", "row 2 gives a patient another split"),
        ("name,split\nx,train\n", "row 1 needs patient or study"),
        ("study,split\nstudy0,train\n", "does not name 19 of 20"),
    ],
)
def test_bad_split_files(pack: Pack, studies: list[list[Record]], tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "split.csv").write_text(text)
    pack(studies, "--split-by", tmp_path / "split.csv", code=1, line=line)


def test_a_patient_with_studies_in_two_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("study,split\na,train\nb,test\n")
    visits = [Visit("a", "p"), Visit("b", "p")]
    with pytest.raises(RrgError, match="test and train"):
        splits(visits, str(tmp_path / "split.csv"), (80, 10, 10), 0, None)


def test_a_word_that_is_no_rule(pack: Pack, studies: list[list[Record]]) -> None:
    pack(studies, "--split-by", "random", code=2, line="--split-by hash, date, site or given")


def test_originals_need_the_key_and_are_never_told(rrg: Rrg, tmp_path: Path) -> None:
    """The files of a hospital hold its own ids; messages and results hold pseudonyms only."""
    rng = np.random.default_rng(7)
    originals = [f"MRN-{number}" for number in range(6)]
    records = [
        record
        for number, original in enumerate(originals)
        for record in a_study(f"study{number}", rng, n=2, patient=pseudonym(KEY, "patient", original))
    ]
    write_arrays(tmp_path / "store", records)
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "key").chmod(0o600)
    table = tmp_path / "split.csv"
    table.write_text("patient,split\n" + "".join(f"{each},test\n" for each in originals))
    common = ("pack", "--store", tmp_path / "store", "--split-by", table)
    refused = rrg(*common, "--out", tmp_path / "a", stdin=stream(records), code=1)
    assert b"original ids need --key-file" in refused.stderr
    assert b"MRN" not in refused.stderr
    rrg(*common, "--out", tmp_path / "b", "--key-file", tmp_path / "key", stdin=stream(records))
    assert set(members(tmp_path / "b").values()) == {"test"}
    assert not any(b"MRN" in path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file())


def test_merged_ids_are_one_patient(pack: Pack, studies: list[list[Record]], tmp_path: Path) -> None:
    alone = members(pack(studies, "--split", "40,30,30"))
    a = next(each for each in alone if alone[each] == "train")
    b = next(each for each in alone if alone[each] == "test")
    file = tmp_path / "same.csv"
    file.write_text(f"{a},{b}\nnobody,else\n")
    out = pack(studies, "--split", "40,30,30", "--merge-ids", file)
    merged = members(out)
    assert len(merged) == 19
    assert {a, b} & set(merged) == {min(a, b)}
    assert {k: v for k, v in alone.items() if k not in (a, b)} == {
        k: v for k, v in merged.items() if k not in (a, b)
    }, "nobody else moves"
    funnel = manifest_of(out)["funnel"]
    told = [funnel[f"merged.{name}"] for name in ("ids", "persons", "unknown_ids")]  # type: ignore[index]
    assert told == [2, 1, 2]
    file.write_text(f"{a}\n")
    pack(studies, "--merge-ids", file, code=1, line="line 1 has 1 ids")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("null", "line 2 is no JSON list"),
        ("[" * 100_000, "line 2 is no JSON list"),
        ("[" * 100_000 + "]" * 100_000, "line 2 is no JSON list"),
        ('[["p1", "p2"], "p3"]', "line 2 holds what is no text and no whole number"),
        ('["p1", null]', "line 2 holds what is no text"),
        ('["p1", ""]', "line 2 holds what is no text"),
        ('["p1", true, 1.5]', "line 2 holds what is no text"),
        ('["p1"]', "line 2 has 1 ids"),
        ("[]", "line 2 has 0 ids"),
        ('{"patient": "p1"}', "line 2 is no JSON list"),
    ],
)
def test_lists_of_ids_are_flat_lists_of_ids(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "same.jsonl"
    file.write_text(f'["a", "b"]\n{line}\n')
    with pytest.raises(RrgError, match=says) as caught:
        merges(file, b"k" * 32)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_numbers_are_ids_as_texts_are(tmp_path: Path) -> None:
    numbers, texts = tmp_path / "numbers.jsonl", tmp_path / "texts.csv"
    numbers.write_text("[17, 4711]\n\n[4711, 5]\n")
    texts.write_text("17, 4711\n4711,5 ,\n")
    assert merges(numbers, None) == merges(texts, None) == {"17": "17", "4711": "17", "5": "17"}
    assert merges(numbers, b"k" * 32) == merges(texts, b"k" * 32)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"patient": ["p1"], "split": "test"}', "row 2: the patient is no text"),
        ('{"patient": {"id": "p1"}, "split": "test"}', "row 2: the patient is no text"),
        ('{"study": 1.5, "split": "test"}', "row 2: the study is no text"),
        ('{"patient": "p1", "split": ["test"]}', "row 2 needs patient or study, and split"),
        ("[" * 100_000, "line 2 is no JSON object"),
        ('{"a":' * 100_000, "line 2 is no JSON object"),
    ],
)
def test_rows_of_a_split_file_are_flat(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "split.jsonl"
    file.write_text(f'{{"patient": "p0", "split": "train"}}\n{line}\n')
    with pytest.raises(RrgError, match=says) as caught:
        splits([Visit("s", "p0")], str(file), (80, 10, 10), 0, None)
    assert "\n" not in str(caught.value)


@given(ids, st.tuples(*[st.integers(0, 50)] * 2), st.integers(0, 50))
def test_a_larger_training_part_holds_the_smaller(patient: str, small: tuple[int, int], more: int) -> None:
    train, test = small
    smaller, larger = (train, 100 - train - test, test), (train + more, 100 - train - more - test, test)
    if larger[1] >= 0:
        one, other = split_of(patient, smaller), split_of(patient, larger)
        assert other == one or (one, other) == ("val", "train")


@given(st.lists(st.lists(ids, min_size=2, max_size=4), max_size=12))
def test_joined_is_an_equivalence(groups: list[list[str]]) -> None:
    tops = joined(groups)
    assert all(tops[top] == top for top in tops.values())
    assert all(len({tops[each] for each in group}) == 1 for group in groups)
    assert joined(reversed(groups)) == tops
    assert all(top <= each for each, top in tops.items())


@given(ids)
def test_a_hash_does_not_depend_on_others(patient: str) -> None:
    visits = [Visit("s", patient), Visit("t", "other")]
    assert splits(visits, "hash", (80, 10, 10), 0, None)[patient] == split_of(patient, (80, 10, 10))


def test_what_was_paired_without_a_citation_is_learnt_from_only(pack: Pack, studies: list[list[Record]]) -> None:
    marked = [
        [replace(r, facets={**r.facets, "pairing": "inferred"}) if _grounded(r) else r for r in study]
        for study in studies
    ]
    assert sum(_grounded(r) for study in studies for r in study) > 5
    out = pack(marked, "--split", "40,30,30")
    inferred = {
        split: [r for r in read(out / f"{split}.jsonl") if isinstance(r, Sample) and "pairing" in r.facets]
        for split in SPLITS
    }
    assert inferred["train"]
    assert not inferred["val"]
    assert not inferred["test"]
    assert manifest_of(out)["funnel"]["dropped.inferred"] > 0  # type: ignore[index]
    assert any(_grounded(r) for r in read(pack(studies, "--split", "40,30,30") / "test.jsonl")), "a control"


def _grounded(record: Record) -> bool:
    return isinstance(record, Sample) and record.task == "grounded-report"


def test_one_image_under_two_patients_is_told_and_its_questions_are_asked_once(
    pack: Pack, studies: list[list[Record]], tmp_path: Path
) -> None:
    """A study that was imported twice under another Patient ID."""
    first = {r.index: r.sha256 for r in studies[0] if isinstance(r, Slice)}
    twin = [replace(r, sha256=first[r.index]) if isinstance(r, Slice) else r for r in studies[1]]
    copy = [
        replace(
            r,
            id=f"copy-{r.id}",
            patient="p1", study="study1",
            images=tuple(
                replace(i, ref=i.ref.replace("study0s", "study1s"), slice=(i.slice or "").replace("study0s", "study1s"))
                for i in r.images
            ),
        )
        for r in studies[0]
        if isinstance(r, Sample)
    ]  # fmt: skip
    twin = [r for r in twin if not isinstance(r, Sample)] + copy
    alone, both = pack([studies[0]], "--no-balance"), pack([studies[0], twin], "--no-balance")
    counts = [sum(c.get("sample", 0) for c in manifest_of(out)["counts"].values()) for out in (alone, both)]  # type: ignore[attr-defined]
    assert counts[0] == counts[1] > 0
    assert manifest_of(both)["funnel"]["dropped.copy"] == len(copy)  # type: ignore[index]
    (tmp_path / "apart.csv").write_text("patient,split\np0,train\np1,test\n")
    spread = pack([studies[0], twin], "--split-by", tmp_path / "apart.csv", line="the same pixels under two patients")
    images = manifest_of(spread)["leaks"]["images"]  # type: ignore[index]
    assert {(row["a"], row["b"]): row["both"] for row in images} == {
        ("train", "val"): 0, ("train", "test"): 2, ("val", "test"): 0,
    }  # fmt: skip
