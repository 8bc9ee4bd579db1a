"""rrg verify: is what lies on the disk what was written?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from rrg.errors import FAILED


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Data sets, stores, header indexes, models, streams of records, journals, answer caches.",
        ),
    ],
    store: Annotated[
        Path | None, typer.Option(help="Arrays of the streams; with --repair also where those of a data set came from.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend: take arrays again, take out what can not be used, clear what was left."),
    ] = False,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="KEYS",
            help="Take these patients out of every PATH: a file, an id a line, or ID,ID. Answer caches: all of them.",
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Secret behind the pseudonyms, for original ids and header indexes.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --forget: look for models that learned from them below.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Problems as JSON objects, one a line.")] = False,
) -> None:
    """Checksums, dangling references, patients in two splits, runs without an end. Exit code 1 when something is wrong.

    --forget leaves the source images and reports alone: take those out too, or the next run brings them back.

    Example:  rrg verify dataset store samples.jsonl --store store
    """
    from rrg.keys import load_key
    from rrg.pipe import talk
    from rrg.verify import check, kind_of
    from rrg.verify_edit import repair_dataset, repair_store
    from rrg.verify_forget import forget as forget_in
    from rrg.verify_forget import models_of, read_keys

    kinds = {path: kind_of(path) for path in paths}
    if forget is not None:
        key = None if key_file is None else load_key(key_file, create=False)
        patients = read_keys(forget, key)
        learned = list(models_of(paths, models, patients))
        for path in paths:
            talk("verify", forget_in(path, patients, key, key_file))
        for line in learned:
            print(json.dumps({"model": line}) if as_json else line)
        return
    left = 0
    for path, kind in kinds.items():
        found = list(check(path, store))
        if repair and found:
            mend = repair_dataset(path, found, store) if kind == "dataset" else repair_store(path, found)
            for line in mend if kind in ("dataset", "store") else ():
                talk("verify", f"{path}: {line}")
            found = list(check(path, store))
        for each in found:
            said = {"path": str(path), **each._asdict()}
            print(json.dumps(said) if as_json else f"{path}: {each.kind}: {each.where}: {each.said}")
        talk("verify", f"{path}: {kind}, {f'{len(found)} problems' if found else 'nothing wrong'}")
        left += len(found)
    raise typer.Exit(FAILED if left else 0)
