"""rrg doctor: a line each, the remedy where something is broken; the table of what was run is the README's."""

import json
import os
import shutil
from pathlib import Path

import pytest

from rrg import doctor, states
from tests.conftest import Rrg

ROOT = Path(__file__).parents[1]


def test_every_finding_is_one_line_and_what_is_wrong_has_a_remedy(rrg: Rrg, tmp_path: Path) -> None:
    done = rrg("doctor", "--folder", tmp_path, "--json", code=None)
    assert b"Traceback" not in done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == int(any(each["state"] == "broken" for each in found))
    assert {"python", "torch pair", "disk", "memory", "GPU", "Slurm", "engine totalsegmentator"} <= {
        each["part"] for each in found
    }
    for each in found:
        assert "\n" not in each["said"]
        assert each["state"] == "ok" or each["remedy"] or "does not tell" in each["said"], each


def test_broken_weights_models_folders_and_keys_are_named(rrg: Rrg, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "m.gguf").write_bytes(b"nothing")
    (tmp_path / "key").write_bytes(b"guess me" * 4)
    (tmp_path / "key").chmod(0o644)
    given = ["--weights", tmp_path / "w", "--llm", tmp_path / "m.gguf", "--key-file", tmp_path / "key"]
    done = rrg("doctor", *given, "--folder", tmp_path / "none", "--json", code=1)
    broken = {each["part"]: each for each in map(json.loads, done.stdout.splitlines()) if each["state"] == "broken"}
    assert "no GGUF file" in broken["engine llm"]["said"]
    assert "open to other users" in broken["key file"]["said"]
    assert "No such file" in broken["disk"]["said"]
    assert "engine totalsegmentator" in broken
    assert b"guess me" not in done.stdout


@pytest.mark.parametrize(
    ("torch", "vision", "state"),
    [
        ("2.10.0", "0.25.0", "ok"),
        ("2.10.0+cpu", "0.25.0+cpu", "ok"),
        ("2.9.1", "0.25.0", "broken"),
        ("2.10.0+cpu", "0.25.0+cu126", "broken"),
        (None, "0.25.0", "broken"),
    ],
)
def test_a_pair_that_does_not_fit_is_told(
    monkeypatch: pytest.MonkeyPatch, torch: str | None, vision: str, state: str
) -> None:
    monkeypatch.setattr(doctor, "_version", {"torch": torch, "torchvision": vision}.get)
    monkeypatch.setattr(doctor, "requires", lambda _: ["numpy", "torch==2.10.0", "pillow!=8.3.*,>=5.3.0"])
    found = doctor._torch_pair()
    assert found.state == state
    assert found.state == "ok" or "install" in found.remedy


def test_a_cluster_that_answers_and_a_card_are_told(rrg: Rrg, tmp_path: Path) -> None:
    for name, says in (("sinfo", "normal* 3 idle"), ("nvidia-smi", "Card, 80000 MiB, 550.1")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / name).chmod(0o755)
    done = rrg("doctor", "--json", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, code=None)
    found = {each["part"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert (found["Slurm"]["state"], found["Slurm"]["said"]) == ("ok", "normal* 3 idle")
    assert "Card" in found["GPU"]["said"]


def test_the_table_of_the_readme_is_current_and_its_tests_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    assert states.put_into(text) == text, "give make states"
    for row in states.ROWS:
        assert (row.test is None) == (row.state == "never run")
        assert row.test is None or (ROOT / "tests" / row.test).exists(), row.test


def test_programs_are_looked_for_on_the_path() -> None:
    found = {each.part: each for each in doctor._programs()}
    assert found["jq"].state == ("ok" if shutil.which("jq") else "absent")


def test_the_acceptance_run(rrg: Rrg, tmp_path: Path) -> None:
    """What fails is told by its last line; what builds on it is not run."""
    done = rrg("doctor", "--accept", "tiny:test", "--folder", tmp_path, "--json", code=None)
    found = {each["part"]: each for each in map(json.loads, done.stdout.splitlines())}
    names = ["data set", "one train step", "box anchor", "one answer"]
    assert [found[name]["state"] for name in names] == ["ok"] * 4
    weights = tmp_path / "weights"
    weights.mkdir()
    done = rrg("doctor", "--accept", "tiny:huge", "--weights", weights, "--folder", tmp_path, "--json", code=1)
    found = {each["part"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert found["one train step"]["state"] == found["one volume"]["state"] == "broken"
    assert "expected tiny or one of" in found["one train step"]["said"]
    assert [found[name]["state"] for name in ("box anchor", "one answer")] == ["absent"] * 2
