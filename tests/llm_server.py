"""An OpenAI-compatible server on loopback for tests: answers by a function, counts what came, can misbehave."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = Any


@dataclass
class Say:
    """What the server does with one request."""

    content: str | None = None
    message: dict[str, Json] | None = None
    finish: str = "stop"
    model: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drop: str = ""
    """``at once``: the connection is closed; ``midway``: after half of the answer; ``drip``: a byte a time."""
    raw: bytes | None = None


Reaction = Callable[[dict[str, Json], int], Say]


class Fake:
    """The running server."""

    def __init__(self, react: Reaction, models: list[str]) -> None:
        self.react = react
        self.models = models
        self.requests: list[dict[str, Json]] = []
        self.heads: list[dict[str, str]] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Json) -> None:
                pass

            def do_GET(self) -> None:
                body = json.dumps({"data": [{"id": name} for name in fake.models]}).encode()
                self.answer(200, body, {})

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with fake._lock:
                    number = len(fake.requests)
                    fake.requests.append(request)
                    fake.heads.append(dict(self.headers))
                    fake._now += 1
                    fake.most_at_once = max(fake.most_at_once, fake._now)
                try:
                    self.say(fake.react(request, number), request)
                finally:
                    with fake._lock:
                        fake._now -= 1

            def say(self, say: Say, request: dict[str, Json]) -> None:
                time.sleep(say.wait_s)
                message = say.message or {"role": "assistant", "content": say.content}
                whole = {
                    "model": request["model"] if say.model is None else say.model,
                    "choices": [{"message": message, "finish_reason": say.finish}],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 5},
                }
                self.answer(say.status, say.raw or json.dumps(whole).encode(), say.headers, say.drop)

            def answer(self, status: int, body: bytes, headers: dict[str, str], drop: str = "") -> None:
                with contextlib.suppress(OSError):
                    if drop == "at once":
                        self.close_connection = True
                        return
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if drop == "drip":
                        for byte in body:
                            self.wfile.write(bytes([byte]))
                            time.sleep(0.05)
                    self.wfile.write(body[: len(body) // 2] if drop == "midway" else body)
                    if drop:
                        self.close_connection = True

        return Handler


@contextlib.contextmanager
def serve(react: Reaction, models: tuple[str, ...] = ("model-a",)) -> Iterator[Fake]:
    """A server for the time of the block."""
    fake = Fake(react, list(models))
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        fake.server.server_close()
        thread.join()
