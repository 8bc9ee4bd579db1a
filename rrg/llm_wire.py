"""HTTP with keep-alive, a limit for the whole answer, and no word of the key or of a report in any message."""

import contextlib
import email.utils
import http.client
import json
import os
import threading
import time
import urllib.parse
import urllib.request

from rrg.errors import RrgError, UsageError
from rrg.llm_settings import LlmSettings

CONNECT_S = 10.0
MOST_BYTES = 8 << 20
"""Of an answer."""
_PLAIN_REFUSALS = (400, 413, 415, 422, 501)
"""The server does not take this request: it may take a plainer one."""


class FailedError(Exception):
    """A request that may work when repeated."""

    def __init__(self, message: str, status: int = 0, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait_s = wait_s


class BusyError(Exception):
    """Too many requests (429)."""

    def __init__(self, wait_s: float | None) -> None:
        super().__init__("too many requests (HTTP 429)")
        self.wait_s = wait_s


def short(text: str, most: int = 120) -> str:
    """One line of at most `most` characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= most else line[: most - 3] + "..."


def check_url(text: str) -> str:
    """A base address without its last slash. UsageError for one that can not be asked, or that holds a secret."""
    url = text.strip().rstrip("/")
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(letter.isspace() for letter in url):
        raise UsageError(
            f"--llm {short(text)}: expected http://host:port/v1, several separated by commas, or FILE.gguf"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("--llm: an address without user, password and query; give a key with --llm-key-env")
    return url.removesuffix("/chat/completions")


class Wire:
    """Connections to servers, kept open between requests; used by many threads."""

    def __init__(self, settings: LlmSettings) -> None:
        self._timeout_s = settings.timeout_s
        self._idle: dict[str, list[http.client.HTTPConnection]] = {url: [] for url in settings.urls}
        self._lock = threading.Lock()
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._proxies = urllib.request.getproxies() if settings.proxies else {}
        if settings.key_env is not None:
            key = os.environ.get(settings.key_env, "").strip()
            if not key or not key.isascii() or not key.isprintable():
                raise UsageError(f"--llm-key-env {settings.key_env}: this variable holds no usable key")
            self._headers["Authorization"] = f"Bearer {key}"

    def models(self, url: str) -> list[str]:
        """Names in ``/models``; [] when the server has no such list."""
        status, body = self._exchange(url, "GET", "/models", None, min(self._timeout_s, 30.0))
        if status != 200:
            return []
        try:
            rows = json.loads(body).get("data") or []
            return [row["id"] for row in rows if isinstance(row["id"], str)]
        except (ValueError, KeyError, TypeError, AttributeError):
            return []

    def post(self, url: str, body: bytes) -> tuple[int, bytes]:
        """(200, answer), or (status, b"") for a request of a form that the server does not take."""
        return self._exchange(url, "POST", "/chat/completions", body, self._timeout_s)

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
                connections.clear()

    def _exchange(self, url: str, method: str, path: str, body: bytes | None, limit_s: float) -> tuple[int, bytes]:
        while True:
            with self._lock:
                kept = self._idle[url].pop() if self._idle[url] else None
            try:
                connection = kept or self._connect(url, limit_s)
                try:
                    status, headers, answer = self._send(connection, url, method, path, body, limit_s)
                except BaseException:
                    connection.close()
                    raise
                if headers.get("Connection", "").lower() == "close" or connection.sock is None:
                    connection.close()
                else:
                    with self._lock:
                        self._idle[url].append(connection)
                return _judged(url, method, status, headers, answer)
            except TimeoutError:
                raise FailedError(f"no whole answer within {limit_s:g} s") from None
            except (http.client.HTTPException, OSError) as error:
                if kept is not None and not isinstance(error, http.client.IncompleteRead):
                    continue  # the server had closed the idle connection
                raise FailedError(_reason(error)) from None

    def _connect(self, url: str, limit_s: float) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        limit = min(CONNECT_S, limit_s)
        proxy = self._proxies.get(parts.scheme)
        if proxy is None or urllib.request.proxy_bypass(host):
            connection = kind(host, port, timeout=limit)
        else:
            through = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
            connection = kind(through.hostname or "", through.port, timeout=limit)
            connection.set_tunnel(host, port or (443 if parts.scheme == "https" else 80))
        connection.connect()
        return connection

    def _send(
        self,
        connection: http.client.HTTPConnection,
        url: str,
        method: str,
        path: str,
        body: bytes | None,
        limit_s: float,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        end = time.monotonic() + limit_s
        assert connection.sock is not None
        connection.sock.settimeout(limit_s)
        connection.request(method, urllib.parse.urlsplit(url).path + path, body, self._headers)
        response = connection.getresponse()
        parts: list[bytes] = []
        size = 0
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if connection.sock is not None:
                connection.sock.settimeout(left)
            part = response.read1(1 << 16)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise http.client.HTTPException("an answer of more than 8 MB")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        response.close()  # the connection lives on
        return response.status, response.headers, b"".join(parts)


def _judged(url: str, method: str, status: int, headers: http.client.HTTPMessage, answer: bytes) -> tuple[int, bytes]:
    """What a status means: an answer, a refusal of this form, a failure to repeat, or the end of the run."""
    if status == 200:
        return 200, answer
    if status in (401, 403):
        raise RrgError(
            f"{url} refuses the key (HTTP {status}); name its environment variable with --llm-key-env", "E_LLM_DOWN"
        )
    if status == 429:
        raise BusyError(_retry_after(headers))
    if status == 500 and b"response_format" in answer:
        return status, b""  # how llama-cpp-python's server says that it does not know this form
    if method == "GET" or status in _PLAIN_REFUSALS:
        if status >= 500 and status != 501:
            raise FailedError(f"HTTP {status}", status, _retry_after(headers))
        return status, b""
    if status in (408, 409, 425) or status >= 500:
        raise FailedError(f"HTTP {status}", status, _retry_after(headers))
    raise RrgError(
        f"{url} answers HTTP {status}; expected an OpenAI-compatible address such as http://host:8000/v1 and a model "
        "that it serves (--llm-model)",
        "E_LLM_DOWN",
    )


def _retry_after(headers: http.client.HTTPMessage) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date."""
    text = headers.get("Retry-After", "")
    with contextlib.suppress(ValueError):
        return max(0.0, min(float(text), 3600.0))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _reason(error: Exception) -> str:
    """A failure in few words, without what the server wrote."""
    if isinstance(error, OSError):
        return f"no connection ({error.strerror or type(error).__name__})"
    return f"the connection broke ({type(error).__name__})"
