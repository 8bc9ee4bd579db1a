"""examples/vqa_rad.py: question files with and without answers, rows that are resumed, parts that are checked."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.test_timm_tower import network_folder

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(bytes(32))
    monkeypatch.setenv("RRG_KEY_FILE", str(key))
    return runpy.run_path(str(EXAMPLES / "vqa_rad.py"))


def questions(folder: Path, answers: list[Any]) -> tuple[Path, Path]:
    images = folder / "pictures"
    images.mkdir()
    for number in range(2):
        values = np.random.default_rng(number).integers(0, 255, (40, 50), dtype=np.uint8)
        Image.fromarray(values).save(images / f"synpic{number}.jpg")
    rows = [
        {"question": f"Is it {n}?", "answer": answer, "image_name": f"synpic{n % 2}.jpg", "q_type": "closed "}
        for n, answer in enumerate(answers)
    ]
    (folder / "ASKED.json").write_text(json.dumps(rows))
    return folder / "ASKED.json", images


def test_questions_whose_answers_are_elsewhere_are_answered_and_not_scored(
    example: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    test, images = questions(tmp_path, ["Yes", "", None, 0])
    dataset, known = example["tested"](test, images, tmp_path / "source")
    assert not known
    assert "2 of 4 answers are not there" in capfd.readouterr().out
    records = [json.loads(line) for line in (dataset / "test.jsonl").read_text().splitlines()]
    samples = [each for each in records if each["schema"] == "rrg.sample/1"]
    assert sorted(each["answer"] for each in samples) == ["0", "?", "?", "Yes"]
    said = [
        {"schema": "rrg.prediction/1", "id": each["id"], "text": each["turns"][0]["content"][-1]["text"]}
        for each in samples[1:]
    ]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(each) + "\n" for each in said))
    example["beside_questions"](test, tmp_path / "said.jsonl", dataset, tmp_path / "told.json")
    told = json.loads((tmp_path / "told.json").read_text())
    assert [each["question"] for each in told] == [f"Is it {n}?" for n in range(4)]
    assert sum(each["prediction"] == each["question"] for each in told) == 3
    assert sum(each["prediction"] == "" for each in told) == 1


def test_a_row_is_what_its_name_says(example: dict[str, Any], tmp_path: Path) -> None:
    example["same"](tmp_path / "row.json", {"row": "a", "grid": 5})
    example["same"](tmp_path / "row.json", {"row": "a", "grid": 5})
    with pytest.raises(SystemExit, match="other parts or options"):
        example["same"](tmp_path / "row.json", {"row": "a", "grid": 4})
    for row in ({"row": "a", "n": 1}, {"row": "b", "n": 2}, {"row": "a", "n": 3}):
        example["add"](tmp_path / "results.jsonl", row)
    kept = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert kept == [{"row": "b", "n": 2}, {"row": "a", "n": 3}]


def test_missing_files_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    words = [str(EXAMPLES / "vqa-rad.sh"), str(tmp_path), str(tmp_path), str(tmp_path / "none"), str(tmp_path / "out")]
    done = subprocess.run(["bash", *words], capture_output=True, text=True, check=False, env={"PYTHON": sys.executable})
    assert done.returncode == 2
    assert "nothing there" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_probe_finds_what_only_pictures_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the pictures are bright, and the same words are asked about all of them."""
    probe = runpy.run_path(str(EXAMPLES / "vqa_rad_probe.py"))
    draw = np.random.default_rng(0)
    images = tmp_path / "images"
    images.mkdir()
    for name, count in (("train", 60), ("validation", 40)):
        rows = []
        for n in range(count):
            values = draw.integers(0, 40, (32, 32)) + (200 if n % 2 else 0)
            Image.fromarray(values.astype(np.uint8)).save(images / f"{name}{n}.png")
            answer = "Yes" if n % 2 else "no "
            rows.append({"question": "Is the picture bright?", "answer": answer, "image_name": f"{name}{n}.png"})
        rows.append({"question": "What is it?", "answer": "a square", "image_name": f"{name}0.png"})
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    tower = network_folder(tmp_path / "tower", "test_efficientnet")
    monkeypatch.setattr(sys, "argv", ["probe", str(tmp_path), str(tower)])
    probe["main"]()
    said = capsys.readouterr().out
    found = {
        name.strip(): float(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in said.splitlines()[2:])
    }
    assert "60 questions to learn, 40 asked on 40 images" in said
    assert found["words x pictures"] >= 0.95
    assert abs(found["words alone"] - 0.5) <= 0.05
    assert found["shuffled pictures"] <= 0.75
