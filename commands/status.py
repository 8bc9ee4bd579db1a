"""rrg status: how far the work in a folder is."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of outputs and journals.")],
    total: Annotated[
        str | None,
        typer.Option(metavar="N|INDEX|FILE", help="Studies there are: a number, a header index, or a file of records."),
    ] = None,
    stale: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="A task that finished no study for so long is stale.")
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a stage, then one of the disk.")] = False,
) -> None:
    """How far the work below a folder is: done, total, rate, time left, rejects by code, stale tasks, disk.

    Reads the journals and outputs of all stages and shards, and disturbs none that is running.

    Example:  rrg status . --total slices.jsonl
    """
    from rrg.status import disk, stages, table, total_of, totals

    of = None if total is None else total_of(total)
    told = [stage.told(known) for stage, known in totals(stages(folder, stale_seconds=60 * stale), of)]
    free, size = disk(folder)
    if as_json:
        for each in told:
            print(json.dumps(each))
        print(json.dumps({"disk": {"free": free, "total": size}}))
        return
    if told:
        print("\n".join(table(told)))
    else:
        print("no outputs and no journals yet")
    print(f"disk: {free / 1e9:,.1f} of {size / 1e9:,.1f} GB free")
