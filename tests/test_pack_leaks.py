"""pack: what splits share, --drop-leaks; copies and near-copies; merged ids; killed at the worst moments; the card."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrg.balance import Asked, Balance
from rrg.errors import RrgError
from rrg.keys import pseudonym
from rrg.pack import _shared_patients
from rrg.pack_leaks import Repeats, Texts, Things, plain, text_of
from rrg.pack_split import SPLITS
from rrg.pack_write import Written
from rrg.records import End, Record, Run, Sample, Slice
from tests.conftest import Rrg
from tests.synth_cases import a_report, a_study, read, stream, write_arrays
from tests.test_pack import manifest_of, samples, tree
from tests.test_pack_near import similarity
from tests.test_pack_split import members

KEY = bytes(range(32))
PATIENTS = 16
OWN = (
    "Verkalkte Gallenblase und <a liver>Leber</a> mit Steatose",
    "Deutlich vergrößerte <a spleen>Milz</a> bei bekannter Leukämie",
    "Zustand nach Stentimplantation in die <a aorta>Aorta</a>",
    "Perikarderguss um das <a heart>Herz</a>, hämodynamisch nicht bedeutsam",
)
Pack = Callable[..., Path]


def study_of(number: int, sentence: str, patient: str | None = None) -> list[Record]:
    patient, study = patient or f"p{number:02}", f"study{number:02}"
    records = a_study(study, np.random.default_rng(number), n=3, patient=patient)
    report = a_report(
        f"{sentence} <r k>(Serie 3, Bild 2)</r>.", study=study, patient=patient, slices={"k": [f"{study}s1i1"]}
    )
    return [*records, report, *samples([*records, report], study)]


def in_order(number: int) -> str:
    return SPLITS[0 if number < 8 else 1 + number % 2]


@pytest.fixture
def pack(rrg: Rrg, tmp_path: Path) -> Pack:
    """Packs studies; patient n goes to train below 8, else to val and test in turn."""
    table = tmp_path / "split.csv"
    table.write_text("patient,split\n" + "".join(f"p{n:02},{in_order(n)}\n" for n in range(PATIENTS)))

    def run(studies: Iterable[Sequence[Record]], *options: object, line: str = "") -> Path:
        records = [record for study in studies for record in study]
        out = tmp_path / f"dataset{len(list(tmp_path.iterdir()))}"
        write_arrays(tmp_path / "store", records)
        common = ("--store", tmp_path / "store", "--split-by", table, "--out", out)
        done = rrg("pack", *common, *options, stdin=stream(records))
        assert line in done.stderr.decode()
        return out

    return run


def packed_samples(out: Path) -> dict[str, list[Sample]]:
    return {split: [r for r in read(out / f"{split}.jsonl") if isinstance(r, Sample)] for split in SPLITS}


def leaks_of(out: Path, kind: str) -> dict[tuple[str, str], tuple[int, int, int]]:
    rows = manifest_of(out)["leaks"][kind]  # type: ignore[index]
    return {(row["a"], row["b"]): (row["both"], row["part"], row["of"]) for row in rows}


# Texts


def test_sentences_that_differ_in_numbers_are_near_duplicates(pack: Pack) -> None:
    studies = [study_of(n, f"<a liver>Leber</a> mit Herd von {n + 11} mm") for n in range(PATIENTS)]
    out = pack(studies)
    assert {row[0] for row in leaks_of(out, "texts").values()} == {0}
    alike = leaks_of(out, "texts_alike")
    texts = {
        split: Counter(text for s in found if (text := text_of(s))) for split, found in packed_samples(out).items()
    }
    for (_, b), (both, part, of) in alike.items():
        assert (both, part, of) == (len(texts[b]), texts[b].total(), texts[b].total())
    assert alike["train", "test"][0] == 4
    clean = packed_samples(pack(studies, "--drop-leaks"))
    assert all(clean.values()), "questions stay"
    assert [split for split in SPLITS if any(text_of(each) for each in clean[split])] == ["train"]


def test_sentences_of_other_words_are_no_leak(pack: Pack) -> None:
    """A control: one kind of sentence in each split."""
    of_split = {"train": OWN[0], "val": OWN[1], "test": OWN[2]}
    out = pack(study_of(n, of_split[in_order(n)]) for n in range(PATIENTS))
    for kind in ("texts", "texts_alike"):
        assert {row[:2] for row in leaks_of(out, kind).values()} == {(0, 0)}
        assert all(row[2] for row in leaks_of(out, kind).values())
    assert manifest_of(out)["leaks"]["samples"] == {"train": 0, "val": 0, "test": 0}  # type: ignore[index]


def test_leaks_are_left_out_of_val_and_test(pack: Pack) -> None:
    """Told by another measure: the exact similarity of each text to all texts of the splits before."""
    studies = [
        study_of(n, OWN[n % 4] if n < 12 else f"Patient {n} ohne Befund der <a liver>Leber</a>") for n in range(10)
    ]
    studies += [
        study_of(n, sentence) for n, sentence in zip(range(10, 12), (OWN[2].upper(), "Neue Metastase"), strict=True)
    ]
    whole = pack(studies, "--no-balance", line="--drop-leaks leaves them out")
    clean = pack(studies, "--no-balance", "--drop-leaks")

    def leaked(out: Path) -> dict[str, set[str]]:
        texts = {s: {plain(t) for each in found if (t := text_of(each))} for s, found in packed_samples(out).items()}
        before: set[str] = set()
        found = {}
        for split in SPLITS:
            found[split] = {text for text in texts[split] if any(similarity(text, other) > 0.9 for other in before)}
            before |= texts[split]
        return found

    assert leaked(whole)["val"] or leaked(whole)["test"]
    assert leaked(clean) == {"train": set(), "val": set(), "test": set()}
    told = manifest_of(whole)["leaks"]["samples"]  # type: ignore[index]
    kept = {split: len(found) for split, found in packed_samples(clean).items()}
    assert {split: len(found) - told[split] for split, found in packed_samples(whole).items()} == kept
    assert manifest_of(clean)["funnel"]["dropped.leak"] == told["val"] + told["test"] > 0  # type: ignore[index]
    assert manifest_of(clean)["leaks"]["samples"] == {"train": 0, "val": 0, "test": 0}  # type: ignore[index]
    assert packed_samples(whole)["train"] == packed_samples(clean)["train"]


def test_images_of_train_are_left_out_of_test(pack: Pack) -> None:
    """A study that came in twice under another Patient ID; its questions differ."""
    first, twin = study_of(0, OWN[0]), study_of(9, OWN[1])
    same = {r.index: r.sha256 for r in first if isinstance(r, Slice)}
    twin = [replace(r, sha256=same[r.index]) if isinstance(r, Slice) and r.index > 0 else r for r in twin]
    studies = [first, twin, study_of(11, OWN[2])]
    split = in_order(9)
    whole = pack(studies, "--no-balance", line="the same pixels under two patients")
    clean = pack(studies, "--no-balance", "--drop-leaks")
    seen = {
        split: {s.images[0].slice for s in found if s.study == "study09"}
        for split, found in packed_samples(whole).items()
    }
    assert seen[split] == {"study09s1i0", "study09s1i1", "study09s1i2"}
    left = {s.images[0].slice for s in packed_samples(clean)[split] if s.study == "study09"}
    assert left == {"study09s1i0"}
    assert leaks_of(whole, "images")["train", split][0] == 2


def test_the_balance_is_made_of_what_leaks_leave(pack: Pack) -> None:
    studies = [study_of(n, OWN[n % 4]) for n in range(PATIENTS)]
    same = {r.index: r.sha256 for r in studies[0] if isinstance(r, Slice)}
    studies[9] = [replace(r, sha256=same[r.index]) if isinstance(r, Slice) else r for r in studies[9]]
    out = pack(studies, "--drop-leaks")
    answers = Counter(
        (split, s.lang, s.facets["question"], s.facets.get("label"), s.answer in ("yes", "ja"))
        for split, found in packed_samples(out).items()
        for s in found
        if s.question_type == "closed"
    )
    assert answers
    for key, n in answers.items():
        assert n / (n + answers[*key[:-1], not key[-1]]) <= 0.52


def test_a_patient_in_two_splits_is_a_failure() -> None:
    """No rule can lead there; a data set that is so must not be, whatever the reason."""
    written = Written(0.8)
    written.patients["train"] |= {"a", "b"}
    written.patients["test"] |= {"c"}
    assert _shared_patients(written) == 0
    written.patients["test"] |= {"b"}
    with pytest.raises(RrgError, match="1 patients are in two splits"):
        _shared_patients(written)


def test_things_and_texts_by_hand() -> None:
    things, repeats, texts = Things(), Repeats(), Texts()
    for study, thing in enumerate((1, 2, 2, 3, 3, 3, 4)):
        things.add(thing, study)
        repeats.add(thing)
        texts.add(f"{OWN[thing - 1]}", study)
    splits = ("train", "train", "val", "val", "test", "test", "test")
    assert [tuple(each) for each in things.shared(splits)] == [
        ("train", "val", 1, 1, 2), ("train", "test", 0, 0, 3), ("val", "test", 1, 2, 3),
    ]  # fmt: skip
    known = {split: found.tolist() for split, found in things.known_before(splits).items()}
    assert known == {"train": [], "val": [2], "test": [3]}
    assert repeats.repeated().tolist() == [2, 3]
    compared = texts.compared(splits)
    assert compared.same == compared.alike == things.shared(splits)
    assert [len(compared.known_before[split]) for split in SPLITS] == [0, 1, 1]


# Copies


def reworded(sample: Sample, change: Callable[[str], str], name: str) -> Sample:
    """The sample with other words in its turns and answer, under another id."""
    turns = tuple(
        replace(turn, content=tuple(p if p.text is None else replace(p, text=change(p.text)) for p in turn.content))
        for turn in sample.turns
    )
    return replace(sample, id=f"{name}-{sample.id}", turns=turns)


def test_near_copies_are_packed_once(pack: Pack) -> None:
    study = study_of(0, OWN[0])
    asked = [r for r in study if isinstance(r, Sample) and r.task == "vqa"]
    choices = [r for r in asked if r.question_type == "single"]
    assert choices
    assert len(asked) > len(choices)
    closed = [r for r in asked if r.question_type == "closed"]
    louder = [
        reworded(r, lambda text: text.replace("?", " ?").replace("Is ", "IS ").replace("Ist ", "ist "), "x")
        for r in closed
    ]
    assert all(a.turns != b.turns for a, b in zip(closed, louder, strict=True))
    turned = []
    for each in choices:
        lines = "\n".join(each.choices), "\n".join(reversed(each.choices))
        turned.append(
            replace(reworded(each, lambda text, lines=lines: text.replace(*lines), "y"), choices=each.choices[::-1])
        )  # type: ignore[misc]
    twice = [replace(r, id=f"z-{r.id}", weight=2.0) for r in closed[:3]]
    other = [reworded(r, lambda text: text.replace("?", " 5?"), "w") for r in closed]
    records = [*study, *louder, *turned, *twice, *other]
    out = pack([records], "--no-balance")
    funnel = manifest_of(out)["funnel"]
    assert funnel["dropped.near_copy"] == len(louder) + len(turned)  # type: ignore[index]
    assert funnel["dropped.copy"] == len(twice)  # type: ignore[index]
    kept = packed_samples(out)["train"]
    before = [r for r in study if isinstance(r, Sample)]
    assert len(kept) == len(before) + len(other), "another number is another question"
    every = pack([records], "--no-balance", "--keep-copies")
    assert len(packed_samples(every)["train"]) == sum(isinstance(r, Sample) for r in records)


def test_questions_without_an_image_are_no_copies(pack: Pack) -> None:
    """Two texts of two persons may say the same."""
    bare = [
        [
            replace(r, images=(), turns=tuple(replace(t, content=t.content[-1:]) for t in r.turns), mentions=())
            if isinstance(r, Sample)
            else r
            for r in study_of(number, OWN[0])
            if not isinstance(r, Sample) or r.task == "report"
        ]
        for number in range(3)
    ]
    assert len(packed_samples(pack(bare, "--no-balance"))["train"]) == sum(
        isinstance(r, Sample) for study in bare for r in study
    )


def test_which_copy_stays_does_not_depend_on_the_order(rrg: Rrg, pack: Pack, tmp_path: Path) -> None:
    studies = [study_of(n, OWN[n % 2]) for n in (0, 1, 8, 9)]
    same = {r.index: r.sha256 for r in studies[0] if isinstance(r, Slice)}
    studies[3] = [replace(r, sha256=same[r.index]) if isinstance(r, Slice) else r for r in studies[3]]
    studies[0] += [replace(r, id=f"z-{r.id}", weight=2.0) for r in studies[0] if isinstance(r, Sample)]
    out = pack(studies, "--drop-leaks", "--drop-blind", "0.9")
    backwards = pack([study[::-1] for study in reversed(studies)], "--drop-leaks", "--drop-blind", "0.9")
    assert tree(out) == tree(backwards)
    halves = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    halves[0].write_bytes(stream([r for study in studies for r in study if not isinstance(r, Sample)]))
    halves[1].write_bytes(stream([r for study in studies[::-1] for r in study if isinstance(r, Sample)]))
    common = (
        "pack",
        "--store",
        tmp_path / "store",
        "--split-by",
        tmp_path / "split.csv",
        "--drop-leaks",
        "--drop-blind",
        "0.9",
    )
    for number, files in enumerate((halves, halves[::-1])):
        rrg(*common, *files, "--out", tmp_path / f"merged{number}")
        assert tree(tmp_path / f"merged{number}") == tree(out)


def test_shards_make_what_one_run_makes(rrg: Rrg, pack: Pack, tmp_path: Path) -> None:
    """Each shard ends with its own counts; together they are those of the whole, in whatever order the files come."""
    studies = [study_of(n, OWN[n % 4]) for n in range(9)]
    inputs = stream([r for study in studies for r in study if not isinstance(r, Sample)])
    write_arrays(tmp_path / "store", [r for study in studies for r in study])

    def asked(*options: object) -> bytes:
        return rrg("synth-ground", *options, stdin=rrg("synth-vqa", *options, stdin=inputs).stdout).stdout

    (tmp_path / "whole.jsonl").write_bytes(asked())
    shards = [tmp_path / f"{number}.jsonl" for number in (1, 2, 3)]
    for number, shard in enumerate(shards, 1):
        shard.write_bytes(asked("--shard", f"{number}/3"))
    orders = [[tmp_path / "whole.jsonl"], shards, shards[::-1], [shards[1], shards[2], shards[0]]]
    trees = []
    for number, files in enumerate(orders):
        out = tmp_path / f"out{number}"
        rrg("pack", *files, "--store", tmp_path / "store", "--split", "1,1,1", "--out", out)
        trees.append(tree(out))
    assert trees[0] == trees[1] == trees[2] == trees[3]


def test_places_of_the_right_choice_are_even() -> None:
    balance = Balance()
    places = np.repeat(np.arange(4, dtype=np.int32), (400, 90, 100, 110))
    orders = np.random.default_rng(0).permutation(len(places)).astype(np.uint64)
    balance.add("train", places, orders)
    balance.settle({Asked("en", "4 choices", ""): (0, 4)})
    kept = np.bincount(places[balance.keeps("train", places, orders)])
    assert kept.max() / kept.sum() <= 0.27
    assert kept[1:3].tolist() == [90, 100], "what is rare stays"


# Persons


def test_merges_are_transitive_and_take_original_ids(rrg: Rrg, tmp_path: Path) -> None:
    """Lines a,b and b,c; the ids of the hospital are hashed with the key, and told nowhere."""
    originals = [f"MRN-{number}" for number in range(9)]
    hashed = [pseudonym(KEY, "patient", each) for each in originals]
    records = [record for n, each in enumerate(hashed) for record in study_of(n, OWN[n % 4], patient=each)]
    write_arrays(tmp_path / "store", records)
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "key").chmod(0o600)
    files = {
        "a.csv": "MRN-0,MRN-1\nMRN-5,MRN-77\nMRN-1,MRN-2\n",
        "b.jsonl": '["MRN-2", "MRN-1", "MRN-0"]\n["MRN-77","MRN-5"]\n',
    }
    files["c.csv"] = f"{hashed[0]},{hashed[1]}\n{hashed[2]},{hashed[1]}\nMRN-77,{hashed[5]}\n"
    found = []
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        out = tmp_path / f"out-{name}"
        common = ("pack", "--store", tmp_path / "store", "--merge-ids", tmp_path / name, "--key-file", tmp_path / "key")
        done = rrg(*common, "--out", out, stdin=stream(records))
        assert b"1 ids of --merge-ids belong to no patient here, 4 do" in done.stderr
        assert b"MRN" not in done.stderr
        assert not any(b"MRN" in path.read_bytes() for path in out.rglob("*") if path.is_file())
        who = {s.study: s.patient for split in packed_samples(out).values() for s in split}
        assert {who[f"study0{n}"] for n in (0, 1, 2)} == {min(hashed[:3])}
        assert len(set(who.values())) == 7
        found.append(members(out))
    assert found[0] == found[1] == found[2]


def test_unknown_ids_change_nothing(rrg: Rrg, tmp_path: Path) -> None:
    """Originals without the key: nobody is merged, and a line says so."""
    records = [record for n in range(3) for record in study_of(n, OWN[n])]
    write_arrays(tmp_path / "store", records)
    (tmp_path / "same.csv").write_text("MRN-0,MRN-1\n")
    out = tmp_path / "d"
    done = rrg(
        "pack", "--store", tmp_path / "store", "--merge-ids", tmp_path / "same.csv", "--out", out, stdin=stream(records)
    )
    assert b"2 ids of --merge-ids belong to no patient here, 0 do; original ids need --key-file" in done.stderr
    assert len(members(out)) == 3


# Whole or absent

KILL = """
import os, signal, sys
import rrg.pack as pack
setattr(pack, sys.argv.pop(1), lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
from rrg.cli import main
main()
"""


@pytest.mark.parametrize("at", ["Arrays", "splits", "weigh", "write_splits", "card", "sha256_file", "publish"])
def test_killed_at_any_step_it_leaves_no_data_set(rrg: Rrg, tmp_path: Path, at: str) -> None:
    records = [record for n in range(3) for record in study_of(n, OWN[n])]
    write_arrays(tmp_path / "store", records)
    command = ("pack", "--store", tmp_path / "store", "--split", "1,1,1", "--out", tmp_path / "d")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    killed = subprocess.run(
        [sys.executable, "-c", KILL, at, *map(str, command)],
        input=stream(records),
        capture_output=True,
        env=environment,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "d").exists()
    assert (tmp_path / ".d.partial" / "manifest.json").exists() == (at == "publish"), "the manifest is written last"
    rrg(*command, "--resume", stdin=stream(records))
    rrg(*command[:-1], tmp_path / "whole", stdin=stream(records))
    assert tree(tmp_path / "d") == tree(tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"d", "whole", "store"}


# The card


def test_the_card_tells_where_it_comes_from(pack: Pack) -> None:
    parsing = Run(
        id="parse", command="parse-reports", version="9.9", options={"phi": "mask"},
        inputs={"lexicon": "rrg-lexicon/1:abc", "key": "fingerprint-of-the-key"},
    )  # fmt: skip
    studies = [study_of(n, OWN[n % 4]) for n in range(PATIENTS)]
    out = pack(
        [[parsing], *studies, [end_of(parsing)]], "--licence", "CC BY 4.0", "--attribution", "A study, doi 10.1/2"
    )
    card = (out / "card.md").read_text()
    for words in (
        "Pseudonymised, still personal data", "masked by rules, which miss some", "Licence: CC BY 4.0.",
        "whom to cite: A study, doi 10.1/2.", "## Files", "Patients in two splits: 0", "## Limits",
        "| parse-reports | 9.9 | parse |  | phi mask | lexicon rrg-lexicon/1:abc |", "| pack | ",
        "Split by a file that was given", "### Samples by structure shown", "### Samples by task and language",
    ):  # fmt: skip
        assert words in card
    assert "fingerprint" not in card
    ids = {getattr(r, name) for study in studies for r in study for name in ("patient", "study") if hasattr(r, name)}
    assert not [each for each in ids if each in card], "no ids"
    assert not [text for each in packed_samples(out)["train"] if (text := text_of(each)) and text in card], "no text"
    yes = Counter(s.answer in ("ja", "yes") for s in packed_samples(out)["train"] if s.question_type == "closed")
    assert f"| {yes[True] / yes.total():.1%} |" in card
    questions = [s for s in packed_samples(out)["train"] if s.blind is not None]
    solvable = sum(s.blind >= 0.8 for s in questions if s.blind is not None)
    assert f"train {solvable} of {len(questions)}" in card
    plain_card = (pack(studies) / "card.md").read_text()
    assert "Licence: none was stated. Source, and whom to cite: not stated." in plain_card
    assert "The masks were not judged by quality gates." in plain_card
    assert "is not known" in plain_card


def end_of(run: Run) -> Record:
    return End(run=run.id, counts={})
