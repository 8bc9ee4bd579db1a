"""Pseudonyms: keyed, stable, one secret file even when many processes start at once."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.errors import UsageError
from rrg.keys import fingerprint, load_key, pseudonym, shifted_day
from rrg.parallel import ordered_map
from rrg.provenance import make_run
from rrg.seeds import rng_for

A, B = b"a" * 32, b"b" * 32


def test_many_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    code = "import sys, pathlib; from rrg.keys import *; print(fingerprint(load_key(pathlib.Path(sys.argv[1]))))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    said = {process.communicate()[0] for process in started}
    assert len(said) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"short")
    with pytest.raises(UsageError, match="5 bytes, 32 are needed"):
        load_key(path)


@given(st.text(), st.text())
def test_pseudonyms_depend_on_key_kind_and_value(one: str, two: str) -> None:
    assert pseudonym(A, "study", one) == pseudonym(A, "study", one)
    assert pseudonym(A, "study", one) != pseudonym(B, "study", one)
    assert pseudonym(A, "study", one) != pseudonym(A, "patient", one)
    assert (pseudonym(A, "study", one) == pseudonym(A, "study", two)) == (one == two)
    assert fingerprint(A) != fingerprint(B)


def test_days_keep_their_distance_and_hide_the_date() -> None:
    first, second = (shifted_day(A, "p", date) for date in ("20240229", "20240301"))
    assert first is not None
    assert second is not None
    assert second - first == 1
    assert shifted_day(A, "q", "20240229") != first
    assert shifted_day(A, "p", "") is None
    assert shifted_day(A, "p", "20231345") is None


def test_random_numbers_belong_to_the_record() -> None:
    assert rng_for(0, "x", "a").random() == rng_for(0, "x", "a").random()
    draws = {rng_for(seed, command, key).random() for seed in (0, 1) for command in "xy" for key in "ab"}
    assert len(draws) == 8


def test_a_run_id_is_what_was_asked_and_nothing_else() -> None:
    base = make_run("x", {"a": 1, "b": None}, seed=0, inputs={"w": "1"})
    assert base.id == make_run("x", {"a": 1}, seed=0, inputs={"w": "1"}).id
    others = [
        make_run("y", {"a": 1}, seed=0, inputs={"w": "1"}),
        make_run("x", {"a": 2}, seed=0, inputs={"w": "1"}),
        make_run("x", {"a": 1}, seed=1, inputs={"w": "1"}),
        make_run("x", {"a": 1}, seed=0, inputs={"w": "2"}),
    ]
    assert len({base.id, *(run.id for run in others)}) == 5


def square(x: int) -> int:
    return x * x


@pytest.mark.parametrize("workers", [1, 2])
def test_ordered_map_keeps_order_and_reads_a_bounded_window_ahead(workers: int) -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        for x in range(100):
            read += 1
            yield x

    results = ordered_map(square, source(), workers)
    assert next(results) == 0
    assert read <= 4 * workers + 1
    assert list(results) == [x * x for x in range(1, 100)]
