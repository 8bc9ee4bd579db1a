"""rrg sort: bring the records of each study together."""

from rrg.pipe import Io, nothing, run_groups

from . import _options as opt


@opt.streaming
def command(inputs: opt.Inputs = None, *, io: Io) -> None:
    """Bring the records of each study together, in order of first appearance.

    Example:  cat a.jsonl b.jsonl | rrg sort > together.jsonl
    """
    from rrg.provenance import make_run

    run_groups(nothing, kinds=(), run=make_run("sort", {}), io=io, merge=True)
