"""`rrg infer --model http://...`: what is sent, how answers are read, the cache, many at once, faults."""

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rrg.boxes import Dialect
from rrg.errors import UsageError
from rrg.model.server import dialect_of, messages_of
from rrg.prompt import MEDIA
from tests.llm_server import Say, serve


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def told(done: Any) -> list[dict[str, Any]]:
    return [each for each in map(json.loads, done.stdout.splitlines()) if each["schema"] == "rrg.prediction/1"]


def test_pictures_are_sent_and_boxes_come_back(rrg: Any, picture: Path, tmp_path: Path) -> None:
    def react(request: dict[str, Any], number: int) -> Say:
        return Say('Die Leber: [{"bbox_2d": [250, 500, 500, 1000], "label": "Leber"}]', wait_s=0.3)

    words = ["infer", picture, "--box-dialect", "qwen3-vl", "--image-side", "56", "--lang", "de", "--parallel", 3]
    words += [word for number in range(6) for word in ("-q", f"Frage {number}?")]
    with serve(react, ("vl-model",)) as fake:
        done = rrg(*words, "--model", fake.url, "--answer-cache", tmp_path / "cache")
        assert fake.most_at_once == 3
        assert len(fake.requests) == 6
        again = rrg(*words, "--model", fake.url, "--answer-cache", tmp_path / "cache")
        assert len(fake.requests) == 6  # the cache
        other = rrg(*words[:-2], "--model", fake.url, "--image-side", "28")
        assert len(fake.requests) == 11
    assert again.stdout == done.stdout
    assert other.stdout != done.stdout
    first = fake.requests[0]
    (message,) = first["messages"]
    image, text = message["content"]
    assert (message["role"], text["type"], first["model"]) == ("user", "text", "vl-model")
    assert {request["messages"][0]["content"][1]["text"] for request in fake.requests[:6]} == {
        f"Frage {number}?" for number in range(6)
    }
    sent = Image.open(io.BytesIO(base64.b64decode(image["image_url"]["url"].partition(",")[2])))
    assert sent.size == (56, 56)
    assert "response_format" not in first
    answers = told(done)
    assert [each["question"] for each in answers] == [f"Frage {number}?" for number in range(6)]
    assert {(each["backend"], each["model"]) for each in answers} == {("server", "server:vl-model")}
    (region,) = answers[0]["mentions"][0]["regions"]
    assert (region["label"], region["boxes"]) == ("liver", [{"x0": 20.0, "y0": 30.0, "x1": 40.0, "y1": 60.0}])
    run = json.loads(done.stdout.splitlines()[0])
    assert run["options"]["box_dialect"] == "qwen3-vl:1000"
    assert answers[0]["notice"].startswith("nur für die Forschung")


def test_what_a_server_can_do_wrong_is_one_line(rrg: Any, picture: Path) -> None:
    with serve(lambda request, number: Say("x", status=400)) as fake:
        refused = rrg("infer", picture, "--model", fake.url, "--box-dialect", "none", code=1)
        assert b"refuses the question or its picture" in refused.stdout
        named = rrg("infer", picture, "--model", fake.url, "--box-dialect", "none", "--model-name", "other", code=1)
        assert b"does not serve other" in named.stderr
        for words, wanted in [
            (("--model", fake.url), b"give --box-dialect"),
            (("--model", fake.url, "--box-dialect", "x"), b"--box-dialect x: expected one of"),
            (("--model", "http://a b", "--box-dialect", "none"), b"--model http://a b: expected"),
            (("--model", "run", "--box-dialect", "none"), b"--box-dialect is for servers"),
        ]:
            done = rrg("infer", picture, *words, code=2)
            assert done.stderr.count(b"\n") == 1
            assert wanted in done.stderr


def test_a_conversation_becomes_messages() -> None:
    picture = np.full((8, 8, 3), 7, np.uint8)
    prompt = f"<|system|>S<|user|>{MEDIA}Was?<|assistant|>Das.</s><|user|>Und < |user|>?<|assistant|>"
    system, first, answer, last = messages_of(prompt, [picture])
    assert system == {"role": "system", "content": "S"}
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert answer == {"role": "assistant", "content": "Das."}
    assert last == {"role": "user", "content": "Und < |user|>?"}
    url = first["content"][0]["image_url"]["url"]
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))).tolist() == picture.tolist()


def test_dialects_by_name() -> None:
    assert dialect_of("loc:128", 56) == Dialect("loc", 128)
    assert dialect_of("qwen2.5-vl", 448) == Dialect("qwen2.5-vl", 448)
    assert dialect_of("internvl", 448) == Dialect("internvl", 1000)
    for bad in ("", "loc:1", "loc:x", "x:3"):
        with pytest.raises(UsageError):
            dialect_of(bad, 56)


def test_keys_of_other_prompts_stay_what_they_were() -> None:
    from rrg.llm_settings import LlmSettings, Prompt, request_of

    settings = LlmSettings(identity="server:a")
    body = ["rrg-llm/1", "server:a", "s", "u", "{}", 0, 0.0, 2048]
    wanted = hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()
    assert request_of(Prompt("s", "u", "{}"), settings).key == wanted
    assert request_of(Prompt("s", "u", "{}", "[]"), settings).key != wanted
