"""`rrg infer` with a stand-in for the model, for tests of everything around it. Run as a process.

It answers with a hash of what it was shown and asked, and a box, so that another picture or prompt is another answer.
"""

import functools
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rrg import infer
from rrg.boxes import LOC64
from rrg.model.settings import Generated, Settings

SETTINGS = Settings(
    family="tiny", side=56, preset="radgrounder", dialect=LOC64, image_tokens=16, context=512,
    languages=("de", "en"), tasks=("report",), dataset="0" * 64, run="r", demonstration=True,
)  # fmt: skip


class HashModel:
    """Stand-in for a loaded model."""

    settings = SETTINGS
    hash = "0123456789abcdef"
    backend = "torch"

    def answer(self, pictures: Sequence[Any], prompt: str, max_new_tokens: int = 256) -> Generated:
        digest = hashlib.sha256(b"".join(each.tobytes() for each in pictures) + prompt.encode()).hexdigest()
        x, y = int(digest[:2], 16) // 8, int(digest[2:4], 16) // 8
        return Generated(f"Die <p>Leber<loc{x:02}><loc{y:02}><loc{x + 9}><loc{y + 20}> ist {digest[:8]}.", False)

    def close(self) -> None: ...


_real = infer.model_at
infer.model_at = functools.cache(lambda path: HashModel() if path == Path("fake") else _real(path))  # type: ignore[assignment]

if __name__ == "__main__":
    from rrg.cli import run

    assert os.environ.get("RRG_KEY_FILE")
    run("infer", sys.argv[1:])
