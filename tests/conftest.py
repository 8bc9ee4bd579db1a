"""Shared fixtures: rrg as a real process, a key file, a small phantom data side made once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[bytes]
Rrg = Callable[..., Done]


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_bytes(bytes(range(100, 132)))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def rrg(key_file: Path) -> Rrg:
    """Run ``rrg ARGUMENTS`` as a process; `stdin` is bytes; `code` None accepts any exit code."""

    def run(
        *arguments: object,
        stdin: bytes = b"",
        code: int | None = 0,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "rrg", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env={**os.environ, "RRG_KEY_FILE": str(key_file), "OMP_NUM_THREADS": "1", **(env or {})},
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}: {done.stderr.decode()[-2000:]}"
        return done

    return run


@pytest.fixture(scope="session")
def data() -> Path:
    """Real, openly licensed data."""
    if not (folder := os.environ.get("RRG_TEST_DATA")):
        pytest.skip("RRG_TEST_DATA is not set: no real data on this machine")
    return Path(folder)
