"""The answer cache: torn lines, copied folders, several processes, and answers without a model."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrg import llm
from rrg.errors import RrgError, UsageError
from rrg.llm_cache import Cache
from rrg.llm_options import LlmOptions
from rrg.llm_settings import LlmSettings, Prompt, Reply, Request, request_of
from tests.llm_server import Say, serve

ID = "server:model-a"
SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    llm.close()


def request(n: int, **more: Any) -> Request:
    return request_of(Prompt("s", str(n), SCHEMA), LlmSettings(**{"identity": ID, **more}))


def test_keys_hold_all_that_changes_an_answer_and_nothing_else() -> None:
    base = request(1).key
    changing = [{"identity": "server:model-b"}, {"seed": 1}, {"temperature": 0.5}, {"max_tokens": 9}]
    still = [
        {"parallel": 3},
        {"urls": ("http://x",)},
        {"cache": "c"},
        {"timeout_s": 1.0},
        {"meter": "m"},
        {"threads": 4},
    ]
    assert len({base, request(2).key, *(request(1, **more).key for more in changing)}) == 6
    assert {request(1, **more).key for more in still} == {base}


def test_answers_come_back_and_the_first_one_wins(tmp_path: Path) -> None:
    one, two = Cache(str(tmp_path), ID), Cache(str(tmp_path), ID)
    assert one.put(request(1), Reply("a", "stop", 3, 4)) == Reply("a", "stop", 3, 4)
    assert two.put(request(1), Reply("b", "stop")) == Reply("a", "stop", 3, 4), "another process was faster"
    two.put(request(2), Reply("ü\n\u2028", "length"))
    fresh = Cache(str(tmp_path), ID)
    assert fresh.get(request(1).key) == Reply("a", "stop", 3, 4)
    assert fresh.get(request(2).key) == Reply("ü\n\u2028", "length")
    assert fresh.get(request(3).key) is None
    files = list(tmp_path.glob("*.jsonl"))
    assert len(files) == 2, "each process writes a file of its own"
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert Cache(str(tmp_path), "server:model-b").get(request(1).key) is None
    assert fresh.identities() == [ID]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_no_answer(tmp_path: Path, cut: int) -> None:
    cache = Cache(str(tmp_path), ID)
    cache.put(request(1), Reply("a", "stop"))
    cache.put(request(2), Reply("b", "stop"))
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-cut])
    fresh = Cache(str(tmp_path), ID)
    assert fresh.get(request(1).key) == Reply("a", "stop")
    assert fresh.get(request(2).key) is None
    fresh.put(request(2), Reply("c", "stop"))
    assert Cache(str(tmp_path), ID).get(request(2).key) == Reply("c", "stop")


def test_lines_that_are_no_answers_are_passed_over(tmp_path: Path) -> None:
    Cache(str(tmp_path), ID).put(request(1), Reply("a", "stop"))
    bad = [b"", b"[]", b"{}", b'{"key": 1}', b'{"key": "zz"}', b"\xff\xfe", b'{"key":"00","model":"m","content":1}']
    (tmp_path / "junk.jsonl").write_bytes(b"\n".join(bad) + b"\n")
    assert Cache(str(tmp_path), ID).get(request(1).key) == Reply("a", "stop")


def test_folders_are_merged_by_copying(tmp_path: Path) -> None:
    for name, content in (("a", "one"), ("b", "two")):
        cache = Cache(str(tmp_path / name), ID)
        cache.put(request(0), Reply(content, "stop"))
        cache.put(request(len(content) + ord(name)), Reply(name, "stop"))
    for order, (first, second) in {"ab": ("a", "b"), "ba": ("b", "a")}.items():
        for name in (first, second):
            for path in (tmp_path / name).glob("*.jsonl"):
                (tmp_path / order).mkdir(exist_ok=True)
                shutil.copy(path, tmp_path / order / f"{order.index(name)}{path.name}")
    both = [Cache(str(tmp_path / order), ID) for order in ("ab", "ba")]
    assert both[0].get(request(0).key) == both[1].get(request(0).key), "whatever the files are called"
    assert all(cache.get(request(3 + ord("a")).key) == Reply("a", "stop") for cache in both)
    assert all(cache.get(request(3 + ord("b")).key) == Reply("b", "stop") for cache in both)


def _put_many(folder: str, name: str) -> list[str]:
    cache = Cache(folder, ID)
    return [cache.put(request(n), Reply(f"{name}{n}", "stop")).content for n in range(60)]


def test_processes_agree_on_every_answer(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        seen = pool.starmap(_put_many, [(str(tmp_path), name) for name in "abc"])
    assert seen[0] == seen[1] == seen[2]
    fresh = Cache(str(tmp_path), ID)
    assert [fresh.get(request(n).key) for n in range(60)] == [Reply(content, "stop") for content in seen[0]]


def test_cache_only_needs_no_model(tmp_path: Path) -> None:
    asked = [Prompt("s", str(n), SCHEMA) for n in range(3)]
    with serve(lambda body, _: Say(json.dumps({"n": int(body["messages"][1]["content"])}))) as fake:
        answers = llm.ask(asked, LlmOptions(where=fake.url, cache=tmp_path).settings())
        llm.close()
    only = LlmOptions(cache=tmp_path, cache_only=True)
    assert only.settings().identity == ID
    assert llm.ask(asked, only.settings()) == answers
    (missed,) = llm.ask([Prompt("s", "9", SCHEMA)], only.settings())
    assert (missed.value, missed.problem) == (None, "not in the answer cache")
    Cache(str(tmp_path), "gguf:00").put(request(5, identity="gguf:00"), Reply("x", "stop"))
    with pytest.raises(UsageError, match="holds answers of gguf:00, server:model-a; choose one with --llm-model"):
        only.settings()
    assert LlmOptions(cache=tmp_path, cache_only=True, model="model-a").settings().identity == ID
    with pytest.raises(RrgError, match="no folder"):
        LlmOptions(cache=tmp_path / "none", cache_only=True).settings()
    with pytest.raises(UsageError, match="--llm is missing"):
        LlmOptions().settings()
    with pytest.raises(UsageError, match="needs --llm-cache"):
        LlmOptions(cache_only=True).settings()
