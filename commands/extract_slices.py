"""rrg extract-slices: DICOM studies to slice records, pixels to a store."""

from pathlib import Path
from typing import Annotated

import typer

from rrg.pipe import Io, run_items, talk

from . import _options as opt


@opt.streaming
def command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders of them.")],
    store: opt.Store,
    key_file: opt.KeyFile = None,
    max_mb: Annotated[
        int, typer.Option(min=1, help="Largest stack of slices to read, in MB of decoded pixels.")
    ] = 4096,
    *,
    io: Io,
) -> None:
    """DICOM studies to slice records, pixels to a store. Files are told by content, whatever their names.

    CT pixels are stored in HU, all others as stored values after rescale. Every file gives slices or one error record.

    Example:  rrg extract-slices demo/dicom --store store > slices.jsonl
    """
    import functools

    from rrg.files import files_under
    from rrg.keys import fingerprint, load_key
    from rrg.provenance import make_run
    from rrg.slices import extract, items

    next(files_under(paths), None)  # a path that is not there is a usage error, before anything is written
    key = load_key(key_file)

    def say_where() -> tuple[()]:
        talk("extract-slices", f"{store}/private says which files and UIDs stand behind the ids: keep it to yourself")
        return ()

    run_items(
        functools.partial(extract, key=key, folder=store, max_bytes=max_mb * 1_000_000),
        items(paths, key, workers=io.workers),
        run=make_run("extract-slices", {"max_mb": max_mb}, inputs={"key": fingerprint(key)}),
        io=io,
        tail=say_where,
    )
