"""The jail: whatever native code does, one job fails with a code and the next one goes on."""

import itertools
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rrg import jail
from rrg.errors import RecordError, RrgError
from rrg.jail import Job, Limits, run
from rrg.parallel import ordered_map

ROOT = Path(__file__).parents[1]
USUAL = Limits(memory_bytes=256 << 20, cpu_seconds=20, wall_seconds=60)


def job(name: str, out: bytearray, *arguments: int | str, data: bytes = b"", limits: Limits = USUAL) -> Job:
    return Job(f"tests.jail_stubs:{name}", data, arguments, memoryview(out), limits)


def one(name: str, *arguments: int | str, size: int = 8, data: bytes = b"", limits: Limits = USUAL) -> bytes:
    """The answer to a single job; raises why it failed."""
    out = bytearray(size)
    for error in run([job(name, out, *arguments, data=data, limits=limits)]):
        if error is not None:
            raise error
    return bytes(out)


def crash_of(name: str, *arguments: int | str, limits: Limits = USUAL) -> str:
    with pytest.raises(RecordError) as caught:
        one(name, *arguments, limits=limits)
    assert caught.value.code == "E_DECODER_CRASH"
    assert one("echo", data=b"next one", size=8) == b"next one", "the next job goes on"
    return caught.value.message


def test_bytes_go_there_and_back() -> None:
    large = os.urandom(1 << 16) * 100
    assert one("echo", data=large, size=len(large)) == large
    assert one("echo", size=0) == b""
    outs = [bytearray(2) for _ in range(5)]
    jobs = [job("echo", out, data=b"%02d" % number) for number, out in enumerate(outs)]
    assert list(run(jobs)) == [None] * 5
    assert b"".join(outs) == b"0001020304"


def test_one_child_serves_many_jobs_and_two_work_side_by_side() -> None:
    assert one("pid") == one("pid")
    outs = [bytearray(24) for _ in range(6)]
    list(run([job("nap", out) for out in outs], children=2))
    naps = [struct.unpack("<Qdd", out) for out in outs]
    assert len({pid for pid, _, _ in naps}) == 2
    assert any(one[2] > other[1] for one, other in itertools.pairwise(naps)), "one starts before another ends"


def test_jobs_are_asked_for_when_a_child_is_free() -> None:
    asked: list[int] = []
    outs = [bytearray(2) for _ in range(4)]

    def jobs() -> Iterator[Job]:
        for number, out in enumerate(outs):
            asked.append(number)
            yield job("echo", out, data=b"ab")

    results = run(jobs())
    next(results)
    assert asked == [0, 1]
    results.close()  # type: ignore[attr-defined]
    assert one("echo", data=b"ab", size=2) == b"ab", "left early: nobody waits for, or gets, an old answer"


def test_two_runs_at_once_do_not_mix_their_answers() -> None:
    first, second = ([bytearray(2) for _ in range(3)] for _ in range(2))
    runs = [run([job("echo", out, data=name * 2) for out in outs]) for outs, name in ((first, b"a"), (second, b"b"))]
    for _ in range(3):
        for results in runs:
            assert next(results) is None
    assert (b"".join(first), b"".join(second)) == (b"a" * 6, b"b" * 6)


@pytest.mark.parametrize(("name", "sign"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT"), ("leave", "exit code 0")])
def test_a_crash_costs_one_job(name: str, sign: str) -> None:
    before = one("pid")
    assert sign in crash_of(name)
    assert one("pid") != before


def test_a_loop_is_stopped_by_its_processor_time() -> None:
    start = time.monotonic()
    message = crash_of("loop", limits=USUAL._replace(cpu_seconds=1))
    assert "1 s of processor time" in message
    assert time.monotonic() - start < 30


def test_time_of_earlier_jobs_does_not_count() -> None:
    for _ in range(4):
        assert one("echo", limits=USUAL._replace(cpu_seconds=1), size=0) == b""


def test_a_wait_is_stopped_by_the_clock() -> None:
    start = time.monotonic()
    assert "more than 1 s" in crash_of("sleep", limits=USUAL._replace(wall_seconds=1))
    assert time.monotonic() - start < 10


def test_twenty_gigabytes_are_not_given() -> None:
    assert "more than 268 MB of memory" in crash_of("allocate", 20)
    assert one("malloc", 20 << 10, size=1) == b"\0", "C gets none either"
    assert one("malloc", 20, size=1) == b"\1", "what is allowed is given"


def test_a_child_that_leaks_is_replaced_and_its_jobs_do_not_suffer() -> None:
    seen = set()
    for _ in range(12):
        assert one("malloc", 100, size=1) == b"\1"
        seen.add(one("pid"))
    assert 2 <= len(seen) <= 6


def test_streams_of_a_decoder_are_not_ours(capfd: pytest.CaptureFixture[str]) -> None:
    assert one("chatter", size=6) == b"answer"
    assert capfd.readouterr() == ("", "")


def test_no_core_file_and_no_other_file(tmp_path: Path) -> None:
    assert one("core_limit") == b"(0, 0)  "
    assert one("write", str(tmp_path / "out"), size=7) == b"refused"
    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size == 0


def test_errors_of_a_function_do_not_quote() -> None:
    with pytest.raises(RecordError, match="ValueError") as caught:
        one("quoting")
    assert caught.value.code == "E_MALFORMED"
    assert "Mustermann" not in caught.value.message
    before = one("pid")
    with pytest.raises(RecordError, match="decodes to 3 bytes, its header says 2") as caught:
        one("too_long", data=b"ab", size=2)
    assert caught.value.code == "E_MALFORMED"
    assert one("pid") == before, "an exception is no crash"


def test_signals_are_for_the_parent() -> None:
    child = int.from_bytes(one("pid"), "little")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        os.kill(child, number)
    assert int.from_bytes(one("pid"), "little") == child


def test_a_signal_during_the_start_is_no_crash() -> None:
    """Ctrl-C reaches the whole foreground group, a child that starts too."""
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from rrg import jail
from tests.test_jail import job
caught = []
signal.signal(signal.SIGINT, lambda *_: caught.append(1))
for _ in range(3):
    out = bytearray(4)
    running = jail._Child()
    running.send(job("echo", out, data=b"done"))
    os.killpg(0, signal.SIGINT)
    print(running.receive(job("echo", out)), bytes(out), bool(caught))
    running.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, start_new_session=True)
    assert done.stdout == b"None b'done' True\n" * 3, done.stderr.decode()


def test_killed_from_outside_is_tried_once_more(tmp_path: Path) -> None:
    assert one("killed_once", str(tmp_path / "mark"), data=b"answer", size=6) == b"answer"
    assert "SIGKILL" in crash_of("killed")


def test_killed_while_idle_is_not_noticed() -> None:
    child = int.from_bytes(one("pid"), "little")
    os.kill(child, signal.SIGKILL)
    time.sleep(0.1)
    assert int.from_bytes(one("pid"), "little") != child


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def until(true: Callable[[], bool]) -> bool:
    for _ in range(100):
        if true():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("busy", [False, True])
def test_a_child_dies_with_its_parent(*, busy: bool) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.test_jail import one
print(int.from_bytes(one("pid"), "little"), flush=True)
one("loop") if {busy} else time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        assert not gone(child)
        parent.kill()
    assert until(lambda: gone(child))


def test_a_fork_gets_children_of_its_own() -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.test_jail import one
first = one("pid")
if (forked := os.fork()) == 0:
    os._exit(0 if one("pid") != first and one("echo", data=b"x", size=1) == b"x" else 1)
assert os.waitpid(forked, 0)[1] == 0
assert one("pid") == first
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_threads_have_children_of_their_own() -> None:
    found: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        found[number] = [one("pid"), one("nap", size=24)[:8], one("pid")]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(set(pids)) == 1 for pids in found.values())
    assert found[0] != found[1]
    assert until(lambda: all(gone(int.from_bytes(pids[0], "little")) for pids in found.values()))
    assert one("echo", data=b"x", size=1) == b"x"


def codes(number: int) -> list[str]:
    """What a worker of `ordered_map` sees of three jobs."""
    outs = [bytearray(8) for _ in range(3)]
    names = ["echo", "segfault" if number % 2 else "abort", "echo"]
    jobs = [job(name, out, data=b"12345678") for name, out in zip(names, outs, strict=True)]
    return ["" if error is None else error.code for error in run(jobs)]


def test_inside_worker_processes() -> None:
    assert list(ordered_map(codes, range(4), workers=2)) == [["", "E_DECODER_CRASH", ""]] * 4


def test_a_child_that_can_not_start_stops_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for executable in ("/bin/false", str(tmp_path / "none")):
        monkeypatch.setattr(sys, "executable", executable)
        monkeypatch.setattr(jail, "_LOCAL", jail._Local())
        with pytest.raises(RrgError, match=r"can not be started .* \[E_MEMORY\]"):
            one("echo", size=0)


def test_the_start_is_quick() -> None:
    took = []
    for _ in range(3):
        child, task = jail._Child(), job("echo", bytearray(0))
        start = time.perf_counter()
        child.send(task)
        assert child.receive(task) is None
        took.append(time.perf_counter() - start)
        child.close()
    assert min(took) < 0.6
