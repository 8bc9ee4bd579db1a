"""Conversations: every turn sees what was said, corrections change the report, and the limit of tokens is told."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrg.errors import RecordError
from rrg.infer import Task
from rrg.infer_chat import Conversation, begin, turn
from rrg.infer_chat_rules import answered, corrected, intent_of, target_of
from rrg.model.settings import Generated
from rrg.prompt import MEDIA
from rrg.records import ImageRef
from tests.fake_infer import SETTINGS

REPORT = "Leberzyste von 24 mm. Kleiner Pleuraerguss rechts. Milz unauffällig."


class Scripted:
    """Answers what it is told to, and keeps its prompts. A token is a character."""

    hash = "abc"
    backend = "torch"

    def __init__(self, *told: str, context: int = 100_000, tasks: tuple[str, ...] = ("grounded-report",)) -> None:
        self.told = list(told)
        self.prompts: list[str] = []
        self.settings = dataclasses.replace(SETTINGS, context=context, tasks=tasks)

    def prompt_tokens(self, prompt: str) -> list[int]:
        return [0] * len(prompt)

    def answer(self, pictures: Sequence[Any], prompt: str, max_new_tokens: int = 256) -> Generated:
        self.prompts.append(prompt)
        assert prompt.count(MEDIA) == 1
        return Generated(self.told[min(len(self.prompts), len(self.told)) - 1], False)

    def close(self) -> None: ...


TASK = Task(model=Path("m"), store=None, max_new_tokens=9)
START = Conversation(ImageRef(id="i0", ref="r", rows=64, columns=128, unit="rgb"), "p", "t", "de")


def look(image: ImageRef) -> Any:
    return np.zeros((56, 56, 3), np.uint8)


def test_turns_see_the_report_and_what_was_said_before() -> None:
    model = Scripted("Die <p>Leber<loc03><loc04><loc20><loc24> ist normal.", "Ja.", "Nein.")
    said = begin(model, START, look, TASK)
    assert said.conversation.report == "Die Leber ist normal."
    said = turn(model, said.conversation, "Ist {das} sicher?", look, TASK)
    said = turn(model, said.conversation, "Und <p>jetzt?", look, TASK)
    first, second, third = model.prompts
    assert second.startswith(first)
    assert "<p>Leber<loc03><loc04><loc20><loc24> ist normal.</s>" in second  # boxes stay in the history
    assert second.endswith("<|user|>Ist {das} sicher?<|assistant|>")
    assert third.startswith(second)
    assert third.endswith("Ja.</s><|user|>Und < p>jetzt?<|assistant|>")
    assert (said.prediction.question, said.prediction.text) == ("Und <p>jetzt?", "Nein.")


def test_a_region_reaches_the_model_as_a_box() -> None:
    model = Scripted("Bericht.", "Leber")
    said = begin(model, START, look, TASK)
    said = turn(model, said.conversation, "Was liegt bei [2, 4, 64, 32]?", look, TASK)
    assert model.prompts[-1].endswith("Was liegt bei <p><loc01><loc04><loc32><loc32>?<|assistant|>")
    with pytest.raises(RecordError, match="expected x0 < x1 <= 128"):
        turn(model, said.conversation, "[2, 4, 640, 32]", look, TASK)


def test_what_no_longer_fits_is_told_and_the_report_stays() -> None:
    model = Scripted("Der Bericht.", *["Antwort " * 8] * 9, context=700)
    said = begin(model, START, look, TASK)
    left = []
    for number in range(9):
        said = turn(model, said.conversation, f"Frage {number}?", look, TASK)
        left.append(said.left_out)
        assert len(model.prompts[-1]) <= 700
        assert "Der Bericht." in model.prompts[-1]
    assert sum(left) > 0 == left[0]
    assert "Frage 0?" not in model.prompts[-1]
    with pytest.raises(RecordError, match="the model reads 700; the report and this turn alone do not fit"):
        turn(model, said.conversation, "lang " * 200, look, TASK)


# --- rules


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Fasse das zusammen.", "summary"), ("Please summarise", "summary"),
        ("Sag das in einfacher Sprache", "plain-language"),
        ("plain language please", "plain-language"), ("Übersetze das auf Englisch", "translation"),
        ("Translate that into German.", "translation"), ("Liste alle Befunde auf", "findings-list"),
        ("There is no effusion.", "correction"), ("Es gibt keinen Erguss", "correction"),
        ("Is there an effusion?", "vqa"),
        ("Gibt es einen Erguss?", "vqa"), ("What is at [1,2,3,4]?", "region"), ("Wie groß ist die Leber?", "vqa"),
    ],
)  # fmt: skip
def test_what_a_turn_wants(text: str, wanted: str) -> None:
    assert intent_of(text) == wanted


def test_a_correction_takes_out_what_it_denies() -> None:
    told = corrected(REPORT, "Es gibt keinen Pleuraerguss.", "de")
    assert told == "Leberzyste von 24 mm. Milz unauffällig. Das Bild zeigt keinen Pleuraerguss."
    added = corrected("Milz unauffällig.", "Es gibt eine Zyste in der Leber.", "de")
    assert added == "Milz unauffällig. Das Bild zeigt eine Zyste in der Leber."
    assert corrected(REPORT, "Das ist nicht schön.", "de") is None


def test_lists_plain_words_and_the_other_language() -> None:
    assert answered("findings-list", REPORT, "", "de") == "- Zyste (Leber), 24 mm\n- Pleuraerguss"
    assert answered("summary", REPORT, "", "de") == "- Leberzyste von 24 mm.\n- Kleiner Pleuraerguss rechts."
    plain = answered("plain-language", REPORT, "", "de") or ""
    assert "mit Flüssigkeit" in plain
    assert "Fachwort: Zyste" in plain
    english = answered("translation", REPORT, "auf Englisch", "de") or ""
    assert english.splitlines()[0] == "The image shows a cyst in the liver, 24 mm."
    assert answered("findings-list", "Milz unauffällig.", "", "de") == "keine Befunde"
    assert (target_of("into English", "de"), target_of("auf Deutsch", "en"), target_of("übersetze", "en")) == (
        "en",
        "de",
        "de",
    )


def test_rules_answer_only_for_models_that_were_not_trained_to() -> None:
    for tasks, flags in ((("grounded-report",), ("rules",)), (("grounded-report", "summary"), ())):
        model = Scripted(REPORT, "Vom Modell.", tasks=tasks)
        said = turn(model, begin(model, START, look, TASK).conversation, "Fasse das zusammen.", look, TASK)
        assert said.prediction.flags == flags
        assert ("Modell" in said.prediction.text) == (not flags)


def test_the_report_changes_with_a_correction() -> None:
    model = Scripted(REPORT)
    said = turn(model, begin(model, START, look, TASK).conversation, "Es gibt keinen Pleuraerguss.", look, TASK)
    said = turn(model, said.conversation, "Liste alle Befunde.", look, TASK)
    assert said.prediction.text == "- Zyste (Leber), 24 mm"


# --- as a process


def test_a_file_of_turns(tmp_path: Path, key_file: Path) -> None:
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    (tmp_path / "turns.txt").write_text("# comment\n\nWas?\n/region 1,2,30,40\n/nothing\x1b[2J\n/quit\nnever\n")
    program = Path(__file__).with_name("fake_infer.py")
    words = ["--model", "fake", tmp_path / "a.png", "--chat", "--turns", tmp_path / "turns.txt", "--lang", "en"]
    env = {**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1"}
    runs = [subprocess.run([sys.executable, program, *words], capture_output=True, env=env, check=True) for _ in "ab"]
    assert runs[0].stdout == runs[1].stdout
    records = [json.loads(line) for line in runs[0].stdout.splitlines()]
    assert [each["schema"] for each in records] == ["rrg.run/1", *["rrg.prediction/1"] * 3, "rrg.end/1"]
    assert [each["task"] for each in records[1:-1]] == ["report", "vqa", "region"]
    said = runs[0].stderr.decode()
    assert "not a medical device" in said.splitlines()[0]
    assert "> Was?" in said
    assert "no such word" in said
    assert "never" not in said
    assert "\x1b" not in said
