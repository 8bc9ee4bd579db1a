"""What a pipe made before makes way for what it makes now, and is kept beside it until that is whole."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rrg.recipes_plan import Digests, Pipe, read_state

SUFFIX = ".before"


def set_aside(pipe: Pipe, work: Path, keys: Mapping[str, str], digests: Digests) -> None:
    """Give the folders that earlier runs in `work` made (data sets, models, exports) another name.

    Their commands never replace a folder. One that is not as it was made stays where it is, and they say so; unless the
    very same run was stopped: what is whole there, it made.
    """
    states = [state for path in work.glob("*.json") if (state := read_state(path)) is not None]
    own = read_state(work / f"{pipe.name}.json")
    stopped = own is not None and own.code is None and dict(own.keys) == dict(keys)
    for path in _folders(pipe):
        if stopped or any(state.made.get(str(path)) == digests.of(path) for state in states):
            before = _before(path)
            shutil.rmtree(before, ignore_errors=True)
            path.rename(before)
            print(f"rrg pipeline: {path} is made anew; the one before is {before} until then", file=sys.stderr)
        else:
            said = "is not as this recipe made it, and stays where it is; remove or rename it to have it made anew"
            print(f"rrg pipeline: {path} {said}", file=sys.stderr)
    digests.forget()


def let_go(pipe: Pipe) -> None:
    """Remove what made way: the new ones are there."""
    for path in _folders(pipe):
        shutil.rmtree(_before(path), ignore_errors=True)


def _folders(pipe: Pipe) -> Iterator[Path]:
    """What the pipe makes as whole folders, where they are there; stores, pages and the like are written over."""
    for placed in pipe.placed:
        yield from (path for path in placed.stage.makes if (path / "manifest.json").is_file())


def _before(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)
