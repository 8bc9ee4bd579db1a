"""Pseudonyms: keyed, stable, one secret file even when many processes start at once."""

import datetime
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrg.errors import UsageError
from rrg.keys import Dates, date_fields, date_of, fingerprint, load_key, pseudonym, shifted_day
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


GOOD = bytes(range(100, 132))


def a_key(path: Path, held: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(held)
    path.chmod(mode)
    return path


def test_a_key_is_32_bytes_or_64_hex_digits(tmp_path: Path) -> None:
    assert load_key(a_key(tmp_path / "raw", GOOD)) == GOOD
    assert load_key(a_key(tmp_path / "hex", GOOD.hex().encode())) == GOOD
    assert load_key(a_key(tmp_path / "line", GOOD.hex().upper().encode() + b"\n")) == GOOD


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"", "holds 0 bytes; 32 random bytes or 64 hex digits are needed"),
        (b"short", "holds 5 bytes;"),
        (GOOD[:31], "holds 31 bytes;"),
        (GOOD + b"\n", "holds 33 bytes;"),
        (GOOD.hex().encode()[:63], "holds 63 bytes;"),
        (b"Befund: kein Nachweis einer Raumforderung in der Leber. " * 20, "holds 128 or more bytes;"),
        (b"a text of just thirty-two chars.", "holds text;"),
        (b"0123456789abcdef" * 2, "holds text;"),
        (b"\0" * 32, "holds 1 different bytes and is not random"),
        (b"00" * 32, "holds 1 different bytes and is not random"),
        (GOOD[:8] * 4, "is not random|holds text"),
    ],
)
def test_what_is_no_random_key_is_refused_in_one_line(tmp_path: Path, held: bytes, said: str) -> None:
    path = a_key(tmp_path / "key", held)
    with pytest.raises(UsageError, match=said) as caught:
        load_key(path)
    assert "\n" not in str(caught.value)
    assert "--key-file" in str(caught.value)
    assert "Befund" not in str(caught.value)


@pytest.mark.parametrize(("mode", "taken"), [(0o600, True), (0o400, True), (0o640, True), (0o644, False)])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int, taken: bool) -> None:
    path = a_key(tmp_path / "key", GOOD, mode)
    if taken:
        assert load_key(path) == GOOD
    else:
        with pytest.raises(UsageError, match=r"open to other users \(mode 0644\); chmod 600 it"):
            load_key(path)


def test_a_key_that_the_group_may_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\(mode 0660\)"):
        load_key(a_key(tmp_path / "key", GOOD, 0o660))


def test_a_missing_key_is_made_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    with pytest.raises(UsageError, match="is not there, and separate runs must share one"):
        load_key(path, create=False)
    assert not path.parent.exists()
    made = load_key(path)
    assert load_key(path, create=False) == made
    assert len(made) == 32
    assert path.read_bytes() == made


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


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("20240229", "2024-02-29"),
        (" 20240229 ", "2024-02-29"),
        ("2024.02.29", "2024-02-29"),
        ("20240229120000.000000+0100", "2024-02-29"),
        ("", None),
        (None, None),
        ("20230229", None),
        ("20231345", None),
        ("00010101", None),
        ("18000101", None),
        ("99991231", None),
        ("2024022", None),
        ("2024 2 9", None),
        ("٢٠٢٤٠٢٢٩", None),
        ("unknown", None),
    ],
)
def test_dates_of_dicom(text: str | None, date: str | None) -> None:
    found = date_of(text)
    assert (found.isoformat() if found else None) == date
    nothing = {"study_day": None, "study_date": None, "study_year": None}
    assert date_fields(A, "p", text, "keep") == nothing | {"study_date": date}
    assert date_fields(A, "p", text, "year") == nothing | {"study_year": int(date[:4]) if date else None}
    assert date_fields(A, "p", text, "shift") == nothing | {"study_day": shifted_day(A, "p", text)}


dates = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))


@given(dates, dates, st.text(max_size=8))
def test_one_patient_has_one_shift_everywhere(first: datetime.date, second: datetime.date, patient: str) -> None:
    days = [date_fields(A, patient, day.strftime("%Y%m%d"), "shift")["study_day"] for day in (first, second)]
    assert days[0] is not None
    assert days[1] is not None
    assert days[1] - days[0] == (second - first).days
    assert 0 <= first.toordinal() - days[0] < 36_500


def test_the_shift_hangs_on_patient_and_key() -> None:
    days = {shifted_day(key, patient, "20240229") for key in (A, B) for patient in ("p", "q", "r")}
    assert len(days) == 6


@pytest.mark.parametrize("choice", ["keep", "shift", "year"])
def test_one_way_to_tell_a_date_at_a_time(choice: Dates) -> None:
    """The real date beside the shifted one would give the patient's shift away."""
    fields = date_fields(A, "p", "20240229", choice)
    assert sum(value is not None for value in fields.values()) == 1


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
