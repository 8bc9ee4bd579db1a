"""The client against servers: order, many in flight, every fault of network and server, bounded, told in one line."""

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrg import llm
from rrg.errors import RrgError, UsageError
from rrg.llm_options import LlmOptions, recorded
from rrg.llm_settings import LlmSettings, Prompt
from rrg.llm_wire import check_url
from tests.llm_server import Reaction, Say, serve

SCHEMA = json.dumps(
    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    llm.close()


def prompts(count: int) -> list[Prompt]:
    return [Prompt("Give the number back.", str(n), SCHEMA) for n in range(count)]


def echo(request: dict[str, Any], _number: int) -> Say:
    return Say(json.dumps({"n": int(request["messages"][1]["content"])}))


def settings(*urls: str, **more: Any) -> LlmSettings:
    known: dict[str, Any] = {"identity": "server:model-a", "name": "model-a", "tries": 2, "timeout_s": 5.0}
    return LlmSettings(urls=urls, **{**known, **more})


def values(answers: list[llm.Answer]) -> list[Any]:
    return [answer.value and answer.value["n"] for answer in answers]


def test_answers_keep_their_order_and_many_are_in_flight() -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        return dataclasses.replace(echo(request, number), wait_s=0.02 * (number % 3))

    with serve(react) as fake:
        asked = prompts(24)
        assert values(llm.ask([*asked, *asked], settings(fake.url, parallel=6))) == [*range(24)] * 2
        assert len(fake.requests) == 24, "equal prompts are asked once"
        assert 4 <= fake.most_at_once <= 6
        first = fake.requests[0]
        assert first["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)
        assert (first["temperature"], first["seed"], first["model"]) == (0.0, 0, "model-a")


def test_several_servers_share_the_work_and_one_may_be_down() -> None:
    with serve(echo) as one, serve(echo) as two:
        assert values(llm.ask(prompts(20), settings(one.url, two.url))) == [*range(20)]
        assert len(one.requests) >= 5
        assert len(two.requests) >= 5
        dead = "http://127.0.0.1:9/v1"
        assert values(llm.ask(prompts(20), settings(dead, two.url))) == [*range(20)]


FAULTS = {
    "429": Say(status=429, headers={"Retry-After": "0.05"}, raw=b"{}"),
    "429 without a time": Say(status=429, raw=b"{}"),
    "429 with a date": Say(status=429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, raw=b"{}"),
    "503": Say(status=503, raw=b"<html>"),
    "500": Say(status=500, raw=b"{}"),
    "closed at once": Say("", drop="at once"),
    "lost midway": Say('{"n": 1}', drop="midway"),
    "no chat completion": Say(raw=b'{"error": {"message": "overloaded"}}'),
    "html with status 200": Say(raw=b"<html>busy</html>"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_not_seen(fault: str) -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        return FAULTS[fault] if number in (0, 3) else echo(request, number)

    with serve(react) as fake:
        assert values(llm.ask(prompts(4), settings(fake.url, parallel=2, tries=3))) == [0, 1, 2, 3]
        assert len(fake.requests) == 6


def test_retry_after_is_kept() -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        return Say(status=429, headers={"Retry-After": "1"}, raw=b"{}") if number == 0 else echo(request, number)

    with serve(react) as fake:
        began = time.monotonic()
        assert values(llm.ask(prompts(1), settings(fake.url))) == [0]
        assert 1.0 <= time.monotonic() - began < 3.0


@pytest.mark.parametrize("how", ["silent", "drip"])
def test_a_slow_answer_is_given_up_in_time(how: str) -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        if number == 0:
            return Say('{"n": 1}', wait_s=3.0) if how == "silent" else Say("x" * 400, drop="drip")
        return echo(request, number)

    with serve(react) as fake:
        began = time.monotonic()
        assert values(llm.ask(prompts(1), settings(fake.url, timeout_s=1.0))) == [0]
        assert time.monotonic() - began < 3.0


@pytest.mark.parametrize("say", [FAULTS["503"], FAULTS["closed at once"], FAULTS["no chat completion"]])
def test_all_down_stops_after_bounded_tries(say: Say) -> None:
    with serve(lambda _request, _number: say) as fake:
        with pytest.raises(RrgError, match=r"the language model is down: .* \[E_LLM_DOWN\]$"):
            llm.ask(prompts(1), settings(fake.url))
        assert 2 <= len(fake.requests) <= 4


def test_a_busy_server_is_asked_longer_but_not_for_ever() -> None:
    with serve(lambda _request, _number: FAULTS["429"]) as fake:
        with pytest.raises(RrgError, match=r"too many requests .*E_LLM_DOWN"):
            llm.ask(prompts(1), settings(fake.url, tries=1))
        assert len(fake.requests) == 4


def test_no_server_at_all() -> None:
    nobody = LlmOptions(where="http://127.0.0.1:9/v1", tries=2)
    with pytest.raises(RrgError, match=r"no language model server answers .*E_LLM_DOWN"):
        nobody.settings()


def test_another_model_stops_the_run() -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        return dataclasses.replace(echo(request, number), model="model-b" if number == 2 else None)

    with serve(react) as fake, pytest.raises(RrgError, match=r"model model-b, expected model-a.*E_MODEL"):
        llm.ask(prompts(6), settings(fake.url, parallel=1))
    with serve(echo) as one, serve(echo, ("model-b",)) as two:
        with pytest.raises(RrgError, match=r"does not serve model-a, but model-b.*E_MODEL"):
            LlmOptions(where=f"{one.url},{two.url}", model="model-a").settings()
        with pytest.raises(UsageError, match="model-a, model-b"):
            LlmOptions(where=f"{one.url},{two.url}").settings()


def test_the_identity_is_the_served_name_without_address_and_folder() -> None:
    with serve(echo, ("/srv/models/small.gguf",)) as fake:
        found = LlmOptions(where=f" {fake.url}/ ", parallel=3).settings()
        assert (found.identity, found.name) == ("server:small.gguf", "/srv/models/small.gguf")
        assert "127" not in json.dumps(recorded(found))
        found = dataclasses.replace(found, name="small.gguf")
        assert values(llm.ask(prompts(1), found)) == [0]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_server_that_refuses_the_schema_is_asked_plainly(level: int) -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        kind = request.get("response_format", {}).get("type")
        own = 3 if "max_completion_tokens" in request else {"json_schema": 0, "json_object": 1}.get(kind, 2)
        return Say(status=400 if own < level else 200, raw=b"{}") if own < level else echo(request, number)

    with serve(react) as fake:
        assert values(llm.ask(prompts(5), settings(fake.url, parallel=1))) == [*range(5)]
        assert len(fake.requests) == 5 + level, "the form that works is remembered"


def test_a_prompt_that_is_refused_has_no_answer_and_the_others_do(tmp_path: Path) -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        if request["messages"][1]["content"] == "1":
            return Say(status=400, raw=b"too long")
        if request["messages"][1]["content"] == "2":
            return Say(status=500, raw=b"crash")
        return echo(request, number)

    with serve(react) as fake:
        answers = llm.ask(prompts(4), settings(fake.url, parallel=2, cache=str(tmp_path)))
        assert values(answers) == [0, None, None, 3]
        assert answers[1].problem == "the model's server does not take this prompt"
        llm.close()
        again = settings(fake.url, cache=str(tmp_path), cache_only=True)
        assert llm.ask(prompts(4), again) == answers, "a refusal is an answer of the cache too"


def test_one_retry_with_another_seed_and_more_room() -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        content = request["messages"][1]["content"]
        if content == "0" and request["seed"] == 0:
            return Say("", finish="length")
        return Say("I can not.") if content == "1" else echo(request, number)

    with serve(react) as fake:
        answers = llm.ask(prompts(3), settings(fake.url, parallel=1))
        assert values(answers) == [0, None, 2]
        assert answers[1].problem == "no JSON"
        second = fake.requests[3]
        assert (second["seed"], second["max_tokens"], second["temperature"] > 0) == (1, 4096, True)
        assert fake.requests[4]["max_tokens"] == 2048
        assert len(fake.requests) == 5


def test_accept_may_refuse_a_value() -> None:
    with serve(echo) as fake:
        answers = llm.ask(prompts(3), settings(fake.url), lambda n, value: "odd" if value["n"] % 2 else "")
        assert [answer.problem for answer in answers] == ["", "odd", ""]


def test_the_key_is_sent_and_never_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with serve(echo) as fake:
        mine = settings(fake.url, key_env="MY_KEY")
        assert values(llm.ask(prompts(1), mine)) == [0]
        assert fake.heads[0]["Authorization"] == "Bearer sk-secret"
        assert "sk-secret" not in repr(mine)
    monkeypatch.setenv("MY_KEY", "sk-secret\nX-Other: 1")
    with pytest.raises(UsageError) as caught:
        LlmOptions(where="http://127.0.0.1:9/v1", key_env="MY_KEY").settings()
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with (
        serve(lambda _request, _number: Say(status=401, raw=b"sk-secret is wrong")) as fake,
        pytest.raises(RrgError, match="refuses the key") as refused,
    ):
        llm.ask(prompts(1), settings(fake.url, key_env="MY_KEY"))
    assert "sk-secret" not in str(refused.value)


def test_proxies_of_the_environment_are_ignored_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve(echo) as fake:
        assert values(llm.ask(prompts(1), settings(fake.url))) == [0]
        with pytest.raises(RrgError, match="E_LLM_DOWN"):
            llm.ask(prompts(1), settings(fake.url, proxies=True, tries=1))


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "http://", "http://user:pw@host/v1", "http://host:99999/v1", "http://host/v1?key=1"]
)
def test_addresses_that_can_not_be_asked(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert "pw" not in str(caught.value)


def test_a_stopped_run_leaves_no_thread_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def react(_request: dict[str, Any], number: int) -> Say:
        return Say(status=404, raw=b"{}") if number == 0 else Say(status=503, raw=b"")

    with serve(react) as fake:
        before = threading.active_count()
        with pytest.raises(RrgError, match="HTTP 404"):
            llm.ask(prompts(30), settings(fake.url, parallel=4, tries=50))
        time.sleep(0.3)
        asked = len(fake.requests)
        time.sleep(0.5)
        assert len(fake.requests) == asked
        assert threading.active_count() <= before + 4 + 1


def test_jitter_does_not_touch_global_random_numbers() -> None:
    import random

    state = random.getstate()
    flaky: Reaction = lambda request, number: FAULTS["503"] if number == 0 else echo(request, number)  # noqa: E731
    with serve(flaky) as fake:
        assert values(llm.ask(prompts(1), settings(fake.url))) == [0]
    assert random.getstate() == state


def test_meter_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rrg.llm_meter import Watch

    monkeypatch.delenv("RRG_QUIET", raising=False)
    watch = Watch("stage", 1, " reports")
    with serve(echo) as fake:
        mine = settings(fake.url, cache=str(tmp_path), meter=watch.folder)
        llm.ask(prompts(4), mine)
        llm.ask(prompts(4), mine)
        llm.counted(mine)
    watch.close()
    assert "rrg stage: language model: 8 answers, 50 % from the cache, " in capsys.readouterr().err
    assert not Path(watch.folder).exists()
