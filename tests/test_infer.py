"""`rrg infer`: the right picture, the right prompt, boxes in pixels of the slice, the same answers in any order."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rrg import infer, infer_request, store
from rrg.boxes import LOC64, encode_phrase
from rrg.codec import encode
from rrg.errors import RecordError, RrgError, UsageError
from rrg.infer import NOTICES, Task, answer_work
from rrg.infer_asks import Ask, asks_of
from rrg.infer_control import another
from rrg.infer_inputs import Work, kind_of
from rrg.infer_pixels import pixels_of, read_picture
from rrg.infer_scope import out_of_scope
from rrg.model.settings import Generated
from rrg.pipe import Count
from rrg.prompt import MEDIA
from rrg.records import Box, End, Error, ImageRef, Part, Prediction, Run, Sample, Slice, Turn
from rrg.study_choice import Spec, ranges, spec_of, spread
from rrg.synth.templates import ask
from rrg.windows import picture
from tests.fake_infer import SETTINGS

ROWS, COLUMNS = 40, 60


class FakeModel:
    """Says what `told` says, and remembers what it was shown."""

    settings = SETTINGS
    hash = "abc"
    backend = "torch"

    def __init__(self, told: str = "normal", cut: bool = False) -> None:
        self.told, self.cut = told, cut
        self.seen: list[tuple[list[bytes], str]] = []

    def answer(self, pictures: Sequence[Any], prompt: str, max_new_tokens: int = 256) -> Generated:
        assert all(each.shape == (56, 56, 3) and each.dtype == np.uint8 for each in pictures)
        assert prompt.count(MEDIA) == len(pictures)
        self.seen.append(([each.tobytes() for each in pictures], prompt))
        return Generated(self.told, self.cut)

    def close(self) -> None: ...


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr(infer, "model_at", lambda path: model)
    return model


def slice_of(patient: int, index: int) -> Slice:
    return Slice(
        id=f"slice{patient}-{index}", patient=f"p{patient}", study=f"t{patient}", series=f"v{patient}", index=index,
        count=4, series_number=2, pixels=f"series/v{patient}#{index}", sha256="", rows=ROWS, columns=COLUMNS,
        dtype="int16", unit="HU", modality="CT", spacing_mm=(2.0, 1.0), orientation=(1.0, 0, 0, 0, 1.0, 0),
        position_mm=(0.0, 0.0, float(index)),
    )  # fmt: skip


def sample_of(patient: int, index: int, number: int = 0, lang: str = "de", task: str = "vqa") -> Sample:
    slice_ = slice_of(patient, index)
    image = ImageRef(
        id="i0", ref=slice_.pixels, slice=slice_.id, rows=ROWS, columns=COLUMNS, modality="CT", unit="HU",
        spacing_mm=(2.0, 1.0),
    )  # fmt: skip
    asked = (Part(type="image", ref="i0"), Part(type="text", text=f"Frage {number}?"))
    return Sample(
        id=f"{patient}-{index}-{number}", patient=slice_.patient, study=slice_.study, images=(image,), lang=lang,  # type: ignore[arg-type]
        task=task, split="test",
        turns=(
            Turn(role="user", content=asked),
            Turn(role="assistant", content=(Part(type="text", text="Ja"),), loss=True),
        ),
    )  # fmt: skip


def values_of(patient: int) -> Any:
    return np.random.default_rng(patient).integers(-1000, 1000, (4, ROWS, COLUMNS)).astype(np.int16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with four slices and six samples each, in one closed stream."""
    folder = tmp_path_factory.mktemp("dataset")
    run = Run(id="r0", command="pack", version="0", options={})
    lines = [encode(run)]
    for patient in (2, 0, 1):
        store.write_array(folder / "store", f"series/v{patient}", values_of(patient))
        lines += [encode(slice_of(patient, index)) for index in range(4)]
        for number, index in enumerate((3, 1, 3, 0, 1, 3)):
            lang, task = ("de", "vqa") if number % 2 else ("en", "report")
            lines.append(encode(sample_of(patient, index, number, lang, task)))
    lines.append(encode(End(run="r0", counts={"sample": 18})))
    (folder / "test.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / "train.jsonl").write_bytes(b"")
    (folder / "manifest.json").write_text("{}")
    return folder


def task_for(dataset: Path, **fields: Any) -> Task:
    return Task(model=Path("m"), store=dataset / "store", max_new_tokens=9, **fields)


def answers(work: Work, task: Task) -> list[Prediction]:
    return [each for each in answer_work(work, task) if isinstance(each, Prediction)]


# --- one answer


def test_the_model_sees_the_picture_of_the_slice_and_the_question(dataset: Path, fake: FakeModel) -> None:
    (told,) = answers(Work("t1", (sample_of(1, 2),)), task_for(dataset))
    wanted, _ = picture(values_of(1)[2], "HU", "radgrounder", 56)
    (shown, prompt), = fake.seen  # fmt: skip
    assert shown == [wanted.tobytes()]
    assert "Frage 0?" in prompt
    assert "Ja" not in prompt  # the right answer is not given away
    assert (told.id, told.from_, told.question) == ("1-2-0", ("1-2-0",), "Frage 0?")
    assert (told.text, told.model, told.backend) == ("normal", "abc", "torch")


def test_boxes_come_back_in_pixels_of_the_slice(dataset: Path, fake: FakeModel) -> None:
    box = Box(x0=6, y0=10, x1=30, y1=33)
    fake.told = "Die " + encode_phrase("linke Niere", [box], ROWS, COLUMNS, LOC64) + " ist normal."
    (told,) = answers(Work("t1", (sample_of(1, 2),)), task_for(dataset))
    assert told.text == "Die linke Niere ist normal."
    (mention,) = told.mentions
    (region,) = mention.regions
    assert (region.label, region.class_id, region.origin) == ("kidney_left", 3, "model")
    found = np.array(region.boxes[0].xyxy)
    bin_size = np.array([COLUMNS, ROWS] * 2) / 64
    assert (np.abs(found - np.array(box.xyxy)) <= bin_size).all()
    assert told.flags == ()
    assert told.raw == fake.told


def test_what_can_not_be_read_is_flagged(dataset: Path, fake: FakeModel) -> None:
    fake.told, fake.cut = "<p>Leber<loc63><loc01><loc02><loc09>", True
    made = list(answer_work(Work("t1", (sample_of(1, 2),)), task_for(dataset)))
    told = made[0]
    assert isinstance(told, Prediction)
    assert (told.flags, told.mentions, told.text) == (("cut", "malformed_box"), (), "Leber")
    assert {each for each in made if isinstance(each, Count)} == {Count("flag.cut"), Count("flag.malformed_box")}


@pytest.mark.parametrize("demonstration", [True, False])
@pytest.mark.parametrize("lang", ["de", "en"])
def test_the_notice_is_in_the_language_of_the_answer(
    dataset: Path, fake: FakeModel, lang: str, demonstration: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "settings", dataclasses.replace(SETTINGS, demonstration=demonstration), raising=False)
    (told,) = answers(Work("t1", (sample_of(1, 2, lang=lang),)), task_for(dataset))
    assert told.notice == NOTICES[demonstration][lang]
    assert ("kein Medizinprodukt" if lang == "de" else "not a medical device") in (told.notice or "")


def test_samples_of_one_picture_are_asked_together_and_answered_in_order(dataset: Path, fake: FakeModel) -> None:
    work = Work("t0", tuple(sample_of(0, index, n) for n, index in enumerate((3, 1, 3, 0, 1, 3))))
    told = answers(work, task_for(dataset))
    assert [each.id for each in told] == [sample.id for sample in work.samples]
    shown = [pictures[0] for pictures, _ in fake.seen]
    changes = sum(a != b for a, b in itertools.pairwise(shown))
    assert changes == len(set(shown)) - 1 == 2


def test_a_missing_array_is_an_error_of_its_sample_only(dataset: Path, fake: FakeModel) -> None:
    lost = dataclasses.replace(sample_of(1, 2), images=(ImageRef(id="i0", ref="series/no#1", rows=9, columns=9),))
    made = list(answer_work(Work("t1", (lost, sample_of(1, 1, 1))), task_for(dataset)))
    assert isinstance(made[0], Error)
    assert (made[0].code, made[0].source) == ("E_IO", lost.id)
    assert isinstance(made[1], Prediction)


def test_pixels_of_a_picture_file_stay_inside_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "d" / "a.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "b.png")

    def read(ref: str) -> Any:
        return pixels_of(
            ImageRef(id="i0", ref=ref, rows=3, columns=4, unit="rgb"), store=tmp_path / "d" / "store", held={}
        )

    assert read("a.png").tolist() == [[[1, 2, 3]] * 4] * 3
    with pytest.raises(RecordError, match="leads out"):
        read("../b.png")
    with pytest.raises(RecordError, match="no store"):
        pixels_of(ImageRef(id="i0", ref="series/a#0", rows=3, columns=4), store=None, held={})


# --- controls


def test_the_control_shows_another_patient_and_depends_on_nothing_else(dataset: Path, fake: FakeModel) -> None:
    pool = (dataset / "test.jsonl",)
    samples = [sample_of(p, i, n) for p in range(3) for n, i in enumerate((3, 1, 3, 0, 1, 3))]
    drawn = {s.id: another(s.images[0], s, pool, 7).ref for s in samples}
    assert all(ref.split("#")[0] != f"series/v{name[0]}" for name, ref in drawn.items())
    assert {s.id: another(s.images[0], s, pool, 7).ref for s in reversed(samples)} == drawn
    assert {s.id: another(s.images[0], s, pool, 8).ref for s in samples} != drawn
    assert len(set(drawn.values())) > 4

    (told,) = answers(Work("t1", (samples[6],)), task_for(dataset, control="shuffled", pool=pool, seed=7))
    patient, index = drawn[samples[6].id].removeprefix("series/v").split("#")
    assert fake.seen[0][0] == [picture(values_of(int(patient))[int(index)], "HU", "radgrounder", 56)[0].tobytes()]
    assert told.flags == ("shuffled_image",)
    assert told.images == samples[6].images  # boxes are in the frame of the picture that was asked about
    assert told.extra == {"shown": {"i0": drawn[samples[6].id]}}


def test_the_control_needs_two_patients(dataset: Path) -> None:
    sample = dataclasses.replace(sample_of(1, 2), split="train")
    with pytest.raises(RrgError, match="at least two"):
        another(sample.images[0], sample, (dataset / "test.jsonl",), 0)


def test_without_a_picture_the_model_sees_grey(dataset: Path, fake: FakeModel) -> None:
    (told,) = answers(Work("t1", (sample_of(1, 2),)), task_for(dataset, control="blank"))
    assert set(fake.seen[0][0][0]) == {128}
    assert told.flags == ("no_image",)


# --- what is asked


def test_what_the_options_ask() -> None:
    assert asks_of([], [], []) == [Ask("grounded-report")]
    assert asks_of([], ["A?", "B?"], ["liver"]) == [Ask("vqa", "A?"), Ask("vqa", "B?"), Ask("phrase-to-box", "liver")]
    assert asks_of(["report", "detect"], [], ["liver", "x"]) == [
        Ask("report"), Ask("detect", "liver"), Ask("detect", "x")
    ]  # fmt: skip
    for tasks, wrong in ((["vqa"], "needs -q"), (["detect"], "needs --phrase"), (["poem"], "expected one of")):
        with pytest.raises(UsageError, match=wrong):
            asks_of(tasks, [], [])
    with pytest.raises(UsageError, match="is empty"):
        asks_of([], [" "], [])


def test_slices_are_spread_evenly() -> None:
    assert spread(55, spec_of("3")) == (9, 27, 45)
    assert spread(3, spec_of("8")) == (0, 1, 2)
    assert spread(5, spec_of("all")) == (0, 1, 2, 3, 4)
    assert spread(7, spec_of("every:3")) == spread(7, spec_of("every 3")) == (0, 3, 6)
    for bad in ("0", "every:0", "every:x", "-1", "some", "", "5-3", "1,,2", "1-", "²", "1-9999999"):
        with pytest.raises(UsageError, match="expected all, a number"):
            spec_of(bad)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=9, unique=True))
def test_listed_images_are_read_as_they_are_told(numbers: list[int]) -> None:
    spec = Spec("list", listed=tuple(numbers))
    assert spec_of(str(spec)) == spec
    assert sorted(spec_of(ranges(numbers).replace(" ", "") + ",").listed) == sorted(numbers)


def test_what_the_input_is_decides(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "a.PNG").touch()
    assert kind_of([]) == kind_of([Path("-")]) == kind_of([dataset / "test.jsonl"]) == "stream"
    assert kind_of([dataset]) == "dataset"
    assert kind_of([tmp_path / "a.PNG"]) == "picture"
    assert kind_of([tmp_path]) == "study"
    with pytest.raises(UsageError, match="several kinds"):
        kind_of([tmp_path, dataset])
    with pytest.raises(UsageError, match="no such file"):
        kind_of([tmp_path / "nothing"])


@pytest.mark.parametrize(
    ("mode", "wanted"), [("L", [[[7] * 3] * 2] * 3), ("RGB", [[[7, 8, 9]] * 2] * 3), ("I;16", [[[0] * 3] * 2] * 3)]
)
def test_pictures_of_any_mode_become_rgb(tmp_path: Path, mode: str, wanted: list[Any]) -> None:
    Image.new(mode, (2, 3), (7, 8, 9) if mode == "RGB" else 7).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").tolist() == wanted


def test_a_photograph_is_read_upright(tmp_path: Path) -> None:
    lying = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF Orientation: rotate by 90 degrees
    lying.save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (4, 2, 3)


def test_a_broken_picture_is_one_line(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (9, 0, 200)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for body in (whole[: len(whole) // 2], b"GIF89a", b""):
        (tmp_path / "b.png").write_bytes(body)
        with pytest.raises(RecordError) as caught:
            read_picture(tmp_path / "b.png")
        assert caught.value.code == "E_MALFORMED"
        assert "\n" not in caught.value.message
        assert str(tmp_path) not in caught.value.message


# --- as a process, with a stand-in for the model


@pytest.fixture(scope="module")
def ask_fake(key_file: Path) -> Any:
    """Run ``rrg infer ARGUMENTS --model fake`` as a process."""

    def run(*arguments: object, stdin: bytes = b"", code: int = 0, env: dict[str, str] | None = None) -> Any:
        program = Path(__file__).with_name("fake_infer.py")
        done = subprocess.run(
            [sys.executable, program, "--model", "fake", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env={**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1", **(env or {})},
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}: {done.stderr.decode()[-2000:]}"
        return done

    return run


def lines_of(done: "subprocess.CompletedProcess[bytes]", kind: str = "rrg.prediction/1") -> list[dict[str, Any]]:
    return [each for each in map(json.loads, done.stdout.splitlines()) if each["schema"] == kind]


@pytest.fixture(scope="module")
def answered(ask_fake: Any, dataset: Path) -> Any:
    return ask_fake(dataset)


def test_a_data_set_is_answered_in_its_order(answered: Any, dataset: Path) -> None:
    asked = [json.loads(line) for line in (dataset / "test.jsonl").read_bytes().splitlines()]
    wanted = [each["id"] for each in asked if each["schema"] == "rrg.sample/1"]
    told = lines_of(answered)
    assert [each["id"] for each in told] == wanted
    kinds = {json.loads(line)["schema"] for line in answered.stdout.splitlines()}
    assert kinds == {"rrg.run/1", "rrg.prediction/1", "rrg.end/1"}  # the data set itself is not repeated
    assert len({each["raw"] for each in told}) > 3  # the picture and the question do matter
    assert all(each["notice"] for each in told)


def test_workers_and_shards_change_nothing(ask_fake: Any, dataset: Path, answered: Any) -> None:
    assert ask_fake(dataset, "--workers", 2).stdout == answered.stdout
    parts = [lines_of(ask_fake(dataset, "--shard", f"{n}/2")) for n in (1, 2)]
    assert sorted(each["id"] for part in parts for each in part) == sorted(each["id"] for each in lines_of(answered))


def test_samples_can_be_chosen(ask_fake: Any, dataset: Path, answered: Any) -> None:
    done = ask_fake(dataset, "--lang", "de", "--task", "vqa", "--limit", 4)
    wanted = [each for each in lines_of(answered) if each["lang"] == "de"][:4]
    assert [(each["id"], each["raw"]) for each in lines_of(done)] == [(each["id"], each["raw"]) for each in wanted]


def test_a_split_that_gives_nothing_says_why(ask_fake: Any, dataset: Path) -> None:
    done = ask_fake(dataset, "--split", "train", code=1)
    assert b"train.jsonl: the split holds no samples; give another --split" in done.stderr
    done = ask_fake(dataset, "--lang", "en", "--task", "vqa", "--quiet", code=1)
    assert b"test.jsonl: none of 18 samples is wanted by --task vqa, --lang en;" in done.stderr
    assert b"they are of the tasks report, vqa, in de, en" in done.stderr


def test_shuffled_pictures_give_other_answers(ask_fake: Any, dataset: Path, answered: Any) -> None:
    done = ask_fake(dataset, "--shuffle-images")
    told = lines_of(done)
    assert [each["id"] for each in told] == [each["id"] for each in lines_of(answered)]
    assert [each["raw"] for each in told] != [each["raw"] for each in lines_of(answered)]
    assert done.stdout == ask_fake(dataset, "--shuffle-images", "--workers", 2).stdout


def test_a_stream_is_passed_on_and_answered(ask_fake: Any, dataset: Path, answered: Any) -> None:
    given = (dataset / "test.jsonl").read_bytes() + b'{"schema": "other/1", "x":  1}\n'
    done = ask_fake("--store", dataset / "store", stdin=given)
    assert [line for line in given.splitlines() if line not in done.stdout.splitlines()] == []
    assert [(e["id"], e["raw"]) for e in lines_of(done)] == [(e["id"], e["raw"]) for e in lines_of(answered)]
    some = ask_fake("--store", dataset / "store", "--lang", "de", stdin=given)
    assert [e["id"] for e in lines_of(some)] == [e["id"] for e in lines_of(answered) if e["lang"] == "de"]
    nothing = ask_fake("--store", dataset / "store", stdin=b"")
    assert [json.loads(line)["schema"] for line in nothing.stdout.splitlines()] == ["rrg.run/1", "rrg.end/1"]


def test_a_page_of_a_data_set(ask_fake: Any, dataset: Path, tmp_path: Path, answered: Any) -> None:
    pages = [tmp_path / f"{workers}.html" for workers in (1, 2)]
    for workers, page in zip((1, 2), pages, strict=True):
        done = ask_fake(dataset, "--page", page, "--workers", workers)
        assert done.stdout == answered.stdout
    text = pages[0].read_text(encoding="utf-8")
    assert text == pages[1].read_text(encoding="utf-8")
    assert text.count("<section") == 9  # three patients, three different slices each
    assert text.count("<article") == 18
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.html", "2.html"]


def test_a_page_is_complete_after_a_resumed_run(ask_fake: Any, dataset: Path, tmp_path: Path) -> None:
    ask_fake(dataset, "--out", tmp_path / "whole.jsonl", "--page", tmp_path / "whole.html")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("test.jsonl", "train.jsonl", "manifest.json"):
        (broken / name).write_bytes((dataset / name).read_bytes())
    (broken / "store" / "series").mkdir(parents=True)
    for patient in (2, 0, 1):
        (broken / "store" / "series" / f"v{patient}").symlink_to(dataset / "store" / "series" / f"v{patient}")
    out = ("--out", tmp_path / "out.jsonl", "--page", tmp_path / "out.html")
    (broken / "store" / "series" / "v1").unlink()  # the last study fails, and with it the run
    ask_fake(broken, *out, "--on-error", "fail", code=1)
    assert not (tmp_path / "out.html").exists()
    (broken / "store" / "series" / "v1").symlink_to(dataset / "store" / "series" / "v1")
    (tmp_path / "out.jsonl.journal").write_bytes(
        (tmp_path / "out.jsonl.journal").read_bytes().split(b'{"key"')[0]
        + b"".join(b'{"key"' + part for part in (tmp_path / "out.jsonl.journal").read_bytes().split(b'{"key"')[1:3])
    )  # forget the failed study
    ask_fake(broken, *out, "--resume")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "out.html").read_bytes() == (tmp_path / "whole.html").read_bytes()


def test_a_picture_file(ask_fake: Any, tmp_path: Path) -> None:
    Image.fromarray(np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)).save(tmp_path / "a.png")
    page = tmp_path / "p.html"
    done = ask_fake(tmp_path / "a.png", "-q", "Was?", "--lang", "de", "--page", page)
    (told,) = lines_of(done)
    assert (told["task"], told["question"], told["lang"]) == ("vqa", "Was?", "de")
    assert (told["images"][0]["rows"], told["images"][0]["columns"], told["images"][0]["unit"]) == (60, 80, "rgb")
    assert page.read_text(encoding="utf-8").count("<section") == 1
    assert b"a.png" not in done.stdout


@pytest.fixture(scope="module")
def study(rrg: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    rrg("phantom", "--out", folder / "demo", "--studies", 1, "--slices", 12, "--size", 64, "--modality", "ct")
    return Path(folder / "demo" / "dicom")


def test_a_study_folder(ask_fake: Any, rrg: Any, study: Path, tmp_path: Path) -> None:
    arguments = (study, "--slices", "3", "--task", "report", "--page")
    german = ask_fake(*arguments, tmp_path / "de.html", "--lang", "de")
    english = ask_fake(*arguments, tmp_path / "en.html", "--lang", "en")
    *told, summary = lines_of(german)
    assert [each["question"] for each in told] == [ask("report", "de")] * 3
    assert (summary["task"], summary["from"]) == ("study-report", [each["id"] for each in told])
    assert [each["question"] for each in lines_of(english) if each["task"] == "report"] == [ask("report", "en")] * 3
    assert b"--slices all|N|every:K|referenced|LIST and --series choose others" in german.stderr
    assert "Berichtsentwurf" in (tmp_path / "de.html").read_text(encoding="utf-8")
    # the same slices as extract-slices makes, by id, index and content
    slices = lines_of(rrg("extract-slices", study, "--store", tmp_path / "store"), "rrg.slice/1")
    by_id = {each["id"]: each for each in slices}
    count = by_id[told[0]["images"][0]["slice"]]["count"]
    assert [by_id[each["images"][0]["slice"]]["index"] for each in told] == list(spread(count, spec_of("3")))
    assert [by_id[each["images"][0]["slice"]]["pixels"] for each in told] == [each["images"][0]["ref"] for each in told]
    # and so the same answers as a stream of these slices gives
    sample = json.dumps(
        {
            "schema": "rrg.sample/1", "id": "x", "patient": told[1]["patient"], "study": told[1]["study"],
            "lang": "de", "task": "report", "images": told[1]["images"],
            "turns": [{"role": "user", "content": [
                {"type": "image", "ref": "i0"}, {"type": "text", "text": ask("report", "de")}]}],
        }
    )  # fmt: skip
    again = ask_fake("--store", tmp_path / "store", stdin=sample.encode() + b"\n")
    assert [each["raw"] for each in lines_of(again)] == [told[1]["raw"]]


def test_nothing_stays_behind(ask_fake: Any, study: Path, tmp_path: Path) -> None:
    ask_fake(study, "--slices", "1", env={"TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line_and_the_right_code(ask_fake: Any, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("no image")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n rest")
    for arguments, code, wanted in [
        ((dataset, "--model", tmp_path / "no"), 2, "no such folder; give --model RUN or a GGUF folder"),
        ((dataset, "--model", tmp_path / "empty"), 1, "give a folder of rrg train or rrg export"),
        ((dataset, "--split", "val"), 2, "has train, test; give one of these"),
        ((dataset, "-q", "Was?"), 2, "samples bring their own questions"),
        ((tmp_path / "text",), 1, "no DICOM image in there"),
        ((tmp_path / "empty",), 1, "no DICOM image in there"),
        ((tmp_path / "bad.png",), 1, "not a PNG or JPEG picture"),
        ((tmp_path / "bad.png", "--task", "vqa"), 2, "needs -q"),
        ((tmp_path / "bad.png", "--lang", "fr"), 2, "expected de or en"),
        ((tmp_path / "nothing",), 2, "no such file or folder"),
        ((dataset, "--shuffle-images", "--no-image"), 2, "exclude each other"),
        (("-",), 2, "need --store STORE"),
        (("-", "--store", tmp_path, "--shuffle-images"), 2, "stdin can be read only once"),
    ]:
        done = ask_fake(*arguments, code=code)
        said = [line for line in done.stderr.decode().splitlines() if wanted in line]
        assert len(said) == 1, (arguments, done.stderr.decode())
        assert said[0].startswith("rrg infer: ")
        assert "Traceback" not in done.stderr.decode()


# --- with a real, random model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the smallest model, never trained."""
    import torch

    from rrg.model.settings import write_settings
    from rrg.model.tiny import SIZES, build
    from rrg.model.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["Frage 1? Ja. Nein. Leber."] * 3, LOC64, 400)
    build(SIZES["test"], tokenizer).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write_settings(folder, SETTINGS)
    return folder


def test_a_run_folder_answers(rrg: Any, dataset: Path, tiny: Path) -> None:
    told = lines_of(rrg("infer", dataset, "--model", tiny, "--max-new-tokens", 4))
    assert len(told) == 18
    assert len({each["raw"] for each in told}) > 3  # the picture and the question do matter
    assert {each["backend"] for each in told} == {"torch"}
    assert {len(each["model"]) for each in told} == {16}


def test_without_a_model_one_line_says_what_to_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where rrg was installed without its demonstration model."""
    monkeypatch.setattr(infer_request, "OWN", tmp_path)
    with pytest.raises(UsageError, match="no model: give --model RUN, a GGUF folder, or http://host:port/v1"):
        infer_request.where_of(infer_request.Request(model=None))


# --- real data


def test_a_real_chest_ct(ask_fake: Any, data: Path, tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    folder = data / "lidc-idri-0314-chest-ct" / "full_5mm"
    done = ask_fake(folder, "--slices", "4", "--page", page)
    shown = [each["images"][0]["ref"].split("#")[1] for each in lines_of(done)]
    assert shown[:4] == ["6", "20", "34", "48"]
    assert lines_of(done)[4]["task"] == "study-report"
    text = page.read_text(encoding="utf-8")
    assert text.count('<span class="edge left">R</span>') == 4
    assert text.count('class="window lung"') == 4
    assert "1.3.6.1" not in text
    assert "LIDC" not in text


# --- rrg view


@pytest.fixture
def view() -> Any:
    def run(*arguments: object, code: int = 0) -> str:
        program = "import sys; from rrg.cli import run; run('view', sys.argv[1:])"
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    return run


def test_a_data_set_can_be_looked_at(view: Any, dataset: Path, tmp_path: Path, answered: Any) -> None:
    page = tmp_path / "v.html"
    assert "9 pictures, 18 texts" in view(dataset, "--split", "test", "--page", page)
    text = page.read_text(encoding="utf-8")
    assert text.count("<section") == 9
    assert text.count("Frage 0?") == 3
    assert 'class="reference"' not in text
    (tmp_path / "a.jsonl").write_bytes(answered.stdout)
    view(dataset / "test.jsonl", tmp_path / "a.jsonl", "--store", dataset / "store", "--page", page, "--limit", 2)
    text = page.read_text(encoding="utf-8")
    assert text.count("<section") == 2
    assert text.count('class="reference"') == text.count("<article") > 0


def test_what_can_not_be_viewed(view: Any, dataset: Path, tmp_path: Path) -> None:
    assert "need --store" in view(dataset / "test.jsonl", code=2)
    assert "none of the 9 pictures can be read" in view(
        dataset / "test.jsonl", "--store", tmp_path / "no", "--page", tmp_path / "p.html", code=1
    )
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.jsonl").touch()
    assert "nothing to show" in view(tmp_path / "empty.jsonl", "--store", tmp_path, "--page", tmp_path / "q", code=1)


# --- studies on disk: choice, questions, files


def test_listed_images_and_what_is_not_there(ask_fake: Any, study: Path) -> None:
    told = lines_of(
        ask_fake(study, "--slices", "2,4-5,99", "--ground", "Leber", "--describe", "1,2,30,40", "--lang", "de")
    )
    assert [each["task"] for each in told] == ["phrase-to-box", "box-to-phrase"] * 3
    assert told[0]["question"] == "Zeige auf diesem Bild: Leber"
    assert told[1]["question"] == "Welche Struktur liegt bei [1, 2, 30, 40]?"
    done = ask_fake(study, "--slices", "2,99", "--task", "report")
    assert b"images 99 are not in the series" in done.stderr
    for words, code, wanted in [
        (("--slices", "98,99"), 1, b"series 1 has images 1-12"),
        (("--series", "77"), 1, b"--series 77: the study has series"),
        (("--slices", "referenced"), 2, b"belong together"),
        (("--describe", "1,2,30"), 2, b"expected x0,y0,x1,y1"),
        (("--describe", "1,2,30,4000"), 1, b"the image has 64 columns"),
    ]:
        assert wanted in (failed := ask_fake(study, *words, code=code)).stderr, failed.stderr
        assert b"Traceback" not in failed.stderr


def test_slices_that_a_report_points_at(ask_fake: Any, study: Path, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(
        "Befund:\nLeber unauffällig (Serie 1, Bild 3). Milz normal (Serie 1, Bild 5).\n"
    )
    done = ask_fake(study, "--slices", "referenced", "--report", tmp_path / "report.txt", "--no-summary")
    assert b"images 3, 5 of" in done.stderr
    assert len(lines_of(done)) == 2


def test_context_stands_before_the_task(dataset: Path, fake: FakeModel) -> None:
    from rrg.infer_asks import samples_about

    image = sample_of(1, 2).images[0]
    context = {"clinical": "Husten {seit} <p>gestern", "question": "Pneumonie?"}
    samples = samples_about(image, [Ask("report")], "de", patient="p", study="t1", context=context)
    answers(Work("t1", tuple(samples)), task_for(dataset))
    ((_, prompt),) = fake.seen
    assert "Klinische Angaben: Husten {seit} < p>gestern\nFragestellung: Pneumonie?\nBeschreibe dieses Bild." in prompt


def test_another_modality_is_flagged(dataset: Path, fake: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    sample = sample_of(1, 2)
    other = dataclasses.replace(sample, images=(dataclasses.replace(sample.images[0], modality="US"),))
    (told,) = answers(Work("t1", (other,)), task_for(dataset))
    assert told.flags == ("other_modality",)
    assert "modality US: this model knows CT and MR only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("question", "part", "lang", "wanted"),
    [
        ("Gibt es einen Meniskusriss im Knie?", "CHEST", "de", "Diese Untersuchung zeigt den Brustkorb"),
        ("Is there a fracture of the femur?", "CHEST", "en", "This examination shows the chest"),
        ("Ist die Leber vergrößert?", "CHEST", "de", None),  # at the edge of a chest CT
        ("Ist die Leber vergrößert?", "BRAIN", "de", "Diese Untersuchung zeigt den Kopf"),
        ("Ist die Leber vergrößert?", None, "de", None),
        ("Was ist zu sehen?", "BRAIN", "de", None),
        ("Is there an effusion?", "KNEE", "en", None),
    ],
)
def test_questions_about_another_part_of_the_body(
    question: str, part: str | None, lang: Any, wanted: str | None
) -> None:
    told = out_of_scope(question, part, lang)
    assert (told or "").startswith(wanted) if wanted else told is None


def test_dicom_of_a_demonstration_model_needs_a_word(ask_fake: Any, study: Path, tmp_path: Path) -> None:
    words = (study, "--slices", "2", "--lang", "de", "--dicom", tmp_path / "dicom")
    refused = ask_fake(*words, code=2)
    assert refused.stderr.count(b"\n") == 1
    assert b"give --allow-demo" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    done = ask_fake(*words, "--allow-demo", "--nifti", tmp_path / "nifti")
    written = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["liver.nii.gz", "seg.dcm", "sr.dcm"]
    assert json.loads(done.stdout.splitlines()[-1])["counts"]["dicom.seg"] == 1


def test_options_that_do_not_fit_are_refused_before_work(ask_fake: Any, dataset: Path, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for words, wanted in [
        ((tmp_path / "a.png", "--dicom", tmp_path / "d"), b"--dicom needs a study on disk"),
        ((dataset, "--nifti", tmp_path / "d"), b"--nifti needs a study on disk"),
        ((dataset, "--chat"), b"--chat is about a study or a picture"),
        ((tmp_path / "a.png", "--chat", "--page", tmp_path / "p"), b"--chat makes no files: give --page without it"),
        ((tmp_path / "a.png", "--turns", tmp_path / "a.png"), b"--turns is for --chat"),
        ((tmp_path / "a.png", "--grammar"), b"--grammar is for llama.cpp"),
    ]:
        done = ask_fake(*words, code=2)
        assert wanted in done.stderr
        assert done.stderr.count(b"\n") == 1
