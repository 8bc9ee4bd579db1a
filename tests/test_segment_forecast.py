"""Volumes/h and the forecast of rrg segment, with a clock of its own."""

import json
from pathlib import Path

import pytest

from rrg.keys import load_key
from rrg.pipe import Io
from rrg.segment_forecast import Forecast, volumes_ahead
from tests.mask_cases import make_slices, stream


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def body(study: int, own: int, shared: int = 0) -> bytes:
    """Mask lines of a study: `own` volumes of two slices, and `shared` ones."""
    lines = []
    for number in range(own + shared):
        taken = {"shared_from": f"{study}-0"} if number >= own else {}
        lines += [{"schema": "rrg.mask/1", "series": f"{study}-{number}", **taken}] * 2
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)


def test_the_first_line_comes_after_five_volumes_and_the_last_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    forecast = Forecast([2] * 10, clock)
    for study in range(10):
        clock.now += 120
        forecast.made(body(study, own=1, shared=1))
        said = capsys.readouterr().err
        assert bool(said) == (study == 4)
        if said:  # 5 volumes, 10 of 20 series, in 600 s
            assert said == "rrg segment: 5 volumes in 10 min, 30 volumes/h; at most 10 left, about 10 min\n"
    assert list(forecast.done({})) == ["10 volumes in 20 min, 30 volumes/h"]


def test_studies_out_of_the_journal_do_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    forecast = Forecast([1] * 106, clock)
    for study in range(100):
        clock.now += 0.01
        forecast.made(body(study, own=1))
    for study in range(100, 105):
        clock.now += 60
        forecast.made(body(study, own=1))
    assert capsys.readouterr().err == "rrg segment: 5 volumes in 5 min, 60 volumes/h; at most 1 left, about 60 s\n"


def test_a_run_without_volumes_says_nothing_and_a_pipe_knows_no_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(Forecast(None, Clock()).done({})) == []
    clock = Clock()
    forecast = Forecast(None, clock)
    clock.now += 3600 * 5
    forecast.made(body(0, own=50))
    assert capsys.readouterr().err.endswith(
        "50 volumes in 5.0 h, 10 volumes/h; how many are left is not known: the input is a pipe\n"
    )


def test_volumes_ahead_are_those_of_the_shard_that_may_be_segmented(tmp_path: Path, key_file: Path) -> None:
    import numpy as np

    key, pixels = load_key(key_file), np.zeros((12, 4, 4), np.int16)
    studies = []
    for number in range(6):
        uid = f"1.2.{number}"
        studies.append(
            [
                *make_slices(pixels, tmp_path / "store", key, f"{uid}.1", study=uid, patient=f"p{number}"),
                *make_slices(pixels, tmp_path / "store", key, f"{uid}.2", study=uid, patient=f"p{number}", role="mip"),
                *make_slices(pixels[:4], tmp_path / "store", key, f"{uid}.3", study=uid, patient=f"p{number}"),
            ]
        )
    files = tuple(
        stream(tmp_path / f"{i}.jsonl", [one for study in studies[3 * i : 3 * i + 3] for one in study])
        for i in range(2)
    )
    assert volumes_ahead(Io(inputs=files), 10) == [1] * 6
    assert volumes_ahead(Io(inputs=files), 1) == [2] * 6
    shards = [volumes_ahead(Io(inputs=files, shard=(i, 2)), 10) or [] for i in (1, 2)]
    assert sum(map(len, shards)) == 6
    assert all(len(shard) < 6 for shard in shards)
    assert volumes_ahead(Io(inputs=(Path("-"),)), 1) is None
    (tmp_path / "broken.jsonl").write_bytes(b'{"schema":"rrg.slice/1","series":"a"\n')
    assert volumes_ahead(Io(inputs=(tmp_path / "broken.jsonl",)), 1) is None
