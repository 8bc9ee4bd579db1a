"""No command opens a connection: the whole way in a network namespace without interfaces, each attempt noted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Rrg

ROOT = Path(__file__).parents[1]
HOOK = """
import os, sys

def _note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        to = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        if not isinstance(to, (str, bytes)) or event.startswith("socket.get"):  # a path is a socket of this machine
            with open(os.environ["RRG_TEST_CONNECTIONS"], "a") as file:
                file.write(f"{event} {to} {sys.argv}\\n")

sys.addaudithook(_note)
"""


def namespace() -> list[str]:
    """Words that start a program where there is no network; empty where the system does not allow it."""
    for words in (["unshare", "-rn"], ["unshare", "-n"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        ):
            return words
    return []


@pytest.fixture
def inside(tmp_path: Path, key_file: Path) -> "Inside":
    words = namespace()
    if not words:
        pytest.skip("unshare -rn does not work here: no network namespace for this user")
    return Inside(words, tmp_path, key_file)


class Inside:
    """Runs programs in the namespace and reads what they tried."""

    def __init__(self, words: list[str], folder: Path, key_file: Path) -> None:
        self._words, self._folder = words, folder
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        (folder / "tried").write_text("")
        self._environment = {
            **os.environ,
            "RRG_KEY_FILE": str(key_file),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(folder / "hook"),
            "RRG_TEST_CONNECTIONS": str(folder / "tried"),
        }

    def run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        line = [*self._words, sys.executable, *words]
        return subprocess.run(line, cwd=self._folder, env=self._environment, capture_output=True, check=False)

    @property
    def tried(self) -> str:
        return (self._folder / "tried").read_text()


def test_a_connection_would_be_seen_and_would_fail(inside: Inside) -> None:
    """The control."""
    code = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    assert inside.run("-c", code).returncode != 0
    assert "socket.connect" in inside.tried


def test_the_whole_way_without_a_network(inside: Inside, rrg: Rrg) -> None:
    recipe = ROOT / "examples" / "recipes" / "phantom.toml"
    work = ["--set", "out=o", "--work", "w", "--quiet"]
    commands = [
        ["pipeline", str(recipe), "--fixture", *work],
        ["status", "w"],
        ["verify", "o/dataset", "o/store"],
        ["doctor"],
        ["view", "o/dataset", "--split", "train", "--limit", "2", "--page", "page.html"],
        ["infer", "o/dataset", "--split", "train", "--limit", "2", "--model", "o/gguf", "--out", "p.jsonl"],
        ["score", "refer", "p.jsonl", "o/dataset/train.jsonl", "--allow-missing"],
    ]
    for words in commands:
        done = inside.run("-m", "rrg", *words)
        fine = (0, 1, 3) if words[0] in ("doctor", "score") else (0, 3)
        assert done.returncode in fine, f"{words}: {done.stderr.decode()[-1500:]}"
        assert b"Traceback" not in done.stderr, done.stderr.decode()[-1500:]
    assert inside.tried == ""
