"""synth-ground: mentioned and present; spans, placeholders, negatives, the same bytes whatever the workers."""

import dataclasses
import hashlib
import re
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.anatomy import LABELS, display
from rrg.codec import encode
from rrg.geometry import union_box
from rrg.prompt import render, template_text
from rrg.records import Mask, Record, Sample, Slice
from rrg.synth import templates
from rrg.synth.grounding import ground
from rrg.synth.grounding_options import TASKS, Options
from rrg.synth.seen import seen_on
from rrg.synth.slice_choice import choose
from rrg.synth.snippets import Phrase, snippet
from tests.conftest import Rrg
from tests.synth_cases import a_mask, a_report, a_slice, a_study, counts_of, group, read, rectangle, samples_of, stream

GERMAN = (
    "Zyste im rechten <a liver>Leberlappen</a>, 12 mm <r k>(Serie 3, Bild 5)</r>.\n"
    "Keine <n spleen>Milz</n>läsion <r k>(Serie 3, Bild 5)</r>.\n"
    "<a kidney_left kidney_right>Beide Nieren</a> unauffällig, <a heart>Herz</a> normal groß"
    " <r k>(Serie 3, Bild 5)</r>.\n"
    "<a liver>Leber</a> zuvor kleiner <rp>(Serie 2, Bild 4)</rp> <r k>(Serie 3, Bild 5)</r>.\n"
    "Die <a pancreas>Pankreas</a>loge ist frei."
)


@pytest.fixture
def case() -> tuple[Slice, Mask]:
    slice_ = a_slice("st", 4)
    drawn = {
        "liver": rectangle(2, 3, 40, 33),
        "kidney_left": rectangle(60, 30, 70, 44),
        "spleen": rectangle(60, 5, 75, 20),
        "aorta": rectangle(45, 40, 47, 42),
    }
    return slice_, a_mask(slice_, drawn)


def run(case: tuple[Slice, Mask], marked: str = GERMAN, lang: str = "de", **options: object) -> list[Sample]:
    report = a_report(marked, lang, slices={"k": [case[0].id]}, clinical="V. a. {Filiae}")
    return samples_of(ground(Options(**options), group([*case, report])))  # type: ignore[arg-type]


def one(samples: list[Sample], task: str, lang: str = "de") -> Sample:
    (found,) = [sample for sample in samples if sample.task == task and sample.lang == lang]
    return found


def answer(sample: Sample) -> str:
    return sample.turns[-1].content[0].text or ""


def asked(sample: Sample) -> str:
    return sample.turns[0].content[1].text or ""


def test_a_grounded_report_names_what_is_mentioned_and_present(case: tuple[Slice, Mask]) -> None:
    sample = one(run(case), "grounded-report")
    assert answer(sample) == ("Zyste im rechten {m0}, 12 mm. Keine Milzläsion. {m1} unauffällig, Herz normal groß.")
    assert sample.answer == template_text(answer(sample), sample.mentions)
    assert [m.phrase for m in sample.mentions] == ["Leberlappen", "Beide Nieren"]
    liver, kidneys = sample.mentions
    assert [(r.label, r.class_id) for r in liver.regions] == [("liver", 5)]
    assert liver.regions[0].boxes[0].xyxy == (2, 3, 40, 33)
    assert [r.label for r in kidneys.regions] == ["kidney_left"], "the right kidney is not on the slice"
    assert {r.origin for m in sample.mentions for r in m.regions} == {"report+seg"}
    assert {r.mask for m in sample.mentions for r in m.regions} == {case[1].array}
    assert sample.context == {"clinical": "V. a. {Filiae}"}
    assert "<loc" in render(sample).text


def test_spans_are_those_of_the_report_text(case: tuple[Slice, Mask]) -> None:
    report = a_report(GERMAN, slices={"k": [case[0].id]})
    sample = one(samples_of(ground(Options(), group([*case, report]))), "grounded-report")
    for mention in sample.mentions:
        assert mention.source is not None
        assert mention.source.report == report.id
        assert report.text[slice(*mention.source.span)] == mention.phrase


def test_what_is_left_out_is_counted(case: tuple[Slice, Mask]) -> None:
    report = a_report(GERMAN, slices={"k": [case[0].id]})
    made = list(ground(Options(languages=("de",)), group([*case, report])))
    counts = counts_of(made)
    assert counts["dropped.negated"] == 1
    assert counts["dropped.not_on_slice"] == 1
    assert counts["mentions.grounded"] == 2
    assert counts["mentions.seen"] == 4
    assert counts["references.in_comparison"] == 1
    assert counts["references.prior"] == 1


@pytest.mark.parametrize(
    ("marked", "phrase"),
    [
        ("Die rechte <a kidney_right>Niere</a> ist frei", "rechte Niere"),
        ("<a kidney_right>Niere</a> rechts regelrecht", "Niere rechts"),
        ("<a kidney_right>Niere</a> re. regelrecht", "Niere re."),
        ("Right <a kidney_right>kidney</a> normal", "Right kidney"),
        ("Zyste der <a kidney_right>Niere</a>", "Niere"),
        ("Die rechte <a liver>Leber</a>", "Leber"),
        ("<a kidney_left kidney_right>Nieren</a> beidseits frei", "Nieren beidseits"),
    ],
)
def test_the_side_belongs_to_the_phrase(marked: str, phrase: str) -> None:
    slice_ = a_slice("st", 4)
    mask = a_mask(slice_, {"kidney_right": rectangle(2, 3, 20, 13), "liver": rectangle(30, 3, 60, 40)})
    report = a_report(f"{marked} <r k>(Serie 3, Bild 5)</r>.", slices={"k": [slice_.id]})
    sample = one(samples_of(ground(Options(), group([slice_, mask, report]))), "grounded-report")
    (mention,) = sample.mentions
    assert mention.phrase == phrase
    assert mention.source is not None
    assert report.text[slice(*mention.source.span)] == phrase
    assert template_text(answer(sample), sample.mentions) == sample.answer


def test_a_phrase_that_could_mean_either_side_is_not_asked_for() -> None:
    slice_ = a_slice("st", 4)
    right = {"kidney_right": rectangle(2, 3, 20, 13)}
    text = "Zyste der <a kidney_right>Niere</a> <r k>(Serie 3, Bild 5)</r>."
    assert "phrase-to-box" in {s.task for s in run((slice_, a_mask(slice_, right)), text)}
    both = {**right, "kidney_left": rectangle(50, 3, 70, 13)}
    assert "phrase-to-box" not in {s.task for s in run((slice_, a_mask(slice_, both)), text)}
    assert "grounded-report" in {s.task for s in run((slice_, a_mask(slice_, both)), text)}


def test_a_compound_is_asked_for_as_a_whole() -> None:
    slice_ = a_slice("st", 4)
    drawn = {"liver": rectangle(2, 3, 40, 33), "lesion": rectangle(50, 30, 60, 40)}
    text = "<a liver>Leber</a><a lesion>zyste</a> <r k>(Serie 3, Bild 5)</r>."
    report = a_report(text, slices={"k": [slice_.id]})
    samples = samples_of(ground(Options(), group([slice_, a_mask(slice_, drawn), report])))
    assert answer(one(samples, "grounded-report")) == "{m0}{m1}."
    asked_for = {asked(s): s.mentions[0].regions[0].label for s in samples if s.task == "phrase-to-box"}
    for s in samples:
        for mention in s.mentions:
            if mention.source:
                assert report.text[slice(*mention.source.span)] == mention.phrase
    assert asked_for == {
        "Zeige auf diesem Bild: Leber": "liver",
        "Zeige auf diesem Bild: Leberzyste": "lesion",
    }


@pytest.mark.parametrize(("area", "grounded"), [(4, True), (5, False)])
def test_smallest_area(case: tuple[Slice, Mask], area: int, grounded: bool) -> None:
    samples = run(case, "Die <a aorta>Aorta</a> ist zart <r k>(Serie 3, Bild 5)</r>.", min_area_px=area)
    assert any(sample.task == "grounded-report" for sample in samples) == grounded
    assert one(samples, "report").answer == "Die Aorta ist zart."


def test_a_lung_is_the_union_of_its_lobes() -> None:
    slice_ = a_slice("st", 1)
    lobes = {"lung_upper_lobe_left": rectangle(50, 5, 60, 30), "lung_lower_lobe_left": rectangle(55, 32, 75, 50)}
    mask = a_mask(slice_, lobes)
    sample = one(
        run((slice_, mask), "<a lung_left>Linke Lunge</a> frei <r k>(Serie 3, Bild 2)</r>."), "grounded-report"
    )
    (region,) = sample.mentions[0].regions
    assert (region.label, region.class_id) == ("lung_left", 118)
    assert region.boxes == (union_box([label.box for label in mask.labels]),)
    assert region.boxes[0].xyxy == (50, 5, 75, 50)


def test_boxes_of_components() -> None:
    slice_ = a_slice("st", 1)
    two = rectangle(2, 2, 10, 10) | rectangle(30, 30, 33, 40)
    case = (slice_, a_mask(slice_, {"liver": two}))
    text = "<a liver>Leber</a> homogen <r k>(Serie 3, Bild 2)</r>."
    union = one(run(case, text), "grounded-report").mentions[0].regions[0].boxes
    parts = one(run(case, text, components=True), "grounded-report").mentions[0].regions[0].boxes
    assert [box.xyxy for box in union] == [(2, 2, 33, 40)]
    assert [box.xyxy for box in parts] == [(2, 2, 10, 10), (30, 30, 33, 40)]


def test_detect_asks_for_present_and_absent_structures(case: tuple[Slice, Mask]) -> None:
    samples = [sample for sample in run(case, per_slice=4) if sample.task == "detect"]
    for lang, nowhere in (("de", "nicht auf diesem Bild"), ("en", "not on this image")):
        mine = [sample for sample in samples if sample.lang == lang]
        assert sorted(sample.facets["state"] for sample in mine) == ["absent", "absent", "present", "present"]
        for sample in mine:
            (mention,) = sample.mentions
            (region,) = mention.regions
            there = {label.label: label for label in case[1].labels}
            if sample.facets["state"] == "present":
                assert answer(sample) == "{m0}"
                assert region.boxes == (there[region.label].box,)
                assert mention.phrase == sample.answer == display(region.label, lang)
            else:
                assert region.label not in there
                assert region.boxes == ()
                assert answer(sample) == sample.answer == nowhere
                assert "<loc" not in render(sample).text
            assert sample.facets["label"] == region.label


def test_nothing_is_absent_when_nobody_looked() -> None:
    slice_ = a_slice("st", 1)
    mask = a_mask(slice_, {"liver": rectangle(0, 0, 20, 20)}, looked_for=None)
    samples = run((slice_, mask))
    assert {sample.facets["state"] for sample in samples if sample.task == "detect"} == {"present"}


def test_parts_of_a_whole_that_is_there_are_not_called_absent() -> None:
    """An engine that outlines a lung as one does not say which lobes are on the slice."""
    lobes = ("lung_left", "lung_upper_lobe_left", "lung_lower_lobe_left", "liver")
    slice_ = a_slice("st", 1)
    lung = {"lung_left": rectangle(0, 0, 20, 20)}
    assert seen_on(slice_, [a_mask(slice_, lung, lobes)], 1).absent == {"liver"}
    upper = {**lung, "lung_upper_lobe_left": rectangle(30, 0, 40, 20)}
    assert seen_on(slice_, [a_mask(slice_, upper, lobes)], 1).absent == {"liver", "lung_lower_lobe_left"}
    del upper["lung_left"]
    assert seen_on(slice_, [a_mask(slice_, upper, lobes)], 1).absent == {"liver", "lung_lower_lobe_left"}


def test_an_empty_mask_gives_negatives_only() -> None:
    slice_ = a_slice("st", 1)
    samples = samples_of(ground(Options(), group([slice_, a_mask(slice_, {})])))
    assert samples
    assert all(sample.mentions[0].regions[0].boxes == () for sample in samples)


def test_absent_structures_are_asked_as_often_as_they_are_seen() -> None:
    """Else the name of an organ would give the answer away."""
    records = a_study("st", np.random.default_rng(3), n=60)
    samples = samples_of(ground(Options(tasks=("detect",), languages=("en",), slices="all"), group(records)))
    owned = {label.label for mask in records if isinstance(mask, Mask) for label in mask.labels}
    for label in owned:
        states = [sample.facets["state"] for sample in samples if sample.facets["label"] == label]
        assert 0.35 < states.count("present") / len(states) < 0.75, label


def test_the_box_of_a_question_shows_no_name(case: tuple[Slice, Mask]) -> None:
    samples = [sample for sample in run(case) if sample.task == "box-to-phrase"]
    assert {sample.lang for sample in samples} == {"de", "en"}
    for sample in samples:
        text = render(sample).text
        assert "<loc" in text.split("<|assistant|>")[0]
        assert answer(sample) == sample.answer == display(sample.facets["label"], sample.lang)
        assert sample.answer not in text.split("<|assistant|>")[0]


def test_boxes_that_look_alike_are_not_asked_for() -> None:
    slice_ = a_slice("st", 1)
    mask = a_mask(slice_, {"liver": rectangle(0, 0, 20, 20), "spleen": rectangle(0, 0, 20, 21)})
    assert not [s for s in run((slice_, mask)) if s.task == "box-to-phrase"]


def test_braces_of_a_report_stay_text(case: tuple[Slice, Mask]) -> None:
    text = "Die <a liver>Le{m7}ber</a> {m0} zeigt }} und {{ <r k>(Serie 3, Bild 5)</r>."
    samples = run(case, text)
    grounded = one(samples, "grounded-report")
    assert grounded.answer == "Die Le{m7}ber {m0} zeigt }} und {{."
    assert template_text(answer(grounded), grounded.mentions) == grounded.answer
    assert template_text(answer(one(samples, "report")), ()) == grounded.answer
    phrase = one(samples, "phrase-to-box")
    assert template_text(asked(phrase), phrase.mentions) == "Zeige auf diesem Bild: Le{m7}ber"


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("Zyste der Leber <r k>(Serie 3, Bild 5)</r>.", "Zyste der Leber."),
        ("Zyste der Leber (<r k>Serie 3, Bild 5</r>).", "Zyste der Leber."),
        ("Zyste der Leber (siehe <r k>Serie 3, Bild 5</r>).", "Zyste der Leber."),
        ("Zyste (12 mm, <r k>Serie 3, Bild 5</r>) der Leber.", "Zyste (12 mm) der Leber."),
        ("Zyste (<r k>Serie 3, Bild 5</r>, 12 mm) der Leber.", "Zyste (12 mm) der Leber."),
        ("Zyste <r k>(Se. 3 Im. 45)</r>, 12,5 mm.", "Zyste, 12,5 mm."),
        ("Zyste der Leber, <r k>Serie 3, Bild 5</r>.", "Zyste der Leber."),
        ("Zyste der Leber, siehe <r k>Serie 3, Bild 5</r>.", "Zyste der Leber."),
        ("Zyste, s. <r k>Serie 7/Bild 9</r>.", "Zyste."),
        ("<r k>Serie 3, Bild 5</r>: Zyste der Leber.", "Zyste der Leber."),
        ("Zwei Zysten (<r k>Serie 3, Bild 45</r>; <r k>Serie 5, Bild 12</r>).", "Zwei Zysten."),
        ("Zyste <r k>[3:12]</r> der Leber um 14:38 Uhr.", "Zyste der Leber um 14:38 Uhr."),
        ("Cyst of the liver on <r k>series 3, image 5</r>, 10.5 mm.", "Cyst of the liver, 10.5 mm."),
        ("Cyst (see <r k>series 4, image 38</r>).", "Cyst."),
        ("Effusion, e.g. <r k>images 45 and 47 of series 2</r>.", "Effusion."),
        ("Die Leber <r k>(Serie 3, Bild 5)</r> ist glatt.", "Die Leber ist glatt."),
        ("Das Ganze ( ohne Bild ) bleibt <r k>(3, 4)</r> .", "Das Ganze (ohne Bild) bleibt."),
        ("<r k>(Serie 3, Bild 5)</r> zyste", "Zyste"),
        ("Ohne Hinweis auf Blutung <r k>(Serie 3, Bild 5)</r>, Leber o. B.", "Ohne Hinweis auf Blutung, Leber o. B."),
    ],
)
def test_references_leave_no_trace(marked: str, expected: str) -> None:
    assert snippet(a_report(marked, slices={"k": ["x"]}), [0]).plain == expected


WORDS = st.lists(
    st.one_of(
        st.sampled_from(["Leber", "Zyste,", "die", "12,5 mm", "(links)", "o. B.", "{m0}", "ä\u00adb", "–"]).map(str),
        st.sampled_from(["(Serie 3, Bild 5)", "Serie 3, Bild 5"]).map(lambda text: f"<r k>{text}</r>"),
        st.sampled_from(["Leber", "linke Niere", "Milz{"]).map(lambda text: f"<a liver>{text}</a>"),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(WORDS, st.sampled_from([" ", "  ", "\t"]))
def test_a_snippet_is_well_formed(words: list[str], blank: str) -> None:
    report = a_report(blank.join(words) + ".", slices={"k": ["x"]})
    phrases = [Phrase(f"m{number}", fact.span) for number, fact in enumerate(report.anatomy)]
    made = snippet(report, [0], phrases)
    from rrg.records import Mention

    mentions = tuple(Mention(id=p.id, phrase=" ".join(report.text[slice(*p.span)].split())) for p in phrases)
    back = template_text(made.template, mentions)
    assert back == made.plain
    assert "  " not in made.plain
    assert "Serie 3" not in made.plain
    assert not made.lost
    places = re.findall(r"\{(m\d+)\}", made.template.replace("{{", "").replace("}}", ""))
    assert len(set(places)) == len(places) == len(phrases)
    for old, new in (("(Serie 3, Bild 5)", ""), ("Serie 3, Bild 5", "")):
        assert old not in made.plain or not new


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_answer_follows_from_the_mask(seed: int) -> None:
    records = a_study("st", np.random.default_rng(seed), n=6)
    masks = {record.slice: record for record in records if isinstance(record, Mask)}
    made = samples_of(ground(Options(slices="all", seed=seed), group(records)))
    assert len({sample.id for sample in made}) == len(made)
    for sample in made:
        there = {label.label: label for label in masks[str(sample.images[0].slice)].labels}
        for mention in sample.mentions:
            for region in mention.regions:
                if region.boxes:
                    assert region.boxes == (there[region.label].box,)
                    assert there[region.label].area_px >= 20
                else:
                    assert region.label not in there
                assert region.class_id == LABELS[region.label].class_id
        places = [name for turn in sample.turns for name in re.findall(r"\{(m\d+)\}", turn.content[-1].text or "")]
        assert len(places) == len(set(places)), "a placeholder stands once"
        assert set(places) <= {mention.id for mention in sample.mentions}


def test_all_labels_have_a_question_in_good_german() -> None:
    questions = {name: templates.ask("detect", "de", phrase=name) for name in LABELS}
    assert questions["liver"] == "Wo ist die Leber?"
    assert questions["pancreas"] == "Wo ist das Pankreas?"
    assert questions["lung_middle_lobe_right"] == "Wo ist der rechte Mittellappen der Lunge?"
    assert questions["hip_left"] == "Wo ist das linke Hüftbein?"
    assert questions["airways"] == "Wo sind die Atemwege?"
    assert questions["vertebrae_L1"] == "Wo ist der LWK 1?"
    assert templates.ask("detect", "en", phrase="rib_left_3") == "Where is left rib 3?"
    assert templates.ask("detect", "en", phrase="airways") == "Where are the airways?"
    assert templates.ask("detect", "de", phrase="Linke Niere") == "Wo ist die linke Niere?"
    assert templates.ask("detect", "de", phrase="Rundherd basal") == "Zeige auf diesem Bild: Rundherd basal"
    assert templates.ask("detect", "de", phrase="stomach", form=2) == "Finde den Magen."
    for question in questions.values():
        assert re.fullmatch(r"Wo (ist (der|die|das)|sind die) [\wäöüÄÖÜß. ]+\?", question), question


@pytest.mark.parametrize("family", templates.FORMS)
def test_both_languages_have_the_same_forms(family: str) -> None:
    fields = {
        lang: [{name for _, name, _, _ in string.Formatter().parse(form) if name} for form in forms]
        for lang, forms in templates.FORMS[family].items()
    }
    assert set(fields) == {"de", "en"}
    assert len(fields["de"]) == len(fields["en"])
    assert all(len(set(forms)) == len(forms) for forms in templates.FORMS[family].values())


def test_unknown_tasks_and_languages_are_refused() -> None:
    with pytest.raises(ValueError, match="no prompt for task 'sing'"):
        templates.ask("sing", "de")
    with pytest.raises(ValueError, match="'fr'"):
        templates.ask("report", "fr")


def test_choice_of_slices() -> None:
    slices = [a_slice("st", index) for index in range(10)]

    def chosen(spec: str, referenced: tuple[str, ...] = ()) -> list[int]:
        return [s.index for s in choose(slices, spec, referenced)]

    assert chosen("all") == list(range(10))
    assert chosen("referenced", ("sts1i7",)) == [7]
    assert chosen("every:4", ("sts1i7",)) == [0, 4, 7, 8]
    assert chosen("2") == [2, 7]
    assert chosen("99") == list(range(10))


def test_slices_with_text_in_the_pixels_are_left_out(case: tuple[Slice, Mask]) -> None:
    burned = a_slice("st", 4, flags=("burned_in",))
    made = list(ground(Options(), group([burned, case[1]])))
    assert not samples_of(made)
    assert counts_of(made)["slices.left_out.burned_in"] == 1


# The command


@pytest.fixture(scope="module")
def records() -> list[Record]:
    rng = np.random.default_rng(11)
    found: list[Record] = []
    for number in range(4):
        study = a_study(f"study{number}", rng, n=5, patient=f"p{number}")
        report = a_report(
            "<a liver>Leber</a> homogen <r k>(Serie 3, Bild 2)</r>.", study=f"study{number}", patient=f"p{number}",
            slices={"k": [f"study{number}s1i1"]},
        )  # fmt: skip
        found += [*study, report]
    return found


def test_same_bytes_with_two_workers_and_shards_are_the_whole(rrg: Rrg, records: list[Record]) -> None:
    whole = rrg("synth-ground", stdin=stream(records)).stdout
    assert rrg("synth-ground", "--workers", "2", stdin=stream(records)).stdout == whole
    shards = b"".join(rrg("synth-ground", "--shard", f"{i}/2", stdin=stream(records)).stdout for i in (1, 2))

    def kept(data: bytes) -> list[bytes]:
        return sorted(set(data.splitlines()) - {line for line in data.splitlines() if b'"rrg.end/1"' in line})

    assert kept(shards) == kept(whole)


def test_the_order_of_studies_changes_no_sample(rrg: Rrg, records: list[Record]) -> None:
    per_study = [[r for r in records if getattr(r, "study", None) == f"study{n}"] for n in (3, 1, 0, 2)]
    one_way = rrg("synth-ground", stdin=stream(records)).stdout
    other = rrg("synth-ground", stdin=stream([r for part in per_study for r in reversed(part)])).stdout
    assert sorted(one_way.splitlines()) == sorted(other.splitlines())


def test_another_seed_makes_other_questions_under_another_run(rrg: Rrg, records: list[Record]) -> None:
    a, b = (read(rrg("synth-ground", "--seed", seed, stdin=stream(records)).stdout) for seed in (0, 1))
    assert {r.run for r in a if isinstance(r, Sample)}.isdisjoint(r.run for r in b if isinstance(r, Sample))
    assert {r.id for r in a if isinstance(r, Sample)} != {r.id for r in b if isinstance(r, Sample)}


def test_an_id_is_the_hash_of_the_line_without_id_and_run(rrg: Rrg, records: list[Record]) -> None:
    made = [r for r in read(rrg("synth-ground", stdin=stream(records)).stdout) if isinstance(r, Sample)]
    bare = [encode(dataclasses.replace(r, id="", run="")) for r in made]
    assert [r.id for r in made] == [hashlib.sha256(line).hexdigest()[:20] for line in bare]
    assert len(set(bare)) == len({r.id for r in made}) > 100


def test_other_lines_pass_byte_for_byte(rrg: Rrg, records: list[Record]) -> None:
    given = stream(records)
    foreign = b'{"schema":"other/1",  "x": 1}\n'
    out = rrg("synth-ground", stdin=given[: given.rindex(b'{"schema":"rrg.end')] + foreign).stdout
    assert foreign in out
    kept = [line for line in out.splitlines() if b"rrg.sample/1" not in line]
    assert set(given.splitlines()[:-1]) <= set(kept)


def test_empty_stdin_and_bad_options(rrg: Rrg, tmp_path: Path) -> None:
    assert [r.schema for r in read(rrg("synth-ground").stdout)] == ["rrg.run/1", "rrg.end/1"]
    for arguments in (("--tasks", "sing"), ("--slices", "every:0"), ("--languages", "fr")):
        assert f"{arguments[0]} {arguments[1]}: expected".encode() in rrg("synth-ground", *arguments, code=2).stderr


def test_all_tasks_are_made(rrg: Rrg, records: list[Record]) -> None:
    out = read(rrg("synth-ground", stdin=stream(records)).stdout)
    assert {r.task for r in out if isinstance(r, Sample)} == set(TASKS)
