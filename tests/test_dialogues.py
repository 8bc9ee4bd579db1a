"""Conversations: the corrected text is the original, everything said follows from reports and masks, same bytes."""

import json
from collections import Counter
from pathlib import Path

import pytest

from rrg.records import Lang, Report, Sample, Slice
from rrg.reports.parse import parse
from rrg.synth import dialogue_templates
from rrg.synth.dialogue import TASKS
from rrg.synth.dialogue_correction import RARE
from rrg.synth.dialogue_errors import KINDS
from rrg.synth.dialogue_plain import LAY
from rrg.synth.report_facts import NAMES
from tests.conftest import Rrg
from tests.synth_cases import read

ARGUMENTS = ("--findings", "0", "--metadata", "0", "--dialogues", "all")


@pytest.fixture(scope="module")
def upstream(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom studies up to `segment`."""
    folder = tmp_path_factory.mktemp("dialogues")
    rrg("phantom", "--out", folder / "ph", "--studies", "5", "--slices", "10", "--size", "64", "--seed", "3")
    slices = rrg("extract-slices", folder / "ph/dicom", "--store", folder / "store").stdout
    reports = rrg("parse-reports", "--reports", folder / "ph/reports", stdin=slices).stdout
    masks = ("--engine", "masks", "--masks", folder / "ph/masks", "--labels", folder / "ph/labels.json")
    done = rrg("segment", *masks, "--store", folder / "store", stdin=reports)
    (folder / "in.jsonl").write_bytes(done.stdout)
    return folder / "in.jsonl"


@pytest.fixture(scope="module")
def first(rrg: Rrg, upstream: Path) -> bytes:
    return rrg("synth-vqa", upstream, *ARGUMENTS).stdout


@pytest.fixture(scope="module")
def samples(first: bytes) -> list[Sample]:
    return [each for each in read(first) if isinstance(each, Sample)]


@pytest.fixture(scope="module")
def reports(first: bytes) -> dict[str, Report]:
    return {each.id: each for each in read(first) if isinstance(each, Report)}


def said(sample: Sample) -> list[str]:
    return [" ".join(part.text or "" for part in turn.content if part.type == "text") for turn in sample.turns]


def without_references(report: Report) -> str:
    text = report.text
    for ref in sorted(report.references, key=lambda each: each.span, reverse=True):
        text = text[: ref.span[0]] + text[ref.span[1] :]
    return "".join(char for char in text if char.isalnum())


def letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


def test_every_task_in_both_languages(samples: list[Sample]) -> None:
    made = Counter((each.task, each.lang) for each in samples)
    assert {task for task, _ in made} >= set(TASKS) - {"summary"}
    assert all(made[task, "de"] and made[task, "en"] for task, _ in made)


def test_turns_alternate_and_the_last_answer_is_learnt(samples: list[Sample]) -> None:
    for each in samples:
        assert [turn.role for turn in each.turns] == ["user", "assistant"] * (len(each.turns) // 2)
        assert each.turns[-1].loss
        assert not any(turn.loss for turn in each.turns if turn.role == "user")
        assert said(each)[-1] == each.answer
        pictures = [part for turn in each.turns for part in turn.content if part.type == "image"]
        assert len(pictures) == 1


@pytest.fixture(scope="module")
def cohort(rrg: Rrg, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The corrections of 24 phantom studies."""
    folder = tmp_path_factory.mktemp("cohort")
    rrg("phantom", "--out", folder / "ph", "--studies", 24, "--slices", 12, "--size", 48, "--workers", 2)
    slices = rrg("extract-slices", folder / "ph/dicom", "--store", folder / "store").stdout
    reports = rrg("parse-reports", "--reports", folder / "ph/reports", stdin=slices).stdout
    masks = ("--engine", "masks", "--masks", folder / "ph/masks", "--labels", folder / "ph/labels.json")
    joined = rrg("segment", *masks, "--store", folder / "store", stdin=reports).stdout
    arguments = ("--findings", "0", "--metadata", "0", "--dialogues", "correction")
    return rrg("synth-vqa", *arguments, "--dialogues-per-study", "99", stdin=joined).stdout


def test_what_is_corrected_is_the_report_and_one_fact_was_wrong(cohort: bytes) -> None:
    records = read(cohort)
    reports = {each.id: each for each in records if isinstance(each, Report)}
    kinds: Counter[str] = Counter()
    for each in (each for each in records if isinstance(each, Sample)):
        _, wrong, _, right = said(each)
        assert not each.turns[1].loss
        report = next(reports[key] for key in each.from_ if key in reports)
        assert all(letters(part) in without_references(report) for part in right.split(". ")), right
        before, after = (Counter(facts(text, each.lang)) for text in (right, wrong))
        changed = (before - after).total(), (after - before).total()
        kind = each.facets["error"]
        assert changed == {"add": (0, 1), "remove": (1, 0)}.get(kind, (1, 1)), (kind, right, wrong)
        kinds[kind] += 1
    assert set(kinds) == set(KINDS)
    rare = sum(kinds[kind] for kind in RARE) / len(RARE)
    for kind in set(KINDS) - set(RARE):  # which the reports would allow nearly everywhere
        assert 0.5 * rare <= kinds[kind] <= 1.6 * rare, kinds
    assert max(kinds.values()) <= 0.45 * kinds.total(), kinds


def facts(text: str, lang: Lang) -> list[str]:
    read_ = parse(text, lang)
    return [
        repr(
            (
                each.name,
                each.state,
                each.side,
                sorted({name for at in each.anatomy for name in read_.anatomy[at].classes}),
                [size.value_mm for size in each.measurements],
            )
        )
        for each in read_.findings
    ]


def test_reports_and_regions_are_words_of_the_report(samples: list[Sample], reports: dict[str, Report]) -> None:
    for each in (each for each in samples if each.task in ("report", "region", "impression")):
        report = next(reports[key] for key in each.from_ if key in reports)
        assert each.answer is not None
        assert all(letters(part) in without_references(report) for part in each.answer.split(". ")), each.answer


def test_every_question_of_findings_has_a_partner_with_the_other_answer(samples: list[Sample]) -> None:
    for each in (each for each in samples if each.task == "is-there"):
        answers = [text for turn, text in zip(each.turns, said(each), strict=True) if turn.loss]
        assert sorted(answers) == {"de": ["ja", "nein"], "en": ["no", "yes"]}[each.lang]


def test_listed_findings_are_those_of_the_record(samples: list[Sample]) -> None:
    for each in (each for each in samples if each.task == "findings-list"):
        assert each.answer is not None
        listed = [] if each.answer == dialogue_templates.NOTHING[each.lang] else each.answer.split("\n")
        known = [one for found in each.findings.values() for one in (found if isinstance(found, list) else [found])]
        assert len(listed) == sum(one["state"] == "present" for one in known)


def test_the_cap_holds_for_each_study_and_language(rrg: Rrg, upstream: Path) -> None:
    made = rrg("synth-vqa", upstream, *ARGUMENTS, "--dialogues-per-study", "3").stdout
    counts = Counter((each.study, each.lang) for each in read(made) if isinstance(each, Sample))
    assert set(counts.values()) == {3}
    assert len({each.study for each in read(made) if isinstance(each, Slice)}) >= len(counts) / 2


def test_same_bytes_with_two_workers(rrg: Rrg, upstream: Path, first: bytes) -> None:
    assert rrg("synth-vqa", upstream, *ARGUMENTS, "--workers", "2").stdout == first


def test_no_conversations_without_the_option(rrg: Rrg, upstream: Path) -> None:
    made = rrg("synth-vqa", upstream, "--findings", "0", "--metadata", "0").stdout
    assert not any(json.loads(line)["schema"] == "rrg.sample/1" for line in made.splitlines())


def test_an_unknown_task_is_refused(rrg: Rrg) -> None:
    done = rrg("synth-vqa", "--dialogues", "poem", code=2)
    assert b"--dialogues poem: expected any of report, findings-list" in done.stderr


def test_plain_names_are_of_known_findings() -> None:
    unknown = set(LAY) - set(NAMES)
    assert unknown <= {"gallstone"}
    assert {lay.gender for lay in LAY.values()} <= {"m", "f", "n"}
