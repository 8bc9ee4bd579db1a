"""A stage for tests of the loop: one prediction per slice, slowly, or failing where told. Run as a process."""

import argparse
import functools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rrg.errors import RecordError, RrgError
from rrg.pipe import Count, Group, Io, Made, OnError, run_groups
from rrg.provenance import make_run
from rrg.records import Prediction, Slice


def step(seconds: float, bad: str, group: Group) -> Iterator[Made]:
    time.sleep(seconds)
    for slice_ in group.of(Slice):
        if slice_.id == bad:
            raise RecordError("E_CODEC", "this slice is bad")
        yield Count("seen")
        yield Prediction(
            id=f"p-{slice_.id}",
            from_=(slice_.id,),
            study=group.key,
            task="report",
            lang="de",
            question="?",
            raw="Größe 3,4 cm",
            text="Größe 3,4 cm",
            model="m",
            backend="torch",
        )
    print("a library talks on stdout")


def ready() -> None:
    print("ready", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("inputs", nargs="*", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tee", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shard")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--bad", default="")
    parser.add_argument("--ready", action="store_true")
    parser.add_argument("--on-error", default="record")
    given = parser.parse_args()
    try:
        run_groups(
            functools.partial(step, given.seconds, given.bad),
            kinds=(Slice,),
            ready=ready if given.ready else None,
            run=make_run("stage", {"bad": given.bad}),
            io=Io(
                inputs=tuple(given.inputs),
                out=given.out,
                tee=given.tee,
                resume=given.resume,
                workers=given.workers,
                shard=tuple(map(int, given.shard.split("/"))) if given.shard else None,
                on_error=OnError(given.on_error),
            ),
        )
    except RrgError as error:
        sys.exit(f"rrg stage: {error}")
