"""The blind score: what can be guessed from the words, with the answers of other patients only."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrg.records import ImageRef, Part, Sample, Turn
from rrg.synth import blind as blind_module
from rrg.synth.blind import FOLDS, PRIOR, Blind, _number, question_text
from rrg.synth.vqa import Options, ask_all
from tests.conftest import Rrg
from tests.synth_cases import a_study, group, read, samples_of, stream, write_arrays


def asked(
    words: str, answer: str, patient: str, choices: tuple[str, ...] = (), kind: str = "k", blind: float | None = None
) -> Sample:
    image = ImageRef(id="i0", ref="series/s#0", rows=1, columns=1)
    text = "\n".join((words, *choices))
    return Sample(
        id=f"{words}{answer}{patient}{choices}",
        patient=patient,
        study=patient,
        images=(image,),
        turns=(
            Turn(role="user", content=(Part(type="image", ref="i0"), Part(type="text", text=text))),
            Turn(role="assistant", content=(Part(type="text", text=answer),), loss=True),
        ),
        lang="en",
        task="vqa",
        question_type="single" if choices else "closed",
        choices=choices,
        answer=answer,
        blind=blind,
        facets={"question": kind},
    )


def scored(samples: list[Sample]) -> tuple[np.ndarray, Blind]:
    blind = Blind()
    questions = np.array([blind.add(sample) for sample in samples], np.int64).reshape(-1, 2)
    blind.settle()
    given = np.array([np.nan if sample.blind is None else sample.blind for sample in samples])
    return blind.scores(questions[:, 0], questions[:, 1].astype(np.int32), given), blind


def test_what_is_always_so_is_solvable_and_what_is_random_is_not() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{n}" for n in range(300)]
    always = [asked("Is it CT?", "yes", patient, kind="modality") for patient in patients]
    random = [asked("Is it there?", str(rng.choice(["yes", "no"])), patient, kind="presence") for patient in patients]
    mostly = [asked("Is it big?", "yes" if rng.random() < 0.8 else "no", p, kind="size") for p in patients]
    scores, blind = scored([*always, *random, *mostly])
    np.testing.assert_allclose(scores[:300], 1)
    assert scores[300:600].std() < 1e-6, "a score belongs to the question, not to its answer"
    assert 0.4 < scores[300] < 0.58
    assert 0.72 < scores[600] < 0.88
    told = blind.told(0.9)
    assert (told.questions, told.solvable) == (900, 300)
    assert told.solved == pytest.approx(300 + 150 + 240, abs=60)


def test_the_answers_of_a_patient_do_not_vote_for_him() -> None:
    """A hundred equal answers of one patient tell nothing; without folds they would score 1."""
    alone = [asked("Is it there?", "yes", "p0") for _ in range(100)]
    assert scored(alone)[0].max() == 0
    # each patient is asked often and answers alike, at random: learning a patient by heart would score 1
    rng = np.random.default_rng(1)
    by_patient = [
        asked("Is it there?", answer, f"p{n}")
        for n, answer in enumerate(rng.choice(["yes", "no"], 200).tolist())
        for _ in range(10)
    ]
    assert scored(by_patient)[0].max() < 0.6


def test_choices_are_guessed_by_how_often_each_is_right() -> None:
    rng = np.random.default_rng(2)
    names = [f"organ {n}" for n in range(40)]
    fair, unfair = [], []
    for n in range(1500):
        offered = tuple(rng.permutation(names)[:4].tolist())
        fair.append(asked("Which?", offered[int(rng.integers(4))], f"p{n % 150}", offered, "which"))
        lowest = min(offered, key=names.index)  # the same organs are always right: known without the image
        unfair.append(asked("Which is larger?", lowest, f"p{n % 150}", offered, "larger"))
    scores, _ = scored(fair + unfair)
    assert 0.15 < scores[:1500].mean() < 0.35
    assert scores[1500:].mean() > 0.8


def test_rare_words_take_the_score_of_their_kind() -> None:
    usual = [asked(f"Is the patient number {n} a human?", "yes", f"p{n}", kind="human") for n in range(50)]
    scores, _ = scored(usual)
    np.testing.assert_allclose(scores, 1)


def test_the_order_of_the_stream_and_of_the_choices_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    samples = [
        asked(
            "Which?", str(rng.choice(["a", "b", "c"])), f"p{n % 20}", tuple(rng.permutation(["a", "b", "c"]).tolist())
        )
        for n in range(200)
    ]
    order = rng.permutation(200)
    np.testing.assert_array_equal(scored(samples)[0][order], scored([samples[i] for i in order])[0])
    assert len({question_text(sample) for sample in samples}) == 1


def test_a_text_only_model_counts_where_it_is_better() -> None:
    """Its answers are shared out over the questions of the same words: no answer is left behind alone."""
    rng = np.random.default_rng(4)
    answers = rng.choice(["yes", "no"], 300).tolist()
    knows = [asked("Is A larger?", answer, f"p{n}", blind=1.0) for n, answer in enumerate(answers)]
    says_yes = [
        asked("Is B there?", answer, f"p{n}", kind="j", blind=float(answer == "yes"))
        for n, answer in enumerate(answers)
    ]
    scores, _ = scored(knows + says_yes)
    np.testing.assert_allclose(scores[:300], 1, atol=1e-6)
    assert scores[300:].std() < 1e-6
    assert 0.4 < scores[300] < 0.6


def plainly(samples: list[Sample]) -> tuple[list[float], int]:
    """Scores, and how many are guessed right: counted question by question, as the text of the module says it."""
    fold = {sample.patient: _number("fold", sample.patient) % FOLDS for sample in samples}

    def guess(sample: Sample, by: Callable[[Sample], object]) -> str | None:
        others = [s for s in samples if fold[s.patient] != fold[sample.patient] and by(s) == by(sample)]
        votes = Counter(s.answer for s in others)
        return max(votes, key=lambda answer: (votes[answer], -_number(answer or "")), default=None)

    def best(sample: Sample) -> str:
        others = [
            s for s in samples if s.choices and kind(s) == kind(sample) and fold[s.patient] != fold[sample.patient]
        ]

        def rate(choice: str) -> float:
            right = sum(s.answer == choice for s in others)
            return (right + 0.5) / (sum(choice in s.choices for s in others) + 1)

        return max(sample.choices, key=lambda choice: (rate(choice), -_number(choice)))

    def kind(sample: Sample) -> tuple[object, ...]:
        return sample.facets["question"], sample.question_type

    def shared(right: list[float], of_kind: list[float], among: list[Sample], sample: Sample) -> float:
        own = [hit for hit, s in zip(right, among, strict=True) if question_text(s) == question_text(sample)]
        alike = [hit for hit, s in zip(of_kind, among, strict=True) if kind(s) == kind(sample)]
        return (sum(own) + PRIOR * sum(alike) / len(alike)) / (len(own) + PRIOR)

    by_kind = [(best(s) if s.choices else guess(s, kind)) == s.answer for s in samples]
    words = [guess(s, question_text) for s in samples]
    hits = [k if w is None else w == s.answer for s, w, k in zip(samples, words, by_kind, strict=True)]
    scores = [shared(list(map(float, hits)), list(map(float, by_kind)), samples, s) for s in samples]
    told = [s for s in samples if s.blind in (0, 1)]
    models = [float(s.blind or 0) for s in told]
    scores = [max(n, shared(models, models, told, s)) if s in told else n for n, s in zip(scores, samples, strict=True)]
    return scores, sum(hits)


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_a_plain_count(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of several kinds, few and many patients, choices with and without the answer, answers of a model."""
    monkeypatch.setattr(blind_module, "ROWS", int(np.random.default_rng(seed).integers(1, 90)))
    rng = np.random.default_rng(seed)
    letters = list("abcdefgh")
    samples = []
    for n in range(160):
        choices = tuple(rng.permutation(letters)[: rng.integers(2, 5)].tolist()) if rng.random() < 0.4 else ()
        words = f"What is {rng.integers(12)}?"
        answer = str(rng.choice(choices if choices and rng.random() < 0.9 else letters[:3]))
        blind = [None, 0.0, 1.0, 0.4][rng.integers(4)]
        sample = asked(words, answer, f"p{rng.integers(2 + 4 * seed)}", choices, str(rng.choice(["k", "j"])), blind)
        if choices and rng.random() < 0.3:  # the same words, but the choices are told by the text alone
            sample = replace(sample, choices=())
        samples.append(replace(sample, id=str(n)))
    scores, blind = scored(samples)
    expected, solved = plainly(samples)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert blind.told(0.5) == (160, solved, sum(score >= 0.5 for score in scores), 0.5)


def test_nothing_asked_nothing_scored() -> None:
    scores, blind = scored([])
    assert len(scores) == 0
    assert blind.told(0.8).questions == 0


# In pack


@pytest.fixture
def packed(rrg: Rrg, tmp_path: Path) -> Callable[..., tuple[list[Sample], dict[str, object], str]]:
    rng = np.random.default_rng(7)
    records = [r for n in range(12) for r in a_study(f"study{n}", rng, n=8, patient=f"p{n}")]
    made = [s for n in range(12) for s in samples_of(ask_all(Options(slices="all"), group(
        [r for r in records if r.study == f"study{n}"], f"study{n}")))]  # type: ignore[union-attr]  # fmt: skip
    write_arrays(tmp_path / "store", records)
    by_study = [r for n in range(12) for r in (*records, *made) if r.study == f"study{n}"]  # type: ignore[union-attr]
    (tmp_path / "in.jsonl").write_bytes(stream(by_study))

    def run(name: str, *options: object) -> tuple[list[Sample], dict[str, object], str]:
        out = tmp_path / name
        done = rrg("pack", "--store", tmp_path / "store", "--out", out, *options, tmp_path / "in.jsonl")
        samples = [
            r for split in ("train", "val", "test") for r in read(out / f"{split}.jsonl") if isinstance(r, Sample)
        ]
        return samples, json.loads((out / "manifest.json").read_text()), done.stderr.decode()

    return run


def test_pack_scores_and_drops(packed: Callable[..., tuple[list[Sample], dict[str, object], str]]) -> None:
    everything, manifest, said = packed("all", "--no-balance")
    scores = {sample.id: sample.blind for sample in everything}
    assert all(score is not None and 0 <= score <= 1 for score in scores.values())
    assert " questions are guessed right; " in said
    solvable = {name for name, score in scores.items() if score is not None and score >= 0.8}
    assert manifest["blind"]["solvable"] == len(solvable) > 0  # type: ignore[index]
    # all slices are axial CT: modality, plane and region are known without a look
    assert {s.facets["question"] for s in everything if s.id in solvable} >= {"modality", "plane", "region"}
    some, manifest, said = packed("some", "--no-balance", "--drop-blind", "0.8")
    assert {sample.id for sample in some} == scores.keys() - solvable
    assert manifest["funnel"]["dropped.blind"] == len(solvable)  # type: ignore[index]
    assert "left out" in said


def test_balance_is_made_of_what_is_left(packed: Callable[..., tuple[list[Sample], dict[str, object], str]]) -> None:
    balanced, _, _ = packed("balanced", "--drop-blind", "0.8")
    answers = [s.answer for s in balanced if s.facets["question"] == "presence" and s.lang == "en"]
    assert 0.4 < answers.count("yes") / len(answers) < 0.6
    assert all(s.blind is not None and s.blind < 0.8 for s in balanced)
