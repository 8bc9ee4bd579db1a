"""A GGUF file in this process, and behind llama-cpp-python's own server: random weights, answers bound by grammar."""

import dataclasses
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrg import llm
from rrg.errors import RrgError, UsageError
from rrg.llm_local import Local
from rrg.llm_options import LlmOptions
from rrg.llm_reply import fit
from rrg.llm_settings import LlmSettings, Prompt, Reply, request_of
from tests.llm_tiny import write

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"word": {"enum": ["cyst", "mass"]}, "n": {"type": "string", "minLength": 1, "maxLength": 4}},
        "required": ["word", "n"],
        "additionalProperties": False,
    }
)
SYSTEM = "You answer in JSON. " * 20


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    llm.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def prompts(count: int) -> list[Prompt]:
    return [Prompt(SYSTEM, f"Question {n}: " + "what? " * (n % 3), SCHEMA) for n in range(count)]


def settings(path: Path, **more: Any) -> LlmSettings:
    return LlmOptions(where=str(path), threads=1, max_tokens=64, context=2048, **more).settings()


def raw(local: Local, asked: list[Prompt], known: LlmSettings) -> list[Reply]:
    found: dict[int, Reply] = {}
    local.run([request_of(prompt, known) for prompt in asked], found.__setitem__)
    return [found[i] for i in range(len(asked))]


def test_random_weights_answer_in_the_schema(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answers = llm.ask(prompts(6), settings(tiny))
    assert all(answer.problem == "" for answer in answers)
    for answer in answers:
        assert fit(answer.value, json.loads(SCHEMA)) == (answer.value, 0)
    llm.close()
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_answers_do_not_depend_on_what_was_asked_before(tiny: Path) -> None:
    known = settings(tiny)
    local = Local(known)
    try:
        asked = prompts(5)
        other = [prompt._replace(system="Another start.") for prompt in asked]
        whole = raw(local, asked, known)
        assert raw(local, asked[::-1], known) == whole[::-1]
        raw(local, other, known)
        assert [raw(local, [prompt], known)[0] for prompt in asked] == whole
    finally:
        local.close()


def test_the_shared_start_is_read_once(tiny: Path) -> None:
    known = settings(tiny)
    local = Local(known)
    read: list[int] = []
    evaluate = local._llm.eval
    local._llm.eval = lambda tokens: (read.append(len(tokens)), evaluate(tokens))[1]
    try:
        raw(local, prompts(3), known)
        long = [n for n in read if n > 1]
        assert long[0] > 400, "the shared start"
        assert all(n < 60 for n in long[1:])
        assert len(long) == 4
    finally:
        local._llm.eval = evaluate
        local.close()


def test_a_prompt_that_does_not_fit_has_no_answer(tiny: Path) -> None:
    long = Prompt(SYSTEM, "word " * 3000, SCHEMA)
    answers = llm.ask([*prompts(1), long, *prompts(2)[1:]], settings(tiny))
    assert [bool(answer.problem) for answer in answers] == [False, True, False]


@pytest.mark.parametrize(
    "template",
    [None, "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}"],
)
def test_files_without_a_template_or_without_a_system_turn(tmp_path: Path, template: str | None) -> None:
    path = write(tmp_path / "plain.gguf", template=template)
    assert [answer.problem for answer in llm.ask(prompts(2), settings(path))] == ["", ""]


def test_broken_files_are_refused_in_one_line(tmp_path: Path, tiny: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:-2000])
    for path in (cut, Path(__file__)):
        with pytest.raises(RrgError, match=r"not a whole GGUF file.*E_MODEL"):
            llm.ask(prompts(1), settings(path))
    with pytest.raises(UsageError, match="no such file"):
        settings(tmp_path / "none.gguf")


def test_the_identity_is_the_hash_of_the_file(tmp_path: Path, tiny: Path) -> None:
    copy = tmp_path / "other-name.gguf"
    copy.write_bytes(tiny.read_bytes())
    assert settings(tiny).identity == settings(copy).identity
    assert settings(tiny).identity.startswith("gguf:")
    assert settings(write(tmp_path / "b.gguf", seed=1)).identity != settings(tiny).identity


def test_close_before_exit_says_nothing(tiny: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rrg import llm; "
        "from tests.test_llm_local import prompts, settings; "
        "print(len(llm.ask(prompts(1), settings(Path(sys.argv[1])))))"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.fixture(scope="module")
def llama_server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    missing = [
        name
        for name in ("fastapi", "uvicorn", "sse_starlette", "starlette_context", "pydantic_settings")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        pytest.skip(f"llama-cpp-python's server needs {', '.join(missing)} (extra dev)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("server") / "log").open("wb")
    arguments = ["--model", tiny, "--model_alias", "tiny", "--host", "127.0.0.1", "--port", port, "--n_ctx", 2048]
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", *map(str, arguments), "--n_threads", "1", "--n_threads_batch", "1"],
        stdout=log,
        stderr=log,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                pytest.skip("llama-cpp-python's server does not start here")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()
        log.close()


def test_the_server_of_llama_cpp_answers_in_the_schema(llama_server: str) -> None:
    known = LlmOptions(where=llama_server, max_tokens=64, parallel=2, timeout_s=120).settings()
    assert known.identity == "server:tiny"
    answers = llm.ask(prompts(4), known)
    assert [answer.problem for answer in answers] == [""] * 4
    wrong = dataclasses.replace(known, name="large")
    assert [answer.problem for answer in llm.ask(prompts(1), wrong)] == [""], "it answers to every name"
    with pytest.raises(RrgError, match=r"does not serve large.*E_MODEL"):
        LlmOptions(where=llama_server, model="large").settings()
